"""Supervised contrastive learning (sections 3.4 and 3.5): the loss, its queue, its momentum encoder."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vcemo_lib.errors import VcemoError

Labels = Int[Tensor, " N"]
Projections = Float[Tensor, "N D"] | Float[Tensor, "N V D"]  # one vector or V views of each utterance


def supcon(
    z: Projections, labels: Labels, temperature: float = 1.0, base_temperature: float | None = None,
    normalize: bool = True, anchors: str = "positives", keys: Float[Tensor, "M D"] | None = None,
    key_labels: Int[Tensor, " M"] | None = None, key_allowed: Bool[Tensor, "N M"] | None = None,
) -> Float[Tensor, ""]:  # fmt: skip
    """The paper's L_SupCon (section 3.4; Khosla et al. 2020, eq. 2): pull a class together, push others off.

        L = mean over anchors i of
            -1/|P(i)| sum over p in P(i) of log(exp(z_i.z_p / tau) / sum over a in A(i) of exp(z_i.z_a / tau))

    A(i) is everything but i itself, P(i) what in A(i) has i's label.

    keys         further samples to contrast with, which are no anchors; one of key_labels -1 is an empty slot
    key_allowed  False where an utterance must not meet a key (its own older copy)
    anchors      "positives": mean over anchors with a positive. "all": the others count as 0 (reference 7)
    base_temperature  multiplies the loss by temperature / base_temperature (reference 7's code has 0.07)
    """
    if z.ndim not in (2, 3) or labels.shape != z.shape[:1]:
        raise VcemoError(f"z {tuple(z.shape)} and labels {tuple(labels.shape)} do not fit", where="supcon",
                         do="give z (N, D) or (N, V, D) and labels (N,)")  # fmt: skip
    views = z.shape[1] if z.ndim == 3 else 1
    z = z.reshape(-1, z.shape[-1]).float()  # (A, D) with A = N V anchors
    labels = labels.repeat_interleave(views)  # (A,)
    others, other_labels = z, labels  # (A, D), (A,)
    allowed = ~torch.eye(len(z), dtype=torch.bool, device=z.device)  # (A, A): nobody is its own contrast
    if keys is not None and key_labels is not None:
        others = torch.cat([z, keys.float()])  # (A + M, D)
        other_labels = torch.cat([labels, key_labels])  # (A + M,)
        filled = (key_labels >= 0).repeat(len(z), 1)  # (A, M)
        if key_allowed is not None:
            filled = filled & key_allowed.repeat_interleave(views, dim=0)
        allowed = torch.cat([allowed, filled], dim=1)  # (A, A + M)
    if normalize:
        z, others = F.normalize(z, dim=-1), F.normalize(others, dim=-1)

    # Excluded pairs leave before the maximum is taken: subtracting one's own product may underflow.
    logits = (z @ others.T / temperature).masked_fill(~allowed, -math.inf)  # (A, A + M)
    alone = ~allowed.any(dim=1, keepdim=True)  # (A, 1): no contrast; a finite row keeps gradients finite
    log_prob = logits.masked_fill(alone, 0.0).log_softmax(dim=1)  # (A, A + M)
    positive = (labels[:, None] == other_labels) & allowed  # (A, A + M)
    count = positive.sum(dim=1)  # (A,) = |P(i)|
    per_anchor = -log_prob.masked_fill(~positive, 0.0).sum(dim=1) / count.clamp(min=1)  # (A,)
    loss = per_anchor.sum() / ((count > 0).sum().clamp(min=1) if anchors == "positives" else len(z))
    return loss if base_temperature is None else loss * (temperature / base_temperature)


def joint(ce: Tensor, con: Tensor, alpha: float) -> Tensor:
    """L = (L_CE + alpha L_SupCon) / (1 + alpha), section 3.4. At alpha = 100 cross-entropy is 1/101 of it."""
    return (ce + alpha * con) / (1 + alpha)


class LabelQueue(nn.Module):
    """A ring of the last `size` keys with their labels (-1: empty) and whose they are (3.5, MoCo)."""

    keys: Tensor
    labels: Tensor
    owner: Tensor
    next: Tensor  # the slot that is written next

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(size, width))  # (M, D)
        self.register_buffer("labels", torch.full((size,), -1))  # (M,)
        self.register_buffer("owner", torch.full((size,), -1))  # (M,)
        self.register_buffer("next", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, keys: Float[Tensor, "N D"], labels: Labels, owner: Labels | None = None) -> None:
        """Remember keys, their labels and whose they are; of more than `size`, the last stay."""
        size = len(self.labels)
        keys, labels = keys[-size:], labels[-size:]
        slots = (self.next + torch.arange(len(keys), device=keys.device)) % size  # (N,): wraps round the end
        self.keys[slots] = keys.to(self.keys.dtype)
        self.labels[slots] = labels
        self.owner[slots] = -1 if owner is None else owner[-size:]
        self.next.copy_((self.next + len(keys)) % size)


@torch.no_grad()
def momentum_update(follower: nn.Module, leader: nn.Module, momentum: float) -> None:
    """Each parameter: momentum * follower + (1 - momentum) * leader (MoCo; running statistics stay)."""
    for slow, fast in zip(follower.parameters(), leader.parameters(), strict=True):
        slow.lerp_(fast, 1 - momentum)
