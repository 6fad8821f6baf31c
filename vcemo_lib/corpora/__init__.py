"""Corpora: one reader each, all giving the same thing, a `Corpus`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from vcemo_lib.corpora import protocols as protocols
from vcemo_lib.corpora import readers
from vcemo_lib.corpora import splits as splits
from vcemo_lib.corpora.corpus import Corpus, four, from_table
from vcemo_lib.corpora.labels import FOUR, LABELS
from vcemo_lib.corpora.manifest import read_table
from vcemo_lib.errors import VcemoError

READERS = ("sim", "vcemo")
__all__ = ["FOUR", "LABELS", "READERS", "Corpus", "four", "from_table", "load_corpus"]


def load_corpus(name: str | Path, root: str | Path | None = None, **options: Any) -> Corpus:
    """A corpus by its name, or by a CSV manifest's path (clips: in `root`, where it says, or beside it)."""
    if str(name) in READERS:
        return import_module(f"vcemo_lib.corpora.{name}").read(root, **options)
    if str(name) in readers.CORPORA:
        return readers.load(str(name), root, **options)
    if (path := Path(name)).suffix.lower() not in {".csv", ".tsv"}:
        do = f"use one of {', '.join((*READERS, *readers.READABLE))}, or the path of a CSV manifest"
        raise VcemoError(f"unknown corpus {str(name)!r}", do=do)
    table = read_table(path)
    of, roots = (set(table.get(column, ())) - {""} for column in ("corpus", "root"))
    if len(of) == 1 and (release := of.pop()) in readers.READABLE:  # its own classes, not always our six
        options.setdefault("labels", readers.CORPORA[release].classes)
    root = Path(root or (roots.pop() if len(roots) == 1 else path.parent))
    return from_table(path.stem, table, root, manifest=path, **options)
