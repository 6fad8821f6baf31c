"""The encoder on a clip's own window is Whisper's own."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest

from vcemo_lib import VcemoError, asr
from vcemo_lib.asr.encoder import encode


@pytest.mark.weights
def test_the_encoder_in_its_own_window_is_whispers(model) -> None:
    import torch

    mel = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(encode(model, mel), model.encoder(mel), atol=1e-4)


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
