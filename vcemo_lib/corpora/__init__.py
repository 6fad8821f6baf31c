"""Corpora: one reader each, all giving the same thing, a `Corpus`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from vcemo_lib.corpora import splits as splits
from vcemo_lib.corpora.corpus import Corpus, four, from_manifest, from_table
from vcemo_lib.corpora.labels import FOUR, LABELS
from vcemo_lib.errors import VcemoError

READERS = ("sim", "vcemo")
__all__ = ["FOUR", "LABELS", "READERS", "Corpus", "four", "from_manifest", "from_table", "load_corpus"]


def load_corpus(name: str | Path, root: str | Path | None = None, **options: Any) -> Corpus:
    """A corpus by its reader's name (`sim`, `vcemo`), or by the path of a CSV manifest.

    Raises VcemoError for an unknown name and for a manifest with bad rows, which are all named.
    """
    if str(name) in READERS:
        return import_module(f"vcemo_lib.corpora.{name}").read(root, **options)
    if Path(name).suffix.lower() in {".csv", ".tsv"}:
        return from_manifest(name, root, **options)
    do = f"use one of {', '.join(READERS)}, or the path of a CSV manifest"
    raise VcemoError(f"unknown corpus {str(name)!r}", do=do)
