"""Augmentation (section 4.2) of waves (N,) or batches (B, N) at 16 kHz, arrays or tensors."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
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


def _for_arrays(transform: Callable[..., Tensor]) -> Callable[..., Any]:
    """Let a transform of tensors take and return float32 arrays, too."""

    @functools.wraps(transform)
    def either(wave: np.ndarray | Tensor, *args: Any, **options: Any) -> np.ndarray | Tensor:
        if isinstance(wave, torch.Tensor):
            return transform(wave, *args, **options)
        with torch.inference_mode():
            return transform(torch.tensor(wave, dtype=torch.float32), *args, **options).numpy()

    return either


@_for_arrays
def add_noise(wave: Tensor, snr_db: float = SNR_DB, rng: np.random.Generator | None = None) -> Tensor:
    """The wave with Gaussian noise `snr_db` dB below its mean power; digital silence stays silent."""
    noise = (rng or np.random.default_rng()).standard_normal(tuple(wave.shape), np.float32)
    snr = torch.full(wave.shape[:-1], snr_db, device=wave.device)
    return F.add_noise(wave, torch.from_numpy(noise).to(wave), snr)


@_for_arrays
def pitch_shift(wave: Tensor, steps: float) -> Tensor:
    """The wave `steps` semitones higher, or lower where negative; its length is kept."""
    length = wave.shape[-1]
    padded = torch.nn.functional.pad(wave, (0, max(0, WINDOW - length)))
    return F.pitch_shift(padded, RATE, steps, n_fft=WINDOW)[..., :length]


@_for_arrays
def time_stretch(wave: Tensor, rate: float) -> Tensor:
    """The wave `rate` times as fast, its pitch kept."""
    if rate <= 0:
        raise VcemoError(f"a time stretch of {rate}", do="give a rate above 0, such as 0.9 or 1.1")
    window = torch.hann_window(WINDOW, device=wave.device)
    spectrum = torch.stft(wave, WINDOW, HOP, window=window, pad_mode="constant", return_complex=True)
    advance = torch.linspace(0, math.pi * HOP, WINDOW // 2 + 1, device=wave.device)[:, None]  # (bins, 1)
    spectrum = F.phase_vocoder(spectrum, rate, advance)
    return torch.istft(spectrum, WINDOW, HOP, window=window, length=max(1, round(wave.shape[-1] / rate)))


def augment(wave: np.ndarray | Tensor, rng: np.random.Generator) -> Any:
    """A new variant of a wave: another tempo, another pitch, with noise."""
    wave = time_stretch(wave, rng.uniform(1 - STRETCH, 1 + STRETCH))
    wave = pitch_shift(wave, rng.uniform(-STEPS, STEPS))
    return add_noise(wave, SNR_DB, rng)


def check(model: Any) -> None:
    """Refuse a model without log-mel, or one that reads where each word lies: augmentation moves both."""
    kinds = [model.kinds[modality] for modality in model.settings.modalities]
    if "mel" not in kinds or getattr(model, "also_reads", ()):
        raise VcemoError(f"augmentation does not fit the model {model.name!r}", do="set augment=0")
