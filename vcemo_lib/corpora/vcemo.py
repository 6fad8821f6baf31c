"""VCEMO itself (Tang et al.), once it is released: any CSV manifest with the paper's six labels.

The paper documents clips, transcripts, one of six labels and over 100 speakers (section 4.1); columns under
other names are mapped here.
"""

from __future__ import annotations

from pathlib import Path

from vcemo_lib.corpora.corpus import Corpus, from_table
from vcemo_lib.corpora.manifest import read_table
from vcemo_lib.errors import VcemoError

# The corpus' own word -> the paper's label.
LABEL_MAP = {
    "anger": "angry", "fearful": "fear", "happiness": "happy", "sadness": "sad", "surprised": "surprise",
}  # fmt: skip


def read(root: Path | str | None = None, manifest: str = "manifest.csv") -> Corpus:
    """VCEMO from its folder; raises VcemoError where no folder is given, since it is not released yet."""
    if root is None:
        do = "give root=FOLDER once you have it, or use load_corpus('sim')"
        raise VcemoError("VCEMO is not released", do=do)
    path = Path(root) / manifest
    table = read_table(path)
    labels = table["emotion"].str.strip().str.lower()
    table["emotion"] = labels.replace(LABEL_MAP)
    return from_table("vcemo", table, Path(root), manifest=path)
