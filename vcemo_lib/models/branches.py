"""From raw features to tokens of one width: one branch a modality (section 3.2).

A branch maps x (B, T, width), mask (B, T) to tokens (B, T', d), mask (B, T'). Padding never leaks: it is zero
before every convolution, outside every BatchNorm statistic, and behind every LSTM's last real step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcemo_lib.models.attention import Dropout, Mask, Tokens
from vcemo_lib.models.batch import Masked
from vcemo_lib.models.settings import Settings


def shorten(x: Tokens, mask: Mask, factor: int) -> Masked:
    """Average every `factor` steps, real ones only: (B, T, width) -> (B, ceil(T / factor), width)."""
    if factor == 1:
        return x, mask
    spare = -x.shape[1] % factor
    x, mask = F.pad(x, (0, 0, 0, spare)), F.pad(mask, (0, spare))
    real = mask.unflatten(1, (-1, factor)).sum(dim=2)  # (B, T') how many of the steps are real
    total = x.unflatten(1, (-1, factor)).sum(dim=2)  # (B, T', width); padding is zero and adds nothing
    return total / real.clamp(min=1)[..., None], real > 0


def average_pool(x: Tokens, mask: Mask, pool: tuple[int, int]) -> Masked:
    """Average every pool[0] steps and pool[1] channels: (B, T, F) -> (B, ceil(T / p0), ceil(F / p1))."""
    x, mask = shorten(x, mask, pool[0])
    return (F.avg_pool1d(x, pool[1], ceil_mode=True) if pool[1] > 1 else x), mask


def to_length(x: Tokens, mask: Mask, length: int) -> Tokens:
    """Average each utterance's own steps into `length` equal bins, as adaptive average pooling does."""
    real = mask.sum(dim=1)[:, None]  # (B, 1)
    edge = torch.arange(length, device=x.device)  # (length,)
    first, last = edge * real // length, -(-(edge + 1) * real // length)  # (B, length)
    step = torch.arange(x.shape[1], device=x.device)  # (T,)
    inside = (step >= first[..., None]) & (step < last[..., None])  # (B, length, T)
    return (inside / (last - first)[..., None]).to(x.dtype) @ x


class ChannelDropout(Dropout):
    """Dropout of whole channels, the same ones at every step, so that time cannot average the noise away."""

    def forward(self, x: Tokens) -> Tokens:
        return x * super().forward(x.new_ones(len(x), 1, x.shape[2])) if self.training else x


class FrameNorm(nn.BatchNorm2d):
    """BatchNorm and ReLU over the real frames alone; padded frames come out as zero."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, x: Tensor, mask: Mask) -> Tensor:  # type: ignore[override]
        """x (B, C, T, F), mask (B, T) -> (B, C, T, F)."""
        if x.is_cuda:  # to pick frames out, a GPU would have to wait for their count
            return self.weighted(x, mask)
        real = mask.flatten().nonzero().squeeze(1)  # (R,) where the batch's real frames are
        frames = x.permute(0, 2, 3, 1)  # (B, T, F, C), BatchNorm's fast layout on a processor
        rows = frames.flatten(0, 1)[real]  # (R, F, C)
        normal = super().forward(rows[None].permute(0, 3, 1, 2)).relu_()[0].permute(1, 2, 0)  # (R, F, C)
        out = normal.new_zeros(frames.flatten(0, 1).shape).index_copy_(0, real, normal)
        return out.view(frames.shape).permute(0, 3, 1, 2)

    def weighted(self, x: Tensor, mask: Mask) -> Tensor:
        """The same with padded frames given weight 0, not left out: more arithmetic, no waiting."""
        real = mask[:, None, :, None].float()  # (B, 1, T, 1)
        mean, var, values = self.running_mean, self.running_var, x.float()
        if self.training:
            count = real.sum() * x.shape[3]
            mean = (values * real).sum(dim=(0, 2, 3)) / count  # (C,)
            var = ((values - mean[:, None, None]).square() * real).sum(dim=(0, 2, 3)) / count
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * count / (count - 1), self.momentum)
                self.num_batches_tracked += 1
        scale = self.weight * (var + self.eps).rsqrt()  # (C,)
        normal = (values - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]
        return (normal.relu() * real).to(x.dtype)


class ConvBlock(nn.Module):
    """Conv-BatchNorm-ReLU in time and frequency (section 3.2)."""

    def __init__(self, channels_in: int, channels: int, stride: tuple[int, int]) -> None:
        super().__init__()
        # No bias: BatchNorm takes it out again. Channels last is the faster layout on processors.
        conv = nn.Conv2d(channels_in, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.conv = conv.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.norm = FrameNorm(channels)

    def forward(self, x: Tensor, mask: Mask) -> tuple[Tensor, Mask]:
        """(B, C, T, F), (B, T) -> (B, C', T', F'), (B, T'); T' = ceil(T / stride)."""
        mask = mask[:, :: self.conv.stride[0]]  # a step is real where the middle of its kernel is
        return self.norm(self.conv(x), mask), mask


class Recurrent(nn.Module):
    """An LSTM (or GRU), in one direction or both, blind to padding; three times faster than packing it."""

    def __init__(self, width_in: int, width: int, bidirectional: bool, cell: type = nn.LSTM) -> None:
        super().__init__()
        self.forwards = cell(width_in, width // 2 if bidirectional else width, batch_first=True)
        self.backwards = cell(width_in, width - width // 2, batch_first=True) if bidirectional else None

    def forward(self, x: Tokens, mask: Mask) -> Tokens:
        """(B, T, width_in) -> (B, T, width), zero where padded."""
        out = self.forwards(x)[0]
        if self.backwards is not None:
            out = torch.cat([out, self.reverse(self.backwards(self.reverse(x, mask))[0], mask)], dim=-1)
        return out.masked_fill(~mask[..., None], 0.0)

    @staticmethod
    def reverse(x: Tokens, mask: Mask) -> Tokens:
        """Reverse the real steps of each sequence; doing it twice gives x back."""
        steps = torch.arange(x.shape[1], device=x.device)  # (T,)
        mirrored = (mask.sum(dim=1, keepdim=True) - 1 - steps) % x.shape[1]  # (B, T); padding stays padding
        return x.gather(1, mirrored[..., None].expand_as(x))


class AudioBranch(nn.Module):
    """log-mel -> Conv-BatchNorm-ReLU blocks -> LSTM -> `length` tokens (section 3.2)."""

    def __init__(self, mels: int, s: Settings) -> None:
        super().__init__()
        self.pool, self.length, channels = s.audio_pool, s.length, s.conv_channels
        self.blocks = nn.ModuleList(map(ConvBlock, (1, *channels[:-1]), channels, s.conv_strides))
        bands = -(-mels // s.audio_pool[1])
        for _, stride in s.conv_strides:
            bands = -(-bands // stride)
        self.lstm = Recurrent(channels[-1] * bands, s.width, s.lstm_bidirectional)
        self.dropout = ChannelDropout(s.dropout)

    def forward(self, x: Tokens, mask: Mask, pooled: bool = False) -> Masked:
        """(B, T, 80), (B, T) -> (B, length, d), all of them real; pooled: x is averaged already."""
        x, mask = average_pool(x, mask, (1, 1) if pooled else self.pool)  # (B, T, F)
        x = x[:, None]  # (B, 1, T, F)
        for block in self.blocks:
            x, mask = block(x, mask)  # (B, C, T', F')
        x = x.permute(0, 2, 3, 1).flatten(2)  # (B, T', F' * C)
        x = to_length(self.lstm(self.dropout(x), mask), mask, self.length)  # (B, length, d)
        return x, mask.new_ones(x.shape[:2])


class WordBranch(nn.Module):
    """Word vectors -> LSTM -> Conv1d -> `length` tokens (3.2). Also for Whisper's frames, averaged."""

    def __init__(self, width_in: int, s: Settings, dropout: float, pool: int = 1) -> None:
        super().__init__()
        self.pool, self.length = pool, s.length
        self.lstm = Recurrent(width_in, s.width, s.lstm_bidirectional)
        self.conv = nn.Conv1d(s.width, s.width, kernel_size=3, padding=1)
        self.dropout = ChannelDropout(dropout)

    def forward(self, x: Tokens, mask: Mask, pooled: bool = False) -> Masked:
        """(B, W, 300), (B, W) -> (B, length, d), all of them real; pooled: x is averaged already."""
        x, mask = shorten(x, mask, 1 if pooled else self.pool)
        x = self.lstm(self.dropout(x), mask)  # (B, W, d), zero where padded
        x = self.conv(x.transpose(1, 2)).transpose(1, 2).relu()  # (B, W, d)
        x = to_length(x, mask, self.length)
        return x, mask.new_ones(x.shape[:2])


class Statistics(nn.Module):
    """Means and deviations over time of each channel of sound -> Linear: what a straight line would read.

    Not in the paper: without it a network finds less on 1,800 clips than logistic regression does.
    """

    def __init__(self, sound: Sequence[tuple[int, tuple[int, int]]], width: int, dropout: float) -> None:
        """sound: the width and pool of each kind of acoustic feature."""
        super().__init__()
        self.pools = [pool for _, pool in sound]
        channels = 2 * sum(-(-width // bands) for width, (_, bands) in sound)
        self.norm, self.dropout = nn.BatchNorm1d(channels, affine=False), Dropout(dropout)
        self.linear = nn.Linear(channels, width)

    def forward(self, sound: Sequence[Masked], pooled: bool, missing: Tensor) -> Tensor:
        """Each kind's (B, T, width), (B, T) -> (B, d), zero where the sound is missing (B,)."""
        moments = []
        for (x, mask), pool in zip(sound, self.pools, strict=True):
            x, mask = average_pool(x, mask, (1, 1) if pooled else pool)
            real = mask.sum(dim=1, keepdim=True)  # (B, 1)
            mean = x.sum(dim=1) / real  # (B, F)
            from_mean = (x - mean[:, None]).masked_fill(~mask[..., None], 0.0)
            moments += [mean, (from_mean.square().sum(dim=1) / real + 1e-6).sqrt()]
        x = torch.cat(moments, dim=-1)
        x = self.norm(x) if len(x) > 1 or not self.training else x  # one clip has no deviation to divide by
        return self.linear(self.dropout(x)).masked_fill(missing[:, None], 0.0)


class DualAudioBranch(nn.Module):
    """log-mel and Whisper's frames, a branch each; their tokens are added, as fusion 1 adds its two."""

    def __init__(self, mel: nn.Module, whisper: nn.Module) -> None:
        super().__init__()
        self.mel, self.whisper = mel, whisper

    def forward(self, mel: Tokens, mel_mask: Mask, x: Tokens, mask: Mask, pooled: bool = False) -> Masked:
        """mel (B, T, 80), (B, T) and x (B, T / 2, 512), (B, T / 2) -> (B, length, d), all of them real."""
        tokens, real = self.mel(mel, mel_mask, pooled)
        return tokens + self.whisper(x, mask, pooled)[0], real


class BertBranch(nn.Module):
    """BERT's vectors -> Linear (3.2: "already well-structured"); keep "cls" or "mean": one a sentence."""

    def __init__(self, width_in: int, width: int, keep: str, dropout: float) -> None:
        super().__init__()
        self.keep, self.linear, self.dropout = keep, nn.Linear(width_in, width), ChannelDropout(dropout)

    def forward(self, x: Tokens, mask: Mask) -> Masked:
        """(B, K, H), (B, K) -> (B, K or 1, d), (B, K or 1)."""
        if self.keep == "cls":
            x, mask = x[:, :1], mask[:, :1]
        elif self.keep == "mean":
            x, mask = x.sum(dim=1, keepdim=True) / mask.sum(dim=1)[:, None, None], mask[:, :1]
        return self.linear(self.dropout(x)), mask
