"""Figures of the widgets' still twins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from vcemo_lib.corpora.labels import LABELS
from vcemo_lib.plots import STYLE, mark_words, markers, new_figure, palette


@matplotlib.rc_context(STYLE)
def timeline(
    peaks: Sequence[float], mel: np.ndarray, seconds: float, times: Sequence[float] = (),
    probabilities: Sequence[Sequence[float]] = (), labels: Sequence[str] = LABELS,
    words: Sequence[Mapping[str, Any]] = (),
) -> Figure:  # fmt: skip
    """A clip over its seconds: waveform, log-mel, and the probabilities (T, C) of what is heard by `times`.

    `peaks` are the loudness of equal stretches (0 to 1), `mel` is a picture (bands, frames, 3), `words` have
    text, start and end.
    """
    rows = 3 if len(times) else 2
    layout: Any = {"rows": rows, "sharex": True, "height_ratios": (1, 1.5, 1.9)[:rows]}
    figure, (top, middle, *lowest) = new_figure(7, 1.15 * rows + 0.9, **layout)
    loudness = np.asarray(peaks)
    at = (np.arange(len(loudness)) + 0.5) * seconds / max(1, len(loudness))
    top.fill_between(at, -loudness, loudness, color="#444444", linewidth=0)
    top.set(yticks=[], ylabel="wave", xlim=(0, seconds))
    mark_words(top, [(w["text"], w["start"], w["end"]) for w in words if w["start"] is not None])
    middle.imshow(mel, aspect="auto", extent=(0, seconds, 0, 1), interpolation="nearest")
    middle.set(yticks=[], ylabel="log-mel")
    for axis in lowest:
        for label, row in zip(labels, np.transpose(probabilities), strict=True):
            style = {"color": palette(labels)[label], "marker": markers(labels)[label], "markersize": 4}
            axis.plot(times, row, label=label, clip_on=False, linewidth=1.3, **style)
        axis.set(ylim=(-0.03, 1.03), ylabel="probability,\ngiven the clip so far")
        axis.legend(fontsize=7.5, loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.axes[-1].set(xlabel="seconds")
    return figure


@matplotlib.rc_context(STYLE)
def emotion_map(points: np.ndarray, emotions: Sequence[str], labels: Sequence[str] = LABELS) -> Figure:
    """Utterances as dots, points (N, 2), in the colour and with the marker of their emotion."""
    figure, axis = new_figure(4.2, 3.3)
    for label in labels:
        own = points[np.asarray(emotions) == label]
        style = {"color": palette(labels)[label], "marker": markers(labels)[label]}
        axis.scatter(*own.T, 22, alpha=0.75, linewidth=0, label=label, **style)
    axis.set(xticks=[], yticks=[])
    figure.legend(loc="outside right center")
    return figure
