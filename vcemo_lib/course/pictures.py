"""Figures that the widgets' still twins share with the notebooks: a clip's timeline, a map of utterances."""

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
def embedding(
    points: np.ndarray | Mapping[str, np.ndarray], emotions: Sequence[str], method: str = "pca",
    labels: Sequence[str] = (),
) -> Figure:  # fmt: skip
    """Utterances as dots: vectors (N, D), or several of the same utterances by name, brought to a plane."""
    panels = points if isinstance(points, Mapping) else {"": points}
    labels = list(labels or palette(emotions))
    figure, axes = new_figure(1.0 + 3.2 * len(panels), 3.3, columns=len(panels), squeeze=False)
    for axis, (name, vectors) in zip(axes[0], panels.items(), strict=True):
        plane = to_plane(vectors, method)
        for label, colour in palette(labels).items():
            own, marker = plane[np.asarray(emotions) == label], markers(labels)[label]
            axis.scatter(*own.T, 22, colour, marker=marker, alpha=0.75, linewidth=0, label=label)
        axis.set(title=name, xticks=[], yticks=[])
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside right center")
    return figure


def to_plane(vectors: np.ndarray, method: str = "pca") -> np.ndarray:
    """Vectors (N, D) as points (N, 2), by "pca" or "tsne"; points stay as they are."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    vectors = np.asarray(vectors, float)
    if vectors.shape[1] == 2:
        return vectors
    tsne = TSNE(perplexity=min(30, (len(vectors) - 1) / 3), init="pca", random_state=0)
    return (tsne if method == "tsne" else PCA(2, random_state=0)).fit_transform(vectors)
