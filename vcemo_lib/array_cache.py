"""Arrays on disk, each under a key, in safetensors files that are there whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vcemo_lib.errors import VcemoError


class ArrayCache:
    """Arrays (rows, width) of float16 in a folder, one file for each batch that was added.

    A file's name is the SHA-256 of its content, so damage shows. A killed run leaves whole files and at most
    a temporary one; the next run goes on from there and ends with the same files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.width = folder, 0
        self.places: dict[str, Path] = {}  # key -> the file that holds its array

    def read(self) -> ArrayCache:
        """Look which arrays are here. A damaged file is passed over."""
        self.places = {}
        _open.cache_clear()  # a file that was damaged may have been written anew
        for path in sorted(self.folder.glob("*.safetensors")):
            if hashlib.sha256(path.read_bytes()).hexdigest() == path.stem:
                keys = _open(path).keys()
                self.places |= dict.fromkeys(keys, path)
                self.width = _open(path).get_slice(keys[0]).get_shape()[1]
        return self

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of the keys without an array."""
        return [key for key in keys if key not in self.places]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else writes here meanwhile; what is damaged or half-written is deleted first."""
        from filelock import FileLock

        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / ".lock").acquire()
        with lock:
            with self._writing():
                whole = set(self.read().places.values())
                for path in self.folder.iterdir():
                    if path not in whole and path.name != ".lock":
                        path.unlink()
            yield

    def add(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep these arrays (rows, width), in one file, under their keys."""
        from safetensors.numpy import save

        data = save({key: np.ascontiguousarray(array, np.float16) for key, array in arrays.items()})
        path = self.folder / f"{hashlib.sha256(data).hexdigest()}.safetensors"
        temporary = path.with_suffix(".tmp")
        with self._writing():
            temporary.write_bytes(data)
            temporary.replace(path)
        self.places |= dict.fromkeys(arrays, path)
        self.width = next(iter(arrays.values())).shape[1]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            what = f"could not keep features: {error.strerror or error}"
            remedy = "free some space or set VCEMO_CACHE to another folder; what is done is kept"
            raise VcemoError(what, where=self.folder, do=remedy) from error

    def __getitem__(self, key: str) -> np.ndarray:
        return _open(self.places[key]).get_tensor(key)


@lru_cache(maxsize=256)
def _open(path: Path) -> Any:
    """A file, memory-mapped."""
    from safetensors import safe_open

    return safe_open(path, "np")
