"""Notebook 00: how far a prediction is ahead, what chance gives, the worst confusion, what ten clips tell."""

from math import comb
from typing import Any

import numpy as np
import pandas as pd

from vcemo_lib.course.exercises import Notebook

notebook = Notebook("00")
QUIZ = notebook.quiz


@notebook.exercise(
    cases=(
        ({"angry": 0.08, "fear": 0.05, "happy": 0.31, "neutral": 0.09, "sad": 0.04, "surprise": 0.43},),
        ({"sad": 0.7, "angry": 0.2, "neutral": 0.1},),
        ({"neutral": 0.25, "fear": 0.15, "angry": 0.6},),
    ),
    mistakes=dict(
        probability=lambda p: (max(p, key=p.get), max(p.values())),
        last=lambda p: (max(p, key=p.get), max(p.values()) - min(p.values())),
        lowest=lambda p: (min(p, key=p.get), sorted(p.values())[1] - min(p.values())),
        names=lambda p: sorted(p, key=p.get, reverse=True)[:2],
    ),
)
def lead(probabilities):  # {"sad": 0.7, "angry": 0.2, ...} -> ("sad", 0.5)
    ranked = sorted(probabilities, key=probabilities.get, reverse=True)
    return ranked[0], probabilities[ranked[0]] - probabilities[ranked[1]]


@notebook.exercise(
    cases=(
        (["sad", "sad", "angry", "sad"],),
        (["angry", "neutral", "neutral", "fear", "happy"],),
        (["happy", "sad"] * 2 + ["fear"] * 6,),
    ),
    mistakes=dict(
        classes=lambda emotions: 1 / len(set(emotions)),
        number=lambda emotions: max(map(emotions.count, emotions)),
        first=lambda emotions: emotions.count(emotions[0]) / len(emotions),
        rarest=lambda emotions: min(map(emotions.count, emotions)) / len(emotions),
    ),
)
def always_same(emotions):  # the true emotion of each clip -> a share
    return pd.Series(emotions).value_counts(normalize=True).max()


_NAMES = ["angry", "fear", "happy", "sad"]
_COUNTS = (
    [[9, 0, 7, 0], [1, 6, 1, 2], [2, 0, 30, 1], [0, 5, 0, 9]],
    [[5, 4, 0, 0], [9, 8, 0, 0], [0, 0, 40, 6], [0, 1, 7, 90]],
    [[50, 11, 0, 0], [4, 1, 2, 0], [0, 1, 20, 9], [0, 8, 0, 40]],
)


def _fullest(table: pd.DataFrame) -> Any:
    """The fullest cell off the diagonal."""
    return table.where(~np.eye(len(table), dtype=bool)).stack().idxmax()


@notebook.exercise(
    cases=[(pd.DataFrame(rows, _NAMES, _NAMES),) for rows in _COUNTS],
    mistakes=dict(
        diagonal=lambda table: table.stack().idxmax(),
        transposed=lambda table: _fullest(table)[::-1],
        share_of_row=lambda table: _fullest(table.div(table.sum(axis=1), axis=0)),
        rarest=lambda table: _fullest(-table),
    ),
)
def worst(table):  # counts, true emotions in rows, predicted ones in columns
    cells = table.stack()  # one row a cell: (true, predicted) -> count
    mistakes = cells[[true != predicted for true, predicted in cells.index]]
    return mistakes.idxmax()


def _exactly(clips: int, right: int) -> float:
    """How likely it is to guess so many of the clips."""
    return comb(clips, right) * 5 ** (clips - right) / 6**clips


def _at_least(clips: int, right: int) -> float:
    return sum(_exactly(clips, number) for number in range(right, clips + 1))


@notebook.exercise(
    cases=((4, 2), (10, 4), (10, 1), (6, 1), (1, 1), (3, 0)),
    tolerance=0.01,  # a simulation comes out a little different each time
    mistakes=dict(
        exactly=_exactly,
        more_than=lambda clips, right: _at_least(clips, right + 1),
        complement=lambda clips, right: 1 - _at_least(clips, right),
        observed=lambda clips, right: right / clips,
        given=lambda clips, right: (1 / 6) ** right,
    ),
)
def luck(clips, right):  # how likely are so many right, or more, of so many clips?
    guesses = np.random.default_rng(0).random((100_000, clips)) < 1 / 6  # games, clips
    return (guesses.sum(axis=1) >= right).mean()
