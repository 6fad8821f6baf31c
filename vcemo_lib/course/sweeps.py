"""What lessons set beside runs: other runs of the same, a straight line; and where a gain comes from."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from vcemo_lib import experiments, paths, probe, provenance
from vcemo_lib.comparison import paired, read
from vcemo_lib.errors import VcemoError
from vcemo_lib.evaluation import paired_test
from vcemo_lib.loading import gather
from vcemo_lib.models.settings import tutorial
from vcemo_lib.training.runs import Predictions, Run, kinds_of, predict

if TYPE_CHECKING:
    from vcemo_lib.corpora import Corpus


def agreement(
    live: pd.DataFrame, stored: pd.DataFrame, metrics: Sequence[str] = ("wa", "ua")
) -> pd.DataFrame:
    """Do runs made here agree with stored runs of the same configs (columns config, seed and the metrics)?

    One row a live run and metric: live, stored (the same seed's); low and high, Student's 95 % prediction
    interval for one further run, if seeds scatter as the stored ones do; inside, whether it lies there.
    """
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
    both = paired(answered, a, b)
    rows = {}
    for kind, part in both.groupby(both.utt_id.map(kinds)):
        a_wrong, b_wrong = (1 - part[of].astype(int) for of in ("a", "b"))  # 0: right, 1: wrong
        right = np.zeros(len(part), int)
        found = paired_test(right, a_wrong, b_wrong, part.speaker, part.seed, classes=2).loc["wa"]
        rows[kind] = {"utterances": part.utt_id.nunique(), **found[["a", "b", "difference", "low", "high"]]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(kinds.name)


def straight_lines(store: Any, parts: Mapping[str, Any], out: Path) -> pd.DataFrame:
    """Logistic regression on means and deviations over time beside each row of Table 3, scaled alike.

    One JSON file each in `out`; a line has no seeds: see `beside_line`.
    """
    for name, modalities in experiments.TABLE3.items():
        kinds = [tutorial().kinds[modality][0] for modality in modalities]
        start = time.perf_counter()
        found = probe.linear(store, parts, kinds, by_speaker=True, deviations=True)
        told = {
            "config": name, "model": "straight line", "seed": 0,
            "settings": {"kinds": kinds, "by_speaker": True},
            "parts": {part: corpus.fingerprint() for part, corpus in parts.items()},
            "features": provenance.data(store, kinds, parts)["features"],
            "scores": found.scores(), "val": {}, "best_epoch": 0, "epochs": 0,
            "seconds": time.perf_counter() - start,
            "parameters": (found.features.shape[1] + 1) * len(found.classes),
            "machine": provenance.hardware() | provenance.versions(),
            "predictions": found.as_dict(),
        }  # fmt: skip
        paths.write_atomically(out / f"{'-'.join(modalities)}.json", json.dumps(told))
    return read(out)


def beside_line(runs: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """Runs, and each line as config "line: ..." beside every seed of them, as it has no chance of its own."""
    named = lines.assign(config="line: " + lines.config)
    each = [named.assign(seed=seed) for seed in sorted(runs.seed.unique())]
    return pd.concat([runs, *each], ignore_index=True)


def enrolment(
    run: Run, part: Corpus, store: Any = None, counts: Sequence[int] = (0, 1, 2, 5, 10, 20), seed: int = 0
) -> dict[int, Predictions]:
    """A corpus part's answers where speakers are known by 0, 1, 2, ... clips without labels, by that number.

    Every clip is judged at every point, scaled by other clips of its speaker: drawn with the seed, those of a
    point among those of the next, and all of them where there are fewer than `counts` says.
    """
    features = gather(store or run.store, part, kinds_of(run.model))
    order, speakers = np.random.default_rng(seed).permutation(len(features)), features.speakers
    others = {
        u: [j for j in order if speakers[j] == speakers[i] and j != i] for i, u in enumerate(features.ids)
    }
    features, found = replace(features, speakers=np.array(features.ids)), {}  # a clip's scale is its own
    for count in counts:
        scaler = run.scaler.adapted(features, {u: known[:count] for u, known in others.items()})
        answers = predict(run.model, scaler.apply(features), run.classes)
        found[count] = replace(answers, speakers=speakers)
    return found


def enrolment_curve(*given: Any, **options: Any) -> pd.DataFrame:
    """The scores of `enrolment`, with intervals: a row a number of clips and score."""
    answers = enrolment(*given, **options)
    return pd.concat({n: of.intervals() for n, of in answers.items()}, names=["enrolled", "score"])


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
