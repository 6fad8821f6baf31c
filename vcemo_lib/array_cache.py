"""Arrays on disk, each under a key: appended, memory-mapped, and known to be whole by a checksum."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import write_atomically


class Place(NamedTuple):
    """Where an array lies in `data.bin`: its first value, its shape, and the CRC-32 of its bytes."""

    start: int
    rows: int
    width: int
    crc32: int


class ArrayCache:
    """Arrays (rows, width) of float16: their rows in `data.bin`, a line for each in `index.jsonl`.

    Rows are written before their line. A killed run leaves at most rows without a line, which the next one
    cuts off; it goes on from there and ends with the same bytes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.width = folder, 0
        self.data, self.index = folder / "data.bin", folder / "index.jsonl"
        self.places: dict[str, Place] = {}
        self._map: np.ndarray | None = None

    def read(self) -> ArrayCache:
        """Read the index. A damaged line, and one whose rows are not all there, is passed over."""
        self.places, self._map = {}, None
        values = self.data.stat().st_size // 2 if self.data.exists() else 0
        for line in self.index.read_bytes().splitlines() if self.index.exists() else []:
            try:
                key, *numbers = json.loads(line)
                place = Place(*numbers)
            except (ValueError, TypeError):
                continue
            if isinstance(key, str) and all(type(number) is int and number >= 0 for number in place) and (
                place.start + place.rows * place.width <= values
            ):
                self.places[key] = place
                self.width = self.width or place.width
        return self

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of the keys without an array here; arrays that do not match their checksum are dropped first.
        """
        keys = list(keys)
        for key in keys:
            if key in self.places and zlib.crc32(self[key]) != self.places[key].crc32:
                del self.places[key]
        return [key for key in keys if key not in self.places]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else writes here meanwhile. Raises VcemoError where the folder cannot be written."""
        from filelock import FileLock

        lock = FileLock(self.folder / ".lock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            yield
        finally:
            lock.release()

    def mend(self) -> None:
        """Cut off what a killed run left behind the last array, and the lines of arrays that are not here."""
        try:
            end = 2 * max((p.start + p.rows * p.width for p in self.places.values()), default=0)  # bytes
            if self.data.exists() and self.data.stat().st_size != end:
                with self.data.open("r+b") as file:
                    file.truncate(end)
            lines = b"".join(map(_line, self.places, self.places.values()))
            if self.index.exists() and self.index.read_bytes() != lines:
                write_atomically(self.index, lines)
        except OSError as error:
            raise self._unwritable(error) from error

    def append(self, keys: Sequence[str], arrays: Sequence[np.ndarray]) -> None:
        """Add arrays at the end: all their rows first, then their lines."""
        arrays = [np.ascontiguousarray(array, dtype=np.float16) for array in arrays]
        self.width = self.width or arrays[0].shape[1]
        try:
            with self.data.open("ab") as file:
                starts = file.tell() // 2 + np.cumsum([0, *(array.size for array in arrays)])
                file.write(b"".join(array.tobytes() for array in arrays))
            new = [Place(int(s), *a.shape, zlib.crc32(a)) for s, a in zip(starts[:-1], arrays, strict=True)]
            with self.index.open("ab") as file:
                file.write(b"".join(map(_line, keys, new)))
        except OSError as error:
            raise self._unwritable(error) from error
        self.places |= dict(zip(keys, new, strict=True))
        self._map = None

    def _unwritable(self, error: OSError) -> VcemoError:
        remedy = "free some space or set VCEMO_CACHE to another folder; what is done is kept"
        return VcemoError(f"could not keep features: {error.strerror or error}", where=self.folder, do=remedy)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_map": None}  # another process maps the file itself

    def __len__(self) -> int:
        return len(self.places)

    def __contains__(self, key: str) -> bool:
        return key in self.places

    def __getitem__(self, key: str) -> np.ndarray:
        start, rows, width, _ = self.places[key]
        if not rows * width:
            return np.zeros((rows, width), np.float16)
        if self._map is None:
            self._map = np.memmap(self.data, np.float16, "r", shape=(self.data.stat().st_size // 2,))
        return self._map[start : start + rows * width].reshape(rows, width)


def _line(key: str, place: Place) -> bytes:
    return json.dumps([key, *place]).encode() + b"\n"
