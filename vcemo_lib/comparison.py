"""What is read out of many runs: intervals, paired comparisons. A table has a row a run (see `read`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vcemo_lib.errors import VcemoError
from vcemo_lib.evaluation import contrast, counts_by_speaker, difference, intervals


def facts(file: Path | str) -> dict[str, Any]:
    """All that is known of one run: settings, data, features, scores, machine, predictions."""
    return json.loads(Path(file).read_text(encoding="utf-8"))


def row(file: Path | str) -> dict[str, Any]:
    """One run's file as a row of the table. Raises VcemoError where it is not the whole result of a run."""
    try:
        run = facts(file)
        val = {f"val_{metric}": value for metric, value in run["val"].items()}
        last = {key: run[key] for key in ("best_epoch", "epochs", "seconds", "parameters")}
        first = {key: run[key] for key in ("config", "model", "seed")}
        return {**first, **run["scores"], **val, **last, "file": str(file)}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VcemoError("this is not the whole result of a run", file, "delete it, run again") from error


def read(folder: Path | str) -> pd.DataFrame:
    """The table of the runs that lie in a folder, whoever made them, in order of config and seed."""
    if not (files := sorted(Path(folder).glob("*.json"))):
        raise VcemoError("no results of runs", where=folder, do="run the experiment, or name another folder")
    return pd.DataFrame([row(file) for file in files]).sort_values(["config", "seed"], ignore_index=True)


def summary(table: pd.DataFrame, metrics: Sequence[str] = ("wa", "ua", "f1_weighted")) -> pd.DataFrame:
    """A row a config: each metric's mean, low, high (95 %, over speakers and seeds), sd between seeds."""
    rows = {}
    for config, runs in table.groupby("config", sort=False):
        scores, columns = runs[list(metrics)], ("mean", "low", "high", "sd")
        found = intervals(**_end_to_end(runs)).assign(mean=scores.mean(), sd=scores.std())
        cells = {(m, column): found.loc[m, column] for m in metrics for column in columns}
        about = {"seeds": len(runs), "parameters": runs.parameters.iloc[0], "seconds": runs.seconds.mean()}
        rows[config] = cells | {("runs", name): value for name, value in about.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("config")


def compare(table: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """Is config a better than b? `evaluation.paired_test`, by seed where they have seeds in common."""
    (of_a, of_b), same_seeds = _side_by_side(table, (a, b))
    return difference(of_a, of_b, same_seeds)


def compare_gains(
    table: pd.DataFrame, first: tuple[str, str], second: tuple[str, str], metric: str = "ua"
) -> dict[str, float]:
    """Gain of one pair of configs (a over b) minus another's: {"value", "low", "high", "p"}."""
    tables, same_seeds = _side_by_side(table, (*first, *second))
    return contrast(tables, (1, -1, -1, 1), same_seeds).loc[metric, ["value", "low", "high", "p"]].to_dict()


def all_pairs(table: pd.DataFrame, metric: str = "ua") -> pd.DataFrame:
    """Every config against every other by `compare`, best first, with `p_holm` (Holm 1979)."""
    order = table.groupby("config")[metric].mean().sort_values(ascending=False).index
    pairs = list(combinations(order, 2))
    rows = [compare(table, a, b).loc[metric, ["difference", "low", "high", "p"]] for a, b in pairs]
    found = pd.DataFrame(pairs, columns=["a", "b"]).join(pd.DataFrame(rows).reset_index(drop=True))
    by_p = found.p.sort_values(kind="stable")
    # The smallest p times the number of tests, the next times one less; none falls below the one before.
    return found.assign(p_holm=(by_p * np.arange(len(by_p), 0, -1)).cummax().clip(upper=1.0))


def answers(table: pd.DataFrame) -> pd.DataFrame:
    """Every answer of every run, a row each: config, seed, utt_id, speaker, emotion, predicted, right."""
    parts = []
    for config, seed, file in zip(table.config, table.seed, table.file, strict=True):
        found = facts(file)["predictions"]
        clips = {"config": config, "seed": seed, "utt_id": found["ids"], "speaker": found["speakers"]}
        name = np.asarray(found["classes"])
        named = {"emotion": name[found["y_true"]], "predicted": name[found["y_pred"]]}
        parts.append(pd.DataFrame(clips | named))
    whole = pd.concat(parts, ignore_index=True)
    return whole.assign(right=whole.emotion == whole.predicted)


def paired(answered: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """The `answers` of two configs side by side: utt_id, seed, speaker, a, b (right?), difference (a - b)."""
    keys = ["utt_id", "seed"]
    of_a, of_b = (answered[answered.config == name].set_index(keys) for name in (a, b))
    both = of_a[["speaker", "right"]].rename(columns={"right": "a"}).join(of_b.right.rename("b"), how="inner")
    return both.assign(difference=both.a.astype(float) - both.b).reset_index()


def _side_by_side(table: pd.DataFrame, names: Sequence[str]) -> tuple[list[np.ndarray], bool]:
    """Counts (S, G, C, C) of each config for their common seeds, True; without such for all, False."""
    if unknown := [name for name in names if name not in set(table.config)]:
        known = ", ".join(table.config.unique())
        raise VcemoError(f"no config is called {unknown[0]!r}", do=f"choose among {known}")
    runs = [table[table.config == name].sort_values("seed") for name in names]
    common = set.intersection(*(set(of_one.seed) for of_one in runs))
    found = [_end_to_end(of_one[of_one.seed.isin(common)] if common else of_one) for of_one in runs]
    tables = [counts_by_speaker(**f) for f in found]
    truth = [(sorted(set(f["speakers"])), t[0].sum(-1).tolist()) for f, t in zip(found, tables, strict=True)]
    if any(other != truth[0] for other in truth):
        raise VcemoError(f"{names} were scored on different utterances", do="run all on the same parts")
    return tables, bool(common)


def _end_to_end(runs: pd.DataFrame) -> dict[str, Any]:
    """The answers of several runs end to end, as `counts_by_speaker` takes them."""
    found = [facts(file)["predictions"] for file in runs.file]
    whole = {key: np.concatenate([f[key] for f in found]) for key in ("y_true", "y_pred", "speakers")}
    seeds = np.repeat(runs.seed.to_numpy(), [len(f["ids"]) for f in found])
    return {**whole, "seeds": seeds, "classes": found[0]["classes"]}
