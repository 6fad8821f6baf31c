"""Yoon et al.: multi-hop attention of 2019 (reference 21, the paper's "Yoon's model") and MDRE of 2018.

2019: arXiv 1904.10788, no official code. 2018: arXiv 1810.04635, david-yoon/multimodal-speech-emotion.
"""

from __future__ import annotations

import torch
from torch import nn

from vcemo_lib.models.attention import softmax_pool
from vcemo_lib.models.baselines import Baseline, Widths, last_state
from vcemo_lib.models.batch import Batch
from vcemo_lib.models.branches import Recurrent
from vcemo_lib.models.settings import Settings
from vcemo_lib.models.vcemo import Output


class Yoon(Baseline):
    """MHA-2: the voice attends to the words, and what it finds to the voice again.

    audio  (B, T, F)   -> BiLSTM -> last state h
    words  (B, W, 300) -> BiLSTM;  hop 1: h attends to words -> h1;  hop 2: h1 to sound -> h2
        -> h | h1 | h2 (B, 3 d) -> Linear
    """

    name = "yoon"

    def __init__(self, s: Settings, widths: Widths = None) -> None:
        super().__init__(s, widths)
        self.audio_rnn = Recurrent(self.bands, s.width, bidirectional=True)
        self.words_rnn = Recurrent(self.widths["words"], s.width, bidirectional=True)
        self.predictor = nn.Linear(3 * s.width, s.classes)

    def forward(self, batch: Batch) -> Output:
        """A batch -> logits (B, classes); maps "hop1" (B, W) over words, "hop2" (B, T) over sound."""
        (audio, audio_mask), (words, words_mask) = self.read(batch)
        audio = self.audio_rnn(self.dropout(audio), audio_mask)  # (B, T, d)
        words = self.words_rnn(self.text_dropout(words), words_mask)  # (B, W, d)
        h = last_state(audio, audio_mask, bidirectional=True)  # (B, d)
        h1, hop1 = softmax_pool(torch.einsum("bd,btd->bt", h, words), words, words_mask)  # (B, d), (B, W)
        h2, hop2 = softmax_pool(torch.einsum("bd,btd->bt", h1, audio), audio, audio_mask)  # (B, d), (B, T)
        features = torch.cat([h, h1, h2], dim=-1)  # (B, 3 d)
        return Output(self.predictor(features), None, features, {"hop1": hop1, "hop2": hop2})


class MDRE(Baseline):
    """Dual recurrent encoder: the last states of two GRUs, each halved by a linear layer, side by side."""

    name = "mdre"

    def __init__(self, s: Settings, widths: Widths = None) -> None:
        super().__init__(s, widths)
        d = s.width
        self.audio_rnn = Recurrent(self.bands, d, False, nn.GRU)
        self.words_rnn = Recurrent(self.widths["words"], d, False, nn.GRU)
        self.audio_half, self.words_half = nn.Linear(d, d // 2), nn.Linear(d, d // 2)
        self.predictor = nn.Linear(d // 2 * 2, s.classes)

    def forward(self, batch: Batch) -> Output:
        """A batch -> logits (B, classes); there is no attention."""
        (audio, audio_mask), (words, words_mask) = self.read(batch)
        audio = last_state(self.audio_rnn(self.dropout(audio), audio_mask), audio_mask)  # (B, d)
        words = last_state(self.words_rnn(self.text_dropout(words), words_mask), words_mask)  # (B, d)
        features = torch.cat([self.audio_half(audio), self.words_half(words)], dim=-1)  # no ReLU: theirs
        return Output(self.predictor(features), None, features)
