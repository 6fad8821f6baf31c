"""The text that the bundled encoders learn from, and the word list: no other script reads any.

Lines come from CPED (television dialogue) and from the SMP2020 *virus* posts (Weibo). The *usual* evaluation
posts are what the encoders are measured on: they are read by `evaluation_lines` only, and `check_disjoint`
refuses a training line that occurs there. No label is read.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections import Counter
from pathlib import Path

HANZI = re.compile(r"[\u4e00-\u9fff]")
WORD = re.compile(r"[\u4e00-\u9fff]+|[a-zA-Z]+|\d")
MAX_CHARS = 100  # the teacher's vectors in e5_teacher.npz are of lines cut there
WORDS = 28_000  # 304 bytes each: 8.5 MB
BUILD = Path(__file__).resolve().parents[3] / "build" / "text"


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that every script here takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--texts", type=Path, required=True, help="folder of the CPED and SMP2020 files")
    parser.add_argument("--work", type=Path, default=BUILD, help="folder of the intermediate files")
    return parser


def read_lines(path: Path) -> list[str]:
    """The lines of a file written here."""
    return path.read_text(encoding="utf-8").split("\n")


def _posts(path: Path) -> list[str]:
    return [row["content"].strip() for row in json.loads(path.read_text(encoding="utf-8"))]


def evaluation_lines(texts: Path) -> list[str]:
    """The posts of `smp2020_usual_eval`: measured on, never trained on."""
    return _posts(texts / "smp2020_usual_eval.json")


def training_lines(texts: Path) -> list[str]:
    """Every distinct training line with a Chinese character, cut at 100 characters, in a fixed order."""
    lines: list[str] = []
    for name in ("smp2020_virus_train.json", "smp2020_virus_eval.json"):
        lines += _posts(texts / name)
    for name in ("cped_test.csv", "cped_valid.csv"):
        with (texts / name).open(encoding="utf-8-sig", newline="") as file:
            lines += [row["Utterance"].strip() for row in csv.DictReader(file)]
    held_out = {line[:MAX_CHARS] for line in evaluation_lines(texts)}
    kept = dict.fromkeys(line[:MAX_CHARS] for line in lines if HANZI.search(line[:MAX_CHARS]))
    return [line for line in kept if line not in held_out]


def check_disjoint(lines: list[str], texts: Path) -> None:
    """Refuse training lines that are evaluation posts, spaces and the cut at 100 characters aside."""
    groups = (lines, evaluation_lines(texts))
    ours, theirs = ({re.sub(r"\s", "", line)[:MAX_CHARS] for line in group} for group in groups)
    assert not ours & theirs, f"evaluation posts among the training lines: {sorted(ours & theirs)[:3]}"


def word_list(lines: list[str], size: int = WORDS) -> list[str]:
    """Words of the table: characters and recurring words of the lines, then jieba's most frequent ones."""
    import jieba

    jieba.setLogLevel(60)
    dictionary: dict[str, int] = {}
    for row in Path(jieba.__file__).with_name("dict.txt").read_text(encoding="utf-8").splitlines():
        word, count, _ = row.split(" ")
        if WORD.fullmatch(word):
            dictionary[word] = int(count)
    met = Counter(word for line in lines for word in jieba.lcut(line) if WORD.fullmatch(word))
    by_frequency = sorted(dictionary, key=lambda word: -dictionary[word])
    characters = Counter(character for line in lines for character in line if HANZI.match(character))
    known = [word for word, count in met.most_common() if count >= 3 or word in dictionary]
    singles = [word for word in by_frequency if len(word) == 1 and dictionary[word] >= 20]
    punctuation = list("，。！？、；：…“”《》（）,.!?~")
    everything = [*punctuation, *characters, *singles, *known, *by_frequency]
    return list(dict.fromkeys(everything))[:size]


if __name__ == "__main__":
    options = arguments(__doc__).parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    lines = training_lines(options.texts)
    check_disjoint(lines, options.texts)
    words = word_list(lines)
    one_line_each = "\n".join(line.replace("\n", " ") for line in lines)
    (options.work / "lines.txt").write_text(one_line_each, encoding="utf-8")
    (options.work / "words.txt").write_text("\n".join(words), encoding="utf-8")
    single = sum(len(word) == 1 for word in words)
    print(f"{len(lines)} lines, {len(words)} words, {single} of one character")
