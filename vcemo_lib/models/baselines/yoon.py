"""Yoon et al.: the multi-hop attention of 2019 (the paper's reference 21 and its "Yoon's model") and MDRE of 2018.

2019: arXiv 1904.10788, without official code. 2018: arXiv 1810.04635, code david-yoon/multimodal-speech-emotion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vcemo_lib.models.attention import Dropout
from vcemo_lib.models.baselines import GatedRecurrent, Output, Recurrent, Rival, last_state
from vcemo_lib.models.batch import Batch
from vcemo_lib.models.settings import Settings

TRAINING = {  # of both models; 2019 after david-yoon/attentive-modality-hopping-for-SER, by the same authors
    "audio_pool": (1, 1),  # every frame
    "dropout": 0.3,  # of the sound: "0.7" there is what they keep
    "text_dropout": 0.7,  # of the words: "0.3" there is what they keep
    "lr": 1e-3,
    "batch_size": 128,
    "epochs": 289,  # 10,000 updates of 128, of some 4,430 utterances
    "clip": 10.0,  # theirs cuts every element of the gradient at 10, ours its norm
    "select": "wa",  # theirs: the loss
}


class Yoon(Rival):
    """MHA-2: the voice asks the words, what they answer asks the voice again.

    audio  (B, T, F)   -> BiLSTM -> last state h
    words  (B, W, 300) -> BiLSTM;  hop 1: h asks the words -> said;  hop 2: said asks the sound -> meant
        -> h | said | meant (B, 3 d) -> Linear
    """

    name = "yoon"
    PUBLISHED = TRAINING | {
        "width": 400,  # 200 in each direction
        "patience": 5,  # 15 checks, three or so an epoch
    }

    def __init__(self, settings: Settings, widths: Mapping[str, int] | None = None) -> None:
        super().__init__(settings, widths)
        s, d = settings, settings.width
        self.voice = Recurrent(self.bands, d, both_ways=True)
        self.text = Recurrent(self.widths["words"], d, both_ways=True)
        self.predictor = nn.Linear(3 * d, s.classes)
        self.dropout, self.text_dropout = Dropout(s.dropout), Dropout(s.text_dropout)

    def forward(self, batch: Batch) -> Output:
        """A batch -> logits (B, classes); maps "hop1" (B, W) over the words and "hop2" (B, T) over the sound."""
        (audio, heard), (words, real) = self.read(batch)
        audio = self.voice(self.dropout(audio), heard)  # (B, T, d)
        words = self.text(self.text_dropout(words), real)  # (B, W, d)
        voice = last_state(audio, heard, both_ways=True)  # (B, d)
        said, hop1 = hop(voice, words, real)  # (B, d), (B, W)
        meant, hop2 = hop(said, audio, heard)  # (B, d), (B, T)
        features = torch.cat([voice, said, meant], dim=-1)  # (B, 3 d)
        return Output(self.predictor(features), None, features, {"hop1": hop1, "hop2": hop2})


def hop(query: Tensor, source: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """query (B, d) asks source (B, T, d) by plain dot products -> what it found (B, d), weights (B, T)."""
    scores = torch.einsum("bd,btd->bt", query, source)  # (B, T)
    weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1)
    return torch.einsum("bt,btd->bd", weights, source), weights


class MDRE(Rival):
    """Dual recurrent encoder: the last states of two GRUs, each halved by a linear layer, side by side. No attention."""

    name = "mdre"
    PUBLISHED = TRAINING | {
        "width": 200,
        "patience": 2,  # 7 checks, three or so an epoch
    }

    def __init__(self, settings: Settings, widths: Mapping[str, int] | None = None) -> None:
        super().__init__(settings, widths)
        s, d = settings, settings.width
        self.voice = GatedRecurrent(self.bands, d, both_ways=False)
        self.text = GatedRecurrent(self.widths["words"], d, both_ways=False)
        self.halve = nn.ModuleDict({"voice": nn.Linear(d, d // 2), "text": nn.Linear(d, d // 2)})
        self.predictor = nn.Linear(d // 2 * 2, s.classes)
        self.dropout, self.text_dropout = Dropout(s.dropout), Dropout(s.text_dropout)

    def forward(self, batch: Batch) -> Output:
        """A batch -> logits (B, classes). There is no map to show."""
        (audio, heard), (words, real) = self.read(batch)
        voice = last_state(self.voice(self.dropout(audio), heard), heard, both_ways=False)  # (B, d)
        text = last_state(self.text(self.text_dropout(words), real), real, both_ways=False)  # (B, d)
        features = torch.cat([self.halve["voice"](voice), self.halve["text"](text)], dim=-1)  # (B, d), no ReLU: theirs
        return Output(self.predictor(features), None, features)
