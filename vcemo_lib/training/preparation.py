"""What the loop trains on: features read, checked, scaled, moved to the device, and averaged once."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from vcemo_lib import augmentation
from vcemo_lib.errors import VcemoError
from vcemo_lib.loading import AugmentedDataset, InMemoryDataset, Ragged, Scaler, augmented, gather
from vcemo_lib.models import MODELS, Settings, model_class
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


def apply_settings(model: nn.Module, settings: Settings) -> None:
    """Give a model other settings of loss, training and dropout; refuse what its layers were built from."""
    if differ := model.settings.other_layers(settings):
        raise VcemoError(f"the model was built with another {', '.join(differ)}", where="fit",
                         do="build a model with these settings")  # fmt: skip
    if model.name in MODELS:
        with torch.device("meta"):  # layers without memory, for their rates of dropout
            wanted = dict(model_class(model.name)(settings, model.widths).named_modules())
        for name, layer in model.named_modules():
            if isinstance(layer, nn.Dropout) and isinstance(wanted.get(name), nn.Dropout):
                layer.p = wanted[name].p
    model.settings = settings


def read_parts(
    model: nn.Module, store: Any, parts: Mapping[str, Any]
) -> tuple[dict[str, InMemoryDataset], Scaler, tuple[str, ...]]:
    """The scaled training and validation part, their scaler and the classes, or VcemoError."""
    s = model.settings
    if missing := {"train", "val"} - parts.keys():
        raise VcemoError(f"no {' and no '.join(sorted(missing))} part", where="fit",
                         do="give parts with 'train' and 'val'")  # fmt: skip
    classes = tuple(parts["train"].labels)
    if len(classes) != s.classes:
        raise VcemoError(f"the model tells {s.classes} emotions apart, the corpus has {len(classes)}",
                         do=f"build it with classes={len(classes)}")  # fmt: skip
    for kind in kinds_of(model):
        if store.width(kind) != model.widths[kind]:
            told = f"{kind} features are {store.width(kind)} wide, the model expects {model.widths[kind]}"
            raise VcemoError(told, do=f"build it with widths={{{kind!r}: {store.width(kind)}}}")
    read = parts if s.speaker_norm else ("train", "val")
    features = {name: gather(store, parts[name], kinds_of(model)) for name in read}
    if empty := [name for name in ("train", "val") if not len(features[name])]:
        raise VcemoError(f"the {empty[0]} part is empty", where="fit", do="split the corpus otherwise")
    scaler = Scaler.fit(features, s.speaker_norm)
    return {name: scaler.apply(features[name]) for name in ("train", "val")}, scaler, classes


def prepare_training(
    model: nn.Module, corpus: Any, features: Mapping[str, InMemoryDataset], scaler: Scaler, progress: bool = False
) -> TrainingData:
    """The training data on the device, with `settings.augment` altered versions of each training clip."""
    parts = [features["train"], features["val"]]
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
    ours = model.name in MODELS and type(model) is model_class(model.name)
    pools = {kind: pool for kind, pool in model.frame_pools.items() if kind in part.sequences} if ours else {}
    if all(pool == (1, 1) for pool in pools.values()):
        return part
    for kind, pool in pools.items():
        alone, rows, lengths = replace(part, sequences={kind: part.sequences[kind]}), [], []
        for index in np.array_split(np.arange(len(part)), -(-len(part) // EVAL_BATCH)):
            x, mask = average_pool(*alone.batch(index).sequence(kind), pool)
            rows.append(x[mask])  # (real steps, width)
            lengths.append(mask.sum(dim=1))
        rows, length = torch.cat([*rows, rows[0].new_zeros(1, rows[0].shape[1])]), torch.cat(lengths)
        ragged = Ragged(rows, length, length.cumsum(0) - length)  # float32: averages are no float16 any more
        part = replace(part, sequences=part.sequences | {kind: ragged}, lengths=part.lengths | {kind: length.numpy()})
    return replace(part, pooled=True)


@contextmanager
def compiled_attention(models: Sequence[nn.Module], wanted: bool | str) -> Iterator[None]:
    """Inside it the attention layers run compiled ("auto": on an NVIDIA GPU with a C compiler and Triton)."""
    if wanted == "auto":
        tools = importlib.util.find_spec("triton") and any(map(shutil.which, ("cc", "gcc", "clang")))
        wanted = torch.cuda.is_available() and bool(tools)
    layers = [layer for model in models for layer in model.modules()]
    layers = [layer for layer in layers if wanted and isinstance(layer, SelfAttention | GuidedAttention)]
    for layer in layers:
        layer.compile()  # all alike, so compiled once
    try:
        yield
    finally:
        for layer in layers:
            layer._compiled_call_impl = None  # what `Module.compile` sets: the model goes back as it came
