"""Transcripts in batches: clips of one window together, loops heard again in a full one, noise left empty."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from vcemo_lib import audio, weights
from vcemo_lib.asr.alignment import add_words
from vcemo_lib.asr.decoding import Decoded, Word, cut_loops, greedy, tokenizer_of
from vcemo_lib.asr.encoder import FULL_WINDOW, Clip, encode, load_model, log_mel, silence
from vcemo_lib.cer import cer
from vcemo_lib.corpora import Corpus
from vcemo_lib.paths import cache_dir, write_atomically

MANDARIN_PROMPT = "以下是普通话的句子。"  # Simplified instead of Traditional output, and steadier punctuation
PROMPT_TOKENS = 200  # of a prompt, its last ones: a transcript needs room, too
BATCH = 16  # clips decoded at a time
WINDOW_STEP = 0.5  # s; windows are this coarse, so that clips of like length share one
EDGE_SECONDS = 0.1  # at least this much real silence after a clip
EDGE_BESIDE_SILENCE = 1.0  # the same where the encoder attends to silence
TOKENS_PER_SECOND, SPARE_TOKENS = 12, 10  # nobody speaks faster: what runs longer is a loop
PROMPT_LOGPROB = -0.4  # below this a transcript that repeats the prompt is taken for an echo of it
# (probability of no speech above, mean log probability below): nothing was said, by 50 noises and tones
NO_SPEECH = ((0.7, -1.2), (0.8, -0.6), (0.95, -0.5))
VERSION = 6  # of the decoding: raise it when results change, so that no stale transcript is read


@dataclass(frozen=True)
class TranscribeOptions:
    """How `transcribe` listens."""

    language: str = ""  # "zh", "en", ...; "": the manifest's, and Mandarin where it tells none
    prompt: str | None = MANDARIN_PROMPT  # the default one is used for Mandarin alone
    word_times: bool = False  # when each word is heard, in clips of up to 30 s
    gate: bool = True  # leave silence, noise and music empty
    beside_silence: bool = False  # encode as in a full window; of people (AISHELL) 17.0, not 19.1 % CER
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
    retried: bool = False  # looped in the short window, decoded again in the full one
    gate: str = ""  # why the text is empty: "silence", "no speech", "prompt"
    words: tuple[Word, ...] | None = None


def transcribe(
    clips: Corpus | Clip | Sequence[Clip], model: str = "base", **options: Any
) -> list[Transcript] | pd.DataFrame:
    """One transcript a clip: a list, or of a Corpus a DataFrame; `options` are those of TranscribeOptions."""
    chosen = TranscribeOptions(**options)
    sounds: Sequence[Clip] = [clips] if isinstance(clips, (str, Path, np.ndarray)) else clips
    languages = [chosen.language or "zh"] * len(sounds)
    if isinstance(clips, Corpus):
        whole = {u: clips.segment(u) == (0.0, None) for u in clips.ids}
        sounds = [clips.path(u) if whole[u] else audio.utterance(clips, u) for u in clips.ids]
        if not chosen.language and "language" in clips.table:
            languages = clips.table["language"].fillna("").replace("", "zh").tolist()
    found: dict[int, Transcript] = {}
    for language in dict.fromkeys(languages):
        which = [i for i, other in enumerate(languages) if other == language]
        found |= zip(which, Listener(model, language, chosen)([sounds[i] for i in which]), strict=True)
    transcripts = [found[i] for i in range(len(sounds))]
    if not isinstance(clips, Corpus):
        return transcripts
    columns = list(Transcript.__dataclass_fields__)
    return pd.DataFrame(map(vars, transcripts), pd.Index(clips.ids, name="utt_id"), columns)


def window_of(seconds: float, edge: float = EDGE_SECONDS) -> float:
    """The window (s) in which the encoder sees a clip, up to the next half second; inf: it needs several."""
    window = min(FULL_WINDOW, ceil((seconds + edge) / WINDOW_STEP) * WINDOW_STEP)
    return window if seconds <= FULL_WINDOW else np.inf


class Listener:
    """One Whisper, one language, one prompt, and the transcripts that are kept on disk for them."""

    def __init__(self, name: str, language: str, options: TranscribeOptions) -> None:
        self.model, self.language, self.options = load_model(name), language, options
        self.tokenizer = tokenizer_of(self.model, language)
        self.prompt = options.prompt if language == "zh" or options.prompt != MANDARIN_PROMPT else None
        prompt = self.tokenizer.encode(" " + self.prompt.strip()) if self.prompt else []
        self.before = [self.tokenizer.sot_prev, *prompt[-PROMPT_TOKENS:]] if prompt else []
        self.edge = EDGE_BESIDE_SILENCE if options.beside_silence else EDGE_SECONDS
        facts = [VERSION, weights.whisper(name).name, self.model.device.type, language, self.prompt]
        facts += [options.word_times, options.beside_silence]
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]
        self.folder = cache_dir() / "asr" / f"{Path(name).stem}-{digest}" if options.cache else None

    def __call__(self, clips: Sequence[Clip]) -> list[Transcript]:
        """Transcripts, gated where that is asked for; what is kept on disk is not gated."""
        found: dict[int, Transcript] = {}
        todo = []  # (seconds, number, file of its transcript) of clips to listen to
        for i, clip in enumerate(clips):
            wave = audio.load(clip)
            file = self.folder and self.folder / f"{hashlib.sha256(wave.tobytes()).hexdigest()}.json"
            if kept := file and _kept(file):
                found[i] = kept
            else:
                todo.append((len(wave) / audio.SAMPLE_RATE, i, file))
        batches = []
        for window, group in groupby(sorted(todo), lambda clip: window_of(clip[0], self.edge)):
            same, step = list(group), BATCH if window <= FULL_WINDOW else 1
            batches += [same[start : start + step] for start in range(0, len(same), step)]
        for batch in tqdm(batches, "Whisper", unit="batch", disable=not self.options.progress):
            heard = self.batch([audio.load(clips[i]) for _, i, _ in batch])
            for (_, i, file), transcript in zip(batch, heard, strict=True):
                found[i] = transcript
                if file:
                    write_atomically(file, json.dumps(asdict(transcript), ensure_ascii=False))
        if self.options.gate:
            for i, heard in found.items():
                if reason := gate(heard, self.prompt):
                    found[i] = replace(heard, text="", gate=reason, words=heard.words and ())
        return [found[i] for i in range(len(clips))]

    def batch(self, waves: Sequence[np.ndarray]) -> list[Transcript]:
        """Transcribe clips in the window of the longest, and those that loop once more in the full one."""
        window = window_of(max(map(len, waves)) / audio.SAMPLE_RATE, self.edge)
        heard = self.decode(waves, window) if window <= FULL_WINDOW else [self.long(waves[0])]
        loops = [k for k, c in enumerate(heard) if c.unfinished or c.tokens != cut_loops(c.tokens)]
        second = self.decode([waves[k] for k in loops], FULL_WINDOW, retry=True) if loops else []
        for k, clip in zip(loops, second, strict=True):
            heard[k] = clip
        return [
            Transcript(
                self.tokenizer.decode(clip.tokens).strip("\ufffd "),  # half a character, where it was cut
                self.language, round(clip.no_speech, 6), round(clip.avg_logprob, 6),
                peak_db=round(float(audio.levels(wave).max()), 2), seconds=len(wave) / audio.SAMPLE_RATE,
                retried=k in loops, words=clip.words,
            )
            for k, (clip, wave) in enumerate(zip(heard, waves, strict=True))
        ]  # fmt: skip

    def long(self, wave: np.ndarray) -> Decoded:
        """A recording of more than one window, as openai-whisper transcribes it."""
        parts = self.model.transcribe(
            wave, language=self.language, initial_prompt=self.prompt, carry_initial_prompt=bool(self.prompt),
            temperature=0.0, condition_on_previous_text=False, fp16=self.model.device.type == "cuda",
        )["segments"]  # fmt: skip
        tokens = cut_loops([t for part in parts for t in part["tokens"] if t < self.tokenizer.eot])
        facts = [(part["no_speech_prob"], part["avg_logprob"]) for part in parts] or [(1.0, -9.0)]
        return Decoded(tokens, *np.mean(facts, axis=0).tolist(), unfinished=False)

    def decode(self, waves: Sequence[np.ndarray], window: float, retry: bool = False) -> list[Decoded]:
        """Encode and decode clips in one window (s); a retry has Whisper's own token cap, and cuts loops."""
        most = self.model.dims.n_text_ctx // 2
        spoken = [SPARE_TOKENS + ceil(TOKENS_PER_SECOND * len(wave) / audio.SAMPLE_RATE) for wave in waves]
        caps = [most if retry else min(most, count) for count in spoken]
        with torch.inference_mode():
            mel = log_mel(self.model, waves, int(window * audio.SAMPLE_RATE))
            short = self.options.beside_silence and window < FULL_WINDOW
            encoded = encode(self.model, mel, silent=silence(self.model, mel.dtype)[0] if short else ())
            heard = greedy(self.model, self.tokenizer, encoded, self.before, caps)
            if retry:
                for clip in heard:
                    clip.tokens = cut_loops(clip.tokens)
            if self.options.word_times:
                add_words(self.model, self.tokenizer, encoded, heard, waves)
        return heard


def gate(heard: Transcript, prompt: str | None) -> str:
    """Why this is no speech, or "" when it may be."""
    if heard.peak_db < audio.SILENT_DB:
        return "silence"
    unsure = any(heard.no_speech > most and heard.avg_logprob < least for most, least in NO_SPEECH)
    if unsure or heard.retried and heard.no_speech > NO_SPEECH[1][0]:  # a loop makes the decoder sure
        return "no speech"
    if prompt and heard.text and heard.avg_logprob < PROMPT_LOGPROB and cer(prompt, heard.text) < 0.4:
        return "prompt"  # on sounds that are no speech Whisper likes to repeat what it was prompted with
    return ""


def _kept(file: Path) -> Transcript | None:
    """What was heard before, before any gate; None where nothing is kept, or what is kept is damaged."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        row = json.loads(file.read_bytes())
        words = row.pop("words")
        return Transcript(**row, words=words if words is None else tuple(Word(**word) for word in words))
    return None
