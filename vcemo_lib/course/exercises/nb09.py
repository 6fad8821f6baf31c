"""Notebook 09: when a prediction settles, what a judgement leans on, and how loud a recording is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vcemo_lib.course.exercises import Exercise, Question

# ---- when it settles ------------------------------------------------------------------------------------------------


def _moving() -> list[tuple[Any, Any, float]]:
    """Times (T,), probabilities (T, 3) and the right answer (s)."""
    import numpy as np

    def rows(winners: list[int]) -> np.ndarray:
        table = np.full((len(winners), 3), 0.2)
        table[np.arange(len(winners)), winners] = 0.6
        return table

    times = np.array([0.5, 1.0, 1.5, 2.0])
    return [(times, rows([0, 1, 1, 1]), 1.0), (times, rows([2, 2, 2, 2]), 0.5), (times, rows([1, 0, 1, 1]), 1.5), (times, rows([0, 0, 0, 2]), 2.0)]


def _judge_settles(answer: Callable[[Any, Any], float]) -> str | None:
    for times, rows, want in _moving():
        found, winners = float(answer(times, rows)), rows.argmax(1).tolist()
        if abs(found - want) < 1e-9:
            continue
        if abs(found - times[winners.index(winners[-1])]) < 1e-9:
            return f"with the winners {winners} you said {found:g} s: there the last winner leads first, but it is overtaken once more. Search from the end."
        return f"with the winners {winners} at {times.tolist()} s it stays the same from {want:g} s on; you said {found:g} s."
    return None


def _solve_settles() -> Callable[[Any, Any], float]:
    import numpy as np

    def settles(times, rows):  # times (T,) in s, rows (T, C) probabilities
        winners = rows.argmax(axis=1)  # (T,)
        others = np.flatnonzero(winners != winners[-1])  # where another one leads
        return times[others[-1] + 1] if len(others) else times[0]

    return settles


def _first_lead() -> Callable[[Any, Any], float]:
    return lambda times, rows: times[list(rows.argmax(1)).index(rows[-1].argmax())]


settles = Exercise(
    "When does the prediction settle?",
    _judge_settles,
    _solve_settles,
    ("rows.argmax(axis=1) names the winner at each time.", "Find the last time at which another one than the final winner leads: the next time is the answer."),
    "Right: from there on, nothing that was said changed the model's mind.",
    {
        "first lead": (_first_lead, "overtaken once more"),
        "the end": (lambda: lambda times, rows: times[-1], "stays the same from"),
    },
)


# ---- what it leans on -----------------------------------------------------------------------------------------------

_WHOLE = {"angry": 0.1, "sad": 0.6, "happy": 0.3}
_EMOTIONS = tuple(_WHOLE)
_CASES = tuple(  # (probabilities of angry, sad, happy without each modality), and what it leans on
    ({name: dict(zip(_EMOTIONS, shares, strict=True)) for name, shares in zip(("audio", "words", "bert"), rows, strict=True)}, want)
    for rows, want in (
        (((0.1, 0.5, 0.4), (0.5, 0.2, 0.3), (0.1, 0.55, 0.35)), "words"),
        (((0.7, 0.25, 0.05), (0.05, 0.05, 0.9), (0.1, 0.7, 0.2)), "words"),
        (((0.3, 0.4, 0.3), (0.02, 0.95, 0.03), (0.2, 0.5, 0.3)), "audio"),
    )
)


def _judge_leans(answer: Callable[[dict, dict], str]) -> str | None:
    for muted, want in _CASES:
        found = answer(dict(_WHOLE), {name: dict(p) for name, p in muted.items()})
        drops = {name: round(_WHOLE["sad"] - p["sad"], 2) for name, p in muted.items()}
        if found == want:
            continue
        largest_change = max(muted, key=lambda name: sum(abs(_WHOLE[e] - p) for e, p in muted[name].items()))
        if found == largest_change:
            return f"without {found} most changes, but the winner, 'sad', gains by it. What it leans on is what it loses most without: {drops}."
        if found == max(muted, key=lambda name: muted[name]["sad"]):
            return f"without {found} 'sad' stays highest: that is what it can best do without. The drops are {drops}."
        return f"the winner is 'sad'; its drops are {drops}, so the largest is that of {want}; you said {found!r}."
    return None


def _solve_leans() -> Callable[[dict, dict], str]:
    def leans_on(whole, muted):  # emotion -> probability; modality -> the same, without that modality
        winner = max(whole, key=whole.get)
        return max(muted, key=lambda modality: whole[winner] - muted[modality][winner])

    return leans_on


leans_on = Exercise(
    "What does a judgement lean on?",
    _judge_leans,
    _solve_leans,
    ("The winner is the emotion with the largest probability in `whole`.", "For each modality: how much less does the *same* emotion get without it?"),
    "Right: the same emotion, with and without.",
    {
        "largest change": (lambda: lambda whole, muted: max(muted, key=lambda m: sum(abs(whole[e] - muted[m][e]) for e in whole)), "gains by it"),
        "best without": (lambda: lambda whole, muted: max(muted, key=lambda m: muted[m][max(whole, key=whole.get)]), "best do without"),
    },
)


# ---- how loud -------------------------------------------------------------------------------------------------------


def _judge_level(answer: Callable[[Any], float]) -> str | None:
    import numpy as np

    t = np.arange(16_000) / 16_000
    loud = np.sin(2 * np.pi * 200 * t)  # a full-scale sine: power one half, so -3 dB
    late = np.concatenate([np.zeros(48_000), 0.5 * loud[:4_000], np.zeros(12_000)])  # a quarter of a second in four
    for wave, want in ((loud, -3.01), (0.1 * loud, -23.01), (late, -9.03)):
        found = float(answer(wave.astype(np.float32)))
        if abs(found - want) < 0.3:
            continue
        mean = 10 * np.log10(np.mean(wave**2))
        if abs(found - 2 * want) < 0.6:
            return f"{found:.1f} dB is twice too much: 20 log10 is for amplitudes, power wants 10 log10."
        if abs(found - mean) < 0.3:
            return f"{found:.1f} dB is the mean over all {len(wave) / 16_000:.0f} s. One short cry in a long pause is loud all the same: take the loudest 10 ms."
        if abs(found - 20 * np.log10(np.abs(wave).max())) < 0.3:
            return f"{found:.1f} dB is that of the largest single sample. A click of one sample would do; take the mean power of 160 samples."
        return f"the loudest 10 ms have {want:.1f} dB, you said {found:.1f}."
    return None


def _solve_level() -> Callable[[Any], float]:
    import numpy as np

    def level(wave):  # (N,) at 16 kHz
        steps = wave[: len(wave) // 160 * 160].reshape(-1, 160)  # (T, 160), 10 ms each
        power = (steps.astype(float) ** 2).mean(axis=1)  # (T,)
        return 10 * np.log10(power.max() + 1e-12)  # dB re full scale

    return level


def _level_wrongly(what: str) -> Callable[[Any], float]:
    import numpy as np

    def level(wave: Any) -> float:
        if what == "mean":
            return 10 * np.log10(np.mean(wave.astype(float) ** 2) + 1e-12)
        if what == "peak":
            return 20 * np.log10(np.abs(wave).max())
        return 2 * _solve_level()(wave)

    return level


level = Exercise(
    "How loud is a recording?",
    _judge_level,
    _solve_level,
    ("Cut the wave into rows of 160 samples: that is 10 ms each.", "Mean of the squares of each row, the largest of them, 10 log10."),
    "Right: that is the measure by which the recorder calls a recording silent or very quiet.",
    {
        "20 log10 of power": (lambda: _level_wrongly("twice"), "twice too much"),
        "mean of all": (lambda: _level_wrongly("mean"), "the mean over all"),
        "largest sample": (lambda: _level_wrongly("peak"), "single sample"),
    },
)


# ---- quiz -----------------------------------------------------------------------------------------------------------

QUIZ = (
    Question(
        "You say a cheerful sentence in English and the model answers 'sad, 80 %'. What does the 80 % tell you?",
        (
            ("The chance that you are sad.", False, "It is the model's share for 'sad' among six words, learned from simulated Mandarin. On your English it was never tested."),
            ("How sure the model is, which outside its training data means little.", True, "A network is often most sure where it has never been. Calibration, which has to be measured, holds, if at all, for data like those it was measured on."),
            ("That 80 of 100 listeners would say so.", False, "No listener was asked."),
        ),
    ),
    Question(
        "Muting BERT changes nothing. Was BERT useless in training, too?",
        (
            ("Yes, so it can be left out.", False, "That is a question for an ablation: train without it, with several seeds (notebook 06)."),
            ("Not shown: muting asks what this trained model needs for this clip.", True, "Words and BERT carry much of the same; without one the other may stand in."),
            ("No, as its attention is above zero.", False, "Attention says where the pooling looked, not what it changed."),
        ),
    ),
    Question(
        "The pooling gives a word much attention. What may you conclude?",
        (
            ("The word decides the emotion.", False, "Its token got much weight in a mean. Whether the answer hangs on it, only leaving it out can show."),
            ("The model looked there; leave the word out and see what changes.", True, "That is an experiment, and the notebook did it."),
            ("The word is loud.", False, "The weight shown under a word is that of BERT's tokens, which know nothing of the sound."),
        ),
    ),
    Question(
        "Why must the recorder switch off the browser's automatic gain?",
        (
            ("To save computing time.", False, "It costs next to nothing."),
            ("Since loudness and its changes tell of emotion, and gain control evens them out.", True, "A shout and a whisper would come out alike. The browser's noise suppression also cuts into the spectrum."),
            ("Since Whisper cannot read such files.", False, "Whisper would not mind."),
        ),
    ),
)
