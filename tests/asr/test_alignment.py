"""Words and their sound: times are matched by characters, pauses hold no word."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from vcemo_lib import asr, audio
from vcemo_lib.asr.alignment import from_times, over_voice
from vcemo_lib.corpora import Corpus

RATE = audio.SAMPLE_RATE


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
        assert word.text != same.text or abs(word.start - same.start) < 0.15, (
            "what follows moves no word before it"
        )


def test_times_match_characters_and_punctuation_takes_none() -> None:
    timed = [("你", 0.1, 0.3), ("好,", 0.3, 0.5), ("世", 0.6, 0.7), ("借", 0.7, 0.9), ("吗?", 1.0, 1.2)]
    heard = [SimpleNamespace(text=t, start=a, end=b) for t, a, b in timed]
    spans = from_times(["你好", "世界", "真的", "吗"], heard)
    np.testing.assert_allclose(spans, [[10, 50], [60, 70], [0, 0], [100, 120]], rtol=1e-5)
    assert from_times([], heard).shape == (0, 2) and not from_times(["你好"], []).any()


def test_words_lie_on_the_voice_in_proportion_to_their_characters() -> None:
    rng = np.random.default_rng(0)
    loud = lambda seconds: 0.1 * rng.normal(size=round(16_000 * seconds))  # noqa: E731
    still = lambda seconds: 1e-5 * rng.normal(size=round(16_000 * seconds))  # noqa: E731
    wave = np.concatenate(
        [still(0.5), loud(0.6), still(0.4), loud(0.3), still(0.7)]
    )  # voice: 0.5 to 1.1 s, 1.5 to 1.8 s
    spans = over_voice(["今天", "天气", "好吗"], audio.log_mel(wave.astype(np.float32)))
    np.testing.assert_allclose(spans, [[50, 80], [80, 110], [150, 180]], atol=3)
    assert (spans[1:, 0] >= spans[:-1, 1]).all()
    over = over_voice(["今", "天天气", "好", "吗"], audio.log_mel(wave.astype(np.float32)))
    np.testing.assert_allclose(over, [[50, 65], [65, 110], [150, 165], [165, 180]], atol=3)
    across = over_voice(
        ["今天", "天气好", "吗"], audio.log_mel(wave.astype(np.float32))
    )  # its end would reach over the pause
    np.testing.assert_allclose(across[1], [80, 110], atol=4)


def test_more_words_than_frames_and_silence_give_each_word_a_frame() -> None:
    for frames in (1, 3, 40):
        spans = over_voice(["你", "好", "世界", "吗"], np.zeros((frames, 80), np.float32))
        assert ((spans[:, 1] - spans[:, 0]) >= 1).all() and spans.min() >= 0 and spans.max() == frames
    assert over_voice([], np.zeros((5, 80), np.float32)).shape == (0, 2)
