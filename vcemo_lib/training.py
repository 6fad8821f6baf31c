"""Training: `fit(model, store, parts)` -> `Run`. One loop for the paper's model and for all its rivals.

Sections 4.2 and 4.3: Adam, 50 epochs, batches of 256, the epoch chosen on the validation part, the test
part untouched until then.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcemo_lib import checkpoint
from vcemo_lib.errors import VcemoError
from vcemo_lib.loading import Features, Scaler, gather
from vcemo_lib.losses import LabelQueue, joint, momentum_update, supcon
from vcemo_lib.models import Batch, Output, Settings
from vcemo_lib.runs import Predictions, Run, autocast, device, kinds_of, predict

__all__ = ["Learner", "Predictions", "Run", "device", "fit", "learning_rate"]


def learning_rate(step: int, steps: int, s: Settings) -> float:
    """The rate at one of `steps` updates: constant (the paper), or warmed up and let down along a cosine."""
    if s.schedule == "constant":
        return s.lr
    warm = max(1, round(s.warmup * steps))
    if step < warm:
        return s.lr * (step + 1) / warm
    return s.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


class Learner:
    """A model, its loss and its optimizer: what one update does (sections 3.4 and 3.5)."""

    def __init__(self, model: nn.Module, settings: Settings) -> None:
        self.model, self.settings = model, settings
        self.where = next(model.parameters()).device
        kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
        self.optimizer = kind(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
        self.key_model, self.queue = None, None
        if settings.alpha and settings.queue:  # MoCo: a slow copy of the model writes keys into a queue
            # The copy stays in training mode: BatchNorm uses its own batch, and dropout makes the key another view.
            self.key_model = copy.deepcopy(model).train().requires_grad_(False)
            self.queue = LabelQueue(settings.queue, settings.projection).to(self.where)

    def losses(self, batch: Batch, owner: Tensor | None = None) -> dict[str, Tensor]:
        """Joint loss, cross-entropy (mean over the views) and SupCon of a batch; owner (B,) says who is who."""
        s = self.settings
        with autocast(self.where):  # the losses below stay in float32
            views: list[Output] = [self.model(batch) for _ in range(s.views)]  # dropout makes them differ
        ce = torch.stack([F.cross_entropy(view.logits.float(), batch.labels) for view in views]).mean()
        if not s.alpha:
            return {"loss": ce, "ce": ce.detach()}
        if views[0].projection is None:
            raise VcemoError(f"the model {self.model.name!r} has no projector", do="train it with alpha=0")
        z = torch.stack([view.projection for view in views], dim=1)  # (B, views, 128)
        memory: dict[str, Tensor] = {}
        if self.queue is not None:
            new = self.keys(batch)  # (B, 128)
            allowed = owner[:, None] != self.queue.owner  # (B, M)
            memory = {
                "keys": torch.cat([new, self.queue.keys]),  # (B + M, 128): this batch's keys, then older ones
                "key_labels": torch.cat([batch.labels, self.queue.labels]),
                "key_allowed": torch.cat([torch.ones(2 * [len(new)], dtype=torch.bool, device=self.where),
                                          allowed | s.own_copies], dim=1),
            }  # fmt: skip
        con = supcon(z, batch.labels, s.temperature, s.base_temperature, s.normalize, s.anchors, **memory)
        if self.queue is not None:  # only now: the batch has met the queue as it was
            self.queue.push(new, batch.labels, owner)
        return {"loss": joint(ce, con, s.alpha), "ce": ce.detach(), "supcon": con.detach()}

    @torch.no_grad()
    def keys(self, batch: Batch) -> Tensor:
        """Move the key model a little towards the model, then let it encode the batch -> (B, 128)."""
        momentum_update(self.key_model, self.model, self.settings.momentum)
        with autocast(self.where):
            return self.key_model(batch).projection.float()

    def step(self, batch: Batch, owner: Tensor | None = None, lr: float | None = None) -> dict[str, float]:
        """One update. Raises FloatingPointError, with the weights untouched, when loss or gradient is not finite."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr if lr is None else lr
        self.model.train()
        losses = self.losses(batch, owner)
        self.optimizer.zero_grad()
        losses["loss"].backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip or math.inf)
        values = {name: loss.item() for name, loss in losses.items()}
        if not (math.isfinite(values["loss"]) and torch.isfinite(norm)):
            raise FloatingPointError(f"loss {values['loss']}, gradient norm {norm.item()}")
        self.optimizer.step()
        return values

    def tensors(self) -> dict[str, Tensor]:
        """Everything the next update depends on."""
        state = checkpoint.prefixed("model", self.model.state_dict())
        state |= checkpoint.prefixed("optimizer", checkpoint.optimizer_tensors(self.optimizer))
        if self.queue is not None:
            state |= checkpoint.prefixed("key_model", self.key_model.state_dict())
            state |= checkpoint.prefixed("queue", self.queue.state_dict())
        return state

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `tensors`."""
        self.model.load_state_dict(checkpoint.under("model", tensors))
        checkpoint.restore_optimizer(self.optimizer, checkpoint.under("optimizer", tensors))
        if self.queue is not None:
            self.key_model.load_state_dict(checkpoint.under("key_model", tensors))
            self.queue.load_state_dict(checkpoint.under("queue", tensors))


def fit(
    model: nn.Module,
    store: Any,
    parts: Mapping[str, Any],
    seed: int = 0,
    settings: Settings | None = None,
    out: Path | str | None = None,
    progress: bool = True,
    resume: bool = True,
) -> Run:
    """Train a model in place; the Run holds it with the weights of its best validation epoch.

    store     anything with `batch(ids, kinds)` and `width(kind)`, such as a FeatureStore
    parts     {"train": Corpus, "val": Corpus, ...}; "test", if there, lends no more than its speakers' statistics
    settings  the model's own unless given (training fields may differ, the model's layers stay)
    out       a folder for a checkpoint an epoch and `run.safetensors` at the end. With `resume` a killed run goes
              on from its last whole epoch and ends as if it had never stopped; a finished run is only read.
    Raises VcemoError when the loss stops being finite, naming step, batch and settings; the last checkpoint stays.
    """
    import pandas as pd
    from tqdm.auto import tqdm

    s = model.settings = settings or model.settings
    features, scaler, classes = _prepare(model, store, parts)
    train, val = features["train"].to(device()), features["val"].to(device())
    learner = Learner(model.to(device()), s)
    identity = _identity(model, seed, features)
    history, best, path = [], checkpoint.prefixed("best", model.state_dict()), Path(out or ".") / "checkpoint.safetensors"
    if out and resume and (finished := path.with_name("run.safetensors")).exists():
        run = Run.load(finished, store)
        _expect(run.identity, identity, finished)
        model.load_state_dict(run.model.state_dict())
        run.model = model.eval()
        return run
    if out and resume and path.exists():
        tensors, facts = checkpoint.load(path)
        _expect(facts["identity"], identity, path)
        learner.restore(tensors)
        history, best = facts["history"], {k: v for k, v in tensors.items() if k.startswith("best.")}

    steps_an_epoch = -(-len(train) // s.batch_size)
    for epoch in tqdm(range(len(history), s.epochs), "epochs", s.epochs, initial=len(history), leave=False, disable=not progress):
        if _stale(history, s):
            break
        start = time.perf_counter()
        # Chance depends on seed and epoch alone: a resumed run needs no generator's state to draw the same.
        rng = np.random.default_rng([seed, epoch])
        torch.manual_seed(int(rng.integers(2**63)))
        totals: dict[str, float] = {}
        for i, index in enumerate(train.plan(s.batch_size, rng)):
            step = epoch * steps_an_epoch + i
            lr = learning_rate(step, steps_an_epoch * s.epochs, s)
            try:
                values = learner.step(train.batch(index), torch.from_numpy(index).to(device()), lr)
            except FloatingPointError as error:
                kept = path if out and history else None
                raise _diverged(error, epoch, step, lr, [train.ids[u] for u in index], s, kept) from None
            for name, value in values.items():
                totals[name] = totals.get(name, 0.0) + value * len(index) / len(train)
        said = predict(model, val, classes)
        row = totals | {"val_loss": said.loss()} | {f"val_{name}": value for name, value in said.scores().items()}
        history.append({"epoch": epoch} | row | {"seconds": time.perf_counter() - start})
        if _best(history, s) == epoch:
            best = {name: t.clone() for name, t in checkpoint.prefixed("best", model.state_dict()).items()}
        if out:
            checkpoint.save(path, learner.tensors() | best, {"identity": identity, "history": history})
    model.load_state_dict(checkpoint.under("best", best))
    seconds = sum(row["seconds"] for row in history)
    table = pd.DataFrame(history).set_index("epoch")
    run = Run(model.eval(), scaler, table, _best(history, s), seconds, seed, classes, identity, store)
    if out:
        run.save(path.parent)
        path.unlink(missing_ok=True)
    return run


def _prepare(model: nn.Module, store: Any, parts: Mapping[str, Any]) -> tuple[dict[str, Features], Scaler, tuple[str, ...]]:
    """Read all parts, check that they suit the model, and scale them."""
    s = model.settings
    if missing := {"train", "val"} - parts.keys():
        raise VcemoError(f"no {' and no '.join(sorted(missing))} part", where="fit", do="give parts with 'train' and 'val'")
    classes = tuple(parts["train"].labels)
    if len(classes) != s.classes:
        raise VcemoError(f"the model tells {s.classes} emotions apart, the corpus has {len(classes)}", do=f"build it with classes={len(classes)}")
    for kind in kinds_of(model):
        if store.width(kind) != model.widths[kind]:
            raise VcemoError(f"{kind} features are {store.width(kind)} wide, the model expects {model.widths[kind]}",
                             do=f"build it with widths={{{kind!r}: {store.width(kind)}}}")  # fmt: skip
    read = parts if s.speaker_norm else ("train", "val")
    features = {name: gather(store, parts[name], kinds_of(model)) for name in read}
    if empty := [name for name in ("train", "val") if not len(features[name])]:
        raise VcemoError(f"the {empty[0]} part has no utterances", where="fit", do="split the corpus otherwise")
    scaler = Scaler.fit(features, s.speaker_norm)
    return {name: scaler.apply(features[name]) for name in ("train", "val")}, scaler, classes


def _best(history: list[dict[str, float]], s: Settings) -> int:
    """The epoch with the best validation score, the first of equals."""
    return max(range(len(history)), key=lambda epoch: history[epoch][f"val_{s.select}"])


def _stale(history: list[dict[str, float]], s: Settings) -> bool:
    """Has the validation score not risen for `patience` epochs?"""
    return bool(history) and len(history) - 1 - _best(history, s) >= s.patience


def _identity(model: nn.Module, seed: int, features: Mapping[str, Features]) -> str:
    """Twelve digits that tell this run from any other: model, settings, seed, utterances and labels."""
    about = [model.name, model.settings.as_dict(), dict(model.widths), seed]
    about += [[name, part.ids, part.labels.tolist()] for name, part in features.items()]
    return hashlib.sha256(json.dumps(about).encode("utf-8")).hexdigest()[:12]


def _expect(found: str, wanted: str, path: Path) -> None:
    if found != wanted:
        raise VcemoError("this folder holds another run (other settings, seed or data)", where=path.parent,
                         do="choose another folder, or pass resume=False to replace it")  # fmt: skip


def _diverged(error: Exception, epoch: int, step: int, lr: float, ids: list[str], s: Settings, kept: Path | None) -> VcemoError:
    where = f"epoch {epoch}, step {step}, batch of {len(ids)} from {ids[0]} to {ids[-1]}, " \
            f"lr={lr:.2g}, alpha={s.alpha:g}, temperature={s.temperature:g}"  # fmt: skip
    saved = f"; the last good checkpoint is {kept}" if kept else ""
    return VcemoError(f"training diverged: {error}", where=where, do=f"lower lr (set to {s.lr:g}) or set clip{saved}")
