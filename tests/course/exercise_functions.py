"""Answers to the exercises that take more than a line to write, right and wrong ones."""

from __future__ import annotations

import difflib
import functools
import math
from typing import Any

import numpy as np
import pandas as pd

import vcemo_lib as vc
from vcemo_lib.course.exercises import nb06


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


def leak_by_sets(train: pd.DataFrame, test: pd.DataFrame) -> float:
    voices, sentences = set(train.speaker), set(train.text.map(vc.splits.bare))
    free = [
        row.speaker not in voices and vc.splits.bare(row.text) not in sentences for row in test.itertuples()
    ]
    return 1 - sum(free) / len(test)


def shift_list(values: Any, speakers: Any, emotions: Any) -> Any:
    means = {s: np.mean(values[(speakers == s) & (emotions == "neutral")]) for s in speakers}
    return [value - means[speaker] for value, speaker in zip(values, speakers, strict=True)]


def rate_loop(words: Any, clip_seconds: float) -> float:
    count = 0
    for word in words:
        for character in word.text:
            count += character not in "，。？！"
    return count / (max(word.end for word in words) - min(word.start for word in words))


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


def standardise_transform(x: Any, speakers: Any) -> Any:
    return (
        pd.DataFrame(x)
        .groupby(speakers)
        .transform(lambda own: (own - own.mean()) / own.std(ddof=0))
        .to_numpy()
    )


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


def holm_by_rank(p: Any) -> Any:
    order = np.argsort(p)
    return np.minimum(np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order]), 1)[np.argsort(order)]


def search_counts(printed: float, n: int) -> int | None:
    return next((k for k in range(n + 1) if round(100 * k / n, 2) == printed), None)


def counts_by_text(printed: float, n: int) -> int | None:
    right = int(printed / 100 * n + 0.5)
    return right if format(right / n, ".2%") == f"{printed:.2f}%" else None


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


def level_of_100_ms(wave: Any) -> float:
    pieces = wave[: len(wave) // 1600 * 1600].reshape(-1, 1600)
    return 10 * np.log10((pieces**2).mean(axis=1).max())


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
    return nb06.resample.solve_with(a, b, speakers, np.random.default_rng(0))


def no_generator(a: Any, b: Any, speakers: Any, rng: Any) -> float:
    return nb06.resample.solve_with(a, b, speakers, np.random.default_rng())


def two_stages(speakers: Any, rng: Any) -> Any:
    names = rng.choice(np.unique(speakers), 5)
    return np.concatenate(
        [rng.choice(own, len(own)) for own in (np.flatnonzero(speakers == n) for n in names)]
    )


def least_by_mcnemar(gain: int) -> float:
    """All of the gain against no loss. Without any gain nothing is tested."""
    right, wrong = np.ones(gain, int), np.zeros(gain, int)
    return vc.course.sweeps.mcnemar(right, right, wrong)["p"] if gain else 1.0


def gain_by_mcnemar(differ: int) -> int | None:
    """By the library's test, on utterances that only one of two models has right."""
    true = np.zeros(differ, int)
    for new in range((differ + 1) // 2, differ + 1):
        a, b = true.copy(), true.copy()
        a[new:], b[:new] = 1, 1
        if vc.course.sweeps.mcnemar(true, a, b)["p"] < 0.05:
            return 2 * new - differ
    return None


def gain_by_tosses(differ: int) -> int | None:
    """By adding up Pascal's triangle, from the largest gain down."""
    tail, least = 0, None
    for old in range(differ // 2 + 1):
        tail += math.comb(differ, old)
        if 2 * tail / 2**differ >= 0.05:
            break
        least = differ - 2 * old
    return least


def sizes_by_counting(printed: list[float], smallest: int, largest: int) -> list[int]:
    found = []
    for n in range(smallest, largest + 1):
        possible = [f"{100 * k / n:.2f}" for k in range(n + 1)]
        if all(f"{p:.2f}" in possible for p in printed):
            found.append(n)
    return found


def sizes_by_sets(printed: list[float], smallest: int, largest: int) -> list[int]:
    wanted = {round(100 * p) for p in printed}
    return [n for n in range(smallest, largest + 1) if wanted <= {round(1e4 * k / n) for k in range(n + 1)}]


def ece_pandas(sure: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    table = pd.DataFrame({"sure": sure, "right": right.astype(float)})
    means = table.groupby(np.floor(sure * bins).clip(max=bins - 1)).agg(["mean", "size"])
    return float(((means.sure["mean"] - means.right["mean"]).abs() * means.sure["size"]).sum() / len(sure))


def ece_histogram(sure: np.ndarray, right: np.ndarray) -> float:
    edges = np.arange(11) / 10
    said, held = (np.histogram(sure, edges, weights=w)[0] for w in (sure, right.astype(float)))
    return float(np.abs(said - held).sum() / len(sure))


def risk_pandas(sure: np.ndarray, right: np.ndarray, share: float) -> float:
    return 1 - pd.Series(right)[pd.Series(sure).nlargest(round(share * len(sure))).index].mean()


def risk_loop(sure: np.ndarray, right: np.ndarray, share: float) -> float:
    ranked = sorted(zip(sure.tolist(), right.tolist(), strict=True), reverse=True)
    kept = [ok for _, ok in ranked[: round(share * len(ranked))]]
    return kept.count(False) / len(kept)


def turns_by_rolling(speakers: list[str]) -> list[tuple[str, str, list[str]]]:
    names = np.unique(speakers)
    pairs = zip(names.tolist(), np.roll(names, -1).tolist(), strict=True)
    return [(test, val, np.setdiff1d(names, [test, val]).tolist()) for test, val in pairs]


def turns_loop(speakers: list[str], sort: bool = True) -> list[tuple[str, str, list[str]]]:
    names = list(dict.fromkeys(sorted(speakers) if sort else speakers))
    return [(n, (names * 2)[i + 1], [m for m in names if m not in (n, (names * 2)[i + 1])])
            for i, n in enumerate(names)]  # fmt: skip


def ua_sklearn(y_true: np.ndarray, y_pred: np.ndarray, folds: np.ndarray) -> float:
    from sklearn.metrics import balanced_accuracy_score

    return balanced_accuracy_score(y_true, y_pred)


def ua_of_counts(y_true: np.ndarray, y_pred: np.ndarray, folds: np.ndarray) -> float:
    return vc.evaluation.scores(y_true, y_pred)["ua"]
