"""A training run of a second, which the tests of `training` share."""

from __future__ import annotations

import synthetic
import torch

from vcemo_lib.models import Settings, build, tutorial
from vcemo_lib.training import Run, fit

N = 64
TINY = dict(
    width=16, heads=2, ff_width=16, length=6, conv_channels=(4, 4), bert_width=16, batch_size=8, epochs=3
)
QUEUED = dict(views=2, queue=20, momentum=0.9, allow_own_keys=False)
NO_DROPOUT = dict(dropout=0.0, text_dropout=0.0, modality_dropout=0.0)


def tiny(**changes) -> Settings:
    return tutorial(**(TINY | changes))


def train(store: synthetic.Store, parts: dict, out=None, seed: int = 0, **changes) -> Run:
    return fit(build("vcemo", tiny(**changes), seed=seed), store, parts, seed=seed, out=out, progress=False)


def same_weights(a: Run, b: Run) -> bool:
    both = zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in both)
