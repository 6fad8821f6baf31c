"""Attention, from the formula up to the paper's co-attention (section 3.3, figure 2).

B utterances, T query steps, S key steps, d channels, h heads. A mask is True where a step is real.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """nn.Dropout at a seventh of the cost on a processor, where drawing random numbers is most of it.

    Each element gets a random byte, eight of them from one draw, and is dropped if the byte is below 256 p.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p or x.device.type != "cpu":
            return super().forward(x)
        draws = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        limit = round(256 * self.p)
        keep = draws.view(torch.uint8)[: x.numel()].view(x.shape) >= limit
        return x * keep.to(x.dtype).mul_(256 / (256 - limit))  # scaled, so that the expected value stays


class Attention(nn.Module):
    """softmax(q k^T / sqrt(d)) v over several heads (section 3.3, after Vaswani et al. 2017).

    Keys that are padding get no weight. Every row needs one real key at least: `Batch.sequence` sees to it.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.dropout = Dropout(dropout)

    def forward(self, query: Tensor, source: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """query (B, T, d) looks at source (B, S, d) -> what it found (B, T, d), attention map (B, h, T, S)."""
        q, k, v = (self.split(x) for x in (self.q(query), self.k(source), self.v(source)))  # (B, h, T or S, d/h)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (B, h, T, S)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, :], -math.inf)
        weights = scores.softmax(dim=-1)  # (B, h, T, S)
        found = self.dropout(weights) @ v  # (B, h, T, d/h)
        return self.out(found.transpose(1, 2).flatten(2)), weights  # (B, T, d)

    def split(self, x: Tensor) -> Tensor:
        """(B, T, d) -> (B, h, T, d/h)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Residual(nn.Module):
    """LayerNorm(x + Dropout(change)): how every sub-layer is joined to the stream (post-norm, as in MCAN)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.dropout = nn.LayerNorm(width), Dropout(dropout)

    def forward(self, x: Tensor, change: Tensor) -> Tensor:
        return self.norm(x + self.dropout(change))  # (B, T, d)


def feed_forward(width: int, hidden: int, dropout: float) -> nn.Sequential:
    """The two linear layers that follow attention, at every step alike."""
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), Dropout(dropout), nn.Linear(hidden, width))


class SelfAttention(nn.Module):
    """SA: a sequence looks at itself, then thinks about it (section 3.3: q, k, v "from the same modality")."""

    def __init__(self, width: int, heads: int, ff_width: int, dropout: float) -> None:
        super().__init__()
        self.look, self.look_join = Attention(width, heads, dropout), Residual(width, dropout)
        self.think, self.think_join = feed_forward(width, ff_width, dropout), Residual(width, dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, T, d) -> (B, T, d), map (B, h, T, T)."""
        found, weights = self.look(x, x, mask)
        x = self.look_join(x, found)
        return self.think_join(x, self.think(x)), weights


class GuidedAttention(nn.Module):
    """GA: a sequence y looks at itself, then at a guide (section 3.3: "v and k from the same modality
    while q is from another").
    """

    def __init__(self, width: int, heads: int, ff_width: int, dropout: float) -> None:
        super().__init__()
        self.look, self.look_join = Attention(width, heads, dropout), Residual(width, dropout)
        self.ask, self.ask_join = Attention(width, heads, dropout), Residual(width, dropout)
        self.think, self.think_join = feed_forward(width, ff_width, dropout), Residual(width, dropout)

    def forward(
        self, y: Tensor, guide: Tensor, mask: Tensor | None = None, guide_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """y (B, T, d), guide (B, S, d) -> (B, T, d), map (B, h, T, S) of y's steps over the guide's."""
        y = self.look_join(y, self.look(y, y, mask)[0])
        found, weights = self.ask(y, guide, guide_mask)
        y = self.ask_join(y, found)
        return self.think_join(y, self.think(y)), weights


class CoAttention(nn.Module):
    """The co-attention layer of figure 2: an encoder of SA layers on x, a decoder of GA layers on y.

    Every decoder layer is guided by the encoder's *final* output, the paper's point of difference:
    "leveraging the final output of the self-attention layers can offer more enriched information".
    `guided_by="same_depth"` is the rival reading, layer by layer, as UMONS 2020 has it.
    """

    def __init__(
        self, width: int, heads: int, layers: int, ff_width: int, dropout: float, guided_by: str = "final"
    ) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(SelfAttention(width, heads, ff_width, dropout) for _ in range(layers))
        self.decoder = nn.ModuleList(GuidedAttention(width, heads, ff_width, dropout) for _ in range(layers))
        self.guided_by = guided_by

    def forward(
        self, x: Tensor, y: Tensor, x_mask: Tensor | None = None, y_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """x (B, S, d) guides y (B, T, d) -> x (B, S, d), y (B, T, d), one map (B, h, T, S) a layer."""
        depths = []
        for layer in self.encoder:
            x, _ = layer(x, x_mask)
            depths.append(x)
        guides = depths if self.guided_by == "same_depth" else [x] * len(depths)
        maps = []
        for layer, guide in zip(self.decoder, guides, strict=True):
            y, weights = layer(y, guide, y_mask, x_mask)
            maps.append(weights)
        return x, y, maps


class AttentionPool(nn.Module):
    """Many steps -> one vector: a learned score a step, softmax over time, weighted mean (MCAN's AttFlat)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(width, width), nn.ReLU(), Dropout(dropout), nn.Linear(width, 1))

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, d) -> (B, d), weights (B, T)."""
        scores = self.score(x).squeeze(-1).masked_fill(~mask, -math.inf)  # (B, T)
        weights = scores.softmax(dim=-1)
        return torch.einsum("bt,btd->bd", weights, x), weights


class MeanPool(nn.Module):
    """The plain mean of the real steps, with the same interface."""

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, d) -> (B, d), weights (B, T)."""
        weights = mask / mask.sum(dim=-1, keepdim=True)  # (B, T)
        return torch.einsum("bt,btd->bd", weights.to(x.dtype), x), weights
