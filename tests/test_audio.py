"""Sound: log-mel equal to librosa's, bad files refused in one line."""

from __future__ import annotations

import os
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
    return float(
        np.fft.rfftfreq(len(middle), 1 / sr)[np.abs(np.fft.rfft(middle * np.hanning(len(middle)))).argmax()]
    )


def level_db(wave: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(wave, dtype=np.float64))))


# ---- log-mel ---------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:n_fft=400 is too large")  # librosa's, of the shortest clips
def test_log_mels_are_those_of_librosa():
    import librosa

    rng = np.random.default_rng(0)
    waves = [
        0.1 * rng.standard_normal(n).astype(np.float32)
        for n in (1, 100, 159, 160, 161, 399, 400, 16_000, 40_001)
    ]
    waves += [
        np.zeros(5000, np.float32),
        voice(180, 1.3),
        np.concatenate([np.zeros(3000, np.float32), tone(1000, 0.5)]),
    ]
    found = audio.log_mels(waves)
    for wave, mel in zip(waves, found, strict=True):
        power = librosa.feature.melspectrogram(
            y=wave,
            sr=SR,
            n_fft=400,
            hop_length=160,
            n_mels=80,
            fmin=0,
            fmax=8000,
            power=2.0,
            center=True,
            pad_mode="constant",
        )
        wanted = np.log(np.maximum(power, audio.LOG_FLOOR)).T  # (T, 80)
        assert mel.dtype == np.float32 and mel.shape == wanted.shape == (1 + len(wave) // 160, 80)
        np.testing.assert_allclose(mel, wanted, rtol=0, atol=1e-3)  # also 100 dB under a pure tone
        np.testing.assert_allclose(audio.log_mel(wave), mel, atol=1e-5)  # neighbours do not leak in
    np.testing.assert_allclose(
        audio.mel_filters(), librosa.filters.mel(sr=SR, n_fft=400, n_mels=80), atol=1e-6
    )
    assert audio.log_mels([]) == []


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


@pytest.mark.parametrize(
    ("wave", "said"),
    [
        (np.zeros(0, np.float32), "no samples"), (np.zeros((0, 2)), "no samples"),
        (np.full(9, np.nan), "NaN"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"), (np.array(0.5), r"shape \(\)"),
    ],
)  # fmt: skip
def test_a_bad_array_is_refused(wave: np.ndarray, said: str):
    with pytest.raises(VcemoError, match=said):
        audio.load(wave)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
def test_integers_are_scaled_by_their_range(dtype: type):
    wave = tone(300, 0.1)
    half = 2.0 ** (8 * np.dtype(dtype).itemsize - 1)
    loaded = audio.load((wave.astype(float) * half + (half if dtype is np.uint8 else 0)).astype(dtype))
    np.testing.assert_allclose(loaded, wave, atol=1.1 / half + 1e-6)


@pytest.mark.parametrize(
    ("wave", "sr", "complaint"),
    [
        (np.zeros((2, 16_000)), None, r"shape \(2, 16000\)"), (np.zeros(100, np.int64), None, "type int64"),
        (np.full(100, 1e20), None, "samples reach 1e\\+20"), (np.zeros(100), 1, "rate of 1 Hz"),
        (np.zeros(5_000 * 3_601, np.float16), 5_000, "longer than 3600 s"),
        (np.full(9, 1e300), None, "samples reach 1e\\+300"),
    ],
)  # fmt: skip
def test_an_array_that_is_no_clip_is_refused(wave: np.ndarray, sr: int | None, complaint: str):
    with pytest.raises(VcemoError, match=complaint):
        audio.load(wave, sr)


def flac(path: Path, frames: int) -> Path:
    """One second of a tone whose header claims so many frames; 0 stands for an unknown length, as when
    streamed.
    """
    soundfile.write(path, tone(300), SR, format="FLAC")
    data = bytearray(path.read_bytes())
    data[21] = data[21] & 0xF0 | frames >> 32
    data[22:26] = (frames & 0xFFFFFFFF).to_bytes(4, "big")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("frames", [0, 2**36 - 1])
def test_a_flac_of_unknown_or_damaged_length_is_read(tmp_path: Path, frames: int):
    path = flac(tmp_path / "a.flac", frames)
    np.testing.assert_allclose(audio.load(path), tone(300), atol=1e-4)


def test_damage_is_told_with_the_files_name(tmp_path: Path):
    slow, loud, raw = tmp_path / "slow.wav", tmp_path / "loud.wav", tmp_path / "a.raw"
    soundfile.write(slow, tone(300), 1)
    soundfile.write(loud, np.full(100, 1e20), SR, subtype="FLOAT")
    raw.write_bytes(bytes(1000))
    for path, complaint in ((slow, "rate of 1 Hz"), (loud, "reach 1e"), (raw, "cannot be read"),
                            (tmp_path / ("n" * 300), "cannot be read")):  # fmt: skip
        with pytest.raises(VcemoError, match=complaint) as refused:
            audio.load(path)
        assert str(path) in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.skipif(os.name == "nt", reason="file names are bytes on POSIX alone")
def test_a_name_that_is_no_utf8(tmp_path: Path):
    path = tmp_path / os.fsdecode(b"\xff.wav")
    soundfile.write(tmp_path / "a.wav", tone(300), SR)
    (tmp_path / "a.wav").rename(path)
    assert len(audio.load(path)) == SR
    path.write_bytes(b"no sound")
    with pytest.raises(VcemoError, match=r"udcff\.wav") as refused:
        audio.load(path)
    str(refused.value).encode("utf-8")


@pytest.mark.parametrize("sr", [8_000, 11_025, 22_050, 44_100, 44_101, 48_000])
def test_resampling_keeps_the_tone(sr: int):
    wave = audio.load(tone(1000, 1.0, sr=sr), sr)
    assert len(wave) == pytest.approx(SR, abs=3)
    np.testing.assert_allclose(
        wave[1000:-1000], tone(1000)[1000 : len(wave) - 1000], atol=3e-3 if sr != 44_101 else 0.05
    )


def test_a_log_mel_is_finite_however_loud():
    assert np.isfinite(audio.log_mel(np.full(4000, 1e30, np.float32))).all()


def strange_clip(rng: np.random.Generator, folder: Path) -> tuple[str | Path | np.ndarray, int | None]:
    """Something that may be given for a clip, and the rate that an array is said to have."""
    rate = int(rng.choice([8_000, 11_025, SR, 44_100, 96_000]))
    wave = rng.uniform(-1, 1, (int(rng.choice([0, 1, 7, 400, 3_000])), int(rng.choice([1, 1, 2, 6]))))
    wave = wave[:, 0] if wave.shape[1] == 1 else wave
    if rng.random() < 0.2 and wave.size:
        wave.flat[rng.integers(wave.size)] = rng.choice([np.nan, np.inf, 1e6, 1e300])
    kind = rng.choice(["array", "integers", "turned", "file", "cut", "flipped", "text", "folder", "missing"])
    if kind == "array":
        return wave.astype(rng.choice(["float16", "float32", "float64", "complex64"])), rate
    if kind == "integers":
        limits = np.iinfo(dtype := rng.choice(["int8", "uint8", "int16", "uint16", "int32", "int64"]))
        return rng.integers(limits.min, limits.max, wave.shape, dtype), rate
    if kind == "turned":
        return wave.T, rate
    path = folder / f"{rng.integers(2**60)}.{rng.choice(['wav', 'flac', 'ogg', 'mp3'])}"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("RIFF this is no sound" * int(rng.integers(3)), encoding="utf-8")
    elif kind != "missing":
        if path.suffix == ".wav":
            soundfile.write(path, wave, rate, subtype=rng.choice(["PCM_16", "PCM_U8", "PCM_32", "FLOAT"]))
        else:
            sound = np.nan_to_num(wave).clip(-1, 1)  # encoders crash on others
            soundfile.write(path, np.atleast_2d(sound.T).T[:, :2], SR)
        data = bytearray(path.read_bytes() or bytes(1))
        if kind == "cut":
            del data[rng.integers(len(data)) :]
        elif kind == "flipped":
            for at in rng.integers(len(data), size=4):
                data[at] ^= 1 << rng.integers(8)
        path.write_bytes(data)
    return rng.choice([str, Path])(path), None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_given_becomes_a_clip_or_one_line(tmp_path: Path, seed: int):
    rng = np.random.default_rng(seed)
    for _ in range(25):
        source, rate = strange_clip(rng, tmp_path)
        try:
            wave = audio.load(source, rate)
        except VcemoError as refused:
            assert "\n" not in str(refused) and "): " in str(refused)
            continue
        assert wave.dtype == np.float32 and wave.ndim == 1 and len(wave) and np.isfinite(wave).all()
        assert np.isfinite(audio.log_mel(wave)).all()
