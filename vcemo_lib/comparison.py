"""What is read out of the results of many runs: scores with intervals, paired comparisons, sources of a gain.

A table has one row a run, as `experiments.run` and `read` give it; each run's answers lie in its file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vcemo_lib.errors import VcemoError
from vcemo_lib.evaluation import bootstrap, from_counts, interval, paired_bootstrap

if TYPE_CHECKING:
    import pandas as pd


def facts(file: Path | str) -> dict[str, Any]:
    """All that is known of one run: settings, data, features, scores, machine, predictions."""
    return json.loads(Path(file).read_text(encoding="utf-8"))


def predictions(file: Path | str) -> dict[str, Any]:
    """One run's answers on the test part: ids, speakers, classes, y_true, y_pred."""
    return facts(file)["predictions"]


def row(file: Path | str) -> dict[str, Any]:
    """One run's file as a row of the table. Raises VcemoError where it is not the whole result of a run."""
    try:
        run = facts(file)
        plain = {key: run[key] for key in ("best_epoch", "epochs", "seconds", "parameters")}
        val = {f"val_{metric}": value for metric, value in run["val"].items()}
        known = {key: run[key] for key in ("config", "model", "seed")}
        return {**known, **run["scores"], **val, **plain, "file": str(file)}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = "this is not the whole result of a run"
        raise VcemoError(what, where=file, do="delete it and run again") from error


def read(folder: Path | str) -> pd.DataFrame:
    """The table of the runs that lie in a folder, whoever made them, in order of config and seed."""
    import pandas as pd

    if not (files := sorted(Path(folder).glob("*.json"))):
        raise VcemoError("no results of runs", where=folder, do="run the experiment, or name another folder")
    return pd.DataFrame([row(file) for file in files]).sort_values(["config", "seed"], ignore_index=True)


# ---- scores and tests ----------------------------------------------------------------------------------


def summary(
    table: pd.DataFrame, metrics: Sequence[str] = ("wa", "ua", "f1_weighted"), n: int = 2000
) -> pd.DataFrame:
    """One row a config, in the table's order: for each metric the mean over seeds and a 95 % interval.

    The interval is of resampled test speakers, all seeds of a speaker together: what another test set of as
    many speakers would give. `sd` is the spread between seeds, what another start of training would give.
    Columns: (metric, mean | low | high | sd), seeds, parameters, seconds (mean of a run).
    """
    import pandas as pd

    rows = {}
    for config, runs in table.groupby("config", sort=False):
        y_true, y_pred, speakers, classes = _pooled(runs)
        found = bootstrap(y_true, y_pred, speakers, n, classes=classes)
        cells: dict[tuple[str, str], float] = {}
        for m in metrics:
            cells |= {(m, "mean"): runs[m].mean(), (m, "low"): found.low[m], (m, "high"): found.high[m]}
            cells[m, "sd"] = runs[m].std()
        cells |= {("runs", "seeds"): len(runs), ("runs", "parameters"): runs.parameters.iloc[0]}
        rows[config] = cells | {("runs", "seconds"): runs.seconds.mean()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("config")


def compare(table: pd.DataFrame, a: str, b: str, n: int = 2000) -> pd.DataFrame:
    """Is config a better than config b? Paired bootstrap over speakers, their common seeds pooled.

    Rows: metrics; columns: a, b, difference, low, high, p (see `evaluation.paired_bootstrap`).
    """
    y_true, (of_a, of_b), speakers, classes = _side_by_side(table, (a, b))
    return paired_bootstrap(y_true, of_a, of_b, speakers, n, classes=classes)


def compare_gains(
    table: pd.DataFrame, first: tuple[str, str], second: tuple[str, str], metric: str = "ua", n: int = 1000
) -> dict[str, float]:
    """Is the gain of one pair of configs (a over b) larger than that of another pair?

    {"value", "low", "high"} of gain minus gain, all on the same resampled speakers, common seeds pooled.
    """
    y_true, predicted, speakers, classes = _side_by_side(table, (*first, *second))
    cells = [y_true * classes + y_pred for y_pred in predicted]  # (N,) each: cell of the confusion matrix

    def score(cell: np.ndarray) -> float:
        return float(from_counts(np.bincount(cell, minlength=classes**2).reshape(classes, classes))[metric])

    def gain_over_gain(rows: np.ndarray) -> float:
        a, b, c, d = (score(cell[rows]) for cell in cells)
        return (a - b) - (c - d)

    return interval(gain_over_gain, speakers, n)


def all_pairs(table: pd.DataFrame, metric: str = "ua", n: int = 2000) -> pd.DataFrame:
    """Every config against every other by `compare`, best first: a, b, difference, low, high, p and p_holm.

    Of many tests some come out small by chance: `p_holm` (Holm 1979) is p with all tests taken into account.
    """
    import pandas as pd

    order = table.groupby("config")[metric].mean().sort_values(ascending=False).index
    pairs = list(combinations(order, 2))
    rows = [compare(table, a, b, n).loc[metric, ["difference", "low", "high", "p"]] for a, b in pairs]
    found = pd.DataFrame(pairs, columns=["a", "b"]).join(pd.DataFrame(rows).reset_index(drop=True))
    by_p = found.p.sort_values(kind="stable")
    # The smallest p times the number of tests, the next times one less; none falls below the one before.
    return found.assign(p_holm=(by_p * np.arange(len(by_p), 0, -1)).cummax().clip(upper=1.0))


def agreement(
    live: pd.DataFrame, stored: pd.DataFrame, metrics: Sequence[str] = ("wa", "ua")
) -> pd.DataFrame:
    """Do runs made here agree with stored runs of the same configs?

    Both have columns config, seed and the metrics. One row a live run and metric: live, stored (the same
    seed's); low and high, Student's 95 % prediction interval for one further run, if seeds scatter as the
    stored ones do (wide for few seeds); inside, whether the live one lies in it.
    """
    import pandas as pd
    from scipy.stats import t

    rows = []
    for run in live.to_dict("records"):
        others = stored[stored.config == run["config"]]
        if len(others) < 2:
            raise VcemoError(f"{len(others)} stored run(s) of {run['config']!r}", do="store two at least")
        for m in metrics:
            values, same = others[m].to_numpy(), others[m][others.seed == run["seed"]]
            half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) * (1 + 1 / len(values)) ** 0.5
            low, high = values.mean() - half, values.mean() + half
            rows.append({"config": run["config"], "seed": run["seed"], "metric": m, "live": run[m],
                         "stored": same.iloc[0] if len(same) else float("nan"), "low": low, "high": high,
                         "inside": bool(low <= run[m] <= high)})  # fmt: skip
    return pd.DataFrame(rows)


# ---- single answers ------------------------------------------------------------------------------------


def answers(table: pd.DataFrame) -> pd.DataFrame:
    """Every answer of every run, a row each: config, seed, utt_id, speaker, emotion, predicted, right."""
    import pandas as pd

    parts = []
    for config, seed, file in zip(table.config, table.seed, table.file, strict=True):
        found = predictions(file)
        name = np.asarray(found["classes"])
        y_true, y_pred = name[found["y_true"]], name[found["y_pred"]]
        of_clips = {"utt_id": found["ids"], "speaker": found["speakers"]}
        part = pd.DataFrame({"config": config, "seed": seed, **of_clips})
        parts.append(part.assign(emotion=y_true, predicted=y_pred))
    whole = pd.concat(parts, ignore_index=True)
    return whole.assign(right=whole.emotion == whole.predicted)


def paired(answered: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """The `answers` of two configs side by side: utt_id, seed, speaker, a, b (right?), difference (a - b)."""
    keys = ["utt_id", "seed"]
    of_a, of_b = (answered[answered.config == name].set_index(keys) for name in (a, b))
    both = of_a[["speaker", "right"]].rename(columns={"right": "a"}).join(of_b.right.rename("b"), how="inner")
    return both.assign(difference=both.a.astype(float) - both.b).reset_index()


def gain_by(answered: pd.DataFrame, a: str, b: str, kinds: pd.Series, n: int = 1000) -> pd.DataFrame:
    """Where is config a better than b? The share of right answers of both on each kind of utterance.

    answered  what `answers` gives; seeds that both have are pooled
    kinds     utt_id -> kind; utterances without one are left out
    One row a kind: utterances, a, b, difference, and its 95 % interval low, high from resampled speakers.
    """
    import pandas as pd

    both = paired(answered, a, b)
    both = both.assign(kind=both.utt_id.map(kinds)).dropna(subset="kind")
    rows = {}
    for kind, part in both.groupby("kind"):
        difference = part.difference.to_numpy()
        found = interval(lambda rows, d=difference: d[rows].mean(), part.speaker, n)
        rows[kind] = {"utterances": part.utt_id.nunique(), "a": part.a.mean(), "b": part.b.mean(),
                      "difference": found["value"], "low": found["low"], "high": found["high"]}  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(kinds.name)


def _side_by_side(table: pd.DataFrame, names: Sequence[str]) -> tuple[Any, list[np.ndarray], Any, int]:
    """For the seeds that all configs have: labels (N,), each one's predictions, speakers; classes."""
    for name in names:
        if name not in set(table.config):
            known = ", ".join(table.config.unique())
            raise VcemoError(f"no config is called {name!r}", do=f"choose among {known}")
    common = set.intersection(*(set(table.seed[table.config == name]) for name in names))
    listed = " and ".join(map(repr, names))
    if not common:
        raise VcemoError(f"{listed} have no seed in common", do="run all with the same seeds")
    chosen = table[table.seed.isin(common)].sort_values("seed")
    pooled = [_pooled(chosen[chosen.config == name]) for name in names]
    y_true, _, speakers, classes = pooled[0]
    if any(not np.array_equal(y_true, other) for other, *_ in pooled):
        raise VcemoError(f"{listed} were scored on different utterances", do="run all on the same parts")
    return y_true, [y_pred for _, y_pred, _, _ in pooled], speakers, classes


def _pooled(runs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Labels, predictions and speakers of several runs, end to end, and the number of classes."""
    found = [predictions(file) for file in runs.file]
    keys = ("y_true", "y_pred", "speakers")
    y_true, y_pred, speakers = (np.concatenate([f[key] for f in found]) for key in keys)
    return y_true, y_pred, speakers, len(found[0]["classes"])
