"""Stage 3: put every planned utterance together with the WORLD vocoder, as its speaker and with its emotion.

Resumable: an utterance whose plan, speaker, voice analysis and settings are unchanged is not made again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pyworld
import soundfile
import soxr
from common import FRAME_MS, HERE, RATE, TTS_RATE, sentence_file
from plan import MEASURES, Speaker, Utterance, design, plan

F0_LIMITS_HZ = (60.0, 520.0)
LIMITS = {
    "log2_duration": 0.9,
    "f0_median_semitones": 11.0,
    "log2_f0_range": 1.2,
    "f0_slope_semitones_per_utterance": 10.0,
    "level_db": 10.0,
    "hf_ratio_1to5k_over_below1k_db": 9.0,
    "hnr_db": 5.0,
}
SHELF_HZ = 1000.0  # the high-frequency ratio is the energy above over the energy below
TREMOR_HZ, TREMOR_SEMITONES = 6.0, 0.45  # a fearful voice trembles


def stretch(track: np.ndarray, factor: float) -> np.ndarray:
    """Frames (T, ...) made `factor` times as many, by linear interpolation."""
    frames = max(8, int(round(len(track) * factor)))
    place = np.linspace(0, len(track) - 1, frames)
    low = np.floor(place).astype(int)
    high, share = np.minimum(low + 1, len(track) - 1), (place - low).reshape(-1, *[1] * (track.ndim - 1))
    return track[low] * (1 - share) + track[high] * share


def stretch_f0(f0: np.ndarray, factor: float) -> np.ndarray:
    """F0 (T,) Hz; voiced and unvoiced frames are never mixed."""
    frames = max(8, int(round(len(f0) * factor)))
    voiced = f0 > 0
    if not voiced.any():
        return np.zeros(frames)
    place = np.linspace(0, len(f0) - 1, frames)
    curve = np.interp(place, np.flatnonzero(voiced), f0[voiced])
    return np.where(voiced[np.round(place).astype(int)], curve, 0.0)


def bend_f0(
    f0: np.ndarray, speaker: Speaker, target: dict[str, float], tremor: float, rng: np.random.Generator
) -> np.ndarray:
    """The sentence's own melody on the speaker's level, with the emotion's shift, range, slope and tremor."""
    voiced = f0 > 0
    if not voiced.any():
        return f0
    tone = 12 * np.log2(f0[voiced])
    melody = (tone - np.median(tone)) * 2 ** (speaker.log2_f0_range + target["log2_f0_range"])
    time = np.flatnonzero(voiced) / len(f0)
    slope = target["f0_slope_semitones_per_utterance"] * (time - 0.5)
    seconds = np.flatnonzero(voiced) * FRAME_MS / 1000
    shake = tremor * TREMOR_SEMITONES * np.sin(2 * np.pi * (TREMOR_HZ * seconds + rng.random()))
    level = 12 * np.log2(speaker.f0_hz) + target["f0_median_semitones"]
    bent = f0.copy()
    bent[voiced] = np.clip(2 ** ((level + melody + slope + shake) / 12), *F0_LIMITS_HZ)
    return bent


def colour(envelope: np.ndarray, speaker: Speaker, hf_db: float) -> np.ndarray:
    """Power envelope (T, F): formants scaled, and the spectrum tilted by speaker and by emotion."""
    bins = envelope.shape[1]
    hertz = np.linspace(0, TTS_RATE / 2, bins)
    source = np.clip(np.arange(bins) / speaker.formant, 0, bins - 1)
    low = np.floor(source).astype(int)
    share = source - low
    logs = np.log(np.maximum(envelope, 1e-16))
    logs = logs[:, low] * (1 - share) + logs[:, np.minimum(low + 1, bins - 1)] * share
    octaves = np.log2(np.clip(hertz, 100, 8000) / SHELF_HZ)
    shelf = np.tanh(2.5 * octaves) * hf_db / 2
    return np.exp(logs + np.log(10) / 10 * (speaker.tilt_db_per_octave * octaves + shelf))


def synthesise(utterance: Utterance, speaker: Speaker, work: Path, audio: dict) -> np.ndarray:
    """The finished sound of one utterance, (N,) float64 at 16 kHz."""
    rng = np.random.default_rng(utterance.seed)
    wanted = zip(MEASURES, utterance.prosody, strict=True)
    target = {measure: float(np.clip(value, -LIMITS[measure], LIMITS[measure])) for measure, value in wanted}
    with np.load(sentence_file(work, utterance.text)) as kept:
        coded = {name: kept[name].astype(np.float64) for name in ("f0", "envelope", "aperiodicity")}
    factor = 2 ** (speaker.log2_tempo + target["log2_duration"])
    size = pyworld.get_cheaptrick_fft_size(TTS_RATE)
    longer = np.ascontiguousarray(stretch(coded["envelope"], factor))
    envelope = pyworld.decode_spectral_envelope(longer, TTS_RATE, size)
    # Aperiodicity is noise over all energy, in dB below 0: less harmonic means nearer to 0.
    breath = stretch(coded["aperiodicity"], factor) + speaker.breathiness_db - target["hnr_db"]
    noisier = np.minimum(breath, -1e-3)
    aperiodicity = pyworld.decode_aperiodicity(np.ascontiguousarray(noisier), TTS_RATE, size)
    bent = bend_f0(stretch_f0(coded["f0"], factor), speaker, target, utterance.tremor, rng)
    frames = min(len(bent), len(envelope), len(aperiodicity))
    coloured = colour(envelope[:frames], speaker, target["hf_ratio_1to5k_over_below1k_db"])
    tracks = bent[:frames], np.ascontiguousarray(coloured), np.ascontiguousarray(aperiodicity[:frames])
    wave = pyworld.synthesize(*tracks, TTS_RATE, FRAME_MS)
    wave = soxr.resample(wave, TTS_RATE, RATE)
    level = audio["level_dbfs"] + speaker.level_db + target["level_db"]
    wave *= 10 ** (level / 20) / max(np.sqrt(np.mean(wave**2)), 1e-9)
    lead = [np.zeros(int(rng.uniform(*audio["lead_s"]) * RATE)) for _ in range(2)]
    wave = np.concatenate([lead[0], wave, lead[1]])
    # The room does not grow louder with the speaker: its noise is set by her neutral level.
    room = 10 ** ((audio["level_dbfs"] + speaker.level_db - speaker.noise_snr_db) / 20)
    wave += room * rng.normal(size=len(wave))
    peak = np.abs(wave).max()
    return wave * (0.97 / peak) if peak > 0.97 else wave


def fingerprint(utterance: Utterance, speaker: Speaker, audio: dict) -> str:
    """What an utterance is made of; the same fingerprint, the same sound."""
    made_of = [asdict(utterance), asdict(speaker), audio, (HERE / "revoice.py").read_text(encoding="utf-8")]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode("utf-8")).hexdigest()[:16]


def make(job: tuple[Utterance, Speaker], work: Path, out: Path, audio: dict) -> bool:
    """Write one clip unless it is there already; True when it was made now."""
    utterance, speaker = job
    clip = out / "audio" / speaker.speaker / f"{utterance.utt_id}.ogg"
    note = work / "made" / f"{utterance.utt_id}.txt"
    mark = fingerprint(utterance, speaker, audio)
    if clip.exists() and note.exists() and note.read_text(encoding="utf-8") == mark:
        return False
    wave = synthesise(utterance, speaker, work, audio).astype(np.float32)
    clip.parent.mkdir(parents=True, exist_ok=True)
    temporary = clip.with_name(f".{clip.stem}.{os.getpid()}.ogg")
    opus = {"format": "OGG", "subtype": "OPUS", "compression_level": audio["opus_compression"]}
    soundfile.write(temporary, wave, RATE, **opus)
    os.replace(temporary, clip)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(mark, encoding="utf-8")
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE.parent.parent / "vcemo_sim")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    calibration = json.loads((HERE / "calibration.json").read_text(encoding="utf-8"))
    speakers, utterances, _ = plan(calibration)
    by_name = {s.speaker: s for s in speakers}
    jobs = [(u, by_name[u.speaker]) for u in utterances]
    step = partial(make, work=arguments.work, out=arguments.out, audio=design()["audio"])
    made = 0
    with ProcessPoolExecutor(arguments.processes) as pool:
        for number, new in enumerate(pool.map(step, jobs, chunksize=16), start=1):
            made += new
            if number % 250 == 0:
                print(f"{number} of {len(jobs)}, {made} made now", flush=True)


if __name__ == "__main__":
    main()
