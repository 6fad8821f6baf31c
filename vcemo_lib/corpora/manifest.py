"""The manifest as it is written: a CSV file, one row an utterance, read as text and checked as a whole."""

from __future__ import annotations

import os
import re
import stat
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pandas as pd

from vcemo_lib.errors import VcemoError

REQUIRED = ("utt_id", "audio", "text", "emotion", "speaker")
SPLITS = ("train", "val", "test")
MOST_ROWS_TOLD = 20  # a manifest with ten thousand bad rows should still fit on a screen
SECONDS = re.compile(r"(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?)?")
OUTSIDE = re.compile(r"[/\\]|[A-Za-z]:|(.*[/\\])?\.\.([/\\]|$)", re.DOTALL)  # absolute, or climbs by ".."
COUNT = re.compile(r"[0-9]{1,6}(\.0)?")  # of votes


def read_table(manifest: Path) -> pd.DataFrame:
    """A CSV (or TSV) manifest as text; row i stands on line i + 2. VcemoError where it cannot be read."""
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
        raise VcemoError(f"the manifest lacks the column(s) {', '.join(missing)}", manifest, "add them")
    return table[(table != "").any(axis=1)]  # blank lines are no rows


def parse_votes(text: str) -> dict[str, int]:
    """Votes as written, `angry:2 sad:1`, to label -> count. Raises ValueError for anything else."""
    pairs = [vote.partition(":")[::2] for vote in text.replace(";", " ").split()]
    if strange := [count for _, count in pairs if not COUNT.fullmatch(count)]:
        raise ValueError(f"{strange[0]!r} is not a count")
    return {label: int(float(count)) for label, count in pairs}


def cell_tests(labels: Sequence[str], root: Path) -> dict[str, Callable[[str], str | None]]:
    """Column -> test of one cell: its text -> what is wrong with it, or None."""

    @cache
    def votes(text: str) -> str | None:
        try:
            known = set(parse_votes(text)) <= {*labels, "other"}
        except ValueError:
            known = False
        return None if known else f"votes {text[:60]!r} are not of the form 'angry:2 sad:1', of known labels"

    @cache
    def audio(text: str) -> str | None:  # the file is not decoded
        if OUTSIDE.match(text):
            return f"audio path {text!r} leads out of the corpus; give it relative to {root}"
        try:
            found = os.stat(f"{root}/{text}")  # for a million clips faster than pathlib
        except (OSError, ValueError):  # ValueError: a NUL in the name
            return f"no audio file {text!r}"
        return None if stat.S_ISREG(found.st_mode) and found.st_size else f"{text!r} is empty, or no file"

    def seconds(text: str) -> str | None:
        return None if SECONDS.fullmatch(text) else f"start or end {text!r} is not a number of seconds"

    def among(column: str, known: Sequence[str]) -> Callable[[str], str | None]:
        listed = ", ".join(filter(None, known))
        return lambda text: None if text in known else f"unknown {column} {text!r}; known are {listed}"

    named = {of: lambda text, of=of: None if text.strip() else f"empty {of}" for of in ("utt_id", "speaker")}
    listed = {"emotion": among("emotion", labels), "split": among("split", ("", *SPLITS))}
    return {**named, **listed, "votes": votes, "start": seconds, "end": seconds, "audio": audio}


def check(table: pd.DataFrame, root: Path, labels: Sequence[str], manifest: Path | str) -> None:
    """Refuse a table with bad rows: one VcemoError that names every one by file, line and reason."""
    if not len(table):
        raise VcemoError("the manifest has no rows", where=manifest, do="add one row an utterance")
    tests, found, breaks = cell_tests(labels, root), [], 0
    strange = table["utt_id"].str.strip().duplicated()  # each text is tested once, then rows where one is
    for of in tests.keys() & {*table}:
        strange |= table[of].isin([text for text in table[of].unique() if tests[of](text)])
    times = table.reindex(columns=["start", "end"]).apply(pd.to_numeric, errors="coerce").fillna({"start": 0})
    if not (strange | (times["start"] >= times["end"])).any():  # a blank end is NaN, which nothing passes
        return
    first: dict[str, int] = {}  # utterance -> its line
    for number, row in zip(table.index, table.to_dict("records"), strict=True):
        line = number + 2 + breaks  # line 1 is the header; a quoted cell may hold line breaks
        breaks += sum(cell.count("\n") for cell in row.values())
        wrong = [reason for of, test in tests.items() if of in row and (reason := test(row[of]))]
        start, end = row.get("start"), row.get("end")
        if not wrong and end and float(start or 0) >= float(end):
            wrong.append(f"start {start} s is not before end {end} s")
        if (utt_id := row["utt_id"].strip()) and first.setdefault(utt_id, line) != line:
            wrong.append(f"duplicate utt_id {utt_id!r}, first on line {first[utt_id]}")
        found += [f"line {line}: {reason}" for reason in wrong]
    if found:
        more = [f"and {len(found) - MOST_ROWS_TOLD} more"] if len(found) > MOST_ROWS_TOLD else []
        listed = "\n  ".join([f"{len(found)} bad row(s) in {manifest}:", *found[:MOST_ROWS_TOLD], *more])
        raise VcemoError(f"{listed}\nmend or remove them")
