"""When each word is heard: openai-whisper's method (attention, median filter, time warping) for a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from vcemo_lib import audio
from vcemo_lib.asr.decoding import Decoded, Decoder, Word, tokenizer_of
from vcemo_lib.asr.encoder import FRAME

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor
    from whisper import Whisper
    from whisper.tokenizer import Tokenizer

MEDIAN_FRAMES = 7
FRAME_SECONDS = FRAME / audio.SAMPLE_RATE


def add_words(
    model: Whisper, encoded: Float[Tensor, "batch time width"], heard: list[Decoded],
    waves: Sequence[np.ndarray],
) -> None:  # fmt: skip
    """Give each clip its words' times, from the cross-attention of the heads that follow the sound."""
    import torch
    from torch.nn.utils.rnn import pad_sequence
    from whisper.timing import median_filter

    for clip in heard:
        clip.words = ()
    spoken = [b for b, clip in enumerate(heard) if clip.tokens]
    if not spoken:
        return
    tokenizers = [tokenizer_of(model, heard[b].language) for b in spoken]
    starts, eot = [t.sot_sequence_including_notimestamps for t in tokenizers], tokenizers[0].eot
    rows = [torch.tensor([*sot, *heard[b].tokens, eot]) for sot, b in zip(starts, spoken, strict=True)]
    tokens = pad_sequence(rows, batch_first=True, padding_value=eot).to(encoded.device)

    decoder = Decoder(model, encoded[torch.tensor(spoken, device=encoded.device)])
    logits = decoder.logits(decoder(tokens))  # (B, n, vocabulary)
    heads = model.alignment_heads.indices().T.tolist()
    scores = torch.stack([decoder.scores[layer][:, head] for layer, head in heads], dim=1)  # (B, heads, n, T)

    first = len(starts[0])
    for row, (b, tokenizer) in enumerate(zip(spoken, tokenizers, strict=True)):
        last = first + len(heard[b].tokens)
        frames = max(1, min(scores.shape[-1], ceil(len(waves[b]) / FRAME)))
        attention = scores[row, :, : last + 1, :frames].float().softmax(dim=-1)  # (heads, n, T)
        spread, mean = torch.std_mean(attention, dim=-2, keepdim=True, unbiased=False)
        attention = median_filter((attention - mean) / spread.clamp_min(1e-9), MEDIAN_FRAMES).mean(dim=0)
        begin = token_starts(-attention[first - 1 : -1].cpu().numpy()) * FRAME_SECONDS
        chances = logits[row, first - 1 : last - 1].float().softmax(dim=-1)
        certain = chances.gather(1, tokens[row, first:last, None])[:, 0].tolist()
        heard[b].words = _within_sound(_words(tokenizer, heard[b].tokens, begin, certain), waves[b])


def token_starts(cost: Float[np.ndarray, "tokens frames"]) -> np.ndarray:
    """The frame at which each token begins, (tokens,), on the cheapest monotonic path."""
    from whisper.timing import dtw_cpu

    # not compiled: numba takes 3 s for it, more than it would save on some hundred clips
    rows, frames = dtw_cpu.py_func(cost.astype(np.float64))
    return frames[np.diff(rows, prepend=-1) > 0]


def _words(
    tokenizer: Tokenizer, tokens: list[int], starts: np.ndarray, certain: Sequence[float]
) -> list[Word]:
    """Tokens put together to words; `starts` (s) has an entry more, the end of the last token."""
    words: list[Word] = []
    first = 0
    for text, group in zip(*tokenizer.split_to_word_tokens(tokens), strict=True):
        last = first + len(group)
        start, end = float(starts[first]), float(starts[min(last, len(starts) - 1)])
        probability = float(np.mean(certain[first:last]))
        first = last
        if words and not any(c.isalnum() for c in text):  # punctuation belongs to the word before it
            words[-1] = replace(words[-1], text=words[-1].text + text)
        else:
            words.append(Word(text, round(start, 2), round(max(start, end), 2), round(probability, 4)))
    return words


def _within_sound(words: Sequence[Word], wave: np.ndarray) -> tuple[Word, ...]:
    """Words without the silence that the alignment gives them, before a first word or in a pause."""
    sounding, result = audio.sounding(wave), []  # 10 ms a frame
    for word in words:
        heard = np.flatnonzero(sounding[round(word.start * 100) : round(word.end * 100)])
        if len(heard):
            start, end = (round(word.start + int(k) / 100, 2) for k in (heard[0], heard[-1] + 1))
            word = replace(word, start=start, end=end)
        result.append(word)
    return tuple(result)
