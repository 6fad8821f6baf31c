"""Where things lie: what is bundled, what is computed once and kept, and how a file is written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from platformdirs import user_cache_dir

from vcemo_lib.errors import VcemoError


def repo_data() -> Path:
    """The bundled `data/` folder (corpus, encoders, expected figures). `VCEMO_DATA` names another one."""
    data = Path(os.environ.get("VCEMO_DATA", Path(__file__).resolve().parent.parent / "data"))
    if not data.is_dir():
        raise VcemoError("the bundled data folder is missing", data, "let VCEMO_DATA name the repository's")
    return data


def cache_dir() -> Path:
    """The folder for downloads and computed features: `VCEMO_CACHE`, else the platform's cache folder."""
    cache = Path(os.environ.get("VCEMO_CACHE") or user_cache_dir("vcemo", appauthor=False, opinion=False))
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(error, cache) from error
    return cache


def offline() -> bool:
    """Whether `VCEMO_OFFLINE` forbids every attempt at the network."""
    return os.environ.get("VCEMO_OFFLINE", "").lower() not in ("", "0", "false", "no")


def write_error(error: OSError, where: Path) -> VcemoError:
    """What to tell a user whose file could not be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    what = "the disk is full" if full else f"could not write: {error.strerror or error}"
    do = "free some space, or choose a folder you may write to (VCEMO_CACHE names the cache)"
    return VcemoError(what, where=where, do=do)


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a whole file or none of it: to a temporary file beside it, then renamed into place."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise write_error(error, path) from error
