"""From a feature store to batches: a part of a corpus is read into memory once, batches are cut by indexing.

On a GPU as on a processor no worker process, pinning or copying is needed: VCEMO-Sim's log-mel is 0.1 GB.
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
POOL = 6  # batches whose utterances are sorted by length together
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
        rows = torch.cat([rows, rows.new_zeros(1, rows.shape[1])]).half()
        return cls(rows, lengths, lengths.cumsum(0) - lengths)

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
    muted: tuple[str, ...] = ()  # modalities that the model must do without

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, index: np.ndarray) -> Batch:
        """The utterances at index (B,), padded."""
        at = torch.from_numpy(index).to(self.labels.device)
        tensors: dict[str, Any] = {}
        for kind, ragged in self.sequences.items():
            longest = max(1, int(self.lengths[kind][index].max()))
            tensors[kind], tensors[f"{kind}_len"] = ragged.padded(at, longest)
        tensors |= {"labels": self.labels[at], "pooled": self.pooled, "muted": self.muted}
        return Batch(ids=[self.ids[i] for i in index], **tensors)

    def plan(self, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[np.ndarray]:
        """Indices of one epoch's batches, each of utterances of similar length, so that little is padding.

        With `rng` utterances are shuffled and sorted within pools of POOL batches only (sorting all would put
        slow, sad speech into one batch); then the batches are shuffled. Without: by length. Sizes differ by
        one at most: BatchNorm never meets a tiny last batch.
        """
        length = next(iter(self.lengths.values()))
        count = -(-len(self) // batch_size)
        if rng is None:
            yield from np.array_split(np.argsort(length, kind="stable"), count)
            return
        pools = np.array_split(rng.permutation(len(self)), -(-count // POOL))
        order = np.concatenate([p[np.argsort(length[p], kind="stable")] for p in pools])
        batches = np.array_split(order, count)
        yield from (batches[i] for i in rng.permutation(count))

    def to(self, device: torch.device) -> InMemoryDataset:
        moved = {kind: ragged.to(device) for kind, ragged in self.sequences.items()}
        return replace(self, labels=self.labels.to(device), sequences=moved)


@dataclass
class AugmentedDataset:
    """A training part in several versions of its sound, all of them in memory."""

    clean: InMemoryDataset
    mel: Ragged  # version after version, N sequences each
    lengths: np.ndarray  # (versions * N,), on the processor

    @classmethod
    def of(cls, versions: Sequence[InMemoryDataset]) -> AugmentedDataset:
        """The same N utterances as they are, then in each augmented version."""
        each = [version.sequences["mel"] for version in versions]
        rows = torch.cat([*(ragged.rows[:-1] for ragged in each), each[0].rows[-1:]])
        lengths = torch.cat([ragged.lengths for ragged in each])
        on_cpu = np.concatenate([version.lengths["mel"] for version in versions])
        return cls(versions[0], Ragged(rows, lengths, lengths.cumsum(0) - lengths), on_cpu)

    def draw(self, rng: np.random.Generator) -> InMemoryDataset:
        """The part with one version of each clip, drawn evenly. No row is copied."""
        count = len(self.clean)
        chosen = rng.integers(len(self.lengths) // count, size=count) * count + np.arange(count)  # (N,)
        at = torch.from_numpy(chosen).to(self.mel.rows.device)
        mel = Ragged(self.mel.rows, self.mel.lengths[at], self.mel.starts[at])
        lengths = self.clean.lengths | {"mel": self.lengths[chosen]}
        return replace(self.clean, sequences=self.clean.sequences | {"mel": mel}, lengths=lengths)


def augmented(part: Any, copies: int, progress: bool = True) -> list[InMemoryDataset]:
    """The log-mel of a training part's augmented versions 1 to `copies`, computed or read from the cache."""
    from vcemo_lib import features

    stores = (features.compute(part, ("mel",), progress=progress, augmented=1 + i) for i in range(copies))
    return [gather(store, part, ("mel",)) for store in stores]


def gather(store: Any, part: Any, kinds: Sequence[str]) -> InMemoryDataset:
    """Read the features of a corpus part out of a store: anything with `batch(ids, kinds)`."""
    if not (ids := list(part.ids)):
        raise VcemoError("a part without utterances", where=part.name, do="split the corpus otherwise")
    rows: dict[str, list[Tensor]] = {kind: [] for kind in kinds}
    lengths: dict[str, list[Tensor]] = {kind: [] for kind in kinds}
    for start in range(0, len(ids), 64):
        batch = store.batch(ids[start : start + 64], kinds)
        for kind in kinds:
            values, length = getattr(batch, kind).half(), getattr(batch, f"{kind}_len")
            if not (finite := values.isfinite().flatten(1).all(1)).all():  # (B,)
                bad = ", ".join(u for u, good in zip(batch.ids, finite, strict=True) if not good)
                raise VcemoError(f"{kind} features are not finite", where=bad, do="compute them again")
            rows[kind].append(values[torch.arange(values.shape[1]) < length[:, None]])
            lengths[kind].append(length)
    ragged = {kind: Ragged.of(torch.cat(rows[kind]), torch.cat(lengths[kind])) for kind in kinds}
    on_cpu = {kind: sequence.lengths.numpy() for kind, sequence in ragged.items()}
    speakers = np.asarray(part.table.loc[ids, "speaker"], dtype=str)
    return InMemoryDataset(ids, torch.tensor(part.y()), speakers, ragged, on_cpu)


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
        """Statistics of parts["train"]; with `per_speaker` also each speaker's, of the clips in all parts."""
        train = parts["train"].sequences.items()
        scaler = cls({kind: _moments(r.rows[:-1]) for kind, r in train if kind not in UNSCALED}, {})
        if per_speaker:
            scaler.learn_speakers(*parts.values())
        return scaler

    def learn_speakers(self, *parts: InMemoryDataset) -> None:
        """Add the speakers of these parts that are not known yet."""
        clips: dict[tuple[str, str], list[Tensor]] = {}
        for part in parts:
            for kind in part.sequences.keys() & set(ACOUSTIC):
                ragged = part.sequences[kind]
                each = ragged.rows[:-1].split(ragged.lengths.tolist())
                for speaker, clip in zip(part.speakers, each, strict=True):
                    if speaker not in self.by_speaker:
                        clips.setdefault((speaker, kind), []).append(clip)
        for (speaker, kind), rows in clips.items():
            self.by_speaker.setdefault(speaker, {})[kind] = _moments(torch.cat(rows))

    def apply(self, part: InMemoryDataset) -> InMemoryDataset:
        """The same part, scaled."""
        scaled = dict(part.sequences)
        for kind in part.sequences.keys() - set(UNSCALED):
            ragged, moments = part.sequences[kind], self.overall[kind]  # (width,) each
            if kind in ACOUSTIC and self.by_speaker:
                of = [self.by_speaker.get(speaker, {}).get(kind, moments) for speaker in part.speakers]
                pairs = torch.stack([torch.stack(pair) for pair in of])  # (N, 2, width)
                pairs = pairs.repeat_interleave(ragged.lengths, dim=0)  # (R, 2, width)
                moments = pairs[:, 0], pairs[:, 1]
            mean, deviation = moments
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
