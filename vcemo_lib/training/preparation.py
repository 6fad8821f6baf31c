"""What the loop trains on: features read, checked, scaled, moved to the device, and averaged once."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from vcemo_lib import augmentation
from vcemo_lib.errors import VcemoError
from vcemo_lib.loading import AugmentedDataset, InMemoryDataset, Ragged, Scaler, augmented, gather
from vcemo_lib.models.attention import GuidedAttention, SelfAttention
from vcemo_lib.models.branches import average_pool
from vcemo_lib.training.runs import EVAL_BATCH, device, kinds_of


@dataclass
class TrainingData:
    """The training and validation part on the device, and altered versions of the training clips."""

    train: InMemoryDataset
    val: InMemoryDataset
    versions: AugmentedDataset | None = None

    def draw(self, rng: np.random.Generator) -> InMemoryDataset:
        """The training part of one epoch: a version of each clip drawn anew, where there are any."""
        return self.versions.draw(rng) if self.versions else self.train


def read_parts(model: nn.Module, store: Any, parts: Mapping[str, Any]) -> dict[str, InMemoryDataset]:
    """The features of the training and validation part, and of all parts where speakers are scaled.

    Raises VcemoError where they do not fit the model.
    """
    s, kinds = model.settings, kinds_of(model)
    for name in ("train", "val"):
        if name not in parts or not len(parts[name].ids):
            raise VcemoError(f"there is no {name} part, or it is empty", where="fit",
                             do="give parts with 'train' and 'val'")  # fmt: skip
    if (classes := len(parts["train"].labels)) != s.classes:
        raise VcemoError(f"the model tells {s.classes} emotions apart, the corpus has {classes}",
                         do=f"build it with classes={classes}")  # fmt: skip
    for kind in kinds:
        if (width := store.width(kind)) != model.widths[kind]:
            raise VcemoError(f"{kind} features are {width} wide, the model expects {model.widths[kind]}",
                             do=f"build it with widths={{{kind!r}: {width}}}")  # fmt: skip
    read = parts if s.speaker_norm else ("train", "val")
    return {name: gather(store, parts[name], kinds) for name in read}


def prepare_training(
    model: nn.Module, corpus: Any, features: Mapping[str, InMemoryDataset], scaler: Scaler,
    progress: bool = False,
) -> TrainingData:
    """Scaled training data on the device, with `settings.augment` altered versions of each training clip."""
    parts = [scaler.apply(features[name]) for name in ("train", "val")]
    if model.settings.augment:
        augmentation.check(model)
        parts += [scaler.apply(part) for part in augmented(corpus, model.settings.augment, progress)]
    train, val, *versions = (pre_pool(model, part).to(device()) for part in parts)
    return TrainingData(train, val, AugmentedDataset.of([train, *versions]) if versions else None)


def pre_pool(model: nn.Module, part: InMemoryDataset) -> InMemoryDataset:
    """The part with its frames averaged as the model would average them first of all (`audio_pool`).

    Once before training, not in each pass: an epoch of a small model takes a fifth less time. The part is
    marked `pooled`, and so are its batches. A model of the reader's own averages as it likes.
    """
    ours = type(model).__module__.startswith("vcemo_lib.models.")
    pools = {kind: pool for kind, pool in model.frame_pools.items() if pool != (1, 1)} if ours else {}
    for kind in pools.keys() & part.sequences.keys():
        alone, rows, lengths = replace(part, sequences={kind: part.sequences[kind]}), [], []
        for index in np.array_split(np.arange(len(part)), -(-len(part) // EVAL_BATCH)):
            x, mask = average_pool(*alone.batch(index).sequence(kind), pools[kind])
            rows.append(x[mask])  # (real steps, width)
            lengths.append(mask.sum(dim=1))
        length, zero = torch.cat(lengths), rows[0].new_zeros(1, rows[0].shape[1])
        ragged = Ragged(torch.cat([*rows, zero]), length, length.cumsum(0) - length)  # float32: no rounding
        part = replace(part, sequences=part.sequences | {kind: ragged},
                       lengths=part.lengths | {kind: length.numpy()}, pooled=True)  # fmt: skip
    return part


@contextmanager
def compiled_attention(model: nn.Module, wanted: bool | str) -> Iterator[None]:
    """Inside it the attention layers run compiled ("auto": on an NVIDIA GPU with a C compiler and Triton)."""
    if wanted == "auto":
        compiler = any(map(shutil.which, ("cc", "gcc", "clang")))
        wanted = torch.cuda.is_available() and compiler and importlib.util.find_spec("triton") is not None
    layers = [m for m in model.modules() if wanted and isinstance(m, SelfAttention | GuidedAttention)]
    for layer in layers:
        layer.compile()  # all alike, so compiled once
    try:
        yield
    finally:
        for layer in layers:
            layer._compiled_call_impl = None  # what `Module.compile` sets: the model goes back as it came
