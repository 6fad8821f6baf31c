"""Notebook 00: read a prediction, know what chance gives, find the worst confusion, and what ten clips can tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vcemo_lib.course.exercises import Exercise, Question

# ---- 1: a prediction read ----------------------------------------------------------------------------------------------

_SAID = {"angry": 0.08, "fear": 0.05, "happy": 0.31, "neutral": 0.09, "sad": 0.04, "surprise": 0.43}


def _judge_lead(answer: Callable[[Mapping[str, float]], Any]) -> str | None:
    for said in (_SAID, {"sad": 0.7, "angry": 0.2, "neutral": 0.1}, {"sad": 0.5, "neutral": 0.5}):
        first, second = sorted(said.values(), reverse=True)[:2]
        emotion, lead = answer(dict(said))
        if said.get(emotion) != first:
            return f"for {said} it names {emotion!r}. The recogniser's answer is the emotion with the highest probability."
        if abs(float(lead) - first) < 1e-6 and second > 1e-6:
            return "the lead is not the probability itself: 0.43 may be far ahead or just ahead. Take the second highest away."
        if abs(float(lead) - (first - min(said.values()))) < 1e-6 and len(said) > 2:
            return "that is the distance to the last one. The runner-up decides how close it was."
        if abs(float(lead) - (first - second)) > 1e-6:
            return f"for {said} the lead is {first - second:.2f}, you gave {float(lead):.2f}."
    return None


def _solve_lead() -> Callable[[Mapping[str, float]], tuple[str, float]]:
    def lead(probabilities):  # {"sad": 0.7, "angry": 0.2, ...} -> ("sad", 0.5)
        ranked = sorted(probabilities, key=probabilities.get, reverse=True)
        return ranked[0], probabilities[ranked[0]] - probabilities[ranked[1]]

    return lead


lead = Exercise(
    "How far ahead?",
    _judge_lead,
    _solve_lead,
    ("sorted(probabilities, key=probabilities.get, reverse=True) gives the emotions, the likeliest first.", "Return two things: the first emotion, and its probability minus the second one's."),
    "Right. A small lead says that the recogniser could as well have said the other.",
    {
        "the probability": (lambda: lambda p: (max(p, key=p.get), max(p.values())), "second highest"),
        "the last one": (lambda: lambda p: (max(p, key=p.get), max(p.values()) - min(p.values())), "runner-up"),
        "the wrong end": (lambda: lambda p: (min(p, key=p.get), 0.1), "highest probability"),
    },
)

# ---- 2: what doing nothing gives ---------------------------------------------------------------------------------------


def _judge_nothing(answer: float) -> str | None:
    import vcemo_lib as vc

    parts = vc.splits.given(vc.load_corpus("sim"))
    shares = {name: part.table["emotion"].value_counts(normalize=True) for name, part in parts.items()}
    found, want = float(answer), shares["test"].max()
    if found > 1:
        return "give a share between 0 and 1."
    if abs(found - want) < 0.002:
        return None
    if abs(found - 1 / 6) < 0.002:
        return "one in six is what rolling a die gives. One can do better without listening: always say the commonest emotion."
    if abs(found - shares["train"].max()) < 0.002:
        return "that is the share in the training part. The recogniser was scored on the test part."
    if abs(found - shares["test"].min()) < 0.002:
        return "that is the rarest emotion. Take the commonest."
    return "count the emotions of parts['test'].table and divide the largest count by the number of clips."


def _solve_nothing() -> float:
    import vcemo_lib as vc

    test = vc.splits.given(vc.load_corpus("sim"))["test"]
    return test.table["emotion"].value_counts(normalize=True).max()


nothing = Exercise(
    "How good is one who never listens?",
    _judge_nothing,
    _solve_nothing,
    ('vc.splits.given(vc.load_corpus("sim"))["test"].table["emotion"] holds the labels.', "value_counts(normalize=True) gives shares."),
    "Right. A recogniser is worth something only above this.",
    {
        "a die": (lambda: 1 / 6, "rolling a die"),
        "the training part": (lambda: _train_share(), "training part"),
        "per cent": (lambda: 30.5, "between 0 and 1"),
    },
)


def _train_share() -> float:
    import vcemo_lib as vc

    return float(vc.splits.given(vc.load_corpus("sim"))["train"].table["emotion"].value_counts(normalize=True).max())


# ---- 3: the worst confusion --------------------------------------------------------------------------------------------


def _matrices() -> list[Any]:
    import pandas as pd

    names = ["angry", "fear", "happy", "sad"]
    rows = ([9, 0, 7, 0], [1, 6, 1, 2], [2, 0, 30, 1], [0, 5, 0, 9]), ([5, 4, 0, 0], [9, 8, 0, 0], [0, 0, 40, 6], [0, 1, 7, 90])
    return [pd.DataFrame(list(row), names, names) for row in rows]


def _judge_worst(answer: Callable[[Any], tuple[str, str]]) -> str | None:
    for table in _matrices():
        pairs = {(true, said): int(table.loc[true, said]) for true in table.index for said in table.columns}
        want = max((pair for pair in pairs if pair[0] != pair[1]), key=pairs.get)
        found = tuple(answer(table.copy()))
        if found == want:
            continue
        if found not in pairs:
            return f"give two names, the true and the predicted emotion; you gave {found}."
        if found[0] == found[1]:
            return f"{found[0]} taken for {found[1]} is no mistake: that is the diagonal. Leave it out."
        if found == want[::-1]:
            return "the other way round: true emotions stand in rows, predicted ones in columns."
        return f"{found[0]} taken for {found[1]} happened {pairs[found]} times; {want[0]} taken for {want[1]} {pairs[want]} times."
    return None


def _solve_worst() -> Callable[[Any], tuple[str, str]]:
    def worst(table):  # counts, true emotions in rows, predicted ones in columns
        mistakes = table.stack()  # one row a cell: (true, predicted) -> count
        mistakes = mistakes[[true != said for true, said in mistakes.index]]
        return mistakes.idxmax()

    return worst


worst = Exercise(
    "The worst confusion",
    _judge_worst,
    _solve_worst,
    ("table.stack() gives a Series with one row a cell.", "Drop the rows whose two names are equal, then idxmax()."),
    "Right. Filter the browser by it and listen whether you can blame the model.",
    {
        "the diagonal": (lambda: lambda table: table.stack().idxmax(), "diagonal"),
        "the wrong way round": (lambda: lambda table: _solve_worst()(table)[::-1], "rows"),
    },
)

# ---- 4: what ten clips can tell ----------------------------------------------------------------------------------------


def _judge_luck(answer: float) -> str | None:
    from scipy.stats import binom

    found = float(answer)
    if abs(found - binom.sf(3, 10, 1 / 6)) < 0.006:
        return None
    if abs(found - binom.pmf(4, 10, 1 / 6)) < 0.006:
        return "that is exactly four. Five or six right would have impressed you as well: add them."
    if abs(found - binom.sf(4, 10, 1 / 6)) < 0.006:
        return "that is more than four. Four itself counts."
    if abs(found - 0.4) < 0.006:
        return "0.4 is the share that was right. Asked is how often luck alone gets so far."
    if abs(found - (1 / 6) ** 4) < 0.0006:
        return "that is four given clips right. Any four of the ten will do, and more than four."
    return "play it: rng.random((100_000, 10)) < 1 / 6 is a hundred thousand games of one who guesses. In which share are four or more right?"


def _solve_luck() -> float:
    import numpy as np

    right = np.random.default_rng(0).random((100_000, 10)) < 1 / 6  # games, clips
    return (right.sum(axis=1) >= 4).mean()


luck = Exercise(
    "Four of ten, by luck",
    _judge_luck,
    _solve_luck,
    ("Let a computer guess: rng.random((100_000, 10)) < 1 / 6 says for each of ten clips whether a blind guess was right.", "Sum along axis 1, compare with 4, take the mean."),
    "Right: about one guesser in fourteen gets there. Ten clips are an appetiser, not a test.",
    {
        "exactly four": (lambda: 0.0543, "exactly four"),
        "more than four": (lambda: 0.0155, "Four itself"),
        "the share": (lambda: 0.4, "luck alone"),
    },
)

# ---- quiz ----------------------------------------------------------------------------------------------------------------

QUIZ = (
    Question(
        "The recogniser says 'sad, 0.80'. What does the 0.80 mean?",
        (
            ("It is right in 80 of 100 such cases.", False, "Only if it is calibrated, which has to be measured."),
            ("It gives sad four fifths of its belief and shares the rest among the others.", True, "The six numbers add up to 1. How far they deserve trust is another question."),
            ("The speaker is 80 % sad.", False, "Nothing in it measures how strong a feeling is."),
        ),
    ),
    Question(
        "The voices here are simulated. What may you conclude from the scores of this course?",
        (
            ("How well such a model recognises people's emotions.", False, "No person spoke. Real speech has to be asked."),
            ("What a model can learn from what the simulation put in, and how to measure that honestly.", True, "Methods carry over, numbers do not."),
            ("Nothing at all.", False, "Whether a part of the model works, and whether a test is fair, can be learnt here."),
        ),
    ),
    Question(
        "Three raters said sad, sad, neutral. The model said neutral. Is it wrong?",
        (
            ("Yes, as labels are the truth.", False, "The label is a majority. One of three listeners agreed with the model."),
            ("It counts as wrong, and yet one listener heard the same.", True, "The score knows only the majority. That is why the votes stand beside it in the browser."),
            ("No, since one vote is enough.", False, "Then nearly anything could be called right."),
        ),
    ),
    Question(
        "You beat the model 7 to 5. Do you hear emotions better than it does?",
        (
            ("Yes, 70 % is more than 50 %.", False, "Two clips more of ten come up by chance quite often."),
            ("Ten clips cannot say. Play more of them and add up.", True, "The interval of 7 of 10 reaches from about 40 % to 89 %."),
            ("No, the model is always better.", False, "Nothing shows that either."),
        ),
    ),
)
