"""Notebook 00: how far a prediction is ahead, what chance gives, the worst confusion, what ten clips tell."""

from functools import cache
from math import comb
from typing import Any

import numpy as np
import pandas as pd

import vcemo_lib as vc
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


@cache
def _shares(part: str) -> pd.Series:
    return vc.splits.given(vc.load_corpus("sim"))[part].table["emotion"].value_counts(normalize=True)


@notebook.exercise(
    share=True,
    tolerance=0.005,  # as the notebook prints it: a whole number of per cent
    mistakes=dict(
        die=1 / 6,
        train=lambda: _shares("train").max(),
        val=lambda: _shares("val").max(),
        rarest=lambda: _shares("test").min(),
    ),
)
def nothing():
    test = vc.splits.given(vc.load_corpus("sim"))["test"]
    return test.table["emotion"].value_counts(normalize=True).max()


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


def _exactly(right: int) -> float:
    """How likely it is to guess so many of ten."""
    return comb(10, right) * 5 ** (10 - right) / 6**10


@notebook.exercise(
    share=True,
    tolerance=0.006,  # a simulation comes out a little different each time
    mistakes=dict(
        exactly_four=_exactly(4),
        more_than_four=sum(map(_exactly, range(5, 11))),
        complement=sum(map(_exactly, range(4))),
        observed=0.4,
        one_clip=1 / 6,
        given_four=(1 / 6) ** 4,
    ),
)
def luck():
    right = np.random.default_rng(0).random((100_000, 10)) < 1 / 6  # games, clips
    return (right.sum(axis=1) >= 4).mean()
