"""Figures that serve one or two notebooks or a widget, in the style and palette of `vcemo_lib.plots`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, zip_longest
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter

from vcemo_lib.corpora.labels import LABELS
from vcemo_lib.course.pictures import to_plane
from vcemo_lib.errors import VcemoError
from vcemo_lib.plots import COLOURS, MARKERS, SERIES, STYLE, markers, new_figure, palette

if TYPE_CHECKING:
    import pandas as pd


matplotlib.rcParams["font.family"] = STYLE["font.family"]  # Chinese in a notebook's own figures, too


@matplotlib.rc_context(STYLE)
def spread(table: pd.DataFrame, value: str, by: str, order: Sequence[str] = (), xlabel: str = "") -> Figure:
    """A box for each group of the column `by`: quartiles and median of `value`, whiskers from 5 to 95 %."""
    groups = {str(name): rows[value].dropna().to_numpy(float) for name, rows in table.groupby(by)}
    names = [name for name in (order or palette(groups)) if len(groups.get(name, ()))]
    if not names:
        raise VcemoError(f"nothing to draw: no {value} by {by}")
    colours = palette(names) if set(names) <= set(LABELS) else dict.fromkeys(names, COLOURS[6])
    figure, axis = new_figure(6, 0.8 + 0.34 * len(names))
    boxes = axis.boxplot(
        [groups[name] for name in names], positions=range(len(names)), orientation="horizontal", whis=(5, 95),
        showfliers=False, patch_artist=True, widths=0.6, medianprops={"color": "black"},
    )["boxes"]  # fmt: skip
    for name, box in zip(names, boxes, strict=True):
        box.set(facecolor=colours[name], alpha=0.6, linewidth=0.8)
    axis.set_yticks(range(len(names)), [f"{name} ({len(groups[name])})" for name in names])
    axis.set(xlabel=xlabel or value.replace("_", " "))
    axis.invert_yaxis()
    axis.grid(axis="x", linewidth=0.4)
    return figure


@matplotlib.rc_context(STYLE)
def spectrograms(
    panels: Mapping[str, np.ndarray], step: float = 0.01, columns: int = 3, ylabel: str = "mel band",
    label: str = "log energy",
) -> Figure:  # fmt: skip
    """Several (T, F) pictures of sounds on one scale of colours and of seconds, `step` seconds a frame."""
    columns = min(columns, len(panels))
    rows, sharey = -(-len(panels) // columns), len({panel.shape[1] for panel in panels.values()}) == 1
    layout: Any = {"rows": rows, "columns": columns, "squeeze": False, "sharex": True, "sharey": sharey}
    figure, axes = new_figure(0.9 + 2.4 * columns, 0.6 + 1.7 * rows, **layout)
    low, high = np.percentile(np.concatenate([np.ravel(panel) for panel in panels.values()]), [1, 99.9])
    for axis, (name, panel) in zip(axes.flat, panels.items(), strict=False):
        style = {"origin": "lower", "aspect": "auto", "cmap": "magma", "vmin": low, "vmax": high}
        extent = (0, len(panel) * step, 0, panel.shape[1])
        image = axis.imshow(np.asarray(panel, float).T, extent=extent, **style)
        axis.set(title=name)
    axes[0, 0].set_xlim(0, max(map(len, panels.values())) * step)
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    figure.supxlabel("seconds", fontsize=9)
    figure.supylabel(ylabel, fontsize=9)
    figure.colorbar(image, ax=axes, label=label, pad=0.01)
    return figure


@matplotlib.rc_context(STYLE)
def curves(
    panels: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]], xlabels: Sequence[str] = (),
    ylabels: Sequence[str] = (),
) -> Figure:  # fmt: skip
    """Lines in panels, {"title": {"line": (x, y), ...}, ...}; emotions have their own colours."""
    size = (max(5.2, 0.8 + 3.1 * len(panels)), 2.7)
    figure, axes = new_figure(*size, columns=len(panels), squeeze=False)
    axis: Any
    for axis, title, xlabel, ylabel in zip_longest(axes[0], panels, xlabels, ylabels, fillvalue=""):
        lines = panels[title]
        for nth, (name, (x, y)) in enumerate(lines.items()):
            colour = palette()[name] if set(lines) <= set(LABELS) else SERIES[nth % 8]
            axis.plot(x, y, color=colour, label=name or None, linewidth=1.2)
        axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
        if any(lines):
            axis.legend(fontsize=7.5, ncols=2 if len(lines) > 4 else 1)
    return figure


@matplotlib.rc_context(STYLE)
def word_map(vectors: np.ndarray, texts: Sequence[str], groups: Sequence[str]) -> Figure:
    """Words as dots with their texts beside them: vectors (N, D), brought to two dimensions by PCA."""
    points, kinds = to_plane(vectors), np.asarray(groups)
    figure, axis = new_figure(6.4, 4.2)
    for kind, colour in palette(groups).items():
        axis.scatter(*points[kinds == kind].T, 36, colour, marker=markers(groups)[kind], label=kind)
    # A text goes where it covers least of dots and earlier texts: boxes (left, low, right, high) in points.
    dots = points * np.array([380, 270]) / np.ptp(points, axis=0)
    taken = np.hstack([dots - 4, dots + 4])
    for text, point, dot in zip(texts, points, dots, strict=True):
        wide = 4.7 * len(text)
        places = [(5, 2), (5, -9), (-5 - wide, 2), (-5 - wide, -9), (-wide / 2, 6), (-wide / 2, -14)]
        boxes = np.hstack([dot + places, dot + places + (wide, 8)])
        shared = np.minimum(boxes[:, None, 2:], taken[:, 2:]) - np.maximum(boxes[:, None, :2], taken[:, :2])
        best = shared.clip(0).prod(axis=-1).sum(axis=-1).argmin()
        taken = np.vstack([taken, boxes[best]])
        axis.annotate(text, point, places[best], textcoords="offset points", fontsize=8)
    axis.margins(x=0.15)
    axis.set(xticks=[], yticks=[], xlabel="first main axis", ylabel="second main axis")
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


@matplotlib.rc_context(STYLE)
def diagram(
    boxes: Mapping[str, tuple[float, float, str]], arrows: Sequence[tuple[str, str]],
    size: tuple[float, float] = (7.4, 4.2), bold: Sequence[str] = (),
) -> Figure:  # fmt: skip
    """Boxes, {"name": (x, y, "text")} with x, y from 0 to 1, and arrows between them; `bold` stand out."""
    figure, axis = new_figure(*size)
    patches = {}
    for name, (x, y, text) in boxes.items():
        fill, edge, width = ("#FCE9CC", COLOURS[0], 2) if name in bold else ("#E8F1F8", COLOURS[4], 1)
        box = {"boxstyle": "round,pad=0.45", "facecolor": fill, "edgecolor": edge, "linewidth": width}
        drawn = axis.text(x, y, text, ha="center", va="center", fontsize=8, bbox=box, zorder=2)
        patches[name] = drawn.get_bbox_patch()
    for start, end in arrows:
        style = {"arrowstyle": "-|>", "color": "#444444", "patchA": patches[start], "patchB": patches[end]}
        axis.annotate("", boxes[end][:2], boxes[start][:2], arrowprops=style, zorder=1)
    axis.set(xlim=(0, 1), ylim=(0, 1))
    axis.axis("off")
    return figure


@matplotlib.rc_context(STYLE)
def critical_difference(
    scores: Mapping[str, float], pairs: pd.DataFrame, level: float = 0.05, xlabel: str = ""
) -> Figure:
    """Scores, a row each, the best on top; a bar joins those not shown to differ (after Demšar 2006).

    pairs  a row for each pair, as `comparison.all_pairs` gives it: a, b, p_holm; below `level` they differ
    """
    names = sorted(scores, key=scores.__getitem__)
    x, rows = np.array([scores[name] for name in names]), range(len(names))
    differ = {frozenset(pair) for pair in pairs.loc[pairs["p_holm"] < level, ["a", "b"]].to_numpy()}
    alike = {  # runs of neighbours, from the first to the last, no two of whom differ
        (i, j) for i, j in combinations(rows, 2)
        if not any(frozenset(pair) in differ for pair in combinations(names[i : j + 1], 2))
    }  # fmt: skip
    joined = [(i, j) for i, j in sorted(alike) if not {(i - 1, j), (i, j + 1)} & alike]
    figure, axis = new_figure(6.4, 0.9 + 0.26 * len(names) + 0.13 * len(joined))
    axis.plot(x, rows, MARKERS[0], color=COLOURS[4])
    for nth, (first, last) in enumerate(joined, start=1):
        axis.plot(x[[first, last]], [-0.5 * nth] * 2, color=COLOURS[5], linewidth=4, solid_capstyle="butt")
    axis.set_yticks(rows, [f"{name} {scores[name]:.1%}" for name in names])
    axis.set_xlabel(xlabel)
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.grid(linewidth=0.4)
    return figure


@matplotlib.rc_context(STYLE)
def trade_off(table: pd.DataFrame, cost: str, xlabel: str = "", ylabel: str = "") -> Figure:
    """What a score costs: a marker for each row at its cost (log scale) and `value`, from `low` to `high`."""
    figure, axis = new_figure(7.4, 3.2)
    for nth, (name, row) in enumerate(table.iterrows()):
        reach = [[max(row["value"] - row["low"], 0)], [max(row["high"] - row["value"], 0)]]
        style = {"color": COLOURS[nth % 8], "fmt": MARKERS[nth % 8], "markersize": 7, "capsize": 2.5}
        axis.errorbar(row[cost], row["value"], yerr=reach, label=name, markeredgecolor="#222222", **style)
    axis.set(xscale="log", xlabel=xlabel or cost.replace("_", " "), ylabel=ylabel)
    axis.xaxis.set_major_locator(MaxNLocator(5))  # round numbers, unlike powers of ten, are always in view
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.grid(axis="y", linewidth=0.4)
    figure.legend(loc="outside right center", fontsize=8)
    return figure
