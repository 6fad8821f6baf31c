"""What weights there are, each with its SHA-256: in the cache, in `data/models/`, loaded by this process."""

from __future__ import annotations

import hashlib
import json
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import cache_dir, repo_data
from vcemo_lib.weights.fetch import offline

if TYPE_CHECKING:
    import pandas as pd

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
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return json.loads((file.metadata() or {})["vcemo"])
    except (SafetensorError, KeyError, ValueError) as error:
        do = "give openai-whisper's .pt file"
        raise VcemoError("these are not weights this library wrote", where=path, do=do) from error


def bundled(name: str) -> Path:
    """The folder `data/models/<name>/`, every file of it checked against `data/models/SHA256SUMS`."""
    for path, expected in _bundled_sums(name).items():
        if not path.is_file() or sha256(path) != expected:
            do = "restore it with git checkout"
            raise VcemoError("a bundled file is missing or altered", where=path, do=do)
    folder = repo_data() / "models" / name
    record(name, "bundled", folder, bundled_digest(name))
    return folder


def bundled_digest(name: str) -> str:
    """SHA-256 over a bundled folder's listed checksums: what its outputs depend on."""
    return hashlib.sha256("".join(_bundled_sums(name).values()).encode()).hexdigest()


def _bundled_sums(name: str) -> dict[Path, str]:
    """The listed checksum of each file of a bundled folder; the list is in `sha256sum`'s own format."""
    models = repo_data() / "models"
    sums = models / "SHA256SUMS"
    if not sums.is_file():
        raise VcemoError("the list of checksums is missing", where=sums, do="restore it with git checkout")
    lines = sorted(line.split()[::-1] for line in sums.read_text(encoding="utf-8").splitlines())
    return {models / path: digest for path, digest in lines if path.startswith(f"{name}/")}


def table() -> pd.DataFrame:
    """What weights are here and would be fetched: columns name, kind, found, source, megabytes."""
    import pandas as pd

    missing = "missing, and VCEMO_OFFLINE is set" if offline() else "fetched at first use"
    names = {path.name.rsplit(".", 2)[0] for path in weights_dir().glob("*.*.safetensors")}
    rows: list[tuple] = []
    for name in sorted(names | {"whisper-base"}):
        path = cached(name)
        source, size = (f"cache, from {about(path)['source']}", path.stat().st_size) if path else (missing, 0)
        rows.append((name, "speech recognition", path is not None, source, size / 1e6))
    for folder in sorted(path for path in (repo_data() / "models").glob("*") if path.is_dir()):
        size = sum(file.stat().st_size for file in folder.iterdir())
        rows.append((folder.name, "bundled", True, "bundled", size / 1e6))
    return pd.DataFrame(rows, columns=["name", "kind", "found", "source", "megabytes"]).round(1)
