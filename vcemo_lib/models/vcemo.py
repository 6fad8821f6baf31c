"""VCEMO: three modalities, two rounds of co-attention, a predictor and a projector (section 3.3, figure 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcemo_lib.models.attention import AttentionPool, CoAttention, Dropout, MeanPool, SelfAttention
from vcemo_lib.models.batch import Batch
from vcemo_lib.models.branches import AudioBranch, BertBranch, BothBranch, WordBranch
from vcemo_lib.models.settings import Settings

Tokens = tuple[Tensor, Tensor]  # values (B, T, d) and their mask (B, T)


@dataclass
class Output:
    """What a model says about a batch.

    Attention maps, by name: "fusion1" and "fusion2" lists with one (B, h, T, S) a layer, guided steps over
    guiding steps; "self" (B, h, T, T) of the last layer; "pool" (B, T), what each token weighs in the end.
    """

    logits: Tensor  # (B, classes)
    projection: Tensor | None = None  # (B, 128), length one: what SupCon compares
    features: Tensor | None = None  # (B, d), before both heads: what an embedding plot shows
    attention: dict[str, Tensor | list[Tensor]] = field(default_factory=dict)


class Fusion(nn.Module):
    """One round of fusion (section 3.3): co-attention between `guide` and `guided`, then one sequence of both.

    merge="add" wants equal lengths and keeps their common time ("we employ a straightforward element-wise
    addition"); merge="concat" puts one after the other, for sequences that share no time.
    """

    def __init__(self, settings: Settings, merge: str) -> None:
        super().__init__()
        s = settings
        stacks = 2 if s.both_guide else 1
        self.merge = merge
        self.stacks = nn.ModuleList(
            CoAttention(s.width, s.heads, s.layers, s.ff_width, s.dropout, s.guided_by) for _ in range(stacks)
        )

    def forward(self, guide: Tokens, guided: Tokens) -> tuple[Tensor, Tensor, list[Tensor]]:
        """(B, S, d), (B, T, d) -> (B, T, d) if added or (B, S + T, d) if concatenated; mask; maps."""
        (x, x_mask), (y, y_mask) = guide, guided
        new_x, new_y, maps = self.stacks[0](x, y, x_mask, y_mask)
        if len(self.stacks) == 2:  # and the other way round: both sides then carry the other's news
            _, new_x, _ = self.stacks[1](y, x, y_mask, x_mask)
        if self.merge == "add":
            return new_x + new_y, x_mask & y_mask, maps
        return torch.cat([new_x, new_y], dim=1), torch.cat([x_mask, y_mask], dim=1), maps


class VCEMO(nn.Module):
    """The paper's model for any non-empty choice of its modalities.

    audio  log-mel (B, T, 80)   -> Conv-BN-ReLU -> LSTM   -+   (and Whisper's frames, where `acoustic` says so)
                                                           +- co-attention, added -+
    words  vectors (B, W, 300)  -> LSTM -> Conv1d         -+                       +- co-attention, concatenated
    bert   tokens (B, K, H)     -> Linear                 -------------------------+
        -> self-attention -> pool -> predictor (B, classes) and projector (B, 128)

    A fusion needs two sides. A single modality goes through `layers` of self-attention, the last one included.
    """

    name = "vcemo"

    def __init__(self, settings: Settings, widths: Mapping[str, int] | None = None) -> None:
        super().__init__()
        self.settings = s = settings
        self.widths = {"mel": 80, "whisper": 512, "words": 300, "bert": s.bert_width} | dict(widths or {})
        self.kinds = {modality: kinds[0] for modality, kinds in s.kinds.items()}  # what each modality reads
        self.also_reads = tuple(chain.from_iterable(s.kinds[m][1:] for m in s.modalities))  # and what beside it
        self.branches = nn.ModuleDict({m: self._branch(m) for m in s.modalities})
        timed = [m for m in ("words", "audio") if m in s.modalities]  # these two share a time axis
        self.fusion1 = Fusion(s, merge="add") if len(timed) == 2 else None
        self.fusion2 = Fusion(s, merge="concat") if timed and "bert" in s.modalities else None
        layer = (s.width, s.heads, s.ff_width, s.dropout)
        self.alone = nn.ModuleList(SelfAttention(*layer) for _ in range(s.layers - 1 if len(s.modalities) == 1 else 0))
        self.final = SelfAttention(*layer)
        self.pool = AttentionPool(s.width, s.dropout) if s.pool == "attention" else MeanPool()
        self.predictor = _head(s, s.classes)
        self.projector = _head(s, s.projection)

    def _branch(self, modality: str) -> nn.Module:
        s, width_in = self.settings, self.widths[self.kinds[modality]]
        if modality == "bert":
            return BertBranch(width_in, s.width, s.bert, s.text_dropout)
        if modality == "words":
            return WordBranch(width_in, s.width, s.lstm_both_ways, s.length, s.text_dropout)
        if s.acoustic == "both":
            return BothBranch(*map(self._acoustic, s.kinds["audio"]))
        return self._acoustic(s.acoustic)

    def _acoustic(self, kind: str) -> nn.Module:
        s, width_in = self.settings, self.widths[kind]
        if kind == "whisper":
            return WordBranch(width_in, s.width, s.lstm_both_ways, s.length, s.dropout, pool=s.audio_pool[0])
        return AudioBranch(width_in, s.width, s.conv_channels, s.conv_strides, s.audio_pool, s.lstm_both_ways,
                           s.length, s.dropout)  # fmt: skip

    def forward(self, batch: Batch) -> Output:
        """A batch -> logits (B, classes), projection (B, 128), features (B, d), attention maps."""
        attention: dict[str, Tensor | list[Tensor]] = {}
        kinds = self.settings.kinds
        tokens = {m: branch(*chain.from_iterable(map(batch.sequence, kinds[m]))) for m, branch in self.branches.items()}
        if self.training and self.settings.modality_dropout and len(tokens) > 1:
            tokens = self.lose_one(tokens)
        if self.fusion1:  # words and audio become one sequence on their common time
            guide, guided = self.settings.guides[0], "audio" if self.settings.guides[0] == "words" else "words"
            *fused, attention["fusion1"] = self.fusion1(tokens.pop(guide), tokens.pop(guided))
            tokens["fused"] = tuple(fused)
        if self.fusion2:  # outside knowledge joins: BERT's tokens beside the fused ones
            bert, other = tokens.pop("bert"), tokens.popitem()[1]
            sides = (bert, other) if self.settings.guides[1] == "bert" else (other, bert)
            *fused, attention["fusion2"] = self.fusion2(*sides)
            tokens["fused"] = tuple(fused)
        ((x, mask),) = tokens.values()  # (B, T, d), (B, T): one sequence is left
        for layer in self.alone:
            x, _ = layer(x, mask)
        x, attention["self"] = self.final(x, mask)
        features, attention["pool"] = self.pool(x, mask)  # (B, d)
        projection = self.projector(features)  # (B, 128)
        if self.settings.normalize:
            projection = F.normalize(projection, dim=-1)
        return Output(self.predictor(features), projection, features, attention)

    def lose_one(self, tokens: dict[str, Tokens]) -> dict[str, Tokens]:
        """Zero one modality, drawn at random, of a share of the utterances: so that no modality can be leant on alone."""
        x, _ = next(iter(tokens.values()))
        lost = torch.randint(len(tokens), (len(x),), device=x.device)  # (B,) which one
        lost = lost.masked_fill(torch.rand(len(x), device=x.device) >= self.settings.modality_dropout, -1)
        return {
            m: (x.masked_fill((lost == i)[:, None, None], 0.0), mask)  # (B, T, d)
            for i, (m, (x, mask)) in enumerate(tokens.items())
        }


def _head(s: Settings, width_out: int) -> nn.Module:
    """Predictor or projector: an MLP with one hidden layer, or a single linear layer (sections 3.3 and 3.4)."""
    if s.head_layers == 1:
        return nn.Linear(s.width, width_out)
    return nn.Sequential(nn.Linear(s.width, s.width), nn.ReLU(), Dropout(s.dropout), nn.Linear(s.width, width_out))
