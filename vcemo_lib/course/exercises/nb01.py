"""Exercises of notebook 01, dataset exploration."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vcemo_lib.course.exercises import Exercise, Question

# ---- 1: how often two raters agree --------------------------------------------------------------------------

_VOTES = np.array([[3, 0, 0], [2, 1, 0], [1, 1, 1], [0, 3, 0], [0, 1, 2]])


def _pairs(votes: np.ndarray) -> float:
    raters = votes.sum(axis=1)
    return float(((votes * (votes - 1)).sum(axis=1) / (raters * (raters - 1))).mean())


def _judge_agreement(answer: object) -> str | None:
    for votes in (_VOTES, np.array([[4, 0], [2, 2], [3, 1]])):
        got, right = float(answer(votes)), _pairs(votes)
        if np.isclose(got, right):
            continue
        if np.isclose(got, (votes.max(axis=1) / votes.sum(axis=1)).mean()):
            return "this is how often a vote equals the majority. Wanted is how often two raters agree with each other."
        if np.isclose(got, (votes**2).sum(axis=1).mean() / votes.sum(axis=1)[0] ** 2):
            return "you count each rater as agreeing with herself. Of n raters there are n (n - 1) ordered pairs, not n squared."
        if np.isclose(got, (votes.max(axis=1) == votes.sum(axis=1)).mean()):
            return "this is the share of unanimous clips. Of three raters in a 2:1 vote, one pair in three still agrees."
        return f"for the votes {votes.tolist()} it gives {got:.3f}; {right:.3f} is right."
    return None


def _solve_agreement() -> object:
    def agreement(votes):  # (N, C) counts -> how often two raters of a clip agree, averaged over clips
        raters = votes.sum(axis=1)  # (N,)
        agreeing = (votes * (votes - 1)).sum(axis=1)  # (N,) ordered pairs with the same vote
        return (agreeing / (raters * (raters - 1))).mean()

    return agreement


agreement = Exercise(
    title="how often two raters agree",
    judge=_judge_agreement,
    solve=_solve_agreement,
    hints=(
        "n raters form n (n - 1) ordered pairs.",
        "If k of them chose one class, k (k - 1) of these pairs agree on it. Sum that over the classes.",
    ),
    praise="Right. Fleiss' kappa compares this number with what it would be by chance.",
    wrong={
        "agreement with the majority": (lambda: lambda v: (v.max(axis=1) / v.sum(axis=1)).mean(), "majority"),
        "a rater paired with herself": (lambda: lambda v: ((v / v.sum(axis=1, keepdims=True)) ** 2).sum(axis=1).mean(), "herself"),
        "share of unanimous clips": (lambda: lambda v: (v.max(axis=1) == v.sum(axis=1)).mean(), "unanimous"),
    },
)

# ---- 2: a shift from one's own neutral ----------------------------------------------------------------------


def _judge_shift(answer: object) -> str | None:
    values = np.array([100.0, 110.0, 130.0, 200.0, 230.0, 260.0, 215.0])
    speakers = np.array(["a", "a", "a", "b", "b", "b", "b"])
    emotions = np.array(["neutral", "neutral", "angry", "neutral", "angry", "angry", "sad"])
    got = np.asarray(answer(values, speakers, emotions), float)
    if got.shape != values.shape:
        return f"give one shift a clip: shape {values.shape}, not {got.shape}."
    neutral = np.where(speakers == "a", 105.0, 200.0)
    if np.allclose(got, values - neutral):
        return None
    if np.allclose(got, values - values[emotions == "neutral"].mean()):
        return "you took the neutral mean over all speakers, so a deep voice seems sad and a high one happy. Take each speaker's own."
    mean = np.where(speakers == "a", values[:3].mean(), values[3:].mean())
    if np.allclose(got, values - mean):
        return "you took the mean of all of a speaker's clips. Who is angry more often would then seem calm; use the neutral clips only."
    return f"the shifts should be {(values - neutral).tolist()}, not {got.round(2).tolist()}."


def _solve_shift() -> object:
    def shift(values, speakers, emotions):  # (N,), (N,), (N,) -> (N,)
        result = np.empty(len(values))
        for speaker in set(speakers):
            own = speakers == speaker
            result[own] = values[own] - values[own & (emotions == "neutral")].mean()
        return result

    return shift


shift = Exercise(
    title="a shift from one's own neutral",
    judge=_judge_shift,
    solve=_solve_shift,
    hints=("Loop over the speakers: `for speaker in set(speakers)`.", "`own & (emotions == 'neutral')` picks a speaker's neutral clips."),
    praise="Right. What is left is what the emotion does, not who speaks.",
    wrong={
        "neutral of everybody": (lambda: lambda v, s, e: v - v[e == "neutral"].mean(), "all speakers"),
        "mean of all clips": (lambda: lambda v, s, e: v - np.array([v[s == one].mean() for one in s]), "neutral clips only"),
    },
)

# ---- 3: what leaks ------------------------------------------------------------------------------------------

_TRAIN = pd.DataFrame({"speaker": ["a", "a", "b", "c"], "text": ["你好！", "走吧", "下雨了", "几点了？"]})
_TEST = pd.DataFrame({"speaker": ["d", "d", "a", "e", "e", "f"], "text": ["你好。", "他来了", "算了", "谁啊", "几点了？", "走吧！"]})
_MARKS = str.maketrans("", "", "，。？！、")


def _bare(text: str) -> str:
    return text.translate(_MARKS)


def _judge_leak(answer: object) -> str | None:
    for train, test, right in ((_TRAIN, _TEST, 4 / 6), (_TRAIN, _TRAIN, 1.0), (_TRAIN.iloc[2:], _TEST.iloc[1:4], 0.0)):
        got = float(answer(train, test))
        if np.isclose(got, right):
            continue
        speaker, exact = test["speaker"].isin(train["speaker"]), test["text"].isin(train["text"])
        if np.isclose(got, speaker.mean()):
            return "you looked at speakers only. A sentence that was trained on gives its label away, whoever says it."
        if np.isclose(got, (speaker | exact).mean()):
            return "你好！ and 你好。 count as two sentences for you. Take the punctuation off before you compare."
        if np.isclose(got, test["text"].map(_bare).isin(train["text"].map(_bare)).mean()):
            return "you looked at sentences only. A voice that was trained on is known as well."
        return f"here {right:.2f} of the test clips leak, not {got:.2f}. Count clips (rows), and each of them once."
    return None


def _solve_leak() -> object:
    def leaking(train, test):  # two tables with the columns speaker and text -> share of test clips
        def bare(text):
            return text.translate(str.maketrans("", "", "，。？！、"))

        known_voice = test["speaker"].isin(train["speaker"])
        known_words = test["text"].map(bare).isin(train["text"].map(bare))
        return (known_voice | known_words).mean()

    return leaking


leak = Exercise(
    title="the share of test clips that leak",
    judge=_judge_leak,
    solve=_solve_leak,
    hints=(
        "`test['speaker'].isin(train['speaker'])` marks the clips of known voices.",
        "`text.translate(str.maketrans('', '', '，。？！、'))` takes the marks off.",
        "Join the two masks with `|` before you take the mean, so that no clip counts twice.",
    ),
    praise="Right. `splits.audit` lists the same, and clips with identical sound.",
    wrong={
        "speakers only": (lambda: lambda a, b: b["speaker"].isin(a["speaker"]).mean(), "speakers only"),
        "sentences only": (lambda: lambda a, b: b["text"].map(_bare).isin(a["text"].map(_bare)).mean(), "sentences only"),
        "with punctuation": (lambda: lambda a, b: (b["speaker"].isin(a["speaker"]) | b["text"].isin(a["text"])).mean(), "punctuation"),
    },
)

# ---- 4: two ways to count one's hits ------------------------------------------------------------------------


def _judge_majority(answer: object) -> str | None:
    counts = {"neutral": 60, "happy": 30, "surprise": 10}
    got = answer(counts)
    if not isinstance(got, tuple | list) or len(got) != 2:
        return "give two numbers: (wa, ua)."
    wa, ua = map(float, got)
    if np.isclose(wa, 1 / 3) and np.isclose(ua, 0.6):
        return "WA and UA are swapped. WA is the share of clips that are right; UA gives every emotion the same weight."
    if np.isclose(wa, 0.6) and np.isclose(ua, 0.6):
        return "UA is the mean of the classes' recalls: here of 1 (neutral), 0 and 0."
    if not np.isclose(wa, 0.6):
        return f"always saying neutral is right for 60 of these 100 clips, so WA is 0.60, not {wa:.2f}."
    if not np.isclose(ua, 1 / 3):
        return f"one of three classes has recall 1, the others 0, so UA is {1 / 3:.2f}, not {ua:.2f}."
    return None


def _solve_majority() -> object:
    def majority(counts):  # {"neutral": 60, ...} -> (WA, UA) of always naming the commonest emotion
        return max(counts.values()) / sum(counts.values()), 1 / len(counts)

    return majority


majority = Exercise(
    title="what always saying 'neutral' scores",
    judge=_judge_majority,
    solve=_solve_majority,
    hints=("Recall of a class: the share of its clips that are recognised.", "The classifier's recalls are 1 for one class and 0 for the others."),
    praise="Right. This is why a lopsided corpus needs UA beside WA.",
    wrong={
        "swapped": (lambda: lambda c: (1 / len(c), max(c.values()) / sum(c.values())), "swapped"),
        "the same twice": (lambda: lambda c: (max(c.values()) / sum(c.values()),) * 2, "mean of the classes' recalls"),
    },
)


# ---- the quiz -----------------------------------------------------------------------------------------------

QUESTIONS = (
    Question(
        "A model has WA 80 % and UA 35 % on six emotions. What has happened?",
        (
            ("It is good at the commonest emotions and misses others.", True, "UA is the mean recall of the six classes. High WA with low UA means that the frequent classes carry the score."),
            ("It is overfitted.", False, "Overfitting shows between training and validation, not between two scores of the same part."),
            ("UA was computed on other clips.", False, "Both use the same clips; they only weigh them differently."),
        ),
    ),
    Question(
        "All three raters agree on 90 % of the clips of a corpus in which 95 % of the votes are neutral. Is that much?",
        (
            ("No: by chance they would agree about as often.", True, "If all three drew labels blindly at that share, they would all say neutral for 0.95 cubed, about 86 % of the clips. Kappa is low."),
            ("Yes, 90 % is high.", False, "Only beside what chance gives. That is what kappa is for."),
            ("Nobody can say without the shares of the other labels.", False, "The share of the commonest label already says how much chance alone gives."),
        ),
    ),
    Question(
        "You split by speaker. A friend finds test sentences that also occur in training. Does it matter?",
        (
            ("Yes, for every model that reads the words.", True, "It may know the label from the very sentence. Only a split by sentence as well shuts this door."),
            ("No, the voices are new.", False, "That holds for the sound; the text branch has met these sentences with their labels."),
            ("Only if the recordings are identical.", False, "Identical recordings are worse still, but the words alone are enough to leak."),
        ),
    ),
    Question(
        "A woman's angry clips have a median pitch of 260 Hz, a man's of 150 Hz. Who shows more anger?",
        (
            ("That cannot be said without their neutral pitch.", True, "Anger moves each voice from its own place. 260 Hz may be nine semitones above her neutral, or one."),
            ("She does, her pitch is higher.", False, "Her neutral pitch is likely higher, too: that is anatomy, not anger."),
            ("He does, 150 Hz is high for a man.", False, "For some men. It depends on this man's neutral pitch."),
        ),
    ),
)
