"""Notebook 01: what naming the commonest emotion scores, how raters agree, what leaks, one's own neutral."""

import numpy as np
import pandas as pd

import vcemo_lib as vc
from vcemo_lib.course.exercises import Case, Notebook

notebook = Notebook("01")
QUESTIONS = notebook.quiz


@notebook.exercise(
    cases=(
        ({"neutral": 60, "happy": 30, "surprise": 10},),
        ({"angry": 5, "sad": 15},),
        ({"fear": 2, "happy": 3, "sad": 9, "neutral": 2, "angry": 4},),
    ),
    mistakes=dict(
        swapped=lambda counts: (1 / len(counts), max(counts.values()) / sum(counts.values())),
        twice=lambda counts: (max(counts.values()) / sum(counts.values()),) * 2,
        six=lambda counts: (max(counts.values()) / sum(counts.values()), 1 / 6),
        first=lambda counts: (next(iter(counts.values())) / sum(counts.values()), 1 / len(counts)),
        counts=lambda counts: (max(counts.values()), 1),
    ),
)
def majority(counts):  # {"neutral": 60, ...} -> (WA, UA) of always naming the commonest emotion
    return max(counts.values()) / sum(counts.values()), 1 / len(counts)


@notebook.exercise(
    cases=(
        (np.array([[3, 0, 0], [2, 1, 0], [1, 1, 1], [0, 3, 0], [0, 1, 2]]),),
        (np.array([[4, 0], [2, 2], [3, 1]]),),
        (np.array([[2, 2, 1, 0], [5, 0, 0, 0]]),),
    ),
    mistakes=dict(
        with_majority=lambda v: (v.max(axis=1) / v.sum(axis=1)).mean(),
        herself=lambda v: ((v / v.sum(axis=1, keepdims=True)) ** 2).sum(axis=1).mean(),
        unanimous=lambda v: (v.max(axis=1) == v.sum(axis=1)).mean(),
        per_clip=lambda v: (v * (v - 1)).sum(axis=1) / (v.sum(axis=1) * (v.sum(axis=1) - 1)),
    ),
)
def agreement(votes):  # (N, C) counts -> how often two raters of a clip agree, averaged over clips
    raters = votes.sum(axis=1)  # (N,)
    agreeing = (votes * (votes - 1)).sum(axis=1)  # (N,) ordered pairs with the same vote
    return (agreeing / (raters * (raters - 1))).mean()


def _parts() -> list[Case]:
    """(training part, test part)."""
    train = pd.DataFrame({"speaker": list("aabc"), "text": ["你好！", "走吧", "下雨了", "几点了？"]})
    texts = ["你好。", "他来了", "算了", "谁啊", "几点了？", "走吧！", "下雨了"]
    test = pd.DataFrame({"speaker": list("ddaebfg"), "text": texts})
    return [(train, test), (train, train), (train[2:], test[1:4]), (train[:1], test.iloc[[0, 2, 3]])]


def _known(train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """What of each test clip is in training: its voice, its sentence, its sentence to the last mark."""
    known = test[["speaker", "text"]].isin({name: train[name].tolist() for name in ("speaker", "text")})
    sentence = test["text"].map(vc.splits.bare).isin(train["text"].map(vc.splits.bare))
    return known.set_axis(["voice", "exact"], axis=1).assign(sentence=sentence)


@notebook.exercise(
    cases=_parts,
    mistakes=dict(
        voices=lambda train, test: _known(train, test)["voice"].mean(),
        sentences=lambda train, test: _known(train, test)["sentence"].mean(),
        marks=lambda train, test: _known(train, test)[["voice", "exact"]].any(axis=1).mean(),
        both=lambda train, test: _known(train, test)[["voice", "sentence"]].all(axis=1).mean(),
        sum=lambda train, test: _known(train, test)[["voice", "sentence"]].mean().sum(),
        number=lambda train, test: _known(train, test).any(axis=1).sum(),
    ),
)
def leak(train, test):  # two tables with the columns speaker and text -> share of test clips
    known_voice = test["speaker"].isin(train["speaker"])
    known_words = test["text"].map(vc.splits.bare).isin(train["text"].map(vc.splits.bare))
    return (known_voice | known_words).mean()


def _voices() -> list[Case]:
    """(a measure of each clip, its speaker, its emotion); each speaker has neutral clips."""
    pitch = np.array([100.0, 110.0, 130.0, 200.0, 230.0, 260.0, 215.0])
    emotions = np.array(["neutral", "neutral", "angry", "neutral", "angry", "angry", "sad"])
    drawn = np.random.default_rng(1).normal(200, 40, 14)
    others = np.array(["neutral"] * 6 + ["sad", "fear", "neutral", "sad", "fear", "fear", "sad", "neutral"])
    small = np.array([200.0, 220.0, 90.0, 100.0]), np.array(list("aabb")), emotions[[0, 2, 4, 0]]
    more = (pitch, np.array(list("aaabbbb")), emotions), (drawn, np.resize(["x", "y", "z"], 14), others)
    return [small, *more]


def _own(values: np.ndarray, speakers: np.ndarray, among: np.ndarray) -> np.ndarray:
    """(N,) for each clip the mean of its speaker's marked clips."""
    return np.array([values[(speakers == speaker) & among].mean() for speaker in speakers])


@notebook.exercise(
    cases=_voices,
    mistakes=dict(
        everybody=lambda v, s, e: v - v[e == "neutral"].mean(),
        all_clips=lambda v, s, e: v - _own(v, s, s == s),
        sign=lambda v, s, e: _own(v, s, e == "neutral") - v,
        ratio=lambda v, s, e: v / _own(v, s, e == "neutral"),
    ),
)
def shift(values, speakers, emotions):  # (N,), (N,), (N,) -> (N,)
    result = np.empty(len(values))
    for speaker in set(speakers):
        own = speakers == speaker
        result[own] = values[own] - values[own & (emotions == "neutral")].mean()
    return result
