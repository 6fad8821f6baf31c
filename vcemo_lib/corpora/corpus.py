"""The manifest: one row an utterance, checked as a whole, and the folder that its clips lie in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcemo_lib.corpora.labels import LABELS
from vcemo_lib.errors import VcemoError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

REQUIRED = ("utt_id", "audio", "text", "emotion", "speaker")
OPTIONAL = ("group", "start", "end", "votes", "split", "language")
SPLITS = ("train", "val", "test")
MOST_ROWS_TOLD = 20  # a manifest with ten thousand bad rows should still fit on a screen


@dataclass(frozen=True)
class Corpus:
    """A validated manifest and its root folder.

    `table` has one row an utterance, indexed by utt_id. `labels` gives the class order: class i is labels[i].
    """

    name: str
    root: Path
    table: pd.DataFrame
    labels: tuple[str, ...] = LABELS
    simulated: bool = False
    about: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        kind = "simulated, " if self.simulated else ""
        return f"Corpus({self.name!r}, {kind}{len(self)} utterances, {self.table['speaker'].nunique()} speakers)"

    @property
    def ids(self) -> list[str]:
        """The utterance ids in the manifest's order."""
        return self.table.index.tolist()

    def path(self, utt_id: str) -> Path:
        """Where an utterance's clip lies."""
        return self.root / self.table.at[utt_id, "audio"]

    def segment(self, utt_id: str) -> tuple[float, float | None]:
        """Where in its file an utterance lies, in seconds: (start, end); (0, None) for a whole file."""
        row = self.table.loc[utt_id]
        start, end = (float(row[c]) if c in self.table else float("nan") for c in ("start", "end"))
        return (0.0 if start != start else start), (None if end != end else end)  # NaN is not itself

    def y(self) -> np.ndarray:
        """Class indices, (N,) int64."""
        return self.table["emotion"].map({label: i for i, label in enumerate(self.labels)}).to_numpy("int64")

    def text_of(self, utt_id: str, source: str = "gold") -> str:
        """What was said: the manifest's own words (`gold`), or those that Whisper heard (`asr`).

        Raises VcemoError where the corpus carries no transcripts of an ASR.
        """
        if source == "gold":
            return self.table.at[utt_id, "text"]
        if source != "asr":
            raise VcemoError(f"unknown text source {source!r}", do="use 'gold' or 'asr'")
        if "asr" not in self.table:
            raise VcemoError("this corpus carries no ASR transcripts", where=self.name, do="run vcemo_lib.asr.transcribe(corpus) and attach the result")
        return self.table.at[utt_id, "asr"]

    def subset(self, which: Iterable[str] | Sequence[bool], name: str | None = None) -> Corpus:
        """The utterances with these ids, or where a boolean mask is true, in that order."""
        table = self.table.loc[list(which)]
        return replace(self, name=name or self.name, table=table)

    def with_labels(self, labels: Sequence[str]) -> Corpus:
        """Only the utterances with one of these labels, which become the classes."""
        return replace(self, table=self.table[self.table["emotion"].isin(labels)], labels=tuple(labels))

    def with_column(self, name: str, values: Any) -> Corpus:
        """The same corpus with a column set (say `asr`), aligned by utt_id where `values` is a Series."""
        return replace(self, table=self.table.assign(**{name: values}))

    def fingerprint(self) -> str:
        """12 hex digits of ids, words, labels and speakers: the same digits, the same corpus."""
        rows = self.table.reset_index()[list(REQUIRED)].to_csv(index=False, lineterminator="\n")
        return hashlib.sha256(rows.encode("utf-8")).hexdigest()[:12]


def read_table(manifest: Path) -> pd.DataFrame:
    """A CSV (or TSV) manifest as strings, utt_id still a column. Raises VcemoError where it cannot be read."""
    import pandas as pd

    try:
        table = pd.read_csv(manifest, sep="\t" if manifest.suffix == ".tsv" else ",", dtype=str, encoding="utf-8-sig", keep_default_na=False)
    except FileNotFoundError as error:
        raise VcemoError("no such manifest", where=manifest, do="give the path of a CSV file, or a corpus' name") from error
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise VcemoError(f"not a readable CSV file: {error}", where=manifest, do="save it as UTF-8 with commas between columns") from error
    missing = [column for column in REQUIRED if column not in table]
    if missing:
        raise VcemoError(f"the manifest lacks the column(s) {', '.join(missing)}", where=manifest, do=f"it needs {', '.join(REQUIRED)}")
    return table


def parse_votes(text: str) -> dict[str, int]:
    """Votes as written, `angry:2 sad:1` or JSON, to label -> count. Raises ValueError where it is neither."""
    if not text:
        return {}
    if text.startswith("{"):
        return {str(label): int(count) for label, count in json.loads(text).items()}
    return {label: int(count) for label, _, count in (vote.partition(":") for vote in text.replace(";", " ").split())}


def check(table: pd.DataFrame, root: Path, labels: Sequence[str], manifest: Path | str = "manifest", files: bool = True) -> None:
    """Refuse a table with bad rows: one VcemoError that names every one by file, line and reason.

    With `files`, each clip must exist and not be empty (its sound is only decoded when it is used).
    """
    faults: list[tuple[int, str]] = []
    first_line: dict[str, int] = {}
    for line, row in enumerate(table.to_dict("records"), start=2):  # line 1 is the header
        told = faults.append
        utt_id = row["utt_id"].strip()
        if not utt_id:
            told((line, "empty utt_id"))
        elif utt_id in first_line:
            told((line, f"duplicate utt_id {utt_id!r}, first on line {first_line[utt_id]}"))
        first_line.setdefault(utt_id, line)
        if row["emotion"] not in labels:
            told((line, f"unknown emotion {row['emotion']!r}; known are {', '.join(labels)}"))
        if not row["speaker"].strip():
            told((line, "empty speaker"))
        if row.get("split") and row["split"] not in SPLITS:
            told((line, f"unknown split {row['split']!r}; known are {', '.join(SPLITS)}"))
        if row.get("votes"):
            try:
                votes = parse_votes(row["votes"])
                strange = sorted(set(votes) - set(labels) - {"other"})
                if strange:
                    told((line, f"votes for unknown label(s) {', '.join(strange)}"))
            except ValueError:
                told((line, f"votes {row['votes']!r} are not of the form 'angry:2 sad:1'"))
        try:
            start, end = float(row.get("start") or 0), float(row.get("end") or "inf")
            if not 0 <= start < end:
                told((line, f"start {start} s is not before end {end} s"))
        except ValueError:
            told((line, f"start {row.get('start')!r} or end {row.get('end')!r} is not a number of seconds"))
        if not row["audio"]:
            told((line, "empty audio path"))
        elif Path(row["audio"]).is_absolute() or ".." in Path(row["audio"]).parts:
            told((line, f"audio path {row['audio']!r} leads out of the corpus; give it relative to {root}"))
        elif files:
            clip = root / row["audio"]
            if not clip.is_file():
                told((line, f"no audio file {row['audio']!r}"))
            elif clip.stat().st_size == 0:
                told((line, f"audio file {row['audio']!r} is empty"))
    if faults:
        told = [f"line {line}: {reason}" for line, reason in faults[:MOST_ROWS_TOLD]]
        more = f"\n  and {len(faults) - MOST_ROWS_TOLD} more" if len(faults) > MOST_ROWS_TOLD else ""
        raise VcemoError(f"{len(faults)} bad row(s) in {manifest}:\n  " + "\n  ".join(told) + more + "\nmend or remove them")
    if not len(table):
        raise VcemoError("the manifest has no rows", where=manifest, do="add one row an utterance")


def from_table(
    name: str,
    table: pd.DataFrame,
    root: Path,
    labels: Sequence[str] = LABELS,
    manifest: Path | str = "manifest",
    simulated: bool = False,
    files: bool = True,
    about: dict[str, Any] | None = None,
) -> Corpus:
    """A Corpus from a table of strings (columns as in `REQUIRED` and `OPTIONAL`), checked; raises VcemoError."""
    import pandas as pd

    check(table, root, labels, manifest, files)
    table = table.set_index("utt_id")
    if "votes" in table:
        table["votes"] = table["votes"].map(parse_votes)
    for column in ("start", "end"):
        if column in table:
            table[column] = pd.to_numeric(table[column], errors="coerce")
    return Corpus(name, root, table, tuple(labels), simulated, about or {})


def from_manifest(manifest: Path | str, root: Path | str | None = None, labels: Sequence[str] = LABELS, name: str | None = None) -> Corpus:
    """Any corpus by its CSV manifest; clips are looked for under `root`, or beside the manifest."""
    manifest = Path(manifest)
    table = read_table(manifest)
    return from_table(name or manifest.stem, table, Path(root) if root else manifest.parent, labels, manifest)
