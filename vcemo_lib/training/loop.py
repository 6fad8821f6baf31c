"""The training loop: `fit(model, store, parts)` -> `Run`.

Sections 4.2 and 4.3: Adam, 50 epochs, batches of 256, the epoch chosen on the validation part, the test part
untouched until then.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from vcemo_lib import augmentation, provenance
from vcemo_lib.errors import VcemoError
from vcemo_lib.features import compute
from vcemo_lib.loading import InMemoryDataset, Scaler, gather, pre_pool
from vcemo_lib.models import Settings
from vcemo_lib.provenance import Recipe
from vcemo_lib.training import checkpoint
from vcemo_lib.training.learner import Learner, learning_rate
from vcemo_lib.training.runs import RUN_FILE, Run, device, kinds_of, predict

CHECKPOINT = "checkpoint.safetensors"
ENROLLED = (2, 10, 10_000)  # clips by which "mixed" knows a speaker, beside none; the last: all there are


def fit(
    model: nn.Module, store: Any, parts: Mapping[str, Any], seed: int = 0, out: Path | str | None = None,
    progress: bool = True,
) -> Run:  # fmt: skip
    """Train a model in place by its settings, on parts "train" and "val"; the best epoch's weights stay.

    `out` gets a checkpoint an epoch and `run.safetensors`: a killed run goes on from there and ends as if it
    had never stopped, a finished one is read. Of other parts only the speakers' statistics are used. Raises
    VcemoError when a loss or weight stops being finite.
    """
    s, folder = model.settings, None if out is None else Path(out)
    features = read_parts(model, store, parts)
    recipe = Recipe.of(model.name, s, seed, provenance.data(store, kinds_of(model), parts))
    if folder and (folder / RUN_FILE).exists():
        run = Run.load(folder, store)
        recipe.require(run.recipe, folder)
        model.to(device()).load_state_dict(run.model.state_dict())
        return replace(run, model=model.eval())
    learner, classes = Learner(model.to(device()), s), tuple(parts["train"].labels)
    scaler = Scaler.fit(features, per_speaker=s.speaker_norm is True)
    train, val = prepare(model, parts["train"], features, scaler, progress)
    history, best = restore(folder, learner, recipe) if folder else ([], {})
    if learner.device.type == "cuda" and shutil.which("cc"):  # Triton needs a compiler
        learner.compile_attention()

    shown: dict[str, Any] = {"initial": len(history), "leave": False, "disable": not progress}
    for epoch in tqdm(range(len(history), s.epochs), "epochs", s.epochs, **shown):
        if history and epoch - 1 - best_epoch(history, s) >= s.patience:
            break
        start = time.perf_counter()
        row = {"epoch": epoch} | train_epoch(learner, train, epoch, seed)
        found = predict(model, val, classes)
        row |= {"val_loss": found.loss()} | {f"val_{name}": v for name, v in found.scores().items()}
        history.append(row | {"seconds": time.perf_counter() - start})
        if not (np.isfinite(history[-1]["val_loss"]) and all(p.isfinite().all() for p in model.parameters())):
            raise diverged(f"after epoch {epoch} weights or answers are not finite", s)
        if best_epoch(history, s) == epoch:
            best = {name: t.clone() for name, t in model.state_dict().items()}
        if folder:
            tensors = learner.state_dict() | checkpoint.prefixed("best", best)
            checkpoint.save(folder / CHECKPOINT, tensors, {"recipe": asdict(recipe), "history": history})

    model.load_state_dict(best)
    table, seconds = pd.DataFrame(history).set_index("epoch"), sum(row["seconds"] for row in history)
    run = Run(model.eval(), scaler, table, best_epoch(history, s), seconds, seed, classes, recipe, store)
    if folder:
        run.save(folder)
        (folder / CHECKPOINT).unlink(missing_ok=True)
    return run


def train_epoch(learner: Learner, data: InMemoryDataset, epoch: int, seed: int) -> dict[str, float]:
    """One pass over the training part; the mean of each loss over its utterances.

    Chance depends on seed and epoch alone: a resumed run draws the same.
    """
    s, rng = learner.settings, np.random.default_rng([seed, epoch])
    torch.manual_seed(int(rng.integers(2**63)))
    part = data.draw(rng)
    batches, steps = list(part.plan(s.batch_size, rng)), []
    for i, index in enumerate(batches, start=epoch * -(-len(part) // s.batch_size)):
        lr = learning_rate(i, len(batches) * s.epochs, s)
        owner = torch.from_numpy(index).to(learner.device)
        steps.append(learner.step(part.batch(index), owner, lr))
    if not all(finite := torch.stack([step["finite"] for step in steps]).tolist()):
        first = finite.index(False)
        what = "loss {loss:g}, gradient norm {norm:g}".format(**steps[first])
        raise diverged(f"{what} in epoch {epoch}, step {first}", s)
    return mean_losses(steps, [len(index) for index in batches])


def mean_losses(steps: Sequence[Mapping[str, Tensor]], sizes: Sequence[int]) -> dict[str, float]:
    """The mean of each loss over the utterances of batches of these sizes."""
    names = [name for name in steps[0] if name not in ("norm", "finite")]
    values = torch.stack([torch.stack([step[name] for name in names]) for step in steps])
    counts = torch.tensor(sizes, dtype=torch.float64)
    return dict(zip(names, (counts / counts.sum() @ values.cpu().double()).tolist(), strict=True))


def diverged(what: str, s: Settings) -> VcemoError:
    do = f"lower lr (set to {s.lr:g}) or set clip; the last checkpoint is good"
    return VcemoError(f"training diverged: {what}", do=do)


def best_epoch(history: Sequence[Mapping[str, float]], s: Settings) -> int:
    """The epoch with the best validation score, the first of equals."""
    return max(range(len(history)), key=lambda epoch: history[epoch][f"val_{s.select}"])


def read_parts(model: nn.Module, store: Any, parts: Mapping[str, Any]) -> dict[str, InMemoryDataset]:
    """The features of the training and validation part, and of all parts where speakers are scaled.

    Raises VcemoError where they do not fit the model.
    """
    s, kinds = model.settings, kinds_of(model)
    if missing := [name for name in ("train", "val") if name not in parts]:
        raise VcemoError(f"there is no {missing[0]} part", do="give parts with 'train' and 'val'")
    if (classes := len(parts["train"].labels)) != s.classes:
        what = f"the model tells {s.classes} emotions apart, the corpus has {classes}"
        raise VcemoError(what, do=f"build it with classes={classes}")
    for kind in kinds:
        if (width := store.width(kind)) != model.widths[kind]:
            what = f"{kind} features are {width} wide, the model expects {model.widths[kind]}"
            raise VcemoError(what, do=f"build it with widths={{{kind!r}: {width}}}")
    read = parts if s.speaker_norm is True else ("train", "val")
    return {name: gather(store, parts[name], kinds) for name in read}


def prepare(
    model: nn.Module, corpus: Any, features: Mapping[str, InMemoryDataset], scaler: Scaler, progress: bool
) -> tuple[InMemoryDataset, InMemoryDataset]:
    """The training part, with altered or otherwise scaled versions of each clip, and the validation part."""
    parts = [scaler.apply(features["train"]), scaler.apply(features["val"])]
    if model.settings.speaker_norm == "mixed":
        parts += [known_by(few, features["train"], scaler) for few in ENROLLED]
    elif copies := model.settings.augment:
        augmentation.check(model)
        for i in range(1, copies + 1):
            store = compute(corpus, ("mel",), progress=progress, augmented=i)
            parts.append(scaler.apply(gather(store, corpus, ("mel",))))
    train, val, *versions = (pre_pool(model, part).to(device()) for part in parts)
    return train.with_versions(versions) if versions else train, val


def known_by(few: int, part: InMemoryDataset, scaler: Scaler) -> InMemoryDataset:
    """The part, scaled as if each of its speakers were known by so many of their clips."""
    order = np.random.default_rng(few).permutation(len(part))
    speakers = {name: order[part.speakers[order] == name][:few] for name in set(part.speakers)}
    return scaler.adapted(part, speakers).apply(part)


def restore(folder: Path, learner: Learner, recipe: Recipe) -> tuple[list[dict], dict[str, Tensor]]:
    """Go on from the folder's checkpoint, if there is one: history and best weights so far."""
    if not (folder / CHECKPOINT).exists():
        return [], {}
    tensors, facts = checkpoint.load(folder / CHECKPOINT)
    recipe.require(Recipe(**facts["recipe"]) if "recipe" in facts else None, folder)
    learner.load_state_dict(tensors)
    return facts["history"], checkpoint.under("best", tensors)
