"""Li et al. 2021, cross-modality excitement (arXiv 2010.12733, code tal-ai/FG_CME)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcemo_lib.models.baselines import Baseline, Widths
from vcemo_lib.models.batch import Batch
from vcemo_lib.models.branches import Recurrent
from vcemo_lib.models.settings import Settings
from vcemo_lib.models.vcemo import Output


class CME(Baseline):
    """Each word meets its own piece of sound, and each of the two turns up channels of the other.

    audio  (B, T, F)   -> Conv1d, 3 times -> mean | max over each word's frames (B, W, 2 C), gated by the word
    words  (B, W, 300) -> Linear (B, W, d), gated by the word's sound
        -> both, each times 1 + sigmoid(gate), side by side -> BiLSTM -> maximum over the words

    The feature "word_spans" has each word's frames (see alignment.py); words without are spread evenly.
    """

    name = "cme"
    also_reads = ("word_spans",)

    def __init__(self, s: Settings, widths: Widths = None) -> None:
        super().__init__(s, widths)
        d, channels, sound = s.width, s.conv_channels, 2 * s.conv_channels[-1]
        self.frame_pools = {}  # frames are averaged in each pass: word spans count the unaveraged ones
        kernels = (5, *(2,) * (len(channels) - 1))
        self.reach = sum(kernels) - len(kernels)  # frames beside its own that a convolved frame has seen
        convs = map(nn.Conv1d, (self.bands, *channels[:-1]), channels, kernels)
        self.audio_conv = nn.Sequential(*convs)  # no ReLU: theirs
        self.words_linear = nn.Linear(self.widths["words"], d)
        self.excite_words = nn.Linear(sound, d)
        self.excite_audio = nn.Linear(self.widths["words"], sound)
        self.pairs_rnn = Recurrent(d + sound, 2 * d, bidirectional=True)
        self.predictor = nn.Linear(2 * d, s.classes)

    def forward(self, batch: Batch) -> Output:
        """A batch -> logits (B, classes); gates "excite_words" (B, W, d), "excite_audio" (B, W, 2 C)."""
        (audio, audio_mask), (words, words_mask) = self.read(batch)
        words = self.text_dropout(words)  # (B, W, 300)
        before, after = self.reach // 2, self.reach - self.reach // 2
        padded = F.pad(self.dropout(audio).transpose(1, 2), (before, after))  # (B, F, T + reach)
        convolved = self.audio_conv(padded).transpose(1, 2)  # (B, T, C)
        first, end = self.spans(batch, audio_mask.sum(dim=1), words_mask)  # (B, W), (B, W)
        first, end = first - after, end + before  # all convolved frames that have seen the word
        sound = mean_and_max(convolved, first, end, audio_mask)  # (B, W, 2 C)
        excite_words = 1 + self.excite_words(sound).sigmoid()  # (B, W, d)
        excite_audio = 1 + self.excite_audio(words).sigmoid()  # (B, W, 2 C)
        words, sound = self.words_linear(words) * excite_words, sound * excite_audio
        pairs = self.pairs_rnn(torch.cat([words, sound], dim=-1), words_mask)  # (B, W, 2 d)
        features = pairs.masked_fill(~words_mask[..., None], -math.inf).amax(dim=1)  # (B, 2 d)
        maps = {"excite_words": excite_words, "excite_audio": excite_audio}
        return Output(self.predictor(features), None, features, maps)

    def spans(self, batch: Batch, frames: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """First frame and end of each word (B, W), in averaged frames. frames (B,), real (B, W)."""
        frames, words = frames[:, None], real.sum(dim=1, keepdim=True)  # (B, 1)
        word = torch.arange(real.shape[1], device=real.device)  # (W,)
        first, end = word * frames // words, -(-(word + 1) * frames // words)  # (B, W) spread evenly
        if batch.word_spans is not None and batch.word_spans.shape[1]:
            step = self.settings.audio_pool[0] * (2 if self.settings.acoustic == "whisper" else 1)  # x 10 ms
            start, stop = (batch.word_spans / step).unbind(dim=-1)  # (B, W)
            timed = stop > start
            first = torch.where(timed, start.floor().long(), first)
            end = torch.where(timed, stop.ceil().long(), end)
        return first, end


def mean_and_max(x: Tensor, first: Tensor, end: Tensor, mask: Tensor) -> Tensor:
    """Mean and maximum of x (B, T, C) over the real steps from first to end (B, W) -> (B, W, 2 C)."""
    steps = mask.sum(dim=1)[:, None]  # (B, 1)
    first = first.clamp(min=0).minimum(steps - 1)  # (B, W) a word has one step at least
    end = end.minimum(steps).maximum(first + 1)
    longest = int((end - first).max())
    step = first[..., None] + torch.arange(longest, device=x.device)  # (B, W, S)
    inside = (step < end[..., None])[..., None]  # (B, W, S, 1)
    utterance = torch.arange(len(x), device=x.device)[:, None, None]
    pieces = x[utterance, step.clamp(max=x.shape[1] - 1)]  # (B, W, S, C)
    mean = pieces.masked_fill(~inside, 0.0).sum(dim=2) / (end - first)[..., None]  # (B, W, C)
    return torch.cat([mean, pieces.masked_fill(~inside, -math.inf).amax(dim=2)], dim=-1)
