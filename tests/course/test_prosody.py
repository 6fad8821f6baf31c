"""Prosodic shifts: known ones are found again; pitch, level and length of made sounds are right."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vcemo_lib import audio
from vcemo_lib.course import prosody


def tone(
    hertz: float, seconds: float = 1.0, rms_db: float = -20.0, sr: int = audio.SAMPLE_RATE
) -> np.ndarray:
    """A sine of a known level, dB re full scale."""
    amplitude = np.sqrt(2) * 10 ** (rms_db / 20)
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * sr)) / sr)).astype(np.float32)


def voice(hertz: float, seconds: float = 1.0, rms_db: float = -20.0) -> np.ndarray:
    """Ten harmonics falling as 1 / k, with a pitch that does not move."""
    t = np.arange(round(seconds * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE
    wave = sum(np.sin(2 * np.pi * hertz * k * t + k) / k for k in range(1, 11))
    return (wave / np.sqrt(np.mean(wave**2)) * 10 ** (rms_db / 20)).astype(np.float32)


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

    table = pd.DataFrame([prosody.measure(tone(120, 1, 0.1)), prosody.measure(tone(240, 2, 0.2))])
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


def test_standardising_uses_each_speakers_own_clips_and_no_label() -> None:
    values = pd.DataFrame({"x": [1.0, 3.0, 100.0, 140.0, 9.0]})
    got = prosody.standardise(values, ["a", "a", "b", "b", "c"])["x"]
    assert got.tolist() == pytest.approx([-(0.5**0.5), 0.5**0.5, -(0.5**0.5), 0.5**0.5, 0.0])


@pytest.mark.parametrize(("hertz", "rms_db"), [(110.0, -30.0), (240.0, -15.0)])
def test_prosody_finds_a_known_pitch_and_level(hertz: float, rms_db: float):
    silence = np.zeros(round(0.4 * audio.SAMPLE_RATE), np.float32)
    found = prosody.measure(np.concatenate([silence, voice(hertz, 1.0, rms_db), silence]))
    assert found["f0_median_hz"] == pytest.approx(hertz, rel=0.015)
    assert found["f0_range_semitones"] < 1
    assert found["level_db"] == pytest.approx(rms_db, abs=0.6)
    assert found["duration"] == pytest.approx(1.0, abs=0.08)
    assert found["voiced_fraction"] > 0.8


def test_prosody_measures_range_and_brightness():
    t = np.arange(audio.SAMPLE_RATE) / audio.SAMPLE_RATE
    phase = (
        2 * np.pi * np.cumsum(200 * 2 ** (np.sin(2 * np.pi * 2 * t) * 4 / 12)) / audio.SAMPLE_RATE
    )  # +-4 semitones about 200 Hz
    sweep = sum(np.sin(k * phase) / k for k in range(1, 8)).astype(np.float32) * 0.05
    found = prosody.measure(sweep)
    assert found["f0_range_semitones"] == pytest.approx(
        7.9, abs=0.8
    )  # 5th to 95th percentile of a sine: 0.988 of its swing
    dull, bright = tone(300, 0.5), tone(300, 0.5) + tone(2000, 0.5)
    assert prosody.measure(dull)["hf_ratio_db"] < -20
    assert prosody.measure(bright)["hf_ratio_db"] == pytest.approx(0, abs=0.5)


def test_prosody_of_silence_is_nothing():
    found = prosody.measure(np.zeros(audio.SAMPLE_RATE, np.float32))
    assert found["duration"] == 0 and found["voiced_fraction"] == 0
    assert np.isnan(found["f0_median_hz"]) and np.isnan(found["level_db"])
