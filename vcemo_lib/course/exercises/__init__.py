"""Exercises and quizzes of the notebooks: checked on the spot, with hints and solutions, all offline.

One module a notebook (`nb01`, `nb02`, ...). An exercise that is not answered never stops a run.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Exercise:
    """One exercise: `check(answer)` says what is wrong and why, `hint()` helps, `solution()` shows.

    judge: the answer -> None where it is right, else a sentence that says what is wrong and why.
    solve: () -> a right answer; its source is what `solution()` shows.
    wrong: named wrong answers that students give, each with a word that the judge's sentence must hold (used by the tests).
    """

    title: str
    judge: Callable[[Any], str | None]
    solve: Callable[[], Any]
    hints: tuple[str, ...]
    praise: str = "Right."
    wrong: dict[str, tuple[Callable[[], Any], str]] = field(default_factory=dict)
    _shown: int = field(default=0, repr=False)

    def check(self, answer: Any = None) -> bool:
        """Print what is right or wrong with an answer; True where it is right. No answer is no error."""
        if answer is None or answer is ...:
            print(f"○ {self.title}: not answered yet. Put your answer in and run the cell again; hint() helps.")
            return False
        try:
            fault = self.judge(answer)
        except Exception as error:  # whatever a student hands in, the notebook goes on
            fault = f"your answer could not be used: {type(error).__name__}: {error}"
        print(f"✗ {self.title}: {fault}" if fault else f"✓ {self.title}: {self.praise}")
        return not fault

    def hint(self) -> None:
        """Print the next hint; after the last one they start again."""
        print(f"Hint {self._shown + 1} of {len(self.hints)}: {self.hints[self._shown]}")
        self._shown = (self._shown + 1) % len(self.hints)

    def solution(self) -> None:
        """Print a solution as code."""
        lines = inspect.getsource(self.solve).splitlines()
        print(textwrap.dedent("\n".join(lines)))


@dataclass(frozen=True)
class Question:
    """A quiz question; each choice is (text, whether it is right, why)."""

    text: str
    choices: tuple[tuple[str, bool, str], ...]


def quiz(*questions: Question) -> Any:
    """Questions with choices that unfold to an explanation; plain HTML, so that it works on GitHub and in exported pages."""
    from html import escape

    from IPython.display import HTML

    parts = []
    for number, question in enumerate(questions, start=1):
        parts.append(f"<p><b>{number}. {escape(question.text)}</b></p>")
        for text, right, why in question.choices:
            verdict = "✓ Yes." if right else "✗ No."
            parts.append(
                f"<details style='margin:.2em 0 .2em 1.5em'><summary>{escape(text)}</summary>"
                f"<div style='margin:.2em 0 .6em 1.2em'>{verdict} {escape(why)}</div></details>"
            )
    return HTML("".join(parts))
