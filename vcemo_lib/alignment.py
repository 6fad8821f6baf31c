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
    """Words laid over the voiced frames of mel (T, 80), each as long as its share of the characters: (W, 2).

    A guess: in Mandarin a character is a syllable, and syllables last about equally long. A word that would
    reach over a pause keeps its longer piece.
    """
    if not len(words):
        return np.zeros((0, 2), np.float32)
    level = np.logaddexp.reduce(mel.astype(np.float64), axis=1) * 10 / np.log(10)  # (T,) dB
    voiced = np.flatnonzero(level > level.max() - SOUNDING_DB)  # (V,) frames, in order
    ends = np.cumsum([len(word) for word in words], dtype=float)
    cuts = np.round(np.append(0, ends / ends[-1]) * len(voiced)).astype(int)  # (W + 1,), of the voiced frames
    spans = np.zeros((len(words), 2), np.float32)
    for span, a, b in zip(spans, np.minimum(cuts[:-1], len(voiced) - 1), cuts[1:], strict=True):
        piece = voiced[a : max(b, a + 1)]  # a word has one frame at least
        piece = max(np.split(piece, np.flatnonzero(np.diff(piece) > PAUSE) + 1), key=len)
        span[:] = piece[0], piece[-1] + 1
    return spans


def from_times(words: Sequence[str], heard: Iterable[Word]) -> np.ndarray:
    """Words of a transcript, (W, 2), from the times of what Whisper heard.

    Whisper times Chinese by the character, the transcript is cut into words: the two are matched character by
    character, so that they may differ. A word of which nothing was heard gets (0, 0): no time.
    """
    clock: list[tuple[str, float, float]] = []  # a character, its start and end in seconds
    for timed in heard:
        share, at = (timed.end - timed.start) / max(1, len(timed.text)), timed.start
        clock += [(c, at + i * share, at + (i + 1) * share) for i, c in enumerate(timed.text)]
    matches = SequenceMatcher(None, "".join(words), "".join(c for c, _, _ in clock), autojunk=False)
    times = {a + i: clock[b + i][1:] for a, b, size in matches.get_matching_blocks() for i in range(size)}
    spans, first = np.zeros((len(words), 2), np.float32), 0
    for span, word in zip(spans, words, strict=True):
        known = [times[i] for i in range(first, first + len(word)) if i in times]
        if known:
            span[:] = known[0][0] * FRAMES_A_SECOND, known[-1][1] * FRAMES_A_SECOND
        first += len(word)
    return spans
