"""The paper's baselines (Tables 1 and 2): same `Batch` in, same `Output` out, same training loop.

name    model                                what makes it itself
xu      Xu et al. 2019, arXiv 1909.05645     each word attends to the speech, then one GRU reads both
yoon    Yoon et al. 2019, arXiv 1904.10788   two hops: voice attends to words, what it finds to the voice
mdre    Yoon et al. 2018, arXiv 1810.04635   two GRUs, their last states side by side, no attention
umons   Delbrouck et al. 2020, 2006.15955    co-attention guided by the words of the *same* depth
cme     Li et al. 2021, arXiv 2010.12733     each word and its own piece of sound excite one another

All read sound and word vectors. Their settings are in settings.toml; a field that a model has no use for
(`guides`, say) is ignored. Faults of the original code are not copied: see `faults()`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pandas as pd
import torch
from torch import Tensor, nn

from vcemo_lib.errors import VcemoError
from vcemo_lib.models.attention import Dropout, Mask, Tokens
from vcemo_lib.models.batch import Batch
from vcemo_lib.models.branches import Masked, average_pool, drop_modality
from vcemo_lib.models.settings import Settings

Widths = Mapping[str, int] | None  # kind of feature -> channels, where they differ from the usual


def faults(model: str | None = None) -> pd.DataFrame:
    """What is not copied, of one baseline or of all: `where`, in `theirs`, and what is done `here`.

    "code" is a fault of the authors' code, "evaluation" of their figures; "input", "training" just differ.
    """
    table = pd.read_csv(Path(__file__).with_name("faults.csv"), index_col="model")
    return table if model is None else table.loc[[model]]


class Baseline(nn.Module):
    """What the baselines share: sound and words come in as VCEMO gets them; there is no projector."""

    name: ClassVar[str]
    also_reads: ClassVar[tuple[str, ...]] = ()  # features beyond those of its modalities

    def __init__(self, s: Settings, widths: Widths = None) -> None:
        super().__init__()
        if set(s.modalities) != {"audio", "words"} or s.acoustic == "both":
            raise VcemoError(f"the model {self.name!r} reads audio and words, and one acoustic feature",
                             do="build it with modalities=('audio', 'words') and acoustic='mel' or 'whisper'")
        self.settings = s
        self.widths = {"mel": 80, "whisper": 512, "words": 300, "word_spans": 2} | dict(widths or {})
        self.kinds = {"audio": s.acoustic, "words": "words"}
        self.frame_pools = {s.acoustic: s.audio_pool}  # averaged before anything else: (frames, channels)
        self.bands = -(-self.widths[s.acoustic] // s.audio_pool[1])  # F, what a frame is wide
        self.dropout, self.text_dropout = Dropout(s.dropout), Dropout(s.text_dropout)

    def read(self, batch: Batch) -> tuple[Masked, Masked]:
        """Sound (B, T, F), (B, T), averaged by `audio_pool`, and words (B, W, 300), (B, W)."""
        s, audio, words = self.settings, batch.sequence(self.kinds["audio"]), batch.sequence("words")
        if not batch.pooled:
            audio = average_pool(*audio, s.audio_pool)
        if self.training and s.modality_dropout:  # as VCEMO: training decides no comparison of models
            audio, words = drop_modality({"audio": audio, "words": words}, s.modality_dropout).values()
        return audio, words


def last_state(x: Tokens, mask: Mask, bidirectional: bool = False) -> Tensor:
    """A recurrent layer's last real step, for the backward half the first. (B, T, d) -> (B, d)."""
    last = x[torch.arange(len(x), device=x.device), mask.sum(dim=1) - 1]  # (B, d)
    half = x.shape[-1] // 2
    return torch.cat([last[:, :half], x[:, 0, half:]], dim=-1) if bidirectional else last
