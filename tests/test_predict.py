"""The bundled recogniser: a clip in, a prediction out, and kind clear lines for what cannot be judged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import vcemo_lib as vc
from vcemo_lib import VcemoError, audio
from vcemo_lib.predict import EmotionRecognizer


@pytest.fixture(scope="module")
def recogniser() -> EmotionRecognizer:
    return EmotionRecognizer.load()


@pytest.fixture(scope="module")
def corpus() -> vc.Corpus:
    return vc.splits.given(vc.load_corpus("sim"))["test"]


def test_it_does_better_than_always_neutral_on_simulated_test_clips(recogniser: EmotionRecognizer, corpus: vc.Corpus) -> None:
    chosen = corpus.subset(corpus.ids[::5])
    said = recogniser.predict([chosen.path(u) for u in chosen.ids], text=[chosen.text_of(u) for u in chosen.ids])
    right = np.mean([p.emotion == e for p, e in zip(said, chosen.table["emotion"], strict=True)])
    assert right > (chosen.table["emotion"] == "neutral").mean() + 0.1


def test_path_and_samples_agree_and_a_list_equals_single_clips(recogniser: EmotionRecognizer, corpus: vc.Corpus) -> None:
    paths, lines = [corpus.path(u) for u in corpus.ids[:3]], ["你好", "太好了", ""]
    many = recogniser.predict(paths, text=lines)
    for path, line, expected in zip(paths, lines, many, strict=True):
        one = recogniser.predict(audio.load(path), text=line)
        assert one.emotion == expected.emotion and one.probabilities == pytest.approx(expected.probabilities, abs=2e-4)
    assert sum(many[0].probabilities.values()) == pytest.approx(1, abs=1e-3)
    assert json.loads(json.dumps(many[0].as_dict()))["transcript"] == "你好"


def test_muting_changes_the_answer_and_must_name_a_modality(recogniser: EmotionRecognizer, corpus: vc.Corpus) -> None:
    path = corpus.path(corpus.ids[0])
    whole = recogniser.predict(path, text="气死我了").probabilities
    for modality in recogniser.run.settings.modalities:
        muted = recogniser.predict(path, text="气死我了", mute=[modality]).probabilities
        assert muted != whole and np.isfinite(list(muted.values())).all()
    with pytest.raises(VcemoError, match="no modality video"):
        recogniser.predict(path, text="", mute=["video"])


def test_what_cannot_be_judged_is_told(recogniser: EmotionRecognizer, tmp_path: Path) -> None:
    with pytest.raises(VcemoError, match="lasts 0.10 s"):
        recogniser.predict(np.full(1600, 0.1, np.float32), text="")
    with pytest.raises(VcemoError, match="silent"):
        recogniser.predict(np.zeros(16_000, np.float32), text="")
    clipped = np.sign(np.sin(np.arange(16_000) / 20)).astype(np.float32)
    assert "clipped" in recogniser.predict(clipped, text="").warnings[0]
    with pytest.raises(VcemoError):
        EmotionRecognizer.load(tmp_path)


def test_it_saves_and_loads(recogniser: EmotionRecognizer, corpus: vc.Corpus, tmp_path: Path) -> None:
    recogniser.save(tmp_path)
    again = EmotionRecognizer.load(tmp_path)
    clip = corpus.path(corpus.ids[7])
    assert again.predict(clip, text="好的").probabilities == recogniser.predict(clip, text="好的").probabilities


@pytest.mark.weights
def test_it_listens_for_the_words_itself(recogniser: EmotionRecognizer, corpus: vc.Corpus) -> None:
    sad = corpus.table[(corpus.table["emotion"] == "sad") & (corpus.table["seconds"].astype(float) > 2.5)].index[0]
    said = recogniser.predict(corpus.path(sad))
    assert any("\u4e00" <= c <= "\u9fff" for c in said.transcript) and said.words[0].start >= 0
