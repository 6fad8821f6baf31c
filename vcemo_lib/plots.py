"""What a reader sees. Every function gives a Matplotlib Figure; `show` displays it, small and with its words.

Emotions always have the same colour and the same marker (Okabe and Ito's colours, which the colour-blind can tell
apart, too). Figures are made without pyplot: none is open twice, none stays in memory.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from vcemo_lib.corpora.labels import LABELS
from vcemo_lib.errors import VcemoError

if TYPE_CHECKING:
    import pandas as pd

DPI = 100  # of a displayed figure; at 6 by 4 inches 600 by 400 pixels
PNG_COLOURS = 128  # a palette: a third of the bytes, no difference to the eye
_OKABE_ITO = ("#D55E00", "#CC79A7", "#E69F00", "#666666", "#0072B2", "#009E73", "#56B4E9", "#F0E442")
_MARKERS = ("^", "v", "o", "s", "D", "*", "P", "X")
_STYLE = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.dpi": DPI,
}
_CJK_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "WenQuanYi Micro Hei"),
    *("WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans GB", "Heiti SC", "STHeiti", "Microsoft YaHei", "SimHei"),
    *("Noto Sans CJK JP", "Arial Unicode MS", "Droid Sans Fallback"),
)
_words_of: WeakKeyDictionary[Figure, list[tuple[str, str]]] = WeakKeyDictionary()  # numbers on a figure -> words


# ---------------------------------------------------------------------------------------------- shared parts


def palette(labels: Sequence[str] = LABELS) -> dict[str, str]:
    """One colour a label, as hex; an emotion's is the same everywhere."""
    return {label: _nth(label, _OKABE_ITO, labels) for label in labels}


def _nth(label: str, choices: Sequence[str], labels: Sequence[str]) -> str:
    known = (*LABELS, *(other for other in labels if other not in LABELS))
    return choices[known.index(label) % len(choices)]


def _figure(width: float, height: float, rows: int = 1, columns: int = 1, **axes: Any) -> tuple[Figure, Any]:
    """A Figure of `width` by `height` inches, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained", dpi=DPI)
    return figure, figure.subplots(rows, columns, **axes)


@lru_cache
def cjk_font() -> str | None:
    """The name of an installed font with Chinese characters, or None: Matplotlib brings none of its own."""
    from matplotlib import font_manager

    paths = {font.name: font.fname for font in font_manager.fontManager.ttflist}
    for name in _CJK_FONTS:
        if name in paths and all(ord(c) in font_manager.get_font(paths[name]).get_charmap() for c in "你说话"):
            return name
    return None


def _is_chinese(text: str) -> bool:
    return any("\u2e80" <= character <= "\u9fff" or "\uff00" <= character <= "\uffef" for character in text)


def _labels(figure: Figure, words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Tick labels for `words` and their font; where no font has Chinese, numbers that `show` explains in a table."""
    if not any(map(_is_chinese, words)):
        return list(words), {}
    if font := cjk_font():
        return list(words), {"fontfamily": font}
    known = _words_of.setdefault(figure, [])
    numbers = [str(len(known) + i) for i in range(1, len(words) + 1)]
    known += zip(numbers, words, strict=True)
    return numbers, {}


def _title(figure: Figure, title: str) -> None:
    """The figure's title; what is Chinese in it becomes a number, as in `_labels`, where no font has it."""
    runs = re.findall("[\u2e80-\u9fff\uff00-\uffef]+", title)
    labels, font = _labels(figure, runs)
    for run, label in zip(runs, labels, strict=True):
        title = title.replace(run, label, 1)
    figure.suptitle(title, fontsize=10, **font)


def show(figure: Figure, alt: str) -> None:
    """Display a figure with its alternative text: what it shows, in words, for those who cannot see it.

    The picture is a PNG of 100 dpi with a palette, which every viewer of notebooks shows (GitHub shows none that is
    inside HTML). Its `alt` is in the output's metadata, from where the course's HTML pages take it. JupyterLab does
    not, so it can be unfolded below the picture too. Chinese words that no font could draw stand there in a table.
    """
    from IPython.display import HTML, display

    if not alt.strip():
        raise VcemoError("a figure needs alternative text", do='show(fig, alt="what it shows, in a sentence")')
    bundle = {"image/png": png(figure), "text/plain": alt}
    display(bundle, raw=True, metadata={"image/png": {"alt": alt}})
    numbered = _words_of.get(figure, [])
    table = ""
    if numbered:
        heads = "".join(f"<th>{number}</th>" for number, _ in numbered)
        cells = "".join(f"<td lang='zh'>{html.escape(word)}</td>" for _, word in numbered)
        table = f"<table><tr>{heads}</tr><tr>{cells}</tr></table>"
    display(HTML(f"{table}<details><summary>The figure in words</summary>{html.escape(alt)}</details>"))


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes, reduced to a palette of 128 colours."""
    from PIL import Image

    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=DPI)
    small = io.BytesIO()
    image = Image.open(raw).convert("RGB")
    image.quantize(PNG_COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


# ---------------------------------------------------------------------------------------------- sound


@matplotlib.rc_context(_STYLE)
def waveform_and_mel(wave: np.ndarray, mel: np.ndarray | None = None, title: str = "", words: Sequence[Any] = ()) -> Figure:
    """A clip twice over the same seconds: its waveform (N,) at 16 kHz, and its log-mel (T, 80), 10 ms a frame.

    `words` (with .text or .word, .start and .end in s) are drawn as spans. The log-mel is computed if not given.
    """
    from vcemo_lib import audio

    mel = audio.log_mel(wave) if mel is None else mel
    seconds = len(wave) / audio.SAMPLE_RATE
    figure, (top, bottom) = _figure(7, 3.4, 2, 1, sharex=True, height_ratios=(1, 2))
    top.plot(np.arange(len(wave)) / audio.SAMPLE_RATE, wave, linewidth=0.4, color="#444444", rasterized=True)
    top.set(ylabel="amplitude", xlim=(0, seconds))
    _title(figure, title)
    image = bottom.imshow(mel.T, origin="lower", aspect="auto", cmap="magma", extent=(0, seconds, 0, mel.shape[1]))
    bottom.set(xlabel="seconds", ylabel="mel band")
    figure.colorbar(image, ax=bottom, label="log energy", pad=0.01)
    if words:
        texts, font = _labels(figure, [getattr(word, "text", None) or word.word for word in words])
        for nth, (word, text) in enumerate(zip(words, texts, strict=True)):
            top.axvspan(word.start, word.end, color=_OKABE_ITO[6], alpha=(0.2, 0.45)[nth % 2], linewidth=0)
            top.text((word.start + word.end) / 2, 1.02, text, transform=top.get_xaxis_transform(), ha="center", **font)
    return figure


@matplotlib.rc_context(_STYLE)
def timeline(
    peaks: Sequence[float], mel: np.ndarray, seconds: float, times: Sequence[float] = (), probabilities: Sequence[Sequence[float]] = (),
    labels: Sequence[str] = LABELS, words: Sequence[Mapping[str, Any]] = (),
) -> Figure:  # fmt: skip
    """A clip over its seconds: waveform, log-mel, and how the prediction moves: probabilities (T, C) after `times` (T,).

    `peaks` are the loudness of equal stretches (0 to 1), `mel` a picture (bands, frames, 3), `words` have text, start and end.
    """
    rows = 3 if len(times) else 2
    figure, axes = _figure(7, 1.15 * rows + 0.9, rows, 1, sharex=True, height_ratios=(1, 1.5, 1.9)[:rows])
    peaks = np.asarray(peaks)
    middle = (np.arange(len(peaks)) + 0.5) * seconds / max(1, len(peaks))
    axes[0].fill_between(middle, -peaks, peaks, color="#444444", linewidth=0)
    axes[0].set(yticks=[], ylabel="wave", xlim=(0, seconds))
    timed = [word for word in words if word["start"] is not None]
    texts, font = _labels(figure, [word["text"] for word in timed])
    for nth, (word, text) in enumerate(zip(timed, texts, strict=True)):
        axes[0].axvspan(word["start"], word["end"], color=_OKABE_ITO[6], alpha=(0.2, 0.45)[nth % 2], linewidth=0)
        axes[0].text((word["start"] + word["end"]) / 2, 1.04, text, transform=axes[0].get_xaxis_transform(), ha="center", **font)
    axes[1].imshow(mel, aspect="auto", extent=(0, seconds, 0, 1), interpolation="nearest")
    axes[1].set(yticks=[], ylabel="log-mel")
    if len(times):
        colours, table = palette(labels), np.asarray(probabilities)
        for nth, label in enumerate(labels):
            axes[2].plot(times, table[:, nth], color=colours[label], marker=_nth(label, _MARKERS, labels), markersize=4, linewidth=1.3, label=label)
        axes[2].set(ylim=(-0.03, 1.03), ylabel="probability,\ngiven the clip so far")
        axes[2].legend(fontsize=7.5, loc="center left", bbox_to_anchor=(1.01, 0.5))
    axes[-1].set(xlabel="seconds")
    return figure


@matplotlib.rc_context(_STYLE)
def class_balance(parts: Mapping[str, Any] | Any, labels: Sequence[str] | None = None) -> Figure:
    """How many utterances each emotion has: a bar a label, one panel for each part; shares in per cent beside it.

    `parts` is a Corpus, or a mapping from names to Corpora or to sequences of emotion names.
    """
    parts = parts if isinstance(parts, Mapping) else {parts.name: parts}
    emotions = {name: list(part.table["emotion"]) if hasattr(part, "table") else list(part) for name, part in parts.items()}
    present = set().union(*emotions.values())
    labels = list(labels or [*(label for label in LABELS if label in present), *sorted(present - set(LABELS))])
    colours = palette(labels)
    figure, axes = _figure(2 + 2.4 * len(parts), 2.6, 1, len(parts), sharey=True, squeeze=False)
    for axis, (name, found) in zip(axes[0], emotions.items(), strict=True):
        counts = [found.count(label) for label in labels]
        axis.barh(labels, counts, color=[colours[label] for label in labels])
        for row, count in enumerate(counts):
            axis.text(count, row, f" {count} ({count / max(1, len(found)):.0%})", va="center")
        axis.set(title=f"{name}, {len(found)} utterances", xlabel="utterances", xlim=(0, 1.45 * max(counts, default=1) or 1))
    axes[0][0].invert_yaxis()
    return figure


@matplotlib.rc_context(_STYLE)
def prosody_shift(table: pd.DataFrame, source: str = "source", reference: str | None = None) -> Figure:
    """Shifts of each prosodic feature from neutral, by emotion: one panel a feature, one dot a source.

    Columns: emotion, feature, `source`, mean_shift, sd_between_speakers (the whisker). `reference` (say "casia")
    is the source whose whiskers are drawn as bands, for the others to be seen against.
    """
    features, emotions = list(dict.fromkeys(table["feature"])), [e for e in LABELS if e in set(table["emotion"])]
    sources = list(dict.fromkeys(table[source]))
    figure, axes = _figure(1.2 + 2.1 * len(features), 0.9 + 0.42 * len(emotions), 1, len(features), sharey=True, squeeze=False)
    offsets = dict(zip(sources, np.linspace(-0.2, 0.2, len(sources)) if len(sources) > 1 else [0.0], strict=True))
    for axis, feature in zip(axes[0], features, strict=True):
        axis.use_sticky_edges = False  # bands keep clear of the frame
        for nth, name in enumerate(sources):
            rows = table[(table["feature"] == feature) & (table[source] == name)].set_index("emotion").reindex(emotions)
            where = np.arange(len(emotions)) + offsets[name]
            spread = rows["sd_between_speakers"].to_numpy(float)
            mean = rows["mean_shift"].to_numpy(float)
            if name == reference:
                axis.barh(where, 2 * spread, left=mean - spread, height=0.3, color="#BBBBBB", label=f"{name} ± spread")
                axis.plot(mean, where, "|", color="black", markersize=9)
            else:
                colour = _OKABE_ITO[4 + nth % 4]
                axis.errorbar(mean, where, xerr=spread, fmt=_MARKERS[nth + 2], color=colour, markersize=5, label=name)
        axis.axvline(0, color="#888888", linewidth=0.8)
        axis.set(title=_plain(feature), yticks=range(len(emotions)), yticklabels=emotions)
    axes[0][0].invert_yaxis()
    figure.supxlabel("shift from neutral (mean; whisker: one standard deviation between speakers)", fontsize=9)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside upper right", ncols=len(sources), fontsize=8)
    return figure


def _plain(name: str) -> str:
    return name.replace("_", " ")


@matplotlib.rc_context(_STYLE)
def spread(table: pd.DataFrame, value: str, by: str, order: Sequence[str] | None = None, xlabel: str = "") -> Figure:
    """How a number is spread in each group: a box from quarter to quarter with the median, whiskers from 5 to 95 %.

    One row a group of the column `by`, with its count; groups that are emotions have their colours.
    """
    groups = {name: rows[value].dropna().to_numpy(float) for name, rows in table.groupby(by, sort=True)}
    names = [name for name in (order or groups) if len(groups.get(name, ()))]
    if not names:
        raise VcemoError(f"nothing to draw: no {value} by {by}")
    figure, axis = _figure(6, 0.8 + 0.34 * len(names))
    boxes = axis.boxplot([groups[name] for name in names], orientation="horizontal", whis=(5, 95), showfliers=False,
                         patch_artist=True, widths=0.6, medianprops={"color": "black"})  # fmt: skip
    colours = palette(names) if set(names) <= set(LABELS) else dict.fromkeys(names, _OKABE_ITO[6])
    for box, name in zip(boxes["boxes"], names, strict=True):
        box.set(facecolor=colours[name], alpha=0.6, linewidth=0.8)
    axis.set_yticks(range(1, len(names) + 1), [f"{name} ({len(groups[name])})" for name in names])
    axis.set(xlabel=xlabel or _plain(value))
    axis.invert_yaxis()
    axis.grid(axis="x", linewidth=0.4)
    return figure


# ---------------------------------------------------------------------------------------------- results


@matplotlib.rc_context(_STYLE)
def confusion(matrix: np.ndarray | pd.DataFrame, labels: Sequence[str] | None = None, title: str = "") -> Figure:
    """A confusion matrix (C, C) of counts, true classes in rows: shares of each row as colour, and the counts.

    The classes are named by `labels`, else by the rows of a DataFrame, else they are the six emotions. What rows and
    columns are, a DataFrame's own names say; else true and predicted.
    """
    import seaborn

    labels = list(labels or getattr(matrix, "index", LABELS))
    counts = np.asarray(matrix)
    if counts.shape != (len(labels), len(labels)):
        raise VcemoError(f"expected counts of shape ({len(labels)}, {len(labels)}), not {counts.shape}")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    texts = np.array([[f"{share:.0%}\n{n:g}" for share, n in zip(*rows, strict=True)] for rows in zip(shares, counts, strict=True)])
    figure, axis = _figure(1.4 + 0.62 * len(labels), 1.0 + 0.56 * len(labels))
    seaborn.heatmap(
        shares, ax=axis, cmap="Blues", vmin=0, vmax=1, annot=texts, fmt="", annot_kws={"fontsize": 7.5},
        xticklabels=labels, yticklabels=labels, cbar_kws={"label": "share of the row", "shrink": 0.8},
    )  # fmt: skip
    rows, columns = (getattr(getattr(matrix, which, None), "name", None) for which in ("index", "columns"))
    axis.set(xlabel=columns or "predicted", ylabel=rows or "true", title=title)
    axis.tick_params("x", rotation=35)
    axis.tick_params("y", rotation=0)
    return figure


@matplotlib.rc_context(_STYLE)
def learning_curves(histories: pd.DataFrame | Mapping[str, pd.DataFrame], measures: Sequence[str] | None = None) -> Figure:
    """Measures over epochs: one panel for losses, one for scores; a colour a run, a line style a measure.

    A history, as `Run.history` is, has one row an epoch and columns such as loss, val_loss, val_wa and val_ua.
    """
    histories = histories if isinstance(histories, Mapping) else {"": histories}
    columns = next(iter(histories.values())).columns
    measures = [name for name in measures or ("loss", "val_loss", "val_ua", "val_wa") if name in columns]
    panels = {"loss": [m for m in measures if "loss" in m], "score": [m for m in measures if "loss" not in m]}
    panels = {name: chosen for name, chosen in panels.items() if chosen}
    if not panels:
        raise VcemoError(f"no measure to draw among {', '.join(map(str, columns))}", do="name some: measures=[...]")
    figure, axes = _figure(3.6 * len(panels), 2.8, 1, len(panels), squeeze=False)
    for axis, (panel, chosen) in zip(axes[0], panels.items(), strict=True):
        for nth, (run, history) in enumerate(histories.items()):
            for style, measure in zip(("-", "--", ":", "-.") * len(chosen), chosen, strict=False):
                label = " ".join(filter(None, (run, _plain(measure))))
                axis.plot(history.index, history[measure], style, color=_OKABE_ITO[(4 + nth) % 8], label=label, linewidth=1.4)
        axis.set(xlabel="epoch", ylabel=panel)
        axis.legend(fontsize=7.5)
    return figure


@matplotlib.rc_context(_STYLE)
def embedding(
    points: np.ndarray | Mapping[str, np.ndarray],
    emotions: Sequence[str],
    method: str = "pca",
    labels: Sequence[str] | None = None,
    seed: int = 0,
) -> Figure:
    """Utterances as dots: vectors (N, D), brought to two dimensions by `method` ("pca" or "tsne") where D > 2.

    A mapping from names to vectors of the same utterances gives a panel each, to be compared.
    """
    import seaborn

    panels = points if isinstance(points, Mapping) else {"": points}
    emotions = np.asarray(emotions)
    labels = list(labels or [label for label in LABELS if label in set(emotions)] or sorted(set(emotions)))
    markers = {label: _nth(label, _MARKERS, labels) for label in labels}
    figure, axes = _figure(1.0 + 3.2 * len(panels), 3.3, 1, len(panels), squeeze=False)
    for axis, (name, vectors) in zip(axes[0], panels.items(), strict=True):
        vectors = np.asarray(vectors, float)
        if len(vectors) != len(emotions):
            raise VcemoError(f"{len(vectors)} vectors for {len(emotions)} emotions", where=name or None)
        flat = vectors if vectors.shape[1] == 2 else to_plane(vectors, method, seed)
        seaborn.scatterplot(
            x=flat[:, 0], y=flat[:, 1], hue=emotions, style=emotions, hue_order=labels, style_order=labels,
            palette=palette(labels), markers=markers, s=22, alpha=0.75, linewidth=0, ax=axis,
        )  # fmt: skip
        axis.set(title=name, xticks=[], yticks=[])
        handles, names = axis.get_legend_handles_labels()
        axis.get_legend().remove()
    figure.legend(handles, names, loc="outside right center")
    return figure


def to_plane(vectors: np.ndarray, method: str, seed: int) -> np.ndarray:
    """Vectors (N, D) -> points (N, 2), by "pca" or "tsne"."""
    if method == "pca":
        from sklearn.decomposition import PCA

        return PCA(2, random_state=seed).fit_transform(vectors)
    if method == "tsne":
        from sklearn.manifold import TSNE

        perplexity = min(30, (len(vectors) - 1) / 3)
        return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(vectors)
    raise VcemoError(f"unknown method {method!r}", do="use 'pca' or 'tsne'")


@matplotlib.rc_context(_STYLE)
def intervals(
    table: pd.DataFrame,
    value: str = "value",
    low: str = "low",
    high: str = "high",
    group: str | None = None,
    reference: float | None = None,
    reference_label: str = "",
    xlabel: str = "",
) -> Figure:
    """Dots with whiskers: a row a line (named by the index), its interval from `low` to `high`.

    `group` names a column that colours the rows, and sets rows of one name beside each other; `reference` draws a line (zero difference, a majority baseline).
    """
    if missing := [column for column in (value, low, high, group) if column and column not in table]:
        raise VcemoError(f"the table lacks {', '.join(missing)}; it has {', '.join(map(str, table.columns))}")
    groups = list(dict.fromkeys(table[group])) if group else [None]
    names = [str(name) if not isinstance(name, tuple) else ", ".join(map(str, name)) for name in table.index]
    where = np.arange(len(table), dtype=float)
    if group and not table.index.is_unique:
        lines, sides = list(dict.fromkeys(names)), np.linspace(-0.17, 0.17, len(groups))
        where = np.array([lines.index(name) + sides[groups.index(one)] for name, one in zip(names, table[group], strict=True)])
        names = lines
    figure, axis = _figure(6, 0.9 + 0.34 * len(names))
    for nth, one in enumerate(groups):
        rows = (table[group] == one).to_numpy() if group else np.ones(len(table), bool)
        middle, ends = table.loc[rows, value].to_numpy(float), table.loc[rows, [low, high]].to_numpy(float)
        errors = np.maximum(np.stack((middle - ends[:, 0], ends[:, 1] - middle)), 0)
        style = {"fmt": _MARKERS[(nth + 2) % 8], "color": _OKABE_ITO[(4 + nth) % 8]}
        axis.errorbar(middle, where[rows], xerr=errors, capsize=2.5, markersize=5, label=one, **style)
    if reference is not None:
        axis.axvline(reference, color="#888888", linestyle="--", linewidth=1, label=reference_label or None)
    axis.set(xlabel=xlabel or _plain(value), ylim=(len(names) - 0.5, -0.5))
    labels, font = _labels(figure, names)
    axis.set_yticks(range(len(names)), labels, **font)
    axis.grid(axis="x", linewidth=0.4)
    if group or reference_label:
        figure.legend(loc="outside upper right", ncols=len(groups) + 1, fontsize=8)
    return figure


@matplotlib.rc_context(_STYLE)
def critical_difference(scores: Mapping[str, float], pairs: pd.DataFrame, level: float = 0.05, xlabel: str = "") -> Figure:
    """Scores on a line, best on the right; a bar joins those between which no difference is shown (after Demšar 2006).

    pairs  a row a pair, as `experiments.all_pairs` gives it: a, b and p_holm; a pair with p_holm below `level` differs
    """
    names = sorted(scores, key=scores.get)
    apart = {frozenset((a, b)) for a, b, p in zip(pairs["a"], pairs["b"], pairs["p_holm"], strict=True) if p < level}
    joined = []  # longest runs of neighbours no two of whom differ: (first, last)
    for first in range(len(names)):
        last = first
        while last + 1 < len(names) and not any(frozenset((names[k], names[last + 1])) in apart for k in range(first, last + 1)):
            last += 1
        if last > first and (not joined or last > joined[-1][1]):
            joined.append((first, last))
    left, right = scores[names[0]], scores[names[-1]]
    pad, half = max(right - left, 1e-6), -(-len(names) // 2)
    figure, axis = _figure(7.2, 1.3 + 0.24 * half + 0.16 * len(joined))
    bars, top = 0.5 * len(joined) + 0.6, 0.0
    for nth, name in enumerate(names):  # the worse half is written on the left, the better on the right
        worse = nth < half
        y = -bars - 0.75 * (nth if worse else len(names) - 1 - nth)
        end = left - 0.08 * pad if worse else right + 0.08 * pad
        axis.plot([scores[name], scores[name], end], [top, y, y], color="#666666", linewidth=0.8)
        axis.text(end, y, f" {name} {scores[name]:.1%} ", ha="right" if worse else "left", va="center", fontsize=8.5)
    axis.plot(list(map(scores.get, names)), [top] * len(names), _MARKERS[0], color=_OKABE_ITO[4], markersize=5, zorder=3)
    for nth, (first, last) in enumerate(joined):
        y = -0.45 - 0.5 * nth
        axis.plot([scores[names[first]] - 0.01 * pad, scores[names[last]] + 0.01 * pad], [y, y], color=_OKABE_ITO[5], linewidth=4, solid_capstyle="butt")
    axis.set(xlim=(left - 0.75 * pad, right + 0.75 * pad), ylim=(-bars - 0.75 * half, 0.35), yticks=[])
    axis.spines[["left", "right", "bottom"]].set_visible(False)
    axis.spines["top"].set_visible(True)
    axis.xaxis.set_ticks_position("top")
    axis.xaxis.set_label_position("top")
    axis.set_xticks([tick for tick in axis.get_xticks() if left - 0.2 * pad <= tick <= right + 0.2 * pad])
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}" if pad > 0.03 else f"{value:.1%}")
    axis.set_xlabel(xlabel)
    return figure


@matplotlib.rc_context(_STYLE)
def trade_off(table: pd.DataFrame, cost: str, score: str = "value", low: str = "low", high: str = "high", xlabel: str = "", ylabel: str = "") -> Figure:
    """What a score costs: a marker a row (named by the index) at its cost, on a logarithmic scale, with the score's interval."""
    figure, axis = _figure(7.4, 3.2)
    names = list(map(str, table.index))
    for nth, (name, row) in enumerate(zip(names, table.to_dict("records"), strict=True)):
        reach = [[max(row[score] - row[low], 0)], [max(row[high] - row[score], 0)]]
        style = {"color": _OKABE_ITO[nth % 8], "markeredgecolor": "#222222", "markeredgewidth": 0.5, "capsize": 2.5, "elinewidth": 1}
        axis.errorbar([row[cost]], [row[score]], yerr=reach, fmt=_MARKERS[nth % 8], markersize=7, label=name, **style)
    axis.set(xscale="log", xlabel=xlabel or _plain(cost), ylabel=ylabel or _plain(score))
    axis.xaxis.set_major_locator(MaxNLocator(5))  # round numbers, unlike powers of ten, are always in view
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.grid(axis="y", linewidth=0.4)
    figure.legend(loc="outside right center", fontsize=8)
    return figure


@matplotlib.rc_context(_STYLE)
def attention(
    weights: np.ndarray,
    rows: Sequence[str] | float,
    columns: Sequence[str] | float,
    row_title: str = "query",
    column_title: str = "key",
    title: str = "",
    mel: np.ndarray | None = None,
) -> Figure:
    """Attention weights (Q, K) as a heat map, each row summing to one.

    An axis is labelled by its words, or, given a number, in seconds at that many seconds a step. Columns that are steps
    of a sound may have its log-mel `mel` (T, 80) above them, on the same time.
    """
    weights = np.asarray(weights, float)
    if weights.ndim != 2:
        raise VcemoError(f"expected weights (queries, keys), not an array of shape {weights.shape}", do="choose a head")
    height = min(4.5, 1.4 + 0.28 * weights.shape[0])
    if mel is None:
        figure, axis = _figure(6.4, height)
    else:
        figure, (above, axis) = _figure(6.4, height + 1.5, 2, 1, sharex=True, height_ratios=(1.5, height))
        above.imshow(np.asarray(mel, float).T, origin="lower", aspect="auto", cmap="magma", extent=(-0.5, weights.shape[1] - 0.5, 0, np.shape(mel)[1]))
        above.set(ylabel="mel band", title=title)
        title = ""
    image = axis.imshow(weights, aspect="auto", cmap="viridis", vmin=0, interpolation="nearest")
    axis.spines[:].set_visible(False)
    for which, names, length in (("y", rows, weights.shape[0]), ("x", columns, weights.shape[1])):
        if isinstance(names, int | float):
            ticks = np.linspace(0, length - 1, min(length, 6))
            getattr(axis, f"set_{which}ticks")(ticks - 0.5, [f"{tick * names:.1f} s" for tick in ticks])  # where the step begins
            continue
        if len(names) != length:
            raise VcemoError(f"{len(names)} names for {length} {row_title if which == 'y' else column_title} steps")
        labels, font = _labels(figure, names)
        getattr(axis, f"set_{which}ticks")(range(length), labels, **font)
    axis.set(ylabel=row_title, xlabel=column_title, title=title)
    figure.colorbar(image, ax=axis, label="attention", pad=0.01)
    return figure


# ---------------------------------------------------------------------------------------------- texts

_EDITS = {  # op -> what a reader sees below the character, and its colours
    "=": ("", "#ffffff", "#222222"),
    "~": ("≠", "#fde3c8", "#8a3c00"),
    "-": ("lost", "#d7e8f7", "#004a80"),
    "+": ("new", "#f6dcea", "#8a1c5c"),
}


def alignment(steps: Sequence[tuple[str, str, str]]) -> str:
    """An alignment, as `asr.align` gives it, as HTML: what was said above what was heard, each edit marked by colour and word."""
    rows: dict[str, list[str]] = {"said": [], "heard": [], "": []}
    for op, said, heard in steps:
        mark, back, front = _EDITS[op]
        style = f"style='text-align:center;padding:0 .35em;background:{back};color:{front}'"
        for row, text in zip(rows.values(), (said or "·", heard or "·", mark), strict=True):
            row.append(f"<td lang='zh' {style}>{html.escape(text)}</td>")
    lines = "".join(f"<tr><th style='text-align:left'>{name}</th>{''.join(cells)}</tr>" for name, cells in rows.items())
    return f"<table>{lines}</table>"


# ---------------------------------------------------------------------------------------------- how things work


@matplotlib.rc_context(_STYLE)
def spectrograms(
    panels: Mapping[str, np.ndarray], step: float = 0.01, columns: int = 3, ylabel: str = "mel band", label: str = "log energy"
) -> Figure:
    """Several (T, F) pictures of sounds on one scale of colours and of seconds, `step` seconds a frame."""
    columns = min(columns, len(panels))
    rows, one_height = -(-len(panels) // columns), len({panel.shape[1] for panel in panels.values()}) == 1
    size = (0.9 + 2.4 * columns, 0.6 + 1.7 * rows)
    figure, axes = _figure(*size, rows, columns, squeeze=False, sharex=True, sharey=one_height)
    low, high = np.percentile(np.concatenate([np.ravel(panel) for panel in panels.values()]), [1, 99.9])
    for axis, (name, panel) in zip(axes.flat, panels.items(), strict=False):
        extent = (0, len(panel) * step, 0, panel.shape[1])
        image = axis.imshow(np.asarray(panel, float).T, origin="lower", aspect="auto", cmap="magma", vmin=low, vmax=high, extent=extent)
        axis.set(title=name)
    axes[0][0].set_xlim(0, max(len(panel) for panel in panels.values()) * step)
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    figure.supxlabel("seconds", fontsize=9)
    figure.supylabel(ylabel, fontsize=9)
    figure.colorbar(image, ax=axes, label=label, pad=0.01)
    return figure


@matplotlib.rc_context(_STYLE)
def curves(
    panels: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]], xlabels: Sequence[str] = (), ylabels: Sequence[str] = ()
) -> Figure:
    """Lines, a panel each title: {"title": {"line": (x, y), ...}, ...}; an emotion's line has its own colour."""
    figure, axes = _figure(max(5.2, 0.8 + 3.1 * len(panels)), 2.7, 1, len(panels), squeeze=False)
    for nth, (axis, (title, lines)) in enumerate(zip(axes[0], panels.items(), strict=True)):
        emotions = palette(tuple(lines)) if set(lines) <= set(LABELS) else {}
        for place, (name, (x, y)) in enumerate(lines.items()):
            axis.plot(x, y, color=emotions.get(name, _OKABE_ITO[(4 + place) % 8]), label=name or None, linewidth=1.2)
        axis.set(title=title, xlabel=xlabels[nth] if nth < len(xlabels) else "", ylabel=ylabels[nth] if nth < len(ylabels) else "")
        if any(lines):
            axis.legend(fontsize=7.5, ncols=2 if len(lines) > 4 else 1)
    return figure


@matplotlib.rc_context(_STYLE)
def word_map(vectors: np.ndarray, texts: Sequence[str], groups: Sequence[str], seed: int = 0) -> Figure:
    """Words as dots with their texts beside them: vectors (N, D), brought to two dimensions by their main axes (PCA)."""
    points = to_plane(np.asarray(vectors, float), "pca", seed)
    kinds = list(dict.fromkeys(groups))
    figure, axis = _figure(6.4, 4.2)
    labels, font = _labels(figure, texts)
    for kind in kinds:
        chosen = np.array([group == kind for group in groups])
        axis.plot(*points[chosen].T, _nth(kind, _MARKERS, kinds), color=_nth(kind, _OKABE_ITO, kinds), label=kind, markersize=6)
    scale = np.array([380, 270]) / np.ptp(points, axis=0)  # points of the page a unit of data, about
    taken: list[np.ndarray] = [(point * scale)[[0, 1, 0, 1]] + (-4, -4, 4, 4) for point in points]  # boxes: left, low, right, high
    for point, text in zip(points, labels, strict=True):
        wide = 4.7 * len(text)
        places = [(5, 2), (5, -9), (-5 - wide, 2), (-5 - wide, -9), (-wide / 2, 6), (-wide / 2, -14)]
        boxes = [(point * scale)[[0, 1, 0, 1]] + (x, y, x + wide, y + 8) for x, y in places]
        crowd = [sum(_overlap(box, other) for other in taken) for box in boxes]
        taken.append(boxes[int(np.argmin(crowd))])
        axis.annotate(text, point, xytext=places[int(np.argmin(crowd))], textcoords="offset points", fontsize=8, **font)
    axis.margins(x=0.15)
    axis.set(xticks=[], yticks=[], xlabel="first main axis", ylabel="second main axis")
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """The area that two boxes (left, low, right, high) share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


@matplotlib.rc_context(_STYLE)
def diagram(
    boxes: Mapping[str, tuple[float, float, str]], arrows: Sequence[tuple[str, str]], size: tuple[float, float] = (7.4, 4.2), bold: Sequence[str] = ()
) -> Figure:
    """Boxes with texts, {"name": (x, y, "text")} with x and y from 0 to 1, and arrows between them by name; `bold` ones stand out."""
    figure, axis = _figure(*size)
    drawn = {}
    for name, (x, y, text) in boxes.items():
        style = {"boxstyle": "round,pad=0.45", "facecolor": "#E8F1F8", "edgecolor": _OKABE_ITO[4], "linewidth": 1}
        if name in bold:
            style |= {"facecolor": "#FCE9CC", "edgecolor": _OKABE_ITO[0], "linewidth": 2}
        drawn[name] = axis.text(x, y, text, ha="center", va="center", fontsize=8, bbox=style, zorder=2)
    for start, end in arrows:
        (x0, y0, _), (x1, y1, _) = boxes[start], boxes[end]
        style = {"arrowstyle": "-|>", "color": "#444444", "patchB": drawn[end].get_bbox_patch(), "patchA": drawn[start].get_bbox_patch()}
        axis.annotate("", (x1, y1), (x0, y0), arrowprops=style, zorder=1)
    axis.set(xlim=(0, 1), ylim=(0, 1))
    axis.axis("off")
    return figure


@matplotlib.rc_context(_STYLE)
def plane(panels: Mapping[str, tuple[np.ndarray, np.ndarray | None]], labels: Sequence[str]) -> Figure:
    """Points in the plane on the unit circle, {"title": (points (N, 2), arrows (N, 2) or None)}, lettered, coloured by label.

    The arrows of a panel are drawn to one scale: the longest is 0.8 of a radius.
    """
    names = list(dict.fromkeys(labels))
    colours, markers = palette(names), {name: _nth(name, _MARKERS, names) for name in names}
    figure, axes = _figure(0.9 + 2.5 * len(panels), 2.9, 1, len(panels), squeeze=False)
    for axis, (title, (points, arrows)) in zip(axes[0], panels.items(), strict=True):
        turn = np.linspace(0, 2 * np.pi, 200)
        axis.plot(np.cos(turn), np.sin(turn), color="#BBBBBB", linewidth=0.8)
        for name in names:
            chosen = np.array([label == name for label in labels])
            axis.plot(*np.asarray(points)[chosen].T, markers[name], color=colours[name], markersize=6, label=name)
        for nth, (x, y) in enumerate(np.asarray(points, float)):
            axis.text(1.17 * x, 1.17 * y, chr(ord("a") + nth), ha="center", va="center")
        if arrows is not None:
            longest = max(np.linalg.norm(arrows, axis=1).max(), 1e-12)
            axis.quiver(*np.asarray(points).T, *(0.8 * np.asarray(arrows) / longest).T, angles="xy", scale_units="xy", scale=1, width=0.012, zorder=3)
        axis.set(title=title, xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), xticks=[], yticks=[], aspect="equal")
        axis.spines[:].set_visible(False)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=len(names), fontsize=8)
    return figure
