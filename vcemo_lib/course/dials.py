"""Dials of notebook 05: other training parts of the same size, drawn from a given one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from vcemo_lib.corpora import LABELS, Corpus
from vcemo_lib.errors import VcemoError

if TYPE_CHECKING:
    import pandas as pd

PAPER_RARE = 0.025  # fear and surprise together: the paper tests on 748 utterances, 730 of the four classes


def apportion(wanted: np.ndarray) -> np.ndarray:
    """Whole numbers (N,) with the sum of `wanted` (N,): rounded down, then the largest remainders up."""
    numbers = np.floor(wanted).astype(int)
    numbers[np.argsort(-(wanted - numbers), kind="stable")[: round(wanted.sum()) - numbers.sum()]] += 1
    return numbers


def agreement(corpus: Corpus) -> pd.Series:
    """Did the raters agree? utt_id -> "unanimous" or "split"; the name of the series is `votes`."""
    votes = corpus.table["votes"]
    return votes.map(lambda v: "unanimous" if max(v.values()) == sum(v.values()) else "split").rename("votes")


def by_votes(corpus: Corpus, seed: int = 0) -> dict[str, Corpus]:
    """The dial of ambiguity: {"unanimous", "split"}, as many utterances of each emotion in both."""
    agreed = agreement(corpus)
    parts = {kind: corpus.subset(agreed == kind) for kind in ("unanimous", "split")}
    fewest = [min(counts) for counts in zip(*map(_counts, parts.values()), strict=True)]
    return {kind: _draw(part, kind, fewest, seed) for kind, part in parts.items()}


def by_mix(corpus: Corpus, size: int | None = None, seed: int = 0) -> dict[str, Corpus]:
    """The dial of imbalance: {"balanced", "as it is", "paper's mix"}, `size` utterances each.

    By default the size is the largest that the rarest emotion allows; VcemoError where one has too few.
    """
    counts = _counts(corpus)
    if missing := [label for label in LABELS if not counts.get(label)]:
        what = f"no utterances of {', '.join(missing)}"
        raise VcemoError(what, where=corpus.name, do="give a training part of all six emotions")
    rare = counts.index.isin(["fear", "surprise"])
    papers = counts * rare / counts[rare].sum() * PAPER_RARE
    papers += counts * ~rare / counts[~rare].sum() * (1 - PAPER_RARE)
    size = size or int(counts.min()) * len(counts)
    mixes = {"balanced": counts * 0 + 1.0, "as it is": counts, "paper's mix": papers}
    wanted = {name: apportion((mix / mix.sum() * size).to_numpy()) for name, mix in mixes.items()}
    return {name: _draw(corpus, name, numbers, seed) for name, numbers in wanted.items()}


def dials(parts: Mapping[str, Corpus], seed: int = 0) -> dict[str, dict[str, Corpus]]:
    """Every setting of both dials -> parts with that training part, all of about one size."""
    votes, counts = by_votes(parts["train"], seed), _counts(parts["train"])
    drawn = votes | by_mix(parts["train"], min(len(votes["split"]), int(counts.min()) * len(counts)), seed)
    return {name: {**parts, "train": part} for name, part in drawn.items()}


def _counts(corpus: Corpus) -> pd.Series:
    return corpus.table["emotion"].value_counts().reindex(corpus.labels, fill_value=0)


def _draw(corpus: Corpus, name: str, wanted: Iterable[int], seed: int) -> Corpus:
    """So many utterances of each label, in the corpus' order."""
    import numpy as np

    rng, chosen = np.random.default_rng(seed), set[str]()
    for label, number in zip(corpus.labels, wanted, strict=True):
        ids = corpus.table.index[corpus.table["emotion"] == label].to_numpy(copy=True)  # permuted, so its own
        if number > len(ids):
            what = f"{number} utterances of {label} wanted, there are {len(ids)}"
            raise VcemoError(what, corpus.name, "choose a smaller size")
        chosen.update(rng.permutation(ids)[:number])
    return corpus.subset(corpus.table.index.isin(chosen), f"{corpus.name}, {name}")
