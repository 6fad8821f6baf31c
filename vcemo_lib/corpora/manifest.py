"""The manifest as it is written: a CSV file, one row an utterance, read as text and checked as a whole."""

from __future__ import annotations

import os
import re
import stat
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vcemo_lib.errors import VcemoError

if TYPE_CHECKING:
    import pandas as pd

REQUIRED = ("utt_id", "audio", "text", "emotion", "speaker")
SPLITS = ("train", "val", "test")
MOST_ROWS_TOLD = 20  # a manifest with ten thousand bad rows should still fit on a screen
SECONDS = re.compile(r"(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?)?")
OUTSIDE = re.compile(r"[/\\]|[A-Za-z]:|(.*[/\\])?\.\.([/\\]|$)", re.DOTALL)  # absolute, or climbs by ".."
COUNT = re.compile(r"[0-9]{1,6}(\.0)?")  # of votes


def read_table(manifest: Path) -> pd.DataFrame:
    """A CSV (or TSV) manifest as text; row i stands on line i + 2. VcemoError where it cannot be read."""
    import pandas as pd

    if not manifest.is_file():
        what = "the manifest is not a file" if manifest.exists() else "no such manifest"
        raise VcemoError(what, manifest, "give the path of a CSV file, or a corpus' name")
    try:
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):  # too many cells
            table = pd.read_csv(
                manifest, sep="\t" if manifest.suffix.lower() == ".tsv" else ",", encoding="utf-8-sig",
                dtype=str, keep_default_na=False, skip_blank_lines=False, index_col=False,
            ).fillna("")  # fmt: skip
    except (OSError, ValueError, pd.errors.ParserWarning) as error:  # UnicodeDecodeError is a ValueError
        what = f"not a readable CSV file: {str(error).strip().splitlines()[-1]}"
        raise VcemoError(what, manifest, "save it as UTF-8 with commas between columns") from error
    if missing := [column for column in REQUIRED if column not in table]:
        what = f"the manifest lacks the column(s) {', '.join(missing)}"
        raise VcemoError(what, manifest, f"it needs {', '.join(REQUIRED)}")
    return table[(table != "").any(axis=1)]  # blank lines are no rows


def parse_votes(text: str) -> dict[str, int]:
    """Votes as written, `angry:2 sad:1`, to label -> count. Raises ValueError for anything else."""
    pairs = [vote.partition(":")[::2] for vote in text.replace(";", " ").split()]
    if strange := [count for _, count in pairs if not COUNT.fullmatch(count)]:
        raise ValueError(f"{strange[0]!r} is not a count")
    return {label: int(float(count)) for label, count in pairs}


def checks(labels: Sequence[str], root: Path) -> dict[str, Callable[[str], str | None]]:
    """Column -> check of one cell: its text -> what is wrong with it, or None."""

    def votes(text: str) -> str | None:
        try:
            strange = sorted(set(parse_votes(text)) - {*labels, "other"})
        except ValueError:
            return f"votes {text[:60]!r} are not of the form 'angry:2 sad:1'"
        return f"votes for unknown label(s) {', '.join(strange)}" if strange else None

    def audio(text: str) -> str | None:  # the file is not decoded
        if OUTSIDE.match(text):
            return f"audio path {text!r} leads out of the corpus; give it relative to {root}"
        try:
            found = os.stat(f"{root}/{text}")  # for a million clips faster than pathlib
        except (OSError, ValueError):  # ValueError: a NUL in the name
            return f"no audio file {text!r}"
        if not stat.S_ISREG(found.st_mode) or not found.st_size:
            return f"audio file {text!r} is empty, or no file"
        return None

    def seconds(text: str) -> str | None:
        return None if SECONDS.fullmatch(text) else f"start or end {text!r} is not a number of seconds"

    def among(what: str, known: Sequence[str]) -> Callable[[str], str | None]:
        listed = ", ".join(filter(None, known))
        return lambda text: None if text in known else f"unknown {what} {text!r}; known are {listed}"

    return {
        "utt_id": lambda text: None if text.strip() else "empty utt_id",
        "speaker": lambda text: None if text.strip() else "empty speaker",
        "emotion": among("emotion", labels),
        "split": among("split", ("", *SPLITS)),
        **{"votes": votes, "start": seconds, "end": seconds, "audio": audio},
    }


def check(table: pd.DataFrame, root: Path, labels: Sequence[str], manifest: Path | str) -> None:
    """Refuse a table with bad rows: one VcemoError that names every one by file, line and reason."""
    import pandas as pd

    if not len(table):
        raise VcemoError("the manifest has no rows", where=manifest, do="add one row an utterance")
    rows, faults = table.reset_index(drop=True), []
    for column, wrong in checks(labels, root).items():
        if column in rows:
            reasons = {text: reason for text in rows[column].unique() if (reason := wrong(text))}
            faults.append(rows.loc[rows[column].isin(reasons), column].map(reasons))
    times = rows.reindex(columns=["start", "end"]).apply(pd.to_numeric, errors="coerce").fillna({"start": 0})
    turned = times[times["start"] >= times["end"]]  # a blank end is NaN, which nothing passes
    told = [f"start {start} s is not before end {end} s" for start, end in turned.itertuples(index=False)]
    faults.append(pd.Series(told, turned.index, dtype=object))
    ids = rows["utt_id"].str.strip()
    again = ids[ids.duplicated() & (ids != "")]
    if not len(again) and not any(map(len, faults)):
        return
    # Line 1 is the header; a quoted cell may hold line breaks, which count for the rows behind it.
    breaks = sum(table[column].str.count("\n").to_numpy(int) for column in table)
    lines = table.index.to_numpy() + 2 + breaks.cumsum() - breaks
    first = dict(zip(ids[::-1], lines[::-1], strict=True))
    faults.append(again.map(lambda utt_id: f"duplicate utt_id {utt_id!r}, first on line {first[utt_id]}"))
    found = pd.concat(faults).sort_index(kind="stable")
    told = [f"line {lines[row]}: {reason}" for row, reason in found[:MOST_ROWS_TOLD].items()]
    more = [f"and {len(found) - MOST_ROWS_TOLD} more"] if len(found) > MOST_ROWS_TOLD else []
    listed = "\n  ".join([f"{len(found)} bad row(s) in {manifest}:", *told, *more])
    raise VcemoError(f"{listed}\nmend or remove them")
