"""Transcripts in batches: clips of one window together, loops heard again, silence and noise left empty.

The encoder sees a clip in a window as short as the clip; one that loops there is decoded again in a true full
window. A recording beyond 30 s is cut where it is quietest and its pieces are heard like clips.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vcemo_lib import audio, weights
from vcemo_lib.asr.alignment import add_words
from vcemo_lib.asr.decoding import Decoded, Word, cut_loops, greedy, prompt_tokens, tokenizer_of
from vcemo_lib.asr.encoder import FRAME, FULL_WINDOW, Clip, encode, load_model, log_mel
from vcemo_lib.cer import cer
from vcemo_lib.corpora import Corpus
from vcemo_lib.paths import cache_dir, write_error

if TYPE_CHECKING:
    import pandas as pd

MANDARIN_PROMPT = "以下是普通话的句子。"  # Simplified instead of Traditional output, and steadier punctuation
UNSPACED = {"zh", "ja", "th", "lo", "my", "yue"}  # languages whose words are not divided by spaces
BATCH = 16  # clips decoded at a time
WINDOW_STEP = 0.5  # s; windows are this coarse, so that clips of like length share one
EDGE_SECONDS = 0.1  # at least this much real silence after a clip
TOKENS_PER_SECOND, SPARE_TOKENS = 12, 10  # nobody speaks faster: what runs longer is a loop
PROMPT_LOGPROB = -0.4  # below this a transcript that repeats the prompt is taken for an echo of it
CUT_SECONDS = 10.0  # s before the end of a full window in which the quietest moment is looked for
CUT_FRAMES = 10  # of 20 ms: a moment that a recording may be cut in
# (probability of no speech above, mean log probability a token below): both mean that nothing was said.
# Measured: 50 silent, noisy and tonal clips have at least 0.81, and at most -1.5 with the Mandarin prompt,
# -0.63 ("you") in English; of 3,000 clips of VCEMO-Sim one is beyond these lines, of 480 of RAVDESS none
NO_SPEECH = ((0.7, -1.2), (0.8, -0.6))
VERSION = 5  # of the decoding: raise it when results change, so that no stale transcript is read


@dataclass(frozen=True)
class TranscribeOptions:
    """How `transcribe` listens."""

    language: str = ""  # "zh", "en", ...; "": the manifest's, clip by clip, and Mandarin where it tells none
    prompt: str | None = MANDARIN_PROMPT  # the default one is used for Mandarin alone
    word_times: bool = False  # when each word is heard
    gate: bool = True  # leave silence, noise and music empty
    progress: bool = True
    cache: bool = True  # keep every finished batch, so that a killed run goes on where it stopped


@dataclass(frozen=True)
class Transcript:
    """What Whisper heard in one clip."""

    text: str
    language: str
    no_speech: float  # probability of "no speech" before the first word
    avg_logprob: float  # mean log probability per token, of what was decoded before any gate
    peak_db: float  # level of the loudest 10 ms, dB re full scale
    seconds: float  # length of the clip
    window: float  # s, that it was decoded in
    retried: bool = False  # looped in the short window, decoded again in the full one
    gate: str = ""  # why the text is empty: "silence", "no speech", "prompt"; "" where it was let through
    words: tuple[Word, ...] | None = None


def transcribe(
    clips: Corpus | Clip | Sequence[Clip], model: str = "base", **options: Any
) -> list[Transcript] | pd.DataFrame:
    """One transcript a clip: a list for paths or arrays (16 kHz), a DataFrame with index utt_id for a Corpus.

    `options` are those of TranscribeOptions, as in `transcribe(corpus, word_times=True)`.
    """
    import pandas as pd
    from tqdm.auto import tqdm

    chosen = TranscribeOptions(**options)
    sounds: Sequence[Clip] = [clips] if isinstance(clips, (str, Path, np.ndarray)) else clips
    languages = [chosen.language or "zh"] * len(sounds)
    if isinstance(clips, Corpus):
        whole = {u: clips.segment(u) == (0.0, None) for u in clips.ids}
        sounds = [clips.path(u) if whole[u] else audio.utterance(clips, u) for u in clips.ids]
        if not chosen.language and "language" in clips.table:
            languages = clips.table["language"].fillna("").replace("", "zh").tolist()
    found: dict[int, Transcript] = {}
    with tqdm(total=len(sounds), desc="Whisper", unit="clip", disable=not chosen.progress) as bar:
        for language in dict.fromkeys(languages):
            which = [i for i, other in enumerate(languages) if other == language]
            heard = Listener(model, language, chosen)([sounds[i] for i in which], bar.update)
            found |= zip(which, heard, strict=True)
    transcripts = [found[i] for i in range(len(sounds))]
    if not isinstance(clips, Corpus):
        return transcripts
    columns = list(Transcript.__dataclass_fields__)
    return pd.DataFrame(map(vars, transcripts), pd.Index(clips.ids, name="utt_id"), columns)


def window_of(seconds: float) -> float:
    """The window (s) in which the encoder sees a clip, up to the next half second; inf: it needs several."""
    window = min(FULL_WINDOW, ceil((seconds + EDGE_SECONDS) / WINDOW_STEP) * WINDOW_STEP)
    return window if seconds <= FULL_WINDOW else np.inf


def pieces(wave: np.ndarray) -> list[np.ndarray]:
    """A recording in pieces of at most 30 s (less the edge), cut on encoder frames where it is quietest."""
    longest = int((FULL_WINDOW - EDGE_SECONDS) * audio.SAMPLE_RATE) // FRAME * FRAME  # samples
    first, found = longest - int(CUT_SECONDS * audio.SAMPLE_RATE), []
    while len(wave) > longest:
        power = np.square(wave[first:longest], dtype=np.float64).reshape(-1, FRAME).sum(axis=1)
        moment = np.convolve(power, np.ones(CUT_FRAMES), mode="valid").argmin() + CUT_FRAMES // 2
        cut = first + int(moment) * FRAME
        found.append(wave[:cut])
        wave = wave[cut:]
    return [*found, wave]


def join(parts: Sequence[Transcript]) -> Transcript:
    """The transcript of a recording from its pieces' (the decoder's certainty is that of the first spoken)."""
    spoken = [part for part in parts if part.text] or parts
    words, seconds = [], 0.0
    for part in parts:
        for word in part.words or ():
            start, end = round(word.start + seconds, 2), round(word.end + seconds, 2)
            words.append(replace(word, start=start, end=end))
        seconds += part.seconds
    return replace(
        spoken[0], seconds=seconds, window=FULL_WINDOW, retried=any(part.retried for part in parts),
        text=("" if spoken[0].language in UNSPACED else " ").join(part.text for part in spoken),
        peak_db=max(part.peak_db for part in parts),
        words=None if spoken[0].words is None else tuple(words),
    )  # fmt: skip


class Listener:
    """One Whisper, one language, one prompt, and the transcripts that are kept on disk for them."""

    def __init__(self, name: str, language: str, options: TranscribeOptions) -> None:
        self.model, self.language, self.options = load_model(name), language, options
        self.prompt = options.prompt if language == "zh" or options.prompt != MANDARIN_PROMPT else None
        self.before = prompt_tokens(self.model, language, self.prompt)
        settings = {
            "model": weights.whisper(name).name, "half": str(self.model.encoder.conv1.weight.dtype),
            "language": language, "prompt": self.prompt, "word_times": options.word_times, "version": VERSION,
        }  # fmt: skip
        self.store = TranscriptCache(name, settings) if options.cache else None

    def __call__(self, clips: Sequence[Clip], done: Callable = lambda count: None) -> list[Transcript]:
        """Transcripts, gated where that is asked for; `done` is told how many more are ready."""
        seconds = [audio.duration(clip) for clip in clips]
        keys = [_content(clip) for clip in clips] if self.store else []
        kept = self.store.rows if self.store else {}
        found = {i: kept[key] for i, key in enumerate(keys) if key in kept}
        done(len(found))
        missing = sorted({*range(len(clips))} - found.keys(), key=lambda i: (seconds[i], i))
        for window, group in groupby(missing, lambda i: window_of(seconds[i])):
            same, step = list(group), BATCH if window <= FULL_WINDOW else 1
            for batch in (same[start : start + step] for start in range(0, len(same), step)):
                waves = [audio.load(clips[i]) for i in batch]
                # a recording's pieces are gated and kept, each
                heard = self.batch(waves) if window <= FULL_WINDOW else [join(self(pieces(waves[0])))]
                for i, transcript in zip(batch, heard, strict=True):
                    found[i] = transcript
                    if self.store and window <= FULL_WINDOW:
                        self.store.put(keys[i], transcript)
                done(len(batch))
        return [self._gated(found[i]) if self.options.gate else found[i] for i in range(len(clips))]

    def batch(self, waves: Sequence[np.ndarray]) -> list[Transcript]:
        """Transcribe clips in the window of the longest, and those that loop once more in the full one."""
        windows = [window_of(max(map(len, waves)) / audio.SAMPLE_RATE)] * len(waves)
        heard = self.decode(waves, windows[0])
        if again := [k for k, clip in enumerate(heard) if clip.loops()]:
            second = self.decode([waves[k] for k in again], FULL_WINDOW, retry=True)
            for k, clip in zip(again, second, strict=True):
                heard[k], windows[k] = clip, FULL_WINDOW
        decode = tokenizer_of(self.model, self.language).decode
        return [
            Transcript(
                decode(clip.tokens).strip("\ufffd "),  # half a character, where it was cut
                self.language, round(clip.no_speech, 6), round(clip.avg_logprob, 6),
                peak_db=round(float(audio.levels(wave).max()), 2), seconds=len(wave) / audio.SAMPLE_RATE,
                window=windows[k], retried=k in again, words=clip.words,
            )
            for k, (clip, wave) in enumerate(zip(heard, waves, strict=True))
        ]  # fmt: skip

    def decode(self, waves: Sequence[np.ndarray], window: float, retry: bool = False) -> list[Decoded]:
        """Encode and decode clips in one window (s); a retry has Whisper's own token cap, and cuts loops."""
        import torch

        most = self.model.dims.n_text_ctx // 2
        seconds = [len(wave) / audio.SAMPLE_RATE for wave in waves]
        caps = [most if retry else min(most, SPARE_TOKENS + ceil(TOKENS_PER_SECOND * s)) for s in seconds]
        with torch.inference_mode():
            encoded = encode(self.model, log_mel(self.model, waves, int(window * audio.SAMPLE_RATE)))
            heard = greedy(self.model, encoded, self.language, self.before, caps)
            if retry:
                for clip in heard:
                    clip.tokens = cut_loops(clip.tokens)
            if self.options.word_times:
                add_words(self.model, encoded, self.language, heard, waves)
        return heard

    def _gated(self, heard: Transcript) -> Transcript:
        """The transcript, emptied where the gate is closed; what is kept on disk is not gated."""
        reason = gate(heard, self.prompt)
        return replace(heard, text="", gate=reason, words=heard.words and ()) if reason else heard


def gate(heard: Transcript, prompt: str | None) -> str:
    """Why this is no speech, or "" when it may be; a recording's pieces were judged each."""
    if heard.seconds > FULL_WINDOW:
        return ""
    if heard.peak_db < audio.SILENT_DB:
        return "silence"
    unsure = any(heard.no_speech > most and heard.avg_logprob < least for most, least in NO_SPEECH)
    if unsure or heard.retried and heard.no_speech > NO_SPEECH[-1][0]:  # a loop makes the decoder sure
        return "no speech"
    if prompt and heard.text and heard.avg_logprob < PROMPT_LOGPROB and cer(prompt, heard.text) < 0.4:
        return "prompt"  # on sounds that are no speech Whisper likes to repeat what it was prompted with
    return ""


def _content(clip: Clip) -> str:
    """Key of a clip: SHA-256 of its file's, or its array's, bytes."""
    data = clip.tobytes() if isinstance(clip, np.ndarray) else Path(clip).read_bytes()
    return hashlib.sha256(data).hexdigest()


class TranscriptCache:
    """Transcripts on disk, one JSON line each, a file per setting; a line that is damaged is not read."""

    def __init__(self, model: str, settings: Mapping[str, Any]) -> None:
        text = json.dumps(settings, sort_keys=True, ensure_ascii=False)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.path = cache_dir() / "asr" / f"{Path(model).stem}-{digest}.jsonl"
        self.rows: dict[str, Transcript] = {}
        for line in self.path.read_bytes().split(b"\n") if self.path.exists() else ():
            with suppress(
                ValueError, TypeError, KeyError, AttributeError
            ):  # half a line, or of an older make
                row = json.loads(line)
                key, words = row.pop("key"), row.pop("words")
                words = words if words is None else tuple(Word(**word) for word in words)
                self.rows[key] = Transcript(**row, words=words)

    def put(self, key: str, transcript: Transcript) -> None:
        """Keep a transcript, in one write on a fresh line: a killed or second process does no harm."""
        line = json.dumps({"key": key} | asdict(transcript), ensure_ascii=False)
        try:
            self.path.parent.mkdir(exist_ok=True)
            with self.path.open("ab") as file:
                file.write(f"\n{line}".encode())
        except OSError as error:
            raise write_error(error, self.path) from error
        self.rows[key] = transcript
