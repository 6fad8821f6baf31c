"""Arrays on disk, each under a key, in safetensors files that are there whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from safetensors import safe_open
from safetensors.numpy import save

from vcemo_lib.paths import write_atomically, write_error


class ArrayCache:
    """Arrays (rows, width) of float16 in a folder, a file a batch, named by the SHA-256 of its content."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.width = folder, 0
        self.places: dict[str, Path] = {}  # key -> the file that holds its array

    def read(self) -> ArrayCache:
        """Look which arrays are here; a damaged file is passed over."""
        self.places = {}
        _open.cache_clear()  # a file that was damaged may have been written anew
        for path in sorted(self.folder.glob("*.safetensors")):
            if hashlib.sha256(path.read_bytes()).hexdigest() == path.stem:
                keys = _open(path).keys()
                self.places |= dict.fromkeys(keys, path)
                self.width = _open(path).get_slice(keys[0]).get_shape()[1]
        return self

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else writes here meanwhile; what is damaged or half-written is deleted first."""
        lock = self.folder / ".lock"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            held = FileLock(lock).acquire()
            for path in set(self.folder.iterdir()) - {lock, *self.read().places.values()}:
                path.unlink()
        except OSError as error:
            raise write_error(error, self.folder) from error
        with held:
            yield

    def add(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep these arrays (rows, width), in one file, under their keys."""
        data = save({key: np.ascontiguousarray(array, np.float16) for key, array in arrays.items()})
        path = self.folder / f"{hashlib.sha256(data).hexdigest()}.safetensors"
        write_atomically(path, data)
        self.places |= dict.fromkeys(arrays, path)
        self.width = next(iter(arrays.values())).shape[1]

    def __getitem__(self, key: str) -> np.ndarray:
        return _open(self.places[key]).get_tensor(key)


@lru_cache(maxsize=256)
def _open(path: Path) -> Any:
    """A file, memory-mapped."""
    return safe_open(path, "np")
