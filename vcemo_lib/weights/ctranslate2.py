"""Whisper in CTranslate2's file format, read by hand: what the package index's mirror holds."""

from __future__ import annotations

import io
import re
import struct

import numpy as np

from vcemo_lib.errors import VcemoError

VERSION = 6  # of the binary format
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
    """The variables of a `model.bin`: little-endian, strings with their length and a closing NUL."""
    file, variables = io.BytesIO(data), {}

    def number(kind: str) -> int:
        return struct.unpack(f"<{kind}", file.read(struct.calcsize(f"<{kind}")))[0]

    def string() -> str:
        return file.read(number("H"))[:-1].decode("utf-8")

    try:
        version, _specification, _revision, count = number("I"), string(), number("I"), number("I")
        if version != VERSION:
            raise VcemoError(f"CTranslate2 file version {version}", do=f"only {VERSION} is understood")
        for _ in range(count):
            name = string()
            shape = [number("I") for _ in range(number("B"))]
            kind, size = _TYPES[number("B")], number("I")
            variables[name] = np.frombuffer(file.read(size), kind).reshape(shape)
    except (struct.error, ValueError, IndexError) as error:
        raise VcemoError("this is not a whole CTranslate2 file", do="fetch it again") from error
    return variables


def from_ctranslate2(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """A CTranslate2 Whisper as (openai-whisper's state dict in float16, its ModelDimensions as a dict)."""
    variables = read_ctranslate2(data)
    state: dict[str, np.ndarray] = {}
    for name, value in variables.items():
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
    dims = {
        "n_mels": state["encoder.conv1.weight"].shape[1],
        "n_vocab": state["decoder.token_embedding.weight"].shape[0],
    }
    for side, kind in (("encoder", "audio"), ("decoder", "text")):
        dims[f"n_{kind}_ctx"], dims[f"n_{kind}_state"] = state[f"{side}.positional_embedding"].shape
        dims[f"n_{kind}_head"] = int(variables[f"{side}/num_heads"])
        dims[f"n_{kind}_layer"] = len({name.split(".")[2] for name in state if f"{side}.blocks." in name})
    return state, dims
