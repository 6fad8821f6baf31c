"""Figures that serve one or two notebooks or a widget, in the style and palette of `vcemo_lib.plots`."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from itertools import combinations, zip_longest
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter

from vcemo_lib.corpora.labels import LABELS
from vcemo_lib.course.pictures import embedding as embedding
from vcemo_lib.course.pictures import to_plane
from vcemo_lib.errors import VcemoError
from vcemo_lib.plots import COLOURS, MARKERS, SERIES, STYLE, markers, new_figure, palette

if TYPE_CHECKING:
    import pandas as pd

    from vcemo_lib.corpora import Corpus

matplotlib.rcParams["font.family"] = STYLE["font.family"]  # Chinese in a notebook's own figures, too
_EDITS = {  # operation -> its name below the character, and its colours
    "=": ("", "#ffffff", "#222222"),
    "~": ("≠", "#fde3c8", "#8a3c00"),
    "-": ("lost", "#d7e8f7", "#004a80"),
    "+": ("new", "#f6dcea", "#8a1c5c"),
}


@matplotlib.rc_context(STYLE)
def class_balance(parts: Mapping[str, Corpus | Sequence[str]]) -> Figure:
    """How many of each emotion there are in Corpora or sequences of labels: a bar a label, a panel a part."""
    emotions = {name: list(getattr(of, "table", {"emotion": of})["emotion"]) for name, of in parts.items()}
    colours = palette(set().union(*emotions.values()))
    figure, axes = new_figure(2 + 2.4 * len(parts), 2.6, columns=len(parts), sharey=True, squeeze=False)
    for axis, (name, found) in zip(axes[0], emotions.items(), strict=True):
        counts = [found.count(label) for label in colours]
        bars = axis.barh(list(colours), counts, color=colours.values())
        axis.bar_label(bars, [f" {count} ({count / max(1, len(found)):.0%})" for count in counts])
        axis.set(title=f"{name}, {len(found)} utterances", xlabel="utterances", xlim=(0, 1.45 * max(counts)))
    axes[0][0].invert_yaxis()
    return figure


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
def prosody_shift(table: pd.DataFrame, reference: str) -> Figure:
    """Shifts of prosodic features from neutral: a panel for each feature, a dot for each emotion and source.

    Columns: emotion, feature, source, mean_shift, sd_between_speakers; the source `reference` gives bands.
    """
    features, emotions = table["feature"].unique(), list(palette(table["emotion"]))
    size = (1.2 + 2.1 * len(features), 0.9 + 0.42 * len(emotions))
    figure, axes = new_figure(*size, columns=len(features), sharey=True, squeeze=False)
    offsets = np.linspace(-0.2, 0.2, table["source"].nunique())
    for axis, feature in zip(axes[0], features, strict=True):
        axis.use_sticky_edges = False  # bands keep clear of the frame
        sources = table[table["feature"] == feature].groupby("source", sort=False)
        for nth, (name, rows) in enumerate(sources):
            mean, deviation = rows[["mean_shift", "sd_between_speakers"]].to_numpy(float).T
            where = offsets[nth] + [emotions.index(emotion) for emotion in rows["emotion"]]
            if name == reference:
                band = {"height": 0.3, "color": "#BBBBBB", "label": f"{name} ± spread"}
                axis.barh(where, 2 * deviation, left=mean - deviation, **band)
                axis.plot(mean, where, "|", color="black", markersize=9)
            else:
                style = {"fmt": MARKERS[nth + 2], "color": SERIES[nth], "markersize": 5}
                axis.errorbar(mean, where, xerr=deviation, label=name, **style)
        axis.axvline(0, color="#888888", linewidth=0.8)
        axis.set(title=feature.replace("_", " "), yticks=range(len(emotions)), yticklabels=emotions)
    axes[0][0].invert_yaxis()
    figure.supxlabel("shift from neutral (mean; whisker: a standard deviation between speakers)", fontsize=9)
    handles = axes[0][0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper right", ncols=len(offsets), fontsize=8)
    return figure


def alignment(steps: Sequence[tuple[str, str, str]]) -> str:
    """An alignment of two texts, as `asr.align` gives it, as an HTML table with its edits marked."""
    rows = {name: f"<th style='text-align:left'>{name}</th>" for name in ("said", "heard", "")}
    for operation, said, heard in steps:
        mark, back, front = _EDITS[operation]
        style = f"style='text-align:center;padding:0 .35em;background:{back};color:{front}'"
        for row, text in {"said": said or "·", "heard": heard or "·", "": mark}.items():
            rows[row] += f"<td lang='zh' {style}>{html.escape(text)}</td>"
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows.values())}</table>"


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
def attention(
    weights: np.ndarray, rows: Sequence[str] | float, columns: Sequence[str] | float,
    row_title: str = "query", column_title: str = "key", title: str = "", mel: np.ndarray | None = None,
) -> Figure:  # fmt: skip
    """Attention weights (Q, K), below the log-mel (T, 80) of the sound whose steps are the columns, if given.

    An axis is labelled by its words or, given a number, in seconds at that many seconds a step.
    """
    weights = np.asarray(weights, float)
    if weights.ndim != 2:
        raise VcemoError(f"expected weights (Q, K), not of shape {weights.shape}", do="choose a head")
    height = min(4.5, 1.4 + 0.28 * len(weights))
    heights = (height,) if mel is None else (1.5, height)
    layout: Any = {"rows": len(heights), "height_ratios": heights, "sharex": True, "squeeze": False}
    figure, axes = new_figure(6.4, sum(heights), **layout)
    top, axis = axes[0, 0], axes[-1, 0]
    if mel is not None:
        extent = (-0.5, weights.shape[1] - 0.5, 0, np.shape(mel)[1])
        top.imshow(np.asarray(mel).T, origin="lower", aspect="auto", cmap="magma", extent=extent)
        top.set(ylabel="mel band")
    top.set(title=title)
    image = axis.imshow(weights, aspect="auto", cmap="viridis", vmin=0, interpolation="nearest")
    axis.spines[:].set_visible(False)
    sides = (axis.yaxis, rows, row_title), (axis.xaxis, columns, column_title)
    for (side, names, label), steps in zip(sides, weights.shape, strict=True):
        if isinstance(names, int | float):
            ticks = np.linspace(0, steps - 1, min(steps, 6))  # a label stands where its step begins
            side.set_ticks(ticks - 0.5, [f"{tick * names:.1f} s" for tick in ticks])
        elif len(names) == steps:
            side.set_ticks(range(steps), names)
        else:
            raise VcemoError(f"{len(names)} names for {steps} {label} steps")
        side.set_label_text(label)
    figure.colorbar(image, ax=axis, label="attention", pad=0.01)
    return figure


@matplotlib.rc_context(STYLE)
def plane(panels: Mapping[str, tuple[np.ndarray, np.ndarray | None]], labels: Sequence[str]) -> Figure:
    """Lettered points on the unit circle, {"title": (points (N, 2), arrows (N, 2) or None)}.

    The arrows of a panel are drawn to one scale: the longest is 0.8 of a radius.
    """
    names = list(dict.fromkeys(labels))
    figure, axes = new_figure(0.9 + 2.5 * len(panels), 2.9, columns=len(panels), squeeze=False)
    for axis, (title, (points, arrows)) in zip(axes[0], panels.items(), strict=True):
        points, angle = np.asarray(points, float), np.linspace(0, 2 * np.pi, 200)
        axis.plot(np.cos(angle), np.sin(angle), color="#BBBBBB", linewidth=0.8)
        for name in names:
            own = points[np.asarray(labels) == name]
            axis.scatter(*own.T, 36, palette(names)[name], marker=markers(names)[name], zorder=2, label=name)
        for nth, (x, y) in enumerate(1.17 * points):
            axis.text(x, y, chr(ord("a") + nth), ha="center", va="center")
        if arrows is not None:
            scaled = 0.8 * np.asarray(arrows) / max(np.linalg.norm(arrows, axis=1).max(), 1e-12)
            style = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.012, "zorder": 3}
            axis.quiver(*points.T, *scaled.T, **style)
        axis.set(title=title, xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), xticks=[], yticks=[], aspect="equal")
        axis.spines[:].set_visible(False)
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(names), fontsize=8)
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
