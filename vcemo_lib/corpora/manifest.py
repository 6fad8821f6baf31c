"""The manifest as it is written: a CSV file, one row an utterance, read as text and checked as a whole."""

from __future__ import annotations

import json
import os
import re
import stat
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from vcemo_lib.errors import VcemoError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

REQUIRED = ("utt_id", "audio", "text", "emotion", "speaker")
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
    as_text: Any = {"dtype": str, "keep_default_na": False, "skip_blank_lines": False, "index_col": False}
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


def checks(labels: Sequence[str], root: Path, files: bool) -> dict[str, Callable[[str], str | None]]:
    """Column -> check of one cell: its text -> what is wrong with it, or None."""

    def votes(text: str) -> str | None:
        try:
            strange = sorted(set(parse_votes(text)) - {*labels, "other"})
        except ValueError:
            return f"votes {text[:60]!r} are not of the form 'angry:2 sad:1'"
        return f"votes for unknown label(s) {', '.join(strange)}" if strange else None

    def audio(text: str) -> str | None:
        """A relative path inside the root and, with `files`, a file that is not empty; it is not decoded."""
        if not text:
            return "empty audio path"
        if text.startswith(("/", "\\")) or PureWindowsPath(text).drive or ".." in PurePosixPath(text).parts:
            return f"audio path {text!r} leads out of the corpus; give it relative to {root}"
        if not files:
            return None
        try:
            found = os.stat(os.path.join(root, text))  # for a million clips faster than pathlib
        except (OSError, ValueError):  # ValueError: a NUL in the name
            return f"no audio file {text!r}"
        if not stat.S_ISREG(found.st_mode):
            return f"no audio file {text!r}"
        return None if found.st_size else f"audio file {text!r} is empty"

    def seconds(text: str) -> str | None:
        known = not text or SECONDS.fullmatch(text)
        return None if known else f"start or end {text!r} is not a number of seconds"

    def among(what: str, *known: str) -> Callable[[str], str | None]:
        listed = ", ".join(filter(None, known))
        return lambda text: None if text in known else f"unknown {what} {text!r}; known are {listed}"

    return {
        "utt_id": lambda text: None if text.strip() else "empty utt_id",
        "speaker": lambda text: None if text.strip() else "empty speaker",
        "emotion": among("emotion", *labels),
        "split": among("split", "", *SPLITS),
        **{"votes": votes, "start": seconds, "end": seconds, "audio": audio},
    }


def check(
    table: pd.DataFrame, root: Path, labels: Sequence[str], manifest: Path | str, files: bool = True
) -> None:
    """Refuse a table with bad rows: one VcemoError that names every one by file, line and reason."""
    import pandas as pd

    if not len(table):
        raise VcemoError("the manifest has no rows", where=manifest, do="add one row an utterance")
    rows, faults, lines = table.reset_index(drop=True), [], _lines(table)
    for column, wrong in checks(labels, root, files).items():
        if column in rows:
            reasons = {text: wrong(text) for text in rows[column].unique()}  # each text once
            faults.append(rows[column].map(reasons).dropna())
    found = pd.concat([*faults, _repeated_ids(rows, lines), _reversed_segments(rows)])
    if len(found):
        told = [f"line {lines[row]}: {reason}" for row, reason in found.sort_index(kind="stable").items()]
        more = [f"and {len(told) - MOST_ROWS_TOLD} more"] if len(told) > MOST_ROWS_TOLD else []
        listed = "\n  ".join([f"{len(told)} bad row(s) in {manifest}:", *told[:MOST_ROWS_TOLD], *more])
        raise VcemoError(f"{listed}\nmend or remove them")


def _repeated_ids(rows: pd.DataFrame, lines: np.ndarray) -> pd.Series:
    ids = rows["utt_id"].str.strip()
    first = dict(zip(ids[::-1], lines[::-1], strict=True))
    again = ids[ids.duplicated() & (ids != "")]
    return again.map(lambda utt_id: f"duplicate utt_id {utt_id!r}, first on line {first[utt_id]}")


def _reversed_segments(rows: pd.DataFrame) -> pd.Series:
    import pandas as pd

    if "end" not in rows:
        return pd.Series(dtype=object)
    end = pd.to_numeric(rows["end"], errors="coerce")
    start = pd.to_numeric(rows["start"], errors="coerce").fillna(0) if "start" in rows else 0
    wrong = rows[start >= end].to_dict("index")  # a blank end is NaN, which nothing passes
    told = "start {} s is not before end {} s".format
    return pd.Series({at: told(row.get("start") or 0, row["end"]) for at, row in wrong.items()}, dtype=object)


def _lines(table: pd.DataFrame) -> np.ndarray:
    """The line on which each row begins: line 1 is the header, and a quoted cell may hold line breaks."""
    import numpy as np

    breaks = np.sum([table[column].str.count("\n").to_numpy(int) for column in table], axis=0)
    return np.asarray(table.index) + 2 + np.cumsum(breaks) - breaks
