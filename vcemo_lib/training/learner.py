"""One update of a model: its loss, its gradients, its optimizer (sections 3.4, 3.5 and 4.2)."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcemo_lib.errors import VcemoError
from vcemo_lib.losses import LabelQueue, joint, momentum_update, supcon
from vcemo_lib.models import Batch, Settings
from vcemo_lib.models.attention import GuidedAttention, SelfAttention
from vcemo_lib.training import checkpoint
from vcemo_lib.training.runs import autocast


def learning_rate(step: int, steps: int, s: Settings) -> float:
    """The rate at one of `steps` updates: constant (the paper), or linear warm-up and a cosine down to 0."""
    if s.schedule == "constant":
        return s.lr
    warm = max(1, round(s.warmup * steps))
    if step < warm:
        return s.lr * (step + 1) / warm
    return s.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


class Learner(nn.Module):
    """A model with its loss and its optimizer; with a queue, also MoCo's key encoder (section 3.5)."""

    def __init__(self, model: nn.Module, settings: Settings) -> None:
        super().__init__()
        self.model, self.settings = model, settings
        self.device = next(model.parameters()).device
        adam = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
        self.optimizer = adam(model.parameters(), settings.lr, weight_decay=settings.weight_decay, fused=True)
        self.key_model: nn.Module | None = None
        self.queue: LabelQueue | None = None
        if settings.alpha and settings.queue:
            # In training mode: BatchNorm uses the copy's own batch, and dropout makes another view.
            self.key_model = copy.deepcopy(model).train().requires_grad_(False)
            self.queue = LabelQueue(settings.queue, settings.projection).to(self.device)

    def losses(self, batch: Batch, owner: Tensor | None = None) -> dict[str, Tensor]:
        """Joint loss, cross-entropy (mean over the views), SupCon; owner (B,): whose, for the queue."""
        s, labels = self.settings, batch.labels  # (B,)
        with autocast(self.device):  # the losses below stay in float32
            views = [self.model(batch) for _ in range(s.views)]  # dropout makes them differ
        ce = torch.stack([F.cross_entropy(view.logits.float(), labels) for view in views]).mean()
        if not s.alpha:
            return {"loss": ce, "ce": ce}
        if views[0].projection is None:
            raise VcemoError(f"the model {self.model.name!r} has no projector", do="train it with alpha=0")
        z = torch.stack([view.projection for view in views], dim=1)  # (B, V, 128)
        keys = self.keys(batch, labels, owner) if self.queue else {}
        con = supcon(z, labels, s.temperature, s.base_temperature, s.normalize, s.anchors, **keys)
        if self.queue:  # only now: the batch has met the queue as it was
            self.queue.push(keys["keys"][: len(labels)], labels, owner)
        return {"loss": joint(ce, con, s.alpha), "ce": ce, "supcon": con}

    @torch.no_grad()
    def keys(self, batch: Batch, labels: Tensor, owner: Tensor) -> dict[str, Tensor]:
        """Update the key encoder; the keys (B + M, 128) of this batch and of the queue, for `supcon`."""
        momentum_update(self.key_model, self.model, self.settings.momentum)
        with autocast(self.device):
            new = self.key_model(batch).projection.float()  # (B, 128)
        others = owner[:, None] != self.queue.owner  # (B, M)
        return {
            "keys": torch.cat([new, self.queue.keys]),
            "key_labels": torch.cat([labels, self.queue.labels]),
            "key_allowed": F.pad(others | self.settings.allow_own_keys, (len(new), 0), value=True),
        }

    def step(self, batch: Batch, owner: Tensor | None = None, lr: float | None = None) -> dict[str, Tensor]:
        """One update; its losses, the gradient's "norm", and "finite": if False, the weights stayed.

        Nothing here waits for a GPU: the next step is under way before this one's losses are known.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr if lr is None else lr
        self.model.train()
        losses = self.losses(batch, owner)
        self.optimizer.zero_grad()
        losses["loss"].backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip or math.inf)
        values = {name: loss.detach() for name, loss in losses.items()}
        finite = (values["loss"] + norm).isfinite()
        self.optimizer.found_inf = (~finite).float()  # fused Adam reads it, and then does nothing
        self.optimizer.step()
        return values | {"norm": norm, "finite": finite}

    def compile_attention(self) -> None:
        """Fuse the attention layers by torch.compile: a minute before the first step."""
        for layer in self.modules():
            if isinstance(layer, SelfAttention | GuidedAttention):
                layer.compile()  # all alike, so compiled once

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that the next update depends on: weights, queue, and Adam's averages and step counts."""
        slots = self.optimizer.state_dict()["state"]
        memory = {f"{i}.{name}": t for i, of_one in slots.items() for name, t in of_one.items()}
        return super().state_dict() | checkpoint.prefixed("optimizer", memory)

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state_dict`; other tensors are left alone."""
        super().load_state_dict({name: tensors[name] for name in super().state_dict()})
        parameters, state = list(self.model.parameters()), dict[int, dict[str, Tensor]]()
        for name, t in checkpoint.under("optimizer", tensors).items():
            i, slot = name.split(".", 1)
            like = parameters[int(i)]
            # Averages must lie in memory as their parameter does (channels last, say): fused Adam walks both.
            t = torch.empty_like(like).copy_(t) if t.shape == like.shape else t
            state.setdefault(int(i), {})[slot] = t
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
