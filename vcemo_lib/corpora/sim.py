"""VCEMO-Sim, the bundled corpus: simulated Mandarin speech (see data/vcemo_sim/DATASHEET.md)."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import pandas as pd

from vcemo_lib.corpora.corpus import Corpus, from_table
from vcemo_lib.corpora.manifest import read_table
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import repo_data


def read(root: Path | str | None = None, paper_mix: bool = False) -> Corpus:
    """VCEMO-Sim with splits, votes and Whisper transcripts; `paper_mix`: 2.5 % fear and surprise together."""
    folder = Path(root or repo_data() / "vcemo_sim")
    table = read_table(manifest := folder / "manifest.csv")
    table["english"] = table["text"].map(translations(folder)).fillna("")
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        what, do = "the description of VCEMO-Sim is damaged", "restore about.json with git checkout"
        raise VcemoError(what, where=folder, do=do) from error
    table = table[table["paper_mix"] == "1"] if paper_mix else table
    return from_table("sim", table, folder, manifest=manifest, simulated=True, about=about)


@lru_cache(maxsize=2)
def translations(folder: Path | None = None) -> dict[str, str]:
    """Every sentence written for VCEMO-Sim -> its English; none where the folder has no translations.csv."""
    file = (folder or repo_data() / "vcemo_sim") / "translations.csv"
    return pd.read_csv(file, index_col="text")["english"].to_dict() if file.is_file() else {}
