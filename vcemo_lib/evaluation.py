"""WA (accuracy), UA (mean recall, section 4.2) and F1; intervals and tests over speakers and seeds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from vcemo_lib.errors import VcemoError

METRICS = ("wa", "ua", "f1_weighted", "f1_macro")
Classes = int | Sequence[str] | None  # how many there are, or their names; by default as many as occur
Groups = Sequence | np.ndarray | None  # (N,): whose utterance, or which run's
_told: dict = {}  # warnings given


def counts(y_true: np.ndarray, y_pred: np.ndarray, classes: Classes = None) -> np.ndarray:
    """Class indices (N,), (N,) -> confusion counts (C, C), true classes in rows."""
    return counts_by_speaker(y_true, y_pred, np.zeros(len(y_true)), classes=classes).sum((0, 1))


def counts_by_speaker(
    y_true: np.ndarray, y_pred: np.ndarray, speakers: Groups = None, seeds: Groups = None,
    classes: Classes = None,
) -> np.ndarray:  # fmt: skip
    """Confusion counts (S, G, C, C) of each seed (run) and speaker (None: utterance); arguments are (N,)."""
    if speakers is None and seeds is not None:
        raise VcemoError("seeds without speakers", do="say whose utterances they are, or give their ids")
    size, count = _number(classes, y_true, y_pred), len(y_true)
    whose = np.arange(count) if speakers is None else np.asarray(speakers)
    which = np.zeros(count) if seeds is None else np.asarray(seeds)
    if {count} != {len(y_pred), len(whose), len(which)}:
        raise VcemoError(
            f"{count} labels and {len(y_pred)} predictions", do="give one of each, and a speaker"
        )
    y = np.stack([y_true, y_pred])  # (2, N)
    if not np.issubdtype(y.dtype, np.integer) or (count and not 0 <= y.min() <= y.max() < size):
        raise VcemoError("classes must be indices", do=f"give whole numbers from 0 to {size - 1}")
    (runs, run), (names, speaker) = (np.unique(of, return_inverse=True) for of in (which, whose))
    table = np.zeros((len(runs), len(names), size, size), int)
    np.add.at(table, (run, speaker, *y), 1)
    if seeds is not None and len(runs) == 1:
        _warn("one seed: the chance of training is not in the interval")
    return table


def from_counts(table: np.ndarray) -> np.ndarray:
    """Confusion counts (..., C, C) -> METRICS, (M, ...); a class that never occurs counts in neither mean."""
    table = np.asarray(table, dtype=float)
    right = np.diagonal(table, axis1=-2, axis2=-1)  # (..., C)
    true, predicted = table.sum(-1), table.sum(-2)  # (..., C)
    total, occurs = np.maximum(true.sum(-1), 1), true > 0
    recall = right / np.maximum(true, 1e-12)
    f1 = 2 * right / np.maximum(true + predicted, 1e-12)
    ua, macro = ((each * occurs).sum(-1) / np.maximum(occurs.sum(-1), 1) for each in (recall, f1))
    return np.stack([right.sum(-1) / total, ua, (f1 * true).sum(-1) / total, macro])


def scores(y_true: np.ndarray, y_pred: np.ndarray, classes: Classes = None) -> dict[str, float]:
    """Class indices (N,), (N,) -> {"wa", "ua", "f1_weighted", "f1_macro"}; the paper's F1 is the weighted."""
    return dict(zip(METRICS, from_counts(counts(y_true, y_pred, classes)).tolist(), strict=True))


def confusion(
    y_true: np.ndarray, y_pred: np.ndarray, classes: Sequence[str], share: bool = False
) -> pd.DataFrame:
    """Counts, or with `share` each row's shares: true emotions in rows, predicted ones in columns."""
    table = counts(y_true, y_pred, classes)
    values = table / np.maximum(table.sum(1, keepdims=True), 1) if share else table
    return pd.DataFrame(values, pd.Index(classes, name="true"), pd.Index(classes, name="predicted"))


def majority(y_train: np.ndarray, y_test: np.ndarray, classes: Classes = None) -> dict[str, float]:
    """The scores of always naming the commonest emotion of the training part."""
    return scores(y_test, np.full(len(y_test), np.bincount(y_train).argmax()), classes)


def intervals(
    y_true: np.ndarray, y_pred: np.ndarray, speakers: Groups = None, seeds: Groups = None,
    classes: Classes = None,
) -> pd.DataFrame:  # fmt: skip
    """Every metric with its 95 % interval (of one speaker NaN): value, low, high, speakers, seeds."""
    found = contrast([counts_by_speaker(y_true, y_pred, speakers, seeds, classes)], [1.0]).drop(columns="p")
    return found.assign(low=found.low.clip(lower=0), high=found.high.clip(upper=1))


def paired_test(
    y_true: np.ndarray, a: np.ndarray, b: np.ndarray, speakers: Groups = None, seeds: Groups = None,
    classes: Classes = None,
) -> pd.DataFrame:  # fmt: skip
    """Is model a better than b? A row a metric: a, b, difference, low, high (95 %), p, speakers, seeds."""
    size = _number(classes, y_true, a, b)
    of_a, of_b = (counts_by_speaker(y_true, y_pred, speakers, seeds, size) for y_pred in (a, b))
    return difference(of_a, of_b)


def difference(a: np.ndarray, b: np.ndarray, same_seeds: bool = True) -> pd.DataFrame:
    """`paired_test` from the two models' counts (S, G, C, C); their seeds may differ."""
    found = contrast([a, b], [1.0, -1.0], same_seeds).rename(columns={"value": "difference"})
    for place, (name, table) in enumerate({"a": a, "b": b}.items()):
        found.insert(place, name, from_counts(table.sum(1)).mean(1))
    return found


def contrast(tables: Sequence[np.ndarray], weights: Sequence[float], same_seeds: bool = True) -> pd.DataFrame:
    """A weighted sum of models' scores, of counts (S, G, C, C): value, low, high, p (against 0), how many."""
    from scipy.stats import t

    found = [_jackknife(table) for table in tables]
    scores = [w * score for w, (score, _) in zip(weights, found, strict=True)]  # (M, S) each
    shares = [w * share for w, (_, share) in zip(weights, found, strict=True)]  # (M, S, G) each
    if same_seeds:
        scores, shares = [np.sum(scores, axis=0)], [np.sum(shares, axis=0)]
    value = np.sum([score.mean(1) for score in scores], axis=0).round(12)  # a model less itself is 0
    error, freedom = _standard_error(scores, shares)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where((value == 0) & (error == 0), 0.0, np.abs(value) / error)
    half = t.ppf(0.975, freedom) * error
    columns = {"value": value, "low": value - half, "high": value + half, "p": 2 * t.sf(ratio, freedom)}
    _warn_of_few(speakers := tables[0].shape[1])
    about = {"speakers": speakers, "seeds": min(map(len, tables))}
    return pd.DataFrame(columns | about, index=list(METRICS))


def interval(
    statistic: Callable[[np.ndarray], float], groups: Sequence | np.ndarray, n: int = 1000, seed: int = 0
) -> dict[str, float]:
    """Bootstrap {"value", "low", "high"} (95 %) of `statistic(row indices)`; `groups` (N,) are drawn."""
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    value, low, high = float(statistic(np.arange(len(group)))), float("nan"), float("nan")
    _warn_of_few(len(names))
    if len(names) > 1:
        rng, rows = np.random.default_rng(seed), [np.flatnonzero(group == g) for g in range(len(names))]
        chosen = (rng.integers(len(rows), size=len(rows)) for _ in range(n))
        draws = [statistic(np.concatenate([rows[g] for g in drawn])) for drawn in chosen]
        low, high = map(float, np.nanquantile(draws, [0.025, 0.975]))
    return {"value": value, "low": low, "high": high}


def _jackknife(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts (S, G, C, C) -> each metric's scores (M, S), each speaker's influence on them (M, S, G)."""
    whole, groups = table.sum(1, keepdims=True), table.shape[1]
    scores, without = from_counts(whole[:, 0]), from_counts(whole - table)
    # (G - 1) / G of how much the score falls, more than on average, without this speaker.
    return scores, (groups - 1) / groups * (without.mean(-1, keepdims=True) - without)


def _standard_error(
    scores: Sequence[np.ndarray], influences: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Two-way clustered error (M,) (Cameron et al. 2011), degrees of freedom (M,) (Satterthwaite 1946)."""
    groups = influences[0].shape[-1]
    if groups == 1:
        return np.full(len(METRICS), np.nan), np.ones(len(METRICS))
    scale = groups / (groups - 1)
    speakers = scale * np.square(sum(u.mean(1) for u in influences)).sum(-1)  # variance (M,), as below
    seeds = both = np.zeros(len(METRICS))  # `both`: what speakers and seeds both count
    spread = speakers**2 / (groups - 1)
    for score, u in zip(scores, influences, strict=True):
        if (n := score.shape[1]) > 1:
            seeds = seeds + (own := score.var(1, ddof=1) / n)
            spread = spread + own**2 / (n - 1)
            rest = np.square(u - u.mean(1, keepdims=True)).sum((1, 2))
            both = both + scale * rest / (n * (n - 1))
    error = np.sqrt(np.max([speakers + seeds - both, speakers, seeds], axis=0)).round(12)
    freedom = np.divide((speakers + seeds) ** 2, spread, out=np.ones(len(METRICS)), where=error > 0)
    return error, freedom


def _warn_of_few(speakers: int) -> None:
    if speakers == 1:
        _warn("one speaker: nothing tells how others differ, low, high and p are NaN")
    elif speakers < 10:
        _warn(f"only {speakers} speakers: below ten, intervals and tests are rough")


def _warn(message: str) -> None:
    """Once a text, and under the module's name, so that no notebook shows where it lies."""
    warnings.warn_explicit(message, UserWarning, __name__, 1, registry=_told)


def _number(classes: Classes, *y: np.ndarray) -> int:
    if classes is None:
        return int(max(np.max(v) for v in y)) + 1
    return classes if isinstance(classes, int) else len(classes)
