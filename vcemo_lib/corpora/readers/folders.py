"""Releases with a folder an emotion: CASIA, ESD, and any such tree."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from vcemo_lib.corpora.readers.facts import Facts
from vcemo_lib.corpora.readers.tree import Report, Row, Tree

ESD_SPLITS = {"train": "train", "evaluation": "val", "test": "test"}
MANDARIN = "0010"  # ESD's speakers up to this one speak Mandarin, those behind it English


def casia(tree: Tree, facts: Facts, report: Report) -> Iterator[Row]:
    """<speaker>/<emotion>/<201..250>.wav; words from lines "201 ..." of text files, or from 201.txt."""
    words = dict[str, str]()
    for match, file in tree.find(r"([^/]*)\.txt"):
        lines = [line.strip() for line in tree.text(file).splitlines() if line.strip()]
        if re.fullmatch(r"\d{3}", match[1]) and len(lines) == 1:
            words.setdefault(match[1], re.sub(r"^\d{3}\W*", "", lines[0]))
        found = (re.match(r"\D{0,2}(\d{3})(?!\d)[\s.,:、，：_-]*(\S.*)$", line) for line in lines)
        words |= {line[1]: line[2] for line in found if line}
    for match, file in tree.find(r"([^/]+)/([^/]+)/(2\d\d)\.[^./]+"):
        if file in tree.sounds_set:
            speaker, emotion, number = match.groups()
            yield Row(f"{speaker}_{emotion}_{number}", file, emotion, speaker, words.get(number, ""))


def esd(tree: Tree, facts: Facts, report: Report) -> Iterator[Row]:
    """NNNN/<Emotion>/[train|test|evaluation/]NNNN_NNNNNN.wav; words from NNNN/NNNN.txt, in any encoding."""
    words = dict[str, str]()
    for _, file in tree.find(r"\d{4}\.txt"):
        for line in tree.text(file).splitlines():  # some files have tabs between the columns, some spaces
            if match := re.match(r"\s*(\d{4}_\d{6})\s+(.*?)(?:\s+(\S+))?\s*$", line):
                words[match[1]] = match[2]
            elif line.strip():
                report.unknown.append(f"line {line.strip()[:40]!r} of {file}")
    for match, file in tree.find(r"(\d{4})/([^/]+)/(?:(train|test|evaluation)/)?(\d{4}_\d{6})\.[^./]+"):
        if file in tree.sounds_set:
            speaker, emotion, split, stem = match.groups()
            part = ESD_SPLITS.get((split or "").lower(), "")
            language = "zh" if speaker <= MANDARIN else "en"
            yield Row(stem, file, emotion, speaker, words.get(stem, ""), split=part, language=language)


def folders(tree: Tree, facts: Facts, report: Report) -> Iterator[Row]:
    """The emotion is the last folder that is called like one; the speaker is the folder beside it."""
    speakers = set[str]()
    for file in tree.sounds:
        *parts, name = file.split("/")
        places = [i for i, part in enumerate(parts) if part.strip().lower() in facts.labels]
        if places:
            others = [part for i, part in enumerate(parts) if i not in places]
            near = others[-1] if others else re.split(r"[_\-. ]", name)[0]
            speakers.add("folders" if others else "the beginning of file names")
            bare, text = os.path.splitext(file)[0], f"{os.path.splitext(file)[0]}.txt"
            words = tree.text(text).strip() if text in tree.sizes else ""
            yield Row(re.sub(r"[^\w-]+", "_", bare), file, parts[places[-1]], near, words)
    report.about.append(f"speakers were taken from {' and '.join(sorted(speakers)) or 'nothing'}: check them")
