"""A corpus: a checked manifest, and the folder that its clips lie in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vcemo_lib.corpora.labels import FOUR, LABELS
from vcemo_lib.corpora.manifest import REQUIRED, check, parse_votes
from vcemo_lib.errors import VcemoError


@dataclass(frozen=True)
class Corpus:
    """A validated manifest (`table`, a row an utterance, by utt_id) and its root; class i is labels[i]."""

    name: str
    root: Path
    table: pd.DataFrame
    labels: tuple[str, ...] = LABELS
    simulated: bool = False
    about: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        kind, speakers = "simulated, " if self.simulated else "", self.table["speaker"].nunique()
        return f"Corpus({self.name!r}, {kind}{len(self)} utterances, {speakers} speakers)"

    @property
    def ids(self) -> list[str]:
        """The utterance ids in the manifest's order."""
        return self.table.index.tolist()

    def path(self, utt_id: str) -> Path:
        """Where an utterance's clip lies."""
        return self.root / str(self.table.at[utt_id, "audio"])

    def segment(self, utt_id: str) -> tuple[float, float | None]:
        """Where in its file an utterance lies, in seconds: (start, end); (0, None) for a whole file."""
        row = self.table.loc[utt_id]
        start, end = (float(row.get(column, "nan")) for column in ("start", "end"))
        return (0.0 if start != start else start), (None if end != end else end)  # NaN is not itself

    def y(self) -> np.ndarray:
        """Class indices, (N,) int64."""
        return self.table["emotion"].map({label: i for i, label in enumerate(self.labels)}).to_numpy("int64")

    def text_of(self, utt_id: str, source: str = "gold") -> str:
        """The transcript: the manifest's own words (`gold`), or Whisper's (`asr`), where there are such."""
        if source not in ("gold", "asr"):
            raise VcemoError(f"unknown text source {source!r}", do="use 'gold' or 'asr'")
        if source == "asr" and "asr" not in self.table:
            raise VcemoError("this corpus carries no ASR transcripts", self.name, "run asr.transcribe on it")
        return self.table.at[utt_id, "asr" if source == "asr" else "text"]

    def subset(self, which: Iterable[str] | Sequence[bool], name: str | None = None) -> Corpus:
        """The utterances with these ids, or where a boolean mask is true, in that order."""
        return replace(self, name=name or self.name, table=self.table.loc[list(which)])

    def with_column(self, name: str, values: Any) -> Corpus:
        """The same corpus with a column set (say `asr`), aligned by utt_id where `values` is a Series."""
        return replace(self, table=self.table.assign(**{name: values}))

    def fingerprint(self) -> str:
        """12 hex digits of ids, words, labels and speakers: the same digits, the same corpus."""
        rows = self.table.reset_index()[list(REQUIRED)].to_csv(index=False, lineterminator="\n")
        return hashlib.sha256(rows.encode("utf-8")).hexdigest()[:12]

    def to_csv(self) -> str:
        """The corpus as the text of a manifest that `load_corpus` reads back."""
        table = self.table.copy()
        if "votes" in table:
            table["votes"] = [" ".join(f"{label}:{n}" for label, n in v.items()) for v in table["votes"]]
        return table.to_csv(lineterminator="\n")


def four(corpus: Corpus) -> Corpus:
    """The utterances labelled angry, happy, neutral or sad, as a corpus of four classes (section 4.2)."""
    return replace(corpus, table=corpus.table[corpus.table["emotion"].isin(FOUR)], labels=FOUR)


def from_table(
    name: str, table: pd.DataFrame, root: Path, labels: Sequence[str] = LABELS,
    manifest: Path | str = "manifest", **facts: Any,
) -> Corpus:  # fmt: skip
    """A Corpus from a table of strings with a manifest's columns. VcemoError names all bad rows."""
    check(table, root, labels, manifest)
    table = table.set_index("utt_id")
    if "english" not in table:  # a translation of `text`
        table["english"] = ""
    if "votes" in table:
        votes = {text: parse_votes(text) for text in table["votes"].unique()}
        table["votes"] = [dict(votes[text]) for text in table["votes"]]
    for column in {"start", "end"} & set(table):
        table[column] = pd.to_numeric(table[column], errors="coerce")
    return Corpus(name, root, table, tuple(labels), **facts)
