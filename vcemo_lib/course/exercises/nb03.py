"""Notebook 03: frames, noise, and each speaker measured against themselves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vcemo_lib.course.exercises import Exercise, Question

# ---- how many frames ------------------------------------------------------------------------------------------------


def _judge_frames(answer: Callable[[int], int]) -> str | None:
    from vcemo_lib import audio

    for samples in (16_000, 33_440, 159, 160, 48_123):
        want = len(audio.log_mel(np.zeros(samples, np.float32)))
        found = answer(samples)
        if found == want:
            continue
        if found == samples // audio.HOP:
            return f"{samples} samples give {want} frames, not {found}. The first frame is centred on sample 0: count it too."
        if found == max(0, 1 + (samples - audio.N_FFT) // audio.HOP):
            return f"{samples} samples give {want} frames, not {found}. The clip is padded by half a window at both ends, so the window's length drops out."
        return f"{samples} samples give {want} frames, not {found}. How often does a step of {audio.HOP} samples fit?"
    return None


def _solve_frames() -> Callable[[int], int]:
    hop = 160  # samples: 10 ms at 16 kHz
    return lambda samples: 1 + samples // hop


frames = Exercise(
    "How many frames",
    _judge_frames,
    _solve_frames,
    (
        "Frames are centred at samples 0, 160, 320, ... and the last one must still be centred inside the clip.",
        "answer = lambda samples: 1 + ... — how many whole steps of 160 fit into the clip?",
    ),
    "Right: one at the very start, and one more for every whole step of 10 ms.",
    {
        "forgets the first": (lambda: lambda samples: samples // 160, "first frame"),
        "counts without padding": (lambda: lambda samples: max(0, 1 + (samples - 400) // 160), "padded"),
    },
)


# ---- noise at a given ratio -----------------------------------------------------------------------------------------


def _judge_noise(answer: Callable[[np.ndarray, float], float]) -> str | None:
    rng = np.random.default_rng(3)
    for level, snr_db in ((0.1, 30.0), (0.02, 10.0), (0.3, 0.0)):
        wave = (level * rng.standard_normal(16_000)).astype(np.float32)
        rms = float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))
        want, found = rms * 10 ** (-snr_db / 20), float(answer(wave, snr_db))
        if np.isclose(found, want, rtol=1e-3):
            continue
        if np.isclose(found, rms * 10 ** (-snr_db / 10), rtol=1e-3):
            return "that many decibels are a ratio of powers. You need an amplitude, which goes with the square root of the power: divide by 20, not by 10."
        if np.isclose(found, np.abs(wave).max() * 10 ** (-snr_db / 20), rtol=1e-3):
            return "the peak is one sample's accident. The ratio compares mean powers: start from the root of the mean square."
        if np.isclose(found, rms * 10 ** (snr_db / 20), rtol=1e-3):
            return "your noise is louder than the speech: a positive SNR means that the noise lies below the signal."
        return f"at {snr_db:.0f} dB under a signal of root mean square {rms:.3f} the deviation is {want:.5f}, not {found:.5f}."
    return None


def _solve_noise() -> Callable[[np.ndarray, float], float]:
    def deviation(wave: np.ndarray, snr_db: float) -> float:
        rms = np.sqrt(np.mean(wave.astype(np.float64) ** 2))
        return rms * 10 ** (-snr_db / 20)

    return deviation


noise = Exercise(
    "Noise at 30 dB",
    _judge_noise,
    _solve_noise,
    (
        "SNR in dB = 10 log10(power of the signal / power of the noise). Solve it for the noise's power.",
        "The power of Gaussian noise is the square of its standard deviation; that of the wave is the mean of its squares.",
    ),
    "Right: 30 dB is a thousandth of the power and about a thirtieth of the amplitude.",
    {
        "power for amplitude": (lambda: lambda wave, db: np.sqrt(np.mean(wave.astype(float) ** 2)) * 10 ** (-db / 10), "divide by 20"),
        "peak for power": (lambda: lambda wave, db: np.abs(wave).max() * 10 ** (-db / 20), "peak"),
        "the wrong sign": (lambda: lambda wave, db: np.sqrt(np.mean(wave.astype(float) ** 2)) * 10 ** (db / 20), "below the signal"),
    },
)


# ---- per speaker ----------------------------------------------------------------------------------------------------


def _judge_standardise(answer: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> str | None:
    from vcemo_lib import probe

    rng = np.random.default_rng(5)
    speakers = np.array(["b", "a", "b", "a", "c", "b", "a", "c", "c", "a"])
    x = rng.standard_normal((10, 4)) * 3 + np.array([{"a": 0, "b": 10, "c": -5}[s] for s in speakers])[:, None]
    before = x.copy()
    found = np.asarray(answer(x, speakers), float)
    if found.shape != x.shape:
        return f"x has shape {x.shape}, your result {found.shape}: every utterance keeps its row and its columns."
    if not np.array_equal(x, before):
        return "your function changed x itself. Work on a copy, or the next cell will standardise what is standardised already."
    if np.allclose(found, probe.standardise(x, speakers), atol=1e-3):
        return None
    if np.allclose(found, probe.standardise(x), atol=1e-3):
        return "that is one mean and one deviation for all: the voices still differ. Do it for each speaker by themselves."
    rows = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    if np.allclose(found, rows, atol=1e-3):
        return "that is along each row: it makes every clip alike and mixes the columns. Go down the columns (axis=0)."
    means = np.concatenate([found[speakers == s].mean(0) for s in "abc"])
    if np.allclose(means, 0, atol=1e-6):
        return "the means are right, the deviations are not: divide by each speaker's own standard deviation, too."
    return "after it, every column should have mean 0 and deviation 1 within every speaker; yours has not."


def _solve_standardise() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def standardise(x: np.ndarray, speakers: np.ndarray) -> np.ndarray:
        out = np.empty_like(x)
        for speaker in np.unique(speakers):
            own = x[speakers == speaker]  # (clips of this speaker, D)
            out[speakers == speaker] = (own - own.mean(axis=0)) / own.std(axis=0)
        return out

    return standardise


standardise = Exercise(
    "Each speaker against themselves",
    _judge_standardise,
    _solve_standardise,
    (
        "Loop over np.unique(speakers) and pick a speaker's rows with a mask: x[speakers == speaker].",
        "Means and deviations go down the columns: x.mean(axis=0).",
    ),
    "Right, and no label was looked at.",
    {
        "all speakers together": (lambda: lambda x, s: (x - x.mean(0)) / x.std(0), "for all"),
        "along the rows": (lambda: lambda x, s: (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True), "axis=0"),
        "means only": (
            lambda: lambda x, s: x - np.stack([x[s == one].mean(0) for one in s]),
            "deviation",
        ),
    },
)


# ---- quiz -----------------------------------------------------------------------------------------------------------

QUIZ = (
    Question("You double the volume of a recording. What happens to its log-mel?", (
        ("Every value doubles.", False, "The power grows fourfold; its logarithm does not double but shifts."),
        ("The same number is added everywhere.", True, "The power grows by 4, the logarithm by log 4 in every cell above the floor."),
        ("Nothing: mel is relative.", False, "Nothing in the six steps normalises loudness. Standardising would."))),
    Question("Why standardise per speaker without labels rather than per clip?", (
        ("A clip's own mean is part of the message.", True, "Angry speech is loud throughout. Per clip, that would be taken away; per speaker, it stays, and the voice goes."),
        ("Per clip needs labels.", False, "Neither needs labels."),
        ("It is the same.", False, "Per clip removes what sets a clip apart from the speaker's other clips, which is where emotion lies."))),
    Question("Which error can BERT not repair?", (
        ("A character that Whisper misheard as another.", True, "BERT reads the transcript. It may find it odd, but what was said is gone; only the sound still has it."),
        ("A word that jieba cut in the wrong place.", False, "Our BERT reads characters, so the cut does not reach it. Word vectors do suffer."),
        ("A word that has two meanings.", False, "That is just what context vectors are for."))),
    Question("Two features have overlapping 95 % intervals on the same test clips. What follows?", (
        ("They are equally good.", False, "Intervals of single scores ignore that both were tested on the same clips."),
        ("Nothing yet: test the difference.", True, "A paired test looks at the clips on which they disagree and can be far sharper."),
        ("The higher one is better.", False, "That is what the interval warns against."))),
)
