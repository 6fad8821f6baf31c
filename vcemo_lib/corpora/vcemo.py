"""VCEMO itself (Tang et al.), once it is released: a CSV manifest with the paper's six labels."""

from __future__ import annotations

from pathlib import Path

from vcemo_lib.corpora.corpus import Corpus, from_table
from vcemo_lib.corpora.manifest import read_table
from vcemo_lib.errors import VcemoError

OWN_LABELS = ("anger", "fearful", "happiness", "sadness", "surprised")  # other forms -> the paper's
LABELS = ("angry", "fear", "happy", "sad", "surprise")


def read(root: Path | str | None = None) -> Corpus:
    """VCEMO from its folder; raises VcemoError where no folder is given, since it is not released yet."""
    if root is None:
        raise VcemoError("VCEMO is not released", do="give root=FOLDER once you have it")
    table = read_table(manifest := Path(root) / "manifest.csv")
    table["emotion"] = table["emotion"].str.strip().str.lower().replace(OWN_LABELS, LABELS)
    return from_table("vcemo", table, Path(root), manifest=manifest)
