"""The training loop: `fit(model, store, parts)` -> `Run`.

Sections 4.2 and 4.3: Adam, 50 epochs, batches of 256, the epoch chosen on the validation part, the test part
untouched until then.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from vcemo_lib.errors import VcemoError
from vcemo_lib.loading import Scaler
from vcemo_lib.models import Settings
from vcemo_lib.training import checkpoint
from vcemo_lib.training.distributed import connect
from vcemo_lib.training.learner import Learner, learning_rate
from vcemo_lib.training.preparation import compiled_attention, prepare_training, read_parts
from vcemo_lib.training.runs import RUN_FILE, Run, as_table, device, predict, run_identity

CHECKPOINT = "checkpoint.safetensors"


def fit(
    model: nn.Module, store: Any, parts: Mapping[str, Any], seed: int = 0, out: Path | str | None = None,
    progress: bool = True, resume: bool = True, compile: bool | str = "auto",
) -> Run:
    """Train a model in place by its settings; the Run holds it with the weights of its best epoch.

    store    anything with `batch(ids, kinds)` and `width(kind)`, such as a FeatureStore
    parts    {"train": Corpus, "val": Corpus, ...}; of "test" only the speakers' statistics are used
    out      a folder for a checkpoint an epoch and `run.safetensors` at the end. With `resume` a killed run
             goes on from its last whole epoch and ends as if it had never stopped; a finished one is read.
    compile  fuse the attention layers by torch.compile, which takes a minute; "auto": on NVIDIA GPUs

    With `settings.augment` altered versions of the training clips are computed first, or read where kept.
    Under `accelerate launch` all processes train this one model (see `distributed`); all must see `out`.
    Raises VcemoError when a loss or weight stops being finite; the last checkpoint stays.
    """
    team = connect()  # first of all: it gives this process its GPU
    s, folder = model.settings, None if out is None else Path(out)
    features = read_parts(model, store, parts)
    identity, classes = run_identity(model, seed, features), tuple(parts["train"].labels)
    if folder and resume and (folder / RUN_FILE).exists():
        return read_finished(folder, model, store, identity)
    learner = Learner(model.to(device()), s, team)
    scaler = Scaler.fit(features, s.speaker_norm)
    data = prepare_training(model, parts["train"], features, scaler, progress)
    steps_per_epoch = team.steps_per_epoch(len(data.train), s.batch_size)
    history, best = restore(folder, learner, identity) if folder and resume else ([], {})

    with compiled_attention(learner, compile):
        shown = {"initial": len(history), "leave": False, "disable": not progress or team.rank > 0}
        for epoch in tqdm(range(len(history), s.epochs), "epochs", s.epochs, **shown):
            if history and epoch - 1 - best_epoch(history, s) >= s.patience:
                break
            start, kept = time.perf_counter(), folder / CHECKPOINT if folder and history else None
            # Chance depends on seed and epoch alone: a resumed run draws the same.
            rng = np.random.default_rng([seed, epoch])
            torch.manual_seed(int(rng.integers(2**63)) + team.rank)
            train, steps = data.draw(rng), []
            for index in train.plan(s.batch_size, rng):
                number = epoch * steps_per_epoch + len(steps)
                lr = learning_rate(number, steps_per_epoch * s.epochs, s)
                owner = torch.from_numpy(index).to(device())
                losses = learner.step(train.batch(team.shard(index)), owner, lr)
                steps.append(Step(epoch, number, [train.ids[i] for i in index], lr, losses))
            team.average(learner.running_statistics())
            row = {"epoch": epoch} | mean_losses(steps)
            if team.rank == 0:
                val = predict(model, data.val, classes)
                row |= {"val_loss": val.loss()} | {f"val_{name}": v for name, v in val.scores().items()}
            history.append(team.broadcast(row | {"seconds": time.perf_counter() - start}))
            check_epoch(model, steps, history[-1]["val_loss"], kept)
            if best_epoch(history, s) == epoch:
                best = {name: t.clone() for name, t in model.state_dict().items()}
            if folder and team.rank == 0:
                tensors = learner.state_dict() | checkpoint.prefixed("best", best)
                checkpoint.save(folder / CHECKPOINT, tensors, {"identity": identity, "history": history})

    model.load_state_dict(best)
    table, seconds = as_table(history), sum(row["seconds"] for row in history)
    run = Run(model.eval(), scaler, table, best_epoch(history, s), seconds, seed, classes, identity, store)
    if folder and team.rank == 0:
        run.save(folder)
        (folder / CHECKPOINT).unlink(missing_ok=True)
    team.barrier()
    return run


def read_finished(folder: Path, model: nn.Module, store: Any, identity: str) -> Run:
    """The run that `folder` holds, with its weights in `model`."""
    run = Run.load(folder, store)
    refuse_another_run(run.identity, identity, folder)
    model.to(device()).load_state_dict(run.model.state_dict())
    run.model = model.eval()
    return run


def restore(folder: Path, learner: Learner, identity: str) -> tuple[list[dict], dict[str, Tensor]]:
    """Go on from the folder's checkpoint, if there is one: history and best weights so far."""
    for leftover in folder.glob(".*.safetensors.*.tmp"):  # of a process killed while it wrote
        leftover.unlink(missing_ok=True)
    if not (folder / CHECKPOINT).exists():
        return [], {}
    tensors, facts = checkpoint.load(folder / CHECKPOINT)
    refuse_another_run(facts.get("identity"), identity, folder)
    learner.load_state_dict(tensors)
    return facts["history"], checkpoint.under("best", tensors)


def refuse_another_run(found: str | None, wanted: str, folder: Path) -> None:
    if found != wanted:
        raise VcemoError("this folder holds another run (of other settings, seed or data)", where=folder,
                         do="choose another folder, or pass resume=False to replace it")  # fmt: skip


class Step(NamedTuple):
    """What one update was, and its losses, which a GPU may still be computing."""

    epoch: int
    number: int  # of all steps of the run
    ids: list[str]  # of its batch
    lr: float
    losses: dict[str, Tensor]


def mean_losses(steps: Sequence[Step]) -> dict[str, float]:
    """The mean of each loss over an epoch's utterances."""
    names = [name for name in steps[0].losses if name not in ("norm", "finite")]
    values = torch.stack([torch.stack([step.losses[name] for name in names]) for step in steps])
    counts = torch.tensor([len(step.ids) for step in steps], dtype=torch.float64)
    return dict(zip(names, (counts / counts.sum() @ values.cpu().double()).tolist(), strict=True))


def best_epoch(history: Sequence[Mapping[str, float]], s: Settings) -> int:
    """The epoch with the best validation score, the first of equals."""
    return max(range(len(history)), key=lambda epoch: history[epoch][f"val_{s.select}"])


def check_epoch(model: nn.Module, steps: Sequence[Step], val_loss: float, kept: Path | None) -> None:
    """Raise VcemoError for an epoch's first step, or its last weights, that are not finite."""
    finite = torch.stack([step.losses["finite"] for step in steps]).tolist()
    broken = sum(int((~p.isfinite()).sum()) for p in model.parameters())
    if all(finite) and not broken and np.isfinite(val_loss):
        return
    s, step = model.settings, steps[-1] if all(finite) else steps[finite.index(False)]
    what = f"{broken} weights are not finite, validation loss {val_loss:g}"
    if not all(finite):  # such a step leaves the weights alone
        what = "loss {loss:g}, gradient norm {norm:g}".format(**step.losses)
    where = (f"epoch {step.epoch}, step {step.number}, utterances {step.ids[0]} to {step.ids[-1]}, "
             f"lr={step.lr:.2g}, alpha={s.alpha:g}, temperature={s.temperature:g}")  # fmt: skip
    saved = f"; the last good checkpoint is {kept}" if kept else ""
    raise VcemoError(f"training diverged: {what}", where, f"lower lr (set to {s.lr:g}) or set clip{saved}")
