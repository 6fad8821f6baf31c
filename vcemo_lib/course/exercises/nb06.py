"""Notebook 06: what the paper's table says of BERT, what a printed percentage gives away, a fair resample."""

from collections.abc import Callable
from typing import Any

import numpy as np

from vcemo_lib.course.exercises import Notebook

notebook = Notebook("06")
QUIZ = notebook.quiz


_ROWS = (
    *("Embeddings", "BERT", "Acoustic", "Embeddings + BERT", "Embeddings + Acoustic", "BERT + Acoustic"),
    "Embeddings + BERT + Acoustic",
)
_TABLES = (  # accuracies by what was read: two tables that no paper has, and the paper's
    *((50.0, 52.0, 40.0, 55.5, 61.0, 60.0, 66.0), (61.2, 44.1, 58.0, 60.0, 63.3, 59.9, 63.0)),
    (57.40, 53.29, 53.18, 57.26, 65.21, 61.23, 69.52),
)


@notebook.exercise(
    cases=[(dict(zip(_ROWS, table, strict=True)),) for table in _TABLES],
    tolerance=0.045,  # rounded to one decimal
    mistakes=dict(
        sign=lambda a: a["Embeddings"] - a["Embeddings + BERT"],
        replaced=lambda a: a["BERT"] - a["Embeddings"],
        with_voice=lambda a: a[_ROWS[-1]] - a["Embeddings + Acoustic"],
        to_voice=lambda a: a["BERT + Acoustic"] - a["Acoustic"],
        to_bert=lambda a: a["Embeddings + BERT"] - a["BERT"],
        three_pairs=lambda a: np.mean([a[_ROWS[i]] - a[_ROWS[j]] for i, j in ((3, 0), (5, 2), (6, 4))]),
    ),
)
def added(accuracy):  # {"Embeddings": 57.40, "BERT": ..., ...}, the rows of Table 3
    return accuracy["Embeddings + BERT"] - accuracy["Embeddings"]


def _whole(printed: float, n: int, within: float) -> int | None:
    """The nearest whole number of n, if its percentage is as close as that to the printed one."""
    right = round(printed / 100 * n)
    return right if abs(100 * right / n - printed) <= within else None


@notebook.exercise(
    cases=(
        *((percent, 730) for percent in (57.40, 61.23, 69.52, 53.18, 53.29)),
        *((65.51, 748), (100.0, 3), (33.33, 3), (33.0, 3), (0.0, 10)),
    ),
    mistakes=dict(
        never_none=lambda printed, n: round(printed / 100 * n),
        cut=lambda printed, n: int(printed / 100 * n),
        fraction=lambda printed, n: printed / 100 * n,
        generous=lambda printed, n: _whole(printed, n, 0.05),
        exact=lambda printed, n: _whole(printed, n, 1e-9),
    ),
)
def counts(printed, n):
    right = round(printed / 100 * n)
    return right if f"{100 * right / n:.2f}" == f"{printed:.2f}" else None


_SPEAKERS = np.repeat(list("abcde"), (2, 3, 4, 6, 9))  # whose clip it is: some speakers have more clips
_NOBODY = np.zeros(len(_SPEAKERS), bool)
_DRAWS = 40


def _judge_resample(answer: Callable[..., Any]) -> str | None:
    """Find out which clips an answer draws.

    Where model a is right on the clips of one speaker only, and model b never, the difference is the share of
    this speaker in the resample. One seed gives one draw, so a call for each speaker shows all of it.
    """

    def difference(a: np.ndarray, b: np.ndarray, seed: int) -> float:
        return float(answer(a.copy(), b.copy(), _SPEAKERS.copy(), np.random.default_rng(seed)))

    same = np.random.default_rng(0).random(len(_SPEAKERS)) < 0.6
    if any(abs(difference(same, same, seed)) > 1e-9 for seed in range(10)):
        return "apart"
    names, clips = np.unique(_SPEAKERS, return_counts=True)
    rows = [[difference(name == _SPEAKERS, _NOBODY, seed) for name in names] for seed in range(_DRAWS)]
    shares = np.array(rows)  # (draws, speakers)
    if (shares < -1e-9).any():
        return "sign"
    if not np.allclose(shares.sum(axis=1), 1):
        return "seedless"
    if np.allclose(shares, clips / clips.sum()):
        return "nothing"
    if np.allclose(shares, shares[0]):
        return "constant"
    if (shares > 0).sum(axis=1).max() < len(names) - 1:  # in forty draws, four of five come up together
        return "size"
    if _whole_numbers(shares * len(names)):
        return "means"
    times = shares / clips
    times /= times.sum(axis=1, keepdims=True)  # how often each speaker was drawn, of all draws
    if all(np.allclose(row[row > 0], row.max()) for row in times):
        return "once"
    drawn = next((number for number in range(1, 60) if _whole_numbers(times * number)), None)
    if drawn != len(names):
        return "size" if drawn else "clips"
    if np.abs(times.mean(axis=0) * len(names) - 1).max() > 0.6:
        return "unequal"
    for clip in (0, 4, 20):  # does each clip of a speaker come along as often as the speaker?
        own, alone = names == _SPEAKERS[clip], np.arange(len(_SPEAKERS)) == clip
        found = [difference(alone, _NOBODY, seed) for seed in range(10)]
        if not np.allclose(found, shares[:10, own][:, 0] / clips[own]):
            return "within"
    return None


def _whole_numbers(x: np.ndarray) -> bool:
    return np.allclose(x, np.round(x))


@notebook.exercise(judge=_judge_resample)
def resample(a, b, speakers, rng):  # a, b (N,) right or not; speakers (N,)
    names = np.unique(speakers)
    drawn = rng.choice(names, size=len(names))  # with replacement
    rows = np.concatenate([np.flatnonzero(speakers == name) for name in drawn])
    return a[rows].mean() - b[rows].mean()
