"""Sound in and out: equal to librosa, bad files refused in one line, augmentations and measures that do what they say."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vcemo_lib import audio
from vcemo_lib.errors import VcemoError

SR = audio.SAMPLE_RATE


def tone(hertz: float, seconds: float = 1.0, rms_db: float = -20.0, sr: int = SR) -> np.ndarray:
    """A sine of a known level, dB re full scale."""
    amplitude = np.sqrt(2) * 10 ** (rms_db / 20)
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * sr)) / sr)).astype(np.float32)


def voice(hertz: float, seconds: float = 1.0, rms_db: float = -20.0) -> np.ndarray:
    """Ten harmonics falling as 1 / k, with a pitch that does not move."""
    t = np.arange(round(seconds * SR)) / SR
    wave = sum(np.sin(2 * np.pi * hertz * k * t + k) / k for k in range(1, 11))
    return (wave / np.sqrt(np.mean(wave**2)) * 10 ** (rms_db / 20)).astype(np.float32)


def peak_hz(wave: np.ndarray, sr: int = SR) -> float:
    """Frequency of the strongest bin of the middle of a wave."""
    middle = wave[len(wave) // 4 : -len(wave) // 4]
    return float(np.fft.rfftfreq(len(middle), 1 / sr)[np.abs(np.fft.rfft(middle * np.hanning(len(middle)))).argmax()])


def level_db(wave: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(wave, dtype=np.float64))))


# ---- log-mel ---------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:n_fft=400 is too large")  # librosa's, of the shortest clips
def test_log_mels_are_those_of_librosa():
    import librosa

    rng = np.random.default_rng(0)
    waves = [0.1 * rng.standard_normal(n).astype(np.float32) for n in (1, 100, 159, 160, 161, 399, 400, 16_000, 40_001)]
    waves += [np.zeros(5000, np.float32), voice(180, 1.3), np.concatenate([np.zeros(3000, np.float32), tone(1000, 0.5)])]
    found = audio.log_mels(waves)
    for wave, mel in zip(waves, found, strict=True):
        power = librosa.feature.melspectrogram(
            y=wave, sr=SR, n_fft=400, hop_length=160, n_mels=80, fmin=0, fmax=8000, power=2.0, center=True, pad_mode="constant"
        )
        wanted = np.log(np.maximum(power, audio.LOG_FLOOR)).T  # (T, 80)
        assert mel.dtype == np.float32 and mel.shape == wanted.shape == (1 + len(wave) // 160, 80)
        np.testing.assert_allclose(mel, wanted, rtol=0, atol=1e-3)  # also 100 dB under a pure tone
        np.testing.assert_allclose(audio.log_mel(wave), mel, atol=1e-5)  # neighbours do not leak in
    np.testing.assert_allclose(audio.mel_filters(), librosa.filters.mel(sr=SR, n_fft=400, n_mels=80), atol=1e-6)
    assert audio.log_mels([]) == []


def test_log_mels_leave_the_threads_as_they_were():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        audio.log_mel(tone(300))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# ---- loading ---------------------------------------------------------------------------------------------


def test_a_stereo_mp3_at_44100_hz_becomes_mono_at_16000(tmp_path: Path):
    sr, seconds = 44_100, 1.5
    stereo = np.stack([tone(440, seconds, sr=sr), tone(1000, seconds, sr=sr)], axis=1)
    path = tmp_path / "stereo.mp3"
    soundfile.write(path, stereo, sr, format="MP3")
    assert soundfile.info(path).channels == 2 and soundfile.info(path).samplerate == sr
    wave = audio.load(path)
    assert wave.dtype == np.float32 and wave.ndim == 1
    assert len(wave) == pytest.approx(seconds * SR, abs=0.1 * SR)
    assert audio.duration(path) == pytest.approx(len(wave) / SR, abs=0.01)
    middle = wave[4000:20_000]  # one second: bins of 1 Hz
    spectrum = 2 * np.abs(np.fft.rfft(middle)) / len(middle)
    alone = np.sqrt(2) * 10 ** (-20 / 20)
    assert spectrum[440] == pytest.approx(alone / 2, rel=0.1)  # each channel at half, as they are averaged
    assert spectrum[1000] == pytest.approx(alone / 2, rel=0.1)


def test_arrays_and_files_load_alike(tmp_path: Path):
    wave = tone(300, 0.5)
    soundfile.write(tmp_path / "a.wav", wave, SR, subtype="FLOAT")
    np.testing.assert_array_equal(audio.load(tmp_path / "a.wav"), wave)
    np.testing.assert_array_equal(audio.load(str(tmp_path / "a.wav")), audio.load(wave))
    up = audio.load(tone(300, 0.5, sr=8000), sr=8000)
    assert len(up) == 8000 and peak_hz(up) == pytest.approx(300, abs=5)
    both = audio.load(np.stack([wave, 3 * wave], axis=1))
    np.testing.assert_allclose(both, 2 * wave, rtol=1e-6)


def bad_clip(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.wav"
    if kind == "text":
        path.write_text("this is no sound", encoding="utf-8")
    elif kind == "empty file":
        path.touch()
    elif kind == "no samples":
        soundfile.write(path, np.zeros(0, np.float32), SR)
    elif kind in ("nan", "inf"):
        wave = tone(200, 0.1)
        wave[7] = float(kind)
        soundfile.write(path, wave, SR, subtype="FLOAT")
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "no such audio file"), ("text", "cannot be read"), ("empty file", "cannot be read"),
        ("no samples", "has no samples"), ("nan", "NaN"), ("inf", "infinity"),
    ],
)  # fmt: skip
def test_a_bad_clip_is_refused_in_one_line(tmp_path: Path, kind: str, said: str):
    path = bad_clip(tmp_path, kind)
    with pytest.raises(VcemoError) as refused:
        audio.load(path)
    line = str(refused.value)
    assert said in line and str(path) in line and "\n" not in line
    assert line.partition("): ")[2]  # what to do about it


def test_duration_of_a_bad_file_is_the_same_line(tmp_path: Path):
    with pytest.raises(VcemoError, match="no such audio file"):
        audio.duration(tmp_path / "missing.wav")
    with pytest.raises(VcemoError, match="cannot be read"):
        audio.duration(bad_clip(tmp_path, "text"))


@pytest.mark.parametrize(
    ("wave", "said"),
    [
        (np.zeros(0, np.float32), "no samples"), (np.full(9, np.nan), "NaN"), (np.zeros((0, 2)), "no samples"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
    ],
)  # fmt: skip
def test_a_bad_array_is_refused(wave: np.ndarray, said: str):
    with pytest.raises(VcemoError, match=said):
        audio.load(wave)


# ---- augmentation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("snr_db", [30.0, 10.0, 0.0])
def test_noise_has_the_asked_distance(snr_db: float):
    wave = tone(300, 2.0)
    noise = audio.add_noise(wave, snr_db, np.random.default_rng(1)) - wave
    assert level_db(wave) - level_db(noise) == pytest.approx(snr_db, abs=0.2)
    assert abs(noise.mean()) < 0.03 * noise.std()


def test_noise_leaves_silence_silent():
    assert not audio.add_noise(np.zeros(100, np.float32), 30, np.random.default_rng(0)).any()


@pytest.mark.parametrize("steps", [-3.0, 2.0, 12.0])
def test_pitch_shift_moves_the_tone_and_keeps_the_length(steps: float):
    wave = tone(400, 1.0)
    moved = audio.pitch_shift(wave, steps)
    assert moved.shape == wave.shape and moved.dtype == np.float32
    assert peak_hz(moved) == pytest.approx(400 * 2 ** (steps / 12), rel=0.01)


@pytest.mark.parametrize("rate", [0.8, 1.25])
def test_time_stretch_changes_the_length_and_keeps_the_pitch(rate: float):
    wave = tone(400, 1.0)
    stretched = audio.time_stretch(wave, rate)
    assert len(stretched) == pytest.approx(len(wave) / rate, abs=1)
    assert peak_hz(stretched) == pytest.approx(400, rel=0.01)


def test_a_stretch_by_nothing_is_refused():
    with pytest.raises(VcemoError, match="time stretch of 0"):
        audio.time_stretch(tone(400, 0.1), 0)


def test_augment_repeats_itself_with_a_seed():
    wave = voice(200, 0.6)
    first, again, other = (audio.augment(wave, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.allclose(first, other)
    assert 0.85 < len(first) / len(wave) < 1.15


# ---- prosody ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hertz", "rms_db"), [(110.0, -30.0), (240.0, -15.0)])
def test_prosody_finds_a_known_pitch_and_level(hertz: float, rms_db: float):
    silence = np.zeros(round(0.4 * SR), np.float32)
    found = audio.prosody(np.concatenate([silence, voice(hertz, 1.0, rms_db), silence]))
    assert found["f0_median_hz"] == pytest.approx(hertz, rel=0.015)
    assert found["f0_range_semitones"] < 1
    assert found["level_db"] == pytest.approx(rms_db, abs=0.6)
    assert found["duration"] == pytest.approx(1.0, abs=0.08)
    assert found["voiced_fraction"] > 0.8


def test_prosody_measures_range_and_brightness():
    t = np.arange(SR) / SR
    phase = 2 * np.pi * np.cumsum(200 * 2 ** (np.sin(2 * np.pi * 2 * t) * 4 / 12)) / SR  # +-4 semitones about 200 Hz
    sweep = sum(np.sin(k * phase) / k for k in range(1, 8)).astype(np.float32) * 0.05
    found = audio.prosody(sweep)
    assert found["f0_range_semitones"] == pytest.approx(7.9, abs=0.8)  # 5th to 95th percentile of a sine: 0.988 of its swing
    dull, bright = tone(300, 0.5), tone(300, 0.5) + tone(2000, 0.5)
    assert audio.prosody(dull)["hf_ratio_db"] < -20
    assert audio.prosody(bright)["hf_ratio_db"] == pytest.approx(0, abs=0.5)


def test_prosody_of_silence_is_nothing():
    found = audio.prosody(np.zeros(SR, np.float32))
    assert found["duration"] == 0 and found["voiced_fraction"] == 0
    assert np.isnan(found["f0_median_hz"]) and np.isnan(found["level_db"])


# ---- players ---------------------------------------------------------------------------------------------


def test_an_mp3_decodes_to_what_went_in(tmp_path: Path):
    wave = voice(200, 1.0)
    (tmp_path / "a.mp3").write_bytes(audio.encode_mp3(wave))
    back = audio.load(tmp_path / "a.mp3")
    assert len(back) == pytest.approx(len(wave), abs=0.1 * SR)
    assert peak_hz(back) == pytest.approx(peak_hz(wave), abs=2)
    assert level_db(back) == pytest.approx(level_db(wave), abs=1)
    assert (tmp_path / "a.mp3").stat().st_size < 2 * len(wave) / 3


def test_the_player_carries_its_sound_and_escapes_its_label(tmp_path: Path):
    page = audio.player_html(tone(300, 0.3), label='<b>"angry" & loud</b>')
    assert "<b>" not in page and "&lt;b&gt;" in page and "controls" in page
    (tmp_path / "a.mp3").write_bytes(base64.b64decode(re.search(r"base64,([^\"]+)", page)[1]))
    assert peak_hz(audio.load(tmp_path / "a.mp3")) == pytest.approx(300, abs=10)
    table = audio.players_html({"one": tone(300, 0.1), "two": tone(300, 0.1), "three": tone(300, 0.1)}, columns=2)
    assert table.count("<audio") == 3 and table.count("<tr>") == 2
