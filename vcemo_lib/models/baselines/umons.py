"""Delbrouck et al. 2020, a transformer-based joint-encoding (arXiv 2006.15955, code jbdel/MOSEI_UMONS)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vcemo_lib.models.attention import AddNorm, GuidedAttention, SelfAttention, feed_forward
from vcemo_lib.models.baselines import Baseline, Widths
from vcemo_lib.models.batch import Batch
from vcemo_lib.models.branches import Mask, Masked, Recurrent, Tokens
from vcemo_lib.models.settings import Settings
from vcemo_lib.models.vcemo import Output


class UMONS(Baseline):
    """Blocks of co-attention: the words guide the sound depth by depth, which is what VCEMO changes.

    words  (B, W, 300) -> LSTM   -> x -+
                                       +- blocks of x' = SA(x), y' = GA(y, x) -> pool each, add -> Linear
    audio  (B, T, F)   -> Linear -> y -+

    Both are cut at `length` steps: the glimpses of a block are that many.
    """

    name = "umons"

    def __init__(self, s: Settings, widths: Widths = None) -> None:
        super().__init__(s, widths)
        d = s.width
        self.words_rnn = Recurrent(self.widths["words"], d, bidirectional=False)
        self.frame = nn.Linear(self.bands, d)
        self.blocks = nn.ModuleList(Block(s, last=i == s.layers - 1) for i in range(s.layers))
        self.pools = nn.ModuleList(Glimpses(s, count=1) for _ in range(2))
        self.merges = nn.ModuleList(nn.Linear(d, 2 * d) for _ in range(2))
        self.predictor = nn.Sequential(nn.LayerNorm(2 * d), nn.Linear(2 * d, s.classes))

    def forward(self, batch: Batch) -> Output:
        """A batch -> logits (B, classes); "fusion1": one map (B, h, T, W) a block, sound over words."""
        n, maps = self.settings.length, []
        (audio, y_mask), (words, x_mask) = ((x[:, :n], mask[:, :n]) for x, mask in self.read(batch))
        x, y = self.words_rnn(self.text_dropout(words), x_mask), self.frame(audio)  # (B, W, d), (B, T, d)
        for block in self.blocks:
            x, y, weights = block((x, x_mask), (y, y_mask))
            maps.append(weights)
        pooled = self.pools[0](x, x_mask)[:, 0], self.pools[1](y, y_mask)[:, 0]  # (B, d) each
        features = self.merges[0](pooled[0]) + self.merges[1](pooled[1])  # (B, 2 d)
        return Output(self.predictor(features), None, features, {"fusion1": maps})


class Block(nn.Module):
    """SA on x; GA on y, guided by x as it *came in*. Then, but in the last block, glimpses."""

    def __init__(self, s: Settings, last: bool) -> None:
        super().__init__()
        layer, sides = (s.width, s.heads, s.ff_width, s.dropout), range(0 if last else 2)
        self.self_attn, self.guided_attn = SelfAttention(*layer), GuidedAttention(*layer)
        self.glimpses = nn.ModuleList(Glimpses(s, s.length) for _ in sides)
        self.norms = nn.ModuleList(AddNorm(s.width, s.dropout) for _ in sides)

    def forward(self, words: Masked, audio: Masked) -> tuple[Tokens, Tokens, Tensor]:
        """(B, W, d), (B, T, d) with their masks -> both anew, and the map (B, h, T, W)."""
        (x, x_mask), (y, y_mask) = words, audio
        guided, weights = self.guided_attn(y, x, y_mask, x_mask)
        x, y = self.self_attn(x, x_mask)[0] + x, guided + y  # a second residual, theirs
        if self.glimpses:
            x = self.norms[0](x, self.glimpses[0](x, x_mask)[:, : x.shape[1]])
            y = self.norms[1](y, self.glimpses[1](y, y_mask)[:, : y.shape[1]])
        return x, y, weights


class Glimpses(nn.Module):
    """`count` weighted means of a sequence, each with its own weights (MCAN's AttFlat but its last layer)."""

    def __init__(self, s: Settings, count: int) -> None:
        super().__init__()
        self.score = feed_forward(s.width, s.ff_width, s.dropout)
        self.score[-1] = nn.Linear(s.ff_width, count)

    def forward(self, x: Tokens, mask: Mask) -> Tensor:
        """x (B, T, d) -> (B, count, d)."""
        weights = self.score(x).masked_fill(~mask[..., None], -math.inf).softmax(dim=1)  # (B, T, count)
        return torch.einsum("btc,btd->bcd", weights, x)
