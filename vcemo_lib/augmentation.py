"""Augmentation of training audio (section 4.2): Gaussian noise at 30 dB SNR, pitch shift, time stretch.

Each transform takes a wave (N,), or a batch (B, N), at 16 kHz, and returns the same, float32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torchaudio.functional as F
from torch import Tensor

from vcemo_lib.errors import VcemoError

SNR_DB = 30.0  # noise, dB below the speech
STEPS = 2.0  # pitch, at most so many semitones up or down
STRETCH = 0.1  # tempo, at most this share faster or slower
WINDOW, HOP = 1024, 256  # samples of the phase vocoder: 64 ms resolve a deep voice
RATE = 400  # pitch_shift's resampling kernel grows with its square; 400 is within 4 cents of the pitch


def add_noise(wave: np.ndarray, snr_db: float = SNR_DB, rng: np.random.Generator | None = None) -> np.ndarray:
    """The wave with Gaussian noise `snr_db` dB below its mean power; digital silence stays silent."""
    x = _tensor(wave)
    noise = (rng or np.random.default_rng()).standard_normal(tuple(x.shape), np.float32)
    return F.add_noise(x, torch.from_numpy(noise), torch.full(x.shape[:-1], snr_db)).numpy()


def pitch_shift(wave: np.ndarray, steps: float) -> np.ndarray:
    """The wave `steps` semitones higher, or lower where negative; its length is kept."""
    length = wave.shape[-1]
    padded = torch.nn.functional.pad(_tensor(wave), (0, max(0, WINDOW - length)))
    return F.pitch_shift(padded, RATE, steps, n_fft=WINDOW)[..., :length].numpy()


def time_stretch(wave: np.ndarray, rate: float) -> np.ndarray:
    """The wave `rate` times as fast, its pitch kept."""
    if rate <= 0:
        raise VcemoError(f"a time stretch of {rate}", do="give a rate above 0, such as 0.9 or 1.1")
    window, length = torch.hann_window(WINDOW), max(1, round(wave.shape[-1] / rate))
    spectrum = torch.stft(_tensor(wave), WINDOW, HOP, window=window, pad_mode="constant", return_complex=True)
    advance = torch.linspace(0, math.pi * HOP, WINDOW // 2 + 1)[:, None]  # (bins, 1)
    spectrum = F.phase_vocoder(spectrum, rate, advance)
    return torch.istft(spectrum, WINDOW, HOP, window=window, length=length).numpy()


def augment(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A new variant of a wave: another tempo, another pitch, with noise."""
    wave = time_stretch(wave, rng.uniform(1 - STRETCH, 1 + STRETCH))
    wave = pitch_shift(wave, rng.uniform(-STEPS, STEPS))
    return add_noise(wave, SNR_DB, rng)


def check(model: Any) -> None:
    """Refuse a model without log-mel, or one that reads where each word lies: augmentation moves both."""
    kinds = [model.kinds[modality] for modality in model.settings.modalities]
    if "mel" not in kinds or getattr(model, "also_reads", None):
        remedy = "set augment=0; it needs acoustic='mel', and a model that does not count in frames"
        raise VcemoError(f"augmentation does not fit the model {model.name!r} with these settings", do=remedy)


def _tensor(wave: np.ndarray) -> Tensor:
    return torch.tensor(wave, dtype=torch.float32)
