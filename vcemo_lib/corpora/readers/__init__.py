"""Releases of real speech as their owners ship them: `read` gives a manifest's table and a report."""

from __future__ import annotations

import json
import os
import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcemo_lib.corpora.corpus import Corpus, from_table
from vcemo_lib.corpora.readers.facts import CORPORA, Facts
from vcemo_lib.corpora.readers.tree import Report, Tree, gather
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import cache_dir, write_atomically

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CORPORA", "READABLE", "Facts", "Report", "load", "note", "noted", "place", "read", "remember"]
PLACES = "corpora.json"  # in the cache: where corpora were last read
READABLE = tuple(name for name, facts in CORPORA.items() if facts.reader)


def read(name: str, root: Path | str) -> tuple[pd.DataFrame, Report]:
    """A release's rows as a manifest's table, with paths below `root`, and what is missing, extra, unknown.

    Raises VcemoError for a tree that is not this corpus, with the list of what is wrong.
    """
    import pandas as pd

    facts, report, tree = CORPORA[name], Report(), Tree(Path(root))
    file, _, function = facts.reader.partition(".")
    rows = getattr(import_module(f"{__name__}.{file}"), function)(tree, facts, report)
    table = pd.DataFrame(map(vars, gather(facts, tree, rows, report)))
    table["votes"] = [" ".join(f"{label}:{n}" for label, n in votes.items()) for votes in table["votes"]]
    told = [column for column in table if (table[column] != "").any() or column == "text"]
    return table[told].assign(corpus=name), report


def load(name: str, root: Path | str | None = None, **facts: Any) -> Corpus:
    """A release as a Corpus; a copy that is not complete is told as a warning. `about` holds the report."""
    known = CORPORA[name]
    if name not in READABLE:
        raise VcemoError(f"{name} has no emotions", do="use it for speech recognition")
    if (folder := Path(root) if root else place(name)) is None:
        raise VcemoError(f"{name} is not on this machine", do=f"{known.get}, then give root=FOLDER")
    table, report = read(name, folder)
    if faults := report.faults():
        warnings.warn(f"{name}: {'; '.join(faults)}", stacklevel=2)
    about = {"report": str(report).splitlines(), "licence": known.licence}
    return from_table(name, table, folder, known.classes, folder, about=about, **facts)


def place(name: str) -> Path | None:
    """Where a corpus lies on this machine: below VCEMO_CORPORA, where it was last read, or in the cache."""
    below = os.environ.get("VCEMO_CORPORA")
    places = [Path(below, name)] if below else []
    places += [Path(path) for path in [noted(cache_dir() / PLACES).get(name)] if path]
    return next((path for path in [*places, cache_dir() / "corpora" / name] if path.is_dir()), None)


def remember(name: str, root: Path) -> None:
    """Keep where a corpus lies, so that its name is enough the next time."""
    note(cache_dir() / PLACES, name, str(root.resolve()))


def noted(file: Path) -> dict[str, str]:
    """The notes in a file of ours; none where it is not there or damaged."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def note(file: Path, key: str, value: str) -> None:
    """Add a note to a file of ours."""
    write_atomically(file, json.dumps({**noted(file), key: value}, indent=1, ensure_ascii=False))
