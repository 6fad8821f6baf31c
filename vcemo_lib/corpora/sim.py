"""VCEMO-Sim, the bundled corpus: simulated Mandarin speech (see data/vcemo_sim/DATASHEET.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vcemo_lib.corpora.corpus import Corpus, from_table
from vcemo_lib.corpora.manifest import read_table
from vcemo_lib.corpora.splits import apportion
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import repo_data

if TYPE_CHECKING:
    import pandas as pd

PAPER_RARE = 0.025  # fear and surprise together: the paper tests on 748 utterances, 730 of the four classes


def read(root: Path | str | None = None, paper_mix: bool = False) -> Corpus:
    """VCEMO-Sim with splits, votes and Whisper transcripts; `paper_mix`: 2.5 % fear and surprise together."""
    folder = Path(root) if root else repo_data() / "vcemo_sim"
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        do = "clone the repository whole, or rebuild it with data/build/vcemo_sim/build.py"
        raise VcemoError("VCEMO-Sim is not there", where=folder, do=do)
    table = read_table(manifest)
    english = translations(folder)
    table["english"] = [english.get(text, "") for text in table["text"]]
    if paper_mix:
        table = table[table["paper_mix"] == "1"]
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        do = "restore about.json with git checkout"
        raise VcemoError("the description of VCEMO-Sim is damaged", where=folder, do=do) from error
    return from_table("sim", table, folder, manifest=manifest, simulated=True, about=about)


def translations(folder: Path | None = None) -> dict[str, str]:
    """Every sentence written for VCEMO-Sim -> its English; none where the folder has no translations.csv."""
    import pandas as pd

    file = (folder or repo_data() / "vcemo_sim") / "translations.csv"
    return pd.read_csv(file, index_col="text")["english"].to_dict() if file.is_file() else {}


# ---- dials: other training parts of the same size, drawn from a given one ------------------------------


def agreement(corpus: Corpus) -> pd.Series:
    """Did the raters agree? utt_id -> "unanimous" or "split"; the name of the series is `votes`."""
    votes = corpus.table["votes"]
    return votes.map(lambda v: "unanimous" if max(v.values()) == sum(v.values()) else "split").rename("votes")


def by_votes(corpus: Corpus, seed: int = 0) -> dict[str, Corpus]:
    """The dial of ambiguity: {"unanimous", "split"}, as many utterances of each emotion in both."""
    agreed = agreement(corpus)
    kinds = {kind: corpus.subset(agreed == kind, f"{corpus.name}, {kind}") for kind in ("unanimous", "split")}
    have = [part.table["emotion"].value_counts() for part in kinds.values()]
    wanted = {label: int(min(count.get(label, 0) for count in have)) for label in corpus.labels}
    return {kind: _draw(part, wanted, seed) for kind, part in kinds.items()}


def by_mix(corpus: Corpus, size: int | None = None, seed: int = 0) -> dict[str, Corpus]:
    """The dial of imbalance: {"balanced", "as it is", "paper's mix"}, `size` utterances each.

    "paper's mix" has fear and surprise at 2.5 % together. By default the size is the largest that the rarest
    emotion allows. Raises VcemoError where an emotion has too few utterances.
    """
    counts = corpus.table["emotion"].value_counts().reindex(corpus.labels, fill_value=0)
    size = size or int(counts.min()) * len(corpus.labels)
    rare = counts.index.isin(["fear", "surprise"])
    rare_share = counts * rare / counts[rare].sum() * PAPER_RARE
    papers = rare_share + counts * ~rare / counts[~rare].sum() * (1 - PAPER_RARE)
    drawn = {}
    for name, mix in {"balanced": counts * 0 + 1.0, "as it is": counts, "paper's mix": papers}.items():
        wanted = dict(zip(mix.index, apportion(mix.to_numpy() / mix.sum() * size).tolist(), strict=True))
        drawn[name] = _draw(replace(corpus, name=f"{corpus.name}, {name}"), wanted, seed)
    return drawn


def dials(parts: Mapping[str, Corpus], seed: int = 0) -> dict[str, dict[str, Corpus]]:
    """Every setting of both dials -> parts with that training part, all of about one size.

    Validation and test part stay as they are: whole, with votes and emotions of every kind.
    """
    train = parts["train"]
    votes = by_votes(train, seed)
    rarest = int(train.table["emotion"].value_counts().reindex(train.labels, fill_value=0).min())
    size = min(len(votes["split"]), rarest * len(train.labels))
    return {name: {**parts, "train": part} for name, part in (votes | by_mix(train, size, seed)).items()}


def _draw(corpus: Corpus, wanted: Mapping[str, int], seed: int) -> Corpus:
    """So many utterances of each emotion, in the corpus' order."""
    import numpy as np

    rng = np.random.default_rng(seed)
    chosen: set[str] = set()
    for label, number in wanted.items():
        ids = corpus.table.index[corpus.table["emotion"] == label].to_numpy()
        if number > len(ids):
            what = f"{number} utterances of {label} wanted, there are {len(ids)}"
            raise VcemoError(what, where=corpus.name, do="choose a smaller size")
        chosen.update(rng.permutation(ids)[:number])
    return corpus.subset([u for u in corpus.ids if u in chosen])
