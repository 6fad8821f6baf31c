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
from vcemo_lib.models.branches import average_pool

ACOUSTIC = ("mel", "whisper")
UNSCALED = ("word_spans",)  # frames, not values
PRIOR_CLIPS = 1  # that the training part's statistics weigh beside a stranger's clips: see `Scaler.adapted`
Moments = tuple[Tensor, Tensor]  # mean and standard deviation, each (width,)


@dataclass
class Ragged:
    """N sequences of different lengths laid end to end, with one zero row behind them for padding."""

    rows: Tensor  # (R + 1, width), float16 as the store keeps them
    lengths: Tensor  # (N,)
    starts: Tensor  # (N,) row at which each begins
    on_cpu: np.ndarray  # lengths once more: planning a batch must not wait for a GPU

    @classmethod
    def of(cls, rows: Tensor, lengths: Tensor) -> Ragged:
        """rows (R, width) and lengths (N,) that add up to R."""
        rows = torch.cat([rows, rows.new_zeros(1, rows.shape[1])])
        return cls(rows, lengths, lengths.cumsum(0) - lengths, lengths.cpu().numpy())

    def padded(self, index: Tensor, longest: int) -> tuple[Tensor, Tensor]:
        """The sequences at index (B,) -> values (B, longest, width) float32, lengths (B,)."""
        lengths = self.lengths[index]
        steps = torch.arange(longest, device=self.rows.device)  # (T,)
        where = self.starts[index][:, None] + steps  # (B, T)
        where = where.masked_fill(steps >= lengths[:, None], len(self.rows) - 1)  # padding reads the zero row
        return self.rows[where].float(), lengths

    def to(self, device: torch.device) -> Ragged:
        return Ragged(self.rows.to(device), self.lengths.to(device), self.starts.to(device), self.on_cpu)


@dataclass
class InMemoryDataset:
    """One part of a corpus in memory: N utterances, their features, labels and speakers."""

    ids: list[str]
    labels: Tensor  # (N,)
    speakers: np.ndarray  # (N,) names
    sequences: dict[str, Ragged]  # by kind of feature
    versions: dict[str, Ragged] | None = None  # sounds of N clips as they are, then otherwise, N at a time
    pooled: bool = False  # sound is averaged by `audio_pool` already: see `pre_pool`
    muted: tuple[str, ...] = ()  # modalities that the model must do without

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> dict[str, np.ndarray]:
        """Kind -> rows of each utterance, (N,)."""
        return {kind: ragged.on_cpu for kind, ragged in self.sequences.items()}

    def batch(self, index: np.ndarray) -> Batch:
        """The utterances at index (B,), padded."""
        at = torch.from_numpy(index).to(self.labels.device)
        tensors: dict[str, Any] = {}
        for kind, ragged in self.sequences.items():
            longest = max(1, int(ragged.on_cpu[index].max()))
            tensors[kind], tensors[f"{kind}_len"] = ragged.padded(at, longest)
        tensors |= {"labels": self.labels[at], "pooled": self.pooled, "muted": self.muted}
        return Batch(ids=[self.ids[i] for i in index], **tensors)

    def plan(self, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[np.ndarray]:
        """Indices of one epoch's batches, their sizes at most one apart: at random by `rng`, else by length.

        Batches of like length would need less padding, but put slow, sad speech together.
        """
        length = next(iter(self.sequences.values())).on_cpu
        order = np.argsort(length, kind="stable") if rng is None else rng.permutation(len(self))
        yield from np.array_split(order, -(-len(self) // batch_size))

    def with_versions(self, versions: Sequence[InMemoryDataset]) -> InMemoryDataset:
        """The same N utterances with other versions of their sound, from which `draw` takes."""
        pool = {}
        for kind in versions[0].sequences.keys() & set(ACOUSTIC):
            each = [part.sequences[kind] for part in (self, *versions)]
            rows, lengths = torch.cat([r.rows[:-1] for r in each]), torch.cat([r.lengths for r in each])
            pool[kind] = Ragged.of(rows, lengths)
        return replace(self, versions=pool)

    def draw(self, rng: np.random.Generator) -> InMemoryDataset:
        """What one epoch trains on: one version of each clip, drawn evenly. No row is copied."""
        if not self.versions:
            return self
        count = len(next(iter(self.versions.values())).on_cpu) // len(self)
        chosen = rng.integers(count, size=len(self)) * len(self) + np.arange(len(self))
        at = torch.from_numpy(chosen).to(self.labels.device)  # (N,)
        drawn = {
            kind: Ragged(pool.rows, pool.lengths[at], pool.starts[at], pool.on_cpu[chosen])
            for kind, pool in self.versions.items()
        }
        return replace(self, sequences=self.sequences | drawn)

    def to(self, device: torch.device) -> InMemoryDataset:
        moved = {kind: ragged.to(device) for kind, ragged in self.sequences.items()}
        return replace(self, labels=self.labels.to(device), sequences=moved)


def gather(store: Any, part: Any, kinds: Sequence[str]) -> InMemoryDataset:
    """A corpus part's features out of a store: anything with `batch(ids, kinds)`."""
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
    sequences = {kind: Ragged.of(torch.cat(rows[kind]), torch.cat(lengths[kind])) for kind in kinds}
    speakers = np.asarray(part.table.loc[ids, "speaker"], dtype=str)
    return InMemoryDataset(ids, torch.tensor(part.y()), speakers, sequences)


def pre_pool(model: Any, part: InMemoryDataset) -> InMemoryDataset:
    """The part with its frames averaged as the model would average them first of all (`audio_pool`).

    Once before training, not in each pass: an epoch of a small model takes a fifth less time. A model of the
    reader's own averages as it likes.
    """
    ours = type(model).__module__.startswith("vcemo_lib.models.")
    for kind, pool in model.frame_pools.items() if ours else ():
        if pool == (1, 1) or kind not in part.sequences:
            continue
        alone, rows, lengths = replace(part, sequences={kind: part.sequences[kind]}, pooled=False), [], []
        for index in np.array_split(np.arange(len(part)), -(-len(part) // 256)):
            x, mask = average_pool(*alone.batch(index).sequence(kind), pool)
            rows.append(x[mask])  # (real steps, width) float32: no rounding
            lengths.append(mask.sum(dim=1))
        averaged = {kind: Ragged.of(torch.cat(rows), torch.cat(lengths))}
        part = replace(part, sequences=part.sequences | averaged, pooled=True)
    return part


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

    def adapted(self, part: InMemoryDataset, clips_of: Mapping[str, Sequence[int] | np.ndarray]) -> Scaler:
        """A scaler that knows only these voices: name -> which clips of an unscaled part they are heard in.

        Statistics of n clips weigh n, those of the training part PRIOR_CLIPS; without clips they stand alone.
        On VCEMO-Sim's validation speakers a weight of 1 was best of 0, 1, 2, 5, 10 for models trained by
        speaker, from one clip on: UA 38 (without it 33) with one, 45 with 20, where all clips give 45.
        """
        found: dict[str, dict[str, Moments]] = {name: {} for name, which in clips_of.items() if len(which)}
        for kind in part.sequences.keys() & set(ACOUSTIC):
            mean, deviation = self.overall[kind]
            clips = part.sequences[kind].rows[:-1].split(part.sequences[kind].lengths.tolist())
            for name, moments in found.items():
                own = _moments(torch.cat([clips[i] for i in clips_of[name]]))
                weight = len(clips_of[name]) / (len(clips_of[name]) + PRIOR_CLIPS)
                moments[kind] = mean.lerp(own[0], weight), deviation.log().lerp(own[1].log(), weight).exp()
        return replace(self, by_speaker=found)

    def apply(self, part: InMemoryDataset) -> InMemoryDataset:
        """The same part, scaled."""
        scaled = dict(part.sequences)
        for kind in part.sequences.keys() - set(UNSCALED):
            ragged, (mean, deviation) = part.sequences[kind], self.overall[kind]  # (width,) each
            if kind in ACOUSTIC and self.by_speaker:
                known = [self.by_speaker.get(speaker, {}) for speaker in part.speakers]
                pairs = torch.stack([torch.stack(m.get(kind, self.overall[kind])) for m in known])
                mean, deviation = pairs.repeat_interleave(ragged.lengths, dim=0).unbind(1)  # (R, width) each
            scaled[kind] = Ragged.of(((ragged.rows[:-1].float() - mean) / deviation).half(), ragged.lengths)
        return replace(part, sequences=scaled)


def _moments(rows: Tensor) -> Moments:
    """Mean and deviation of rows (R, width); a constant channel (silence) gets deviation 1."""
    if not len(rows):
        return torch.zeros(rows.shape[1]), torch.ones(rows.shape[1])
    rows = rows.float()
    mean = rows.mean(dim=0)
    deviation = (rows - mean).square_().mean(dim=0).sqrt()  # a quarter of what rows.std takes
    return mean, torch.where(deviation > 1e-3, deviation, torch.ones_like(deviation))
