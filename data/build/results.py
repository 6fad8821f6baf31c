"""Write README's results section, which `vcemo results` prints: `python data/build/results.py`."""

from __future__ import annotations

from pathlib import Path

from vcemo_lib.course import results
from vcemo_lib.paths import write_atomically

README = Path(__file__).resolve().parent.parent.parent / "README.md"
START, END = "<!-- results: written by data/build/results.py -->\n", "<!-- end of results -->"


def main() -> None:
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(START)
    write_atomically(README, before + START + results.section() + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
