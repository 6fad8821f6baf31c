"""Notebook 11: how far the sureness of answers is from their being right, and what the surest ones risk."""

import numpy as np

from vcemo_lib.course.exercises import Case, Notebook

notebook = Notebook("11")
QUIZ = notebook.quiz


def _answers() -> list[Case]:
    """(sure, right): the probabilities that an overconfident model gives its answers, and which are right."""
    rng = np.random.default_rng(5)
    sure = [rng.permutation(np.linspace(0.22, 0.985, number)) for number in (40, 100, 240)]
    short = np.array([0.95, 0.92, 0.55, 0.35]), np.array([True, False, True, False])
    return [short, *((s.round(3), rng.random(len(s)) < s - 0.15) for s in sure)]


def _gaps(sure: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Of each of ten bins that is not empty: sureness less share of right answers; its share (2, B)."""
    own = [(sure * 10).astype(int) == b for b in range(10)]
    return np.array([(sure[b].mean() - right[b].mean(), b.mean()) for b in own if b.any()]).T


# --------------------------------------------------------------------------------------------- 1: calibration
@notebook.exercise(
    cases=_answers,
    mistakes=dict(
        unweighted=lambda sure, right: np.abs(_gaps(sure, right)[0]).mean(),
        worst=lambda sure, right: np.abs(_gaps(sure, right)[0]).max(),
        cancels=lambda sure, right: np.prod(_gaps(sure, right), axis=0).sum(),
        squared=lambda sure, right: ((sure - right) ** 2).mean(),
        each=lambda sure, right: np.abs(sure - right).mean(),
    ),
)
def ece(sure, right):  # (N,) probabilities of the answers, (N,) right or not -> one number
    bins = np.minimum((sure * 10).astype(int), 9)  # 0.3 to 0.4 is bin 3
    total = 0.0
    for b in np.unique(bins):
        own = bins == b
        total += own.mean() * abs(sure[own].mean() - right[own].mean())
    return total


# ------------------------------------------------------------------------------------ 2: only when it is sure
@notebook.exercise(
    cases=lambda: [(*case, share) for case, share in zip(_answers(), (0.5, 0.25, 0.8, 0.5), strict=True)],
    mistakes=dict(
        accuracy=lambda sure, right, share: right[np.argsort(-sure)[: round(share * len(sure))]].mean(),
        least_sure=lambda sure, right, share: 1 - right[np.argsort(sure)[: round(share * len(sure))]].mean(),
        of_all=lambda s, right, share: (~right[np.argsort(-s)])[: round(share * len(s))].sum() / len(s),
        threshold=lambda sure, right, share: 1 - right[sure >= share].mean(),
        order=lambda sure, right, share: 1 - right[: round(share * len(sure))].mean(),
    ),
)
def risk(sure, right, share):  # share: of the clips, the surest ones, that are answered
    answered = np.argsort(-sure)[: round(share * len(sure))]
    return 1 - right[answered].mean()
