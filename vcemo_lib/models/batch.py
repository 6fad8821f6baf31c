"""What every model takes, gives and is: `Batch`, `Output`, `Model`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from vcemo_lib.errors import VcemoError
from vcemo_lib.models.attention import Mask, Tokens
from vcemo_lib.models.settings import Settings

Masked = tuple[Tokens, Mask]


@dataclass
class Batch:
    """Features of B utterances, or None, and lengths (B,) of real rows, which may be 0; padding is zero."""

    ids: list[str]
    mel: Tensor | None = None  # (B, T, 80)   log-mel frames, 10 ms apart
    mel_len: Tensor | None = None
    words: Tensor | None = None  # (B, W, 300)  one vector a word
    words_len: Tensor | None = None
    bert: Tensor | None = None  # (B, K, H)    one vector a token, [CLS] first
    bert_len: Tensor | None = None
    whisper: Tensor | None = None  # (B, T/2, 512)  frames of Whisper's encoder, 20 ms apart
    whisper_len: Tensor | None = None
    word_spans: Tensor | None = None  # (B, W, 2)  start, end of each word in log-mel frames; 0, 0: unknown
    word_spans_len: Tensor | None = None
    labels: Tensor | None = None  # (B,) class indices
    pooled: bool = False  # mel and whisper are averaged by the model's `audio_pool` already
    muted: tuple[str, ...] = ()  # modalities that the model must do without, whatever their sequences hold

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def collate(
        cls, ids: Sequence[str], features: Mapping[str, Sequence[np.ndarray]], labels: Any = None
    ) -> Batch:
        """Pad one list of (rows, width) arrays for each kind into a batch; labels (B,) are class indices."""
        tensors: dict[str, Any] = {}
        for kind, arrays in features.items():
            rows = [torch.from_numpy(np.array(a, dtype=np.float32)) for a in arrays]
            tensors[kind] = nn.utils.rnn.pad_sequence(rows, batch_first=True)  # (B, max rows, width)
            tensors[f"{kind}_len"] = torch.tensor([len(a) for a in arrays])
        if labels is not None:
            tensors["labels"] = torch.as_tensor(np.asarray(labels), dtype=torch.int64)
        return cls(list(ids), **tensors)

    def sequence(self, kind: str) -> tuple[Tensor, Tensor]:
        """Values (B, T, width), zero where padded, and mask (B, T). Empty counts as one zero: no NaN."""
        values, lengths = getattr(self, kind), getattr(self, f"{kind}_len")
        if values is None:
            raise VcemoError(f"this batch has no {kind!r}", do=f"ask the store for {kind!r} as well")
        if values.shape[1] == 0:
            values = values.new_zeros(len(values), 1, values.shape[2])  # (B, 1, width)
        steps = torch.arange(values.shape[1], device=values.device)  # (T,)
        padding = steps >= lengths[:, None]  # (B, T)
        return values.masked_fill(padding[..., None], 0.0), steps < lengths.clamp(min=1)[:, None]

    def absent(self, modality: str, kinds: Sequence[str]) -> Tensor:
        """Which utterances (B,) are without a modality: it is muted, or all its kinds are empty."""
        return (sum(getattr(self, f"{kind}_len") for kind in kinds) == 0) | (modality in self.muted)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with every tensor on `device`."""
        moved: dict[str, Any] = {k: t.to(device) for k, t in vars(self).items() if isinstance(t, Tensor)}
        return replace(self, **moved)


@dataclass
class Output:
    """What a model returns for a batch. VCEMO's attention: "fusion1", "fusion2", lists of one (B, h, T, S) a
    layer, guided over guiding steps; "self" (B, h, T, T); "pool" (B, T), the weight of each token.
    """

    logits: Tensor  # (B, classes)
    projection: Tensor | None = None  # (B, 128), length one: what SupCon compares
    features: Tensor | None = None  # (B, d), before both heads: what an embedding plot shows
    attention: dict[str, Tensor | list[Tensor]] = field(default_factory=dict)


class Model(nn.Module):
    """What training and prediction may ask of a model: its settings, and the features it reads."""

    name: ClassVar[str]
    also_reads: tuple[str, ...] = ()  # kinds of features beyond one for each modality
    __call__: Callable[[Batch], Output]

    def __init__(self, settings: Settings, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.settings = settings
        self.widths = {"mel": 80, "whisper": 512, "words": 300} | dict(widths)  # of each kind of feature
        self.kinds = {modality: kinds[0] for modality, kinds in settings.kinds.items()}  # what each reads

    @property
    def frame_pools(self) -> Mapping[str, tuple[int, int]]:
        """What the model averages before anything else: kind -> (frames, channels)."""
        return {}

    def missing(self, batch: Batch) -> dict[str, Tensor]:
        """By modality: which utterances (B,) must do without it.

        In training a share of the utterances loses one drawn at random, so that no modality carries all: what
        is learned then is what a muted modality and an empty transcript meet.
        """
        s = self.settings
        gone = torch.stack([batch.absent(m, s.kinds[m]) for m in s.modalities])  # (M, B)
        if self.training and s.modality_dropout and len(gone) > 1:
            which = torch.randint(len(gone), gone.shape[1:], device=gone.device)  # (B,)
            drawn = torch.rand(gone.shape[1:], device=gone.device) < s.modality_dropout
            gone |= drawn & (which == torch.arange(len(gone), device=gone.device)[:, None])
        return dict(zip(s.modalities, gone, strict=True))


def leave_out(tokens: Mapping[str, Masked], missing: Mapping[str, Tensor]) -> dict[str, Masked]:
    """The tokens of each modality, zero where it is missing."""
    return {m: (x.masked_fill(missing[m][:, None, None], 0.0), mask) for m, (x, mask) in tokens.items()}
