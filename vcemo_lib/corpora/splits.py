"""Train, validation and test parts, and an audit of what leaks between them."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from vcemo_lib.corpora.corpus import Corpus
from vcemo_lib.corpora.manifest import SPLITS
from vcemo_lib.errors import VcemoError

Parts = dict[str, Corpus]
Fractions = tuple[float, float, float]
FRACTIONS = (0.8, 0.1, 0.1)  # paper, section 4.3


def bare(text: str) -> str:
    """A sentence's letters, digits and accents, in Unicode's form NFKC: 你好… and “你好” are one sentence."""
    return "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c)[0] in "LMN")


def random(corpus: Corpus, fractions: Fractions = FRACTIONS, seed: int = 0) -> Parts:
    """The paper's 8/1/1 (section 4.3), stratified by emotion. Speakers and sentences leak: see `audit`."""
    return _by_group(corpus, corpus.table.index.to_numpy(), fractions, seed)


def by_speaker(corpus: Corpus, fractions: Fractions = FRACTIONS, seed: int = 0) -> Parts:
    """No speaker in two parts (our default)."""
    return _by_group(corpus, corpus.table["speaker"].to_numpy(), fractions, seed)


def by_text(corpus: Corpus, fractions: Fractions = FRACTIONS, seed: int = 0) -> Parts:
    """No sentence in two parts, whoever says it."""
    return _by_group(corpus, corpus.table["text"].map(bare).to_numpy(), fractions, seed)


def given(corpus: Corpus) -> Parts:
    """The corpus' own split, from its column `split`. Raises VcemoError where it has none."""
    if "split" not in corpus.table or not set(SPLITS) <= set(corpus.table["split"]):
        raise VcemoError("no train/val/test split of its own", corpus.name, "use splits.by_speaker")
    return _parts(corpus, corpus.table["split"].to_numpy())


def leave_one_group_out(corpus: Corpus, column: str = "group", seed: int = 0) -> Iterator[tuple[str, Parts]]:
    """For each group (session, speaker): it as the test part, another one, chosen by seed, as validation."""
    if column not in corpus.table or corpus.table[column].nunique() < 3:
        raise VcemoError(f"column {column!r} needs three groups", corpus.name, "use splits.by_speaker")
    groups, member = np.unique(corpus.table[column], return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(groups))
    for test, val in zip(order, np.roll(order, -1), strict=True):
        part_of = np.select([member == test, member == val], ["test", "val"], "train")
        yield groups[test], _parts(corpus, part_of)


def audit(parts: Parts) -> pd.DataFrame:
    """Every speaker, sentence and clip (equal bytes, equal stretch) that two parts share, a row each."""

    @cache  # a recording of many utterances is read once
    def digest(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]

    content: dict[str, dict[str, set[str]]] = {}
    for part, corpus in parts.items():
        table = corpus.table
        places = table.reindex(columns=["audio", "start", "end"]).itertuples(index=False)
        content[part] = {
            "speaker": set(table["speaker"]), "sentence": set(table["text"].map(bare)) - {""},
            "audio": {f"{digest(corpus.root / file)} {start}-{end}" for file, start, end in places},
        }  # fmt: skip
    rows = [
        (kind, f"{one} and {other}", shared)
        for one, other in combinations(parts, 2)
        for kind in ("speaker", "sentence", "audio")
        for shared in sorted(content[one][kind] & content[other][kind])
    ]
    return pd.DataFrame(rows, columns=["leak", "between", "what"])


def _by_group(corpus: Corpus, groups: np.ndarray, fractions: Fractions, seed: int) -> Parts:
    """Deal whole groups (in random order, large ones first) to where their emotions are most wanting."""
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise VcemoError(f"fractions {fractions} are not three positive shares that add up to 1")
    names, member = np.unique(groups, return_inverse=True)
    if len(names) < 3:
        raise VcemoError(f"three parts need at least three groups, here are {len(names)}", where=corpus.name)
    counts = np.zeros((len(names), len(corpus.labels)))  # (groups, classes)
    np.add.at(counts, (member, corpus.y()), 1)
    wanted = np.outer(fractions, counts.sum(0))  # (3, classes)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order].sum(1), kind="stable")]
    have, home = np.zeros_like(wanted).tolist(), np.zeros(len(names), int)
    full, brought = np.maximum(wanted, 1e-9).tolist(), counts.tolist()  # lists: a million groups in seconds
    for group in order:
        # How full each part would be, class by class, weighted by what the group brings.
        some = [(label, number) for label, number in enumerate(brought[group]) if number]
        fullness = [sum((have[p][c] + n) / full[p][c] * n for c, n in some) for p in range(3)]
        home[group] = fullness.index(min(fullness))
        for c, n in some:
            have[home[group]][c] += n
    for empty in set(range(3)) - set(home.tolist()):  # tiny corpora: no part stays empty
        home[np.flatnonzero(home == np.bincount(home, minlength=3).argmax())[-1]] = empty
    return _parts(corpus, np.asarray(SPLITS)[home[member]])


def _parts(corpus: Corpus, part_of: np.ndarray) -> Parts:
    return {part: corpus.subset(part_of == part, f"{corpus.name}/{part}") for part in SPLITS}
