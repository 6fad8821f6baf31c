"""What lessons read out of runs: a live one against stored ones, and where a gain comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vcemo_lib.comparison import paired
from vcemo_lib.errors import VcemoError
from vcemo_lib.evaluation import paired_test

if TYPE_CHECKING:
    import pandas as pd


def agreement(
    live: pd.DataFrame, stored: pd.DataFrame, metrics: Sequence[str] = ("wa", "ua")
) -> pd.DataFrame:
    """Do runs made here agree with stored runs of the same configs (columns config, seed and the metrics)?

    One row a live run and metric: live, stored (the same seed's); low and high, Student's 95 % prediction
    interval for one further run, if seeds scatter as the stored ones do; inside, whether it lies there.
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


def gain_by(answered: pd.DataFrame, a: str, b: str, kinds: pd.Series) -> pd.DataFrame:
    """Where is config a better than b? Shares of right `comparison.answers` on each kind (utt_id -> kind).

    One row a kind: utterances, a, b, difference, and its 95 % interval low, high over speakers and seeds.
    """
    import pandas as pd

    both = paired(answered, a, b)
    rows = {}
    for kind, part in both.groupby(both.utt_id.map(kinds)):
        a_wrong, b_wrong = (1 - part[of].astype(int) for of in ("a", "b"))  # 0: right, 1: wrong
        right = np.zeros(len(part), int)
        found = paired_test(right, a_wrong, b_wrong, part.speaker, part.seed, classes=2).loc["wa"]
        rows[kind] = {"utterances": part.utt_id.nunique(), **found[["a", "b", "difference", "low", "high"]]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(kinds.name)


def fleiss_kappa(votes: np.ndarray) -> float:
    """Agreement of raters beyond chance (Fleiss 1971), of votes (N, C), as many for each item; 1 is full."""
    votes = np.asarray(votes, float)
    raters = votes.sum(1)
    if len(votes) == 0 or raters.min() < 2 or raters.min() != raters.max():
        raise VcemoError("every item needs the same number of votes, two at least", do="leave out the others")
    pairs = (votes * (votes - 1)).sum(1) / (raters * (raters - 1))  # (N,): share of agreeing pairs of raters
    chance = np.square(votes.sum(0) / votes.sum()).sum()
    return float((pairs.mean() - chance) / (1 - chance)) if chance < 1 else float("nan")


def mcnemar(y_true: np.ndarray, a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """McNemar's exact test: {"only_a", "only_b"}: how many only one model has right; its two-sided "p"."""
    from scipy.stats import binomtest

    a_right, b_right = np.asarray(a) == y_true, np.asarray(b) == y_true
    only_a, only_b = int((a_right & ~b_right).sum()), int((~a_right & b_right).sum())
    p = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return {"only_a": only_a, "only_b": only_b, "p": p}
