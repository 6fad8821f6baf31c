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


def load_model(name: str = "base", device: str | None = None) -> Whisper:
    """A Whisper of any size (or the path of its weights), kept for the rest of the process.

    In half precision on CUDA. VcemoError when the weights cannot be had; see `weights.whisper`.
    """
    import torch

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return _load(weights.whisper(name), name, str(device))


@lru_cache(maxsize=2)
def _load(path: Path, size: str, device: str) -> Whisper:
    import whisper
    from safetensors.torch import load_file

    model = whisper.model.Whisper(whisper.model.ModelDimensions(**weights.whisper_dims(path)))
    model.load_state_dict(load_file(path))
    if size in whisper._ALIGNMENT_HEADS:
        model.set_alignment_heads(whisper._ALIGNMENT_HEADS[size])
    if device.startswith("cuda"):
        halve(model)
    return model.to(device).eval().requires_grad_(False)


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
    model: Whisper, mel: Float[Tensor, "batch mels frames"], layer: int | None = None, stop: bool = False
) -> tuple[Float[Tensor, "batch time width"], Float[Tensor, "batch time width"] | None]:
    """Whisper's encoder on a window of any length, the position table cut to match (two mel frames a step).

    Gives the final output, and that of `layer` if asked: 1 is the first block, -1 the final output. With
    `stop` the blocks behind `layer` are not run at all.
    """
    import torch.nn.functional as F

    encoder = model.encoder
    x = F.gelu(encoder.conv1(mel))
    x = F.gelu(encoder.conv2(x)).permute(0, 2, 1)  # (B, T, width)
    x = (x + encoder.positional_embedding[: x.shape[1]]).to(x.dtype)
    kept = None
    for number, block in enumerate(encoder.blocks, start=1):
        x = block(x)
        if number == layer:
            kept = x
            if stop:
                return x, x
    x = encoder.ln_post(x)
    return x, x if layer == -1 else kept


def check_layer(model: Whisper, layer: int) -> None:
    """Raise VcemoError where the encoder has no such layer."""
    last = model.dims.n_audio_layer
    if layer != -1 and not 1 <= layer <= last:
        raise VcemoError(f"Whisper has no encoder layer {layer}", do=f"choose -1 (final) or 1 to {last}")


def encoder_features(
    wave: Clip | Sequence[Clip], layer: int = -1, model: str = "base", batch_size: int = 8
) -> np.ndarray | list[np.ndarray]:
    """Whisper's encoder on each clip's own frames: (ceil(N / 320), width) float32, one every 20 ms.

    `layer` 1 to 6 (base) is a block's output, -1 the final one. A list of clips gives a list. Clips are not
    padded, so a batch holds clips of equal length only. Beyond 30 s the clip is done in pieces of 30 s.
    """
    import torch

    if isinstance(wave, (str, Path, np.ndarray)):
        return encoder_features([wave], layer, model, batch_size)[0]
    whisper = load_model(model)
    check_layer(whisper, layer)
    full = int(FULL_WINDOW * audio.SAMPLE_RATE)
    waves = [audio.load(clip) for clip in wave]
    cuts = [(i, at) for i, clip in enumerate(waves) for at in range(0, len(clip), full)]
    pieces = [(i, at, waves[i][at : at + full]) for i, at in cuts]
    frames = [ceil(len(piece) / FRAME) for _, _, piece in pieces]
    done: dict[tuple[int, int], np.ndarray] = {}
    order = sorted(range(len(pieces)), key=lambda k: frames[k])
    for count, group in groupby(order, key=lambda k: frames[k]):
        same = [pieces[k] for k in group]
        for batch in (same[start : start + batch_size] for start in range(0, len(same), batch_size)):
            with torch.inference_mode():
                mel = log_mel(whisper, [piece for _, _, piece in batch], max(2 * count, 4) * audio.HOP)
                _, kept = encode(whisper, mel, layer, stop=True)
            for (i, at, _), row in zip(batch, kept.float().cpu().numpy(), strict=True):
                done[i, at] = row[:count]
    return [np.concatenate([done[i, at] for at in range(0, len(clip), full)]) for i, clip in enumerate(waves)]
