"""The encoder on a clip's own window is Whisper's own."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
import torch

from vcemo_lib import VcemoError, asr, audio
from vcemo_lib.asr.encoder import SILENCE_FLOOR, encode, log_mel, silence
from vcemo_lib.corpora import Corpus


@pytest.mark.weights
def test_the_encoder_in_its_own_window_is_whispers(model) -> None:
    mel = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(encode(model, mel), model.encoder(mel), atol=1e-4)


@pytest.mark.weights
def test_silence_behind_a_short_window_stands_for_a_full_one(model, corpus: Corpus) -> None:
    wave = audio.load(corpus.path(corpus.ids[0]))
    with torch.inference_mode():
        mel, whole = (log_mel(model, [wave], seconds * audio.SAMPLE_RATE) for seconds in (3, 30))
        shift = SILENCE_FLOOR - mel.min()
        wanted = encode(model, whole + shift)[:, : mel.shape[-1] // 2]
        alone = encode(model, mel + shift) - wanted
        beside = encode(model, mel + shift, silent=silence(model, mel.dtype)[0]) - wanted
    assert beside.norm() < 0.5 * alone.norm()


@pytest.mark.weights
def test_a_layer_beyond_30_s(model) -> None:
    wave = 0.1 * np.random.default_rng(0).standard_normal(31 * audio.SAMPLE_RATE).astype(np.float32)
    frames = asr.encoder_features(wave, layer=1)
    assert frames.shape == (31 * 50, 512) and np.isfinite(frames).all()
    start = asr.encoder_features(wave[30 * audio.SAMPLE_RATE :], layer=1)
    np.testing.assert_allclose(frames[1500:], start, atol=1e-4)


@pytest.mark.weights
def test_encoder_frames(model) -> None:
    rng = np.random.default_rng(0)
    waves = [0.1 * rng.standard_normal(n).astype(np.float32) for n in (8000, 8001, 16_000, 100)]
    frames = asr.encoder_features(waves, layer=3)
    assert [f.shape for f in frames] == [(ceil(len(w) / 320), 512) for w in waves]
    assert np.allclose(asr.encoder_features(waves[2], layer=3), frames[2], atol=1e-3)
    assert not np.allclose(asr.encoder_features(waves[2], layer=2), frames[2], atol=1e-1)
    with pytest.raises(VcemoError, match="no encoder layer 7"):
        asr.encoder_features(waves[0], layer=7)
