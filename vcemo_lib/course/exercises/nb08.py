"""Notebook 08: who trains, chooses and is tested; one score of many folds; what a look at the test gives."""

import numpy as np

from vcemo_lib.course.exercises import Case, Notebook

notebook = Notebook("08")
QUIZ = notebook.quiz


# ------------------------------------------------------------------------------ 1: everybody is tested once
def _turns(speakers: list[str], val=1, keep_val=False, keep_test=False, once=True) -> list[tuple]:
    names = sorted(set(speakers)) if once else sorted(speakers)
    found = []
    for i, test in enumerate(names):
        chooses = names[(i + val) % len(names)]
        train = [n for n in names if (keep_test or n != test) and (keep_val or n != chooses)]
        found.append((test, chooses, train))
    return found


@notebook.exercise(
    cases=((list("bacab"),), (["s2", "s1", "s3", "s4"],), (["zoe", "zoe", "ann", "kim", "ann"],)),
    mistakes=dict(
        chosen_on_test=lambda speakers: _turns(speakers, val=0), validation_trains=lambda speakers: _turns(
            speakers, keep_val=True), test_trains=lambda speakers: _turns(speakers, keep_test=True),
        a_fold_a_clip=lambda speakers: _turns(speakers, once=False),
        before=lambda speakers: _turns(speakers, val=-1),
    ),
)  # fmt: skip
def rotation(speakers):  # one name a clip -> [(test, validation, [training]), ...], in order of the alphabet
    names = sorted(set(speakers))
    turns = []
    for i, test in enumerate(names):
        val = names[(i + 1) % len(names)]  # the next one; after the last comes the first
        turns.append((test, val, [name for name in names if name not in (test, val)]))
    return turns


# ----------------------------------------------------------------------------------- 2: one score, many folds
def _folds() -> list[Case]:
    """(true classes, predicted ones, folds): folds of other sizes and other mixes of classes."""
    y = np.array([0, 0, 0, 1, 2, 1, 1, 0, 2, 2, 2])
    p = np.array([0, 0, 1, 1, 0, 1, 0, 0, 2, 2, 1])
    folds = np.array(list("aaaabbbbbbb"))
    rng = np.random.default_rng(3)
    more, wrong = rng.choice(3, 60, p=[0.6, 0.3, 0.1]), rng.integers(3, size=60)
    said = np.where(rng.random(60) < 0.6, more, wrong)
    cut = rng.permutation(60)[:40]  # another corpus, folds not in order
    return [(y, p, folds), (more, said, np.sort(rng.integers(4, size=60))), (more[cut], said[cut], cut % 3)]


def _ua(y: np.ndarray, p: np.ndarray) -> float:
    return float(np.mean([(p[y == c] == c).mean() for c in np.unique(y)]))


def _each(y: np.ndarray, p: np.ndarray, folds: np.ndarray) -> list[float]:
    return [_ua(y[folds == fold], p[folds == fold]) for fold in np.unique(folds)]


@notebook.exercise(
    cases=_folds,
    mistakes=dict(
        mean_of_folds=lambda y, p, folds: np.mean(_each(y, p, folds)), each_fold=lambda *given: _each(*given),
        wa=lambda y, p, folds: (y == p).mean(), precision=lambda y, p, folds: _ua(p, y),
    ),
)  # fmt: skip
def together(y_true, y_pred, folds):  # (N,) each -> UA of all folds' answers together
    recalls = [np.mean(y_pred[y_true == c] == c) for c in np.unique(y_true)]
    return np.mean(recalls)  # who was tested in which fold does not matter any more


# --------------------------------------------------------------------------- 3: what a look at the test gives
@notebook.exercise(
    cases=(
        (np.array([0.40, 0.52, 0.55, 0.50]), np.array([0.41, 0.50, 0.47, 0.54])),
        (np.array([0.31, 0.30, 0.29]), np.array([0.20, 0.24, 0.33])),
        (np.array([0.5, 0.6, 0.7, 0.65, 0.64]), np.array([0.55, 0.61, 0.58, 0.60, 0.57])),
    ),
    mistakes=dict(
        optimistic=lambda val, test: test.max(), swapped=lambda val, test: test[val.argmax()] - test.max(),
        honest=lambda val, test: test[val.argmax()], validation=lambda val, test: test.max() - val.max(),
        last=lambda val, test: test.max() - test[-1],
    ),
)  # fmt: skip
def flattery(val, test):  # UA of each epoch on both parts -> by how much choosing on the test part flatters
    chosen = val.argmax()  # the epoch that validation would have chosen
    return test.max() - test[chosen]
