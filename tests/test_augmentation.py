"""Augmentation: noise, pitch and tempo move by what was asked, the same again from the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from test_audio import level_db, peak_hz, tone, voice

from vcemo_lib.augmentation import add_noise, augment, pitch_shift, time_stretch
from vcemo_lib.errors import VcemoError


@pytest.mark.parametrize("snr_db", [30.0, 10.0, 0.0])
def test_noise_has_the_asked_distance(snr_db: float):
    wave = tone(300, 2.0)
    noise = add_noise(wave, snr_db, np.random.default_rng(1)) - wave
    assert level_db(wave) - level_db(noise) == pytest.approx(snr_db, abs=0.2)
    assert abs(noise.mean()) < 0.03 * noise.std()


def test_noise_leaves_silence_silent():
    assert not add_noise(np.zeros(100, np.float32), 30, np.random.default_rng(0)).any()


@pytest.mark.parametrize("steps", [-3.0, 2.0, 12.0])
def test_pitch_shift_moves_the_tone_and_keeps_the_length(steps: float):
    wave = tone(400, 1.0)
    moved = pitch_shift(wave, steps)
    assert moved.shape == wave.shape and moved.dtype == np.float32
    assert peak_hz(moved) == pytest.approx(400 * 2 ** (steps / 12), rel=0.01)


@pytest.mark.parametrize("rate", [0.8, 1.25])
def test_time_stretch_changes_the_length_and_keeps_the_pitch(rate: float):
    wave = tone(400, 1.0)
    stretched = time_stretch(wave, rate)
    assert len(stretched) == pytest.approx(len(wave) / rate, abs=1)
    assert peak_hz(stretched) == pytest.approx(400, rel=0.01)


def test_a_stretch_by_nothing_is_refused():
    with pytest.raises(VcemoError, match="time stretch of 0"):
        time_stretch(tone(400, 0.1), 0)


def test_augment_repeats_itself_with_a_seed():
    wave = voice(200, 0.6)
    first, again, other = (augment(wave, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.allclose(first, other)
    assert 0.85 < len(first) / len(wave) < 1.15


@pytest.mark.parametrize("transform", [lambda x: pitch_shift(x, 2.0), lambda x: time_stretch(x, 1.1)])
def test_a_batch_of_tensors_is_its_rows(transform):
    import torch

    waves = np.stack([tone(300, 0.3), voice(200, 0.3)])
    batch = transform(torch.from_numpy(waves))
    assert isinstance(batch, torch.Tensor)
    for row, wave in zip(batch.numpy(), waves, strict=True):
        np.testing.assert_allclose(row, transform(wave), atol=1e-4)


@pytest.mark.parametrize("samples", [1, 100, 600])
def test_the_shortest_clips_can_be_augmented(samples: int):
    made = augment(tone(300, 1.0)[:samples], np.random.default_rng(0))
    assert np.isfinite(made).all() and len(made) == pytest.approx(samples, rel=0.1, abs=1)


@pytest.mark.gpu
def test_a_gpu_computes_the_same():
    import torch

    from vcemo_lib import audio

    wave = torch.from_numpy(voice(200, 0.5))
    np.testing.assert_allclose(pitch_shift(wave.cuda(), 2.0).cpu(), pitch_shift(wave, 2.0), atol=1e-3)
    np.testing.assert_allclose(audio.log_mels([wave.cuda()])[0], audio.log_mels([wave])[0], atol=1e-3)
