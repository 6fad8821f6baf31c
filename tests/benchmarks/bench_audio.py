"""Log-mel spectrograms: librosa clip by clip against `audio.log_mels`, the same clips in one run."""

from __future__ import annotations

import librosa
import numpy as np
from machine import arguments, describe, in_turns, keep

from vcemo_lib import audio
from vcemo_lib.corpora import load_corpus


def plain(wave: np.ndarray) -> np.ndarray:
    """(T, 80), as `audio.log_mel` is defined."""
    power = librosa.feature.melspectrogram(
        y=wave,
        sr=audio.SAMPLE_RATE,
        n_fft=audio.N_FFT,
        hop_length=audio.HOP,
        n_mels=audio.N_MELS,
        pad_mode="constant",
    )
    return np.log(np.maximum(power, audio.LOG_FLOOR)).T


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=7)
    options, corpus = parser.parse_args(), load_corpus("sim")
    chosen = np.linspace(0, len(corpus) - 1, min(options.clips, len(corpus))).astype(int)
    waves = [audio.load(corpus.path(corpus.ids[i])) for i in chosen]
    theirs, ours = [plain(wave) for wave in waves], audio.log_mels(waves)  # which warms both up
    apart = max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
    slow, fast = in_turns(
        [lambda: [plain(wave) for wave in waves], lambda: audio.log_mels(waves)], options.repeats
    )
    print(
        f"{len(waves)} clips, {np.mean([len(wave) for wave in waves]) / audio.SAMPLE_RATE:.1f} s each on"
        f" average; {describe()}"
    )
    print(f"{'way':28s} {'clips/s':>8s} {'processor ms/clip':>18s}")
    for name, taken in (("librosa, a loop", slow), ("audio.log_mels", fast)):
        print(f"{name:28s} {len(waves) / taken.wall:8.0f} {1000 * taken.cpu / len(waves):18.2f}")
    wall, cpu = slow.wall / fast.wall, slow.cpu / fast.cpu
    print(
        f"ratio: {wall:.1f} in clips a second, {cpu:.1f} in processor time (medians of {options.repeats}); at"
        f" most {apart:.1e} apart"
    )
    if options.write:
        note = f"at most {apart:.0e} apart"
        keep(
            "audio",
            what="`audio.log_mels`",
            against="librosa, clip by clip",
            ratio=wall,
            note=note,
            ratio_cpu=cpu,
            clips=len(waves),
        )


if __name__ == "__main__":
    main()
