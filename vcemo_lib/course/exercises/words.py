"""What exercises and quizzes say, from one Markdown file a notebook (`nb01.md`); README.md has its form."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from vcemo_lib.errors import VcemoError


@dataclass
class Words:
    """What one exercise says."""

    title: str
    mistakes: dict[str, str] = field(default_factory=dict)  # name -> what is wrong with it, and why
    otherwise: str = ""
    hints: list[str] = field(default_factory=list)
    praise: str = "Right."


@dataclass(frozen=True)
class Question:
    """A quiz question; each choice is (text, whether it is right, why)."""

    text: str
    choices: tuple[tuple[str, bool, str], ...]


def read(file: Path) -> tuple[dict[str, Words], tuple[Question, ...]]:
    """The exercises of a notebook by name, and its questions. A slip in the file is told with its heading."""
    exercises: dict[str, Words] = {}
    questions = []
    for block in re.split(r"(?m)^## ", file.read_text(encoding="utf-8"))[1:]:
        heading, *entries = re.split(r"(?m)^- ", re.split(r"(?m)^# ", block)[0])
        heading, where = _line(heading), f"{file}, {_line(heading)}"
        if entries and entries[0].startswith("["):
            questions.append(Question(heading, tuple(_choice(entry, where) for entry in entries)))
            if not any(right for _, right, _ in questions[-1].choices):
                raise VcemoError("no choice is right", where=where, do="mark one with [x]")
        else:
            name, _, title = heading.partition(": ")
            exercises[name] = _words(title, entries, where)
    return exercises, tuple(questions)


def _words(title: str, entries: list[str], where: str) -> Words:
    words = Words(title)
    for entry in map(_line, entries):
        name, colon, text = entry.partition(": ")
        if not colon or " " in name:
            raise VcemoError(f"the entry {entry!r} has no name", where, "begin it with 'hint: ', say")
        if name == "hint":
            words.hints.append(text)
        elif name in ("otherwise", "praise"):
            setattr(words, name, text)
        else:
            words.mistakes[name] = text
    return words


def _choice(entry: str, where: str) -> tuple[str, bool, str]:
    mark = re.match(r"\[([ x])\] ", entry)
    text, *why = re.split(r"\n\s+> ", entry[4:])
    if not mark or not why:
        do = "write '- [ ] choice' or '- [x] choice', and '  > why' below"
        raise VcemoError(f"the choice {_line(entry)!r} has no mark or no explanation", where=where, do=do)
    return _line(text), mark[1] == "x", _line(" ".join(why))


def _line(text: str) -> str:
    return " ".join(text.split())


def quiz(*questions: Question) -> Any:
    """Questions whose choices unfold to an explanation, in plain HTML: GitHub and exported pages show it."""
    from IPython.display import HTML

    page = ""
    for number, question in enumerate(questions, start=1):
        page += f"<p><b>{number}. {escape(question.text)}</b></p>"
        for text, right, why in question.choices:
            page += f"<details style='margin:.2em 0 .2em 1.5em'><summary>{escape(text)}</summary>"
            verdict = "✓ Yes." if right else "✗ No."
            page += f"<div style='margin:.2em 0 .6em 1.2em'>{verdict} {escape(why)}</div></details>"
    return HTML(page)
