"""Whisper in CTranslate2's file format, read by hand: what the package index's mirror holds."""

from __future__ import annotations

import re
import struct

import numpy as np

from vcemo_lib.errors import VcemoError

VERSION = 6  # of the binary format
_TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)
_NAMES = (  # CTranslate2's names -> openai-whisper's, one rule after the other
    (r"/layer_(\d+)/", r".blocks.\1."),
    (r"self_attention/layer_norm", "attn_ln"),
    (r"self_attention/linear_0", "attn.query+key+value"),
    (r"self_attention/linear_1", "attn.out"),
    (r"attention/layer_norm", "cross_attn_ln"),
    (r"attention/linear_0", "cross_attn.query"),
    (r"attention/linear_1", "cross_attn.key+value"),
    (r"attention/linear_2", "cross_attn.out"),
    (r"ffn/layer_norm", "mlp_ln"),
    (r"ffn/linear_0", "mlp.0"),
    (r"ffn/linear_1", "mlp.2"),
    (r"encoder/layer_norm", "encoder.ln_post"),
    (r"layer_norm", "ln"),
    (r"position_encodings/encodings", "positional_embedding"),
    (r"embeddings/weight", "token_embedding.weight"),
    (r"/gamma$", ".weight"),
    (r"/beta$", ".bias"),
    (r"/", "."),
)


def read_ctranslate2(data: bytes) -> dict[str, np.ndarray]:
    """The variables of a `model.bin`: little-endian, strings with their length and a closing NUL."""
    offset = 0

    def number(kind: str) -> int:
        nonlocal offset
        (value,) = struct.unpack_from("<" + kind, data, offset)
        offset += struct.calcsize("<" + kind)
        return value

    def string() -> str:
        nonlocal offset
        length = number("H")
        offset += length
        return data[offset - length : offset - 1].decode("utf-8")

    variables = {}
    try:
        version, _specification, _revision, count = number("I"), string(), number("I"), number("I")
        if version != VERSION:
            raise VcemoError(f"CTranslate2 file version {version}", do=f"only {VERSION} is understood")
        for _ in range(count):
            name = string()
            shape = [number("I") for _ in range(number("B"))]
            kind, size = _TYPES[number("B")], number("I")
            array = np.frombuffer(data, kind, count=size // np.dtype(kind).itemsize, offset=offset)
            variables[name] = array.reshape(shape)
            offset += size
    except (struct.error, ValueError, IndexError, UnicodeDecodeError) as error:
        raise VcemoError("this is not a whole CTranslate2 file", do="fetch it again") from error
    return variables


def from_ctranslate2(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """A CTranslate2 Whisper as (openai-whisper's state dict in float16, its ModelDimensions as a dict)."""
    variables = read_ctranslate2(data)
    heads = {side: int(variables[f"{side}/num_heads"]) for side in ("encoder", "decoder")}
    state: dict[str, np.ndarray] = {}
    for name, value in variables.items():
        if not value.ndim:  # settings such as the number of heads
            continue
        for pattern, ours in _NAMES:
            name = re.sub(pattern, ours, name)
        before, stacked, kind = re.fullmatch(r"(.*?)([\w+]+)\.(\w+)", name).groups()
        parts = stacked.split("+")
        for part, piece in zip(parts, np.split(value, len(parts)), strict=True):
            if (part, kind) != ("key", "bias"):  # the key has no bias: the stacked one is zero there
                state[f"{before}{part}.{kind}"] = piece.astype(np.float16, copy=False)
    (audio_ctx, width), (text_ctx, _) = (state[f"{side}.positional_embedding"].shape for side in heads)
    layers = {
        side: 1 + max(int(name.split(".")[2]) for name in state if name.startswith(f"{side}.blocks."))
        for side in heads
    }
    dims = {
        "n_mels": state["encoder.conv1.weight"].shape[1],
        "n_audio_ctx": audio_ctx,
        "n_audio_state": width,
        "n_audio_head": heads["encoder"],
        "n_audio_layer": layers["encoder"],
        "n_vocab": state["decoder.token_embedding.weight"].shape[0],
        "n_text_ctx": text_ctx,
        "n_text_state": width,
        "n_text_head": heads["decoder"],
        "n_text_layer": layers["decoder"],
    }
    return state, dims
