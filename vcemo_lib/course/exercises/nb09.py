"""Notebook 09: what a judgement leans on, when a prediction settles, and how loud a recording is."""

import numpy as np

from vcemo_lib.course.exercises import Case, Notebook

notebook = Notebook("09")
QUIZ = notebook.quiz

_JUDGEMENTS = (  # probabilities of angry, sad and happy: whole, without audio, without words, without BERT
    ((0.1, 0.6, 0.3), (0.1, 0.5, 0.4), (0.5, 0.2, 0.3), (0.1, 0.55, 0.35)),
    ((0.1, 0.6, 0.3), (0.7, 0.25, 0.05), (0.05, 0.15, 0.8), (0.1, 0.7, 0.2)),
    ((0.1, 0.6, 0.3), (0.3, 0.4, 0.3), (0.02, 0.95, 0.03), (0.2, 0.5, 0.3)),
    ((0.7, 0.2, 0.1), (0.68, 0.01, 0.31), (0.6, 0.35, 0.05), (0.3, 0.32, 0.38)),
)


def _muted() -> list[Case]:
    """(probabilities by emotion, the same without each modality)."""
    named = [[dict(zip(("angry", "sad", "happy"), row, strict=True)) for row in of] for of in _JUDGEMENTS]
    return [(whole, dict(zip(("audio", "words", "bert"), muted, strict=True))) for whole, *muted in named]


def _winner(whole: dict[str, float]) -> str:
    return max(whole, key=lambda emotion: whole[emotion])


@notebook.exercise(
    cases=_muted,
    mistakes=dict(
        change=lambda whole, muted: max(muted, key=lambda m: sum(abs(whole[e] - muted[m][e]) for e in whole)),
        best_without=lambda whole, muted: max(muted, key=lambda m: muted[m][_winner(whole)]),
        new_winner=lambda whole, muted: min(muted, key=lambda m: max(muted[m].values())),
        sad=lambda whole, muted: min(muted, key=lambda m: muted[m]["sad"]),
    ),
)
def leans_on(whole, muted):  # emotion -> probability; modality -> the same, without that modality
    winner = max(whole, key=whole.get)
    return max(muted, key=lambda modality: whole[winner] - muted[modality][winner])


_WINNERS = ((0.5, (0, 1, 1, 1)), (0.4, (1, 0, 1, 1)), (0.5, (2, 2, 2)), (0.3, (0, 0, 0, 2)), (0.2, (1,)))


def _beginnings() -> list[Case]:
    """(times (T,), probabilities (T, 3)); the winner is the surer the more has been heard."""
    cases: list[Case] = []
    for step, winners in _WINNERS:
        sure = np.linspace(0.5, 0.9, len(winners))[:, None]
        rows = np.where(np.eye(3)[list(winners)] > 0, sure, (1 - sure) / 2)
        cases.append((step * np.arange(1, len(winners) + 1), rows))
    return cases


def _last_other(rows: np.ndarray) -> int:
    """The last row in which another one than the final winner leads, or -1."""
    winners = rows.argmax(axis=1)
    return int(max(np.flatnonzero(winners != winners[-1]), default=-1))


@notebook.exercise(
    cases=_beginnings,
    mistakes=dict(
        first_lead=lambda times, rows: times[list(rows.argmax(axis=1)).index(rows[-1].argmax())],
        end=lambda times, rows: times[-1],
        last_other=lambda times, rows: times[max(0, _last_other(rows))],
        position=lambda times, rows: _last_other(rows) + 1,
    ),
)
def settles(times, rows):  # times (T,) in s, rows (T, C) probabilities
    winners = rows.argmax(axis=1)  # (T,)
    others = np.flatnonzero(winners != winners[-1])  # where another one leads
    return times[others[-1] + 1] if len(others) else times[0]


def _recordings() -> list[Case]:
    """Tones of 200 Hz at 16 kHz: whole, soft, for 250 ms of four seconds, for 10 ms of one, with a click."""
    tone = np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000)
    late, short, click = np.zeros(64_037), np.zeros(16_100), 0.01 * tone
    late[48_000:52_000] = 0.5 * tone[:4_000]
    short[8_000:8_160] = 0.8 * tone[:160]
    click[8_000] = 1.0
    return [(wave.astype(np.float32),) for wave in (tone, 0.1 * tone, late, short, click)]


def _level(wave: np.ndarray, samples: int = 160) -> float:
    """Level of the loudest piece of so many samples, dB."""
    pieces = wave[: len(wave) // samples * samples].reshape(-1, samples)
    return float(10 * np.log10((pieces.astype(float) ** 2).mean(axis=1).max() + 1e-12))


@notebook.exercise(
    cases=_recordings,
    tolerance=0.3,
    mistakes=dict(
        twice=lambda wave: 2 * _level(wave),
        half=lambda wave: _level(wave) / 2,
        sign=lambda wave: -_level(wave),
        power=lambda wave: 10 ** (_level(wave) / 10),
        mean=lambda wave: _level(wave, len(wave)),
        peak=lambda wave: 20 * np.log10(np.abs(wave).max()),
        long=lambda wave: _level(wave, 1_600),
        short=lambda wave: _level(wave, 16),
    ),
)
def level(wave):  # (N,) at 16 kHz -> dB re full scale
    steps = wave[: len(wave) // 160 * 160].reshape(-1, 160)  # (T, 160), 10 ms each
    power = (steps.astype(float) ** 2).mean(axis=1)  # (T,)
    return 10 * np.log10(power.max() + 1e-12)
