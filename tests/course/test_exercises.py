"""Every exercise of every notebook takes right answers however they are written, and tells wrong ones why."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import inspect
import io
import math
import pickle
import pkgutil
import re
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from exercise_answers import ANSWERS

import vcemo_lib as vc
from vcemo_lib import probe
from vcemo_lib.course import Course, exercises
from vcemo_lib.course.exercises import Exercise, Question, quiz, same
from vcemo_lib.course.exercises.words import read
from vcemo_lib.errors import VcemoError
from vcemo_lib.models import tutorial

MODULES = {
    name[2:]: importlib.import_module(f"vcemo_lib.course.exercises.{name}")
    for name in sorted(m.name for m in pkgutil.iter_modules(exercises.__path__))
    if name.startswith("nb")
}
EXERCISES = {
    f"{number}.{name}": value
    for number, module in MODULES.items()
    for name, value in vars(module).items()
    if isinstance(value, Exercise)
}


def said(exercise: Exercise, answer: Any) -> tuple[bool, str]:
    """Whether an answer is taken, and what is printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        right = exercise.check(answer)
    return right, printed.getvalue()


everyone = pytest.mark.parametrize("name", sorted(EXERCISES))


@everyone
def test_each_exercise_is_tried_on_right_and_wrong_answers(name: str) -> None:
    right, wrong = ANSWERS[name]
    assert len(right) >= 2
    assert len(wrong) + len(EXERCISES[name].mistakes) >= 5


def test_no_answers_without_exercise() -> None:
    assert set(ANSWERS) <= set(EXERCISES)


@everyone
def test_right_answers_are_taken_however_they_are_written(name: str) -> None:
    for answer in [EXERCISES[name].solve(), *ANSWERS[name][0]]:
        right, text = said(EXERCISES[name], answer)
        assert right and text.startswith("✓"), text


@everyone
def test_wrong_answers_are_told_why(name: str) -> None:
    for label, (answer, word) in ANSWERS[name][1].items():
        right, text = said(EXERCISES[name], answer)
        assert not right, label
        assert text.startswith("✗") and word.lower() in text.lower(), (label, text)


@everyone
def test_each_known_mistake_gets_its_own_words(name: str) -> None:
    exercise = EXERCISES[name]
    for mistake, answer in exercise.mistakes.items():
        right, text = said(exercise, answer)
        assert not right and exercise.words.mistakes[mistake] in text, (mistake, text)


@everyone
def test_no_constant_and_no_answer_learnt_by_heart_is_taken(name: str) -> None:
    """Not what is right for one case, nor for all cases but the last."""
    exercise = EXERCISES[name]
    if exercise.judge:  # its cases are drawn; ANSWERS has a constant
        return
    cases = list(exercise.cases() if callable(exercise.cases) else exercise.cases)
    known = [exercise.solve_with(*case) for case in cases]
    assert len(cases) >= 3
    for right in known:
        assert not said(exercise, lambda *_, right=right: right)[0]
        assert not said(exercise, right)[0]
    by_heart = {pickle.dumps(case): right for case, right in zip(cases[:-1], known[:-1], strict=True)}
    assert not said(exercise, lambda *case: by_heart.get(pickle.dumps(case), "?"))[0]


@everyone
@pytest.mark.parametrize("answer", [None, ...])
def test_no_answer_is_no_error(name: str, answer: Any) -> None:
    right, text = said(EXERCISES[name], answer)
    assert not right and "Not answered" in text


@everyone
@pytest.mark.parametrize(
    "answer",
    [object(), "twelve", [], math.nan, lambda: 1 / 0, lambda *_: object(), lambda *_: None, lambda *_: "x"],
    ids=["object", "text", "list", "nan", "fails", "gives an object", "gives nothing", "gives text"],
)
def test_nonsense_never_stops_the_notebook(name: str, answer: Any) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert not EXERCISES[name].check(answer)
    assert printed.getvalue().startswith("✗")


@everyone
def test_what_solution_prints_is_right(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    exercise = EXERCISES[name]
    exercise.solution()
    code = capsys.readouterr().out
    scope: dict[str, Any] = {"np": np, "pd": pd, "vc": vc}  # as the notebooks import them
    exec(code, scope)
    assert said(exercise, scope[name[3:]])[0]


@everyone
def test_hints_come_one_by_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    exercise = EXERCISES[name]
    for _ in range(len(exercise.words.hints) + 1):
        exercise.hint()
    shown = capsys.readouterr().out.splitlines()
    assert len(set(shown)) == len(exercise.words.hints) == len(shown) - 1 and shown[0] == shown[-1]


@pytest.mark.parametrize("number", MODULES)
def test_words_and_exercises_belong_together(number: str) -> None:
    module = MODULES[number]
    here = {name[3:]: exercise for name, exercise in EXERCISES.items() if name.startswith(number)}
    assert set(here) == set(module.notebook.words) and len(here) >= (3 if number < "10" else 2)
    for name, exercise in here.items():
        assert exercise.judge or set(exercise.mistakes) == set(exercise.words.mistakes), name
        assert exercise.judge or exercise.words.otherwise, name
    for question in module.notebook.quiz:
        assert question.text.endswith("?") and len(question.choices) >= 3
    assert len(module.notebook.quiz) >= 4


# ----------------------------------------------------------------------------- the scaffolds in the notebooks


def scaffolds() -> dict[str, str]:
    """Exercise -> the cell of its notebook that holds its scaffold and the check."""
    found = {}
    for notebook in Course().notebooks:
        for number, cell in enumerate(nbformat.read(notebook.path, as_version=4).cells):
            for name in re.findall(r"\bex\.(\w+)\.check\(", cell.source):
                found[f"{notebook.number}.{name}"] = f"# cell {number}\n{cell.source}"
    return found


SCAFFOLDS = scaffolds()
TO_COME = {"08"}  # notebooks whose exercises have no scaffold yet; it shall be empty


def test_every_exercise_stands_in_its_notebook_before_the_quiz() -> None:
    assert set(SCAFFOLDS) == set(EXERCISES)
    for notebook in Course().notebooks:
        source = "\n".join(c.source for c in nbformat.read(notebook.path, as_version=4).cells)
        assert source.rindex(".check(") < source.index("quiz(*ex."), notebook.name
    assert TO_COME == {name[:2] for name, cell in SCAFFOLDS.items() if "\ndef " not in cell}


@everyone
def test_a_scaffold_shows_cases_that_are_right_and_is_not_an_answer_yet(name: str) -> None:
    exercise = EXERCISES[name]
    if name[:2] in TO_COME:
        return
    scope: dict[str, Any] = {
        "np": np,
        "pd": pd,
        "vc": vc,
        "torch": torch,
        "tutorial": tutorial,
        "ex": Shown(),
    }
    exec(SCAFFOLDS[name], scope)
    scaffold = scope["ex"].answer
    assert list(inspect.signature(scaffold).parameters) == exercise.parameters
    right, text = said(exercise, scaffold)
    assert not right and "Not answered" in text
    solved = scope | {scaffold.__name__: exercise.solve_with, "array": np.array, "tensor": torch.tensor}
    examples = doctest.DocTestParser().get_examples(scaffold.__doc__)
    for example in examples:
        if example.want:
            found, wanted = eval(example.source, solved), eval(example.want, solved)
            assert same(found, wanted, 0.02 if name == "00.luck" else 1e-4), (example.source, found)
            assert not said(exercise, lambda *_, wanted=wanted: wanted)[0]  # as learnt from the page
        else:
            exec(example.source, solved)
    assert examples


class Shown:
    """Stands for the exercises of a notebook: keeps what is handed in to `check`."""

    def __getattr__(self, name: str) -> Shown:
        return self

    def check(self, answer: Any) -> bool:
        self.answer = answer
        return False


# --------------------------------------------------------------------------- the solutions beside the library


def test_frames_are_those_of_the_log_mel() -> None:
    frames = EXERCISES["03.frames"]
    for (samples,) in frames.cases[:5]:
        assert len(vc.audio.log_mel(np.zeros(samples, np.float32))) == frames.solve_with(samples)


def test_standardising_is_that_of_the_library() -> None:
    exercise = EXERCISES["03.standardise"]
    for x, speakers in exercise.cases():
        assert np.allclose(exercise.solve_with(x, speakers), probe.standardise(x, speakers), atol=1e-5)


def test_supcon_of_the_anchors_is_that_of_the_library() -> None:
    import torch

    exercise = EXERCISES["05.anchor_loss"]
    for z, labels, _, tau in exercise.cases():
        anchors = [i for i in range(len(z)) if (labels == labels[i]).sum() > 1]
        ours = np.mean([exercise.solve_with(z, labels, i, tau) for i in anchors])
        assert vc.losses.supcon(torch.tensor(z), torch.tensor(labels), tau).item() == pytest.approx(
            ours, rel=1e-6
        )


# -------------------------------------------------------------------------------------------- words and quiz


WRITTEN = """# Notebook

## double: Twice

- square: That is
  the square.
- hint: Add: x + x.
- praise: Good.

# Quiz

## Is 1 < 2?

- [x] Yes,
  of course.
  > 2 - 1
  > is 1.
- [ ] No.
  > Count.
"""


def test_what_a_teacher_wrote_is_read(tmp_path: Path) -> None:
    file = tmp_path / "nb99.md"
    file.write_text(WRITTEN, encoding="utf-8")
    words, questions = read(file)
    assert words["double"].title == "Twice" and words["double"].mistakes == {"square": "That is the square."}
    assert words["double"].hints == ["Add: x + x."] and words["double"].praise == "Good."
    choices = (("Yes, of course.", True, "2 - 1 is 1."), ("No.", False, "Count."))
    assert questions == (Question("Is 1 < 2?", choices),)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("## x: X\n\n- no name here\n", "has no name"),
        ("## Who?\n\n- [x] Me.\n", "no explanation"),
        ("## Who?\n\n- [ ] Me.\n  > No.\n", "no choice is right"),
    ],
)
def test_a_slip_in_the_words_is_told_with_its_place(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "nb99.md"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(VcemoError, match=fault) as told:
        read(file)
    assert "nb99.md" in str(told.value)


def test_an_exercise_without_words_is_refused() -> None:
    with pytest.raises(VcemoError, match="no words for lead, unheard"):
        MODULES["00"].notebook.exercise(mistakes=dict(unheard=1))(EXERCISES["00.lead"].solve_with)


def test_quiz_escapes_and_explains() -> None:
    html = quiz(Question("Is 1 < 2?", (("yes", True, "since 2 - 1 > 0"), ("no", False, "it is")))).data
    assert "1 &lt; 2" in html and "✓" in html and "✗" in html and html.count("<details") == 2


def test_what_counts_as_the_same() -> None:
    assert same([1, 2.0000001], np.array([1.0, 2.0])) and same(("sad", 0.5), ("sad", 0.5))
    assert (
        not same(None, 0.0) and not same("0.5", 0.5) and not same(0.5, "0.5") and not same(np.zeros(1), 0.0)
    )
    assert same(3.2, 3.23, 0.05) and not same(3.1, 3.23, 0.05)
