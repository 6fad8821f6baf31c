"""Prosody compared: how each emotion moves pitch, tempo, loudness and brightness away from the speaker's own neutral.

Five measures of a clip (`audio.prosody` takes them) are put on scales where a shift means the same for everybody:
log2 of a duration, semitones of a pitch, decibels of a level.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import repo_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from vcemo_lib.corpora import Corpus

# In the names of the human table, and how a reader calls them.
MEASURES = {
    "log2_duration": "duration (log2)",  # over that of the same sentence read plainly
    "f0_median_semitones": "pitch (semitones)",  # median
    "log2_f0_range": "pitch range (log2)",  # 5th to 95th percentile, in semitones
    "level_db": "level (dB)",
    "hf_ratio_1to5k_over_below1k_db": "brightness (dB)",  # energy of 1-5 kHz over that below 1 kHz
}
SMALLEST_RANGE = 0.1  # semitones: a flat voice has a logarithm too


def read(corpus: Corpus) -> pd.DataFrame:
    """`prosody.csv` of a corpus' folder: what `audio.prosody` measured on every clip, (N, measures), index utt_id."""
    import pandas as pd

    path = corpus.root / "prosody.csv"
    if not path.is_file():
        raise VcemoError("this corpus carries no measured prosody", where=path.name, do="measure its clips with vcemo_lib.audio.prosody")
    return pd.read_csv(path, index_col="utt_id").loc[corpus.ids]


def measures(table: pd.DataFrame, plain_seconds: Sequence[float] | float = 1.0) -> pd.DataFrame:
    """What `audio.prosody` gives, a row a clip -> the five MEASURES (N, 5).

    `plain_seconds` is how long each sentence takes when nothing is felt; without it durations are compared as they are,
    and longer sentences seem slower. A clip without a voiced frame has NaN for its pitch.
    """
    import pandas as pd

    columns = {
        "log2_duration": np.log2(table["duration"].replace(0.0, np.nan) / np.asarray(plain_seconds, float)),
        "f0_median_semitones": 12 * np.log2(table["f0_median_hz"]),
        "log2_f0_range": np.log2(table["f0_range_semitones"].clip(lower=SMALLEST_RANGE)),
        "level_db": table["level_db"],
        "hf_ratio_1to5k_over_below1k_db": table["hf_ratio_db"],
    }
    return pd.DataFrame(columns, index=table.index)


def from_neutral(values: pd.DataFrame, speakers: Sequence[str], emotions: Sequence[str], neutral: str = "neutral") -> pd.DataFrame:
    """Every clip's measures less the mean of its own speaker's neutral clips, (N, M); NaN for a speaker without any.

    It reads the labels: good for describing a corpus, forbidden as a feature (see `standardise`).
    """
    speakers = np.asarray(speakers)
    own = values[np.asarray(emotions) == neutral].groupby(speakers[np.asarray(emotions) == neutral]).mean()
    return values - own.reindex(speakers).to_numpy()


def shifts_from_neutral(values: pd.DataFrame, speakers: Sequence[str], emotions: Sequence[str], neutral: str = "neutral") -> pd.DataFrame:
    """Each emotion's shift of each measure from the same speaker's neutral: one row an emotion and feature.

    Columns as in the human table: emotion, feature, mean_shift (over clips), sd_between_speakers, sd_within_speaker, n,
    speakers. The spread between speakers is what is left of the variance of the speakers' mean shifts when the part that
    few clips a speaker explain (of this emotion and of neutral) is taken off; NaN for fewer than two speakers.
    """
    import pandas as pd

    speakers, emotions = np.asarray(speakers), np.asarray(emotions)
    shifts = from_neutral(values, speakers, emotions, neutral)
    rows = []
    for emotion in sorted(set(emotions) - {neutral}):
        for feature in values.columns:
            moved = shifts.loc[emotions == emotion, feature].groupby(speakers[emotions == emotion])
            still = values.loc[emotions == neutral, feature].groupby(speakers[emotions == neutral])
            means = moved.mean().dropna()
            within, noise = _within(moved), _within(still)
            by_chance = within * (1 / moved.count().reindex(means.index)).mean() + noise * (1 / still.count().reindex(means.index)).mean()
            between = means.var() - (0.0 if np.isnan(by_chance) else by_chance)
            rows.append(
                {
                    "emotion": emotion, "feature": feature, "mean_shift": shifts.loc[emotions == emotion, feature].mean(),
                    "sd_between_speakers": np.sqrt(np.maximum(between, 0.0)), "sd_within_speaker": np.sqrt(within),
                    "n": int(moved.count().sum()), "speakers": len(means),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _within(groups: object) -> float:
    """Variance within the groups, pooled; NaN where no group has two."""
    count = groups.count()
    free = (count - 1).clip(lower=0).sum()
    return float((groups.var().fillna(0.0) * (count - 1)).sum() / free) if free else float("nan")


def human_shifts(corpus: str = "casia") -> pd.DataFrame:
    """The same table as measured on people: "casia" (acted Mandarin, 4 speakers) or "ravdess" (acted English, 24)."""
    import pandas as pd

    table = pd.read_csv(repo_data() / "build" / "vcemo_sim" / "human" / "prosody_shift_from_neutral.csv")
    if corpus not in set(table["corpus"]):
        raise VcemoError(f"no human figures of {corpus!r}", do=f"choose one of {', '.join(sorted(set(table['corpus'])))}")
    return table[(table["corpus"] == corpus) & table["feature"].isin(MEASURES)].drop(columns="corpus").reset_index(drop=True)


def beside_human(measured: pd.DataFrame, human: pd.DataFrame) -> pd.DataFrame:
    """Two tables of shifts side by side: emotion, feature, measured, human, spread (between people) and inside.

    `inside` is whether the measured mean shift lies within one human between-speaker standard deviation of the human one.
    """
    both = measured.merge(human, on=["emotion", "feature"], suffixes=("_measured", "_human"), validate="one_to_one")
    table = both[["emotion", "feature"]].assign(
        measured=both["mean_shift_measured"], human=both["mean_shift_human"], spread=both["sd_between_speakers_human"]
    )
    return table.assign(inside=(table["measured"] - table["human"]).abs() <= table["spread"])


def standardise(values: pd.DataFrame, speakers: Sequence[str]) -> pd.DataFrame:
    """Each measure with mean 0 and standard deviation 1 over each speaker's own clips, (N, M): no labels are used."""
    groups = values.groupby(np.asarray(speakers))
    spread = groups.transform("std").replace(0.0, np.nan)
    return ((values - groups.transform("mean")) / spread).fillna(0.0)
