"""VCEMO: three modalities, two rounds of co-attention, predictor and projector (section 3.3, figure 1)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcemo_lib.models import branches
from vcemo_lib.models.attention import AttentionPool, CoAttention, SelfAttention, feed_forward
from vcemo_lib.models.batch import Batch, Masked, Model, Output, leave_out
from vcemo_lib.models.settings import Settings


class Fusion(nn.Module):
    """Co-attention of `guide` and `guided`; then both are added, on their common time, or joined (3.3)."""

    def __init__(self, s: Settings, add: bool) -> None:
        super().__init__()
        self.add, size = add, (s.width, s.heads, s.layers, s.ff_width, s.dropout, s.guided_by)
        self.stacks = nn.ModuleList(CoAttention(*size) for _ in range(2 if s.bidirectional else 1))

    def forward(self, guide: Masked, guided: Masked) -> tuple[Tensor, Tensor, list[Tensor]]:
        """(B, S, d), (B, T, d) -> (B, T, d) if added or (B, S + T, d) if concatenated; mask; maps."""
        (x, x_mask), (y, y_mask) = guide, guided
        new_x, new_y, maps = self.stacks[0](x, y, x_mask, y_mask)
        if len(self.stacks) == 2:  # and the other way round: x guided by y
            new_x = self.stacks[1](y, x, y_mask, x_mask)[1]
        if self.add:
            return new_x + new_y, x_mask & y_mask, maps
        return torch.cat([new_x, new_y], dim=1), torch.cat([x_mask, y_mask], dim=1), maps


class VCEMO(Model):
    """The paper's model for any choice of its modalities; one alone meets `layers` of self-attention instead.

    audio  log-mel (B, T, 80)   -> Conv-BN-ReLU -> LSTM   -+   (and Whisper's frames)
                                                           +- co-attention, added -+
    words  vectors (B, W, 300)  -> LSTM -> Conv1d         -+                       +- co-attention, joined
    bert   tokens (B, K, H)     -> Linear                 -------------------------+
        -> self-attention -> pool (+ statistics of the sound) -> predictor (B, classes), projector (B, 128)
    """

    name = "vcemo"

    def __init__(self, settings: Settings, widths: Mapping[str, int]) -> None:
        super().__init__(settings, {"bert": settings.bert_width} | dict(widths))
        s = settings
        self.pools = {"mel": s.audio_pool, "whisper": (s.audio_pool[0], 1)}
        self.also_reads = tuple(kind for m in s.modalities for kind in s.kinds[m][1:])
        self.branches = nn.ModuleDict({m: self.branch(m) for m in s.modalities})
        timed = [m for m in ("words", "audio") if m in s.modalities]  # these two share a time axis
        self.fusion1 = Fusion(s, add=True) if len(timed) == 2 else None
        self.fusion2 = Fusion(s, add=False) if timed and "bert" in s.modalities else None
        layer = (s.width, s.heads, s.ff_width, s.dropout)
        before_last = s.layers - 1 if len(s.modalities) == 1 else 0
        self.unimodal = nn.ModuleList(SelfAttention(*layer) for _ in range(before_last))
        self.final = SelfAttention(*layer)
        self.pool = AttentionPool(s.width, s.dropout, s.pool == "mean")
        sound = [(self.widths[kind], self.pools[kind]) for kind in s.kinds["audio"]]
        averages = s.statistics and "audio" in s.modalities
        self.statistics = branches.Statistics(sound, s.width, s.text_dropout) if averages else None
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
        audio = dict(self.branches.items()).get("audio")
        ours = type(audio).__module__ == branches.__name__  # a reader's own branch gets every frame
        return self.pools if ours else {}

    def forward(self, batch: Batch) -> Output:
        """A batch -> logits (B, classes), projection (B, 128), features (B, d), attention maps."""
        s = self.settings
        attention: dict[str, Tensor | list[Tensor]] = {}
        tokens: dict[str, Masked] = {}
        for modality, branch in self.branches.items():
            inputs = [x for kind in s.kinds[modality] for x in batch.sequence(kind)]
            pooled = {"pooled": True} if batch.pooled and modality == "audio" else {}
            tokens[modality] = branch(*inputs, **pooled)  # (B, T, d), (B, T)
        tokens = leave_out(tokens, missing := self.missing(batch))
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
        if self.statistics:
            heard = [batch.sequence(kind) for kind in s.kinds["audio"]]
            features = features + self.statistics(heard, batch.pooled, missing["audio"])
        projection = self.projector(features)  # (B, 128)
        if s.normalize:
            projection = F.normalize(projection, dim=-1)
        return Output(self.predictor(features), projection, features, attention)
