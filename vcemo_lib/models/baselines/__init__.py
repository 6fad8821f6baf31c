"""The paper's baselines (Tables 1 and 2): same `Batch` in, same `Output` out, same training loop.

All read sound and word vectors. Their settings are in settings.toml; a field that a model has no use for
(`guides`, say) is ignored. Faults of the authors' code are not copied: see faults.csv.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcemo_lib.errors import VcemoError
from vcemo_lib.models import attention
from vcemo_lib.models.attention import Dropout, Mask, Tokens, feed_forward, softmax_pool
from vcemo_lib.models.batch import Batch, Masked, Model, Output, leave_out
from vcemo_lib.models.branches import Recurrent, average_pool
from vcemo_lib.models.settings import Settings

Widths = Mapping[str, int]


class Baseline(Model):
    """What the baselines share: sound and words come in as VCEMO gets them; there is no projector."""

    def __init__(self, s: Settings, widths: Widths) -> None:
        super().__init__(s, {"word_spans": 2} | dict(widths))
        if set(s.modalities) != {"audio", "words"} or s.acoustic == "both":
            raise VcemoError(
                f"the model {self.name!r} reads audio and words, and one acoustic feature",
                do="build it with modalities=('audio', 'words') and acoustic='mel' or 'whisper'",
            )
        self.bands = -(-self.widths[s.acoustic] // s.audio_pool[1])  # F, what a frame is wide
        self.dropout, self.text_dropout = Dropout(s.dropout), Dropout(s.text_dropout)

    @property
    def frame_pools(self) -> dict[str, tuple[int, int]]:
        return {self.settings.acoustic: self.settings.audio_pool}

    def read(self, batch: Batch) -> tuple[Masked, Masked]:
        """Sound (B, T, F), (B, T), averaged by `audio_pool`, and words (B, W, 300), (B, W)."""
        s, audio, words = self.settings, batch.sequence(self.kinds["audio"]), batch.sequence("words")
        if not batch.pooled:
            audio = average_pool(*audio, s.audio_pool)
        read = leave_out({"audio": audio, "words": words}, self.missing(batch))
        return read["audio"], read["words"]


def last_state(x: Tokens, mask: Mask, bidirectional: bool = False) -> Tensor:
    """A recurrent layer's last real step, for the backward half the first. (B, T, d) -> (B, d)."""
    last = x[torch.arange(len(x), device=x.device), mask.sum(dim=1) - 1]  # (B, d)
    half = x.shape[-1] // 2
    return torch.cat([last[:, :half], x[:, 0, half:]], dim=-1) if bidirectional else last


class Xu(Baseline):
    """Xu et al. 2019 (arXiv 1909.05645, code didi/delta): words attend to sound, a GRU reads the pairs."""

    name = "xu"

    def __init__(self, s: Settings, widths: Widths) -> None:
        super().__init__(s, widths)
        d = s.width
        self.frame = nn.Sequential(nn.Linear(self.bands, s.ff_width), nn.ReLU(), Dropout(s.dropout))
        self.audio_rnn = Recurrent(s.ff_width, d, True, nn.GRU)
        self.words_rnn = Recurrent(self.widths["words"], d, True, nn.GRU)
        self.align = attention.Attention(d, s.heads, dropout=0.0)  # theirs drops what was found, not the map
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


class Yoon(Baseline):
    """Yoon et al. 2019, MHA-2 (arXiv 1904.10788): voice attends to words, what it finds to voice again."""

    name = "yoon"

    def __init__(self, s: Settings, widths: Widths) -> None:
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
    """Yoon et al. 2018 (arXiv 1810.04635): the last states of two GRUs, halved and side by side."""

    name = "mdre"

    def __init__(self, s: Settings, widths: Widths) -> None:
        super().__init__(s, widths)
        d = s.width
        self.audio_rnn = Recurrent(self.bands, d, False, nn.GRU)
        self.words_rnn = Recurrent(self.widths["words"], d, False, nn.GRU)
        self.audio_half, self.words_half = nn.Linear(d, d // 2), nn.Linear(d, d // 2)
        self.predictor = nn.Linear(d // 2 * 2, s.classes)

    def forward(self, batch: Batch) -> Output:
        (audio, audio_mask), (words, words_mask) = self.read(batch)
        audio = last_state(self.audio_rnn(self.dropout(audio), audio_mask), audio_mask)  # (B, d)
        words = last_state(self.words_rnn(self.text_dropout(words), words_mask), words_mask)  # (B, d)
        features = torch.cat([self.audio_half(audio), self.words_half(words)], dim=-1)  # no ReLU: theirs
        return Output(self.predictor(features), None, features)


class UMONS(Baseline):
    """Delbrouck et al. 2020 (arXiv 2006.15955, code jbdel/MOSEI_UMONS): words guide sound depth by depth,
    or, by `guided_by="final"`, as in VCEMO.

    Both are cut at `length` steps: the glimpses of a block are that many.
    """

    name = "umons"

    def __init__(self, s: Settings, widths: Widths) -> None:
        super().__init__(s, widths)
        d = s.width
        self.words_rnn = Recurrent(self.widths["words"], d, bidirectional=False)
        self.frame = nn.Linear(self.bands, d)
        self.blocks = nn.ModuleList(Block(s, last=i == s.layers - 1) for i in range(s.layers))
        self.pools = nn.ModuleList(Glimpses(s, count=1) for _ in range(2))
        self.merges = nn.ModuleList(nn.Linear(d, 2 * d) for _ in range(2))
        self.predictor = nn.Sequential(nn.LayerNorm(2 * d), nn.Linear(2 * d, s.classes))

    def forward(self, batch: Batch) -> Output:
        """A batch -> logits (B, classes); "fusion1": one map (B, h, T, W) a block, sound over words."""
        n, maps = self.settings.length, []
        (audio, y_mask), (words, x_mask) = ((x[:, :n], mask[:, :n]) for x, mask in self.read(batch))
        x, y = self.words_rnn(self.text_dropout(words), x_mask), self.frame(audio)  # (B, W, d), (B, T, d)
        blocks, final = cast("list[Block]", self.blocks), self.settings.guided_by == "final"
        for block in blocks if final else ():  # the words first, to their end: as in VCEMO
            x = block.words(x, x_mask)
        for block in blocks:
            guided, weights = block.guided_attn(y, x, y_mask, x_mask)
            x = x if final else block.words(x, x_mask)
            y = block.look(1, guided + y, y_mask)
            maps.append(weights)
        pooled = self.pools[0](x, x_mask)[:, 0], self.pools[1](y, y_mask)[:, 0]  # (B, d) each
        features = self.merges[0](pooled[0]) + self.merges[1](pooled[1])  # (B, 2 d)
        return Output(self.predictor(features), None, features, {"fusion1": maps})


class Block(nn.Module):
    """SA on x; GA on y, guided by x as it came in (or left the last block). Then, but in that, glimpses."""

    def __init__(self, s: Settings, last: bool) -> None:
        super().__init__()
        layer, sides = (s.width, s.heads, s.ff_width, s.dropout), range(0 if last else 2)
        self.self_attn, self.guided_attn = attention.SelfAttention(*layer), attention.GuidedAttention(*layer)
        self.glimpses = nn.ModuleList(Glimpses(s, s.length) for _ in sides)
        self.norms = nn.ModuleList(attention.AddNorm(s.width, s.dropout) for _ in sides)

    def words(self, x: Tokens, mask: Mask) -> Tokens:
        return self.look(0, self.self_attn(x, mask)[0] + x, mask)  # a second residual, theirs

    def look(self, side: int, x: Tokens, mask: Mask) -> Tokens:
        """The glimpses of the words' side (0) or the sound's (1) added to it."""
        return self.norms[side](x, self.glimpses[side](x, mask)[:, : x.shape[1]]) if self.glimpses else x


class Glimpses(nn.Module):
    """`count` weighted means of a sequence, each with its own weights (MCAN's AttFlat but its last layer)."""

    def __init__(self, s: Settings, count: int) -> None:
        super().__init__()
        self.score = feed_forward(s.width, s.ff_width, s.dropout)
        self.score[-1] = nn.Linear(s.ff_width, count)

    def forward(self, x: Tokens, mask: Mask) -> Tensor:
        """x (B, T, d) -> (B, count, d)."""
        weights = self.score(x).masked_fill(~mask[..., None], -math.inf).softmax(dim=1)  # (B, T, count)
        return torch.einsum("btc,btd->bcd", weights, x)


class CME(Baseline):
    """Li et al. 2021 (arXiv 2010.12733, code tal-ai/FG_CME): word and sound excite each other's channels.

    The feature "word_spans" has each word's frames (see asr/alignment.py); words without are spread evenly.
    """

    name = "cme"
    also_reads = ("word_spans",)
    frame_pools = {}  # frames are averaged in each pass: word spans count the unaveraged ones

    def __init__(self, s: Settings, widths: Widths) -> None:
        super().__init__(s, widths)
        d, channels, sound = s.width, s.conv_channels, 2 * s.conv_channels[-1]
        kernels = (5, *(2,) * (len(channels) - 1))
        self.reach = sum(kernels) - len(kernels)  # frames beside its own that a convolved frame has seen
        self.audio_conv = nn.Sequential(*map(nn.Conv1d, (self.bands, *channels[:-1]), channels, kernels))
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
        convolved = self.audio_conv(padded).transpose(1, 2)  # (B, T, C); no ReLU: theirs
        first, end = self.spans(batch, audio_mask.sum(dim=1), words_mask)  # (B, W), (B, W)
        # (B, W, 2 C), of all convolved frames that have seen the word
        sound = mean_and_max(convolved, first - after, end + before, audio_mask)
        excite_words = 1 + self.excite_words(sound).sigmoid()  # (B, W, d)
        excite_audio = 1 + self.excite_audio(words).sigmoid()  # (B, W, 2 C)
        words, sound = self.words_linear(words) * excite_words, sound * excite_audio
        pairs = self.pairs_rnn(torch.cat([words, sound], dim=-1), words_mask)  # (B, W, 2 d)
        features = pairs.masked_fill(~words_mask[..., None], -math.inf).amax(dim=1)  # (B, 2 d)
        gates = {"excite_words": excite_words, "excite_audio": excite_audio}
        return Output(self.predictor(features), None, features, gates)

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
