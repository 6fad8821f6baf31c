"""Releases whose file names tell speaker, sentence and emotion: RAVDESS, CREMA-D, EmoDB."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from vcemo_lib.corpora.readers.facts import Facts
from vcemo_lib.corpora.readers.tree import Report, Row, Tree, stem

VOTES = dict(zip("ADFHNS", ("ang", "dis", "fea", "hap", "neu", "sad"), strict=True))  # CREMA-D's columns
VOICE = "1"  # its rows' numbers begin with what raters had: 1 the voice, 2 the face, 3 both


def rows(tree: Tree, facts: Facts, report: Report) -> Iterator[Row]:
    """A row for each sound whose name fits; the text is the sentence that its code stands for."""
    pattern, votes = re.compile(facts.names, re.IGNORECASE), _votes(tree, report)
    for file in tree.sounds:
        if match := pattern.fullmatch(name := stem(file)):
            text = facts.sentences.get(match["sentence"].lower(), "")
            heard = votes.get(name.lower(), {})
            yield Row(name, file, match["emotion"], match["speaker"], text, votes=heard)


def _votes(tree: Tree, report: Report) -> dict[str, dict[str, int]]:
    """CREMA-D's votes by clip, of those who heard the voice without the face."""
    found: dict[str, dict[str, int]] = {}
    for _, file in tree.find("tabulatedVotes.csv"):
        for row in csv.DictReader(tree.text(file).splitlines()):
            try:
                counts = {label: int(float(row[letter] or 0)) for letter, label in VOTES.items()}
                if row[""].startswith(VOICE):
                    found[row["fileName"].lower()] = {label: n for label, n in counts.items() if n}
            except (KeyError, ValueError, TypeError, AttributeError):
                report.unknown.append(f"a row of {file}")
    return found
