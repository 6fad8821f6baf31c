"""What the loop trains on: features read, checked, scaled, moved to the device, and averaged once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from vcemo_lib import augmentation
from vcemo_lib.errors import VcemoError
from vcemo_lib.loading import AugmentedDataset, InMemoryDataset, Ragged, Scaler, gather
from vcemo_lib.models.branches import average_pool
from vcemo_lib.training.runs import EVAL_BATCH, device, kinds_of


def read_parts(model: nn.Module, store: Any, parts: Mapping[str, Any]) -> dict[str, InMemoryDataset]:
    """The features of the training and validation part, and of all parts where speakers are scaled.

    Raises VcemoError where they do not fit the model.
    """
    s, kinds = model.settings, kinds_of(model)
    for name in ("train", "val"):
        if name not in parts or not len(parts[name].ids):
            do = "give parts with 'train' and 'val'"
            raise VcemoError(f"there is no {name} part, or it is empty", where="fit", do=do)
    if (classes := len(parts["train"].labels)) != s.classes:
        what = f"the model tells {s.classes} emotions apart, the corpus has {classes}"
        raise VcemoError(what, do=f"build it with classes={classes}")
    for kind in kinds:
        if (width := store.width(kind)) != model.widths[kind]:
            what = f"{kind} features are {width} wide, the model expects {model.widths[kind]}"
            raise VcemoError(what, do=f"build it with widths={{{kind!r}: {width}}}")
    read = parts if s.speaker_norm else ("train", "val")
    return {name: gather(store, parts[name], kinds) for name in read}


def prepare(
    model: nn.Module, corpus: Any, features: Mapping[str, InMemoryDataset], scaler: Scaler,
    progress: bool = False,
) -> tuple[InMemoryDataset, InMemoryDataset]:
    """The training and the validation part, scaled, on the device.

    With `settings.augment` the first holds so many altered versions of each clip, computed or read from the
    cache; an epoch `draw`s one of each.
    """
    parts = [features["train"], features["val"]]
    if copies := model.settings.augment:
        from vcemo_lib.features import compute

        augmentation.check(model)
        for i in range(1, copies + 1):
            store = compute(corpus, ("mel",), progress=progress, augmented=i)
            parts.append(gather(store, corpus, ("mel",)))
    train, val, *versions = (pre_pool(model, scaler.apply(part)).to(device()) for part in parts)
    return AugmentedDataset.of([train, *versions]) if versions else train, val


def pre_pool(model: nn.Module, part: InMemoryDataset) -> InMemoryDataset:
    """The part with its frames averaged as the model would average them first of all (`audio_pool`).

    Once before training, not in each pass: an epoch of a small model takes a fifth less time. The part is
    marked `pooled`, and so are its batches. A model of the reader's own averages as it likes.
    """
    ours = type(model).__module__.startswith("vcemo_lib.models.")
    for kind, pool in model.frame_pools.items() if ours else ():
        if pool == (1, 1) or kind not in part.sequences:
            continue
        alone, rows, lengths = replace(part, sequences={kind: part.sequences[kind]}, pooled=False), [], []
        for index in np.array_split(np.arange(len(part)), -(-len(part) // EVAL_BATCH)):
            x, mask = average_pool(*alone.batch(index).sequence(kind), pool)
            rows.append(x[mask])  # (real steps, width) float32: no rounding
            lengths.append(mask.sum(dim=1))
        averaged = {kind: Ragged.of(torch.cat(rows), torch.cat(lengths))}
        part = replace(part, sequences=part.sequences | averaged, pooled=True)
    return part
