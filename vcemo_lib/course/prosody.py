"""How each emotion moves pitch, tempo, loudness and brightness away from the speaker's own neutral.

What `measure` measures is put on scales where a shift means the same for everybody: log2, semitones, dB.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vcemo_lib import audio
from vcemo_lib.corpora import Corpus
from vcemo_lib.paths import repo_data

# In the names of the human table, and how a reader calls them.
MEASURES = {
    "log2_duration": "duration (log2)",  # over that of the same sentence read plainly
    "f0_median_semitones": "pitch (semitones)",  # median
    "log2_f0_range": "pitch range (log2)",  # 5th to 95th percentile, in semitones
    "level_db": "level (dB)",
    "hf_ratio_1to5k_over_below1k_db": "brightness (dB)",  # energy of 1-5 kHz over that below 1 kHz
}
SMALLEST_RANGE = 0.1  # semitones: a flat voice has a logarithm too
NEUTRAL = "neutral"


def compile_loops() -> None:
    """Compile librosa's loops once, as `make setup` does: several processes at once damage numba's cache."""
    for kind in (np.float32, np.float64):
        measure(np.sin(np.arange(audio.SAMPLE_RATE) / 13).astype(kind))


def measure(wave: np.ndarray) -> dict[str, float]:
    """Prosodic measures of a clip; those of the pitch are NaN where nothing is voiced.

    duration (s, from first to last sound), f0_median_hz, f0_range_semitones (5th to 95th percentile),
    level_db (RMS of the sounding part, dB re full scale), level_sd_db (spread of frame levels), hf_ratio_db
    (energy of 1-5 kHz over that below 1 kHz), voiced_fraction.
    """
    import librosa

    nan, hop, length = float("nan"), 320, 1024  # 20 ms steps, 64 ms windows: four periods of a deep voice
    frames = librosa.util.frame(np.pad(wave, length // 2), frame_length=length, hop_length=hop)
    level = 10 * np.log10(np.square(frames).mean(axis=0) + 1e-10)  # (frames,)
    sounds = level > max(level.max() - audio.SOUNDING_DB, -70)
    if not sounds.any():
        nothing = ("f0_median_hz", "f0_range_semitones", "level_db", "level_sd_db", "hf_ratio_db")
        return {"duration": 0.0, **dict.fromkeys(nothing, nan), "voiced_fraction": 0.0}
    first, last = np.flatnonzero(sounds)[[0, -1]]
    core = wave[first * hop : (last + 1) * hop]
    f0, voiced, _ = librosa.pyin(
        wave, fmin=65, fmax=600, sr=audio.SAMPLE_RATE, frame_length=length, hop_length=hop, resolution=0.2
    )
    f0 = f0[np.isfinite(f0) & sounds[: len(f0)]]
    low, middle, high = np.percentile(f0, [5, 50, 95]) if len(f0) else (nan, nan, nan)
    power, hertz = np.square(np.abs(np.fft.rfft(core))), np.fft.rfftfreq(len(core), 1 / audio.SAMPLE_RATE)
    dull, bright = (power[(hertz >= a) & (hertz < b)].sum() + 1e-10 for a, b in ((50, 1000), (1000, 5000)))
    return {
        "duration": len(core) / audio.SAMPLE_RATE,
        "f0_median_hz": float(middle),
        "f0_range_semitones": float(12 * np.log2(high / low)),
        "level_db": float(10 * np.log10(np.mean(np.square(core)) + 1e-10)),
        "level_sd_db": float(level[sounds].std()),
        "hf_ratio_db": float(10 * np.log10(bright / dull)),
        "voiced_fraction": float(np.mean(voiced[sounds[: len(voiced)]])),
    }


def read(corpus: Corpus) -> pd.DataFrame:
    """`prosody.csv` of a corpus' folder: what `measure` measured, (N, measures), index utt_id."""
    return pd.read_csv(corpus.root / "prosody.csv", index_col="utt_id").loc[corpus.ids]


def measures(table: pd.DataFrame, plain_seconds: Sequence[float] | float = 1.0) -> pd.DataFrame:
    """What `measure` gives, a row a clip -> the five MEASURES (N, 5); NaN for the pitch of no voice.

    `plain_seconds` is how long each sentence takes when nothing is felt; without it long ones seem slow.
    """
    columns = {
        "log2_duration": np.log2(table["duration"].replace(0.0, np.nan) / np.asarray(plain_seconds, float)),
        "f0_median_semitones": 12 * np.log2(table["f0_median_hz"]),
        "log2_f0_range": np.log2(table["f0_range_semitones"].clip(lower=SMALLEST_RANGE)),
        "level_db": table["level_db"],
        "hf_ratio_1to5k_over_below1k_db": table["hf_ratio_db"],
    }
    return pd.DataFrame(columns, index=table.index)


def from_neutral(values: pd.DataFrame, speakers: Sequence[str], emotions: Sequence[str]) -> pd.DataFrame:
    """Each clip's measures less the mean of its speaker's neutral clips, (N, M); NaN where there are none.

    It reads the labels: good for describing a corpus, forbidden as a feature (see `standardise`).
    """
    who, still = np.asarray(speakers), np.asarray(emotions) == NEUTRAL
    return values - values[still].groupby(who[still]).mean().reindex(who).to_numpy()


def shifts_from_neutral(
    values: pd.DataFrame, speakers: Sequence[str], emotions: Sequence[str]
) -> pd.DataFrame:
    """Each emotion's shift of each measure from the same speaker's neutral: one row an emotion and feature.

    Columns as in the human table. The variance between speakers is that of their mean shifts less the part
    explained by how few clips each has, of this emotion and of neutral; NaN for fewer than two speakers.
    """
    shifts, felt = from_neutral(values, speakers, emotions), np.asarray(emotions)
    clips = shifts.groupby([felt, np.asarray(speakers)])  # of one emotion by one speaker
    means, counts = clips.mean(), clips.count()
    spare = (counts - 1).clip(lower=0)
    within = (clips.var().fillna(0.0) * spare).groupby(level=0).sum() / spare.groupby(level=0).sum()
    share = 1 / counts.where(counts > 0)
    still = share.reindex([(NEUTRAL, speaker) for _, speaker in share.index]).set_axis(share.index)
    sampling = within * share.groupby(level=0).mean()
    sampling += within.reindex([NEUTRAL]).to_numpy() * still.where(counts > 0).groupby(level=0).mean()
    between = means.groupby(level=0).var() - sampling.fillna(0.0)
    columns = {
        "mean_shift": shifts.groupby(felt).mean(),
        "sd_between_speakers": between.clip(lower=0.0) ** 0.5,
        "sd_within_speaker": within**0.5,
        "n": counts.groupby(level=0).sum(),
        "speakers": means.groupby(level=0).count(),
    }
    table = pd.DataFrame({name: column.T.unstack() for name, column in columns.items()})
    return table.drop(NEUTRAL, errors="ignore").rename_axis(["emotion", "feature"]).reset_index()


def human_shifts(corpus: str = "casia") -> pd.DataFrame:
    """The same table measured on people: acted Mandarin ("casia", 4 speakers) or English ("ravdess", 24)."""
    table = pd.read_csv(repo_data() / "vcemo_sim" / "human" / "prosody_shift_from_neutral.csv")
    rows = (table["corpus"] == corpus) & table["feature"].isin(MEASURES)
    return table[rows].drop(columns="corpus").reset_index(drop=True)


def beside_human(measured: pd.DataFrame, human: pd.DataFrame) -> pd.DataFrame:
    """Two tables of shifts: emotion, feature, measured, human, spread (between people), inside it."""
    both = measured.merge(human, on=["emotion", "feature"], suffixes=("", "_human"), validate="one_to_one")
    columns = {"mean_shift": "measured", "mean_shift_human": "human", "sd_between_speakers_human": "spread"}
    table = both[["emotion", "feature", *columns]].rename(columns=columns)
    return table.assign(inside=(table["measured"] - table["human"]).abs() <= table["spread"])


def standardise(values: pd.DataFrame, speakers: Sequence[str]) -> pd.DataFrame:
    """Each measure with mean 0 and deviation 1 over each speaker's own clips, (N, M): no labels are used."""
    groups = values.groupby(np.asarray(speakers))
    spread = groups.transform("std").replace(0.0, np.nan)
    return ((values - groups.transform("mean")) / spread).fillna(0.0)
