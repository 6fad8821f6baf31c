"""Whisper's encoder on the clip alone, and its frames as acoustic features."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vcemo_lib import audio, weights
from vcemo_lib.errors import VcemoError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor
    from whisper import Whisper

Clip = str | Path | np.ndarray

FRAME = 2 * audio.HOP  # samples of an encoder frame: 20 ms
FULL_WINDOW = 30.0  # s, the window Whisper was trained with
BATCH = 8  # clips of `encoder_features` at a time


def load_model(name: str = "base") -> Whisper:
    """A Whisper of any size (or the path of its weights), kept for the rest of the process.

    In half precision on CUDA where there is one. VcemoError when the weights cannot be had.
    """
    return _load(weights.whisper(name), name)


@lru_cache(maxsize=2)
def _load(path: Path, size: str) -> Whisper:
    import torch
    import whisper
    from safetensors.torch import load_file

    model = whisper.model.Whisper(whisper.model.ModelDimensions(**weights.about(path)["dims"]))
    model.load_state_dict(load_file(path))
    if size in whisper._ALIGNMENT_HEADS:
        model.set_alignment_heads(whisper._ALIGNMENT_HEADS[size])
    if torch.cuda.is_available():
        halve(model.cuda())
    return model.eval().requires_grad_(False)


def halve(model: Whisper) -> None:
    """Half precision but for the layer norms, which Whisper computes in float32."""
    model.half()
    for module in model.modules():
        if type(module).__name__ == "LayerNorm":
            module.float()


def log_mel(model: Whisper, waves: Sequence[np.ndarray], samples: int) -> Float[Tensor, "batch mels frames"]:
    """Whisper's own log-mel of clips padded with silence to so many samples, a frame every 160."""
    import torch
    from whisper.audio import mel_filters

    batch = np.zeros((len(waves), samples), dtype=np.float32)
    for row, wave in zip(batch, waves, strict=True):
        row[: len(wave)] = wave[:samples]
    x = torch.from_numpy(batch).to(model.device)
    window = torch.hann_window(audio.N_FFT, device=x.device)
    spectrum = torch.stft(x, audio.N_FFT, audio.HOP, window=window, return_complex=True)
    power = spectrum[..., :-1].abs().square()
    mel = (mel_filters(x.device, model.dims.n_mels) @ power).clamp_min(1e-10).log10()
    mel = torch.maximum(mel, mel.amax(dim=(1, 2), keepdim=True) - 8.0)  # floor 80 dB under the loudest
    return ((mel + 4.0) / 4.0).to(model.encoder.conv1.weight.dtype)


def encode(
    model: Whisper, mel: Float[Tensor, "batch mels frames"], layer: int = -1
) -> Float[Tensor, "batch time width"]:
    """The output of an encoder block, 1 the first, -1 the final output, in a window of any length.

    The position table is cut to match; two mel frames are a step.
    """
    import torch.nn.functional as F

    encoder = model.encoder
    x = F.gelu(encoder.conv1(mel))
    x = F.gelu(encoder.conv2(x)).permute(0, 2, 1)  # (B, T, width)
    x = (x + encoder.positional_embedding[: x.shape[1]]).to(x.dtype)
    for block in encoder.blocks if layer == -1 else encoder.blocks[:layer]:
        x = block(x)
    return encoder.ln_post(x) if layer == -1 else x


def encoder_features(
    wave: Clip | Sequence[Clip], layer: int = -1, model: str = "base"
) -> np.ndarray | list[np.ndarray]:
    """Whisper's encoder on each clip's own frames: (ceil(N / 320), width) float32, one every 20 ms.

    `layer` 1 to 6 (base) is a block's output, -1 the final one. A list of clips gives a list. Clips are not
    padded, so a batch holds clips of equal length only. Beyond 30 s the clip is done in pieces of 30 s.
    """
    import torch

    if isinstance(wave, (str, Path, np.ndarray)):
        return encoder_features([wave], layer, model)[0]
    whisper, full = load_model(model), int(FULL_WINDOW * audio.SAMPLE_RATE)
    last = whisper.dims.n_audio_layer
    if layer != -1 and not 1 <= layer <= last:
        raise VcemoError(f"Whisper has no encoder layer {layer}", do=f"choose -1 (final) or 1 to {last}")
    waves = [audio.load(clip) for clip in wave]
    pieces = [clip[at : at + full] for clip in waves for at in range(0, len(clip), full)]
    frames = [ceil(len(piece) / FRAME) for piece in pieces]
    found: dict[int, np.ndarray] = {}
    for count, group in groupby(sorted(range(len(pieces)), key=frames.__getitem__), frames.__getitem__):
        same = list(group)
        for batch in (same[start : start + BATCH] for start in range(0, len(same), BATCH)):
            with torch.inference_mode():
                mel = log_mel(whisper, [pieces[k] for k in batch], max(2 * count, 4) * audio.HOP)
                rows = encode(whisper, mel, layer)[:, :count].float().cpu().numpy()
            found |= zip(batch, rows, strict=True)
    in_order = (found[k] for k in range(len(pieces)))
    return [np.concatenate([next(in_order) for _ in range(0, len(clip), full)]) for clip in waves]
