"""Notebook 07: whose gain it is, recall and precision, a hop of attention, and many tests at once."""

import numpy as np

from vcemo_lib.course.exercises import Case, Notebook

notebook = Notebook("07")
QUIZ = notebook.quiz


@notebook.exercise(
    cases=((60.0, 61.0, 64.0, 66.0), (63.27, 65.21, 66.99, 67.40), (50.0, 58.0, 60.0, 59.0)),
    tolerance=0.006,  # rounded to whole per cent
    mistakes=dict(
        architecture=lambda umons, two, three, supcon: (two - umons) / (three - umons),
        supcon=lambda umons, two, three, supcon: (supcon - two) / (supcon - umons),
        points=lambda umons, two, three, supcon: three - two,
        of_accuracy=lambda umons, two, three, supcon: (three - two) / three,
        per_cent=lambda umons, two, three, supcon: 100 * (three - two) / (three - umons),
    ),
)
def share(umons, two_inputs, three_inputs, with_supcon):  # accuracies
    return (three_inputs - two_inputs) / (three_inputs - umons)


@notebook.exercise(
    cases=(
        (np.array([[30, 5, 5], [10, 40, 10], [8, 1, 1]]),),
        (np.array([[9, 1], [4, 2]]),),
        (np.array([[3, 0, 1, 0], [2, 8, 0, 0], [0, 5, 20, 5], [1, 0, 0, 9]]),),
    ),
    mistakes=dict(
        precision=lambda table: (table.diagonal() / table.sum(axis=0)).mean(),
        accuracy=lambda table: table.diagonal().sum() / table.sum(),
        classes=lambda table: table.diagonal() / table.sum(axis=1),
        f1=lambda table: (2 * table.diagonal() / (table.sum(axis=0) + table.sum(axis=1))).mean(),
        mean=lambda table: table.diagonal().mean() / table.sum(),
    ),
)
def recall(table):  # (K, K) counts, true classes in rows
    return (table.diagonal() / table.sum(axis=1)).mean()


def _sources() -> list[Case]:
    """(query, source, mask): what lies in the padding is junk, and padding need not stand at the end."""
    rng = np.random.default_rng(0)
    masks = ((1, 1, 1, 1, 0, 0), (1, 0, 1), (0, 1, 1, 0, 1))
    return [(rng.normal(size=8), rng.normal(size=(len(mask), 8)), np.array(mask, bool)) for mask in masks]


def _softmax(scores: np.ndarray, mask: np.ndarray | bool = True) -> np.ndarray:
    weights = np.where(mask, np.exp(scores), 0.0)
    return weights / weights.sum()


@notebook.exercise(
    cases=_sources,
    mistakes=dict(
        unmasked=lambda query, source, mask: _softmax(source @ query) @ source,
        zeroed=lambda query, source, mask: _softmax(source @ query * mask) @ source,
        late=lambda query, source, mask: (_softmax(source @ query) * mask) @ source,
        scaled=lambda query, source, mask: _softmax(source @ query / 8**0.5, mask) @ source,
        plain_mean=lambda query, source, mask: source[mask].mean(axis=0),
        best=lambda query, source, mask: source[np.where(mask, source @ query, -np.inf).argmax()],
        scores=lambda query, source, mask: (source @ query * mask) @ source,
    ),
)
def hop(query, source, mask):  # (d,), (T, d), (T,) True where real -> (d,)
    scores = np.where(mask, source @ query, -np.inf)
    weights = np.exp(scores - scores.max())
    return weights / weights.sum() @ source


_P_VALUES = ([0.04, 0.001, 0.012, 0.3, 0.011], [0.6, 0.04, 0.9], [0.02], [0.5, 0.5, 0.004, 0.03])


def _paid(p: np.ndarray) -> np.ndarray:
    """Holm's products, in ascending order of p."""
    return np.sort(p) * np.arange(len(p), 0, -1)


def _back(p: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    """Values in ascending order of p, in the order of the tests."""
    return ascending[np.argsort(np.argsort(p))]


def _from_above(x: np.ndarray) -> np.ndarray:
    return np.minimum.accumulate(x[::-1])[::-1]


@notebook.exercise(
    cases=[(np.array(p),) for p in _P_VALUES],
    mistakes=dict(
        bonferroni=lambda p: np.minimum(p * len(p), 1),
        sorted=lambda p: np.minimum(np.maximum.accumulate(_paid(p)), 1),
        steps=lambda p: _back(p, np.minimum(_paid(p), 1)),
        uncapped=lambda p: _back(p, np.maximum.accumulate(_paid(p))),
        hochberg=lambda p: _back(p, _from_above(_paid(p))),
        benjamini=lambda p: _back(p, _from_above(np.sort(p) * len(p) / np.arange(1, len(p) + 1))),
        unsorted=lambda p: np.minimum(np.maximum.accumulate(p * np.arange(len(p), 0, -1)), 1),
    ),
)
def holm(p):  # (m,) -> (m,), in the same order
    order = np.argsort(p)
    paid = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(paid, 1)
    return adjusted
