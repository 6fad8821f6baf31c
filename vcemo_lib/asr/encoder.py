"""Whisper's encoder on the clip alone, and its frames as acoustic features."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import gelu, scaled_dot_product_attention

from vcemo_lib import audio, weights
from vcemo_lib.errors import VcemoError

if TYPE_CHECKING:
    from jaxtyping import Float
    from whisper import Whisper
    from whisper.model import ResidualAttentionBlock

Clip = str | Path | np.ndarray
KeyValue = tuple[Tensor, Tensor]

FRAME = 2 * audio.HOP  # samples of an encoder frame: 20 ms
SILENCE_FLOOR = -1.0  # Whisper's log-mel of the padding after speech of ordinary loudness
FULL_WINDOW = 30.0  # s, the window Whisper was trained with


@lru_cache(maxsize=2)
def load_model(name: str = "base") -> Whisper:
    """A Whisper of any size (or the path of its weights), kept for the process, on CUDA if there is one."""
    import whisper
    from safetensors.torch import load_file

    path = weights.whisper(name)
    model = whisper.model.Whisper(whisper.model.ModelDimensions(**weights.about(path)["dims"]))
    model.load_state_dict(load_file(path))
    if name in whisper._ALIGNMENT_HEADS:
        model.set_alignment_heads(whisper._ALIGNMENT_HEADS[name])
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval().requires_grad_(False)


def log_mel(model: Whisper, waves: Sequence[np.ndarray], samples: int) -> Float[Tensor, "batch mels frames"]:
    """Whisper's own log-mel of clips padded with silence to so many samples; half precision on CUDA."""
    from whisper.audio import log_mel_spectrogram, pad_or_trim

    bands, device = model.dims.n_mels, model.device
    mels = [log_mel_spectrogram(pad_or_trim(wave, samples), bands, device=device) for wave in waves]
    return torch.stack(mels).to(torch.float16 if device.type == "cuda" else torch.float32)


def encode(
    model: Whisper, mel: Float[Tensor, "batch mels frames"], layer: int = -1, silent: Sequence[KeyValue] = ()
) -> Float[Tensor, "batch time width"]:
    """The output of an encoder block (-1: the final one); `silent`: attend to `silence` behind the window."""
    if silent:  # a clip's own silence as soft as that behind it
        mel = mel + (SILENCE_FLOOR - mel.amin(dim=(1, 2), keepdim=True))
    x, blocks = _first(model, mel), model.encoder.blocks
    for i, block in enumerate(blocks if layer == -1 else blocks[:layer]):
        x = _beside_silence(block, x, *silent[i]) if silent else block(x)
    return model.encoder.ln_post(x) if layer == -1 else x


def _first(model: Whisper, mel: Tensor) -> Tensor:
    """What goes into the first block, (B, T, width): two mel frames a step, and their positions."""
    x = gelu(model.encoder.conv2(gelu(model.encoder.conv1(mel)))).permute(0, 2, 1)
    return (x + model.encoder.positional_embedding[: x.shape[1]]).to(x.dtype)


def _beside_silence(block: ResidualAttentionBlock, x: Tensor, silent_k: Tensor, silent_v: Tensor) -> Tensor:
    """Whisper's block on x (B, T, width), whose frames also attend to silence from position T on."""
    attn, normed = block.attn, block.attn_ln(x)
    q, k, v = (split_heads(part(normed), attn.n_head) for part in (attn.query, attn.key, attn.value))
    k, v = (
        torch.cat([own, rest[:, x.shape[1] :].expand(len(x), -1, -1, -1)], dim=2)
        for own, rest in ((k, silent_k), (v, silent_v))
    )
    x = x + attn.out(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
    return x + block.mlp(block.mlp_ln(x))


def split_heads(x: Float[Tensor, "batch n width"], heads: int) -> Float[Tensor, "batch heads n dim"]:
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


@lru_cache(maxsize=2)
def silence(model: Whisper, dtype: torch.dtype) -> tuple[list[KeyValue], Tensor]:
    """Of a full window of silence each block's keys and values, (heads, 1500, dim), and the output."""
    shape = (1, model.dims.n_mels, 2 * model.dims.n_audio_ctx)
    x, pairs = _first(model, torch.full(shape, SILENCE_FLOOR, dtype=dtype, device=model.device)), []
    for block in model.encoder.blocks:
        attn, normed = block.attn, block.attn_ln(x)
        pairs.append([split_heads(part(normed), attn.n_head)[0] for part in (attn.key, attn.value)])
        x = block(x)
    return pairs, model.encoder.ln_post(x)[0]


def encoder_features(
    wave: Clip | Sequence[Clip], layer: int = -1, model: str = "base"
) -> np.ndarray | list[np.ndarray]:
    """Whisper's encoder on a clip's frames of 20 ms: (ceil(N / 320), width) float32; layer -1: the last."""
    if isinstance(wave, (str, Path, np.ndarray)):
        return encoder_features([wave], layer, model)[0]
    whisper, full = load_model(model), int(FULL_WINDOW * audio.SAMPLE_RATE)
    last = whisper.dims.n_audio_layer
    if layer != -1 and not 1 <= layer <= last:
        raise VcemoError(f"Whisper has no encoder layer {layer}", do=f"choose -1 (final) or 1 to {last}")
    found = []
    for clip in map(audio.load, wave):
        rows = []
        for piece in (clip[at : at + full] for at in range(0, len(clip), full)):
            count = ceil(len(piece) / FRAME)
            with torch.inference_mode():
                mel = log_mel(whisper, [piece], max(2 * count, 4) * audio.HOP)
                rows.append(encode(whisper, mel, layer)[0, :count].float().cpu().numpy())
        found.append(np.concatenate(rows))
    return found
