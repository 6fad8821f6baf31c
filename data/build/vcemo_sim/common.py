"""What the stages share: constants, the authored sentences, files written whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import os
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
TTS_RATE = 24_000  # Hz, of the synthetic voice
RATE = 16_000  # Hz, of the finished corpus
FRAME_MS = 5.0  # WORLD's frame
EMOTIONS = ("angry", "fear", "happy", "neutral", "sad", "surprise")


def read_sentences() -> list[dict[str, str]]:
    """The authored sentences: text, surface, strength, meant, scene."""
    with (HERE / "sentences.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def sentence_file(work: Path, text: str) -> Path:
    """Where the WORLD analysis of a sentence is kept."""
    return work / "analysis" / f"{hashlib.sha256(text.encode('utf-8')).hexdigest()[:16]}.npz"


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    """Save arrays under a temporary name, then rename, so that a killed run leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.npz")
    np.savez(temporary, **arrays)
    os.replace(temporary, path)
