"""Which piece of sound is a word's: start and end of each word in log-mel frames (10 ms), (W, 2).

`from_times` where somebody has timed the words (Whisper does), `over_voice` where nobody has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

import numpy as np

from vcemo_lib.audio import SOUNDING_DB

if TYPE_CHECKING:
    from vcemo_lib.asr import Word

FRAMES_A_SECOND = 100  # of log-mel
PAUSE = 10  # frames without voice: a word does not go on behind so long a silence


def over_voice(words: Sequence[str], mel: np.ndarray) -> np.ndarray:
    """Words laid over the frames that hold voice, each as long as its share of the characters: (W, 2) from
    mel (T, 80).

    A guess: in Mandarin a character is a syllable, and syllables last about equally long. A word that would
    reach over a
    pause keeps its longer piece.
    """
    if not len(words):
        return np.zeros((0, 2), np.float32)
    level = np.logaddexp.reduce(mel.astype(np.float64), axis=1) * 10 / np.log(10)  # (T,) dB
    voiced = np.flatnonzero(level > level.max() - SOUNDING_DB)  # (V,) frames, in order
    ends = np.cumsum([len(word) for word in words], dtype=float)
    # (W + 1,) among the voiced frames
    cuts = np.concatenate([[0], np.round(ends / ends[-1] * len(voiced))]).astype(int)
    first = np.minimum(cuts[:-1], len(voiced) - 1)
    last = np.maximum(cuts[1:] - 1, first)  # a word has one frame at least
    pieces = [voiced[a : b + 1] for a, b in zip(first, last, strict=True)]
    pieces = [max(np.split(piece, np.flatnonzero(np.diff(piece) > PAUSE) + 1), key=len) for piece in pieces]
    return np.array([(piece[0], piece[-1] + 1) for piece in pieces], np.float32)


def from_times(words: Sequence[str], heard: Iterable[Word]) -> np.ndarray:
    """Words of a transcript, (W, 2), from the times of what Whisper heard.

    Whisper times Chinese by the character, the transcript is cut into words: the two are matched character by
    character, so that they may differ. A word of which nothing was heard gets (0, 0): no time.
    """
    clock: list[tuple[str, float, float]] = []  # a character, its start and end in seconds
    for word in heard:
        share = (word.end - word.start) / max(1, len(word.text))
        clock += [(c, word.start + i * share, word.start + (i + 1) * share) for i, c in enumerate(word.text)]
    matches = SequenceMatcher(None, "".join(words), "".join(c for c, _, _ in clock), autojunk=False)
    times = {block.a + i: clock[block.b + i][1:] for block in matches.get_matching_blocks() for i in range(block.size)}
    spans, at = np.zeros((len(words), 2), np.float32), 0
    for span, word in zip(spans, words, strict=True):
        known = [times[i] for i in range(at, at + len(word)) if i in times]
        if known:
            span[:] = known[0][0] * FRAMES_A_SECOND, known[-1][1] * FRAMES_A_SECOND
        at += len(word)
    return spans
