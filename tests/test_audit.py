"""The audit finds a copy by its sound, takes no other clip for one, and writes into records and pictures."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from matplotlib.figure import Figure

import vcemo_lib as vc
from vcemo_lib import audit
from vcemo_lib.errors import VcemoError


def recoded(wave: np.ndarray, form: str, subtype: str) -> np.ndarray:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, 16_000, format=form, subtype=subtype)
    buffer.seek(0)
    samples, rate = soundfile.read(buffer, dtype="float32")
    return vc.audio.load(samples, sr=rate)


CHANGES = {
    "as it is": lambda wave: wave,
    "10 ms cut": lambda wave: wave[160:],
    "10 ms of silence before": lambda wave: np.concatenate([np.zeros(160, np.float32), wave]),
    "5 ms cut": lambda wave: wave[80:],
    "fainter": lambda wave: 0.3 * wave,
    "MP3, 10 ms cut": lambda wave: recoded(wave[160:], "MP3", "MPEG_LAYER_III"),
    "Vorbis": lambda wave: recoded(wave, "OGG", "VORBIS"),
    "Opus, 10 ms cut": lambda wave: recoded(wave[160:], "OGG", "OPUS"),
}


@pytest.fixture(scope="module")
def sim() -> vc.Corpus:
    return vc.load_corpus("sim")


@pytest.fixture(scope="module")
def twice(sim: vc.Corpus) -> vc.Corpus:
    """Clips of twelve sentences, each said by two speakers or more."""
    bare = sim.table["text"].map(vc.splits.bare)
    said = bare.value_counts()
    return sim.subset(bare.isin(said[said > 1].index[:12]))


@pytest.mark.parametrize("how", CHANGES)
def test_a_changed_copy_is_alike(sim: vc.Corpus, how: str) -> None:
    for utt_id in sim.ids[5:800:160]:
        wave = vc.audio.utterance(sim, utt_id)
        one, other = (vc.audio.log_mel(w) for w in (wave, CHANGES[how](wave)))
        assert audit.likeness(one, other) > audit.ALIKE, utt_id
        assert audit.likeness(other, one) > audit.ALIKE, utt_id


def test_other_clips_of_the_same_sentence_are_not(twice: vc.Corpus) -> None:
    half = {"train": twice.subset(twice.ids[::2]), "test": twice.subset(twice.ids[1::2])}
    bare = {name: set(part.table["text"].map(vc.splits.bare)) for name, part in half.items()}
    assert bare["train"] & bare["test"]
    assert audit.copies(half).empty


@pytest.fixture
def planted(sim: vc.Corpus, tmp_path: Path) -> dict[str, vc.Corpus]:
    """Three parts of few speakers; a training clip, 10 ms later and as MP3, is in the test part, too."""
    given = vc.splits.given(sim)
    parts = {name: part.subset(part.ids[:30]) for name, part in given.items()}
    taken = parts["train"].ids[3]
    soundfile.write(tmp_path / "new.mp3", vc.audio.utterance(sim, taken)[160:], 16_000)
    row = sim.table.loc[[taken]].rename(index={taken: "new"})
    row = row.assign(audio=str(tmp_path / "new.mp3"), speaker="stranger", text="别的话")
    return parts | {"test": replace(parts["test"], table=pd.concat([parts["test"].table, row]))}


def test_a_planted_copy_is_found_by_sound_alone(planted: dict[str, vc.Corpus]) -> None:
    assert vc.splits.audit(planted).empty
    found = audit.copies(planted)
    assert found[["one", "other", "between"]].values.tolist() == [
        [planted["train"].ids[3], "new", "train and test"]
    ]


def test_a_record_counts_what_the_test_part_shares(planted: dict[str, vc.Corpus], sim: vc.Corpus) -> None:
    whole = replace(sim, table=pd.concat([part.table for part in planted.values()]))
    store = vc.features.compute(whole, ("mel",), progress=False)
    found = audit.record(planted, store)
    assert found["test"] == {"clips": 31, "utterance": 0, "speaker": 0, "sentence": 0, "file": 0, "sound": 1}
    assert (
        found["shared"]["train and test"]["sound"] == 1
        and found["says"] == "of 31 test clips 1 with a known sound"
    )
    clean = planted | {"test": planted["test"].subset(planted["test"].ids[:-1])}
    assert audit.record(clean, store)["says"] == ""
    words = audit.record(planted)  # no log-mel at hand: copies are not sought, and nothing is said of them
    assert "sound" not in words["test"] and words["says"] == ""
    turned = audit.record(dict(reversed(planted.items())), store)
    assert turned["test"] == found["test"]


def test_choosing_on_the_test_part_and_known_speakers_are_told(sim: vc.Corpus) -> None:
    parts = vc.splits.random(sim.subset(sim.ids[:200]))
    found = audit.record(parts)
    assert found["test"]["speaker"] == len(parts["test"]) and "known speaker" in found["says"]
    assert not found["val_is_test"]
    optimistic = audit.record(parts | {"val": parts["test"]})
    assert optimistic["says"].startswith("optimistic")
    both = audit.together([found, found])
    assert both["test"]["clips"] == 2 * len(parts["test"]) and "known speaker" in both["says"]
    assert audit.together([found, optimistic])["says"].startswith("optimistic")


def test_the_same_file_under_another_name_is_found_and_a_missing_file_is_no_error(tmp_path: Path) -> None:
    for name, content in {"a.wav": b"one", "b.wav": b"one", "c.wav": b"two"}.items():
        (tmp_path / name).write_bytes(content)
    files = ["a.wav", "b.wav", "c.wav", "gone.wav", "gone too.wav"]
    columns = {"audio": files, "text": list("12345"), "emotion": "sad", "speaker": list("vwxyz")}
    table = pd.DataFrame(columns, pd.Index(list("abcde"), name="utt_id"))
    whole = vc.Corpus("toy", tmp_path, table)
    found = audit.record({"train": whole.subset(["a", "d"]), "test": whole.subset(["b", "c", "e"])})
    assert found["shared"] == {"train and test": {"utterance": 0, "speaker": 0, "sentence": 0, "file": 1}}
    assert found["says"] == "of 3 test clips 1 with a known file"
    table = table.assign(start=[0.0, 1, 0, 0, 0], end=[1.0, 2, 1, 1, 1])  # two stretches of one recording
    whole = vc.Corpus("toy", tmp_path, table)
    assert audit.record({"train": whole.subset(["a", "d"]), "test": whole.subset(["b", "c"])})["says"] == ""


def written(figure: Figure) -> str:
    figure.canvas.draw()
    return " ".join(legend.get_title().get_text() for legend in figure.legends)


def test_a_picture_carries_what_its_results_leak(sim: vc.Corpus) -> None:
    leaks = audit.record(vc.splits.random(sim.subset(sim.ids[:200])))
    clean = audit.record(vc.splits.given(sim))
    table = pd.DataFrame({"value": [0.5], "low": [0.4], "high": [0.6]}, ["a"])
    assert "LEAKS" not in written(audit.mark(vc.plots.intervals(table), clean))
    marked = audit.mark(vc.plots.intervals(table), [clean, {"leaks": leaks, "config": "a"}])
    assert "LEAKS" in written(marked) and "known speaker" in written(marked)
    with pytest.raises(VcemoError, match="without a record"):
        audit.mark(vc.plots.intervals(table), {"config": "a"})


def test_short_and_silent_clips_are_compared_without_an_error() -> None:
    silence, short = np.full((50, 80), -23.0, np.float32), np.full((3, 80), -23.0, np.float32)
    assert audit.likeness(silence, silence) == 0 and audit.likeness(short, silence) == 0
