"""Releases with a CSV table beside their clips: MELD, MER2023, CH-SIMS."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from vcemo_lib.corpora.readers.facts import Facts
from vcemo_lib.corpora.readers.tree import Report, Row, Tree

SPLITS = {"train": "train", "dev": "val", "valid": "val", "val": "val", "test": "test"}


def _table(tree: Tree, file: str, report: Report, *needed: str) -> Iterator[dict[str, str]]:
    """The rows of a CSV, keyed by lower-case names; a row that lacks one that is needed is reported."""
    for number, row in enumerate(csv.DictReader(tree.text(file).splitlines()), 2):
        found = {(key or "").strip().lower(): value or "" for key, value in row.items() if key}
        if all(found.get(name, "").strip() for name in needed):
            yield found
        else:
            report.unknown.append(f"line {number} of {file}")


def meld(tree: Tree, facts: Facts, report: Report) -> Iterator[Row]:
    """{train,dev,test}_sent_emo.csv; a clip's name is known within its part alone."""
    for match, file in tree.find(r"(train|dev|test)_sent_emo\.csv"):
        part = match[1].lower()
        for row in _table(tree, file, report, "dialogue_id", "utterance_id", "emotion", "speaker"):
            stem = f"dia{row['dialogue_id']}_utt{row['utterance_id']}"
            clip = tree.clip(stem, rf"{part}[^/]*/")
            text = row.get("utterance", "").replace("\x92", "'").strip()
            dialogue, split = f"{part}_{row['dialogue_id']}", SPLITS[part]
            yield Row(f"{part}_{stem}", clip, row["emotion"], row["speaker"], text, dialogue, split)


def mer2023(tree: Tree, facts: Facts, report: Report) -> Iterator[Row]:
    """<part>-label.csv (name, discrete, valence); words from transcription*.csv; speakers are not told."""
    words = dict[str, str]()
    for _, file in tree.find(r"transcription[^/]*\.csv"):
        for row in _table(tree, file, report, "name"):
            words[row["name"]] = row.get("chinese") or row.get("sentence") or row.get("text") or ""
    for match, file in tree.find(r"(train|test\d?)-label\.csv"):
        for row in _table(tree, file, report, "name", "discrete"):
            part = "test" if match[1].lower().startswith("test") else "train"
            name = row["name"].strip()
            yield Row(name, tree.clip(name), row["discrete"], "unknown", words.get(name, ""), split=part)
    report.about.append("its speakers are not told: no split of it is known to keep them apart")


def ch_sims(tree: Tree, facts: Facts, report: Report) -> Iterator[Row]:
    """label.csv; a clip's name is known within its video alone, which stands for its speaker."""
    for _, file in tree.find(r"label\.csv"):
        for row in _table(tree, file, report, "video_id", "clip_id", "annotation"):
            video, number = row["video_id"].strip(), row["clip_id"].strip()
            clip = tree.clip(number, rf"{video}/") or tree.clip(number.zfill(4), rf"{video}/")
            text, split = row.get("text", "").strip(), SPLITS.get(row.get("mode", "").strip().lower(), "")
            yield Row(f"{video}_{number}", clip, row["annotation"], video, text, video, split)
    report.about.append("its speakers are not told: each video counts as one")
