"""Write the tables of docs/statistics.md: `python data/build/statistics_page.py` (five minutes)."""

from __future__ import annotations

import json
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from vcemo_lib.evaluation import contrast, counts_by_speaker, difference
from vcemo_lib.paths import repo_data, write_atomically

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "statistics.md"
START, END = "<!-- tables: written by data/build/statistics_page.py -->\n", "<!-- end of tables -->"
METRICS = ["wa", "ua"]

# Standard deviations on the logit of being right, and each class' share and two models' logits.
SPREAD = {"speaker": 0.5, "clip": 1.0, "speaker and model": 0.25, "clip and model": 0.7, "seed": 0.08,
          "seed and class": 0.25, "seed and speaker": 0.15}  # fmt: skip
SHARES = np.array([0.17, 0.10, 0.17, 0.30, 0.17, 0.09])
LOGITS = np.array([[0.6, -0.4, 0.3, 0.9, 0.5, -0.7], [0.4, -0.5, 0.3, 0.7, 0.4, -0.9]])


def stored() -> list[np.ndarray]:
    """Counts (S, G, C, C) of each bundled configuration with five seeds or more, in order of seed.

    A run that stands in two experiments, under a name in each, counts once.
    """
    runs, known = defaultdict(list), set()
    for file in sorted((repo_data() / "expected" / "results").glob("*/*.json")):
        run = json.loads(file.read_text(encoding="utf-8"))
        if (recipe := run.get("recipe", file)) in known:
            continue
        known.add(recipe)
        runs[file.parent.name, run["config"]].append((run["seed"], run["predictions"]))
    tables = []
    for found in runs.values():
        if len(found) >= 5:
            answers = [p for _, p in sorted(found, key=lambda pair: pair[0])]
            whole = (np.concatenate([p[k] for p in answers]) for k in ("y_true", "y_pred", "speakers"))
            seeds = np.repeat(np.arange(len(answers)), [len(p["ids"]) for p in answers])
            tables.append(counts_by_speaker(*whole, seeds, answers[0]["classes"]))
    return tables


def pairings(seeds: int, first: int, second: int) -> Iterator[tuple[list[int], list[int]]]:
    """Every choice of so many seeds against so many others, each once."""
    for a in combinations(range(seeds), first):
        for b in combinations(sorted(set(range(seeds)) - set(a)), second):
            if first != second or a < b:
                yield list(a), list(b)


def null(tables: Sequence[np.ndarray], first: int, second: int, ignore_seeds: bool = False) -> np.ndarray:
    """p of WA and UA (n, 2) where every configuration is compared with itself, trained with other seeds."""
    found = []
    for table in tables:
        for a, b in pairings(len(table), first, second):
            sides = [table[chosen] for chosen in (a, b)]
            if ignore_seeds:  # one run with all answers
                sides = [side.mean(0, keepdims=True) for side in sides]
            found.append(difference(*sides, same_seeds=False).loc[METRICS, "p"])
    return np.array(found)


def simulate(speakers: int, seeds: int, clips: int, rng: np.random.Generator) -> np.ndarray:
    """Two models' answers to the same clips, trained with the same seeds: counts (2, S, G, C, C)."""
    classes, shape = len(SHARES), (seeds, speakers, clips)

    def effect(name: str, *size: int) -> np.ndarray:
        return rng.normal(0, SPREAD[name], size)

    y = rng.choice(classes, (speakers, clips), p=SHARES)
    hard = effect("speaker", speakers, 1) + effect("clip", speakers, clips)  # for both models
    speaker, seed = np.indices(shape)[1].ravel(), np.indices(shape)[0].ravel()
    tables = []
    for logits in LOGITS:
        logit = logits[y] + hard + effect("speaker and model", speakers, 1)
        logit = logit + effect("clip and model", speakers, clips) + effect("seed", seeds, 1, 1)
        logit = logit + effect("seed and class", seeds, classes)[:, y]
        logit = logit + effect("seed and speaker", seeds, speakers, 1)
        right = rng.random(shape) < 1 / (1 + np.exp(-logit))
        predicted = np.where(right, y, (y + rng.integers(1, classes, shape)) % classes)
        y_true = np.broadcast_to(y, shape).ravel()
        tables.append(counts_by_speaker(y_true, predicted.ravel(), speaker, seed, classes))
    return np.stack(tables)


def truth() -> np.ndarray:
    """WA and UA (2 models, 2) of endless speakers, clips and seeds in `simulate`."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    total = np.sqrt(sum(sd**2 for sd in SPREAD.values()))
    recall = (1 / (1 + np.exp(-(LOGITS[..., None] + total * nodes)))) @ (weights / weights.sum())
    return np.stack([recall @ SHARES, recall.mean(-1)], axis=1)


def coverage(speakers: int, seeds: int, draws: int, ignore_seeds: bool = False, seed: int = 1) -> np.ndarray:
    """How often 95 % intervals hold the truth: (score | paired difference, WA | UA)."""
    rng, true, held = np.random.default_rng(seed), truth(), np.zeros((2, 2))
    for _ in range(draws):
        tables = simulate(speakers, seeds, 22, rng)
        if ignore_seeds:
            tables = tables.mean(1, keepdims=True)
        score, gain = contrast(tables[:1], [1]).loc[METRICS], contrast(tables, [1, -1]).loc[METRICS]
        for row, (found, wanted) in enumerate(((score, true[0]), (gain, true[0] - true[1]))):
            held[row] += (found.low <= wanted) & (wanted <= found.high)
    return held / draws


def section(draws: int = 1000) -> str:
    """The tables' text."""
    warnings.simplefilter("ignore")
    tables = stored()
    lines = [
        f"*{len(tables)} stored configurations of five seeds, each against itself with other seeds: how",
        "often the test says that they differ (it should in 5 % and in 1 %).*",
        "",
        "| seeds | pairings | chance | WA, p < .05 | UA, p < .05 | WA, p < .01 | UA, p < .01 |",
        "|---|--:|---|--:|--:|--:|--:|",
    ]
    for first, second in ((2, 2), (2, 3)):
        for name, ignored in (("speakers alone", True), ("speakers and seeds", False)):
            p = null(tables, first, second, ignored)
            shares = " | ".join(f"{share:.1%}" for level in (0.05, 0.01) for share in (p < level).mean(0))
            lines.append(f"| {first} against {second} | {len(p)} | {name} | {shares} |")
    lines += [
        "",
        f"*Simulated, {draws} experiments a line, 22 clips a speaker: how often the 95 % interval holds the",
        "truth.*",
        "",
        "| speakers | seeds | chance | WA | UA | paired difference in WA | in UA |",
        "|--:|--:|---|--:|--:|--:|--:|",
    ]
    for speakers, seeds in ((20, 2), (20, 3), (20, 5), (20, 10), (10, 5), (5, 5)):
        for name, ignored in (("speakers alone", True), ("speakers and seeds", False)):
            shares = " | ".join(f"{share:.1%}" for share in coverage(speakers, seeds, draws, ignored).ravel())
            lines.append(f"| {speakers} | {seeds} | {name} | {shares} |")
    return "\n".join([*lines, ""])


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(START)
    write_atomically(PAGE, before + START + section() + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
