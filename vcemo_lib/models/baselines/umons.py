"""Delbrouck et al. 2020, "A Transformer-based joint-encoding for Emotion Recognition and Sentiment Analysis".

arXiv 2006.15955; sizes from the run in the README of the authors' code, jbdel/MOSEI_UMONS.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vcemo_lib.models.attention import Dropout, GuidedAttention, Residual, SelfAttention, feed_forward
from vcemo_lib.models.baselines import Output, Recurrent, Rival
from vcemo_lib.models.batch import Batch
from vcemo_lib.models.settings import Settings
from vcemo_lib.models.vcemo import Tokens


class UMONS(Rival):
    """Blocks of co-attention: the words guide the sound depth by depth, which is what VCEMO changes.

    words  (B, W, 300) -> LSTM   -> x -+
                                       +- blocks of x' = SA(x), y' = GA(y, guide = x) -> pool each, add -> Linear
    audio  (B, T, F)   -> Linear -> y -+

    Both are cut at `length` steps: the glimpses of a block are that many.
    """

    name = "umons"
    PUBLISHED = {
        "audio_pool": (16, 1),  # "reduction factor" 16
        "length": 60,  # words, and frames after the reduction
        "width": 512,
        "heads": 4,
        "layers": 4,
        "ff_width": 1024,
        "dropout": 0.1,
        "text_dropout": 0.0,  # none on the vectors
        "lr": 1e-4,
        "batch_size": 32,
        "epochs": 99,
        "patience": 5,  # theirs halves the rate twice, then waits for 3 epochs; ours waits at one rate
        "select": "wa",
    }
    SMALL = {
        "audio_pool": (16, 1),
        "length": 32,  # 5 s
        "layers": 2,  # with one, same depth and final output could not differ
    }

    def __init__(self, settings: Settings, widths: Mapping[str, int] | None = None) -> None:
        super().__init__(settings, widths)
        s, d = settings, settings.width
        self.text = Recurrent(self.widths["words"], d, both_ways=False)
        self.voice = nn.Linear(self.bands, d)
        self.blocks = nn.ModuleList(Block(s, last=i == s.layers - 1) for i in range(s.layers))
        self.pools = nn.ModuleList(Glimpses(d, s.ff_width, 1, s.dropout) for _ in range(2))
        self.merges = nn.ModuleList(nn.Linear(d, 2 * d) for _ in range(2))
        self.predictor = nn.Sequential(nn.LayerNorm(2 * d), nn.Linear(2 * d, s.classes))
        self.text_dropout = Dropout(s.text_dropout)

    def forward(self, batch: Batch) -> Output:
        """A batch -> logits (B, classes); "fusion1": one map (B, h, T, W) a block, sound over words."""
        (audio, heard), (words, real) = (self.cut(*tokens) for tokens in self.read(batch))
        x, y = self.text(self.text_dropout(words), real), self.voice(audio)  # (B, W, d), (B, T, d)
        maps = []
        for block in self.blocks:
            x, y, weights = block((x, real), (y, heard))
            maps.append(weights)
        sides = zip(self.pools, self.merges, ((x, real), (y, heard)), strict=True)
        features = sum(merge(pool(*side)[:, 0]) for pool, merge, side in sides)  # (B, 2 d)
        return Output(self.predictor(features), None, features, {"fusion1": maps})

    def cut(self, x: Tensor, mask: Tensor) -> Tokens:
        """At most `length` steps."""
        return x[:, : self.settings.length], mask[:, : self.settings.length]


class Block(nn.Module):
    """x looks at itself; y at itself, then at x as it *came in*. Except in the last, every step then takes a glimpse."""

    def __init__(self, s: Settings, last: bool) -> None:
        super().__init__()
        layer = (s.width, s.heads, s.ff_width, s.dropout)
        self.look, self.ask = SelfAttention(*layer), GuidedAttention(*layer)
        sides = 0 if last else 2
        self.glimpses = nn.ModuleList(Glimpses(s.width, s.ff_width, s.length, s.dropout) for _ in range(sides))
        self.joins = nn.ModuleList(Residual(s.width, s.dropout) for _ in range(sides))

    def forward(self, words: Tokens, audio: Tokens) -> tuple[Tensor, Tensor, Tensor]:
        """(B, W, d), (B, T, d) with their masks -> both anew, and the map (B, h, T, W)."""
        (x, real), (y, heard) = words, audio
        found, weights = self.ask(y, x, heard, real)
        x, y = self.look(x, real)[0] + x, found + y  # a second residual, theirs
        if self.glimpses:
            x = self.joins[0](x, self.glimpses[0](x, real)[:, : x.shape[1]])
            y = self.joins[1](y, self.glimpses[1](y, heard)[:, : y.shape[1]])
        return x, y, weights


class Glimpses(nn.Module):
    """`count` weighted means of a sequence, each with weights of its own (MCAN's AttFlat, without its last layer)."""

    def __init__(self, width: int, hidden: int, count: int, dropout: float) -> None:
        super().__init__()
        self.score = feed_forward(width, hidden, dropout)
        self.score[-1] = nn.Linear(hidden, count)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, d) -> (B, count, d)."""
        weights = self.score(x).masked_fill(~mask[..., None], -math.inf).softmax(dim=1)  # (B, T, count)
        return torch.einsum("btc,btd->bcd", weights, x)
