"""Every exercise of every notebook: the solution passes, no answer is no error, named mistakes are named."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

from vcemo_lib.course import exercises
from vcemo_lib.course.exercises import Exercise, Question, quiz

MODULES = [m.name for m in pkgutil.iter_modules(exercises.__path__)]
ALL = [
    pytest.param(value, id=f"{name}.{key}")
    for name in MODULES
    for key, value in vars(importlib.import_module(f"vcemo_lib.course.exercises.{name}")).items()
    if isinstance(value, Exercise)
]


@pytest.mark.parametrize("name", MODULES)
def test_each_notebook_has_three_exercises(name: str) -> None:
    module = importlib.import_module(f"vcemo_lib.course.exercises.{name}")
    assert sum(isinstance(value, Exercise) for value in vars(module).values()) >= 3


@pytest.mark.parametrize("exercise", ALL)
def test_the_solution_passes(exercise: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    assert exercise.check(exercise.solve())
    assert "✓" in capsys.readouterr().out


@pytest.mark.parametrize("exercise", ALL)
def test_no_answer_and_nonsense_are_told_and_never_raise(exercise: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    assert not exercise.check()
    assert "not answered" in capsys.readouterr().out
    assert not exercise.check(object())
    assert "✗" in capsys.readouterr().out


@pytest.mark.parametrize("exercise", ALL)
def test_named_mistakes_get_their_own_word(exercise: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    assert exercise.wrong, "give at least one mistake that students make"
    for name, (answer, word) in exercise.wrong.items():
        assert not exercise.check(answer()), name
        assert word in capsys.readouterr().out, name


@pytest.mark.parametrize("exercise", ALL)
def test_hints_and_solution_show_something(exercise: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    exercise.hint()
    exercise.solution()
    assert len(capsys.readouterr().out) > 40


def test_quiz_escapes_and_explains() -> None:
    html = quiz(Question("Is 1 < 2?", (("yes", True, "since 2 - 1 > 0"), ("no", False, "it is")))).data
    assert "1 &lt; 2" in html and "✓" in html and "✗" in html and html.count("<details") == 2
