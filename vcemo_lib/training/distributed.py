"""One model trained by several processes, a GPU each: started by `accelerate launch`, seen by `fit` alone.

Every process takes its share of each batch and hands its outputs to the others (all-gather), so that each
computes the loss of the whole batch: SupCon and the queue meet as many positives and negatives as on one GPU.
Gradients are then averaged. BatchNorm alone sees a share of the batch, and dropout draws other numbers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, distributed
from torch.distributed.nn.functional import all_gather

from vcemo_lib.errors import VcemoError


class Team(NamedTuple):
    """This process among those that train one model; alone, every method returns what it was given."""

    rank: int = 0  # 0: the one that validates, writes and shows progress
    size: int = 1

    def shard(self, index: np.ndarray) -> np.ndarray:
        """This process' part of a batch (N,): every size-th, so that all shards are of like length."""
        if len(index) < self.size:
            what = f"batches of {len(index)} for {self.size} processes"
            raise VcemoError(what, do="start fewer, or raise batch_size")
        return index[self.rank :: self.size]

    def all_gather(self, x: Tensor, total: int) -> Tensor:
        """The shards x (n, ...) of all processes in the batch's order, (total, ...); gradients add up."""
        if self.size == 1:
            return x
        longest = -(-total // self.size)
        padded = torch.cat([x, x.new_zeros(longest - len(x), *x.shape[1:])])  # (longest, ...)
        shards = all_gather(padded)
        return torch.stack(shards, dim=1).flatten(0, 1)[:total]  # row i of process r is i * size + r

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over the processes."""
        for t in tensors if self.size > 1 else ():
            distributed.all_reduce(t)
            t /= self.size

    def broadcast(self, value: Any) -> Any:
        """The first process' value, when it has come here: so that all stop at the same epoch."""
        values = [value]
        if self.size > 1:
            distributed.broadcast_object_list(values)
        return values[0]


def connect() -> Team:
    """The processes that `accelerate launch` started, or this one alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "MASTER_ADDR" not in os.environ:
        return Team()
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available())  # nccl or gloo; gives each process its GPU
    return Team(state.process_index, state.num_processes)
