"""Sound in and out: loading, log-mel spectrograms, augmentation, prosodic measures, players.

Waves are float32 arrays (N,) in [-1, 1], mono, 16 kHz, wherever nothing else is said.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vcemo_lib.errors import VcemoError

if TYPE_CHECKING:
    import torch

    from vcemo_lib.corpora import Corpus

SAMPLE_RATE = 16_000  # Hz
N_FFT = 400  # samples: a 25 ms window
HOP = 160  # samples: a 10 ms step
N_MELS = 80  # Slaney-normalised triangles from 0 to 8,000 Hz
BLOCK = 512  # frames worked on at a time
FLOAT32_RANGE = 1e-7  # of a frame's loudest band, 70 dB below it: float32 gets quieter bands wrong by 1e-3 and more
LOG_FLOOR = 1e-10  # power below this counts as silence: log-mel is never under ln(1e-10) = -23.03
SILENT_DB = -60.0  # dB re full scale: a clip whose loudest 10 ms stay below is silence
SOUNDING_DB = 35.0  # what lies further below the loudest 10 ms of a clip is its silence
NOISE_SNR_DB = 30.0  # VCEMO, section 4.2: Gaussian noise at 30 dB


def load(source: str | Path | np.ndarray, sr: int | None = None) -> np.ndarray:
    """A clip as float32 (N,), mono, 16 kHz: any file that libsndfile reads, or an array (N,) or (N, channels) at `sr` Hz.

    Channels are averaged. Raises VcemoError for a missing, unreadable or zero-length clip and for NaN or infinity in it.
    """
    where: object = "an array"
    if isinstance(source, (str, Path)):
        import soundfile

        where = path = Path(source)
        if not path.is_file():
            raise VcemoError("no such audio file", where=path, do="check the path")
        try:
            wave, sr = soundfile.read(path, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            reason = getattr(error, "error_string", str(error)).strip().rstrip(".")
            raise VcemoError("this audio file cannot be read", where=path, do=f"convert it to wav, flac, ogg or mp3 ({reason})") from error
    else:
        wave = np.asarray(source, dtype=np.float32)
    if wave.ndim == 2:
        wave = wave.mean(axis=1)
    if wave.ndim != 1:
        raise VcemoError(f"audio has shape {wave.shape}", where=where, do="give (N,) or (N, channels)")
    if wave.size == 0:
        raise VcemoError("the clip has no samples", where=where, do="remove it, or record it again")
    if not np.isfinite(wave).all():
        raise VcemoError("the clip holds NaN or infinity", where=where, do="export it again")
    if sr is not None and sr != SAMPLE_RATE:
        import soxr

        wave = soxr.resample(wave, sr, SAMPLE_RATE)
        if wave.size == 0:
            raise VcemoError("the clip has no samples", where=where, do="remove it, or record it again")
    return np.ascontiguousarray(wave, dtype=np.float32)


def duration(source: str | Path) -> float:
    """Length of an audio file in seconds, from its header where that tells."""
    import soundfile

    try:
        return soundfile.info(str(source)).duration
    except (soundfile.LibsndfileError, RuntimeError):
        return len(load(source)) / SAMPLE_RATE  # gives the clear error


def utterance(corpus: Corpus, utt_id: str) -> np.ndarray:
    """A corpus' utterance, (N,), cut out of its file where it is a piece of one. Raises VcemoError as `load` does."""
    wave, (start, end) = load(corpus.path(utt_id)), corpus.segment(utt_id)
    piece = wave[round(start * SAMPLE_RATE) : None if end is None else round(end * SAMPLE_RATE)]
    if not len(piece):
        raise VcemoError(f"utterance {utt_id!r} starts at {start} s, behind the end of its file", where=corpus.path(utt_id), do="correct its start")
    return piece


def levels(wave: np.ndarray) -> np.ndarray:
    """Level in dB re full scale of every 10 ms of a wave (N,): (ceil(N / 160),), at least -100."""
    padded = np.pad(wave, (0, -len(wave) % HOP)).reshape(-1, HOP)
    return 10 * np.log10(np.square(padded, dtype=np.float64).mean(axis=1) + 1e-10)


def sounding(wave: np.ndarray) -> np.ndarray:
    """Which 10 ms of a wave (N,) hold sound, (ceil(N / 160),) bool: those less than `SOUNDING_DB` below the loudest."""
    found = levels(wave)
    return found > found.max() - SOUNDING_DB


# ---- log-mel ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def mel_filters(n_mels: int = N_MELS) -> np.ndarray:
    """Slaney's mel filterbank (n_mels, 1 + N_FFT // 2), equal to librosa.filters.mel(sr=16000, n_fft=400)."""
    # linear below 1 kHz (200/3 Hz a mel), logarithmic above (27 steps to 6.4 times the frequency)
    step, knee, log_step = 200 / 3, 1000.0, np.log(6.4) / 27
    top = knee / step + np.log(SAMPLE_RATE / 2 / knee) / log_step
    mels = np.linspace(0, top, n_mels + 2)
    edges = np.where(mels < knee / step, mels * step, knee * np.exp(log_step * (mels - knee / step)))  # Hz
    bins = np.fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE)
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    area = 2 / (edges[2:] - edges[:-2])  # each triangle has the same area
    return (np.maximum(0, np.minimum(rise, fall)) * area[:, None]).astype(np.float32)


def log_mels(waves: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Log-mel spectrograms, each (T, 80) float32 with T = 1 + N // 160; equal to librosa's mel power, natural log.

    The clips stand end to end in one signal, which is gone through in blocks that fit the processor's cache. Frames whose
    bands lie further apart than float32 can tell exactly are computed once more in double precision, as librosa does all.
    """
    import torch

    if not len(waves):
        return []
    counts = [1 + len(wave) // HOP for wave in waves]  # frames of each clip
    gap = 1 + N_FFT // HOP  # frames that straddle two clips, left out below
    first = np.cumsum([0] + [count + gap for count in counts])  # frame at which each clip begins
    signal = np.zeros(first[-1] * HOP + N_FFT, dtype=np.float32)
    for wave, frame in zip(waves, first[:-1], strict=True):
        start = frame * HOP + N_FFT // 2  # frames are centred, as in librosa
        signal[start : start + len(wave)] = wave
    frames = torch.from_numpy(signal).unfold(0, N_FFT, HOP)  # (F, 400), a view
    window = torch.hann_window(N_FFT, dtype=torch.float64)
    filters = torch.from_numpy(mel_filters().T.copy()).repeat_interleave(2, dim=0)  # (402, 80), for both parts of each bin
    mel = torch.empty(len(frames), N_MELS)
    with torch.inference_mode(), _one_thread():
        single = window.float()
        for start in range(0, len(frames), BLOCK):
            torch.mm(_squares(frames[start : start + BLOCK] * single), filters, out=mel[start : start + BLOCK])
        low, high = torch.aminmax(mel.clamp_min_(LOG_FLOOR), dim=1)  # (F,), (F,)
        wide = (low < FLOAT32_RANGE * high).nonzero()[:, 0]
        for start in range(0, len(wide), BLOCK):
            some = wide[start : start + BLOCK]
            mel[some] = (_squares(frames[some] * window).float() @ filters).clamp_min_(LOG_FLOOR)
        mel = mel.log_().numpy()
    return [mel[frame : frame + count].copy() for frame, count in zip(first[:-1], counts, strict=True)]


def _squares(frames: torch.Tensor) -> torch.Tensor:
    """Squared real and imaginary parts of each bin of windowed frames, (F, 400) -> (F, 402); their sums are the power."""
    import torch

    return torch.view_as_real(torch.fft.rfft(frames)).square_().flatten(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one thread: on blocks this small a second one waits longer than it works, most of all on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def log_mel(wave: np.ndarray) -> np.ndarray:
    """Log-mel spectrogram (T, 80) float32 of one wave (N,), 25 ms windows every 10 ms; T = 1 + N // 160."""
    return log_mels([wave])[0]


# ---- augmentation (VCEMO, section 4.2: noise, pitch shift, time stretch; training audio only) ---------------


def add_noise(wave: np.ndarray, snr_db: float = NOISE_SNR_DB, rng: np.random.Generator | None = None) -> np.ndarray:
    """The wave with Gaussian noise `snr_db` dB under its mean power; digital silence stays silent."""
    rng = rng or np.random.default_rng()
    scale = np.sqrt(np.mean(np.square(wave, dtype=np.float64))) * 10 ** (-snr_db / 20)
    return (wave + scale * rng.standard_normal(wave.shape)).astype(np.float32)


def pitch_shift(wave: np.ndarray, steps: float) -> np.ndarray:
    """The wave `steps` semitones higher (or lower), its length kept."""
    import librosa

    return librosa.effects.pitch_shift(wave, sr=SAMPLE_RATE, n_steps=steps).astype(np.float32)


def time_stretch(wave: np.ndarray, rate: float) -> np.ndarray:
    """The wave `rate` times as fast, its pitch kept; `rate` must be positive."""
    import librosa

    if rate <= 0:
        raise VcemoError(f"a time stretch of {rate}", do="give a rate above 0, such as 0.9 or 1.1")
    return librosa.effects.time_stretch(wave, rate=rate).astype(np.float32)


def augment(wave: np.ndarray, rng: np.random.Generator, snr_db: float = NOISE_SNR_DB, steps: float = 2.0, stretch: float = 0.1) -> np.ndarray:
    """A new variant of a clip: stretched by up to +-`stretch`, shifted by up to +-`steps` semitones, with noise."""
    wave = time_stretch(wave, rng.uniform(1 - stretch, 1 + stretch))
    wave = pitch_shift(wave, rng.uniform(-steps, steps))
    return add_noise(wave, snr_db, rng)


# ---- librosa's compiled loops ----------------------------------------------------------------------------


def compile_loops() -> None:
    """Have librosa's loops compiled and kept, as `make setup` does: half a minute, once.

    Two processes that compile them at the same moment mix up each other's files in numba's cache, and from then on every
    process that reads them crashes.
    """
    import librosa

    for kind in (np.float32, np.float64):
        tone = np.sin(np.arange(SAMPLE_RATE, dtype=kind) / 13)
        prosody(tone)
        librosa.effects.pitch_shift(tone, sr=SAMPLE_RATE, n_steps=1.0)  # stretches it, too


# ---- prosody ---------------------------------------------------------------------------------------------


def prosody(wave: np.ndarray, fmin: float = 65.0, fmax: float = 600.0) -> dict[str, float]:
    """Prosodic measures of a clip; those of the pitch are NaN where nothing is voiced.

    duration (s, from first to last sound), f0_median_hz, f0_range_semitones (5th to 95th percentile), level_db (RMS of the
    sounding part, dB re full scale), level_sd_db (spread of frame levels), hf_ratio_db (energy of 1-5 kHz over that below
    1 kHz), voiced_fraction.
    """
    import librosa

    hop, length = 320, 1024  # 20 ms steps, 64 ms windows: four periods of a deep voice
    power = np.square(librosa.util.frame(np.pad(wave, length // 2), frame_length=length, hop_length=hop)).mean(axis=0)
    levels = 10 * np.log10(power + 1e-10)  # (frames,)
    sounding = levels > max(levels.max() - SOUNDING_DB, -70)
    nothing = dict.fromkeys(("f0_median_hz", "f0_range_semitones", "level_db", "level_sd_db", "hf_ratio_db"), float("nan"))
    if not sounding.any():
        return {"duration": 0.0, **nothing, "voiced_fraction": 0.0}
    first, last = np.flatnonzero(sounding)[[0, -1]]
    core = wave[first * hop : (last + 1) * hop]
    f0, voiced, _ = librosa.pyin(
        wave, fmin=fmin, fmax=fmax, sr=SAMPLE_RATE, frame_length=length, hop_length=hop, resolution=0.2, fill_na=np.nan
    )
    f0 = f0[np.isfinite(f0) & sounding[: len(f0)]]
    spectrum = np.square(np.abs(np.fft.rfft(core)))
    hertz = np.fft.rfftfreq(len(core), 1 / SAMPLE_RATE)
    low, high = spectrum[(hertz > 50) & (hertz < 1000)].sum(), spectrum[(hertz >= 1000) & (hertz < 5000)].sum()
    bounds = np.percentile(f0, [5, 95]) if len(f0) else (np.nan, np.nan)
    return {
        "duration": len(core) / SAMPLE_RATE,
        "f0_median_hz": float(np.median(f0)) if len(f0) else float("nan"),
        "f0_range_semitones": float(12 * np.log2(bounds[1] / bounds[0])),
        "level_db": float(10 * np.log10(np.mean(np.square(core)) + 1e-10)),
        "level_sd_db": float(levels[sounding].std()),
        "hf_ratio_db": float(10 * np.log10((high + 1e-10) / (low + 1e-10))),
        "voiced_fraction": float(np.mean(voiced[sounding[: len(voiced)]])),
    }


# ---- players ---------------------------------------------------------------------------------------------


def encode_mp3(wave: np.ndarray, kbits: int | None = None) -> bytes:
    """The wave as an MP3 file, which every browser plays: about 45 kbit/s, a sixth of a wav, or a constant `kbits` (8 to 160)."""
    import soundfile

    # libsndfile counts from 0 (160 kbit/s, the most at 16 kHz) to 1 (8 kbit/s)
    chosen = {} if kbits is None else {"bitrate_mode": "CONSTANT", "compression_level": (160 - kbits) / 152}
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(wave, -1, 1), SAMPLE_RATE, format="MP3", **chosen)
    return buffer.getvalue()


def player_html(source: np.ndarray | str | Path, label: str = "") -> str:
    """An HTML `<audio>` player with the clip inside it, so that it plays offline; `label` is read by screen readers."""
    wave = load(source)
    data = base64.b64encode(encode_mp3(wave)).decode("ascii")
    text = html.escape(label or "audio clip", quote=True)
    caption = f"<figcaption>{html.escape(label)}</figcaption>" if label else ""
    return f'<figure style="margin:0"><audio controls aria-label="{text}" src="data:audio/mpeg;base64,{data}"></audio>{caption}</figure>'


def players_html(clips: Mapping[str, np.ndarray | str | Path], columns: int = 3) -> str:
    """Players in a table of so many columns: label -> clip. Where a page strips the sound, the labels still stand there."""
    cells = [f"<td style='text-align:left;vertical-align:top'>{player_html(clip, label)}</td>" for label, clip in clips.items()]
    rows = ("".join(cells[start : start + columns]) for start in range(0, len(cells), columns))
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
