"""Where the course keeps things: what it ships, and what it computes once and keeps."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vcemo_lib.errors import VcemoError


def repo_data() -> Path:
    """The bundled `data/` folder (corpus, encoders, expected figures). `VCEMO_DATA` names another one."""
    data = Path(os.environ.get("VCEMO_DATA", Path(__file__).resolve().parent.parent / "data"))
    if not data.is_dir():
        raise VcemoError("the bundled data folder is missing", where=data, do="work in a clone of the repository, or point VCEMO_DATA at its data/ folder")
    return data


def cache_dir() -> Path:
    """The folder for downloads and computed features: `VCEMO_CACHE`, else the platform's cache folder."""
    if chosen := os.environ.get("VCEMO_CACHE"):
        cache = Path(chosen)
    elif sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "vcemo"
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches" / "vcemo"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vcemo"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a whole file or none of it: to a temporary file beside it, then renamed into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
        os.replace(temporary, path)
    except OSError as error:
        raise VcemoError(f"could not write the file: {error.strerror}", where=path, do="free some space or choose another folder") from error
    finally:
        temporary.unlink(missing_ok=True)
