"""Features of a corpus: computed once, kept on disk, read through a memory map.

There is one `ArrayCache` for each kind of feature and all that decides its numbers: settings, weights,
versions. Its keys are digests of what an array was made of (the sound's bytes, the words), so a changed file,
setting or encoder is computed again and nothing else is.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import torch

from vcemo_lib import asr, audio, augmentation, text, weights
from vcemo_lib.array_cache import ArrayCache
from vcemo_lib.asr import alignment
from vcemo_lib.asr.transcribe import VERSION
from vcemo_lib.corpora import Corpus
from vcemo_lib.errors import VcemoError
from vcemo_lib.models import Batch
from vcemo_lib.paths import cache_dir

Arrays = list[np.ndarray]  # each (rows, width)
BATCH = 32  # clips or texts computed at a time; what a kill can cost
FORMAT = 2  # of the functions below: raise it when what they compute changes


def mel(waves: Sequence[np.ndarray], augmented: int = 0) -> Arrays:
    """Log-mel (T, 80) of clips (section 3.1), or of their augmented version 1, 2, ... (4.2).

    What is drawn for a version depends on the clip and the version's number alone.
    """
    if augmented:
        rngs = [np.random.default_rng([augmented, crc32(wave.tobytes())]) for wave in waves]
        waves = [augmentation.augment(wave, rng) for wave, rng in zip(waves, rngs, strict=True)]
    return audio.log_mels(waves)


def whisper(waves: Sequence[np.ndarray], model: str = "base", layer: int = 3) -> Arrays:
    """Frames of Whisper's encoder, (T/2, 512) for base. Not in the paper; middle layers do best."""
    return asr.encoder_features(waves, layer=layer, model=model)


def words(texts: Sequence[str], vectors: str = "bundled") -> Arrays:
    """Word vectors, (W, 300) each (section 4.2); W = 0 for an empty transcript."""
    nlp = text.load_words(vectors)
    return [text.word_vectors(line, nlp) for line in texts]


def bert(texts: Sequence[str], encoder: str = "bundled") -> Arrays:
    """Token vectors of a frozen BERT, [CLS] first, (K, H) each (sections 3.1 and 3.2)."""
    return text.load_bert(encoder).tokens(texts)


def word_spans(
    clips: Sequence[tuple[np.ndarray, str]], times: str = "voice", vectors: str = "bundled"
) -> Arrays:
    """Which log-mel frames are each word's, (W, 2), of clips with their words: what CME 2021 aligns by.

    times: "voice", words laid over the voiced frames by their characters, a fast guess; or the name of a
    Whisper ("base"), which times what it hears. In float16 a bound beyond 20 s is off by a frame or so.
    """
    nlp = text.load_words(vectors)
    waves, tokens = [wave for wave, _ in clips], [text.words(line, nlp) for _, line in clips]
    if times == "voice":
        return [alignment.over_voice(*pair) for pair in zip(tokens, audio.log_mels(waves), strict=True)]
    transcripts = asr.transcribe(waves, times, word_times=True, progress=False)
    return [alignment.from_times(t, heard.words or ()) for t, heard in zip(tokens, transcripts, strict=True)]


class Kind(NamedTuple):
    """How a kind of feature is made: of what ("audio", "text" or "both"), by which function and settings."""

    of: str
    make: Callable[..., Arrays]
    settings: Mapping[str, Any] = {}


KINDS = {
    "mel": Kind("audio", mel, {"augmented": 0}),
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


def version_of(kind: str, settings: Mapping[str, Any]) -> str:
    """What else decides a kind's numbers: constants, versions, digests of weights and vectors."""
    parts: list[object] = [FORMAT]
    by_voice = settings.get("times") == "voice"
    if kind == "mel" or by_voice:
        parts += [audio.SAMPLE_RATE, audio.N_FFT, audio.HOP, audio.N_MELS, audio.LOG_FLOOR]
    if settings.get("augmented"):
        parts += [augmentation.SNR_DB, augmentation.STEPS, augmentation.STRETCH, augmentation.WINDOW]
    if by_voice:
        parts += [audio.SOUNDING_DB, alignment.PAUSE]
    elif model := settings.get("times") or settings.get("model"):
        precision = "float16" if torch.cuda.is_available() else "float32"
        parts += [_digest(weights.whisper(model)), precision, VERSION if "times" in settings else ""]
    for name, bundled, load in (("vectors", text.BUNDLED_WORDS, text.load_words),
                                ("encoder", text.BUNDLED_BERT, text.load_bert)):  # fmt: skip
        if settings.get(name) == text.BUNDLED:
            parts.append(weights.bundled_digest(bundled)[:12])
        elif name in settings:
            parts.append(_source(settings[name], load))
    if "vectors" in settings:
        parts.append(f"jieba {importlib.metadata.version('jieba')}")
    return " ".join(map(str, parts))


_loaded: dict[str, str] = {}  # path of vectors or an encoder -> its digest when this process first used it


def _source(name: str, load: Callable[[str], Any]) -> str:
    """What vectors or an encoder are: a path's digest, a package's version, a commit on the hub."""
    if Path(name).exists():
        digest = _digest(Path(name))
        if _loaded.setdefault(name, digest) != digest:
            what = "these files have changed since they were loaded"
            raise VcemoError(what, where=name, do="start Python anew")
        return digest
    load(name)  # fetches it where that is needed; raises VcemoError for an unknown name
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        from huggingface_hub import try_to_load_from_cache

        config = try_to_load_from_cache(name, "config.json")  # .../snapshots/COMMIT/config.json
        return Path(config).parent.name if isinstance(config, str) else ""


def _digest(path: Path) -> str:
    """12 hex digits of a file's content, or of all files in a folder."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    sums = [(str(file.relative_to(path)), weights.sha256(file)) for file in files]
    return hashlib.sha256(repr(sums).encode()).hexdigest()[:12]


@dataclass
class FeatureStore:
    """The features of a corpus: `store.get("mel", utt_id)` -> (T, 80), and padded batches for the models."""

    caches: dict[str, ArrayCache]
    keys: dict[str, dict[str, str]]  # "audio", "text" and "both" -> utt_id -> key of its array
    settings: dict[str, dict[str, Any]]
    text: str

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(self.caches)

    def width(self, kind: str) -> int:
        """Columns of a kind's arrays."""
        return self._cache(kind).width

    def get(self, kind: str, utt_id: str) -> np.ndarray:
        """One utterance's array, (rows, width) float16. Raises VcemoError where there is none."""
        arrays, key = self._cache(kind), self.keys[KINDS[kind].of].get(utt_id)
        if key not in arrays.places:
            do = "compute them for a corpus that holds it"
            raise VcemoError(f"no {kind} features of {utt_id!r} here", do=do)
        return arrays[key]

    def batch(self, ids: Sequence[str], kinds: Iterable[str] = ()) -> Batch:
        """These utterances padded to a common length, as float32 tensors; all kinds where none are named."""
        return Batch.collate(ids, {kind: [self.get(kind, u) for u in ids] for kind in kinds or self.kinds})

    def describe(self) -> dict[str, Any]:
        """What the features were made with, for a result file: settings, versions, digests; no paths."""
        kinds = {k: {"settings": s, "version": version_of(k, s)} for k, s in self.settings.items()}
        return {"kinds": kinds, "text": self.text}

    def _cache(self, kind: str) -> ArrayCache:
        if kind not in self.caches:
            remedy = f"it holds {', '.join(self.caches)}; compute it with kinds=(..., {kind!r})"
            raise VcemoError(f"this store holds no {kind!r}", do=remedy)
        return self.caches[kind]


def cache_of(kind: str, chosen: Mapping[str, Any], cache: Path | str | None = None) -> ArrayCache:
    """The cache of a kind with these settings, in the library's cache folder or another one."""
    settings = settings_of(kind, chosen)
    facts = json.dumps([kind, settings, version_of(kind, settings)], sort_keys=True)
    name = f"{kind}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"
    return ArrayCache(Path(cache or cache_dir() / "features") / name)


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
    settings  vectors=, encoder= (names for vcemo_lib.text), model=, layer= (Whisper's), times= (word_spans),
              augmented=

    Raises VcemoError for an unknown kind or setting, a clip that cannot be read, features that are not finite
    and a cache that cannot be written.
    """
    from tqdm.auto import tqdm

    known = {name for kind in KINDS.values() for name in kind.settings}
    if strange := set(settings) - known:
        do = f"known are {', '.join(sorted(known))}"
        raise VcemoError(f"unknown setting(s) {', '.join(sorted(strange))}", do=do)
    chosen = {kind: settings_of(kind, settings) for kind in kinds}
    keys = _keys(corpus, {KINDS[kind].of for kind in kinds}, text)
    store = FeatureStore({kind: cache_of(kind, settings, cache) for kind in kinds}, keys, chosen, text)
    for kind, arrays in store.caches.items():
        of, make, _ = KINDS[kind]
        first: dict[str, str] = {}  # key -> the first utterance of this content
        for utt_id, key in keys[of].items():
            first.setdefault(key, utt_id)
        if first.keys() <= arrays.read().places.keys():
            continue
        with arrays.locked():  # two notebooks may want the same features at the same time
            todo = [key for key in first if key not in arrays.places]
            starts, name = range(0, len(todo), BATCH), f"{kind} features"
            for start in tqdm(starts, name, leave=False, disable=not progress, unit_scale=BATCH):
                part = todo[start : start + BATCH]
                made = make([_content(corpus, first[key], of, text) for key in part], **chosen[kind])
                for key, array in zip(part, made, strict=True):
                    if not np.abs(array).max(initial=0) <= np.finfo(np.float16).max:  # NaN included
                        what = f"{kind} features of {first[key]!r} are not finite"
                        raise VcemoError(what, do="check its clip and words")
                arrays.add(dict(zip(part, made, strict=True)))
    return store


def _keys(corpus: Corpus, of: set[str], text: str) -> dict[str, dict[str, str]]:
    """What the utterances' arrays are kept under: digests of clips and words, as far as they are needed."""
    sounds = {u: _sound_key(corpus, u) for u in corpus.ids} if of != {"text"} else {}
    lines = {u: corpus.text_of(u, text) for u in corpus.ids} if of != {"audio"} else {}
    texts = {u: hashlib.sha256(line.encode("utf-8")).hexdigest() for u, line in lines.items()}
    both = {u: f"{sounds[u]} {texts[u]}" for u in sounds if u in texts}
    return {"audio": sounds, "text": texts, "both": both}


def _sound_key(corpus: Corpus, utt_id: str) -> str:
    """SHA-256 of a clip's bytes, and of its place in the file where it has one."""
    path, place = corpus.path(utt_id), corpus.segment(utt_id)
    try:
        data = path.read_bytes()
    except OSError as error:
        what = f"cannot read the clip of {utt_id!r}: {error.strerror}"
        raise VcemoError(what, where=path, do="restore the file or drop its row") from error
    return hashlib.sha256(data if place == (0.0, None) else data + repr(place).encode()).hexdigest()


def _content(corpus: Corpus, utt_id: str, of: str, text: str) -> Any:
    """What an utterance's features are made of: its wave, its words, or both."""
    if of == "text":
        return corpus.text_of(utt_id, text)
    wave = audio.utterance(corpus, utt_id)
    return wave if of == "audio" else (wave, corpus.text_of(utt_id, text))
