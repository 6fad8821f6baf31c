"""Every exercise of every notebook takes right answers however they are written, and tells wrong ones why."""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import io
import math
import pkgutil
import types
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import vcemo_lib as vc
from vcemo_lib import probe
from vcemo_lib.course import exercises
from vcemo_lib.course.exercises import Exercise, Question, quiz, same
from vcemo_lib.course.exercises.words import read
from vcemo_lib.errors import VcemoError

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


# ------------------------------------------------------------------- answers that take more than a line to write


def optimal_string_alignment(ref: str, hyp: str) -> int:
    """A swap of neighbours is one edit."""

    @functools.cache
    def edits(i: int, j: int) -> int:
        if not (i and j):
            return i + j
        ways = [edits(i - 1, j) + 1, edits(i, j - 1) + 1, edits(i - 1, j - 1) + (ref[i - 1] != hyp[j - 1])]
        if min(i, j) > 1 and ref[i - 2 : i] == hyp[j - 2 : j][::-1]:
            ways.append(edits(i - 2, j - 2) + 1)
        return min(ways)

    return edits(len(ref), len(hyp))


def greedy(ref: str, hyp: str) -> int:
    """The longest common piece first, then what is left on both sides."""
    codes = difflib.SequenceMatcher(None, ref, hyp, autojunk=False).get_opcodes()
    return sum(max(i2 - i1, j2 - j1) for kind, i1, i2, j1, j2 in codes if kind != "equal")


def without_substitution(ref: str, hyp: str) -> int:
    row = [0] * (len(hyp) + 1)
    for r in ref:
        before = row[:]
        for j, h in enumerate(hyp, start=1):
            row[j] = before[j - 1] + 1 if r == h else max(before[j], row[j - 1])
    return len(ref) + len(hyp) - 2 * row[-1]


def recursive(ref: str, hyp: str) -> int:
    @functools.cache
    def edits(i: int, j: int) -> int:
        if not (i and j):
            return i + j
        return min(edits(i - 1, j) + 1, edits(i, j - 1) + 1, edits(i - 1, j - 1) + (ref[i - 1] != hyp[j - 1]))

    return edits(len(ref), len(hyp))


def by_rapidfuzz(ref: str, hyp: str) -> int:
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.distance(ref, hyp)


def loop_cer(refs: list[str], hyps: list[str]) -> float:
    wrong = total = 0
    for ref, hyp in zip(refs, hyps, strict=True):
        wrong += recursive(ref, hyp)
        total += len(ref)
    return wrong / total


def loop_agreement(votes: np.ndarray) -> float:
    shares = []
    for row in votes:
        raters = np.repeat(np.arange(len(row)), row)
        pairs = [raters[i] == raters[j] for i in range(len(raters)) for j in range(i)]
        shares.append(np.mean(pairs))
    return float(np.mean(shares))


def leak_loop(train: pd.DataFrame, test: pd.DataFrame) -> float:
    def bare(text: str) -> str:
        return "".join(c for c in text if c.isalnum())

    sentences = {bare(text) for text in train["text"]}
    known = [
        s in set(train["speaker"]) or bare(t) in sentences
        for s, t in zip(test["speaker"], test["text"], strict=True)
    ]
    return sum(known) / len(known)


def shift_pandas(values: Any, speakers: Any, emotions: Any) -> Any:
    table = pd.DataFrame({"v": values, "s": speakers})
    return table["v"] - table["s"].map(table[emotions == "neutral"].groupby("s")["v"].mean())


def shift_in_place(values: Any, speakers: Any, emotions: Any) -> Any:
    for speaker in set(speakers):
        own = speakers == speaker
        values[own] -= values[own & (emotions == "neutral")].mean()
    return values


def standardise_pandas(x: Any, speakers: Any) -> Any:
    groups = pd.DataFrame(x).groupby(speakers)
    return (pd.DataFrame(x) - groups.transform("mean")) / groups.transform("std")  # n - 1


def loop_attend(q: Any, k: Any, v: Any, mask: Any) -> Any:
    import torch

    rows = []
    for query in q:
        e = torch.stack([torch.exp(query @ key / math.sqrt(len(key))) for key in k[mask]])
        rows.append(e @ v[mask] / e.sum())
    return torch.stack(rows)


def torch_attend(q: Any, k: Any, v: Any, mask: Any) -> Any:
    from torch.nn.functional import scaled_dot_product_attention

    return scaled_dot_product_attention(q, k, v, attn_mask=mask.expand(len(q), -1))


def always_by_4(q: Any, k: Any, v: Any, mask: Any) -> Any:
    return (q @ k.T / 4).masked_fill(~mask, float("-inf")).softmax(-1) @ v


def loop_mean(x: Any, mask: Any) -> Any:
    import torch

    return torch.stack([clip[real].mean(0) for clip, real in zip(x, mask, strict=True)])


def loop_anchor(z: Any, labels: Any, i: int, tau: float) -> float:
    below = sum(math.exp(z[i] @ z[a] / tau) for a in range(len(z)) if a != i)
    terms = [z[i] @ z[p] / tau - math.log(below) for p in range(len(z)) if p != i and labels[p] == labels[i]]
    return -sum(terms) / len(terms)


def supcon_anchor(z: Any, labels: Any, i: int, tau: float) -> float:
    """Ask the library's loss with i as the only anchor that has positives."""
    from scipy.special import logsumexp

    s = z @ z[i] / tau
    others = np.arange(len(z)) != i
    return float(logsumexp(s[others]) - s[others & (labels == labels[i])].mean())


def step_by_step(m: float, share: float) -> int:
    left, n = 1.0, 0
    while left > 1 - share:
        left, n = left * m, n + 1
    return n


def loop_holm(p: Any) -> list[float]:
    out, largest = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda place: p[place])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[place]))
        out[place] = largest
    return out


def statsmodels_like_holm(p: Any) -> Any:
    order = np.argsort(p)
    return np.minimum(np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order]), 1)[np.argsort(order)]


def search_counts(printed: float, n: int) -> int | None:
    return next((k for k in range(n + 1) if round(100 * k / n, 2) == printed), None)


def leans_loop(whole: dict, muted: dict) -> str:
    winner = sorted(whole.items(), key=lambda pair: pair[1])[-1][0]
    losses = {modality: whole[winner] - probabilities[winner] for modality, probabilities in muted.items()}
    return pd.Series(losses).idxmax()


def settles_backwards(times: Any, rows: Any) -> float:
    since = times[-1]
    for time, row in zip(times[::-1], rows[::-1], strict=True):
        if row.argmax() != rows[-1].argmax():
            break
        since = time
    return since


def sliding_level(wave: Any) -> float:
    power = np.convolve(wave.astype(float) ** 2, np.ones(160) / 160, "valid")
    return 10 * math.log10(power.max())


def loop_level(wave: Any) -> float:
    return max(
        20 * np.log10(np.sqrt(np.mean(wave[i : i + 160].astype(float) ** 2)) + 1e-9)
        for i in range(0, len(wave) - 159, 160)
    )


def worst_loop(table: pd.DataFrame) -> list[str]:
    best = max((table.loc[t, p], t, p) for t in table.index for p in table.columns if t != p)
    return [best[1], best[2]]


# -------- resamples: who is drawn, how often, and how the difference is computed from it


def resampling(draw: Any, score: Any = None) -> Any:
    def difference(a: Any, b: Any, speakers: Any, rng: Any) -> float:
        rows = draw(np.asarray(speakers), rng)
        return score(a, b, speakers, rows) if score else a[rows].mean() - b[rows].mean()

    return difference


def clips_of(speakers: Any, names: Any) -> Any:
    return np.concatenate([np.flatnonzero(speakers == name) for name in names])


def resample_pandas(a: Any, b: Any, speakers: Any, rng: Any) -> float:
    groups = [group for _, group in pd.DataFrame({"a": a, "b": b}).groupby(speakers)]
    drawn = pd.concat([groups[i] for i in rng.integers(len(groups), size=len(groups))])
    return (drawn.a.astype(int) - drawn.b.astype(int)).mean()


def resample_weights(a: Any, b: Any, speakers: Any, rng: Any) -> float:
    names, which = np.unique(speakers, return_inverse=True)
    weight = rng.multinomial(len(names), [1 / len(names)] * len(names))[which]
    return float((weight * (a.astype(float) - b)).sum() / weight.sum())


def speaker_means(a: Any, b: Any, speakers: Any, rng: Any) -> float:
    names = np.unique(speakers)
    return float(
        np.mean([a[speakers == s].mean() - b[speakers == s].mean() for s in rng.choice(names, len(names))])
    )


def drawn_apart(a: Any, b: Any, speakers: Any, rng: Any) -> float:
    names = np.unique(speakers)
    first, second = (clips_of(speakers, rng.choice(names, len(names))) for _ in range(2))
    return a[first].mean() - b[second].mean()


def own_generator(a: Any, b: Any, speakers: Any, rng: Any) -> float:
    return EXERCISES["06.resample"].solve_with(a, b, speakers, np.random.default_rng(0))


def no_generator(a: Any, b: Any, speakers: Any, rng: Any) -> float:
    return EXERCISES["06.resample"].solve_with(a, b, speakers, np.random.default_rng())


def two_stages(speakers: Any, rng: Any) -> Any:
    names = rng.choice(np.unique(speakers), 5)
    return np.concatenate(
        [rng.choice(own, len(own)) for own in (np.flatnonzero(speakers == n) for n in names)]
    )


def settings(**changes: Any) -> Any:
    from vcemo_lib.models import paper

    return paper(**changes)


# ------------------------------------------------ exercise -> (right answers, name -> (wrong answer, what is told))

Case = tuple[list[Any], dict[str, tuple[Any, str]]]

ANSWERS: dict[str, Case] = {
    "00.lead": (
        [
            lambda p: (max(p, key=p.get), max(p.values()) - sorted(p.values())[-2]),
            lambda p: [pd.Series(p).idxmax(), pd.Series(p).nlargest(2).diff().abs().iloc[-1]],
        ],
        {
            "hard-coded": (lambda p: ("surprise", 0.12), "whatever it is given"),
            "name only": (lambda p: max(p, key=p.get), "two things"),
            "turned round": (lambda p: (max(p, key=p.get), sorted(p.values())[-2] - max(p.values())), "next one"),
        },
    ),
    "00.nothing": (
        [0.30, 136 / 447],
        {"all emotions": (1.0, "count the emotions"), "per cent": (30.4, "between 0 and 1"), "a guess": (0.5, "count")},
    ),
    "00.worst": (
        [worst_loop, lambda t: t.where(~np.eye(len(t), dtype=bool), -1).stack().idxmax()],
        {
            "hard-coded": (lambda t: ("angry", "happy"), "whatever it is given"),
            "names of a row": (lambda t: (t.index[0], t.columns[2]), "whatever it is given"),
            "index": (lambda t: divmod(int(t.to_numpy().argmax()), 4), "two names"),
        },
    ),
    "00.luck": (
        [0.07, float(np.mean(np.random.default_rng(5).binomial(10, 1 / 6, 50_000) >= 4))],
        {"half": (0.5, "play it"), "per cent": (7.0, "between 0 and 1")},
    ),
    "01.majority": (
        [
            lambda c: [pd.Series(c).max() / pd.Series(c).sum(), 1 / pd.Series(c).size],
            lambda c: (sorted(c.values())[-1] / sum(c[e] for e in c), np.mean([1] + [0] * (len(c) - 1))),
        ],
        {
            "hard-coded": (lambda c: (0.6, 1 / 3), "whatever it is given"),
            "named neutral": (lambda c: (c["neutral"] / sum(c.values()), 1 / len(c)), "KeyError"),
            "one number": (lambda c: max(c.values()) / sum(c.values()), "(WA, UA)"),
            "without UA": (lambda c: (max(c.values()) / sum(c.values()), 0), "mean of the classes' recalls"),
        },
    ),
    "01.agreement": (
        [loop_agreement, lambda v: (((v**2).sum(1) - (n := v.sum(1))) / (n**2 - n)).mean()],
        {
            "hard-coded": (lambda v: 0.5333, "whatever it is given"),
            "three raters": (lambda v: (v * (v - 1)).sum(1).mean() / 6, "how many of the pairs"),
        },
    ),
    "01.leak": (
        [leak_loop, lambda a, b: 1 - (~b.speaker.isin(a.speaker) & ~b.text.map(vc.splits.bare).isin(a.text.map(vc.splits.bare))).mean()],
        {
            "hard-coded": (lambda a, b: 5 / 7, "whatever it is given"),
            "of training": (lambda a, b: a.speaker.isin(b.speaker).mean(), "whose voice"),
        },
    ),
    "01.shift": (
        [shift_pandas, lambda v, s, e: [x - v[(s == who) & (e == "neutral")].mean() for x, who in zip(v, s, strict=True)]],
        {
            "in place": (shift_in_place, "changes what it is given"),
            "semitones": (lambda v, s, e: 12 * np.log2(v / v[e == "neutral"].mean()), "same speaker"),
            "own mean a speaker": (lambda v, s, e: np.array([v[s == who].mean() for who in set(s)]), "shape"),
        },
    ),
    "02.distance": (
        [recursive, by_rapidfuzz],
        {
            "zero": (lambda r, h: 0, "whatever it is given"),
            "swaps are one": (optimal_string_alignment, "swap"),
            "greedy": (greedy, "fewest"),
            "no substitution": (without_substitution, "replaces"),
            "never inserts": (lambda r, h: sum(c not in h for c in r), "in what order"),
        },
    ),
    "02.corpus_cer": (
        [loop_cer, lambda rs, hs: vc.asr.cer(rs, hs)],
        {
            "hard-coded": (lambda rs, hs: 3 / 17, "whatever it is given"),
            "per cent": (lambda rs, hs: 100 * loop_cer(rs, hs), "all edits"),
        },
    ),
    "02.rate": (
        [
            lambda words, s: len([c for w in words for c in w.text if c not in "，。？！"]) / (words[-1].end - words[0].start),
            lambda words, s: sum(map(str.isalpha, "".join(w.text for w in words)))
            / (max(w.end for w in words) - min(w.start for w in words)),
        ],
        {
            "hard-coded": (lambda words, s: 5.0, "whatever it is given"),
            "a number": (5.0, "A function is wanted"),
        },
    ),
    "03.frames": (
        [lambda samples: math.floor((samples + 160) / 160), lambda samples: len(range(0, samples + 1, 160))],
        {"hard-coded": (lambda samples: 301, "whatever it is given"), "one more": (lambda n: 2 + n // 160, "step of 160")},
    ),
    "03.noise": (
        [
            lambda wave, db: math.sqrt(float(np.square(wave.astype(float)).mean()) / 10 ** (db / 10)),
            lambda wave, db: np.linalg.norm(wave) / len(wave) ** 0.5 * 10 ** (-db / 20),
        ],
        {
            "hard-coded": (lambda wave, db: 0.1 / 10**1.5, "whatever it is given"),
            "in dB": (lambda wave, db: 20 * np.log10(np.abs(wave).max()) - db, "Which power"),
        },
    ),
    "03.standardise": (
        [standardise_pandas, lambda x, s: pd.DataFrame(x).groupby(s).transform(lambda c: (c - c.mean()) / c.std(ddof=0)).to_numpy()],
        {
            "unchanged": (lambda x, s: x, "mean 0 and deviation 1"),
            "zeros": (lambda x, s: x * 0, "mean 0 and deviation 1"),
            "first speaker": (lambda x, s: (x - x[s == s[0]].mean(0)) / x[s == s[0]].std(0), "within every speaker"),
        },
    ),
    "04.attend": (
        [loop_attend, torch_attend],
        {
            "divided by 4": (always_by_4, "width of q"),
            "keys for values": (lambda q, k, v, mask: torch_attend(q, k, k, mask), "softmax(q kᵀ / √d) v"),
            "the scores": (lambda q, k, v, mask: q @ k.T, "softmax(q kᵀ / √d) v"),
        },
    ),
    "04.mean": (
        [loop_mean, lambda x, mask: (mask.float()[:, None] @ x)[:, 0] / mask.sum(1)[:, None]],
        {
            "first step": (lambda x, mask: x[:, 0], "real steps"),
            "largest": (lambda x, mask: x.max(1).values, "real steps"),
        },
    ),
    "04.rival": (
        [lambda: settings(guided_by="same_depth"), lambda: settings().but(guided_by="same_depth")],
        {
            "unchanged": (lambda: settings(), "unchanged"),
            "who guides": (lambda: settings(guides=("audio", "fused")), "*who*"),
            "another": (lambda: settings(layers=1), "something else"),
            "two": (lambda: settings(guided_by="same_depth", layers=1), "One setting"),
            "a name": (lambda: "same_depth", "Settings are wanted"),
        },
    ),
    "05.anchor": (
        [loop_anchor, supcon_anchor],
        {
            "hard-coded": (lambda z, y, i, t: 1.7, "whatever it is given"),
            "anchor 3, tau 0.5": (lambda z, y, i, t: loop_anchor(z, y, 3, 0.5), "is right"),
            "dot products": (lambda z, y, i, t: -(z @ z[i])[y == y[i]].mean(), "share of the positive"),
        },
    ),
    "05.factor": (
        [1.43, 10 / 7],
        {
            "inverse": (0.7, "By what"),
            "hundred": (100.0, "By what"),
            "a function": (lambda: 0.1 / 0.07, "A value is wanted"),
        },
    ),
    "05.slow": (
        [step_by_step, lambda m, share: math.log(1 - share, m)],
        {
            "hard-coded": (lambda m, share: 4603, "whatever it is given"),
            "one update": (lambda m, share: 1, "whatever it is given"),
            "of the way": (lambda m, share: 1 - m**share, "is right"),
        },
    ),
    "05.least": (
        [lambda gain: 2 ** (1 - gain) if gain else 1, lambda gain: min(vc.evaluation.mcnemar(*_gained(gain))["p"], 1)],
        {
            "hard-coded": (lambda gain: 0.25, "whatever it is given"),
            "usual": (lambda gain: 0.05, "whatever it is given"),
            "more than one": (lambda gain: 0.5 ** (gain - 2), "tosses"),
        },
    ),
    "06.added": (
        [-0.14, -0.1],
        {
            "three pairs": (3.2, "all three pairs"),
            "three pairs exactly": (3.23, "all three pairs"),
            "utterances": (-1, "Which two rows"),
            "half": (0.82, "Which two rows"),
        },
    ),
    "06.counts": (
        [search_counts, lambda printed, n: k if abs(round(100 * (k := round(n * printed / 100)) / n, 2) - printed) < 1e-9 else None],
        {
            "hard-coded": (lambda printed, n: 419, "whatever it is given"),
            "never": (lambda printed, n: None, "return"),
            "zero for none": (lambda printed, n: search_counts(printed, n) or 0, "None"),
        },
    ),
    "06.resample": (
        [resample_pandas, resample_weights],
        {
            "nothing drawn": (resampling(lambda s, rng: np.arange(len(s))), "nothing is drawn"),
            "single clips": (resampling(lambda s, rng: rng.integers(len(s), size=len(s))), "single clips"),
            "duplicates dropped": (
                resampling(lambda s, rng: np.flatnonzero(np.isin(s, rng.choice(np.unique(s), 5)))),
                "more than once",
            ),
            "half the speakers": (resampling(lambda s, rng: clips_of(s, rng.choice(np.unique(s), 2))), "as many speakers"),
            "one speaker": (resampling(lambda s, rng: clips_of(s, rng.choice(np.unique(s), 1))), "as many speakers"),
            "without replacement": (
                resampling(lambda s, rng: clips_of(s, rng.choice(np.unique(s), 4, replace=False))),
                "more than once",
            ),
            "unweighted means": (speaker_means, "speakers' means"),
            "drawn apart": (drawn_apart, "same draw"),
            "own generator": (own_generator, "the generator that you are given"),
            "no generator": (no_generator, "one seed"),
            "turned round": (lambda a, b, s, rng: -resample_pandas(a, b, s, rng), "turned round"),
            "by clips": (resampling(lambda s, rng: clips_of(s, rng.choice(s, 5))), "same chance"),
            "clips in speakers": (resampling(two_stages), "each once"),
            "a constant": (lambda a, b, s, rng: 0.1, "same draw"),
        },
    ),
    "07.share": (
        [0.48, 1.78 / 3.72],
        {"points": (1.78, "between 0 and 1"), "per cent": (47.8, "between 0 and 1"), "a third": (1 / 3, "Which row")},
    ),
    "07.recall": (
        [
            lambda t: float(np.mean([row[i] / sum(row) for i, row in enumerate(t.tolist())])),
            lambda t: np.trace(t / t.sum(1, keepdims=True)) / len(t),
        ],
        {"hard-coded": (lambda t: 0.4833, "whatever it is given"), "three classes": (lambda t: np.trace(t / t.sum(1)[:, None]) / 3, "each true")},
    ),
    "07.hop": (
        [
            lambda q, s, m: np.exp(s[m] @ q) @ s[m] / np.exp(s[m] @ q).sum(),
            lambda q, s, m: sum(math.exp(x @ q) * x for x in s[m]) / sum(math.exp(x @ q) for x in s[m]),
        ],
        {
            "first four": (lambda q, s, m: np.exp(s[:4] @ q) @ s[:4] / np.exp(s[:4] @ q).sum(), "One score a step"),
            "weights": (lambda q, s, m: np.exp(s @ q) * m, "shape"),
            "zeros": (lambda q, s, m: np.zeros(8), "whatever it is given"),
        },
    ),
    "07.holm": (
        [loop_holm, statsmodels_like_holm],
        {
            "unchanged": (lambda p: p, "m - 1"),
            "sorted in place": (lambda p: p.sort() or p, "changes what it is given"),
            "smallest only": (lambda p: p.min() * len(p), "shape"),
        },
    ),
    "09.leans_on": (
        [leans_loop, lambda whole, muted: min(muted, key=lambda m: muted[m][max(whole, key=whole.get)])],
        {
            "hard-coded": (lambda whole, muted: "words", "whatever it is given"),
            "the first": (lambda whole, muted: next(iter(muted)), "whatever it is given"),
            "the emotion": (lambda whole, muted: max(whole, key=whole.get), "winner"),
        },
    ),
    "09.settles": (
        [settles_backwards, lambda t, r: next(t[i] for i in range(len(t)) if len(set(r[i:].argmax(1))) == 1)],
        {
            "hard-coded": (lambda times, rows: 1.0, "whatever it is given"),
            "the beginning": (lambda times, rows: times[0], "another one still leads"),
        },
    ),
    "09.level": (
        [sliding_level, loop_level],
        {
            "hard-coded": (lambda wave: -3.01, "whatever it is given"),
            "whole rows only": (lambda wave: 10 * np.log10((wave.reshape(-1, 160) ** 2).mean(1).max()), "ValueError"),
            "100 ms": (lambda wave: 10 * np.log10((wave[: len(wave) // 1600 * 1600].reshape(-1, 1600) ** 2).mean(1).max()), "longer than 10 ms"),
        },
    ),
}  # fmt: skip


def _gained(gain: int) -> tuple[Any, Any, Any]:
    return (
        np.ones(max(gain, 1), int),
        np.ones(max(gain, 1), int),
        np.zeros(gain, int) if gain else np.ones(1, int),
    )


def said(exercise: Exercise, answer: Any) -> tuple[bool, str]:
    """Whether an answer is taken, and what is printed. Settings and values made by a function are made here."""
    if isinstance(answer, types.FunctionType) and not exercise.parameters and exercise.judge:
        answer = answer()
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
        value = answer if exercise.parameters or not callable(answer) else answer()
        right, text = said(exercise, value)
        assert not right and exercise.words.mistakes[mistake] in text, (mistake, text)


@everyone
def test_an_answer_that_fits_the_first_case_only_is_not_taken(name: str) -> None:
    exercise = EXERCISES[name]
    if exercise.judge or not exercise.parameters:
        return
    cases = list(exercise.cases() if callable(exercise.cases) else exercise.cases)
    first = exercise.solve_with(*cases[0])
    assert not said(exercise, lambda *_: first)[0]
    assert not said(exercise, first)[0]


@everyone
@pytest.mark.parametrize("answer", [None, ...])
def test_no_answer_is_no_error(name: str, answer: Any) -> None:
    right, text = said(EXERCISES[name], answer)
    assert not right and "not answered" in text


@everyone
@pytest.mark.parametrize(
    "answer", [object(), "twelve", [], {}, math.nan, lambda: 1 / 0, lambda *_: object()], ids=repr
)
def test_nonsense_never_stops_the_notebook(name: str, answer: Any) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert not EXERCISES[name].check(answer)
    assert printed.getvalue().startswith("✗")


@everyone
def test_a_wanted_value_is_not_given_away(name: str) -> None:
    exercise = EXERCISES[name]
    if exercise.parameters or exercise.judge:
        return
    told, value = [exercise.words.otherwise, *exercise.words.mistakes.values()], abs(exercise.solve())
    assert not any(f"{value:.{digits}f}" in text for digits in (2, 3) for text in told)


@everyone
def test_what_solution_prints_is_right(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    exercise = EXERCISES[name]
    exercise.solution()
    code = capsys.readouterr().out
    scope: dict[str, Any] = {"np": np, "pd": pd, "vc": vc}  # as the notebooks import them
    exec(code, scope)
    function = scope[name[3:]]
    assert said(exercise, function if exercise.parameters else function())[0]


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
    assert set(here) == set(module.notebook.words) and len(here) >= 3
    for name, exercise in here.items():
        assert exercise.judge or set(exercise.mistakes) == set(exercise.words.mistakes), name
        assert exercise.judge or exercise.words.otherwise, name
    for question in module.notebook.quiz:
        assert question.text.endswith("?") and len(question.choices) >= 3
    assert len(module.notebook.quiz) >= 4


# ----------------------------------------------------------------------------- the solutions beside the library


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

    exercise = EXERCISES["05.anchor"]
    for z, labels, _, tau in exercise.cases():
        anchors = [i for i in range(len(z)) if (labels == labels[i]).sum() > 1]
        ours = np.mean([exercise.solve_with(z, labels, i, tau) for i in anchors])
        assert vc.losses.supcon(torch.tensor(z), torch.tensor(labels), tau).item() == pytest.approx(
            ours, rel=1e-6
        )


# ------------------------------------------------------------------------------------------------ words and quiz


def test_what_a_teacher_wrote_is_read(tmp_path: Path) -> None:
    file = tmp_path / "nb99.md"
    file.write_text(
        "# Notebook\n\n## double: Twice\n\n- square: That is\n  the square.\n- hint: Add: x + x.\n- praise: Good.\n\n"
        "# Quiz\n\n## Is 1 < 2?\n\n- [x] Yes,\n  of course.\n  > 2 - 1\n  > is 1.\n- [ ] No.\n  > Count.\n",
        encoding="utf-8",
    )
    words, questions = read(file)
    assert words["double"].title == "Twice" and words["double"].mistakes == {"square": "That is the square."}
    assert words["double"].hints == ["Add: x + x."] and words["double"].praise == "Good."
    assert questions == (
        Question("Is 1 < 2?", (("Yes, of course.", True, "2 - 1 is 1."), ("No.", False, "Count."))),
    )


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
    with pytest.raises(VcemoError, match="no words for unheard"):
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
