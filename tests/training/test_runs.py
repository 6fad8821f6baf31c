"""A run on disk: it survives, and a file that is wrong in any way is refused in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import synthetic
import torch
from tiny_training import N, tiny, train

from vcemo_lib.errors import VcemoError
from vcemo_lib.models import Settings, build
from vcemo_lib.paths import repo_data
from vcemo_lib.training import Run, checkpoint, runs


@pytest.mark.parametrize("changes", [{}, {"acoustic": "both", "speaker_norm": True, "augment": 0}], ids=str)
def test_a_run_survives_the_disk(store, parts, tmp_path, changes: dict) -> None:
    run = train(store, parts, epochs=2, **changes)
    assert not changes or all(set(kinds) == {"mel", "whisper"} for kinds in run.scaler.by_speaker.values())
    run.save(tmp_path)
    back = Run.load(tmp_path, store)
    assert (
        back.settings == run.settings
        and back.best_epoch == run.best_epoch
        and back.history.equals(run.history)
    )
    np.testing.assert_array_equal(
        back.predict(parts["test"]).probabilities, run.predict(parts["test"]).probabilities
    )


def test_a_prediction_does_not_depend_on_its_company(store, parts) -> None:
    """A speaker's statistics are those found in training, however few of the clips are asked for."""
    run = train(store, parts, epochs=1)
    test = parts["test"]
    alone = run.predict(test.subset(test.ids[3:4])).probabilities[0]
    np.testing.assert_allclose(alone, run.predict(test).probabilities[3], rtol=1e-4)


def test_a_prediction_does_not_depend_on_earlier_ones(store, parts) -> None:
    """A stranger's statistics come from the clips given, and are not kept."""
    run = train(store, {name: parts[name] for name in ("train", "val")}, epochs=1, speaker_norm=True)
    test = parts["test"].with_column("speaker", "stranger")
    before = run.predict(test).probabilities
    run.predict(test.subset(test.ids[:1]))
    np.testing.assert_array_equal(run.predict(test).probabilities, before)


def test_speakers_of_equal_names_in_another_corpus_are_other_people(store, parts) -> None:
    run, test = train(store, parts, epochs=1, speaker_norm=True), parts["test"]
    other = test.with_column("text", "人")  # another corpus, that has these ids and names too
    renamed = other.with_column("speaker", "other " + other.table["speaker"])
    ours, theirs, apart = (run.predict(part).probabilities for part in (test, other, renamed))
    np.testing.assert_array_equal(theirs, apart)
    assert np.abs(ours - theirs).max() > 1e-3


class Told(synthetic.Store):
    """A store that tells how its features were made."""

    def __init__(self, layer: int = 3, text: str = "gold") -> None:
        super().__init__(synthetic.corpus(N))
        self.about: dict = {kind: {"settings": {}} for kind in ("mel", "words", "bert")}
        self.about["whisper"] = {"settings": {"model": "base", "layer": layer}, "precision": "float32"}
        self.text, ids = text, synthetic.corpus(N).ids
        self.keys = {of: {u: f"{u} {text}" for u in ids} for of in ("audio", "text")}

    def describe(self) -> dict:
        return {"kinds": self.about, "text": self.text}


def test_a_run_refuses_features_that_were_made_otherwise(parts, tmp_path) -> None:
    run = train(Told(), parts, tmp_path, epochs=1, acoustic="whisper")
    assert run.made_by("whisper") == Run.load(tmp_path).made_by("whisper") == {"model": "base", "layer": 3}
    elsewhere = Told(text="asr")  # other words are a question one may ask, and precision is the machine's
    elsewhere.about["whisper"] |= {"precision": "float16"}
    run.predict(parts["test"], elsewhere)
    with pytest.raises(VcemoError, match="other whisper features .settings.layer is 6, not 3"):
        Run.load(tmp_path).predict(parts["test"], Told(layer=6))


def test_a_finished_run_is_not_given_for_other_words_or_features(parts, tmp_path) -> None:
    train(Told(), parts, tmp_path, epochs=1, modalities=("words",))
    others = Told(text="asr"), Told()
    others[1].about["words"] = {"settings": {"vectors": "others"}}
    for other in others:
        with pytest.raises(VcemoError, match="this folder holds another run .features"):
            train(other, parts, tmp_path, epochs=1, modalities=("words",))
    corrected = {name: part.with_column("asr", "人") for name, part in parts.items()}
    with pytest.raises(VcemoError, match="this folder holds another run .parts"):
        train(Told(), corrected, tmp_path, epochs=1, modalities=("words",))


@pytest.fixture
def kept(store, parts, tmp_path) -> tuple[dict, dict]:
    """Tensors and facts of a run's file, in the folder `tmp_path`."""
    run = train(store, parts, epochs=1)
    run.save(tmp_path)
    return checkpoint.load(tmp_path / runs.RUN_FILE)


WRONG = {
    "no settings": lambda facts: facts.pop("settings"),
    "settings of another kind": lambda facts: facts.update(settings=[1]),
    "a setting is missing": lambda facts: facts["settings"].pop("width"),
    "a setting of another version": lambda facts: facts["settings"].update(colour=1),
    "a width that is text": lambda facts: facts["settings"].update(width="16"),
    "another width": lambda facts: facts["settings"].update(width=32),
    "unbounded length": lambda facts: facts["settings"].update(length=10**8),
    "unbounded layers": lambda facts: facts["settings"].update(layers=10**6),
    "unbounded pooling": lambda facts: facts["settings"].update(audio_pool=[10**8, 1]),
    "unbounded features": lambda facts: facts["widths"].update(words=10**12),
    "an unknown model": lambda facts: facts.update(name="nobody"),
    "no history": lambda facts: facts.update(history=3),
    "no classes": lambda facts: facts.update(classes=None),
    "more speakers than statistics": lambda facts: facts.update(speakers=3),
}


@pytest.mark.parametrize("spoil", WRONG.values(), ids=WRONG)
def test_wrong_facts_are_told_in_a_line(kept, tmp_path, spoil) -> None:
    tensors, facts = kept
    spoil(facts)
    checkpoint.save(tmp_path / runs.RUN_FILE, tensors, facts)
    with pytest.raises(VcemoError, match="does not describe a run") as error:
        Run.load(tmp_path)
    assert "\n" not in str(error.value) and "run.safetensors" in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(kept, tmp_path, value: float) -> None:
    tensors, facts = kept
    tensors["model.final.mlp.0.bias"][3] = value
    checkpoint.save(tmp_path / runs.RUN_FILE, tensors, facts)
    with pytest.raises(VcemoError, match="not finite, such as model.final.mlp.0.bias"):
        Run.load(tmp_path)


def test_settings_under_their_earlier_names_are_read() -> None:
    old = tiny(allow_own_keys=False).as_dict()
    for new, name in (
        ("allow_own_keys", "own_copies"),
        ("bidirectional", "both_guide"),
        ("lstm_bidirectional", "lstm_both_ways"),
    ):
        old[name] = old.pop(new)
    assert Settings.from_dict(old) == tiny(allow_own_keys=False)


def test_stored_results_and_the_bundled_run_are_read() -> None:
    stored = sorted((repo_data() / "expected" / "results").rglob("*.json"))
    assert len(stored) > 50
    for run in (json.loads(file.read_text(encoding="utf-8")) for file in stored):
        if run["model"] != "straight line":  # it has none
            Settings.from_dict(run["settings"])
    run = Run.load(repo_data() / "models" / "recogniser")
    assert run.settings.layers == 2 and run.model.final.mlp[0].weight.isfinite().all()


def test_a_file_of_an_earlier_version_without_a_digest_is_read(kept, store, tmp_path) -> None:
    from safetensors.torch import save_file

    tensors, facts = kept
    save_file(tensors, tmp_path / "old.safetensors", metadata={"vcemo": json.dumps(facts)})
    (tmp_path / "old.safetensors").replace(tmp_path / runs.RUN_FILE)
    ours = build("vcemo", Settings.from_dict(facts["settings"]), facts["widths"]).state_dict()
    assert {name: t.shape for name, t in Run.load(tmp_path).model.state_dict().items()} == {
        n: t.shape for n, t in ours.items()
    }
    assert all(
        torch.equal(t, tensors[f"model.{name}"]) for name, t in Run.load(tmp_path).model.state_dict().items()
    )
