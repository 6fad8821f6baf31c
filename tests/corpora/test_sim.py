"""VCEMO-Sim is what its datasheet says."""

from __future__ import annotations

import importlib.util
import json
import sys

import numpy as np
import pytest

import vcemo_lib as vc
from vcemo_lib import audio
from vcemo_lib.course import prosody
from vcemo_lib.paths import repo_data

BUILD = repo_data() / "build" / "vcemo_sim"


@pytest.fixture(scope="module")
def corpus() -> vc.Corpus:
    return vc.load_corpus("sim")


@pytest.fixture(scope="module")
def about(corpus: vc.Corpus) -> dict:
    return json.loads((corpus.root / "about.json").read_text(encoding="utf-8"))


def test_size(corpus: vc.Corpus) -> None:
    assert corpus.simulated
    assert (
        len(corpus) >= 2400
        and corpus.table["speaker"].nunique() == 120
        and corpus.table["text"].nunique() >= 1200
    )
    assert sum(corpus.path(u).stat().st_size for u in corpus.ids) <= 25e6
    on_disk = {
        p.relative_to(corpus.root).as_posix() for p in (corpus.root / "audio").rglob("*") if p.is_file()
    }
    assert on_disk == set(corpus.table["audio"])


def test_the_given_split_leaks_nothing(corpus: vc.Corpus) -> None:
    parts = vc.splits.given(corpus)
    assert vc.splits.audit(parts).empty
    assert all(set(part.table["emotion"]) == set(vc.LABELS) for part in parts.values())


def test_labels_are_the_majority_of_three_votes(corpus: vc.Corpus) -> None:
    for votes, emotion in zip(corpus.table["votes"], corpus.table["emotion"], strict=True):
        assert sum(votes.values()) == 3 and votes[emotion] >= 2


def test_class_mix(corpus: vc.Corpus) -> None:
    counts = corpus.table["emotion"].value_counts()
    assert counts.idxmax() == "neutral" and counts.idxmin() == "surprise"
    mix = vc.load_corpus("sim", paper_mix=True).table["emotion"].value_counts(normalize=True)
    assert mix["fear"] + mix["surprise"] == pytest.approx(0.025, abs=0.005)


def test_raters_disagree_as_the_human_ones(about: dict) -> None:
    for emotion, agreement in about["vote_given_majority"].items():
        assert agreement["simulated"] == pytest.approx(agreement["human"], abs=0.04), emotion


def test_clips_are_sound_of_the_stated_length(corpus: vc.Corpus) -> None:
    for utt_id in corpus.ids[::120]:
        wave = audio.load(corpus.path(utt_id))
        assert len(wave) / audio.SAMPLE_RATE == pytest.approx(
            float(corpus.table.at[utt_id, "seconds"]), abs=0.03
        )
        assert 0.01 < np.abs(wave).max() <= 1.0


def test_measured_prosody_is_human_and_the_file_is_right(corpus: vc.Corpus, about: dict) -> None:
    table = prosody.read(corpus)
    values = prosody.measures(table, corpus.table["plain_seconds"].astype(float))
    shifts = prosody.shifts_from_neutral(values, corpus.table["speaker"], corpus.table["emotion"])
    inside = int(prosody.beside_human(shifts, prosody.human_shifts())["inside"].sum())
    assert inside == about["prosody_within_human_spread"]["inside"] >= 20
    for utt_id in corpus.ids[::1000]:
        now = prosody.measure(audio.load(corpus.path(utt_id)))
        assert table.loc[utt_id].to_dict() == pytest.approx(now, rel=0.02, abs=0.02, nan_ok=True)


def test_a_damaged_description_is_told(corpus: vc.Corpus, tmp_path) -> None:
    (tmp_path / "manifest.csv").write_bytes((corpus.root / "manifest.csv").read_bytes())
    (tmp_path / "about.json").write_text("{", encoding="utf-8")
    with pytest.raises(vc.VcemoError, match="description of VCEMO-Sim is damaged"):
        vc.load_corpus("sim", root=tmp_path)


def test_whisper_understands_it(corpus: vc.Corpus, about: dict) -> None:
    from vcemo_lib import asr

    share = asr.cer(corpus.table["text"].tolist(), corpus.table["asr"].tolist())
    assert share == pytest.approx(about["cer_whisper_base"]["all"], abs=1e-3) and 0.03 < share < 0.20


def test_the_datasheet_is_written_from_about_json(corpus: vc.Corpus) -> None:
    spec = importlib.util.spec_from_file_location("datasheet", BUILD / "datasheet.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["datasheet"] = module
    spec.loader.exec_module(module)
    assert (corpus.root / "DATASHEET.md").read_text(encoding="utf-8") == module.fill()
