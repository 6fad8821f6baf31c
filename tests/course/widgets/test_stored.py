"""Clips judged before: they are what the recogniser says, and the bundled ones are this recogniser's."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

import vcemo_lib as vc
from vcemo_lib.course.widgets import living, stored, voice
from vcemo_lib.predict import EmotionRecognizer


def test_each_choice_of_muted_modalities_is_what_the_recogniser_says(
    part: vc.Corpus, recogniser: EmotionRecognizer
) -> None:
    utt_id = part.ids[3]
    one = stored.utterance(part, utt_id, recogniser, along=False)
    assert len(one["judgements"]) == 8 and one["clip"]["truth"] == part.table.at[utt_id, "emotion"]
    text = part.text_of(utt_id, "asr")
    for mute in ((), ("audio",), ("words", "bert")):
        want = recogniser.predict(part.path(utt_id), text=text, mute=mute)
        judged = one["judgements"]["+".join(mute)]
        assert judged["probabilities"] == pytest.approx(want.probabilities, abs=2e-4)
    assert base64.b64decode(one["clip"]["picture"])[8:12] == b"WEBP"
    assert json.loads(json.dumps(one)) == one


def test_the_bundled_examples_are_this_recognisers() -> None:
    """Else run `python data/build/front.py`."""
    file = vc.paths.repo_data() / "models" / "examples.json"
    known = json.loads(file.read_text(encoding="utf-8"))
    assert known["recogniser"] == living.recogniser_digest()
    assert list(known["clips"]) == [utt_id for _, utt_id in voice.examples().values()]


def test_without_a_part_a_folder_gets_scripts_and_examples(tmp_path: Path) -> None:
    stored.write(tmp_path / "vcemo")
    script = (tmp_path / "vcemo" / "living.js").read_text("utf-8")
    assert "vcemo.wake" in script and "export default" not in script
    clips = sorted((tmp_path / "vcemo" / "clips").iterdir())
    assert sorted(path.stem for path in clips) == sorted(living.examples())
    assert not (tmp_path / "vcemo" / "part.js").exists()
