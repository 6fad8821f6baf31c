"""Prosodic shifts: known ones are found again; pitch, level and length of made sounds are right."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vcemo_lib import audio, prosody
from vcemo_lib.errors import VcemoError


def made(
    shift: float, between: float, within: float, speakers: int = 200, clips: int = 6, seed: int = 0
) -> tuple:
    """Two measures of speakers who differ by far more than the emotion: (values, speakers, emotions)."""
    rng = np.random.default_rng(seed)
    rows, names, labels = [], [], []
    for number in range(speakers):
        base, own = rng.normal(0, 50), rng.normal(shift, between)
        for emotion in ("neutral", "sad"):
            for _ in range(clips):
                rows.append(base + (own if emotion == "sad" else 0.0) + rng.normal(0, within))
                names.append(f"s{number}")
                labels.append(emotion)
    return pd.DataFrame({"x": rows, "minus": -np.array(rows)}), names, labels


def test_a_known_shift_and_its_spreads_are_found_among_different_speakers() -> None:
    table = prosody.shifts_from_neutral(*made(shift=3.0, between=1.0, within=2.0)).set_index("feature")
    assert (
        list(table["emotion"]) == ["sad", "sad"]
        and table.at["x", "n"] == 1200
        and table.at["x", "speakers"] == 200
    )
    assert table.at["x", "mean_shift"] == pytest.approx(3.0, abs=0.25)
    assert table.at["x", "sd_between_speakers"] == pytest.approx(1.0, abs=0.25)
    assert table.at["x", "sd_within_speaker"] == pytest.approx(2.0, abs=0.1)
    assert table.at["minus", "mean_shift"] == pytest.approx(-table.at["x", "mean_shift"])


def test_where_speakers_do_not_differ_the_spread_between_them_is_near_nothing() -> None:
    table = prosody.shifts_from_neutral(*made(shift=3.0, between=0.0, within=2.0)).set_index("feature")
    naive = 2.0 * np.sqrt(2 / 6)  # the spread of the means of six clips, less six others
    assert table.at["x", "sd_between_speakers"] < naive / 2


def test_each_speaker_is_compared_with_her_own_neutral() -> None:
    values = pd.DataFrame({"x": [1.0, 3.0, 100.0, 105.0, 7.0]})
    shifts = prosody.from_neutral(
        values, ["a", "a", "b", "b", "c"], ["neutral", "sad", "neutral", "sad", "sad"]
    )["x"]
    assert shifts[:4].tolist() == [0.0, 2.0, 0.0, 5.0] and np.isnan(shifts[4])
    row = prosody.shifts_from_neutral(
        values, ["a", "a", "b", "b", "c"], ["neutral", "sad", "neutral", "sad", "sad"]
    ).iloc[0]
    assert row["mean_shift"] == 3.5 and row["n"] == 2 and row["speakers"] == 2


def test_measures_are_on_scales_where_a_factor_is_a_difference() -> None:
    raw = {
        "duration": [2.0, 4.0],
        "f0_median_hz": [100.0, 200.0],
        "f0_range_semitones": [4.0, 0.0],
        "level_db": [-20.0, -14.0],
        "hf_ratio_db": [-9.0, -6.0],
    }
    table = prosody.measures(pd.DataFrame(raw), [2.0, 2.0])
    assert list(table.columns) == list(prosody.MEASURES)
    assert table["log2_duration"].tolist() == [0.0, 1.0]
    assert table["f0_median_semitones"].diff()[1] == pytest.approx(12)
    assert table["log2_f0_range"].tolist() == pytest.approx([2.0, np.log2(0.1)])


def test_a_louder_higher_longer_tone_is_measured_as_such() -> None:
    def tone(hertz: float, seconds: float, loud: float) -> np.ndarray:
        t = np.arange(int(seconds * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE
        wave = sum(np.sin(2 * np.pi * k * hertz * t) / k for k in range(1, 8))
        return np.pad((loud * wave).astype(np.float32), 3200)

    table = pd.DataFrame([audio.prosody(tone(120, 1, 0.1)), audio.prosody(tone(240, 2, 0.2))])
    got = prosody.from_neutral(prosody.measures(table), ["a", "a"], ["neutral", "angry"]).iloc[1]
    assert got["f0_median_semitones"] == pytest.approx(12, abs=0.3)
    assert got["log2_duration"] == pytest.approx(1, abs=0.1)
    assert got["level_db"] == pytest.approx(6, abs=0.5)


def test_human_table_and_what_lies_inside_its_spread() -> None:
    human = prosody.human_shifts()
    assert len(human) == 25 and set(human["feature"]) == set(prosody.MEASURES)
    edge = human.assign(mean_shift=human["mean_shift"] + 0.99 * human["sd_between_speakers"])
    assert prosody.beside_human(edge, human)["inside"].all()
    assert not prosody.beside_human(
        edge.assign(mean_shift=human["mean_shift"] - 1.01 * human["sd_between_speakers"]), human
    )["inside"].any()
    with pytest.raises(VcemoError, match="casia"):
        prosody.human_shifts("nobody")


def test_standardising_uses_each_speakers_own_clips_and_no_label() -> None:
    values = pd.DataFrame({"x": [1.0, 3.0, 100.0, 140.0, 9.0]})
    got = prosody.standardise(values, ["a", "a", "b", "b", "c"])["x"]
    assert got.tolist() == pytest.approx([-(0.5**0.5), 0.5**0.5, -(0.5**0.5), 0.5**0.5, 0.0])
