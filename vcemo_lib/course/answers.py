"""The answer key, made from the exercises: `vcemo course answers > key.md`. The site does not show it."""

from __future__ import annotations

import contextlib
import importlib
import io
from pathlib import Path

from vcemo_lib.course import exercises
from vcemo_lib.course.exercises import Exercise
from vcemo_lib.course.exercises.words import read
from vcemo_lib.course.plan import Course


def key(course: Course | None = None) -> str:
    """Markdown: each exercise with solution, usual mistakes and hints; the quiz's right answers."""
    told = ["# Answer key"]
    for notebook in (course or Course()).notebooks:
        file = Path(exercises.__file__).with_name(f"nb{notebook.number}.py")
        if not file.is_file():
            continue
        module = importlib.import_module(f"{exercises.__name__}.{file.stem}")
        told.append(f"## {notebook.number} {notebook.title}")
        told += [_exercise(one) for one in vars(module).values() if isinstance(one, Exercise)]
        for question in read(file.with_suffix(".md"))[1]:
            right = [f"- {text} {why}" for text, is_right, why in question.choices if is_right]
            told.append("\n".join([f"### {question.text}", "", *right]))
    return "\n\n".join(told) + "\n"


def _exercise(one: Exercise) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        one.solution()
    mistakes = [f"- *{name.replace('_', ' ')}*: {text}" for name, text in one.words.mistakes.items()]
    hints = [f"- hint: {hint}" for hint in one.words.hints]
    code = f"```python\n{printed.getvalue().rstrip()}\n```"
    return "\n".join([f"### {one.words.title}", "", code, "", *mistakes, *hints])
