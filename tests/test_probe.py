"""The linear probe: it finds what is there, validation decides, and speakers are told apart from emotions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vcemo_lib import probe
from vcemo_lib.corpora import Corpus

LABELS = ("angry", "sad")


class Store:
    """Features by utterance id."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays

    def get(self, kind: str, utt_id: str) -> np.ndarray:
        return self.arrays[f"{kind} {utt_id}"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Corpus], Store]:
    """Twelve speakers: `mel` is emotion plus a far larger voice of one's own, `words` is noise."""
    rng = np.random.default_rng(0)
    rows, arrays = [], {}
    for speaker in range(12):
        voice = 8 * rng.standard_normal(6)
        for number in range(20):
            label = number % 2
            utt_id = f"s{speaker:02}_{number:02}"
            rows.append({"utt_id": utt_id, "speaker": f"s{speaker:02}", "emotion": LABELS[label]})
            steps = int(rng.integers(3, 9))
            arrays[f"mel {utt_id}"] = (voice + 1.5 * label + rng.standard_normal((steps, 6))).astype(
                np.float16
            )
            arrays[f"words {utt_id}"] = rng.standard_normal((number % 3, 4)).astype(
                np.float16
            )  # some are empty
    table = pd.DataFrame(rows).set_index("utt_id")
    corpus = Corpus("toy", tmp_path_factory.mktemp("toy"), table, LABELS)
    number = table["speaker"].str[1:].astype(int)
    return {
        "train": corpus.subset(number < 7),
        "val": corpus.subset(number.between(7, 8)),
        "test": corpus.subset(number > 8),
    }, Store(arrays)


def test_standardising_takes_each_group_to_itself() -> None:
    x = np.array([[1.0, 5], [3, 5], [10, 5], [30, 5]], np.float32)
    assert probe.standardise(x, ["a", "a", "b", "b"]).tolist() == [[-1, 0], [1, 0], [-1, 0], [1, 0]]
    whole = probe.standardise(x)
    assert np.allclose(whole[:, 0].mean(), 0, atol=1e-6) and np.allclose(whole[:, 0].std(), 1)


def test_pooling_is_the_mean_over_time_and_zero_for_nothing(world) -> None:
    parts, store = world
    ids = parts["test"].ids[:3]
    means = probe.pooled(store, "words", ids)
    assert means.shape == (3, 4) and not means[0].any()
    np.testing.assert_allclose(means[2], store.get("words", ids[2]).astype(np.float32).mean(0), rtol=1e-6)


def test_voices_hide_an_emotion_until_each_is_measured_against_itself(world) -> None:
    parts, store = world
    raw, own = probe.linear(store, parts, "mel"), probe.linear(store, parts, "mel", by_speaker=True)
    assert own.scores()["ua"] > 0.95 > raw.scores()["ua"] + 0.1
    assert own.ids == parts["test"].ids and own.probabilities.sum(1) == pytest.approx(1)
    assert set(own.speakers) == {"s09", "s10", "s11"} and own.features.shape == (60, 6)


def test_noise_gives_chance_and_does_not_spoil_a_good_feature(world) -> None:
    parts, store = world
    assert abs(probe.linear(store, parts, "words").scores()["ua"] - 0.5) < 0.2
    both = probe.linear(store, parts, ("mel", "words"), by_speaker=True)
    assert both.features.shape == (60, 10) and both.scores()["ua"] > 0.9


def test_the_test_labels_play_no_part_in_the_fit(world) -> None:
    parts, store = world
    flipped = parts["test"].with_column(
        "emotion", parts["test"].table["emotion"].map({"angry": "sad", "sad": "angry"})
    )
    one, other = (
        probe.linear(store, parts | {"test": test}, "mel", True) for test in (parts["test"], flipped)
    )
    assert np.array_equal(one.probabilities, other.probabilities)
