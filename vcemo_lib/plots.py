"""Figures, which `show` displays; an emotion has its colour (Okabe and Ito's) and marker everywhere."""

from __future__ import annotations

import html
import io
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.figure import Figure

from vcemo_lib.corpora.labels import LABELS
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import repo_data

DPI = 100  # of a displayed figure; 6 by 4 inches are 600 by 400 pixels
COLOURS = ("#D55E00", "#CC79A7", "#E69F00", "#666666", "#0072B2", "#009E73", "#56B4E9", "#F0E442")
MARKERS = ("^", "v", "o", "s", "D", "*", "P", "X")
SERIES = COLOURS[4:] + COLOURS[:4]  # of what is no emotion: blue first


def cjk_fonts() -> list[str]:
    """The bundled font of common Chinese characters (data/build/font.py), where it lies in its folder."""
    try:
        font_manager.fontManager.addfont(repo_data() / "fonts" / "NotoSansSC-subset.ttf")
    except (VcemoError, OSError):
        return []
    return ["Noto Sans SC VCEMO"]


STYLE: Any = {"font.size": 9.0, "axes.titlesize": 10.0, "axes.spines.top": False, "axes.spines.right": False,
         "axes.axisbelow": True, "legend.frameon": False, "figure.dpi": DPI,
         "font.family": ["DejaVu Sans", *cjk_fonts()]}  # fmt: skip


def new_figure(wide: float, high: float, rows: int = 1, columns: int = 1, **axes: Any) -> tuple[Figure, Any]:
    """A Figure of `wide` by `high` inches, and its axes."""
    figure = Figure(figsize=(wide, high), layout="constrained", dpi=DPI)
    return figure, figure.subplots(rows, columns, **axes)


def palette(labels: Iterable[str] = LABELS) -> dict[str, str]:
    """One colour (hex) for each label, emotions first, in their order; an emotion always has its own."""
    wanted = set(labels)
    known = (*LABELS, *sorted(wanted - set(LABELS)))
    return {label: COLOURS[nth % 8] for nth, label in enumerate(known) if label in wanted}


def markers(labels: Iterable[str] = LABELS) -> dict[str, str]:
    """One marker for each label, as `palette` has one colour."""
    return {label: MARKERS[COLOURS.index(colour)] for label, colour in palette(labels).items()}


def show(figure: Figure, alt: str) -> None:
    """Display a figure with its alternative text, in its metadata and, unfoldable, below it."""
    from IPython.display import HTML, display

    if not alt.strip():
        raise VcemoError("a figure needs alternative text", do='show(fig, alt="what it shows, in words")')
    picture = {"image/png": png(figure), "text/plain": alt}
    display(picture, raw=True, metadata={"image/png": {"alt": alt}})
    display(HTML(f"<details><summary>The figure in words</summary>{html.escape(alt)}</details>"))


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes, reduced to 128 colours: a third of the bytes, and it looks the same."""
    from PIL import Image

    raw, small = io.BytesIO(), io.BytesIO()
    figure.savefig(raw, format="png", dpi=DPI)
    picture = Image.open(raw).convert("RGB")
    picture = picture.quantize(128, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    picture.save(small, "PNG", optimize=True)
    return small.getvalue()


def mark_words(axis: Any, words: Sequence[tuple[str, float, float]]) -> None:
    """Words (text, start, end) as spans of alternating shade, with their texts above the axis."""
    for nth, (text, start, end) in enumerate(words):
        axis.axvspan(start, end, color=COLOURS[6], alpha=(0.2, 0.45)[nth % 2], linewidth=0, zorder=0)
        axis.text((start + end) / 2, 1.03, text, transform=axis.get_xaxis_transform(), ha="center")


@matplotlib.rc_context(STYLE)
def waveform_and_mel(
    wave: np.ndarray, mel: np.ndarray | None = None, title: str = "", words: Sequence[Any] = ()
) -> Figure:
    """A clip over its seconds: waveform (N,) at 16 kHz, log-mel (T, 80), and its words as spans."""
    from vcemo_lib import audio

    mel = audio.log_mel(wave) if mel is None else mel
    time = np.arange(len(wave)) / audio.SAMPLE_RATE
    figure, (top, bottom) = new_figure(7, 3.4, rows=2, sharex=True, height_ratios=(1, 2))
    top.plot(time, wave, linewidth=0.4, color="#444444", rasterized=True)
    top.set(ylabel="amplitude", xlim=(0, len(wave) / audio.SAMPLE_RATE))
    mark_words(top, [(word.text, word.start, word.end) for word in words])
    extent = (*top.get_xlim(), 0, mel.shape[1])
    image = bottom.imshow(mel.T, origin="lower", aspect="auto", cmap="magma", extent=extent)
    bottom.set(xlabel="seconds", ylabel="mel band")
    figure.colorbar(image, ax=bottom, label="log energy", pad=0.01)
    figure.suptitle(title, fontsize=10)
    return figure


@matplotlib.rc_context(STYLE)
def confusion(matrix: np.ndarray | pd.DataFrame, labels: Sequence[str] = (), title: str = "") -> Figure:
    """A matrix (C, C) of counts, true classes in rows: shares of each row as colour, and the counts."""
    from sklearn.metrics import ConfusionMatrixDisplay

    labels = list(labels or getattr(matrix, "index", LABELS))
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axis = new_figure(1.4 + 0.62 * len(labels), 1.0 + 0.56 * len(labels))
    style: Any = {"cmap": "Blues", "im_kw": {"vmin": 0, "vmax": 1}, "text_kw": {"fontsize": 7.5}}
    shown = ConfusionMatrixDisplay(shares, display_labels=labels).plot(
        ax=axis, values_format=".0%", xticks_rotation=35, **style
    )
    for text, count in zip(shown.text_.flat, counts.flat, strict=True):
        text.set_text(f"{text.get_text()}\n{count:g}")
    rows, columns = (getattr(getattr(matrix, side, None), "name", None) for side in ("index", "columns"))
    axis.set(xlabel=columns or "predicted", ylabel=rows or "true", title=title)
    figure.axes[1].set_ylabel("share of the row")
    return figure


@matplotlib.rc_context(STYLE)
def intervals(
    table: pd.DataFrame, value: str = "value", group: str | None = None, reference: float | None = None,
    reference_label: str = "", xlabel: str = "",
) -> Figure:  # fmt: skip
    """Dots with whiskers from `low` to `high`, a line a name; `group` is a column that colours its rows."""
    if missing := [column for column in (value, "low", "high", group) if column and column not in table]:
        raise VcemoError(f"the table lacks {', '.join(missing)}; it has {', '.join(map(str, table.columns))}")
    lines = list(dict.fromkeys(table.index))
    groups = dict(list(table.groupby(group, sort=False))) if group else {None: table}
    sides = np.linspace(-0.17, 0.17, len(groups)) if len(lines) < len(table) else np.zeros(len(groups))
    figure, axis = new_figure(6, 0.9 + 0.34 * len(lines))
    for nth, (name, rows) in enumerate(groups.items()):
        middle, low, high = rows[[value, "low", "high"]].to_numpy(float).T
        where = sides[nth] + [lines.index(line) for line in rows.index]
        style = {"fmt": MARKERS[(nth + 2) % 8], "color": SERIES[nth % 8], "markersize": 5, "capsize": 2.5}
        axis.errorbar(middle, where, xerr=np.maximum([middle - low, high - middle], 0), label=name, **style)
    if reference is not None:
        axis.axvline(reference, color="#888888", linestyle="--", linewidth=1, label=reference_label or None)
    wrapped = textwrap.fill(xlabel or value.replace("_", " "), 48)  # a long line would leave the picture
    axis.set(xlabel=wrapped, ylim=(len(lines) - 0.5, -0.5))
    names = [", ".join(map(str, line)) if isinstance(line, tuple) else str(line) for line in lines]
    axis.set_yticks(range(len(lines)), names)
    axis.grid(axis="x", linewidth=0.4)
    if group or reference_label:
        figure.legend(loc="outside upper right", ncols=len(groups) + 1, fontsize=8)
    return figure
