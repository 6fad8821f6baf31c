"""VCEMO-Sim, the bundled corpus: simulated Mandarin speech (see data/vcemo_sim/DATASHEET.md)."""

from __future__ import annotations

import json
from pathlib import Path

from vcemo_lib.corpora.corpus import Corpus, from_table, read_table
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import repo_data


def read(root: Path | str | None = None, paper_mix: bool = False) -> Corpus:
    """VCEMO-Sim with its splits, votes and Whisper transcripts; `paper_mix` keeps fear and surprise at 2.5 % together."""
    folder = Path(root) if root else repo_data() / "vcemo_sim"
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        raise VcemoError("VCEMO-Sim is not there", where=folder, do="clone the repository whole, or rebuild it with data/build/vcemo_sim/build.py")
    table = read_table(manifest)
    if paper_mix:
        table = table[table["paper_mix"] == "1"]
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    return from_table("sim", table, folder, manifest=manifest, simulated=True, about=about)
