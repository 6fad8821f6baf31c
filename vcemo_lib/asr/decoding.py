"""Whisper's decoder, greedy, for a batch of short clips; it attends to silence behind them, or it loops."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from vcemo_lib.asr.encoder import KeyValue, silence, split_heads
from vcemo_lib.errors import VcemoError

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from whisper import Whisper
    from whisper.tokenizer import Tokenizer

# one token 8 times on end (laughter may come 7 times), or a run of 2 to 12 tokens 4 times
_LOOP = re.compile(r"(.)\1{7,}|(.{2,12}?)\2{3,}", re.DOTALL)


@dataclass(frozen=True)
class Word:
    """One word (in Chinese one character, with the punctuation after it) and when it is heard, in seconds."""

    text: str
    start: float
    end: float
    probability: float


@dataclass
class Decoded:
    """One clip as decoded."""

    tokens: list[int]  # no special ones
    no_speech: float
    avg_logprob: float = 0.0
    unfinished: bool = True  # the token cap was reached before the end of text
    words: tuple[Word, ...] | None = None


def cut_loops(tokens: Sequence[int]) -> list[int]:
    """The tokens with every run that is repeated as no speaker would cut to its first occurrence."""
    return [ord(c) for c in _LOOP.sub(r"\1\2", "".join(map(chr, tokens)))]


def tokenizer_of(model: Whisper, language: str) -> Tokenizer:
    """The tokenizer of a Whisper for a language; VcemoError where it knows none such."""
    from whisper.tokenizer import get_tokenizer

    known = {"num_languages": model.num_languages, "language": language, "task": "transcribe"}
    try:
        return get_tokenizer(model.is_multilingual, **known)
    except ValueError as error:
        raise VcemoError(f"Whisper knows no language {language!r}", do='give a code: "zh", "en"') from error


def keys_and_values(model: Whisper, encoded: Float[Tensor, "batch time width"]) -> list[KeyValue]:
    """What each decoder block's cross-attention sees of encoded sound: (B, heads, T, width / heads)."""
    attns = [block.cross_attn for block in model.decoder.blocks]
    return [(split_heads(a.key(encoded), a.n_head), split_heads(a.value(encoded), a.n_head)) for a in attns]


@lru_cache(maxsize=2)
def silent_keys_and_values(model: Whisper, dtype: torch.dtype) -> list[KeyValue]:
    """The same of a full window of silence, (heads, 1500, width / heads)."""
    _, encoded = silence(model, dtype)
    return [(k[0].contiguous(), v[0].contiguous()) for k, v in keys_and_values(model, encoded[None])]


class Decoder:
    """Whisper's decoder with its keys and values kept, for a batch of encoded clips."""

    def __init__(self, model: Whisper, encoded: Float[Tensor, "batch time width"]) -> None:
        self.decoder = model.decoder
        self.cross = keys_and_values(model, encoded)
        own, silent = encoded.shape[1], silent_keys_and_values(model, encoded.dtype)
        self.silence = [(k[:, own:], v[:, own:]) for k, v in silent]
        self.past: list[KeyValue] = []  # of the tokens so far, a pair a block
        self.scores: list[Tensor] = []  # per block, of the last call: (B, heads, n, T), before the softmax

    def __call__(self, tokens: Int[Tensor, "batch n"]) -> Float[Tensor, "batch n width"]:
        """The hidden states of new tokens; what came before is remembered."""
        start = self.past[0][0].shape[2] if self.past else 0
        positions = self.decoder.positional_embedding[start : start + tokens.shape[1]]
        x = (self.decoder.token_embedding(tokens) + positions).to(self.cross[0][0].dtype)
        self.scores = []
        for i, block in enumerate(self.decoder.blocks):
            x = x + self._self_attn(block.attn, block.attn_ln(x), i)
            x = x + self._cross_attn(block.cross_attn, block.cross_attn_ln(x), i)
            x = x + block.mlp(block.mlp_ln(x))
        return self.decoder.ln(x)

    def _self_attn(self, attn, x: Tensor, i: int) -> Tensor:
        q, k, v = (split_heads(part(x), attn.n_head) for part in (attn.query, attn.key, attn.value))
        if i < len(self.past):
            k, v = torch.cat([self.past[i][0], k], dim=2), torch.cat([self.past[i][1], v], dim=2)
        self.past[i : i + 1] = [(k, v)]
        mixed = scaled_dot_product_attention(q, k, v, is_causal=x.shape[1] > 1)
        return attn.out(mixed.transpose(1, 2).flatten(2))

    def _cross_attn(self, attn, x: Tensor, i: int) -> Tensor:
        (k, v), (silent_k, silent_v) = self.cross[i], self.silence[i]
        q = split_heads(attn.query(x), attn.n_head)  # (B, H, n, d)
        q = q * q.shape[-1] ** -0.5
        rows = (len(q), q.shape[2])
        own = q @ k.transpose(-1, -2)  # (B, H, n, T)
        # one product for the whole batch, as the silence is the same for every clip: (H, B n, d) x (H, d, S)
        silent = q.transpose(0, 1).flatten(1, 2) @ silent_k.transpose(-1, -2)
        silent = silent.unflatten(1, rows).transpose(0, 1)  # (B, H, n, S)
        share = torch.cat([own, silent], dim=-1).float().softmax(dim=-1).to(q.dtype)
        mixed = share[..., : own.shape[-1]] @ v
        rest = share[..., own.shape[-1] :].transpose(0, 1).flatten(1, 2) @ silent_v
        mixed += rest.unflatten(1, rows).transpose(0, 1)
        self.scores.append(own)
        return attn.out(mixed.transpose(1, 2).flatten(2))

    def logits(self, hidden: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch vocabulary"]:
        return (hidden @ self.decoder.token_embedding.weight.to(hidden.dtype).T).float()

    def keep(self, rows: Int[Tensor, " kept"]) -> None:
        """Go on with these rows of the batch only."""
        self.cross = [(k[rows], v[rows]) for k, v in self.cross]
        self.past = [(k[rows], v[rows]) for k, v in self.past]


def greedy(
    model: Whisper, tokenizer: Tokenizer, encoded: Float[Tensor, "batch time width"], before: list[int],
    caps: Sequence[int],
) -> list[Decoded]:  # fmt: skip
    """Decode a batch at temperature 0, without timestamps, after `before`, at most caps[b] tokens each."""
    device = encoded.device
    never = torch.zeros(model.dims.n_vocab, device=device)
    never[list(tokenizer.non_speech_tokens)] = -torch.inf
    never[tokenizer.eot + 1 :] = -torch.inf  # special tokens: tasks, times
    first = never.clone()
    first[[*tokenizer.encode(" "), tokenizer.eot]] = -torch.inf  # as openai-whisper: something is always said

    start = [*before, *tokenizer.sot_sequence_including_notimestamps]
    decoder = Decoder(model, encoded)
    hidden = decoder(torch.tensor([start], device=device).repeat(len(encoded), 1))
    silent = decoder.logits(hidden[:, len(before)]).softmax(dim=-1)[:, tokenizer.no_speech]
    clips = [Decoded([], no_speech) for no_speech in silent.tolist()]
    rows = list(range(len(clips)))  # clips still decoded, in the decoder's order
    logits = decoder.logits(hidden[:, -1]) + first
    while True:
        scores, chosen = logits.log_softmax(dim=-1).max(dim=-1)
        for row, token, score in zip(rows, chosen.tolist(), scores.tolist(), strict=True):
            clip = clips[row]
            if clip.unfinished and len(clip.tokens) < caps[row]:
                clip.avg_logprob += score  # a sum so far
                clip.unfinished = token != tokenizer.eot
                clip.tokens += [token] if clip.unfinished else []
        going = [k for k, i in enumerate(rows) if clips[i].unfinished and len(clips[i].tokens) < caps[i]]
        if not going:
            break
        if len(going) <= 0.75 * len(rows):  # finished clips cost as much as others: leave them out at times
            keep = torch.tensor(going, device=device)
            decoder.keep(keep)
            chosen, rows = chosen[keep], [rows[k] for k in going]
        logits = decoder.logits(decoder(chosen[:, None])[:, -1]) + never
    for clip in clips:
        clip.avg_logprob /= len(clip.tokens) + (not clip.unfinished) or 1
    return clips
