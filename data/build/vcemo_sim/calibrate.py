"""Stage 2b: move the commanded mean shifts until the finished sound has the human ones.

A shift that is asked of the vocoder is not the shift that is measured: words dilute it (half-hearted and
masked voices), limits cut it, and pitch and level act on each other. So some speakers are made, measured, and
the means moved, twice. The result is calibration.json; it is kept with the scripts so that a rebuild need not
do this again.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pyworld
from common import EMOTIONS, FRAME_MS, HERE, RATE, sentence_file
from plan import MEASURES, Speaker, Utterance, design, human_shifts, plan
from revoice import synthesise

# The range is measured but not steered: octave errors of the F0 tracker would drive it away.
STEERED = np.array([1.0, 1.0, 0.0, 1.0, 1.0])
UNMEASURED = ("f0_slope_semitones_per_utterance", "hnr_db")
MEASURED = tuple(i for i, measure in enumerate(MEASURES) if measure not in UNMEASURED)


def measure(wave: np.ndarray, plain_s: float) -> np.ndarray:
    """What is steered, (5,).

    log2 of the duration over the plain sentence's; F0 median (st); log2 of F0's 5-95 % range (st); level
    (dB); 1-5 kHz over < 1 kHz (dB).
    """
    frames = np.square(wave[: len(wave) // 320 * 320].reshape(-1, 320)).mean(1)
    levels = 10 * np.log10(frames + 1e-10)
    first, last = np.flatnonzero(levels > levels.max() - 35)[[0, -1]]
    core = np.ascontiguousarray(wave[first * 320 : (last + 1) * 320])
    coarse, times = pyworld.dio(core, RATE, f0_floor=60, f0_ceil=600, frame_period=10.0)
    f0 = pyworld.stonemask(core, coarse, times, RATE)
    tone = 12 * np.log2(f0[f0 > 0])
    if len(tone) < 5:
        return np.full(5, np.nan)
    low, median, high = np.percentile(tone, [5, 50, 95])
    power, hertz = np.square(np.abs(np.fft.rfft(core))), np.fft.rfftfreq(len(core), 1 / RATE)
    ratio = power[(hertz >= 1000) & (hertz < 5000)].sum() / power[(hertz > 50) & (hertz < 1000)].sum()
    duration, f0_range = np.log2(len(core) / RATE / plain_s), np.log2(max(high - low, 0.1))
    return np.array([duration, median, f0_range, 10 * np.log10(np.mean(core**2)), 10 * np.log10(ratio)])


def make_and_measure(job: tuple[Utterance, Speaker], work: Path, audio: dict) -> np.ndarray:
    utterance, speaker = job
    with np.load(sentence_file(work, utterance.text)) as kept:
        plain_s = len(kept["f0"]) * FRAME_MS / 1000
    return measure(synthesise(utterance, speaker, work, audio), plain_s)


def from_neutral(values: np.ndarray, utterances: list[Utterance]) -> np.ndarray:
    """Each row less the mean of its speaker's neutral rows, (N, D)."""
    names, labels = np.array([u.speaker for u in utterances]), np.array([u.emotion for u in utterances])
    out = np.full_like(values, np.nan)
    for name in np.unique(names):
        rows = names == name
        neutral = rows & (labels == "neutral")
        if neutral.any():
            out[rows] = values[rows] - np.nanmean(values[neutral], axis=0)
    return out


def by_emotion(values: np.ndarray, utterances: list[Utterance]) -> dict[str, np.ndarray]:
    labels = np.array([u.emotion for u in utterances])
    return {e: np.nanmean(values[labels == e], axis=0) for e in EMOTIONS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--speakers", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    audio, settings, human = design()["audio"], design(), human_shifts()
    goal = {e: human[e]["mean"][list(MEASURED)] for e in EMOTIONS}
    width = {e: human[e]["between"][list(MEASURED)] for e in EMOTIONS}
    means = {e: human[e]["mean"].copy() for e in EMOTIONS}
    target = HERE / "calibration.json"
    if target.exists():
        means = {e: np.array(v) for e, v in json.loads(target.read_text(encoding="utf-8")).items()}
    for number in range(arguments.rounds + 1):
        speakers, utterances, _ = plan({e: m.tolist() for e, m in means.items()})
        by_name = {s.speaker: s for s in speakers}
        some = {s.speaker for s in speakers[:: len(speakers) // arguments.speakers]}
        sample = [u for u in utterances if u.speaker in some]
        sample = [u for u in sample if sentence_file(arguments.work, u.text).exists()]
        with ProcessPoolExecutor(arguments.processes) as pool:
            step = partial(make_and_measure, work=arguments.work, audio=audio)
            measured = np.stack(list(pool.map(step, [(u, by_name[u.speaker]) for u in sample], chunksize=8)))
        asked = from_neutral(np.array([u.prosody for u in sample])[:, MEASURED], sample)
        got = from_neutral(measured, sample)
        bias = by_emotion(got - asked, sample)
        commanded = np.array([u.prosody for u in utterances])[:, MEASURED]
        planned = by_emotion(from_neutral(commanded, utterances), utterances)
        inside = 0
        for e in EMOTIONS:
            if e == "neutral":
                continue
            found = planned[e] + bias[e]
            inside += int((np.abs(found - goal[e]) <= width[e]).sum())
            print(e, "found", found.round(3), "goal", goal[e].round(3), "±", width[e].round(3), flush=True)
            if number < arguments.rounds:
                scales = [
                    settings["voice_cue_scale"][u.voice_cue]
                    * by_name[u.speaker].expressiveness
                    * (1 - u.second_weight)
                    for u in utterances
                    if u.emotion == e
                ]
                means[e][list(MEASURED)] += STEERED * (goal[e] - found) / np.mean(scales)
        print(f"round {number}: {inside} of 25 within one human between-speaker spread", flush=True)
    rounded = {e: m.round(4).tolist() for e, m in means.items()}
    target.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
