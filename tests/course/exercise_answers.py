"""What each exercise must take and refuse: exercise -> (right answers, name -> (wrong answer, what is told)).

The mistakes that an exercise knows by itself are tried as well; here are the others.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from exercise_functions import (
    always_by_4,
    by_rapidfuzz,
    clips_of,
    counts_by_text,
    drawn_apart,
    ece_histogram,
    ece_pandas,
    gain_by_mcnemar,
    gain_by_tosses,
    greedy,
    holm_by_rank,
    leak_by_sets,
    leak_loop,
    leans_loop,
    least_by_mcnemar,
    level_of_100_ms,
    loop_agreement,
    loop_anchor,
    loop_attend,
    loop_cer,
    loop_holm,
    loop_level,
    loop_mean,
    no_generator,
    optimal_string_alignment,
    own_generator,
    rate_loop,
    recursive,
    resample_pandas,
    resample_weights,
    resampling,
    risk_loop,
    risk_pandas,
    search_counts,
    settles_backwards,
    shift_in_place,
    shift_list,
    shift_pandas,
    sizes_by_counting,
    sizes_by_sets,
    sliding_level,
    speaker_means,
    standardise_pandas,
    standardise_transform,
    step_by_step,
    supcon_anchor,
    torch_attend,
    turns_by_rolling,
    turns_loop,
    two_stages,
    ua_of_counts,
    ua_sklearn,
    without_substitution,
    worst_loop,
)
from scipy.stats import binom
from sklearn.metrics import f1_score

import vcemo_lib as vc
from vcemo_lib.models import paper

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
            "a ratio": (lambda p: (max(p, key=p.get), max(p.values()) / sorted(p.values())[-2]), "next one"),
        },
    ),
    "00.always_same": (
        [
            lambda emotions: max(Counter(emotions).values()) / len(emotions),
            lambda emotions: max(np.mean([e == one for e in emotions]) for one in set(emotions)),
        ],
        {
            "printed above": (lambda emotions: 0.30, "whatever it is given"),
            "of neutral": (lambda emotions: emotions.count("neutral") / len(emotions), "Count the emotions"),
            "per cent": (lambda emotions: 100 * max(Counter(emotions).values()) / len(emotions), "is right"),
            "of six": (lambda emotions: max(Counter(emotions).values()) / 6, "rolling a die"),
            "the emotion": (lambda emotions: max(emotions, key=emotions.count), "Count the emotions"),
        },
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
        [
            lambda clips, right: binom.sf(right - 1, clips, 1 / 6),
            lambda clips, right: np.mean(np.random.default_rng(5).binomial(clips, 1 / 6, 50_000) >= right),
        ],
        {
            "four of ten": (lambda clips, right: 0.07, "whatever it is given"),
            "ten clips": (lambda clips, right: binom.sf(right - 1, 10, 1 / 6), "Play it"),
            "a coin": (lambda clips, right: binom.sf(right - 1, clips, 0.5), "Play it"),
            "per cent": (lambda clips, right: 100 * binom.sf(right - 1, clips, 1 / 6), "Play it"),
            "at most": (lambda clips, right: binom.cdf(right, clips, 1 / 6), "Play it"),
        },
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
        [leak_loop, leak_by_sets],
        {
            "hard-coded": (lambda a, b: 5 / 7, "whatever it is given"),
            "of training": (lambda a, b: a.speaker.isin(b.speaker).mean(), "whose voice"),
        },
    ),
    "01.shift": (
        [shift_pandas, shift_list],
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
    "02.speaking_rate": (
        [
            lambda ws, s: sum(map(str.isalpha, "".join(w.text for w in ws))) / (ws[-1].end - ws[0].start),
            rate_loop,
        ],
        {
            "hard-coded": (lambda words, s: 5.0, "whatever it is given"),
            "a number": (5.0, "A function is wanted"),
        },
    ),
    "03.frames": (
        [lambda samples: math.floor((samples + 160) / 160), lambda samples: len(range(0, samples + 1, 160))],
        {
            "hard-coded": (lambda samples: 301, "whatever it is given"),
            "one more": (lambda samples: 2 + samples // 160, "step of 160"),
        },
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
        [standardise_pandas, standardise_transform],
        {
            "unchanged": (lambda x, s: x, "mean 0 and deviation 1"),
            "zeros": (lambda x, s: x * 0, "mean 0 and deviation 1"),
            "by the first": (lambda x, s: (x - x[s == s[0]].mean(0)) / x[s == s[0]].std(0), "every speaker"),
        },
    ),
    "04.attend": (
        [loop_attend, torch_attend],
        {
            "divided by 4": (always_by_4, "width of q"),
            "keys for values": (lambda q, k, v, mask: torch_attend(q, k, k, mask), "softmax(q kᵀ / √d) v"),
            "the scores": (lambda q, k, v, mask: q @ k.T, "shape (4, 16), not (4, 5)"),
        },
    ),
    "04.masked_mean": (
        [loop_mean, lambda x, mask: (mask.float()[:, None] @ x)[:, 0] / mask.sum(1)[:, None]],
        {
            "first step": (lambda x, mask: x[:, 0], "real steps"),
            "largest": (lambda x, mask: x.max(1).values, "real steps"),
        },
    ),
    "04.rival": (
        [
            lambda settings: replace(settings, guided_by="same_depth"),
            lambda settings: type(settings)(**(settings.as_dict() | {"guided_by": "same_depth"})),
        ],
        {
            "the paper's": (lambda settings: paper(guided_by="same_depth"), "whatever it is given"),
            "another": (lambda settings: settings.but(layers=1), "One field"),
            "two": (lambda settings: settings.but(guided_by="same_depth", layers=1), "One field"),
            "a dictionary": (lambda s: s.as_dict() | {"guided_by": "same_depth"}, "Settings are wanted"),
            "settings": (paper(guided_by="same_depth"), "A function is wanted"),
        },
    ),
    "05.anchor_loss": (
        [loop_anchor, supcon_anchor],
        {
            "hard-coded": (lambda z, y, i, t: 1.7, "whatever it is given"),
            "anchor 3, tau 0.5": (lambda z, y, i, t: loop_anchor(z, y, 3, 0.5), "is right"),
            "dot products": (lambda z, y, i, t: -(z @ z[i])[y == y[i]].mean(), "share of the positive"),
        },
    ),
    "05.true_alpha": (
        [lambda a, t, base: a * (t / base), lambda a, t, base: round(a * t / base, 2)],
        {
            "hard-coded": (lambda a, t, base: 1.43, "whatever it is given"),
            "the code's base": (lambda a, t, base: a * t / 0.07, "By what"),
            "no alpha": (lambda a, t, base: 0.1 * t / base, "By what"),
            "a difference": (lambda a, t, base: a * (t - base), "By what"),
            "the value": (0.1 / 0.07, "A function is wanted"),
        },
    ),
    "05.updates_needed": (
        [step_by_step, lambda m, share: math.log(1 - share, m)],
        {
            "hard-coded": (lambda m, share: 4603, "whatever it is given"),
            "one update": (lambda m, share: 1, "whatever it is given"),
            "of the way": (lambda m, share: 1 - m**share, "is right"),
        },
    ),
    "05.least_p": (
        [lambda gain: 2 ** (1 - gain) if gain else 1, least_by_mcnemar],
        {
            "hard-coded": (lambda gain: 0.25, "whatever it is given"),
            "usual": (lambda gain: 0.05, "whatever it is given"),
            "more than one": (lambda gain: 0.5 ** (gain - 2), "tosses"),
        },
    ),
    "06.added": (
        [
            lambda a: round(a["Embeddings + BERT"] - a["Embeddings"], 1),
            lambda a: -pd.Series(a)[["Embeddings + BERT", "Embeddings"]].diff().iloc[-1],
        ],
        {
            "the claim": (lambda a: 1.5, "whatever it is given"),
            "the paper's": (lambda a: -0.14, "whatever it is given"),
            "a ratio": (lambda a: a["Embeddings + BERT"] / a["Embeddings"], "Which two rows"),
            "a half": (lambda a: (a["Embeddings + BERT"] - a["Embeddings"]) / 2, "Which two rows"),
        },
    ),
    "06.counts": (
        [search_counts, counts_by_text],
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
            "half": (resampling(lambda s, rng: clips_of(s, rng.choice(np.unique(s), 2))), "as many speakers"),
            "one": (resampling(lambda s, rng: clips_of(s, rng.choice(np.unique(s), 1))), "as many speakers"),
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
        [
            lambda umons, two, three, supcon: 1 - (two - umons) / (three - umons),
            lambda umons, two, three, supcon: round((three - two) / (three - umons), 2),
        ],
        {
            "hard-coded": (lambda *rows: 0.48, "whatever it is given"),
            "all": (lambda *rows: 1.0, "whatever it is given"),
            "of SupCon's step": (lambda umons, two, three, con: (three - two) / (con - umons), "Which row"),
            "turned round": (lambda umons, two, three, supcon: (three - umons) / (three - two), "Which row"),
        },
    ),
    "07.recall": (
        [
            lambda t: float(np.mean([row[i] / sum(row) for i, row in enumerate(t.tolist())])),
            lambda t: np.trace(t / t.sum(1, keepdims=True)) / len(t),
        ],
        {
            "hard-coded": (lambda t: 0.5056, "whatever it is given"),
            "three classes": (lambda t: np.trace(t / t.sum(1)[:, None]) / 3, "each true class"),
        },
    ),
    "07.hop": (
        [
            lambda q, s, m: np.exp(s[m] @ q) @ s[m] / np.exp(s[m] @ q).sum(),
            lambda q, s, m: sum(math.exp(x @ q) * x for x in s[m]) / sum(math.exp(x @ q) for x in s[m]),
        ],
        {
            "first four": (lambda q, s, m: (e := np.exp(s[:4] @ q)) @ s[:4] / e.sum(), "One score a step"),
            "weights": (lambda q, s, m: np.exp(s @ q) * m, "shape"),
            "zeros": (lambda q, s, m: np.zeros(8), "whatever it is given"),
        },
    ),
    "07.holm": (
        [loop_holm, holm_by_rank],
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
        [settles_backwards, lambda t, r: next(t[i] for i in range(len(t)) if np.ptp(r[i:].argmax(1)) == 0)],
        {
            "hard-coded": (lambda times, rows: 1.0, "whatever it is given"),
            "the beginning": (lambda times, rows: times[0], "another one still leads"),
        },
    ),
    "09.level": (
        [sliding_level, loop_level],
        {
            "hard-coded": (lambda wave: -3.01, "whatever it is given"),
            "whole rows": (lambda w: 10 * np.log10((w.reshape(-1, 160) ** 2).mean(1).max()), "ValueError"),
            "100 ms": (level_of_100_ms, "longer than 10 ms"),
        },
    ),
    "08.rotation": (
        [turns_by_rolling, turns_loop],
        {
            "hard-coded": (lambda speakers: [("a", "b", ["c"])], "whatever it is given"),
            "sets": (lambda speakers: set(speakers), "a turn for each speaker"),
            "in order of appearance": (lambda speakers: turns_loop(speakers, sort=False), "alphabet"),
        },
    ),
    "08.together": (
        [ua_sklearn, ua_of_counts],
        {
            "hard-coded": (lambda y, p, folds: 0.5, "whatever it is given"),
            "macro F1": (lambda y, p, folds: f1_score(y, p, average="macro"), "recall"),
            "counts": (lambda y, p, folds: (y == p).sum(), "recall"),
        },
    ),
    "08.flattery": (
        [lambda val, test: max(test) - test[list(val).index(max(val))],
         lambda val, test: max(t - test[np.argsort(-val)[0]] for t in test)],
        {
            "hard-coded": (lambda val, test: 0.07, "whatever it is given"),
            "worst": (lambda val, test: test.max() - test[val.argmin()], "best epoch"),
            "sorts": (lambda val, test: (val.sort(), test.max() - test[-1])[1], "changes what"),
        },
    ),
    "10.least_gain": (
        [gain_by_mcnemar, gain_by_tosses],
        {
            "hard-coded": (lambda differ: 6, "whatever it is given"),
            "never": (lambda differ: None, "return"),
            "rule of thumb, rounded": (lambda differ: round(2 * differ**0.5), "whose p is below"),
            "all of them": (lambda differ: differ, "whose p is below"),
            "a p": (lambda differ: min(1.0, 2 * 0.5**differ), "whose p is below"),
        },
    ),
    "10.sizes": (
        [sizes_by_counting, sizes_by_sets],
        {
            "hard-coded": (lambda printed, smallest, largest: [4, 8, 12], "whatever it is given"),
            "a tenth": (lambda printed, smallest, largest: [748], "whatever it is given"),
            "every size": (lambda printed, smallest, largest: list(range(smallest, largest + 1)), "is there"),
            "how many": (lambda *table: len(sizes_by_sets(*table)), "is there"),
            "exclusive": (lambda printed, a, b: sizes_by_sets(printed, a + 1, b), "from smallest to largest"),
        },
    ),
    "11.ece": (
        [ece_pandas, ece_histogram],
        {
            "hard-coded": (lambda sure, right: 0.2575, "whatever it is given"),
            "overall": (lambda sure, right: abs(sure.mean() - right.mean()), "sum"),
            "accuracy": (lambda sure, right: right.mean(), "sum"),
            "five bins": (lambda sure, right: ece_pandas(sure, right, 5), "For each tenth"),
            "unused": (lambda sure, right: 0.0, "whatever it is given"),
        },
    ),
    "11.risk": (
        [risk_pandas, risk_loop],
        {
            "hard-coded": (lambda sure, right, share: 0.5, "whatever it is given"),
            "all clips": (lambda sure, right, share: 1 - right.mean(), "surest"),
            "sorts in place": (lambda sure, right, share: (sure.sort(), right.mean())[1], "changes what"),
            "one half": (lambda sure, right, share: risk_pandas(sure, right, 0.5), "surest"),
            "a list": (lambda sure, right, share: ~right[np.argsort(-sure)], "which share"),
        },
    ),
}  # fmt: skip
