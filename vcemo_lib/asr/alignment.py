"""Which sound is a word's: in what Whisper hears, or in a given transcript."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vcemo_lib import audio
from vcemo_lib.asr.decoding import Decoded, Decoder, Word
from vcemo_lib.asr.encoder import FRAME

if TYPE_CHECKING:
    from jaxtyping import Float
    from whisper import Whisper
    from whisper.tokenizer import Tokenizer

PAUSE = 10  # frames without voice: a word does not go on behind so long a silence


def add_words(
    model: Whisper, tokenizer: Tokenizer, encoded: Float[Tensor, "batch time width"], heard: list[Decoded],
    waves: Sequence[np.ndarray],
) -> None:  # fmt: skip
    """Give each clip its words' times: openai-whisper's method (attention, median filter, time warping)."""
    from whisper.timing import dtw_cpu, median_filter

    for clip in heard:
        clip.words = ()
    if not (spoken := [b for b, clip in enumerate(heard) if clip.tokens]):
        return
    start, eot = tokenizer.sot_sequence_including_notimestamps, tokenizer.eot
    rows = [torch.tensor([*start, *heard[b].tokens, eot]) for b in spoken]
    tokens = pad_sequence(rows, batch_first=True, padding_value=eot).to(encoded.device)
    decoder = Decoder(model, encoded[torch.tensor(spoken, device=encoded.device)])
    logits = decoder.logits(decoder(tokens))  # (B, n, vocabulary)
    heads = model.alignment_heads.indices().T.tolist()
    scores = torch.stack([decoder.scores[layer][:, head] for layer, head in heads], dim=1)  # (B, heads, n, T)

    first = len(start)
    for row, b in enumerate(spoken):
        last = first + len(heard[b].tokens)
        frames = max(1, min(scores.shape[-1], ceil(len(waves[b]) / FRAME)))
        attention = scores[row, :, : last + 1, :frames].float().softmax(dim=-1)  # (heads, n, T)
        spread, mean = torch.std_mean(attention, dim=-2, keepdim=True, unbiased=False)
        attention = median_filter((attention - mean) / spread.clamp_min(1e-9), 7).mean(dim=0)
        path = dtw_cpu.py_func(-attention[first - 1 : -1].double().cpu().numpy())  # numba would take 3 s
        begin = path[1][np.diff(path[0], prepend=-1) > 0] * FRAME / audio.SAMPLE_RATE
        chances = logits[row, first - 1 : last - 1].float().softmax(dim=-1)
        certain = chances.gather(1, tokens[row, first:last, None])[:, 0].tolist()
        heard[b].words = _words(tokenizer, heard[b].tokens, begin, certain, waves[b])


def _words(
    tokenizer: Tokenizer, tokens: list[int], starts: np.ndarray, certain: Sequence[float], wave: np.ndarray
) -> tuple[Word, ...]:
    """Tokens put together to words, without silence before or behind; `starts` (s) has an entry more."""
    words: list[Word] = []
    first, sounding = 0, audio.sounding(wave)  # 10 ms a frame
    for text, group in zip(*tokenizer.split_to_word_tokens(tokens), strict=True):
        last = first + len(group)
        start, end = float(starts[first]), float(starts[min(last, len(starts) - 1)])
        probability, first = round(float(np.mean(certain[first:last])), 4), last
        if words and not any(c.isalnum() for c in text):  # punctuation belongs to the word before it
            words[-1] = replace(words[-1], text=words[-1].text + text)
            continue
        heard = round(start * 100) + np.flatnonzero(sounding[round(start * 100) : round(end * 100)])
        if len(heard):
            start, end = heard[0] / 100, (heard[-1] + 1) / 100
        words.append(Word(text, round(start, 2), round(max(start, end), 2), probability))
    return tuple(words)


def over_voice(words: Sequence[str], mel: np.ndarray) -> np.ndarray:
    """Words laid over the voiced frames of mel (T, 80) by their share of the characters: (W, 2), frames."""
    if not len(words):
        return np.zeros((0, 2), np.float32)
    level = np.logaddexp.reduce(mel.astype(np.float64), axis=1) * 10 / np.log(10)  # (T,) dB
    voiced = np.flatnonzero(level > level.max() - audio.SOUNDING_DB)  # (V,) frames, in order
    ends = np.cumsum([len(word) for word in words], dtype=float)
    cuts = np.round(np.append(0, ends / ends[-1]) * len(voiced)).astype(int)  # (W + 1,), of the voiced frames
    spans = np.zeros((len(words), 2), np.float32)
    for span, a, b in zip(spans, np.minimum(cuts[:-1], len(voiced) - 1), cuts[1:], strict=True):
        piece = voiced[a : max(b, a + 1)]  # a word has one frame at least
        piece = max(np.split(piece, np.flatnonzero(np.diff(piece) > PAUSE) + 1), key=len)  # over no pause
        span[:] = piece[0], piece[-1] + 1
    return spans


def from_times(words: Sequence[str], heard: Iterable[Word]) -> np.ndarray:
    """Words of a transcript, (W, 2) frames, from what Whisper heard, by characters; (0, 0): not heard."""
    clock: list[tuple[str, float, float]] = []  # a character, its start and end; punctuation takes no time
    for timed in heard:
        spoken = [c for c in timed.text if c.isalnum()]
        bounds = np.linspace(timed.start, timed.end, len(spoken) + 1).tolist()
        clock += zip(spoken, bounds[:-1], bounds[1:], strict=True)
    matches = SequenceMatcher(None, "".join(words), "".join(c for c, _, _ in clock), autojunk=False)
    times = {a + i: clock[b + i][1:] for a, b, size in matches.get_matching_blocks() for i in range(size)}
    spans, first = np.zeros((len(words), 2), np.float32), 0
    for span, word in zip(spans, words, strict=True):
        known = [times[i] for i in range(first, first + len(word)) if i in times]
        if known:
            span[:] = 100 * known[0][0], 100 * known[-1][1]
        first += len(word)
    return spans
