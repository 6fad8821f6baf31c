"""Exercises and quizzes of the notebooks: checked on the spot, with hints and solutions, all offline.

A module (`nb01.py`) is the list of one notebook's exercises. Each is the function that solves it; what is
said to mistakes is in `nb01.md` beside it (see `words`), with the questions of the quiz.

    @notebook.exercise(cases=((3,), (-1.5,)), mistakes=dict(square=lambda x: x * x))
    def double(x):
        return x + x

    double.check(answer)   # tries the answer on the cases and compares it with the solution and the mistakes
    double.hint()
    double.solution()      # prints the function

The notebook has the scaffold: the function's head, a docstring with worked cases, and `...` to fill in. An
answer is always a function, tried on cases that the page does not show, so that no constant passes; one that
is not filled in never stops a run.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import pickle
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vcemo_lib.course.exercises.words import Question, Words, quiz, read
from vcemo_lib.errors import VcemoError

__all__ = ["Case", "Exercise", "Notebook", "Question", "quiz", "same"]

_PRINTED = 100  # characters; a longer value is not shown to the student
_RELATIVE = 1e-4  # by which two ways to compute one number may differ
_OPEN = "Not answered yet. Fill in the `...`; hint() helps."

Case = tuple[Any, ...]  # the arguments of one call


@dataclass(eq=False)
class Exercise:
    """One exercise: `check(answer)` says what is wrong and why, `hint()` helps, `solution()` shows."""

    words: Words
    solve_with: Callable[..., Any]  # what the student writes
    cases: Sequence[Case] | Callable[[], Iterable[Case]] = ()  # arguments to try an answer on
    mistakes: Mapping[str, Callable[..., Any]] = field(default_factory=dict)  # name -> wrong solution
    also: Sequence[Callable[..., Any]] = ()  # solutions that are as good as the first
    tolerance: float = 1e-6  # by which a number may be off
    judge: Callable[[Any], str | None] | None = None  # a check of its own: None or the name of a mistake
    _hints_shown: int = 0

    def check(self, answer: Any = None) -> bool:
        """Print what is right or wrong with an answer; True where it is right. No answer is no error."""
        title = self.words.title + ("" if self.words.title.endswith("?") else ":")
        try:
            fault = self._fault(answer)
        except Exception as error:  # whatever a student hands in, the notebook goes on
            fault = self._stopped("Your answer", error)
        sign = "✓" if not fault else "○" if fault == _OPEN else "✗"
        print(f"{sign} {title} {fault or self.words.praise}")
        return not fault

    def hint(self) -> None:
        """Print the next hint; after the last one they start again."""
        hints, now = self.words.hints, self._hints_shown
        print(f"Hint {now + 1} of {len(hints)}: {hints[now]}")
        self._hints_shown = (now + 1) % len(hints)

    def solution(self) -> None:
        """Print a solution as code."""
        source = inspect.getsource(self.solve_with)
        print(re.sub(r"\A.*?^(?=def )", "", source, flags=re.MULTILINE | re.DOTALL).rstrip())  # no decorator

    def solve(self) -> Callable[..., Any]:
        """A right answer."""
        return self.solve_with

    @property
    def parameters(self) -> list[str]:
        """What the student's function is given."""
        return list(inspect.signature(self.solve_with).parameters)

    def _fault(self, answer: Any) -> str | None:
        """What is wrong with an answer and why, or None."""
        if answer is None or answer is ...:
            return _OPEN
        if not callable(answer):
            example = f"def {self.solve_with.__name__}({', '.join(self.parameters)})"
            return f"A function is wanted, such as `{example}`, not what it returns."
        if self.judge:
            name = self.judge(answer)
            return name and self.words.mistakes[name]
        return self._first_failure(answer)

    @staticmethod
    def _stopped(what: str, error: Exception) -> str:
        """What to say of an error; one about a `...` means that the scaffold is not filled in yet."""
        return _OPEN if "ellipsis" in str(error) else f"{what} stops with {type(error).__name__}: {error}"

    def _first_failure(self, answer: Callable[..., Any]) -> str | None:
        """Try an answer on each case, up to the first that fails."""
        cases, rights = self._all_cases(), [self.solve_with, *self.also]
        tried: list[tuple[Case, Any]] = []
        for case in cases:
            given = copy.deepcopy(case)
            before = pickle.dumps(given)
            try:
                found = answer(*given)
            except Exception as error:
                return self._stopped(f"{self._where(case)} your function", error)
            if found is ...:
                return _OPEN
            if pickle.dumps(given) != before:
                return "Your function changes what it is given, and the next cell would go on with that."
            tried.append((case, found))
            rights = [right for right in rights if self._same(right, case, found)]
            if not rights:
                return self._explain(answer, tried, cases)
        return None

    def _explain(self, answer: Callable[..., Any], tried: list[tuple[Case, Any]], cases: list[Case]) -> str:
        """Why the last of the tried cases failed: by a known mistake, or else by what it should have been."""
        case, found = tried[-1]
        with contextlib.suppress(Exception):  # it may not even run on the other cases
            if all(same(answer(*copy.deepcopy(other)), found) for other in cases):
                why = "Does it end with `return`?" if found is None else "Its arguments have no say."
                return f"Your function gives {_show(found) or 'the same'} whatever it is given. {why}"
        for name, mistake in self.mistakes.items():
            if all(self._same(mistake, other, seen) for other, seen in tried):
                return self.words.mistakes[name]
        wanted = self.solve_with(*case)
        got, right, shape = _show(found), _show(wanted), tuple(getattr(wanted, "shape", ()))
        if shape and np.shape(found) != shape:
            fault = f"the result should have shape {shape}, not {tuple(np.shape(found))}"
        else:
            fault = f"you get {got}, and {right} is right" if got and right else "your result is not right"
        return f"{self._where(case)} {fault}. {self.words.otherwise}"

    def _where(self, case: Case) -> str:
        """A case as the student sees it, where that does not fill the page."""
        shown = [f"{name} = {_show(value)}" for name, value in zip(self.parameters, case, strict=False)]
        return f"With {', '.join(shown)}" if all(map(_show, case)) else "In one of the cases tried,"

    def _all_cases(self) -> list[Case]:
        return list(self.cases() if callable(self.cases) else self.cases)

    def _same(self, solution: Callable[..., Any], case: Case, found: Any) -> bool:
        """Whether a solution gives for a case what was found."""
        return same(found, solution(*copy.deepcopy(case)), self.tolerance)


class Notebook:
    """The exercises and the quiz of one notebook, by its two-digit number."""

    def __init__(self, number: str) -> None:
        self.file = Path(__file__).with_name(f"nb{number}.md")
        self.words, self.quiz = read(self.file)

    def exercise(self, **about: Any) -> Callable[[Callable[..., Any]], Exercise]:
        """Make an exercise of the function that solves it; `about` are the fields of `Exercise`."""

        def of(solution: Callable[..., Any]) -> Exercise:
            words = self.words.get(solution.__name__)
            unknown = set(about.get("mistakes", ())) - set(words.mistakes if words else ())
            if words is None or unknown:
                names = ", ".join([solution.__name__, *sorted(unknown)])
                raise VcemoError(f"no words for {names}", where=self.file, do="add them there")
            return Exercise(words, solution, **about)

        return of


def same(found: Any, wanted: Any, tolerance: float = 1e-6) -> bool:
    """Whether two answers are one: names and settings exactly, numbers nearly, tuples part by part."""
    if is_dataclass(wanted):
        return bool(found == wanted)
    if isinstance(wanted, tuple | list):
        parts = list(found) if hasattr(found, "__len__") and not isinstance(found, str) else []
        pairs = zip(parts, wanted, strict=False)
        return len(parts) == len(wanted) and all(same(part, other, tolerance) for part, other in pairs)
    if wanted is None or found is None or isinstance(wanted, str) or isinstance(found, str):
        return isinstance(found, type(wanted)) and found == wanted
    try:
        found, wanted = np.asarray(found, float), np.asarray(wanted, float)
    except (TypeError, ValueError, RuntimeError):  # no numbers
        return False
    return found.shape == wanted.shape and np.allclose(found, wanted, rtol=_RELATIVE, atol=tolerance)


def _show(value: Any) -> str:
    """A value as the student sees it; empty where it is too long, or has no text."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, tuple):
        parts = [_show(part) for part in value]
        return f"({', '.join(parts)})" if all(parts) else ""
    text = f"{value:.4g}" if isinstance(value, float) else repr(value)
    return "" if len(text) > _PRINTED or "\n" in text or " at 0x" in text else text
