"""Whisper: transcripts in batches, their errors, and its encoder as acoustic features.

openai-whisper pads every clip to 30 s, and if the window is merely cut short its decoder loops, as it no longer sees the
silence that ends a recording. Here the encoder runs on the clip alone, and the decoder is shown the encoded silence of
the rest of a full window, which is the same for all clips and computed once. Clips of one window are decoded together;
one that loops all the same is decoded again in a true full window. Silence, noise and music give an empty transcript.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from vcemo_lib import audio, weights
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import cache_dir

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from whisper import Whisper
    from whisper.tokenizer import Tokenizer

    from vcemo_lib.corpora import Corpus

Clip = str | Path | np.ndarray

MANDARIN_PROMPT = "以下是普通话的句子。"  # turns Traditional output into Simplified and steadies the punctuation
WINDOW_STEP = 0.5  # s; windows are this coarse, so that clips of like length share one
EDGE_SECONDS = 0.1  # at least this much real silence after a clip
FULL_WINDOW = 30.0  # s, the window Whisper was trained with
SILENCE_FLOOR = -1.0  # Whisper's log-mel of the padding after speech of ordinary loudness
TOKENS_PER_SECOND = 12  # nobody speaks faster: what runs longer is a loop
SPARE_TOKENS = 10
PROMPT_LOGPROB = -0.4  # below this a transcript that repeats the prompt is taken for an echo of it
# (probability of no speech above, mean log probability a token below): both together mean that nothing was said. Measured:
# 50 silent, noisy and tonal clips have at least 0.81, and at most -1.5 with the Mandarin prompt, -0.63 ("you") in English;
# of 3,000 clips of VCEMO-Sim one is beyond these lines, of 480 of RAVDESS none comes near
NO_SPEECH = ((0.7, -1.2), (0.8, -0.6))
VERSION = 4  # of the decoding below: raise it when results change, so that no stale transcript is read from the cache


@dataclass(frozen=True)
class Word:
    """One word (in Chinese one character, with the punctuation after it) and when it is heard, in seconds."""

    text: str
    start: float
    end: float
    probability: float


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
    features: np.ndarray | None = None  # (frames of 20 ms, width) float16, where a layer was asked for


@lru_cache(maxsize=2)
def _load(path: Path, size: str, device: str) -> Whisper:
    import whisper
    from safetensors.torch import load_file

    model = whisper.model.Whisper(whisper.model.ModelDimensions(**weights.whisper_dims(path)))
    model.load_state_dict(load_file(path))
    if size in whisper._ALIGNMENT_HEADS:
        model.set_alignment_heads(whisper._ALIGNMENT_HEADS[size])
    if device.startswith("cuda"):
        _halve(model)
    return model.to(device).eval().requires_grad_(False)


def _halve(model: Whisper) -> None:
    """Half precision but for the layer norms, which Whisper computes in float32."""
    model.half()
    for module in model.modules():
        if type(module).__name__ == "LayerNorm":
            module.float()


def load_model(name: str = "base", device: str | None = None) -> Whisper:
    """A Whisper of any size (or the path of its weights), kept for the rest of the process; half precision on CUDA.

    The weights come from `weights.whisper`; VcemoError when they cannot be had.
    """
    import torch

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return _load(weights.whisper(name), name, str(device))


# ---- encoder ---------------------------------------------------------------------------------------------


def _mel(model: Whisper, waves: Sequence[np.ndarray], samples: int) -> torch.Tensor:
    """Whisper's own log-mel of clips padded with silence to `samples`: (B, n_mels, samples // 160)."""
    import torch
    from whisper.audio import mel_filters

    batch = np.zeros((len(waves), samples), dtype=np.float32)
    for row, wave in enumerate(waves):
        batch[row, : len(wave)] = wave[:samples]
    x = torch.from_numpy(batch).to(model.device)
    window = torch.hann_window(audio.N_FFT, device=x.device)
    power = torch.stft(x, audio.N_FFT, audio.HOP, window=window, return_complex=True)[..., :-1].abs().square()
    mel = (mel_filters(x.device, model.dims.n_mels) @ power).clamp_min(1e-10).log10()
    mel = torch.maximum(mel, mel.amax(dim=(1, 2), keepdim=True) - 8.0)  # floor 80 dB under each clip's loudest
    return ((mel + 4.0) / 4.0).to(model.encoder.conv1.weight.dtype)


def _encode(
    model: Whisper, mel: torch.Tensor, layer: int | None = None, stop: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Whisper's encoder on a window of any length, the position table cut to match.

    mel (B, n_mels, 2T) -> (B, T, width) after the final normalisation, and the output of `layer` (B, T, width) if asked:
    1 is the first block, -1 the encoder's final output. With `stop` the blocks behind `layer` are not run at all.
    """
    import torch.nn.functional as F

    encoder = model.encoder
    x = F.gelu(encoder.conv1(mel))
    x = F.gelu(encoder.conv2(x)).permute(0, 2, 1)  # (B, T, width)
    x = (x + encoder.positional_embedding[: x.shape[1]]).to(x.dtype)
    kept = None
    for number, block in enumerate(encoder.blocks, start=1):
        x = block(x)
        if number == layer:
            kept = x
            if stop:
                return x, x
    x = encoder.ln_post(x)
    return x, x if layer == -1 else kept


def _check_layer(model: Whisper, layer: int) -> None:
    if layer != -1 and not 1 <= layer <= model.dims.n_audio_layer:
        raise VcemoError(f"Whisper has no encoder layer {layer}", do=f"choose -1 (final) or 1 to {model.dims.n_audio_layer}")


def encoder_features(wave: Clip | Sequence[Clip], layer: int = -1, model: str = "base", batch_size: int = 8) -> np.ndarray | list[np.ndarray]:
    """Whisper's encoder on each clip's own frames: (T, width) float32, one frame every 20 ms, T = ceil(N / 320).

    `layer` 1 to 6 (base) is a block's output, -1 the final one. A list of clips gives a list. Clips are not padded, so a
    batch holds clips of exactly equal length only. Beyond 30 s the clip is done in pieces of 30 s.
    """
    import torch

    if isinstance(wave, (str, Path, np.ndarray)):
        return encoder_features([wave], layer, model, batch_size)[0]
    whisper_model = load_model(model)
    _check_layer(whisper_model, layer)
    full = int(FULL_WINDOW * audio.SAMPLE_RATE)
    waves = [audio.load(clip) for clip in wave]
    pieces = [(i, start, clip[start : start + full]) for i, clip in enumerate(waves) for start in range(0, len(clip), full)]
    frames = [2 * ceil(len(piece) / (2 * audio.HOP)) for _, _, piece in pieces]  # mel frames, even
    done: dict[tuple[int, int], np.ndarray] = {}
    order = sorted(range(len(pieces)), key=lambda k: frames[k])
    for count, group in groupby(order, key=lambda k: frames[k]):
        same = list(group)
        for start in range(0, len(same), batch_size):
            batch = [pieces[k] for k in same[start : start + batch_size]]
            with torch.inference_mode():
                mel = _mel(whisper_model, [piece for _, _, piece in batch], max(count, 4) * audio.HOP)
                _, kept = _encode(whisper_model, mel, layer, stop=True)
            for (i, offset, _), row in zip(batch, kept.float().cpu().numpy(), strict=True):
                done[i, offset] = row[: count // 2]
    return [np.concatenate([done[i, start] for start in range(0, len(clip), full)]) for i, clip in enumerate(waves)]


# ---- decoder ---------------------------------------------------------------------------------------------


_silence_memory: WeakKeyDictionary = WeakKeyDictionary()  # Whisper -> its _silence


def _silence(model: Whisper) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Keys and values, one pair a decoder block, of a full window of silence: (heads, 1500, width / heads) each."""
    import torch

    if model not in _silence_memory:
        conv = model.encoder.conv1.weight
        mel = torch.full((1, model.dims.n_mels, 2 * model.dims.n_audio_ctx), SILENCE_FLOOR, dtype=conv.dtype, device=conv.device)
        encoded, _ = _encode(model, mel)
        heads = model.dims.n_text_head
        _silence_memory[model] = [
            tuple(_heads(part(encoded), heads)[0].contiguous() for part in (block.cross_attn.key, block.cross_attn.value))
            for block in model.decoder.blocks
        ]
    return _silence_memory[model]


def _heads(x: torch.Tensor, heads: int) -> torch.Tensor:  # (B, n, width) -> (B, heads, n, width / heads)
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


class _Decoder:
    """Whisper's decoder with its keys and values kept, for a batch of encoded clips (B, T, width).

    After the clips' own T frames it attends to the silence of the rest of a full window, shared by the batch.
    """

    def __init__(self, model: Whisper, encoded: torch.Tensor) -> None:
        self.decoder = model.decoder
        self.heads = model.dims.n_text_head
        blocks = model.decoder.blocks
        self.cross = [tuple(_heads(part(encoded), self.heads) for part in (b.cross_attn.key, b.cross_attn.value)) for b in blocks]
        self.silence = [(k[:, encoded.shape[1] :], v[:, encoded.shape[1] :]) for k, v in _silence(model)]
        self.past: list[tuple[torch.Tensor, torch.Tensor] | None] = [None] * len(blocks)
        self.scores: list[torch.Tensor] = []  # per block, of the last call: (B, heads, n, T), before the softmax

    def _self_attention(self, attention, x: torch.Tensor, i: int) -> torch.Tensor:
        import torch
        from torch.nn.functional import scaled_dot_product_attention

        k, v = _heads(attention.key(x), self.heads), _heads(attention.value(x), self.heads)
        if self.past[i] is not None:
            k, v = torch.cat([self.past[i][0], k], dim=2), torch.cat([self.past[i][1], v], dim=2)
        self.past[i] = (k, v)
        mixed = scaled_dot_product_attention(_heads(attention.query(x), self.heads), k, v, is_causal=x.shape[1] > 1)
        return attention.out(mixed.transpose(1, 2).flatten(2))

    def _cross_attention(self, attention, x: torch.Tensor, i: int) -> torch.Tensor:
        import torch

        (k, v), (silent_k, silent_v) = self.cross[i], self.silence[i]
        q = _heads(attention.query(x), self.heads)  # (B, H, n, d)
        q = q * q.shape[-1] ** -0.5
        batch, _, n, _ = q.shape
        own = q @ k.transpose(-1, -2)  # (B, H, n, T)
        # one product for the whole batch, as the silence is the same for every clip: (H, B n, d) x (H, d, S)
        silent = q.transpose(0, 1).flatten(1, 2) @ silent_k.transpose(-1, -2)
        silent = silent.unflatten(1, (batch, n)).transpose(0, 1)  # (B, H, n, S)
        share = torch.cat([own, silent], dim=-1).float().softmax(dim=-1).to(q.dtype)
        mixed = share[..., : own.shape[-1]] @ v
        mixed += (share[..., own.shape[-1] :].transpose(0, 1).flatten(1, 2) @ silent_v).unflatten(1, (batch, n)).transpose(0, 1)
        self.scores.append(own)
        return attention.out(mixed.transpose(1, 2).flatten(2))

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        """New tokens (B, n) -> their hidden states (B, n, width); what came before is remembered."""
        start = 0 if self.past[0] is None else self.past[0][0].shape[2]
        x = self.decoder.token_embedding(tokens) + self.decoder.positional_embedding[start : start + tokens.shape[1]]
        self.scores = []
        for i, block in enumerate(self.decoder.blocks):
            x = x + self._self_attention(block.attn, block.attn_ln(x), i)
            x = x + self._cross_attention(block.cross_attn, block.cross_attn_ln(x), i)
            x = x + block.mlp(block.mlp_ln(x))
        return self.decoder.ln(x)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(B, width) -> (B, vocabulary) float32."""
        return (hidden @ self.decoder.token_embedding.weight.to(hidden.dtype).T).float()

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows of the batch only."""
        self.cross = [(k[rows], v[rows]) for k, v in self.cross]
        self.past = [(k[rows], v[rows]) for k, v in self.past]


@lru_cache(maxsize=8)
def _tokenizer(multilingual: bool, languages: int, language: str) -> Tokenizer:
    from whisper.tokenizer import get_tokenizer

    return get_tokenizer(multilingual, num_languages=languages, language=language, task="transcribe")


def _tokenizer_of(model: Whisper, language: str | None) -> Tokenizer:
    try:
        return _tokenizer(model.is_multilingual, model.num_languages, language or "en")
    except ValueError as error:
        raise VcemoError(f"Whisper knows no language {language!r}", do='give a code such as "zh" or "en", or None to detect it') from error


@dataclass
class _Heard:
    """One clip as decoded: its tokens (no special ones) and what the gates look at."""

    tokens: list[int]
    language: str
    no_speech: float
    avg_logprob: float
    unfinished: bool  # the token cap was reached before the end of text
    words: tuple[Word, ...] | None = None
    features: np.ndarray | None = None


def _greedy(model: Whisper, encoded: torch.Tensor, language: str | None, prompt: str | None, caps: Sequence[int]) -> list[_Heard]:
    """Decode a batch (B, T, width) at temperature 0, without timestamps, at most caps[b] tokens each."""
    import torch

    tokenizer = _tokenizer_of(model, language)
    device, batch = encoded.device, len(encoded)
    languages = [language or "en"] * batch
    sot = list(tokenizer.sot_sequence_including_notimestamps)
    before = [tokenizer.sot_prev, *tokenizer.encode(" " + prompt.strip())] if prompt else []
    tokens = torch.tensor([before + sot], device=device).repeat(batch, 1)
    if language is None and model.is_multilingual:
        start = _Decoder(model, encoded)
        scores = start.logits(start(torch.full((batch, 1), tokenizer.sot, device=device))[:, -1])
        codes, ids = tokenizer.all_language_codes, list(tokenizer.all_language_tokens)
        best = scores[:, ids].argmax(dim=-1).tolist()
        languages = [codes[i] for i in best]
        tokens[:, len(before) + 1] = torch.tensor([ids[i] for i in best], device=device)

    never = torch.zeros(model.dims.n_vocab, device=device)
    specials = [t for t in range(tokenizer.eot + 1, model.dims.n_vocab)]  # all above end-of-text: tasks, times
    never[[*tokenizer.non_speech_tokens, *specials]] = -torch.inf
    first = never.clone()
    first[[*tokenizer.encode(" "), tokenizer.eot]] = -torch.inf  # as openai-whisper: something is always said first

    decoder = _Decoder(model, encoded)
    hidden = decoder(tokens)
    silence = decoder.logits(hidden[:, len(before)]).softmax(dim=-1)[:, tokenizer.no_speech].tolist()
    found: list[list[int]] = [[] for _ in range(batch)]
    total = [0.0] * batch
    ended = [False] * batch
    rows = list(range(batch))  # clips still decoded, in the decoder's order
    logits = decoder.logits(hidden[:, -1]) + first
    while True:
        scores, chosen = logits.log_softmax(dim=-1).max(dim=-1)
        for row, token, score in zip(rows, chosen.tolist(), scores.tolist(), strict=True):
            if ended[row] or len(found[row]) >= caps[row]:
                continue
            total[row] += score
            if token == tokenizer.eot:
                ended[row] = True
            else:
                found[row].append(token)
        going = [k for k, row in enumerate(rows) if not ended[row] and len(found[row]) < caps[row]]
        if not going:
            break
        if len(going) <= 0.75 * len(rows):  # finished clips cost as much as others: leave them out now and then
            keep = torch.tensor(going, device=device)
            decoder.keep(keep)
            chosen, rows = chosen[keep], [rows[k] for k in going]
        logits = decoder.logits(decoder(chosen[:, None])[:, -1]) + never
    return [
        _Heard(found[b], languages[b], silence[b], total[b] / (len(found[b]) + ended[b] or 1), not ended[b]) for b in range(batch)
    ]


def _decode(
    model: Whisper, waves: Sequence[np.ndarray], window: float, language: str | None, prompt: str | None, full_length: bool,
    word_times: bool, layer: int | None,
) -> list[_Heard]:  # fmt: skip
    """Encode and decode clips in one window (s); `full_length` lifts the token cap to Whisper's own."""
    import torch

    own = model.dims.n_text_ctx // 2
    seconds = [len(wave) / audio.SAMPLE_RATE for wave in waves]
    caps = [own if full_length else min(own, SPARE_TOKENS + ceil(TOKENS_PER_SECOND * s)) for s in seconds]
    with torch.inference_mode():
        encoded, kept = _encode(model, _mel(model, waves, int(window * audio.SAMPLE_RATE)), layer)
        heard = _greedy(model, encoded, language, prompt, caps)
        if word_times:
            _add_words(model, encoded, heard, waves)
    if kept is not None:
        for one, row, wave in zip(heard, kept, waves, strict=True):
            one.features = row[: ceil(len(wave) / (2 * audio.HOP))].half().cpu().numpy()
    return heard


# ---- loops -----------------------------------------------------------------------------------------------


def loops(tokens: Sequence, longest: int = 12, times: int = 4) -> bool:
    """Whether some run of 2 to `longest` items comes `times` times on end, or one item 8 times (laughter may come 7)."""
    for size in range(1, longest + 1):
        need = (8 if size == 1 else times) * size
        same = 0
        for i in range(size, len(tokens)):
            same = same + 1 if tokens[i] == tokens[i - size] else 0
            if same + size >= need:
                return True
    return False


def _unloop(tokens: list[int]) -> list[int]:
    """The tokens with every such run cut to its first occurrence: the last resort, when the full window loops as well."""
    for size in range(1, 13):
        i = 0
        while i + size < len(tokens):
            end = i + size
            while tokens[end : end + size] == tokens[i : i + size]:
                end += size
            if (end - i) // size >= (8 if size == 1 else 4):
                del tokens[i + size : end]
            i += 1
    return tokens


# ---- word times ------------------------------------------------------------------------------------------


def _add_words(model: Whisper, encoded: torch.Tensor, heard: list[_Heard], waves: Sequence[np.ndarray]) -> None:
    """Give each clip its words' times, from the cross-attention of the heads that follow the sound.

    The same method as openai-whisper's word timestamps (attention, median filter, dynamic time warping), for a batch.
    """
    import torch
    from whisper.timing import median_filter

    spoken = [b for b, one in enumerate(heard) if one.tokens]
    for one in heard:
        one.words = ()
    if not spoken:
        return
    tokenizer = _tokenizer_of(model, heard[spoken[0]].language)
    sot = list(tokenizer.sot_sequence_including_notimestamps)
    longest = max(len(heard[b].tokens) for b in spoken)
    rows = []
    for b in spoken:
        start = list(sot)
        if model.is_multilingual:
            start[1] = tokenizer.to_language_token(heard[b].language)
        padding = [tokenizer.eot] * (longest - len(heard[b].tokens) + 1)
        rows.append(start + heard[b].tokens + padding)
    tokens = torch.tensor(rows, device=encoded.device)

    decoder = _Decoder(model, encoded[torch.tensor(spoken, device=encoded.device)])
    logits = decoder.logits(decoder(tokens))  # (B, n, vocabulary)
    heads = model.alignment_heads.indices().T.tolist()
    seen = torch.stack([decoder.scores[layer][:, head] for layer, head in heads], dim=1)  # (B, heads, n, T)

    for row, b in enumerate(spoken):
        one = heard[b]
        count, frames = len(one.tokens), max(1, min(seen.shape[-1], ceil(len(waves[b]) / (2 * audio.HOP))))
        attention = seen[row, :, : len(sot) + count + 1, :frames].float().softmax(dim=-1)  # (heads, tokens, frames)
        spread, mean = torch.std_mean(attention, dim=-2, keepdim=True, unbiased=False)
        attention = median_filter((attention - mean) / spread.clamp_min(1e-9), 7).mean(dim=0)
        starts = _time_warp(-attention[len(sot) - 1 : -1].cpu().numpy())  # frame at which each token begins, and the end
        probability = logits[row, len(sot) - 1 : len(sot) - 1 + count].float().softmax(dim=-1)
        probability = probability.gather(1, tokens[row, len(sot) : len(sot) + count, None])[:, 0].tolist()
        one.words = _words(tokenizer, one, starts, probability)
        one.words = _within_sound(one.words, waves[b])


def _time_warp(cost: np.ndarray) -> np.ndarray:
    """Cheapest monotonic path through (tokens + 1, frames): the frame at which each row begins, (tokens + 1,)."""
    rows, columns = cost.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0
    step = np.zeros((rows + 1, columns + 1), dtype=np.int8)  # 0 both, 1 next token, 2 next frame
    for i in range(1, rows + 1):
        above, here = total[i - 1].tolist(), total[i].tolist()
        for j, c in enumerate(cost[i - 1].tolist(), start=1):
            best, kind = above[j - 1], 0
            if above[j] < best:
                best, kind = above[j], 1
            if here[j - 1] < best:
                best, kind = here[j - 1], 2
            here[j] = best + c
            step[i, j] = kind
        total[i] = here
    starts = np.zeros(rows, dtype=np.int64)
    i, j = rows, columns
    while i > 0 and j > 0:
        starts[i - 1] = j - 1
        kind = step[i, j]
        i, j = i - (kind != 2), j - (kind != 1)
    return starts


def _words(tokenizer: Tokenizer, one: _Heard, starts: np.ndarray, probability: Sequence[float]) -> tuple[Word, ...]:
    split = type(tokenizer).split_tokens_on_unicode if one.language in UNSPACED else type(tokenizer).split_tokens_on_spaces
    texts, groups = split(tokenizer, one.tokens)
    words: list[Word] = []
    position = 0
    for text, group in zip(texts, groups, strict=True):
        start, end = starts[position] / 50, starts[min(position + len(group), len(starts) - 1)] / 50  # 20 ms a frame
        certain = float(np.mean(probability[position : position + len(group)]))
        position += len(group)
        if words and not _spoken(text):  # punctuation belongs to the word before it
            words[-1] = replace(words[-1], text=words[-1].text + text)
        else:
            words.append(Word(text, round(float(start), 2), round(float(max(start, end)), 2), round(certain, 4)))
    return tuple(words)


def _within_sound(words: tuple[Word, ...], wave: np.ndarray) -> tuple[Word, ...]:
    """Words without the silence that the alignment gives them: what comes before a first word or in a pause is nobody's."""
    sounding = audio.sounding(wave)  # 10 ms a frame
    result = []
    for word in words:
        heard = np.flatnonzero(sounding[round(word.start * 100) : round(word.end * 100)])
        if len(heard):
            start, end = (round(word.start + int(k) / 100, 2) for k in (heard[0], heard[-1] + 1))
            word = replace(word, start=start, end=end)
        result.append(word)
    return tuple(result)


UNSPACED = {"zh", "ja", "th", "lo", "my", "yue"}  # languages whose words are not divided by spaces


def _spoken(text: str) -> bool:
    return any(character.isalnum() for character in text)


# ---- transcribe ------------------------------------------------------------------------------------------


def window_of(seconds: float) -> float:
    """The window (s) in which the encoder sees a clip of this length: the clip, up to the next half second."""
    return min(FULL_WINDOW, ceil((seconds + EDGE_SECONDS) / WINDOW_STEP) * WINDOW_STEP)


def transcribe(
    clips: Corpus | Clip | Sequence[Clip], model: str = "base", language: str | None = "zh", prompt: str | None = MANDARIN_PROMPT,
    batch_size: int = 16, window: float | Callable[[float], float] = window_of, word_times: bool = False, layer: int | None = None,
    gate: bool = True, progress: bool = True, cache: bool = True, device: str | None = None,
) -> list[Transcript] | pd.DataFrame:  # fmt: skip
    """One transcript a clip: a list for paths or arrays (16 kHz), a DataFrame with index utt_id for a Corpus.

    `language` None detects it per clip; the Mandarin prompt is used for Mandarin alone. `window` is in seconds, or a
    function of a clip's length. `word_times` gives each word its times; `layer` keeps that encoder layer's frames from
    the same pass. With `cache` every finished batch is kept, so that a killed run goes on where it stopped.
    """
    if hasattr(clips, "table"):
        sounds = [_sound(clips, utt_id) for utt_id in clips.ids]
        found = transcribe(
            sounds, model, language, prompt, batch_size, window, word_times, layer, gate, progress, cache, device
        )
        return _frame(clips.ids, found)
    if isinstance(clips, (str, Path)) or (isinstance(clips, np.ndarray) and clips.dtype != object):
        clips = [clips]
    prompt = prompt if language == "zh" or prompt != MANDARIN_PROMPT else None
    whisper_model = load_model(model, device)
    if layer is not None:
        _check_layer(whisper_model, layer)
    choose = window if callable(window) else lambda seconds: float(window) if seconds < window else window_of(seconds)
    settings = dict(
        model=weights.whisper(model).name, language=language, prompt=prompt, word_times=word_times, version=VERSION,
        window=[choose(float(s)) for s in range(30)], half=str(whisper_model.encoder.conv1.weight.dtype),
    )  # fmt: skip
    store = _Cache(model, settings) if cache and layer is None else None  # frames are features.py's to keep
    keys = [_content(clip) for clip in clips] if store else []
    found: list[Transcript | None] = [store.get(key) for key in keys] if store else [None] * len(clips)

    from tqdm.auto import tqdm

    with tqdm(total=len(clips), desc=f"Whisper {Path(model).stem}", unit="clip", disable=not progress) as bar:
        bar.update(sum(one is not None for one in found))
        for batch in _batches(clips, [i for i, one in enumerate(found) if one is None], choose, batch_size):
            waves = [audio.load(clips[i]) for i in batch]
            chosen = choose(max(map(len, waves)) / audio.SAMPLE_RATE)
            heard = _batch(whisper_model, waves, chosen, language, prompt, word_times, layer)
            for i, one in zip(batch, heard, strict=True):
                found[i] = one
                if store:
                    store.put(keys[i], one)
            bar.update(len(batch))
    return [_gated(one, prompt) if gate else one for one in found]


def _sound(corpus: Corpus, utt_id: str) -> Clip:
    """An utterance's file, or its samples where it is a part of one."""
    return corpus.path(utt_id) if corpus.segment(utt_id) == (0.0, None) else audio.utterance(corpus, utt_id)


def _batches(clips: Sequence[Clip], todo: Iterable[int], choose: Callable[[float], float], size: int) -> Iterator[list[int]]:
    """Indices in batches of one window each, short clips first; clips beyond the full window come alone."""
    length = {i: len(clips[i]) / audio.SAMPLE_RATE if isinstance(clips[i], np.ndarray) else audio.duration(clips[i]) for i in todo}
    order = sorted(length, key=lambda i: (length[i], i))
    for window, group in groupby(order, key=lambda i: choose(length[i]) if length[i] <= FULL_WINDOW else np.inf):
        same = list(group)
        step = 1 if window == np.inf else size
        yield from (same[start : start + step] for start in range(0, len(same), step))


def _batch(
    model: Whisper, waves: list[np.ndarray], window: float, language: str | None, prompt: str | None, word_times: bool,
    layer: int | None,
) -> list[Transcript]:  # fmt: skip
    """Transcribe clips of one window, and those that loop once more in the full one."""
    if len(waves[0]) > FULL_WINDOW * audio.SAMPLE_RATE:
        return [_long(model, wave, language, prompt, word_times) for wave in waves]
    heard = _decode(model, waves, window, language, prompt, False, word_times, layer)
    again = [k for k, one in enumerate(heard) if one.unfinished or loops(one.tokens)]
    windows = [FULL_WINDOW if k in again else window for k in range(len(waves))]
    if again:
        second = _decode(model, [waves[k] for k in again], FULL_WINDOW, language, prompt, True, word_times, None)
        for k, one in zip(again, second, strict=True):
            one.features = heard[k].features
            if one.unfinished or loops(one.tokens):
                one.tokens = _unloop(one.tokens)
            heard[k] = one
    result = []
    for k, (one, wave) in enumerate(zip(heard, waves, strict=True)):
        text = _tokenizer_of(model, one.language).decode(one.tokens).strip("\ufffd ")  # a cut may split a character
        result.append(
            Transcript(
                text, one.language, round(one.no_speech, 6), round(one.avg_logprob, 6), round(float(audio.levels(wave).max()), 2),
                len(wave) / audio.SAMPLE_RATE, windows[k], k in again, words=one.words, features=one.features,
            )
        )  # fmt: skip
    return result


def _long(model: Whisper, wave: np.ndarray, language: str | None, prompt: str | None, word_times: bool) -> Transcript:
    """A recording beyond 30 s, by openai-whisper's own window after window."""
    result = model.transcribe(
        wave, language=language, initial_prompt=prompt, temperature=0.0, word_timestamps=word_times,
        condition_on_previous_text=False, fp16=model.encoder.conv1.weight.dtype.itemsize == 2, verbose=None,
    )  # fmt: skip
    segments = result["segments"]
    words = tuple(Word(w["word"], w["start"], w["end"], w["probability"]) for s in segments for w in s.get("words", ()))
    mean = {name: float(np.mean([s[name] for s in segments])) if segments else 0.0 for name in ("no_speech_prob", "avg_logprob")}
    return Transcript(
        result["text"].strip(), result["language"], mean["no_speech_prob"], mean["avg_logprob"], round(float(audio.levels(wave).max()), 2),
        len(wave) / audio.SAMPLE_RATE, FULL_WINDOW, words=words if word_times else None,
    )  # fmt: skip


def _gate(one: Transcript, prompt: str | None) -> str:
    """Why this is no speech, or "" when it may be."""
    if one.peak_db < audio.SILENT_DB:
        return "silence"
    if any(one.no_speech > probability and one.avg_logprob < certainty for probability, certainty in NO_SPEECH):
        return "no speech"
    if one.retried and one.no_speech > NO_SPEECH[-1][0]:
        return "no speech"  # a loop makes the decoder sure of itself
    if prompt and one.text and one.avg_logprob < PROMPT_LOGPROB and cer(prompt, one.text) < 0.4:
        return "prompt"  # on sounds that are no speech Whisper likes to repeat what it was prompted with
    return ""


def _gated(one: Transcript, prompt: str | None) -> Transcript:
    """The transcript, emptied where the gate is closed; what is cached is kept ungated, so that the gate may change."""
    if not (reason := _gate(one, prompt)):
        return one
    return replace(one, text="", gate=reason, words=None if one.words is None else ())


# ---- cache -----------------------------------------------------------------------------------------------


def _content(clip: Clip) -> str:
    """Key of a clip: SHA-256 of its file's, or its array's, bytes."""
    if isinstance(clip, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(clip)).hexdigest()
    if not Path(clip).is_file():
        raise VcemoError("no such audio file", where=clip, do="check the path")
    return weights.sha256(Path(clip))


class _Cache:
    """Transcripts on disk, one JSON line each, a file per setting; a line that was cut off is not read."""

    def __init__(self, model: str, settings: Mapping) -> None:
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:12]
        self.path = cache_dir() / "asr" / f"{Path(model).stem}-{digest}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.rows: dict[str, Transcript] = {}
        for line in self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else ():
            try:
                row = json.loads(line)
                key, words = row.pop("key"), row.pop("words")
                self.rows[key] = Transcript(**row, words=words if words is None else tuple(Word(**word) for word in words))
            except (ValueError, TypeError, KeyError, AttributeError):  # half a line, or one of an older make
                continue

    def get(self, key: str) -> Transcript | None:
        return self.rows.get(key)

    def put(self, key: str, one: Transcript) -> None:
        row = {"key": key} | {name: value for name, value in asdict(one).items() if name != "features"}
        # one write of one whole line, begun on a fresh one: what a killed or a second process leaves does no harm
        try:
            with self.path.open("ab") as file:
                file.write(("\n" + json.dumps(row, ensure_ascii=False)).encode("utf-8"))
        except OSError as error:
            do = "free some space or set VCEMO_CACHE to another disk; what is done is kept"
            raise VcemoError(f"could not keep transcripts: {error.strerror}", where=self.path, do=do) from error
        self.rows[key] = one


def _frame(ids: Sequence[str], found: Sequence[Transcript]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([vars(one) for one in found], index=pd.Index(ids, name="utt_id"), columns=list(Transcript.__dataclass_fields__))


# ---- comparing texts -------------------------------------------------------------------------------------

_NUMERALS = "零一二三四五六七八九"
# forms that sound alike and mean the same here, and what stays ambiguous in a character table
_SAME = str.maketrans("两〇着妳甚祂牠裏", "二零着你什他它里") | {ord("著"): "着"}
_NUMBER = re.compile(r"(\d+)\.(\d+)|(\d+)")


def _below_ten_thousand(number: int) -> str:
    digits = str(number)
    text = ""
    for place, digit in zip(range(len(digits) - 1, -1, -1), digits, strict=True):
        if digit != "0":
            text += _NUMERALS[int(digit)] + ("", "十", "百", "千")[place]
        elif not text.endswith("零"):
            text += "零"
    return text.rstrip("零")


def numerals(number: int) -> str:
    """A whole number as it is read in Mandarin: 13 -> 十三, 205 -> 二百零五, 10300 -> 一万零三百."""
    if number == 0:
        return _NUMERALS[0]
    text, unit = "", 0
    while number:
        number, part = divmod(number, 10_000)
        if part:
            gap = "零" if number and part < 1_000 else ""
            text = gap + _below_ten_thousand(part) + ("", "万", "亿", "万亿")[unit] + text
        elif text and not text.startswith("零"):
            text = "零" + text
        unit += 1
    return text.removeprefix("一") if text.startswith("一十") else text


def _read_number(match: re.Match) -> str:
    whole, fraction, alone = match.groups()
    if fraction:
        return numerals(int(whole)) + "点" + "".join(_NUMERALS[int(d)] for d in fraction)
    year = match.string[match.end() : match.end() + 1] == "年" and len(alone) in (2, 4)
    telephone = len(alone) > 6 and not alone.endswith("0000") or len(alone) > 16 or alone.startswith("0")
    return "".join(_NUMERALS[int(d)] for d in alone) if year or telephone else numerals(int(alone))


def normalise(text: str) -> str:
    """A text as it is compared: half width, lower case, Simplified, numbers as they are read, no punctuation or spaces.

    13点 and 十三点 become the same, and so do 两 and 二.
    """
    from vcemo_lib.hanzi import TO_SIMPLIFIED

    text = unicodedata.normalize("NFKC", text).lower().translate(TO_SIMPLIFIED).translate(_SAME)
    text = re.sub(r"(?<=\d)[,](?=\d{3})", "", text)
    text = re.sub(r"(\d+(?:\.\d+)?)%", r"百分之\1", text)
    text = re.sub(r"(\d{1,2}):(\d{2})(?!\d)", lambda m: f"{int(m[1])}点{int(m[2])}分" if int(m[2]) else f"{int(m[1])}点", text)
    text = _NUMBER.sub(_read_number, text)
    return "".join(c for c in text if unicodedata.category(c)[0] in "LNM")  # letters, numbers and marks


def _distances(ref: str, hyp: str) -> np.ndarray:
    """Levenshtein's table (len(ref) + 1, len(hyp) + 1)."""
    table = np.zeros((len(ref) + 1, len(hyp) + 1), dtype=np.int64)
    table[0] = above = list(range(len(hyp) + 1))
    for i, r in enumerate(ref, start=1):
        row = [i]
        for j, h in enumerate(hyp, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (r != h)))
        table[i] = above = row
    return table


def align(ref: str, hyp: str) -> list[tuple[str, str, str]]:
    """Two texts, normalised, aligned at the least number of edits: (op, character of ref, character of hyp) each.

    op is "=" same, "~" substituted, "-" deleted (said, not heard), "+" inserted (heard, not said).
    """
    ref, hyp = normalise(ref), normalise(hyp)
    table = _distances(ref, hyp)
    i, j, steps = len(ref), len(hyp), []
    while i or j:
        if i and j and table[i, j] == table[i - 1, j - 1] + (ref[i - 1] != hyp[j - 1]):
            i, j = i - 1, j - 1
            steps.append(("=" if ref[i] == hyp[j] else "~", ref[i], hyp[j]))
        elif i and table[i, j] == table[i - 1, j] + 1:
            i -= 1
            steps.append(("-", ref[i], ""))
        else:
            j -= 1
            steps.append(("+", "", hyp[j]))
    return steps[::-1]


def edits(ref: str, hyp: str, clean: Callable[[str], str] = normalise) -> tuple[int, int]:
    """(number of edits, number of characters in the reference), both texts put through `clean` first."""
    ref = clean(ref)
    return int(_distances(ref, clean(hyp))[-1, -1]), len(ref)


def cer(ref: str | Sequence[str], hyp: str | Sequence[str], clean: Callable[[str], str] = normalise) -> float:
    """Character error rate: edits over characters of the reference, of a pair or, pooled, of two lists of equal length.

    0 is perfect and it may exceed 1. An empty reference gives 0 for an empty hypothesis, else infinity. `clean` is what
    both texts go through before they are compared; `str` compares them as they are written.
    """
    pairs = [(ref, hyp)] if isinstance(ref, str) else list(zip(ref, hyp, strict=True))
    wrong, characters = np.sum([edits(r, h, clean) for r, h in pairs], axis=0) if pairs else (0, 0)
    return float(wrong / characters) if characters else (0.0 if not wrong else float("inf"))


def cer_table(
    corpus: Corpus, hyps: pd.DataFrame | pd.Series | Mapping[str, str] | Sequence[str], by: str = "emotion", n: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """CER by group with 95 % bootstrap intervals: index the group (and "all"), columns clips, characters, cer, low, high.

    `by` is a column of the manifest ("emotion", "speaker", "group", ...) or "length" (characters in the reference). Speakers
    are drawn with replacement, whole, as clips of one speaker err alike; within one speaker, clips are. `hyps` is what
    `transcribe` gave, or texts by utt_id, or texts in the corpus' order.
    """
    import pandas as pd

    texts = hyps["text"] if isinstance(hyps, pd.DataFrame) else hyps
    if not hasattr(texts, "keys"):
        texts = dict(zip(corpus.ids, [t.text if isinstance(t, Transcript) else t for t in texts], strict=True))
    if missing := [utt_id for utt_id in corpus.ids if utt_id not in texts]:
        raise VcemoError(f"{len(missing)} clips have no transcript", where=missing[0], do="transcribe the whole corpus")
    counts = np.array([edits(corpus.text_of(utt_id), texts[utt_id]) for utt_id in corpus.ids]).reshape(-1, 2)  # (N, 2)
    if by == "length":
        bounds = [0, 5, 8, 11, 15, 10_000]
        names = ["1-5", "6-8", "9-11", "12-15", "16 and more"]
        groups = np.asarray(pd.cut(counts[:, 1], bounds, labels=names).astype(object))
    elif by in corpus.table.columns:
        groups = corpus.table[by].to_numpy()
        names = sorted(set(groups))
    else:
        raise VcemoError(f"no column {by!r} in the manifest", do='choose "emotion", "speaker", "length" or a column')
    speakers = corpus.table["speaker"].to_numpy()
    rng = np.random.default_rng(seed)
    rows = {}
    for name in [*names, "all"]:
        chosen = np.ones(len(groups), dtype=bool) if name == "all" else groups == name
        if not chosen.any():
            continue
        part = counts[chosen]
        _, cluster = np.unique(speakers[chosen], return_inverse=True)
        if cluster.max() == 0:
            cluster = np.arange(len(part))
        sums = np.zeros((cluster.max() + 1, 2))
        np.add.at(sums, cluster, part)
        drawn = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=n) @ sums  # (n, 2)
        low, high = np.percentile(drawn[:, 0] / np.maximum(drawn[:, 1], 1), [2.5, 97.5])
        wrong, characters = part.sum(axis=0)
        rows[name] = dict(clips=len(part), characters=int(characters), cer=wrong / max(characters, 1), low=low, high=high)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(by)
