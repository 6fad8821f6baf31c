"""The manifest as it is written: a CSV file, one row an utterance, read as text and checked as a whole."""

from __future__ import annotations

import json
import os
import re
import stat
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from vcemo_lib.errors import VcemoError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

REQUIRED = ("utt_id", "audio", "text", "emotion", "speaker")
OPTIONAL = ("group", "start", "end", "votes", "split", "language")
SPLITS = ("train", "val", "test")
MOST_ROWS_TOLD = 20  # a manifest with ten thousand bad rows should still fit on a screen
SECONDS = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?")
COUNT = re.compile(r"[0-9]{1,6}(\.0)?")  # of votes


def read_table(manifest: Path) -> pd.DataFrame:
    """A CSV (or TSV) manifest as text, utt_id still a column; row i stands on line i + 2 of the file.

    Raises VcemoError where it cannot be read.
    """
    import pandas as pd

    if manifest.exists() and not manifest.is_file():
        raise VcemoError("the manifest is not a file", where=manifest, do="give the path of a CSV file")
    separator = "\t" if manifest.suffix.lower() == ".tsv" else ","
    as_text = {"dtype": str, "keep_default_na": False, "skip_blank_lines": False, "index_col": False}
    try:
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):  # too many cells
            table = pd.read_csv(manifest, sep=separator, encoding="utf-8-sig", **as_text).fillna("")
    except FileNotFoundError as error:
        do = "give the path of a CSV file, or a corpus' name"
        raise VcemoError("no such manifest", where=manifest, do=do) from error
    except OSError as error:
        raise VcemoError(f"the manifest cannot be read: {error.strerror}", where=manifest) from error
    except (ValueError, pd.errors.ParserWarning) as error:  # ParserError, UnicodeDecodeError are ValueErrors
        reason, do = str(error).strip().splitlines()[-1], "save it as UTF-8 with commas between columns"
        raise VcemoError(f"not a readable CSV file: {reason}", where=manifest, do=do) from error
    if missing := [column for column in REQUIRED if column not in table]:
        needs = f"it needs {', '.join(REQUIRED)}"
        raise VcemoError(f"the manifest lacks the column(s) {', '.join(missing)}", where=manifest, do=needs)
    return table[(table != "").any(axis=1)]  # blank lines are no rows


def parse_votes(text: str) -> dict[str, int]:
    """Votes as written, `angry:2 sad:1` or JSON, to label -> count. Raises ValueError where it is neither."""
    if text.startswith("{"):
        try:
            pairs = list(json.loads(text).items())
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
    else:
        pairs = [vote.partition(":")[::2] for vote in text.replace(";", " ").split()]
    if strange := [count for _, count in pairs if not COUNT.fullmatch(str(count))]:
        raise ValueError(f"{strange[0]!r} is not a count")
    return {label: int(float(count)) for label, count in pairs}


# ---- checks of one cell: its text -> what is wrong with it, or None ------------------------------------


@dataclass(frozen=True)
class Rules:
    """What the cells of a manifest are checked against."""

    labels: Sequence[str]
    root: Path
    files: bool = True  # whether the clips must be there


def _utt_id(text: str, rules: Rules) -> str | None:
    return None if text.strip() else "empty utt_id"


def _emotion(text: str, rules: Rules) -> str | None:
    return None if text in rules.labels else f"unknown emotion {text!r}; known are {', '.join(rules.labels)}"


def _speaker(text: str, rules: Rules) -> str | None:
    return None if text.strip() else "empty speaker"


def _split(text: str, rules: Rules) -> str | None:
    return None if text in ("", *SPLITS) else f"unknown split {text!r}; known are {', '.join(SPLITS)}"


def _votes(text: str, rules: Rules) -> str | None:
    try:
        strange = sorted(set(parse_votes(text)) - {*rules.labels, "other"})
    except ValueError:
        shown = text if len(text) < 60 else f"{text[:60]}…"
        return f"votes {shown!r} are not of the form 'angry:2 sad:1'"
    return f"votes for unknown label(s) {', '.join(strange)}" if strange else None


def _seconds(text: str, rules: Rules) -> str | None:
    good = not text or SECONDS.fullmatch(text)
    return None if good else f"start or end {text!r} is not a number of seconds"


def _audio(text: str, rules: Rules) -> str | None:
    """A relative path inside the root and, with `files`, a file that is not empty; it is not decoded here."""
    if not text:
        return "empty audio path"
    if text.startswith(("/", "\\")) or PureWindowsPath(text).drive or ".." in PurePosixPath(text).parts:
        return f"audio path {text!r} leads out of the corpus; give it relative to {rules.root}"
    if not rules.files:
        return None
    try:
        found = os.stat(os.path.join(rules.root, text))  # for a million clips faster than pathlib
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return f"no audio file {text!r}"
    if not stat.S_ISREG(found.st_mode):
        return f"no audio file {text!r}"
    return None if found.st_size else f"audio file {text!r} is empty"


CHECKS: dict[str, Callable[[str, Rules], str | None]] = {
    "utt_id": _utt_id,
    "emotion": _emotion,
    "speaker": _speaker,
    "split": _split,
    "votes": _votes,
    "start": _seconds,
    "end": _seconds,
    "audio": _audio,
}


# ---- checks of the whole table -------------------------------------------------------------------------


def check(
    table: pd.DataFrame, root: Path, labels: Sequence[str], manifest: Path | str, files: bool = True
) -> None:
    """Refuse a table with bad rows: one VcemoError that names every one by file, line and reason."""
    import pandas as pd

    if not len(table):
        raise VcemoError("the manifest has no rows", where=manifest, do="add one row an utterance")
    rules, rows, faults = Rules(tuple(labels), root, files), table.reset_index(drop=True), []
    for column in [column for column in CHECKS if column in rows]:
        reasons = {text: CHECKS[column](text, rules) for text in rows[column].unique()}  # each text once
        if wrong := {text: reason for text, reason in reasons.items() if reason}:
            faults.append(rows[column].map(wrong).dropna())
    faults += [_repeated_ids(rows, table), _reversed_segments(rows)]
    if faults := [fault for fault in faults if len(fault)]:
        found = pd.concat(faults).sort_index(kind="stable")
        lines = _lines(table)
        told = [f"line {lines[row]}: {reason}" for row, reason in found[:MOST_ROWS_TOLD].items()]
        told += [f"and {len(found) - MOST_ROWS_TOLD} more"] if len(found) > MOST_ROWS_TOLD else []
        listed = "\n  ".join(told)
        raise VcemoError(f"{len(found)} bad row(s) in {manifest}:\n  {listed}\nmend or remove them")


def _repeated_ids(rows: pd.DataFrame, table: pd.DataFrame) -> pd.Series:
    ids = rows["utt_id"].str.strip()
    again = ids[ids.duplicated() & (ids != "")]
    if not len(again):
        return again
    first = dict(zip(ids[::-1], _lines(table)[::-1], strict=True))
    return again.map(lambda utt_id: f"duplicate utt_id {utt_id!r}, first on line {first[utt_id]}")


def _reversed_segments(rows: pd.DataFrame) -> pd.Series:
    import pandas as pd

    if "end" not in rows:
        return pd.Series(dtype=object)
    end = pd.to_numeric(rows["end"], errors="coerce")
    start = pd.to_numeric(rows["start"], errors="coerce").fillna(0) if "start" in rows else 0
    wrong = rows[start >= end]  # a blank end is NaN, which nothing passes
    told = "start {} s is not before end {} s".format
    return wrong.apply(lambda row: told(row.get("start") or 0, row["end"]), axis=1)


def _lines(table: pd.DataFrame) -> np.ndarray:
    """The line on which each row begins: line 1 is the header, and a quoted cell may hold line breaks."""
    import numpy as np

    breaks = sum(table[column].str.count("\n") for column in table).to_numpy(int)
    return np.asarray(table.index) + 2 + np.cumsum(breaks) - breaks
