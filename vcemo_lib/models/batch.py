"""What every model is fed: a `Batch` of utterances, padded to a common length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vcemo_lib.errors import VcemoError


@dataclass
class Batch:
    """Features of B utterances. A kind that was not asked for is None; padding is zero.

    The lengths (B,) count real rows: frames, words or tokens. They may be 0 (an empty transcript).
    """

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
        """The values (B, T, width), zero where padded, and their mask (B, T), True where real.

        An empty sequence counts as one zero vector: so no softmax ever runs over nothing, which would be NaN.
        """
        values, lengths = getattr(self, kind), getattr(self, f"{kind}_len")
        if values is None:
            raise VcemoError(f"this batch has no {kind!r}", do=f"ask the store for {kind!r} as well")
        if values.shape[1] == 0:
            values = values.new_zeros(len(values), 1, values.shape[2])  # (B, 1, width)
        steps = torch.arange(values.shape[1], device=values.device)  # (T,)
        padding = steps >= lengths[:, None]  # (B, T)
        return values.masked_fill(padding[..., None], 0.0), steps < lengths.clamp(min=1)[:, None]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with every tensor on `device`."""
        moved: dict[str, Any] = {k: t.to(device) for k, t in vars(self).items() if isinstance(t, Tensor)}
        return replace(self, **moved)
