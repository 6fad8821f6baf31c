"""Write docs/readings.md: `python data/build/readings.py`."""

from __future__ import annotations

from pathlib import Path

from vcemo_lib.models.readings import page
from vcemo_lib.paths import write_atomically

if __name__ == "__main__":
    write_atomically(Path(__file__).resolve().parents[2] / "docs" / "readings.md", page())
