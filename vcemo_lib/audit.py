"""What leaks between the parts that made a result, for the result's own record and for plots made of it."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from vcemo_lib.corpora import Corpus, splits
from vcemo_lib.errors import VcemoError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# Measured on VCEMO-Sim: 200 clips re-coded (MP3, Vorbis, Opus, 8 bit, 8 kHz), fainter, with noise at 30 dB or
# moved by 5 or 10 ms are at least 0.96 alike; its 715 pairs of clips with one sentence are 0.94 at most.
ALIKE = 0.955
CANDIDATE = 0.7  # likeness of coarse prints: copies have 0.84 and more, other sentences 0.79 at most
BANDS = 60  # mel bands that are looked at, up to 4 kHz: a copy may have come through a telephone
DEEP, LEVEL = (
    10.0,
    8.0,
)  # nepers of power below the loudest band that count, in the coarse look and in the close
LAGS = 8  # frames of 10 ms that a copy may have moved
BLOCK = 1024  # clips compared at a time


def copies(parts: Mapping[str, Corpus], store: Any = None) -> pd.DataFrame:
    """Clips of two parts that are one sound, re-coded, louder or a little later: one, other, between, alike.

    Log-mel is read from the store, or computed and kept. Clips moved by more than 80 ms are not found.
    """
    import pandas as pd

    read = {name: _log_mels(part, store) for name, part in parts.items()}
    prints = {name: np.stack([_coarse(mel) for mel in mels]) for name, mels in read.items()}
    rows = []
    for a, b in combinations(parts, 2):
        for start in range(0, len(prints[a]), BLOCK):
            near = prints[a][start : start + BLOCK] @ prints[b].T > CANDIDATE
            for i, j in zip(*np.nonzero(near), strict=True):
                if (alike := likeness(read[a][start + i], read[b][j])) > ALIKE:
                    rows.append((parts[a].ids[start + i], parts[b].ids[j], f"{a} and {b}", alike))
    return pd.DataFrame(rows, columns=["one", "other", "between", "alike"])


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """The correlation of two clips' log-mel (T, 80) where they fit best, up to 80 ms apart: 1 for a copy."""
    x, y = (np.maximum(m, m.max() - LEVEL)[:, :BANDS] for m in (a, b))
    x, y = (m[:-2] + 2 * m[1:-1] + m[2:] for m in (x, y))  # half a frame's move changes little
    best = 0.0
    for lag in range(-LAGS, LAGS + 1):
        p, q = (x[lag:], y) if lag >= 0 else (x, y[-lag:])
        n = min(len(p), len(q))
        if n > 0.8 * max(len(x), len(y)):
            p, q = p[:n] - p[:n].mean(axis=0), q[:n] - q[:n].mean(axis=0)
            best = max(best, float((p * q).sum() / max(np.sqrt((p * p).sum() * (q * q).sum()), 1e-9)))
    return best


def record(parts: Mapping[str, Corpus], store: Any = None) -> dict[str, Any]:
    """What a result's record says of its parts; plain values. Copies are sought if the store holds log-mel.

    shared  "train and test" -> how many of each kind (KINDS, and sound) both parts have
    test    how many clips the test part has, and how many of them are known to the other parts, by kind
    says    the same for readers; empty where nothing of the test part is known
    """
    pairs = {f"{one} and {other}": (one, other) for one, other in combinations(parts, 2)}
    shared: dict[str, dict[str, int]] = {pair: {} for pair in pairs}
    test, met = parts["test"], {"clips": len(parts["test"])}
    for kind, items in KINDS.items():
        of = {name: items(part) for name, part in parts.items()}
        for pair, (one, other) in pairs.items():
            shared[pair][kind] = len(set(of[one]) & set(of[other]) - {""})
        known = set().union(*(found for name, found in of.items() if name != "test")) - {""}
        met[kind] = sum(item in known for item in of["test"])
    if "mel" in getattr(store, "kinds", ()):
        near = copies(parts, store)
        for pair, number in near["between"].value_counts().items():
            shared[pair]["sound"] = int(number)
        heard = {*near["one"], *near.loc[near["between"].str.endswith("and test"), "other"]}
        met["sound"] = len(heard & set(test.ids))
    chosen_on_test = "val" in parts and parts["val"].ids == test.ids
    return _told({"shared": shared, "test": met, "val_is_test": chosen_on_test})


def together(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One record of several folds': counts of test clips added up."""
    several = list(records)
    test = {kind: sum(of["test"].get(kind, 0) for of in several) for kind in several[0]["test"]}
    return _told({"test": test, "val_is_test": any(of["val_is_test"] for of in several)})


def _told(found: dict[str, Any]) -> dict[str, Any]:
    """A record with what it says to readers."""
    if found["val_is_test"]:
        return found | {"says": "optimistic: the epoch was chosen on the test part"}
    test = found["test"]
    known = [f"{n} with a known {kind}" for kind, n in test.items() if n and kind != "clips"]
    return found | {"says": f"of {test['clips']} test clips {', '.join(known)}" if known else ""}


def mark(figure: Figure, records: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> Figure:
    """Write on a figure what leaks in the results (or records) that it was made of; nothing if none does."""
    several = [records] if isinstance(records, Mapping) else list(records)
    try:
        told = {found.get("leaks", found)["says"] for found in several} - {""}
    except (KeyError, AttributeError) as error:
        do = "give results made with their audit, or audit.record(parts)"
        raise VcemoError("a result without a record of leaks", do=do) from error
    if told:
        width = int(13 * figure.get_figwidth())
        text = textwrap.fill(f"LEAKS: {'; '.join(sorted(told))}", width)
        figure.set_figheight(figure.get_figheight() + 0.25 + 0.15 * len(text.splitlines()))
        style: Any = {"loc": "outside lower center", "frameon": True, "edgecolor": "#D55E00"}
        legend = figure.legend([], [], title=text, **style)
        legend.get_title().set(color="#A03000", fontsize=8)
    return figure


def _files(part: Corpus) -> list[str]:
    """What each utterance's file holds, and which stretch of it is meant; "" where there is no such file."""
    digest = {file: "" for file in part.table["audio"].unique()}
    for file in digest:
        with suppress(OSError):  # features may be here without the sound
            digest[file] = hashlib.sha256((part.root / file).read_bytes()).hexdigest()
    places = part.table.reindex(columns=["audio", "start", "end"]).itertuples(index=False)
    return [digest[file] and f"{digest[file]} {start}-{end}" for file, start, end in places]


KINDS: dict[str, Callable[[Corpus], list[str]]] = {
    "utterance": lambda part: [f"{part.root} {utt_id}" for utt_id in part.ids],
    "speaker": lambda part: part.table["speaker"].tolist(),
    "sentence": lambda part: part.table["text"].map(splits.bare).tolist(),
    "file": _files,
}


def _log_mels(part: Corpus, store: Any) -> list[np.ndarray]:
    from vcemo_lib import features

    held = store if "mel" in getattr(store, "kinds", ()) else features.compute(part, ("mel",), progress=False)
    return [np.asarray(held.get("mel", utt_id), np.float32) for utt_id in part.ids]


def _coarse(mel: np.ndarray) -> np.ndarray:
    """A clip's print (288,), of length 1: how 12 wide bands of its sounding part move, 24 cosines each."""
    from scipy.fft import dct

    bands = np.maximum(mel, mel.max() - DEEP)[:, :BANDS].reshape(len(mel), 12, -1).mean(axis=2)
    loud = np.flatnonzero(bands.max(axis=1) > bands.min() + 1.0)
    if len(loud):
        bands = bands[loud[0] : loud[-1] + 1]
    cosines = dct(bands - bands.mean(axis=0), axis=0, norm="ortho")[:24]
    whole = np.zeros((24, 12), np.float32)
    whole[: len(cosines)] = cosines
    return (whole / max(float(np.linalg.norm(whole)), 1e-9)).ravel()
