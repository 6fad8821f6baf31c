"""Xu et al. 2019, "Learning Alignment for Multimodal Emotion Recognition from Speech" (arXiv 1909.05645).

After the authors' code, didi/delta: `delta/models/multimodal_cls_model.py`.
"""

from __future__ import annotations

import torch
from torch import nn

from vcemo_lib.models.attention import Attention, Dropout, softmax_pool
from vcemo_lib.models.baselines import Baseline, Widths
from vcemo_lib.models.batch import Batch
from vcemo_lib.models.branches import Recurrent
from vcemo_lib.models.settings import Settings
from vcemo_lib.models.vcemo import Output


class Xu(Baseline):
    """Every word attends to the sound, then one GRU reads the aligned pairs.

    audio  (B, T, F)   -> Linear -> BiGRU -+
                                           +- words attend to sound | words (B, W, 2 d) -> BiGRU -> pool
    words  (B, W, 300) -> BiGRU -----------+
    """

    name = "xu"

    def __init__(self, s: Settings, widths: Widths = None) -> None:
        super().__init__(s, widths)
        d = s.width
        self.frame = nn.Sequential(nn.Linear(self.bands, s.ff_width), nn.ReLU(), Dropout(s.dropout))
        self.audio_rnn = Recurrent(s.ff_width, d, True, nn.GRU)
        self.words_rnn = Recurrent(self.widths["words"], d, True, nn.GRU)
        self.align = Attention(d, s.heads, dropout=0.0)  # theirs drops what was found, not the map
        self.pairs_rnn = Recurrent(2 * d, d, True, nn.GRU)
        self.score = nn.Sequential(nn.Linear(d, d), nn.Tanh(), nn.Linear(d, 1, bias=False))  # of a word
        self.predictor = nn.Linear(d, s.classes)

    def forward(self, batch: Batch) -> Output:
        """A batch -> logits (B, classes); maps "align" (B, h, W, T), words over sound, and "pool" (B, W)."""
        (audio, audio_mask), (words, words_mask) = self.read(batch)
        audio = self.dropout(self.audio_rnn(self.frame(audio), audio_mask))  # (B, T, d)
        words = self.dropout(self.words_rnn(self.text_dropout(words), words_mask))  # (B, W, d)
        aligned, align = self.align(words, audio, audio_mask)  # (B, W, d), (B, h, W, T)
        pairs = torch.cat([self.dropout(aligned), words], dim=-1)  # (B, W, 2 d)
        pairs = self.pairs_rnn(pairs, words_mask)  # (B, W, d)
        features, pool = softmax_pool(self.score(pairs).squeeze(-1), pairs, words_mask)  # (B, d), (B, W)
        return Output(self.predictor(self.dropout(features)), None, features, {"align": align, "pool": pool})
