"""The label sets: the paper's six emotions, and the four that SER work usually compares on (section 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcemo_lib.corpora.corpus import Corpus

LABELS: tuple[str, ...] = ("angry", "fear", "happy", "neutral", "sad", "surprise")
FOUR: tuple[str, ...] = ("angry", "happy", "neutral", "sad")


def four(corpus: Corpus) -> Corpus:
    """The utterances labelled angry, happy, neutral or sad, as a corpus of four classes (paper, section 4.2)."""
    return corpus.with_labels(FOUR)
