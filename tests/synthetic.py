"""A corpus and a feature store small enough for a test, with a pattern of its own for each emotion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vcemo_lib.corpora import LABELS, Corpus
from vcemo_lib.models import Batch

WIDTHS = {"mel": 80, "words": 300, "bert": 16, "whisper": 512, "word_spans": 2}


def corpus(n: int = 48, seed: int = 0, speakers: int = 6) -> Corpus:
    """n utterances, emotions in turn."""
    rng = np.random.default_rng(seed)
    ids = [f"utt{i:03d}" for i in range(n)]
    table = pd.DataFrame(
        {
            "audio": [f"{u}.ogg" for u in ids],
            "text": ids,
            "emotion": [LABELS[i % len(LABELS)] for i in range(n)],
            "speaker": [f"spk{rng.integers(speakers)}" for _ in ids],
        },
        index=pd.Index(ids, name="utt_id"),
    )
    return Corpus("synthetic", Path("."), table)


def parts(n: int = 48, seed: int = 0) -> dict[str, Corpus]:
    """Three parts of one corpus: half, a quarter, a quarter."""
    whole = corpus(n, seed)
    ids = whole.ids
    return {name: whole.subset(ids[a:b], name) for name, a, b in
            (("train", 0, n // 2), ("val", n // 2, 3 * n // 4), ("test", 3 * n // 4, n))}  # fmt: skip


class Store:
    """Noise around one random vector an emotion, of a different length for each utterance."""

    def __init__(self, corpus: Corpus, signal: float = 1.0, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        pattern = {kind: rng.normal(size=(len(LABELS), width)) for kind, width in WIDTHS.items()}
        self.features: dict[str, dict[str, np.ndarray]] = {kind: {} for kind in WIDTHS}
        for utt_id, y in zip(corpus.ids, corpus.y(), strict=True):
            for kind, low, high in (("mel", 20, 60), ("words", 0, 6), ("bert", 2, 8), ("whisper", 10, 30)):
                noise = rng.normal(size=(rng.integers(low, high), WIDTHS[kind]))
                self.features[kind][utt_id] = (noise + signal * pattern[kind][y]).astype(np.float32)
            frames, words = (len(self.features[kind][utt_id]) for kind in ("mel", "words"))
            cuts = np.linspace(0, frames, words + 1).astype(np.float32)
            self.features["word_spans"][utt_id] = np.stack([cuts[:-1], cuts[1:]], axis=1)  # (W, 2)

    def width(self, kind: str) -> int:
        return WIDTHS[kind]

    def batch(self, ids: Sequence[str], kinds: Sequence[str], labels: Sequence[int] | None = None) -> Batch:
        return Batch.collate(ids, {kind: [self.features[kind][u] for u in ids] for kind in kinds}, labels)
