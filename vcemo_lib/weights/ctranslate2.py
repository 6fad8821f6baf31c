"""Whisper in CTranslate2's file format, read by hand: what the package index's mirror holds."""

from __future__ import annotations

import io
import re
import struct

import numpy as np

_TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)
_NAMES = {  # CTranslate2's names -> openai-whisper's, one rule after the other
    r"/layer_(\d+)/": r".blocks.\1.",
    "self_attention/layer_norm": "attn_ln",
    "self_attention/linear_0": "attn.query+key+value",
    "self_attention/linear_1": "attn.out",
    "attention/layer_norm": "cross_attn_ln",
    "attention/linear_0": "cross_attn.query",
    "attention/linear_1": "cross_attn.key+value",
    "attention/linear_2": "cross_attn.out",
    "ffn/layer_norm": "mlp_ln",
    "ffn/linear_0": "mlp.0",
    "ffn/linear_1": "mlp.2",
    "encoder/layer_norm": "encoder.ln_post",
    "layer_norm": "ln",
    "position_encodings/encodings": "positional_embedding",
    "embeddings/weight": "token_embedding.weight",
    "/gamma$": ".weight",
    "/beta$": ".bias",
    "/": ".",
}


def read_ctranslate2(data: bytes) -> dict[str, np.ndarray]:
    """The variables of a whole `model.bin`: little-endian, strings with their length and a closing NUL."""
    file, variables = io.BytesIO(data), {}

    def number(kind: str) -> int:
        return struct.unpack(f"<{kind}", file.read(struct.calcsize(f"<{kind}")))[0]

    def string() -> str:
        return file.read(number("H"))[:-1].decode("utf-8")

    _version, _specification, _revision, count = number("I"), string(), number("I"), number("I")
    for _ in range(count):
        name = string()
        shape = [number("I") for _ in range(number("B"))]
        kind, size = _TYPES[number("B")], number("I")
        variables[name] = np.frombuffer(file.read(size), kind).reshape(shape)
    return variables


def from_ctranslate2(data: bytes) -> dict[str, np.ndarray]:
    """A CTranslate2 Whisper as openai-whisper's state dict, in float16."""
    state: dict[str, np.ndarray] = {}
    for name, value in read_ctranslate2(data).items():
        if not value.ndim:  # settings such as the number of heads
            continue
        for pattern, ours in _NAMES.items():
            name = re.sub(pattern, ours, name)
        path, kind = name.rsplit(".", 1)
        before, dot, stacked = path.rpartition(".")
        parts = stacked.split("+")
        for part, piece in zip(parts, np.split(value, len(parts)), strict=True):
            if (part, kind) != ("key", "bias"):  # the key has no bias: the stacked one is zero there
                state[f"{before}{dot}{part}.{kind}"] = piece.astype(np.float16, copy=False)
    return state
