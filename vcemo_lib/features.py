"""Features of a corpus: computed once, kept on disk under digests of sound and words, memory-mapped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import torch
from tqdm.auto import tqdm

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
MOST = np.finfo(np.float16).max  # what can be kept
FORMAT = 3  # of the functions below: raise it when what they compute changes


def mel(waves: Sequence[np.ndarray], augmented: int = 0) -> Arrays:
    """Log-mel (T, 80) of clips (section 3.1), or of their augmented version 1, 2, ... (4.2)."""
    if augmented:
        rngs = [np.random.default_rng([augmented, crc32(wave.tobytes())]) for wave in waves]
        waves = [augmentation.augment(wave, rng) for wave, rng in zip(waves, rngs, strict=True)]
    return audio.log_mels(waves)


def whisper(waves: Sequence[np.ndarray], model: str = "base", layer: int = 3) -> Arrays:
    """Frames of Whisper's encoder, (T/2, 512) for base. Not in the paper; middle layers do best."""
    return list(asr.encoder_features(waves, layer=layer, model=model))


def words(texts: Sequence[str], vectors: str = "bundled") -> Arrays:
    """Word vectors, (W, 300) each (section 4.2); W = 0 for an empty transcript."""
    return [text.word_vectors(line, text.load_words(vectors)) for line in texts]


def bert(texts: Sequence[str], encoder: str = "bundled") -> Arrays:
    """Token vectors of a frozen BERT, [CLS] first, (K, H) each (3.1, 3.2); K = 0 for an empty transcript."""
    tokens = text.load_bert(encoder).tokens(texts)
    return [rows if line.strip() else rows[:0] for line, rows in zip(texts, tokens, strict=True)]


def word_spans(clips: Sequence[tuple], times: str = "voice", vectors: str = "bundled") -> Arrays:
    """Each word's log-mel frames, (W, 2), of pairs (wave, text): laid over the voice, or by a Whisper."""
    waves, nlp = [wave for wave, _ in clips], text.load_words(vectors)
    tokens = [text.words(line, nlp) for _, line in clips]
    if times == "voice":
        return [alignment.over_voice(*pair) for pair in zip(tokens, audio.log_mels(waves), strict=True)]
    heard = asr.transcribe(waves, times, word_times=True, progress=False)
    return [alignment.from_times(t, h.words or ()) for t, h in zip(tokens, heard, strict=True)]


class Kind(NamedTuple):
    """How a kind of feature is made: of what ("audio", "text" or "both"), by which function and settings."""

    of: str
    make: Callable[..., Arrays]
    settings: Mapping[str, Any]


KINDS = {
    "mel": Kind("audio", mel, {"augmented": 0}),
    "words": Kind("text", words, {"vectors": "bundled"}),
    "bert": Kind("text", bert, {"encoder": "bundled"}),
    "whisper": Kind("audio", whisper, {"model": "base", "layer": 3}),
    "word_spans": Kind("both", word_spans, {"times": "voice", "vectors": "bundled"}),
}


def recipe(kind: str, **chosen: Any) -> dict[str, Any]:
    """All that decides a kind's numbers: it names the cache, and is kept with results. No paths."""
    settings = settings_of(kind, chosen)
    named = {
        name: Path(s).name if isinstance(s, str) and Path(s).exists() else s for name, s in settings.items()
    }
    made: dict[str, Any] = {"format": FORMAT, "settings": named}
    times = settings.get("times")
    if KINDS[kind].of != "text":  # it resamples, too
        made |= {"sample_rate": audio.SAMPLE_RATE, "torchaudio": version("torchaudio")}
    if kind == "mel" or times == "voice":
        made["log_mel"] = [audio.N_FFT, audio.HOP, audio.N_MELS, audio.LOG_FLOOR]
    if settings.get("augmented"):
        strengths = ("SNR_DB", "STEPS", "STRETCH", "WINDOW", "HOP", "RATE")
        made["augmentation"] = {name.lower(): getattr(augmentation, name) for name in strengths}
    if times == "voice":
        made["over_voice"] = [audio.SOUNDING_DB, alignment.PAUSE]
    elif model := times or settings.get("model"):
        made["whisper"] = _digest(weights.whisper(model))
        made["precision"] = "float16" if torch.cuda.is_available() else "float32"
        made |= {"asr": VERSION} if times else {}
    if "vectors" in settings:
        made["vectors"] = _source(settings["vectors"], text.BUNDLED_WORDS, text.load_words)
        made["jieba"] = version("jieba")
    if "encoder" in settings:
        made["encoder"] = _source(settings["encoder"], text.BUNDLED_BERT, text.load_bert)
    return made


def _source(name: str, bundled: str, load: Callable[[str], Any]) -> str:
    """12 hex digits of the files of vectors or an encoder."""
    if name == text.BUNDLED:
        return weights.bundled_digest(bundled)[:12]
    path = Path(name)
    if not path.exists():  # a package's name, or the hub's
        load(name)
        path = next(Path(used["path"]) for used in weights.used() if used["name"] == name)
    return _digest(path)


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
            raise VcemoError(f"no {kind} features of {utt_id!r} here", do="compute them for its corpus")
        return arrays[key]

    def batch(self, ids: Sequence[str], kinds: Iterable[str] = ()) -> Batch:
        """These utterances padded to a common length, float32; all kinds if none are named."""
        return Batch.collate(ids, {kind: [self.get(kind, u) for u in ids] for kind in kinds or self.kinds})

    def describe(self) -> dict[str, Any]:
        """What the features were made with, for a result file: each kind's `recipe`, and whose words."""
        return {"kinds": {kind: recipe(kind, **s) for kind, s in self.settings.items()}, "text": self.text}

    def _cache(self, kind: str) -> ArrayCache:
        if kind not in self.caches:
            raise VcemoError(f"this store holds no {kind!r}", do=f"compute it with kinds=(..., {kind!r})")
        return self.caches[kind]


def settings_of(kind: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """A kind's settings with those chosen."""
    if kind not in KINDS:
        raise VcemoError(f"unknown kind of feature {kind!r}", do=f"use some of {', '.join(KINDS)}")
    return {name: chosen.get(name, default) for name, default in KINDS[kind].settings.items()}


def cache_of(kind: str, chosen: Mapping[str, Any], cache: Path | str | None = None) -> ArrayCache:
    """The cache of a kind with these settings."""
    facts = json.dumps({kind: recipe(kind, **chosen)}, sort_keys=True)
    name = f"{kind}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"
    return ArrayCache(Path(cache or cache_dir() / "features") / name)


def compute(
    corpus: Corpus, kinds: Sequence[str] = ("mel", "words", "bert"), text: str = "gold",
    cache: Path | str | None = None, progress: bool = True, **settings: Any,
) -> FeatureStore:  # fmt: skip
    """The features of every utterance; what is kept already is not computed again.

    text is "gold" or "asr"; settings: vectors=, encoder=, model=, layer= (Whisper's), times=, augmented=.
    """
    known = {name for kind in KINDS.values() for name in kind.settings}
    if strange := set(settings) - known:
        raise VcemoError(f"unknown setting(s) {', '.join(strange)}", do=f"use some of {', '.join(known)}")
    chosen = {kind: settings_of(kind, settings) for kind in kinds}
    made_of = {KINDS[kind].of for kind in kinds}
    keys = {of: {u: _key(corpus, u, of, text) for u in corpus.ids} for of in made_of}
    store = FeatureStore({kind: cache_of(kind, settings, cache) for kind in kinds}, keys, chosen, text)
    for kind, arrays in store.caches.items():
        of, make, _ = KINDS[kind]
        whose = {key: utt_id for utt_id, key in keys[of].items()}  # one utterance of each content
        if whose.keys() <= arrays.read().places.keys():
            continue
        with arrays.locked():  # two notebooks may want the same features at the same time
            todo = [key for key in whose if key not in arrays.places]
            starts, name = range(0, len(todo), BATCH), f"{kind} features"
            for start in tqdm(starts, name, leave=False, disable=not progress, unit_scale=BATCH):
                part = todo[start : start + BATCH]
                contents = [_content(corpus, whose[key], of, text) for key in part]
                made = dict(zip(part, make(contents, **chosen[kind]), strict=True))
                if bad := [whose[key] for key, a in made.items() if not np.abs(a).max(initial=0) <= MOST]:
                    raise VcemoError(f"{kind} features are not finite", bad[0], "check its clip and words")
                arrays.add(made)
    return store


def _content(corpus: Corpus, utt_id: str, of: str, text: str) -> Any:
    """What an utterance's features are made of: its wave, its words, or both."""
    if of == "both":
        return _content(corpus, utt_id, "audio", text), _content(corpus, utt_id, "text", text)
    return corpus.text_of(utt_id, text) if of == "text" else audio.utterance(corpus, utt_id)


def _key(corpus: Corpus, utt_id: str, of: str, text: str) -> str:
    """What that is kept under: digests of the clip's bytes, its place in the file, and the words."""
    if of == "both":
        return f"{_key(corpus, utt_id, 'audio', text)} {_key(corpus, utt_id, 'text', text)}"
    if of == "text":
        return hashlib.sha256(corpus.text_of(utt_id, text).encode("utf-8")).hexdigest()
    path, place = corpus.path(utt_id), corpus.segment(utt_id)
    try:
        digest = weights.sha256(path)
    except OSError as error:
        raise VcemoError(f"cannot read the clip of {utt_id!r}", path, "restore it or drop its row") from error
    return digest if place == (0.0, None) else hashlib.sha256(f"{digest} {place}".encode()).hexdigest()
