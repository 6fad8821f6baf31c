"""Notebook 06: what a printed percentage gives away, a fair resample, and what one modality adds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vcemo_lib.course.exercises import Exercise, Question

# ---- printed percentages --------------------------------------------------------------------------------------------


def _judge_counts(answer: Callable[[float, int], Any]) -> str | None:
    cases = ((57.40, 730), (61.23, 730), (69.52, 730), (53.18, 730), (65.51, 748), (100.0, 3))
    for printed, n in cases:
        want = [k for k in range(n + 1) if f"{100 * k / n:.2f}" == f"{printed:.2f}"]
        want_one, found = (want[0] if want else None), answer(printed, n)
        if found is None and want_one is None or found is not None and want_one is not None and int(found) == want_one:
            continue
        if want_one is None:
            return f"{printed:.2f} % of {n} is no whole number of utterances: {found} of {n} is {100 * found / n:.2f} %. Give None."
        if found is not None and abs(int(found) - want_one) == 1:
            return f"{found} of {n} is {100 * int(found) / n:.2f} %, not {printed:.2f} %: int() cuts off, round() goes to the nearest."
        return f"{want_one} of {n} is {printed:.2f} %, you said {found}."
    return None


def _solve_counts() -> Callable[[float, int], int | None]:
    def right_of(printed, n):
        k = round(printed / 100 * n)
        return k if f"{100 * k / n:.2f}" == f"{printed:.2f}" else None

    return right_of


counts = Exercise(
    "How many were right?",
    _judge_counts,
    _solve_counts,
    ("Round printed / 100 * n to a whole number, then go back.", "If going back does not print the same two decimals, n cannot be the test size."),
    "Right, and None is news: that figure was not measured on n utterances.",
    {
        "never none": (lambda: lambda printed, n: round(printed / 100 * n), "no whole number"),
        "cut off": (lambda: lambda printed, n: int(printed / 100 * n), "int() cuts off"),
    },
)


# ---- one resample ---------------------------------------------------------------------------------------------------


def _judge_resample(answer: Callable[..., float]) -> str | None:
    import numpy as np

    speakers = np.repeat(np.arange(12), 15)
    rng = np.random.default_rng(0)
    same = rng.random(180) < 0.6
    draws = [answer(same, same, speakers, np.random.default_rng(s)) for s in range(40)]
    if np.abs(draws).max() > 1e-12:
        return "two identical models differ in your resamples. Draw once, and score both models on the same draw."
    a, b = speakers % 2 == 0, np.zeros(180, bool)  # a is right for every other speaker: clips of a speaker agree
    draws = np.array([answer(a, b, speakers, np.random.default_rng(s)) for s in range(300)], float)
    spread, by_speaker, by_clip = draws.std(), 0.5 / np.sqrt(12), 0.5 / np.sqrt(180)
    if spread < 1e-9:
        return "every resample gives the same number: nothing is drawn. Draw with replacement."
    if abs(spread - by_clip) < 0.3 * by_clip:
        return "you drew single clips. Here a speaker's clips are all right or all wrong, so there are 12 independent things, not 180: draw speakers."
    if abs(spread - by_speaker) > 0.2 * by_speaker:
        return f"the spread of your resamples is {spread:.3f}; with whole speakers drawn it is about {by_speaker:.3f}."
    if abs(draws.mean() - 0.5) > 0.05:
        return f"your resamples lie around {draws.mean():.2f}; the difference itself is 0.50."
    return None


def _solve_resample() -> Callable[..., float]:
    import numpy as np

    def difference(a, b, speakers, rng):  # a, b (N,) right or not; speakers (N,)
        names = np.unique(speakers)
        drawn = rng.choice(names, size=len(names))  # with replacement
        rows = np.concatenate([np.flatnonzero(speakers == name) for name in drawn])
        return a[rows].mean() - b[rows].mean()

    return difference


def _resample_wrongly(what: str) -> Callable[..., float]:
    import numpy as np

    def difference(a: Any, b: Any, speakers: Any, rng: Any) -> float:
        if what == "nothing":
            return float(a.mean() - b.mean())
        rows = rng.integers(len(a), size=len(a))
        others = rng.integers(len(a), size=len(a)) if what == "apart" else rows
        return float(np.mean(a[rows]) - np.mean(b[others]))

    return difference


resample = Exercise(
    "One fair resample",
    _judge_resample,
    _solve_resample,
    ("Draw as many speakers as there are, with replacement: rng.choice(np.unique(speakers), size=...).", "All clips of a drawn speaker come along, as often as the speaker was drawn."),
    "Right: whole speakers, drawn once, both models scored on the same draw.",
    {
        "single clips": (lambda: _resample_wrongly("clips"), "draw speakers"),
        "drawn apart": (lambda: _resample_wrongly("apart"), "same draw"),
        "nothing drawn": (lambda: _resample_wrongly("nothing"), "nothing is drawn"),
    },
)


# ---- what one modality adds -----------------------------------------------------------------------------------------

PRINTED = {"words": 57.40, "bert": 53.29, "audio": 53.18, "words+bert": 57.26, "audio+words": 65.21, "audio+bert": 61.23, "all": 66.99}


def _judge_added(answer: float) -> str | None:
    found = float(answer)
    p = PRINTED
    steps = [p["words+bert"] - p["words"], p["audio+bert"] - p["audio"], p["all"] - p["audio+words"]]
    if abs(found - sum(steps) / 3) < 0.02:
        return None
    if abs(found - (steps[0] + steps[1] + 69.52 - p["audio+words"]) / 3) < 0.02:
        return "you used 69.52 %, which Table 2 has for another model on another corpus. Use 66.99 %, the row 'Ours' of Table 1."
    if abs(found - 1.5) < 0.02:
        return "1.5 is what the text says. The rows say: once a little less than nothing, once eight points, once 1.8. Take their mean."
    if abs(found - steps[2]) < 0.02:
        return "that is what BERT adds to the other two. It can also be added to the words alone and to the voice alone."
    return f"take the three pairs of rows that differ in BERT only; their differences are {', '.join(f'{s:+.2f}' for s in steps)}."


added = Exercise(
    "What does BERT add, says the paper's own table?",
    _judge_added,
    lambda: ((57.26 - 57.40) + (61.23 - 53.18) + (66.99 - 65.21)) / 3,
    ("Three pairs of rows differ in BERT only.", "words -> words + BERT; voice -> voice + BERT; words + voice -> all three (66.99 %)."),
    "Right: 3.2 points on average, from minus 0.1 to plus 8. 'Consistently 1.5 %' is not what the rows say.",
    {
        "the wrong row": (lambda: ((57.26 - 57.40) + (61.23 - 53.18) + (69.52 - 65.21)) / 3, "another corpus"),
        "the text's": (lambda: 1.5, "what the text says"),
        "one pair": (lambda: 66.99 - 65.21, "other two"),
    },
)


# ---- quiz -----------------------------------------------------------------------------------------------------------

QUIZ = (
    Question(
        "The intervals of two models overlap. Is there no difference between them?",
        (
            ("Right, overlapping intervals mean no difference.", False, "Both were scored on the same utterances. Hard utterances are hard for both, and a paired test takes that out."),
            ("One cannot tell from that; look at the interval of the difference.", True, "The paired interval is often much narrower than the two single ones suggest."),
            ("There is one, as the means differ.", False, "Means always differ."),
        ),
    ),
    Question(
        "Two kinds of spread stand in the table: over resampled speakers, and over seeds. What does each tell?",
        (
            ("They are two ways to say the same.", False, "One asks what other speakers would give, the other what another start of training would give."),
            ("Speakers: another test set. Seeds: another training run.", True, "A claim should survive both."),
            ("Seeds are the better one, it is smaller.", False, "Smaller is not better: it leaves out the test set's chance."),
        ),
    ),
    Question(
        "A modality alone does no better than naming the commonest emotion. May it still help in fusion?",
        (
            ("No, it holds no information.", False, "It may hold what matters only together with another: a flat voice means little until the words are joyful."),
            ("Yes, so test it in fusion, paired.", True, "That is what the rows with two and three modalities are for."),
            ("Yes, more inputs always help.", False, "They also add parameters and noise."),
        ),
    ),
    Question(
        "Which of these may be compared with the paper's 66.99 %?",
        (
            ("Our accuracy on VCEMO-Sim.", False, "Another corpus, simulated, with six emotions, other sentences and other speakers."),
            ("Our order of the seven rows, with great care.", False, "Even the order depends on what the simulation put into words and voice."),
            ("A run of the same model on the same test part of VCEMO, if it is released.", True, "Same corpus, same split, same classes; then a difference has a meaning."),
        ),
    ),
)
