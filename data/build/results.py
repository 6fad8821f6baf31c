"""Write the results that `vcemo results` prints into README.md and README.zh.md."""

from __future__ import annotations

import json
from pathlib import Path

from vcemo_lib.course import results
from vcemo_lib.paths import write_atomically

ROOT = Path(__file__).resolve().parent.parent.parent
PHRASES = Path(__file__).with_name("results_zh.json")  # English -> Chinese, in the order of replacement
START, END = "<!-- results: written by data/build/results.py -->\n", "<!-- end of results -->"


def in_chinese(text: str) -> str:
    """The section for README.zh.md: numbers stay, every phrase of PHRASES is replaced, in its order."""
    for english, chinese in json.loads(PHRASES.read_text(encoding="utf-8")).items():
        if english not in text:
            raise SystemExit(f"{PHRASES.name}: the section no longer says {english!r}")
        text = text.replace(english, chinese)
    return text


def main() -> None:
    english = results.section()
    for page, text in {"README.md": english, "README.zh.md": in_chinese(english)}.items():
        before, rest = (ROOT / page).read_text(encoding="utf-8").split(START)
        write_atomically(ROOT / page, before + START + text + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
