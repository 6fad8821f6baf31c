"""Notebook 03: frames, noise, and each speaker measured against themselves."""

from collections.abc import Callable

import numpy as np

from vcemo_lib.course.exercises import Case, Notebook

notebook = Notebook("03")
QUIZ = notebook.quiz


@notebook.exercise(
    cases=((48_123,), (16_000,), (33_440,), (159,), (160,), (480_000,)),
    mistakes=dict(
        floor=lambda samples: samples // 160,
        no_padding=lambda samples: max(0, 1 + (samples - 400) // 160),
        ceil=lambda samples: -(-samples // 160),
        fraction=lambda samples: 1 + samples / 160,
        window=lambda samples: 1 + samples // 400,
    ),
)
def frames(samples):
    hop = 160  # samples: 10 ms at 16 kHz
    return 1 + samples // hop


def _waves() -> list[Case]:
    rng = np.random.default_rng(3)
    ratios = ((0.1, 30.0), (0.02, 10.0), (0.3, 0.0), (0.2, -6.0))  # deviation, dB
    return [((level * rng.standard_normal(16_000)).astype(np.float32), snr_db) for level, snr_db in ratios]


def _rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(wave.astype(np.float64) ** 2)))


@notebook.exercise(
    cases=_waves,
    mistakes=dict(
        power=lambda wave, snr_db: _rms(wave) * 10 ** (-snr_db / 10),
        variance=lambda wave, snr_db: _rms(wave) ** 2 * 10 ** (-snr_db / 10),
        peak=lambda wave, snr_db: np.abs(wave).max() * 10 ** (-snr_db / 20),
        mean_abs=lambda wave, snr_db: np.abs(wave).mean() * 10 ** (-snr_db / 20),
        louder=lambda wave, snr_db: _rms(wave) * 10 ** (snr_db / 20),
        thirty=lambda wave, snr_db: _rms(wave) * 10 ** (-30 / 20),
    ),
)
def noise(wave, snr_db):  # (N,), dB -> standard deviation of the noise
    rms = np.sqrt(np.mean(wave.astype(np.float64) ** 2))
    return rms * 10 ** (-snr_db / 20)


def _clips() -> list[Case]:
    noise = np.random.default_rng(5).standard_normal((16, 4)) * 3
    speakers = np.array(list("babacbaccazyzzyy"))
    x = noise + [[3.0 * ord(name)] for name in speakers]
    return [(x[:10], speakers[:10]), (x[10:], speakers[10:]), (x[::-1], speakers[::-1])]


def _scaled(x: np.ndarray, axis: int | None = 0, ddof: int = 0) -> np.ndarray:
    return (x - x.mean(axis, keepdims=True)) / x.std(axis, keepdims=True, ddof=ddof)


def _each(x: np.ndarray, speakers: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """x with the clips of each speaker changed."""
    out = np.empty(x.shape)
    for speaker in np.unique(speakers):
        out[speakers == speaker] = change(x[speakers == speaker])
    return out


def _centred(x: np.ndarray, speakers: np.ndarray) -> np.ndarray:
    return _each(x, speakers, lambda own: own - own.mean(axis=0))


@notebook.exercise(
    cases=_clips,
    tolerance=1e-3,
    also=[lambda x, speakers: _each(x, speakers, lambda own: _scaled(own, ddof=1))],  # as pandas does
    mistakes=dict(
        together=lambda x, speakers: _scaled(x),
        rows=lambda x, speakers: _scaled(x, axis=1),
        whole=lambda x, speakers: _each(x, speakers, lambda own: _scaled(own, axis=None)),
        means_only=_centred,
        common_deviation=lambda x, speakers: _centred(x, speakers) / x.std(axis=0),
        variance=lambda x, speakers: _each(x, speakers, lambda own: (own - own.mean(0)) / own.var(0)),
    ),
)
def standardise(x, speakers):  # (N, D), (N,) -> (N, D)
    out = np.empty_like(x)
    for speaker in np.unique(speakers):
        own = x[speakers == speaker]  # (clips of this speaker, D)
        out[speakers == speaker] = (own - own.mean(axis=0)) / own.std(axis=0)
    return out
