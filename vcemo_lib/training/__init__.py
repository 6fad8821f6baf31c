"""Training: `fit(model, store, parts)` -> `Run`. One loop for the paper's model and for all its rivals.

Sections 4.2 and 4.3: Adam, 50 epochs, batches of 256, the epoch chosen on the validation part, the test
part untouched until then.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcemo_lib import augmentation
from vcemo_lib.errors import VcemoError
from vcemo_lib.loading import ACOUSTIC, AugmentedDataset, InMemoryDataset, Ragged, Scaler, augmented, gather
from vcemo_lib.losses import LabelQueue, joint, momentum_update, supcon
from vcemo_lib.models import MODELS, Batch, Output, Settings, build, model_class
from vcemo_lib.models.attention import GuidedAttention, SelfAttention
from vcemo_lib.models.branches import coarser
from vcemo_lib.training import checkpoint
from vcemo_lib.training.distributed import Team, team
from vcemo_lib.training.runs import EVAL_BATCH, Predictions, Run, autocast, device, kinds_of, predict

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

    def __init__(self, model: nn.Module, settings: Settings, together: Team | None = None) -> None:
        self.model, self.settings, self.team = model, settings, together or Team()
        self.where = next(model.parameters()).device
        kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
        self.optimizer = kind(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
        self.key_model, self.queue = None, None
        if settings.alpha and settings.queue:  # MoCo: a slow copy of the model writes keys into a queue
            # The copy stays in training mode: BatchNorm uses its own batch, and dropout makes the key another view.
            self.key_model = copy.deepcopy(model).train().requires_grad_(False)
            self.queue = LabelQueue(settings.queue, settings.projection).to(self.where)

    def losses(self, batch: Batch, owner: Tensor | None = None) -> dict[str, Tensor]:
        """Joint loss, cross-entropy (mean over the views) and SupCon of a batch; owner (B,) says who is who.

        In a team `batch` is this process' share, and `owner` belongs to the whole batch, as the losses do.
        """
        s, total = self.settings, len(batch) if owner is None else len(owner)
        with autocast(self.where):  # the losses below stay in float32
            views: list[Output] = [self.model(batch) for _ in range(s.views)]  # dropout makes them differ
        labels = self.team.gathered(batch.labels, total)  # (B,)
        logits = [self.team.gathered(view.logits.float(), total) for view in views]  # each (B, classes)
        ce = torch.stack([F.cross_entropy(view, labels) for view in logits]).mean()
        if not s.alpha:
            return {"loss": ce, "ce": ce.detach()}
        if views[0].projection is None:
            raise VcemoError(f"the model {self.model.name!r} has no projector", do="train it with alpha=0")
        z = self.team.gathered(torch.stack([view.projection for view in views], dim=1), total)  # (B, views, 128)
        memory: dict[str, Tensor] = {}
        if self.queue is not None:
            new = self.team.gathered(self.keys(batch), total)  # (B, 128)
            allowed = owner[:, None] != self.queue.owner  # (B, M)
            memory = {
                "keys": torch.cat([new, self.queue.keys]),  # (B + M, 128): this batch's keys, then older ones
                "key_labels": torch.cat([labels, self.queue.labels]),
                "key_allowed": torch.cat([torch.ones(2 * [len(new)], dtype=torch.bool, device=self.where),
                                          allowed | s.own_copies], dim=1),
            }  # fmt: skip
        con = supcon(z, labels, s.temperature, s.base_temperature, s.normalize, s.anchors, **memory)
        if self.queue is not None:  # only now: the batch has met the queue as it was
            self.queue.push(new, labels, owner)
        return {"loss": joint(ce, con, s.alpha), "ce": ce.detach(), "supcon": con.detach()}

    @torch.no_grad()
    def keys(self, batch: Batch) -> Tensor:
        """Move the key model a little towards the model, then let it encode the batch -> (B, 128)."""
        momentum_update(self.key_model, self.model, self.settings.momentum)
        with autocast(self.where):
            return self.key_model(batch).projection.float()

    def step(self, batch: Batch, owner: Tensor | None = None, lr: float | None = None) -> dict[str, Tensor]:
        """One update; gives its losses, the gradient's "norm", and "finite": if 0, the weights stay as they were.

        Nothing here waits for a GPU: the next step is under way before this one's losses are known.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr if lr is None else lr
        self.model.train()
        losses = self.losses(batch, owner)
        self.optimizer.zero_grad()
        losses["loss"].backward()
        self.team.average(p.grad for p in self.model.parameters() if p.grad is not None)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip or math.inf)
        values = {name: loss.detach() for name, loss in losses.items()}
        finite = (values["loss"] + norm).isfinite()
        self.optimizer.found_inf = (~finite).float()  # fused Adam reads it where the gradients lie, and then does nothing
        self.optimizer.step()
        return values | {"norm": norm, "finite": finite}

    def statistics(self) -> list[Tensor]:
        """BatchNorm's running averages, in which the processes of a team differ."""
        models = [self.model, self.key_model] if self.key_model else [self.model]
        return [t for model in models for t in model.buffers() if t.is_floating_point()]

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
    compile: bool | str = "auto",
) -> Run:
    """Train a model in place; the Run holds it with the weights of its best validation epoch.

    store     anything with `batch(ids, kinds)` and `width(kind)`, such as a FeatureStore
    parts     {"train": Corpus, "val": Corpus, ...}; "test", if there, lends no more than its speakers' statistics
    settings  the model's own unless given (training fields may differ, the model's layers stay)
    out       a folder for a checkpoint an epoch and `run.safetensors` at the end. With `resume` a killed run goes
              on from its last whole epoch and ends as if it had never stopped; a finished run is only read.
    compile   fuse the attention layers by torch.compile, which takes a minute at first: "auto" on an NVIDIA GPU only

    With `settings.augment` the altered versions of the training clips are computed first, or read where they are kept.
    Under `accelerate launch` all processes train this one model (see `vcemo_lib.training.distributed`) and return it; `out` must
    be a folder that all of them see.
    Raises VcemoError when the loss stops being finite, naming step, batch and settings; the last checkpoint stays.
    """
    import pandas as pd
    from tqdm.auto import tqdm

    together = team()  # first of all: it gives this process its GPU
    s = model.settings = settings or model.settings
    features, scaler, classes = _prepare(model, store, parts)
    identity = _identity(model, seed, features)
    path = Path(out or ".") / "checkpoint.safetensors"
    if out and resume and (finished := path.with_name("run.safetensors")).exists():
        run = Run.load(finished, store)
        _expect(run.identity, identity, finished)
        model.to(device()).load_state_dict(run.model.state_dict())
        run.model = model.eval()
        return run
    trainee, train, val, versions = _on_device(model, parts["train"], features, scaler, compile, progress)
    steps_an_epoch = -(-len(train) // s.batch_size)
    if len(train) // steps_an_epoch < together.size:
        raise VcemoError(f"batches of {len(train) // steps_an_epoch} for {together.size} processes", where="fit", do="start fewer, or raise batch_size")
    learner = Learner(trainee, s, together)
    history, best = [], checkpoint.prefixed("best", trainee.state_dict())
    if out and resume and path.exists():
        tensors, facts = checkpoint.load(path)
        _expect(facts["identity"], identity, path)
        learner.restore(tensors)
        history, best = facts["history"], {k: v for k, v in tensors.items() if k.startswith("best.")}

    show = progress and together.rank == 0
    for epoch in tqdm(range(len(history), s.epochs), "epochs", s.epochs, initial=len(history), leave=False, disable=not show):
        if _stale(history, s):
            break
        start = time.perf_counter()
        # Chance depends on seed and epoch alone: a resumed run needs no generator's state to draw the same.
        rng = np.random.default_rng([seed, epoch])
        torch.manual_seed(int(rng.integers(2**63)) + together.rank)
        now = versions.draw(rng) if versions else train
        steps: list[tuple[np.ndarray, float, dict[str, Tensor]]] = []
        for index in now.plan(s.batch_size, rng):
            lr = learning_rate(epoch * steps_an_epoch + len(steps), steps_an_epoch * s.epochs, s)
            steps.append((index, lr, learner.step(now.batch(together.share(index)), torch.from_numpy(index).to(device()), lr)))
            if device().type == "cpu":  # which has nothing to wait for, and need not go on in vain
                _check(steps[-1:], epoch, epoch * steps_an_epoch + len(steps) - 1, train.ids, s, path if out and history else None)
        _check(steps, epoch, epoch * steps_an_epoch, train.ids, s, path if out and history else None)
        together.average(learner.statistics())
        row = _means(steps, len(train))
        if together.rank == 0:
            said = predict(trainee, val, classes)
            row |= {"val_loss": said.loss()} | {f"val_{name}": value for name, value in said.scores().items()}
        history.append(together.told({"epoch": epoch} | row | {"seconds": time.perf_counter() - start}))
        if _best(history, s) == epoch:
            best = {name: t.clone() for name, t in checkpoint.prefixed("best", trainee.state_dict()).items()}
        if out and together.rank == 0:
            checkpoint.save(path, learner.tensors() | best, {"identity": identity, "history": history})
    model.to(device()).load_state_dict(checkpoint.under("best", best))
    seconds = sum(row["seconds"] for row in history)
    table = pd.DataFrame(history).set_index("epoch")
    run = Run(model.eval(), scaler, table, _best(history, s), seconds, seed, classes, identity, store)
    if out and together.rank == 0:
        run.save(path.parent)
        path.unlink(missing_ok=True)
    together.wait()
    return run


def _prepare(model: nn.Module, store: Any, parts: Mapping[str, Any]) -> tuple[dict[str, InMemoryDataset], Scaler, tuple[str, ...]]:
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


def _on_device(
    model: nn.Module, corpus: Any, features: Mapping[str, InMemoryDataset], scaler: Scaler, compile: bool | str, progress: bool
) -> tuple[nn.Module, InMemoryDataset, InMemoryDataset, AugmentedDataset | None]:
    """What is trained, the training and validation part, and the altered versions, all on the device.

    Frames that a model averages before anything else (`audio_pool`) are averaged here, once: then a twin of the model
    is trained, with the same weights, which finds its frames averaged. A small model's epoch costs a fifth less so.
    """
    s, sounds = model.settings, [features["train"], features["val"]]
    if s.augment:
        augmentation.check(model)
        sounds += [scaler.apply(part) for part in augmented(corpus, s.augment, progress)]
    trainee = model.to(device())
    ours = model.name in MODELS and type(model) is model_class(model.name)
    kinds = set(features["train"].sequences) & set(ACOUSTIC)
    # Not where a model counts in frames, and not Whisper's for a rival, which averages their channels as well.
    if ours and s.audio_pool != (1, 1) and kinds and "word_spans" not in features["train"].sequences and (kinds == {"mel"} or model.name == "vcemo"):
        bands = -(-model.widths["mel"] // s.audio_pool[1])
        trainee = build(model.name, s.but(audio_pool=(1, 1)), {**model.widths, "mel": bands}).to(device())
        trainee.load_state_dict(model.state_dict())
        sounds = [_averaged(part, s.audio_pool) for part in sounds]
    if compile is True or compile == "auto" and _can_compile():
        trainee = copy.deepcopy(model) if trainee is model else trainee  # the caller's model stays as it is
        for layer in trainee.modules():
            if isinstance(layer, SelfAttention | GuidedAttention):  # all alike, so compiled once
                layer.compile()
    train, val, *variants = (part.to(device()) for part in sounds)
    return trainee, train, val, AugmentedDataset.of([train, *variants]) if variants else None


def _can_compile() -> bool:
    """Is there an NVIDIA GPU, and what torch.compile needs to make programs for it?"""
    import importlib.util

    return torch.cuda.is_available() and importlib.util.find_spec("triton") is not None and any(map(shutil.which, ("cc", "gcc", "clang")))


def _averaged(part: InMemoryDataset, pool: tuple[int, int]) -> InMemoryDataset:
    """The part with its sound averaged over `pool` frames (and log-mel bands), exactly as a model's first layer does it."""
    for kind in set(part.sequences) & set(ACOUSTIC):
        alone, rows, lengths = replace(part, sequences={kind: part.sequences[kind]}), [], []
        for index in np.array_split(np.arange(len(part)), -(-len(part) // EVAL_BATCH)):
            x, mask = coarser(*alone.batch(index).sequence(kind), pool if kind == "mel" else (pool[0], 1))
            rows.append(x[mask])  # (real steps, width)
            lengths.append(mask.sum(dim=1))
        rows, length = torch.cat([*rows, rows[0].new_zeros(1, rows[0].shape[1])]), torch.cat(lengths)
        ragged = Ragged(rows, length, length.cumsum(0) - length)  # in float32, for the averages are no float16 any more
        part = replace(part, sequences=part.sequences | {kind: ragged}, lengths=part.lengths | {kind: length.numpy()})
    return part


def _means(steps: Sequence[tuple[np.ndarray, float, dict[str, Tensor]]], total: int) -> dict[str, float]:
    """The mean of each loss over an epoch's utterances."""
    names = [name for name in steps[0][2] if name not in ("norm", "finite")]
    values = torch.stack([torch.stack([losses[name] for name in names]) for _, _, losses in steps]).cpu().double()  # (steps, losses)
    shares = torch.tensor([len(index) / total for index, _, _ in steps], dtype=torch.float64)
    return dict(zip(names, (shares @ values).tolist(), strict=True))


def _check(
    steps: Sequence[tuple[np.ndarray, float, dict[str, Tensor]]], epoch: int, first: int, ids: Sequence[str], s: Settings, kept: Path | None
) -> None:
    """Raise VcemoError for the first of these steps (the run's step `first` and on) whose loss or gradient was not finite."""
    finite = torch.stack([losses["finite"] for _, _, losses in steps]).tolist()  # one wait for all of them
    if all(finite):
        return
    i = finite.index(False)
    index, lr, losses = steps[i]
    where = f"epoch {epoch}, step {first + i}, batch of {len(index)} from {ids[index[0]]} to {ids[index[-1]]}, " \
            f"lr={lr:.2g}, alpha={s.alpha:g}, temperature={s.temperature:g}"  # fmt: skip
    saved = f"; the last good checkpoint is {kept}" if kept else ""
    raise VcemoError(f"training diverged: loss {losses['loss'].item():g}, gradient norm {losses['norm'].item():g}", where=where,
                     do=f"lower lr (set to {s.lr:g}) or set clip{saved}")  # fmt: skip


def _best(history: list[dict[str, float]], s: Settings) -> int:
    """The epoch with the best validation score, the first of equals."""
    return max(range(len(history)), key=lambda epoch: history[epoch][f"val_{s.select}"])


def _stale(history: list[dict[str, float]], s: Settings) -> bool:
    """Has the validation score not risen for `patience` epochs?"""
    return bool(history) and len(history) - 1 - _best(history, s) >= s.patience


def _identity(model: nn.Module, seed: int, features: Mapping[str, InMemoryDataset]) -> str:
    """Twelve digits that tell this run from any other: model, settings, seed, utterances and labels."""
    about = [model.name, model.settings.as_dict(), dict(model.widths), seed]
    about += [[name, part.ids, part.labels.tolist()] for name, part in features.items()]
    return hashlib.sha256(json.dumps(about).encode("utf-8")).hexdigest()[:12]


def _expect(found: str, wanted: str, path: Path) -> None:
    if found != wanted:
        raise VcemoError("this folder holds another run (other settings, seed or data)", where=path.parent,
                         do="choose another folder, or pass resume=False to replace it")  # fmt: skip
