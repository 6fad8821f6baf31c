"""From a feature store to batches: a part of a corpus is read into memory once, batches are cut from it by
indexing.

On a GPU as on a processor no worker process, pinning or copying is needed: all of VCEMO-Sim's log-mel is 0.1
GB.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vcemo_lib.errors import VcemoError
from vcemo_lib.models.batch import Batch

ACOUSTIC = ("mel", "whisper")
UNSCALED = ("word_spans",)  # frames, not values
Moments = tuple[Tensor, Tensor]  # mean and standard deviation, each (width,)


@dataclass
class Ragged:
    """Sequences of different lengths laid end to end, with one zero row behind them for padding."""

    rows: Tensor  # (R + 1, width) float16, as the store keeps them
    lengths: Tensor  # (N,)
    starts: Tensor  # (N,) row at which each begins

    @classmethod
    def of(cls, rows: Tensor, lengths: Tensor) -> Ragged:
        """rows (R, width) and lengths (N,) that add up to R."""
        return cls(torch.cat([rows, rows.new_zeros(1, rows.shape[1])]).half(), lengths, lengths.cumsum(0) - lengths)

    def padded(self, index: Tensor, longest: int) -> tuple[Tensor, Tensor]:
        """The sequences at index (B,) -> values (B, longest, width) float32, lengths (B,)."""
        lengths = self.lengths[index]
        steps = torch.arange(longest, device=self.rows.device)  # (T,)
        where = self.starts[index][:, None] + steps  # (B, T)
        where = where.masked_fill(steps >= lengths[:, None], len(self.rows) - 1)  # padding reads the zero row
        return self.rows[where].float(), lengths

    def to(self, device: torch.device) -> Ragged:
        return Ragged(self.rows.to(device), self.lengths.to(device), self.starts.to(device))


@dataclass
class InMemoryDataset:
    """One part of a corpus in memory: N utterances, their features, labels and speakers."""

    ids: list[str]
    labels: Tensor  # (N,)
    speakers: np.ndarray  # (N,) names
    sequences: dict[str, Ragged]  # by kind of feature
    lengths: dict[str, np.ndarray]  # kind -> (N,), on the processor: planning a batch must not wait for a GPU
    pooled: bool = False  # sound is averaged by `audio_pool` already: see `training.preparation.pre_pool`

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, index: np.ndarray) -> Batch:
        """The utterances at index (B,), padded."""
        at = torch.from_numpy(index).to(self.labels.device)
        tensors: dict[str, Tensor] = {}
        for kind, ragged in self.sequences.items():
            longest = max(1, int(self.lengths[kind][index].max()))
            tensors[kind], tensors[f"{kind}_len"] = ragged.padded(at, longest)
        return Batch(ids=[self.ids[i] for i in index], labels=self.labels[at], pooled=self.pooled, **tensors)

    def plan(self, batch_size: int, rng: np.random.Generator | None = None, pool: int = 6) -> Iterator[np.ndarray]:
        """Indices of one epoch's batches, each of utterances of similar length, so that little is padding.

        With `rng` utterances are shuffled, cut into pools of `pool` batches and sorted by length within each
        pool only (sorting all would put slow, sad speech into one batch); then the batches are shuffled.
        Their sizes differ by one at most, so BatchNorm never meets a tiny last batch. Without `rng`: by
        length.
        """
        length = next(iter(self.lengths.values()))
        count = -(-len(self) // batch_size)
        if rng is None:
            yield from np.array_split(np.argsort(length, kind="stable"), count)
            return
        order = rng.permutation(len(self))
        pools = np.array_split(order, -(-count // pool))
        order = np.concatenate([p[np.argsort(length[p], kind="stable")] for p in pools])
        batches = np.array_split(order, count)
        for i in rng.permutation(count):
            yield batches[i]

    def to(self, device: torch.device) -> InMemoryDataset:
        moved = {kind: ragged.to(device) for kind, ragged in self.sequences.items()}
        return replace(self, labels=self.labels.to(device), sequences=moved)


@dataclass
class AugmentedDataset:
    """A training part in several versions of its sound, all of them in memory."""

    clean: InMemoryDataset
    mel: Ragged  # lengths and starts (versions, N)
    lengths: np.ndarray  # (versions, N), on the processor

    @classmethod
    def of(cls, versions: Sequence[InMemoryDataset]) -> AugmentedDataset:
        """The same N utterances as they are, then in each augmented version."""
        ragged = [version.sequences["mel"] for version in versions]
        # one zero row behind them all
        rows = torch.cat([*(r.rows[:-1] for r in ragged), ragged[0].rows[-1:]])
        offsets = np.cumsum([0] + [len(r.rows) - 1 for r in ragged[:-1]])
        starts = torch.stack([r.starts + int(offset) for r, offset in zip(ragged, offsets, strict=True)])
        lengths = np.stack([version.lengths["mel"] for version in versions])
        return cls(versions[0], Ragged(rows, torch.stack([r.lengths for r in ragged]), starts), lengths)

    def draw(self, rng: np.random.Generator) -> InMemoryDataset:
        """The part with one version of each clip, drawn evenly. No row is copied."""
        each = np.arange(len(self.clean))
        chosen = rng.integers(len(self.lengths), size=len(each))  # (N,)
        device = self.mel.rows.device
        at = torch.from_numpy(chosen).to(device), torch.from_numpy(each).to(device)
        sequences = self.clean.sequences | {"mel": Ragged(self.mel.rows, self.mel.lengths[at], self.mel.starts[at])}
        lengths = self.clean.lengths | {"mel": self.lengths[chosen, each]}
        return replace(self.clean, sequences=sequences, lengths=lengths)


def augmented(part: Any, copies: int, progress: bool = True) -> list[InMemoryDataset]:
    """The log-mel of a training part's augmented versions 1 to `copies`, computed or read from the cache."""
    from vcemo_lib import features

    stores = (features.compute(part, ("mel",), progress=progress, augmented=1 + i) for i in range(copies))
    return [gather(store, part, ("mel",)) for store in stores]


def gather(store: Any, part: Any, kinds: Sequence[str]) -> InMemoryDataset:
    """Read the features of a corpus part out of a store: anything with `batch(ids, kinds)`."""
    rows: dict[str, list[Tensor]] = {kind: [] for kind in kinds}
    lengths: dict[str, list[Tensor]] = {kind: [] for kind in kinds}
    ids = list(part.ids)
    for start in range(0, len(ids), 64):
        batch = store.batch(ids[start : start + 64], kinds)
        for kind in kinds:
            values, _ = batch.sequence(kind)
            length = getattr(batch, f"{kind}_len")
            # unlike the mask, False for an empty sequence
            real = torch.arange(values.shape[1]) < length[:, None]
            values = values.half()
            if not values.sum(dtype=torch.float32).isfinite():  # one cheap look at all values
                bad = [u for u, row in zip(batch.ids, values, strict=True) if not row.isfinite().all()]
                raise VcemoError(f"{kind} features are not finite", where=", ".join(bad), do="compute these features again")
            rows[kind].append(values[real])
            lengths[kind].append(length)
    ragged = {kind: Ragged.of(torch.cat(rows[kind]), torch.cat(lengths[kind])) for kind in kinds}
    labels = torch.tensor(part.y(), dtype=torch.int64)
    speakers = np.asarray(part.table.loc[ids, "speaker"], dtype=str)
    return InMemoryDataset(ids, labels, speakers, ragged, {kind: r.lengths.numpy() for kind, r in ragged.items()})


@dataclass
class Scaler:
    """Standardises every feature, channel by channel, without looking at labels.

    Word and sentence vectors use the training part's statistics. Audio uses those of the speaker's own clips
    where `by_speaker` has them, else the training part's.
    """

    overall: dict[str, Moments]  # by kind
    by_speaker: dict[str, dict[str, Moments]]  # by speaker and acoustic kind

    @classmethod
    def fit(cls, parts: Mapping[str, InMemoryDataset], per_speaker: bool) -> Scaler:
        """Statistics of parts["train"]; with `per_speaker` also each speaker's, from the clips in all parts.
        """
        train = parts["train"]
        overall = {kind: _moments(r.rows[:-1]) for kind, r in train.sequences.items() if kind not in UNSCALED}
        scaler = cls(overall, {})
        if per_speaker:
            scaler.learn_speakers(*parts.values())
        return scaler

    def learn_speakers(self, *parts: InMemoryDataset) -> None:
        """Add the speakers of these parts that are not known yet."""
        clips: dict[tuple[str, str], list[Tensor]] = {}
        for part in parts:
            for kind in set(part.sequences) & set(ACOUSTIC):
                ragged = part.sequences[kind]
                for i, speaker in enumerate(part.speakers):
                    if speaker not in self.by_speaker:
                        clip = ragged.rows[ragged.starts[i] : ragged.starts[i] + ragged.lengths[i]]
                        clips.setdefault((speaker, kind), []).append(clip)
        for (speaker, kind), rows in clips.items():
            self.by_speaker.setdefault(speaker, {})[kind] = _moments(torch.cat(rows))

    def apply(self, part: InMemoryDataset) -> InMemoryDataset:
        """The same part, scaled."""
        scaled: dict[str, Ragged] = {}
        for kind, ragged in part.sequences.items():
            if kind in UNSCALED:
                scaled[kind] = ragged
                continue
            mean, deviation = self.overall[kind]  # (width,), (width,)
            if kind in ACOUSTIC and self.by_speaker:
                of = [self.by_speaker.get(speaker, {}).get(kind, (mean, deviation)) for speaker in part.speakers]
                mean = torch.stack([m for m, _ in of]).repeat_interleave(ragged.lengths, dim=0)  # (R, width)
                deviation = torch.stack([d for _, d in of]).repeat_interleave(ragged.lengths, dim=0)
            scaled[kind] = Ragged.of((ragged.rows[:-1].float() - mean) / deviation, ragged.lengths)
        return replace(part, sequences=scaled)


def _moments(rows: Tensor) -> Moments:
    """Mean and deviation of rows (R, width); a constant channel (silence) gets deviation 1."""
    if not len(rows):
        return torch.zeros(rows.shape[1]), torch.ones(rows.shape[1])
    rows = rows.float()
    mean = rows.mean(dim=0)
    deviation = (rows - mean).square_().mean(dim=0).sqrt()  # a quarter of what rows.std takes
    return mean, torch.where(deviation > 1e-3, deviation, torch.ones_like(deviation))
