"""Features: computed once, kept on disk, read through a memory map.

One shelf for each kind of feature and its settings. A shelf is a file of float16 rows, `data.bin`, and a line for each
array in `index.jsonl`. What an array is kept under is the content it was made of (the sound's bytes, the words), so a
changed file or setting is computed again and nothing else is. Rows are written before their line; a run that is killed
leaves at most rows without a line, which the next one cuts off. It goes on from there and ends with the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import cache_dir

if TYPE_CHECKING:
    from vcemo_lib.corpora import Corpus
    from vcemo_lib.models import Batch

Arrays = list[np.ndarray]  # each (rows, width)
BATCH = 32  # clips or texts computed at a time; what a kill can cost


# ---- what is computed --------------------------------------------------------------------------------------


def mel(waves: Sequence[np.ndarray]) -> Arrays:
    """Log-mel spectrograms, (T, 80) each (paper, section 3.1)."""
    from vcemo_lib import audio

    return audio.log_mels(waves)


def mel_altered(waves: Sequence[np.ndarray], version: int = 1) -> Arrays:
    """Log-mel spectrograms (T, 80) of altered clips (section 4.2). What is drawn depends on the clip and `version` alone."""
    from zlib import crc32

    from vcemo_lib import audio

    return audio.log_mels([audio.augment(wave, np.random.default_rng([version, crc32(wave.tobytes())])) for wave in waves])


def whisper(waves: Sequence[np.ndarray], model: str = "base", layer: int = 3) -> Arrays:
    """Frames of Whisper's encoder, (T/2, 512) each for base. Not in the paper; its middle layers hear emotion best."""
    from vcemo_lib import asr

    return asr.encoder_features(waves, layer=layer, model=model)


def words(texts: Sequence[str], vectors: str = "bundled") -> Arrays:
    """Word vectors, (W, 300) each (section 4.2); W = 0 for an empty transcript."""
    from vcemo_lib import text

    nlp = text.load_words(vectors)
    return [text.word_vectors(line, nlp) for line in texts]


def bert(texts: Sequence[str], encoder: str = "bundled") -> Arrays:
    """Token vectors of a frozen BERT, [CLS] first, (K, H) each (sections 3.1 and 3.2)."""
    from vcemo_lib import text

    return text.load_bert(encoder).tokens(texts)


def word_spans(clips: Sequence[tuple[np.ndarray, str]], times: str = "voice", vectors: str = "bundled") -> Arrays:
    """Which frames are each word's, (W, 2) in log-mel frames, of clips with their words; what CME 2021 aligns by.

    times: "voice", words laid over the voiced frames by their characters (a guess, but a fast one); or the name of a
    Whisper ("base"), which times what it hears. Kept in float16: beyond 20 s a bound is off by a frame or so.
    """
    from vcemo_lib import alignment, asr, audio, text

    nlp = text.load_words(vectors)
    waves, words = [wave for wave, _ in clips], [text.words(line, nlp) for _, line in clips]
    if times == "voice":
        return [alignment.over_voice(*pair) for pair in zip(words, audio.log_mels(waves), strict=True)]
    heard = asr.transcribe(waves, times, word_times=True, progress=False)
    return [alignment.from_times(said, one.words or ()) for said, one in zip(words, heard, strict=True)]


@dataclass(frozen=True)
class Kind:
    """How a kind of feature is made: of sound or of words, by which function, and what its settings are by default."""

    of: str  # "audio", "text", or "both"
    make: Callable[..., Arrays]
    settings: Mapping[str, Any] = field(default_factory=dict)


KINDS: dict[str, Kind] = {
    "mel": Kind("audio", mel),
    "mel_altered": Kind("audio", mel_altered, {"version": 1}),
    "words": Kind("text", words, {"vectors": "bundled"}),
    "bert": Kind("text", bert, {"encoder": "bundled"}),
    "whisper": Kind("audio", whisper, {"model": "base", "layer": 3}),
    "word_spans": Kind("both", word_spans, {"times": "voice", "vectors": "bundled"}),
}


def settings_of(kind: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """A kind's settings with those chosen; raises VcemoError for an unknown kind."""
    if kind not in KINDS:
        raise VcemoError(f"unknown kind of feature {kind!r}", do=f"use some of {', '.join(KINDS)}")
    return {name: chosen.get(name, default) for name, default in KINDS[kind].settings.items()}


def _version(kind: str, settings: Mapping[str, Any]) -> str:
    """What besides the settings' names decides the numbers: for bundled encoders, their checksums."""
    from vcemo_lib import alignment, audio, text, weights

    if kind in ("mel", "mel_altered"):
        return f"{audio.SAMPLE_RATE} {audio.N_FFT} {audio.HOP} {audio.N_MELS} {audio.LOG_FLOOR}"
    name = {"words": text.BUNDLED_WORDS, "word_spans": text.BUNDLED_WORDS, "bert": text.BUNDLED_BERT}.get(kind)
    rule = f"{audio.SOUNDING_DB:g} {alignment.PAUSE} " if settings.get("times") == "voice" else ""
    return rule + (weights.bundled_digest(name) if name and "bundled" in settings.values() else "")


# ---- where it is kept ------------------------------------------------------------------------------------


class Shelf:
    """The arrays of one kind with one choice of settings: `key in shelf`, `shelf[key]` -> (rows, width) float16."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.width = folder, 0
        self.data, self.index = folder / "data.bin", folder / "index.jsonl"
        self.places: dict[str, tuple[int, int]] = {}  # key -> first row, number of rows
        self.rows = 0
        self._map: np.ndarray | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def read(self) -> Shelf:
        """Read the index; a last line or last rows that a killed run left half-written are not seen."""
        self.places, self.rows, self._map = {}, 0, None
        size = self.data.stat().st_size if self.data.exists() else 0
        for line in self.index.read_bytes().splitlines(keepends=True) if self.index.exists() else []:
            if not line.endswith(b"\n"):
                break
            entry = json.loads(line)
            if (self.rows + entry["rows"]) * entry["width"] * 2 > size:
                break
            self.width = entry["width"]
            self.places[entry["key"]] = (self.rows, entry["rows"])
            self.rows += entry["rows"]
        return self

    def mend(self) -> None:
        """Cut off what a killed run left behind the last whole array."""
        if self.data.exists() and self.data.stat().st_size != self.rows * self.width * 2:
            with self.data.open("r+b") as file:
                file.truncate(self.rows * self.width * 2)
        if self.index.exists():
            whole = self.index.read_bytes().splitlines(keepends=True)[: len(self.places)]
            if sum(map(len, whole)) != self.index.stat().st_size:
                with self.index.open("r+b") as file:
                    file.truncate(sum(map(len, whole)))

    def append(self, keys: Sequence[str], arrays: Arrays) -> None:
        """Put arrays behind the last one: all rows first, then their lines."""
        self.width = self.width or arrays[0].shape[1]
        try:
            with self.data.open("ab") as file:
                for array in arrays:
                    file.write(np.ascontiguousarray(array, dtype=np.float16).tobytes())
            with self.index.open("ab") as file:
                for key, array in zip(keys, arrays, strict=True):
                    file.write(json.dumps({"key": key, "rows": len(array), "width": self.width}).encode() + b"\n")
        except OSError as error:
            raise VcemoError(f"could not keep features: {error.strerror}", where=self.folder, do="free some space or set VCEMO_CACHE to another disk; what is done is kept") from error
        for key, array in zip(keys, arrays, strict=True):
            self.places[key] = (self.rows, len(array))
            self.rows += len(array)
        self._map = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_map": None}  # another process maps the file itself instead of being sent its content

    def __contains__(self, key: str) -> bool:
        return key in self.places

    def __getitem__(self, key: str) -> np.ndarray:
        first, rows = self.places[key]
        if rows == 0:
            return np.zeros((0, self.width), np.float16)
        if self._map is None:
            self._map = np.memmap(self.data, np.float16, "r", shape=(self.rows, self.width))
        return self._map[first : first + rows]


def shelf_of(kind: str, chosen: Mapping[str, Any], cache: Path | str | None = None) -> Shelf:
    """The shelf of a kind with these settings, in the cache (or another folder)."""
    settings = settings_of(kind, chosen)
    mark = hashlib.sha256(json.dumps([kind, settings, _version(kind, settings)], sort_keys=True).encode()).hexdigest()[:12]
    return Shelf(Path(cache or cache_dir() / "features") / f"{kind}-{mark}")


# ---- a corpus' features ----------------------------------------------------------------------------------


@dataclass
class FeatureStore:
    """The features of a corpus: `store.get("mel", utt_id)` -> (T, 80), and padded batches for the models."""

    shelves: dict[str, Shelf]
    keys: dict[str, dict[str, str]]  # "audio", "text" and "both" -> utt_id -> content key
    settings: dict[str, dict[str, Any]]
    text: str

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(self.shelves)

    def width(self, kind: str) -> int:
        """Columns of a kind's arrays."""
        return self._shelf(kind).width

    def get(self, kind: str, utt_id: str) -> np.ndarray:
        """One utterance's array, (rows, width) float16, memory-mapped. Raises VcemoError where it was not computed."""
        shelf, keys = self._shelf(kind), self.keys[KINDS[kind].of]
        if utt_id not in keys or keys[utt_id] not in shelf:
            raise VcemoError(f"no {kind} features of {utt_id!r} here", do="compute them for a corpus that holds it")
        return shelf[keys[utt_id]]

    def batch(self, ids: Sequence[str], kinds: Iterable[str] | None = None, labels: Sequence[int] | None = None) -> Batch:
        """These utterances padded to a common length, as float32 tensors."""
        from vcemo_lib.models import Batch

        return Batch.collate(ids, {kind: [self.get(kind, u) for u in ids] for kind in kinds or self.kinds}, labels)

    def describe(self) -> dict[str, Any]:
        """What the features were made with, for a result file: settings, and checksums of bundled encoders; no paths."""
        kinds = {kind: {**settings, "version": _version(kind, settings)} for kind, settings in self.settings.items()}
        return {"kinds": kinds, "text": self.text}

    def _shelf(self, kind: str) -> Shelf:
        if kind not in self.shelves:
            raise VcemoError(f"this store holds no {kind!r}", do=f"it holds {', '.join(self.shelves)}; compute it with kinds=(..., {kind!r})")
        return self.shelves[kind]


def compute(
    corpus: Corpus,
    kinds: Sequence[str] = ("mel", "words", "bert"),
    text: str = "gold",
    cache: Path | str | None = None,
    progress: bool = True,
    **settings: Any,
) -> FeatureStore:
    """The features of every utterance; what is kept already is not computed again.

    text      "gold", the manifest's words, or "asr", those that Whisper heard
    settings  vectors= and encoder= (names for vcemo_lib.text), model= and layer= (Whisper's encoder), times= (word_spans)
    Raises VcemoError for an unknown kind or setting, and for a clip that cannot be read, naming it.
    """
    from filelock import FileLock
    from tqdm.auto import tqdm

    from vcemo_lib import audio

    known = {name for kind in KINDS.values() for name in kind.settings}
    if strange := set(settings) - known:
        raise VcemoError(f"unknown setting(s) {', '.join(sorted(strange))}", do=f"known are {', '.join(sorted(known))}")
    chosen = {kind: settings_of(kind, settings) for kind in kinds}
    keys: dict[str, dict[str, str]] = {}
    made_of = {KINDS[kind].of for kind in kinds}
    if made_of & {"audio", "both"}:
        keys["audio"] = {u: _sound_key(corpus, u) for u in corpus.ids}
    if made_of & {"text", "both"}:
        keys["text"] = {u: hashlib.sha256(corpus.text_of(u, text).encode("utf-8")).hexdigest() for u in corpus.ids}
    if "both" in made_of:
        keys["both"] = {u: f"{keys['audio'][u]} {keys['text'][u]}" for u in corpus.ids}
    content_of = {
        "audio": lambda u: audio.utterance(corpus, u),
        "text": lambda u: corpus.text_of(u, text),
        "both": lambda u: (audio.utterance(corpus, u), corpus.text_of(u, text)),
    }
    shelves = {}
    for kind in kinds:
        shelf = shelves[kind] = shelf_of(kind, settings, cache)
        of = KINDS[kind].of
        with FileLock(shelf.folder / ".lock"):  # two notebooks may want the same features at the same time
            shelf.read().mend()
            wanted = {key: u for u, key in reversed(keys[of].items())}  # the first utterance of each content
            todo = [(key, wanted[key]) for key in dict.fromkeys(keys[of].values()) if key not in shelf]
            bar = tqdm(total=len(todo), desc=f"{kind} features", leave=False, disable=not (progress and todo))
            for start in range(0, len(todo), BATCH):
                part = todo[start : start + BATCH]
                content = [content_of[of](u) for _, u in part]
                shelf.append([key for key, _ in part], KINDS[kind].make(content, **chosen[kind]))
                bar.update(len(part))
            bar.close()
    return FeatureStore(shelves, keys, chosen, text)


def _sound_key(corpus: Corpus, utt_id: str) -> str:
    """SHA-256 of a clip's bytes, and of its place in the file where it has one."""
    try:
        digest = hashlib.sha256(corpus.path(utt_id).read_bytes())
    except OSError as error:
        raise VcemoError(f"cannot read the clip of {utt_id!r}: {error.strerror}", where=corpus.path(utt_id), do="restore the file or drop its row") from error
    place = corpus.segment(utt_id)
    if place != (0.0, None):
        digest.update(repr(place).encode())
    return digest.hexdigest()
