"""Words are timed by the sound: a planted path is found, and nobody speaks in a pause."""

from __future__ import annotations

import numpy as np
import pytest

from vcemo_lib import asr, audio
from vcemo_lib.asr.timing import token_starts
from vcemo_lib.corpora import Corpus

RATE = audio.SAMPLE_RATE


def test_time_warping_finds_a_planted_path() -> None:
    cost = np.ones((4, 40))
    for row, (start, end) in enumerate([(0, 7), (7, 19), (19, 22), (22, 40)]):
        cost[row, start:end] = -1
    assert token_starts(cost).tolist() == [0, 7, 19, 22]


@pytest.mark.weights
def test_word_times_follow_the_sound(model, corpus: Corpus) -> None:
    first, second = (audio.load(corpus.path(u)) for u in corpus.ids[4:6])
    wave = np.concatenate([first, np.zeros(RATE, dtype=np.float32), second])
    alone, both = asr.transcribe([first, wave], word_times=True, progress=False, cache=False)
    for one in (alone, both):
        assert "".join(word.text for word in one.words).strip() == one.text
        times = [t for word in one.words for t in (word.start, word.end)]
        assert times == sorted(times) and 0 <= times[0] and times[-1] <= one.seconds + 0.01
        assert all(0 <= word.probability <= 1 for word in one.words)
    pause = len(first) / RATE
    later = [word for word in both.words if word.end > pause + 0.3]
    assert later and all(word.start > pause + 0.99 for word in later), "nobody speaks in the pause"
    assert len(both.words) - len(later) == pytest.approx(len(alone.words), abs=2)
    for word, same in zip(alone.words, both.words, strict=False):
        assert (
            word.text != same.text or abs(word.start - same.start) < 0.15
        ), "what follows moves no word before it"
