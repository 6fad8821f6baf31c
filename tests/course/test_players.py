"""Players carry their sound, and escape their label."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest

from vcemo_lib import audio
from vcemo_lib.course.players import encode_mp3, player_html, players_html


def tone(hertz: float, seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE
    return (0.1 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def peak_hz(wave: np.ndarray) -> float:
    """Frequency of the strongest bin."""
    return float(np.abs(np.fft.rfft(wave)).argmax() * audio.SAMPLE_RATE / len(wave))


def level_db(wave: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(wave, dtype=np.float64))))


def test_an_mp3_decodes_to_what_went_in(tmp_path: Path):
    wave = tone(200, 1.0)
    (tmp_path / "a.mp3").write_bytes(encode_mp3(wave))
    back = audio.load(tmp_path / "a.mp3")
    assert len(back) == pytest.approx(len(wave), abs=0.1 * audio.SAMPLE_RATE)
    assert peak_hz(back) == pytest.approx(peak_hz(wave), abs=2)
    assert level_db(back) == pytest.approx(level_db(wave), abs=1)
    assert (tmp_path / "a.mp3").stat().st_size < 2 * len(wave) / 3


def test_the_player_carries_its_sound_and_escapes_its_label(tmp_path: Path):
    page = player_html(tone(300, 0.3), label='<b>"angry" & loud</b>')
    assert "<b>" not in page and "&lt;b&gt;" in page and "controls" in page
    (tmp_path / "a.mp3").write_bytes(base64.b64decode(re.search(r"base64,([^\"]+)", page)[1]))
    assert peak_hz(audio.load(tmp_path / "a.mp3")) == pytest.approx(300, abs=10)
    table = players_html({"one": tone(300, 0.1), "two": tone(300, 0.1), "three": tone(300, 0.1)}, columns=2)
    assert table.count("<audio") == 3 and table.count("<tr>") == 2
