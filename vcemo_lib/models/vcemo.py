"""VCEMO: three modalities, two rounds of co-attention, predictor and projector (section 3.3, figure 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcemo_lib.models import branches
from vcemo_lib.models.attention import AttentionPool, CoAttention, MeanPool, SelfAttention, feed_forward
from vcemo_lib.models.batch import Batch
from vcemo_lib.models.branches import Masked, drop_modality
from vcemo_lib.models.settings import Settings


@dataclass
class Output:
    """What a model returns for a batch.

    Attention maps, by name: "fusion1" and "fusion2" lists with one (B, h, T, S) a layer, guided steps over
    guiding steps; "self" (B, h, T, T) of the last layer; "pool" (B, T), the weight of each token.
    """

    logits: Tensor  # (B, classes)
    projection: Tensor | None = None  # (B, 128), length one: what SupCon compares
    features: Tensor | None = None  # (B, d), before both heads: what an embedding plot shows
    attention: dict[str, Tensor | list[Tensor]] = field(default_factory=dict)


class Fusion(nn.Module):
    """One round of fusion (section 3.3): co-attention of `guide` and `guided`, then one sequence of both.

    merge="add" wants equal lengths and keeps their common time ("we employ a straightforward element-wise
    addition"); merge="concat" puts one after the other, for sequences that share no time.
    """

    def __init__(self, s: Settings, merge: str) -> None:
        super().__init__()
        self.merge, size = merge, (s.width, s.heads, s.layers, s.ff_width, s.dropout, s.guided_by)
        self.stacks = nn.ModuleList(CoAttention(*size) for _ in range(2 if s.bidirectional else 1))

    def forward(self, guide: Masked, guided: Masked) -> tuple[Tensor, Tensor, list[Tensor]]:
        """(B, S, d), (B, T, d) -> (B, T, d) if added or (B, S + T, d) if concatenated; mask; maps."""
        (x, x_mask), (y, y_mask) = guide, guided
        new_x, new_y, maps = self.stacks[0](x, y, x_mask, y_mask)
        if len(self.stacks) == 2:  # and the other way round: x guided by y
            _, new_x, _ = self.stacks[1](y, x, y_mask, x_mask)
        if self.merge == "add":
            return new_x + new_y, x_mask & y_mask, maps
        return torch.cat([new_x, new_y], dim=1), torch.cat([x_mask, y_mask], dim=1), maps


class VCEMO(nn.Module):
    """The paper's model for any non-empty choice of its modalities.

    audio  log-mel (B, T, 80)   -> Conv-BN-ReLU -> LSTM   -+   (and Whisper's frames)
                                                           +- co-attention, added -+
    words  vectors (B, W, 300)  -> LSTM -> Conv1d         -+                       +- co-attention, joined
    bert   tokens (B, K, H)     -> Linear                 -------------------------+
        -> self-attention -> pool -> predictor (B, classes) and projector (B, 128)

    A fusion needs two sides. A single modality goes through `layers` of self-attention, the last included.
    """

    name = "vcemo"

    def __init__(self, settings: Settings, widths: Mapping[str, int] | None = None) -> None:
        super().__init__()
        self.settings = s = settings
        self.widths = {"mel": 80, "whisper": 512, "words": 300, "bert": s.bert_width} | dict(widths or {})
        self.kinds = {modality: kinds[0] for modality, kinds in s.kinds.items()}  # what each reads
        self.also_reads = tuple(kind for m in s.modalities for kind in s.kinds[m][1:])  # and beside it
        self.branches = nn.ModuleDict({m: self.branch(m) for m in s.modalities})
        timed = [m for m in ("words", "audio") if m in s.modalities]  # these two share a time axis
        self.fusion1 = Fusion(s, merge="add") if len(timed) == 2 else None
        self.fusion2 = Fusion(s, merge="concat") if timed and "bert" in s.modalities else None
        layer = (s.width, s.heads, s.ff_width, s.dropout)
        before_last = s.layers - 1 if len(s.modalities) == 1 else 0
        self.unimodal = nn.ModuleList(SelfAttention(*layer) for _ in range(before_last))
        self.final = SelfAttention(*layer)
        self.pool = AttentionPool(s.width, s.dropout) if s.pool == "attention" else MeanPool()
        self.predictor, self.projector = self.head(s.classes), self.head(s.projection)

    def branch(self, modality: str) -> nn.Module:
        """The branch that reads a modality; two acoustic features have one each."""
        s, widths = self.settings, self.widths
        make = {
            "mel": lambda: branches.AudioBranch(widths["mel"], s),
            "whisper": lambda: branches.WordBranch(widths["whisper"], s, s.dropout, s.audio_pool[0]),
            "words": lambda: branches.WordBranch(widths["words"], s, s.text_dropout),
            "bert": lambda: branches.BertBranch(widths["bert"], s.width, s.bert, s.text_dropout),
        }
        made = [make[kind]() for kind in s.kinds[modality]]
        return made[0] if len(made) == 1 else branches.DualAudioBranch(*made)

    def head(self, width_out: int) -> nn.Module:
        """Predictor or projector: an MLP with one hidden layer, or a linear layer (sections 3.3 and 3.4)."""
        s = self.settings
        if s.head_layers == 1:
            return nn.Linear(s.width, width_out)
        return feed_forward(s.width, s.width, s.dropout, width_out)

    @property
    def frame_pools(self) -> dict[str, tuple[int, int]]:
        """What our own audio branch averages first of all: kind -> (frames, channels)."""
        pool, ours = self.settings.audio_pool, branches.__name__
        known = "audio" in self.branches and type(self.branches["audio"]).__module__ == ours
        return {"mel": pool, "whisper": (pool[0], 1)} if known else {}

    def forward(self, batch: Batch) -> Output:
        """A batch -> logits (B, classes), projection (B, 128), features (B, d), attention maps."""
        s = self.settings
        attention: dict[str, Tensor | list[Tensor]] = {}
        tokens = {modality: self.encode(modality, batch) for modality in self.branches}
        if self.training and s.modality_dropout and len(tokens) > 1:
            tokens = drop_modality(tokens, s.modality_dropout)
        if self.fusion1:  # words and audio become one sequence on their common time
            guide, guided = s.guides[0], "audio" if s.guides[0] == "words" else "words"
            x, mask, attention["fusion1"] = self.fusion1(tokens.pop(guide), tokens.pop(guided))
            tokens["fused"] = x, mask
        if self.fusion2:  # outside knowledge joins: BERT's tokens beside the fused ones
            bert, other = tokens.pop("bert"), tokens.popitem()[1]
            sides = (bert, other) if s.guides[1] == "bert" else (other, bert)
            x, mask, attention["fusion2"] = self.fusion2(*sides)
            tokens["fused"] = x, mask
        ((x, mask),) = tokens.values()  # (B, T, d), (B, T): one sequence is left
        for layer in self.unimodal:
            x, _ = layer(x, mask)
        x, attention["self"] = self.final(x, mask)
        features, attention["pool"] = self.pool(x, mask)  # (B, d)
        projection = self.projector(features)  # (B, 128)
        if s.normalize:
            projection = F.normalize(projection, dim=-1)
        return Output(self.predictor(features), projection, features, attention)

    def encode(self, modality: str, batch: Batch) -> Masked:
        """One modality's tokens (B, T, d) and their mask (B, T)."""
        inputs = [x for kind in self.settings.kinds[modality] for x in batch.sequence(kind)]
        pooled = {"pooled": True} if batch.pooled and modality == "audio" else {}
        return self.branches[modality](*inputs, **pooled)

