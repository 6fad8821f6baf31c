"""Attention, from the formula up to the paper's co-attention (section 3.3). Masks are True at real steps."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

Tokens = Float[Tensor, "B T d"]
Mask = Bool[Tensor, "B T"]
Source = Float[Tensor, "B S d"]  # what is attended to
SourceMask = Bool[Tensor, "B S"]
AttentionMap = Float[Tensor, "B h T S"]
Attended = tuple[Tokens, AttentionMap]
Pooled = tuple[Float[Tensor, "B d"], Float[Tensor, "B T"]]  # the mean, and each step's weight


class Dropout(nn.Dropout):
    """nn.Dropout at a seventh of the cost on a processor: a random byte an element, eight from one draw."""

    def forward(self, x: Tensor) -> Tensor:
        threshold = round(256 * self.p)
        if not self.training or x.device.type != "cpu" or not 0 < threshold < 256:  # too fine for a byte
            return super().forward(x)
        draws = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        keep = draws.view(torch.uint8)[: x.numel()].view(x.shape) >= threshold
        return x * keep.to(x.dtype).mul_(256 / (256 - threshold))  # scaled, so that the expected value stays


class Attention(nn.Module):
    """Multi-head attention, softmax(q k^T / sqrt(d)) v. A row of a mask needs one real key at least."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tokens, source: Source, mask: SourceMask | None = None) -> Attended:
        """x attends to source: the mixed values and the attention map."""
        inputs = self.query(x), self.key(source), self.value(source)  # (B, T, d), (B, S, d), (B, S, d)
        q, k, v = (z.unflatten(-1, (self.heads, -1)).transpose(1, 2) for z in inputs)  # (B, h, T or S, d/h)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (B, h, T, S)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, :], -math.inf)
        weights = scores.softmax(dim=-1)  # (B, h, T, S)
        context = self.dropout(weights) @ v  # (B, h, T, d/h)
        return self.out(context.transpose(1, 2).flatten(2)), weights


class AddNorm(nn.Module):
    """LayerNorm(x + Dropout(change)): how each sub-layer joins the residual stream (post-norm, as MCAN)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.dropout = nn.LayerNorm(width), Dropout(dropout)

    def forward(self, x: Tokens, change: Tokens) -> Tokens:
        return self.norm(x + self.dropout(change))


def feed_forward(width: int, hidden: int, dropout: float, width_out: int | None = None) -> nn.Sequential:
    """An MLP with one hidden layer, at every step alike."""
    first, last = nn.Linear(width, hidden), nn.Linear(hidden, width_out or width)
    return nn.Sequential(first, nn.ReLU(), Dropout(dropout), last)


class SelfAttention(nn.Module):
    """SA, an encoder layer: self-attention, then an MLP (3.3: q, k and v "from the same modality")."""

    def __init__(self, width: int, heads: int, ff_width: int, dropout: float) -> None:
        super().__init__()
        self.self_attn, self.self_attn_norm = Attention(width, heads, dropout), AddNorm(width, dropout)
        self.mlp, self.mlp_norm = feed_forward(width, ff_width, dropout), AddNorm(width, dropout)

    def forward(self, x: Tokens, mask: Mask | None = None) -> Attended:
        context, weights = self.self_attn(x, x, mask)
        x = self.self_attn_norm(x, context)
        return self.mlp_norm(x, self.mlp(x)), weights


class GuidedAttention(nn.Module):
    """GA, a decoder layer: self-attention on y, whose queries then meet a guide (3.3), then an MLP."""

    def __init__(self, width: int, heads: int, ff_width: int, dropout: float) -> None:
        super().__init__()
        self.self_attn, self.self_attn_norm = Attention(width, heads, dropout), AddNorm(width, dropout)
        self.cross_attn, self.cross_attn_norm = Attention(width, heads, dropout), AddNorm(width, dropout)
        self.mlp, self.mlp_norm = feed_forward(width, ff_width, dropout), AddNorm(width, dropout)

    def forward(
        self, y: Tokens, guide: Source, mask: Mask | None = None, guide_mask: SourceMask | None = None
    ) -> Attended:
        """y guided, and the map of its steps over the guide's."""
        y = self.self_attn_norm(y, self.self_attn(y, y, mask)[0])
        context, weights = self.cross_attn(y, guide, guide_mask)
        y = self.cross_attn_norm(y, context)
        return self.mlp_norm(y, self.mlp(y)), weights


class CoAttention(nn.Module):
    """The co-attention layer of figure 2: an encoder of SA layers on x, a decoder of GA layers on y.

    Each GA is guided by the encoder's "final" output, the paper's point, or by the "same_depth", as in UMONS.
    """

    def __init__(
        self, width: int, heads: int, layers: int, ff_width: int, dropout: float, guided_by: str = "final"
    ) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(SelfAttention(width, heads, ff_width, dropout) for _ in range(layers))
        self.decoder = nn.ModuleList(GuidedAttention(width, heads, ff_width, dropout) for _ in range(layers))
        self.guided_by = guided_by

    def forward(
        self, x: Source, y: Tokens, x_mask: SourceMask | None = None, y_mask: Mask | None = None
    ) -> tuple[Source, Tokens, list[AttentionMap]]:
        """x guides y: both encoded, and one attention map a layer."""
        outputs, maps = [], []
        for layer in self.encoder:
            x, _ = layer(x, x_mask)
            outputs.append(x)
        for layer, same_depth in zip(self.decoder, outputs, strict=True):
            y, weights = layer(y, x if self.guided_by == "final" else same_depth, y_mask, x_mask)
            maps.append(weights)
        return x, y, maps


def softmax_pool(scores: Float[Tensor, "B T"], x: Tokens, mask: Mask) -> Pooled:
    """Many steps -> one vector: their mean, weighted by the softmax of their scores over the real steps."""
    weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1)  # (B, T)
    return torch.einsum("bt,btd->bd", weights, x), weights


class AttentionPool(nn.Module):
    """Pooling by a learned score a step (MCAN's AttFlat), or the plain mean of the real steps."""

    def __init__(self, width: int, dropout: float, mean: bool = False) -> None:
        super().__init__()
        self.score = None if mean else feed_forward(width, width, dropout, width_out=1)

    def forward(self, x: Tokens, mask: Mask) -> Pooled:
        return softmax_pool(self.score(x).squeeze(-1) if self.score else x.new_zeros(mask.shape), x, mask)
