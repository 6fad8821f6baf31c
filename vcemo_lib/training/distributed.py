"""One model trained by several processes, a GPU each: started by `accelerate launch`, seen by `fit` alone.

Every process holds the whole model and all features, takes its share of each batch, and hands its outputs to the
others, so that each computes the loss of the whole batch: SupCon meets as many positives and negatives as on one GPU,
and so does the queue. Gradients are then averaged. What differs from one process: BatchNorm sees a share of the batch,
and dropout draws other numbers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vcemo_lib.errors import VcemoError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True)
class Team:
    """This process among those that train one model; alone, every method gives back what it got."""

    rank: int = 0  # 0: the one that validates, writes and shows progress
    size: int = 1

    def share(self, index: np.ndarray) -> np.ndarray:
        """This process' part of a batch (N,): every size-th, so that all parts hold utterances of like length."""
        return index[self.rank :: self.size]

    def gathered(self, x: Tensor, total: int) -> Tensor:
        """The shares x (n, ...) of all processes in the batch's order, (total, ...).

        Gradients reach this process' own rows, times `size`: for `average` divides by it.
        """
        if self.size == 1:
            return x
        import torch
        from torch import distributed

        longest = -(-total // self.size)
        mine = torch.cat([x.detach(), x.new_zeros(longest - len(x), *x.shape[1:])])  # (longest, ...)
        shares = [torch.empty_like(mine) for _ in range(self.size)]
        distributed.all_gather(shares, mine)
        whole = torch.stack(shares, dim=1).flatten(0, 1)[:total]  # (total, ...): row i of process r is i * size + r
        if not x.requires_grad:
            return whole
        own = torch.arange(self.rank, total, self.size, device=x.device)
        return whole.index_copy(0, own, x * self.size - (self.size - 1) * x.detach())  # x's values, `size` times its gradient

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over the processes."""
        if self.size == 1 or not (tensors := list(tensors)):
            return
        import torch
        from torch import distributed

        flat = torch.cat([t.detach().flatten().float() for t in tensors])  # one message, not hundreds
        distributed.all_reduce(flat)
        for t, mean in zip(tensors, (flat / self.size).split([t.numel() for t in tensors]), strict=True):
            t.detach().copy_(mean.view_as(t))

    def told(self, what: Any) -> Any:
        """What the first process says: so that all stop at the same epoch."""
        if self.size == 1:
            return what
        from torch import distributed

        box = [what]
        distributed.broadcast_object_list(box)
        return box[0]

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.size > 1:
            from torch import distributed

            distributed.barrier()


def team() -> Team:
    """The processes that `accelerate launch` (or torchrun) started, or this one alone. Raises VcemoError without accelerate."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "MASTER_ADDR" not in os.environ:
        return Team()
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise VcemoError("several processes were started and accelerate is missing", do="pip install 'vcemo-lib[cluster]'") from error
    from vcemo_lib.training.runs import device

    state = PartialState(cpu=device().type == "cpu")  # connects the processes (nccl; gloo without GPUs), gives each its GPU
    return Team(state.process_index, state.num_processes)
