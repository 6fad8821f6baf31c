"""Scores, confusion, intervals, and paired tests.

WA is the share of utterances that are right (accuracy). UA is the mean of the classes' recalls, so every
emotion counts the same. The literature sometimes swaps the two names; here they mean this (section 4.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vcemo_lib.errors import VcemoError

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("wa", "ua", "f1_weighted", "f1_macro")
Classes = int | Sequence[str] | None  # how many there are, or their names; by default as many as occur


def counts(y_true: np.ndarray, y_pred: np.ndarray, classes: int) -> np.ndarray:
    """Class indices (N,), (N,) -> confusion counts (C, C), true classes in rows."""
    y_true, y_pred = _indices(y_true, classes), _indices(y_pred, classes)
    if len(y_true) != len(y_pred):
        what = f"{len(y_true)} labels and {len(y_pred)} predictions"
        raise VcemoError(what, do="give one prediction a label")
    return np.bincount(y_true * classes + y_pred, minlength=classes**2).reshape(classes, classes)


def from_counts(table: np.ndarray) -> dict[str, np.ndarray]:
    """Confusion counts (..., C, C), possibly many at once -> each metric (...).

    A class that never occurs counts in neither mean, as in scikit-learn's balanced accuracy.
    """
    table = np.asarray(table, dtype=float)
    right = np.diagonal(table, axis1=-2, axis2=-1)  # (..., C)
    true, predicted = table.sum(-1), table.sum(-2)  # (..., C)
    total = np.maximum(true.sum(-1), 1)
    occurs = true > 0
    recall = right / np.maximum(true, 1e-12)
    f1 = 2 * right / np.maximum(true + predicted, 1e-12)
    return {
        "wa": right.sum(-1) / total,
        "ua": (recall * occurs).sum(-1) / np.maximum(occurs.sum(-1), 1),
        "f1_weighted": (f1 * true).sum(-1) / total,
        "f1_macro": (f1 * occurs).sum(-1) / np.maximum(occurs.sum(-1), 1),
    }


def scores(y_true: np.ndarray, y_pred: np.ndarray, classes: Classes = None) -> dict[str, float]:
    """Class indices (N,), (N,) -> {"wa", "ua", "f1_weighted", "f1_macro"}.

    The paper's F1 must be the weighted one: over six classes, two of them with 2.5 % of the data, its
    macro F1 could not follow the accuracy as closely as Table 1 prints.
    """
    table = counts(y_true, y_pred, _number(classes, y_true, y_pred))
    return {name: float(value) for name, value in from_counts(table).items()}


def confusion(
    y_true: np.ndarray, y_pred: np.ndarray, classes: Sequence[str], share: bool = False
) -> pd.DataFrame:
    """Counts, or with `share` each row's shares: true emotions in rows, predicted ones in columns."""
    import pandas as pd

    table = counts(y_true, y_pred, len(classes))
    values = table / np.maximum(table.sum(1, keepdims=True), 1) if share else table
    return pd.DataFrame(values, pd.Index(classes, name="true"), pd.Index(classes, name="predicted"))


def majority(y_train: np.ndarray, y_test: np.ndarray, classes: Classes = None) -> dict[str, float]:
    """The scores of always naming the commonest emotion of the training part."""
    return scores(y_test, np.full(len(y_test), np.bincount(y_train).argmax()), classes)


def bootstrap(
    y_true: np.ndarray, y_pred: np.ndarray, groups: Sequence | None = None, n: int = 2000, seed: int = 0,
    level: float = 0.95, classes: Classes = None,
) -> pd.DataFrame:
    """Every metric with its percentile interval, from `n` resamples of the test part.

    With `groups` (speakers, say) whole groups are drawn, as the clips of one voice are right or wrong
    together; without, single utterances. Columns: value, low, high; one row a metric.
    """
    import pandas as pd

    size = _number(classes, y_true, y_pred)
    clusters = _by_group(y_true, y_pred, groups, size)  # (G, C, C)
    draws = from_counts(_resample(clusters, _weights(len(clusters), n, seed)))  # metric -> (n,)
    value = from_counts(clusters.sum(0))
    rows = {m: [float(value[m]), *_percentiles(draws[m], level)] for m in METRICS}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high"])


def paired_bootstrap(
    y_true: np.ndarray, a: np.ndarray, b: np.ndarray, groups: Sequence | None = None, n: int = 2000,
    seed: int = 0, level: float = 0.95, classes: Classes = None,
) -> pd.DataFrame:
    """Is model a better than model b on the same utterances? Both are scored on the same resamples.

    Columns: a, b, difference (a - b), its percentile interval low, high, and p: twice the smaller share of
    resamples on either side of zero. Several seeds are pooled by laying their predictions end to end and
    repeating the groups: a resampled speaker then takes all of its runs along.
    """
    import pandas as pd

    size = _number(classes, y_true, a, b)
    groups = np.arange(len(y_true)) if groups is None else groups
    clusters = [_by_group(y_true, y_pred, groups, size) for y_pred in (a, b)]  # (G, C, C) each
    weights = _weights(len(clusters[0]), n, seed)  # (n, G), the same for both
    draws_a, draws_b = (from_counts(_resample(counted, weights)) for counted in clusters)
    value_a, value_b = (from_counts(counted.sum(0)) for counted in clusters)
    rows = {}
    for m in METRICS:
        difference = draws_a[m] - draws_b[m]  # (n,)
        p = min(1.0, 2 * (1 + min((difference <= 0).sum(), (difference >= 0).sum())) / (1 + n))
        of_a, of_b = float(value_a[m]), float(value_b[m])
        rows[m] = [of_a, of_b, of_a - of_b, *_percentiles(difference, level), p]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["a", "b", "difference", "low", "high", "p"])


def interval(
    statistic: Callable[[np.ndarray], float], groups: Sequence, n: int = 1000, seed: int = 0,
    level: float = 0.95,
) -> dict[str, float]:
    """Any number that is computed from rows, with its percentile interval: {"value", "low", "high"}.

    `statistic` takes row indices and gives a number; `groups` (N,) says whose rows they are (speakers): whole
    groups are drawn with replacement. A resample whose number does not exist (NaN) is left out.
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    rows = [np.flatnonzero(group == g) for g in range(group.max() + 1)]
    rng = np.random.default_rng(seed)
    chosen = (rng.integers(len(rows), size=len(rows)) for _ in range(n))
    draws = [statistic(np.concatenate([rows[g] for g in drawn])) for drawn in chosen]
    low, high = _percentiles(draws, level)
    return {"value": float(statistic(np.arange(len(group)))), "low": low, "high": high}


def fleiss_kappa(votes: np.ndarray) -> float:
    """Agreement of raters beyond chance, from votes (N, C): how many raters chose each class for each item.

    1 is full agreement, 0 that of raters who draw labels from the overall shares. Every item needs the same
    number of votes, two at least. NaN where all votes are for one class. Source: Fleiss (1971).
    """
    votes = np.asarray(votes, float)
    raters = votes.sum(1)
    if len(votes) == 0 or raters.min() < 2 or raters.min() != raters.max():
        raise VcemoError("every item needs the same number of votes, two at least", do="leave out the others")
    pairs = (votes * (votes - 1)).sum(1) / (raters * (raters - 1))  # (N,): share of agreeing pairs of raters
    chance = np.square(votes.sum(0) / votes.sum()).sum()
    return float((pairs.mean() - chance) / (1 - chance)) if chance < 1 else float("nan")


def mcnemar(y_true: np.ndarray, a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """McNemar's exact test: of the utterances only one model has right, is the share of each a coin toss?

    Returns only_a, only_b (counts) and the two-sided p. It takes utterances as independent.
    """
    from scipy.stats import binomtest

    a_right, b_right = np.asarray(a) == np.asarray(y_true), np.asarray(b) == np.asarray(y_true)
    only_a, only_b = int((a_right & ~b_right).sum()), int((~a_right & b_right).sum())
    p = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    return {"only_a": only_a, "only_b": only_b, "p": float(p)}


def _indices(y: np.ndarray, classes: int) -> np.ndarray:
    y = np.asarray(y)
    if not np.issubdtype(y.dtype, np.integer) or (len(y) and not 0 <= y.min() <= y.max() < classes):
        raise VcemoError("classes must be indices", do=f"give whole numbers from 0 to {classes - 1}")
    return y.astype(np.int64)


def _number(classes: Classes, *y: np.ndarray) -> int:
    if classes is None:
        return int(max(np.max(v) for v in y)) + 1
    return classes if isinstance(classes, int) else len(classes)


def _by_group(y_true: np.ndarray, y_pred: np.ndarray, groups: Sequence | None, classes: int) -> np.ndarray:
    """Confusion counts of each group (G, C, C); without groups each utterance is one."""
    cells = _indices(y_true, classes) * classes + _indices(y_pred, classes)  # (N,)
    group = np.arange(len(cells)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    table = np.zeros((group.max() + 1, classes**2))
    np.add.at(table, (group, cells), 1)
    return table.reshape(-1, classes, classes)


def _percentiles(draws: Sequence[float] | np.ndarray, level: float) -> tuple[float, float]:
    """The middle `level` of the draws (n,), NaN left out: its ends."""
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _weights(groups: int, n: int, seed: int) -> np.ndarray:
    """How often each group is drawn in each of n resamples (n, G)."""
    return np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=n)


def _resample(clusters: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(G, C, C) counts, (n, G) weights -> (n, C, C): a whole bootstrap is one matrix product."""
    size = clusters.shape[-1]
    return (weights.astype(float) @ clusters.reshape(len(clusters), -1)).reshape(-1, size, size)
