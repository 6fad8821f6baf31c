"""Corpora: one reader each, all giving the same thing, a `Corpus`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from vcemo_lib.corpora import protocols as protocols
from vcemo_lib.corpora import splits as splits
from vcemo_lib.corpora.corpus import Corpus, four, from_table
from vcemo_lib.corpora.labels import FOUR, LABELS
from vcemo_lib.corpora.manifest import read_table
from vcemo_lib.errors import VcemoError

READERS = ("sim", "vcemo")
__all__ = ["FOUR", "LABELS", "READERS", "Corpus", "four", "from_table", "load_corpus"]


def load_corpus(name: str | Path, root: str | Path | None = None, **options: Any) -> Corpus:
    """A corpus by its reader's name, or by a CSV manifest's path (clips lie in `root`, or beside it).

    Raises VcemoError for an unknown name and for a manifest with bad rows, which are all named.
    """
    if str(name) in READERS:
        return import_module(f"vcemo_lib.corpora.{name}").read(root, **options)
    if (path := Path(name)).suffix.lower() not in {".csv", ".tsv"}:
        do = f"use one of {', '.join(READERS)}, or the path of a CSV manifest"
        raise VcemoError(f"unknown corpus {str(name)!r}", do=do)
    return from_table(path.stem, read_table(path), Path(root or path.parent), manifest=path, **options)
