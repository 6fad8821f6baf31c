"""Audio in: a wave is a float32 array (N,) in [-1, 1], mono, 16 kHz, unless stated otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torchaudio.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vcemo_lib.augmentation import add_noise, augment, pitch_shift, time_stretch  # noqa: F401
from vcemo_lib.corpora import Corpus
from vcemo_lib.errors import VcemoError

SAMPLE_RATE = 16_000  # Hz
N_FFT = 400  # samples: a 25 ms window
HOP = 160  # samples: a 10 ms step
N_MELS = 80  # Slaney-normalised triangles from 0 to 8,000 Hz
MIN_RATE, MAX_RATE = 4_000, 384_000  # Hz, of what is loaded
MAX_SECONDS = 3_600  # of a file or array
MAX_UTTERANCE_SECONDS = 60  # of one utterance of a corpus
MAX_AMPLITUDE = 100.0  # 40 dB above full scale: what is louder is damage, or integers
BLOCK = 65_536  # frames read at a time
BATCH = 4  # clips whose log-mel is computed at a time
FLOAT32_RANGE = 1e-7  # below this share of a frame's loudest band (70 dB), float32 is wrong by 1e-3 and more
LOG_FLOOR = 1e-10  # power below this counts as silence: log-mel is never under ln(1e-10) = -23.03
SILENT_DB = -60.0  # dB re full scale: a clip whose loudest 10 ms stay below is silence
SOUNDING_DB = 35.0  # dB: what lies further below the loudest 10 ms of a clip is its silence


def load(source: str | Path | np.ndarray, sr: int | None = None) -> np.ndarray:
    """A clip, (N,): of a file, or an array (N,) or (N, channels) at `sr` Hz. VcemoError for what is none."""
    if isinstance(source, str | Path):
        where, (wave, sr) = str(source), _read(Path(source))
    else:
        where, wave, sr = "an array", np.asarray(source), sr or SAMPLE_RATE
        if wave.dtype.kind in "iu" and (size := wave.dtype.itemsize) <= 4:
            wave = (wave / 2 ** (8 * size - 1) - (wave.dtype.kind == "u")).astype(np.float32)
    shape, peak = wave.shape, float(np.abs(wave).max(initial=0.0))  # NaN where there is one
    is_clip = len(shape) == 1 or len(shape) == 2 and shape[0] >= shape[1]
    for wrong, what, remedy in (
        (wave.dtype.kind != "f", f"audio samples of type {wave.dtype}", "give floats in [-1, 1]"),
        (not wave.size, "the clip has no samples", "remove it, or record it again"),
        (not is_clip, f"audio has shape {shape}", "give (N,) or (N, channels), a row a sample"),
        (not MIN_RATE <= sr <= MAX_RATE, f"a sampling rate of {sr} Hz", f"give {MIN_RATE} to {MAX_RATE} Hz"),
        (max(shape, default=0) > MAX_SECONDS * sr, f"the clip is longer than {MAX_SECONDS} s", "cut it"),
        (not np.isfinite(peak), "the clip holds NaN or infinity", "export it again"),
        (peak > MAX_AMPLITUDE, f"samples reach {peak:.3g}, and 1 is full scale", "scale them to [-1, 1]"),
    ):
        if wrong:
            raise VcemoError(what, where=where, do=remedy)
    wave = wave.astype(np.float32, copy=False)
    if wave.ndim == 2:
        wave = wave.mean(axis=1)
    return np.ascontiguousarray(wave if sr == SAMPLE_RATE else resample(wave, sr), dtype=np.float32)


def _read(path: Path) -> tuple[np.ndarray, int]:
    """A file's samples, (N,), and its rate; little more than MAX_SECONDS."""
    import soundfile

    blocks, frames = [np.zeros(0, np.float32)], 0
    try:
        if not path.is_file():
            raise VcemoError("no such audio file", where=path, do="check the path")
        with path.open("rb") as file, soundfile.SoundFile(file) as sound:
            sound.seekable = lambda: False  # nor is the header's count of frames used: it may be wrong
            rate, most = sound.samplerate, MAX_SECONDS * max(sound.samplerate, MIN_RATE)
            while frames <= most and len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):
                blocks.append(block.mean(axis=1))
                frames += len(block)
    except (OSError, RuntimeError, TypeError, ValueError, MemoryError) as error:
        reason = str(getattr(error, "error_string", error)).strip().rstrip(".").partition("\n")[0]
        remedy = f"convert it to wav, flac, ogg or mp3 ({reason})"
        raise VcemoError("this audio file cannot be read", where=path, do=remedy) from error
    return np.concatenate(blocks), rate


def resample(wave: np.ndarray, sr: int) -> np.ndarray:
    """A wave (N,) at `sr` Hz -> 16 kHz, by a windowed sinc as good as resampy's "kaiser_best"."""
    ratio = Fraction(sr, SAMPLE_RATE).limit_denominator(640)  # 11,025 Hz is 441/640; odd rates get a near one
    how = {"resampling_method": "sinc_interp_kaiser", "lowpass_filter_width": 64, "rolloff": 0.9476}
    return F.resample(torch.from_numpy(wave), ratio.numerator, ratio.denominator, **how, beta=14.77).numpy()


def utterance(corpus: Corpus, utt_id: str) -> np.ndarray:
    """A corpus' utterance, (N,), cut out of its file where it is a piece of one. Errors as of `load`."""
    path, (start, end) = corpus.path(utt_id), corpus.segment(utt_id)
    stop = None if end is None else round(end * SAMPLE_RATE)
    piece = load(path)[round(start * SAMPLE_RATE) : stop]
    if not len(piece):
        raise VcemoError(f"utterance {utt_id!r} starts behind the end of its file", path, "correct its start")
    if len(piece) > MAX_UTTERANCE_SECONDS * SAMPLE_RATE:
        raise VcemoError(f"utterance {utt_id!r} lasts over {MAX_UTTERANCE_SECONDS} s", path, "cut it")
    return piece


def levels(wave: np.ndarray) -> np.ndarray:
    """Level in dB re full scale of every 10 ms of a wave (N,): (ceil(N / 160),), at least -100."""
    padded = np.pad(wave, (0, -len(wave) % HOP)).reshape(-1, HOP)
    return 10 * np.log10(np.square(padded, dtype=np.float64).mean(axis=1) + 1e-10)


def sounding(wave: np.ndarray) -> np.ndarray:
    """Which 10 ms of a wave hold sound, less than SOUNDING_DB below the loudest: (ceil(N / 160),) bool."""
    found = levels(wave)
    return found > found.max() - SOUNDING_DB


@cache
def mel_filters() -> np.ndarray:
    """Slaney's mel filterbank, (80, 201), equal to librosa.filters.mel(sr=16000, n_fft=400)."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # in float32 the triangles are off by up to 4e-4 of their height
    try:
        top, bins = SAMPLE_RATE / 2, 1 + N_FFT // 2
        return F.melscale_fbanks(bins, 0.0, top, N_MELS, SAMPLE_RATE, "slaney", "slaney").T.float().numpy()
    finally:
        torch.set_default_dtype(before)


def log_mel(wave: np.ndarray) -> np.ndarray:
    """Log-mel spectrogram (T, 80) float32 of one wave (N,), 25 ms windows every 10 ms; T = 1 + N // 160."""
    return log_mels([wave])[0]


@torch.inference_mode()
def log_mels(
    waves: Sequence[np.ndarray] | Sequence[Tensor], device: torch.device | str | None = None
) -> list[np.ndarray]:
    """Log-mel spectrograms, (T, 80) each, in batches on `device`: the natural log of librosa's mel power."""
    order = sorted(range(len(waves)), key=lambda i: len(waves[i]))
    found: dict[int, np.ndarray] = {}
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        clips = [torch.as_tensor(waves[i], device=device) for i in batch]
        mels = _log_mel(pad_sequence(clips, batch_first=True)).cpu().numpy()
        found |= {i: mel[: 1 + len(waves[i]) // HOP].copy() for i, mel in zip(batch, mels, strict=True)}
    return [found[i] for i in range(len(waves))]


def _log_mel(waves: Tensor) -> Tensor:
    """(B, N) -> (B, T, 80). Frames whose bands lie further apart than float32 resolves take float64."""
    filters = torch.from_numpy(mel_filters().T).to(waves.device).repeat_interleave(2, dim=0)  # (402, 80)
    window = torch.hann_window(N_FFT, dtype=torch.float64, device=waves.device)

    def mel_power(bins: Tensor) -> Tensor:  # (..., 201) complex; the squares of both parts add to the power
        squares = torch.view_as_real(bins).square().flatten(-2)
        return (squares @ filters.to(squares.dtype)).float().clamp_(min=LOG_FLOOR)

    bins = F.spectrogram(waves, 0, window.float(), N_FFT, HOP, N_FFT, None, False, pad_mode="constant")
    mel = mel_power(bins.transpose(1, 2))  # (B, T, 80)
    low, high = torch.aminmax(mel, dim=-1)  # (B, T)
    if (wide := ~(low >= FLOAT32_RANGE * high)).any():  # NaN, an overflow, included
        padded = torch.nn.functional.pad(waves, (N_FFT // 2, N_FFT // 2))
        frames = padded.unfold(-1, N_FFT, HOP)[wide]  # (W, 400)
        mel[wide] = mel_power(torch.fft.rfft(frames * window))
    return mel.clamp_(max=torch.finfo(mel.dtype).max).log_()  # finite, however loud
