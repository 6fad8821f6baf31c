"""One update: its rate, its keys and queue, and what it does with a loss that is not finite."""

from __future__ import annotations

import numpy as np
import synthetic
import torch
from tiny_training import QUEUED, N, tiny

from vcemo_lib.loading import gather
from vcemo_lib.models import build, paper, tutorial
from vcemo_lib.training import Learner, learning_rate


def test_keys_follow_slowly_and_fill_the_queue(store, parts) -> None:
    learner = Learner(build("vcemo", tiny(**QUEUED)), tiny(**QUEUED))
    features = gather(store, parts["train"], ["mel", "words", "bert"])
    first = learner.key_model.final.mlp[0].weight.clone()
    for start in range(0, 24, 8):
        index = np.arange(start, start + 8)
        old = learner.model.final.mlp[0].weight.detach().clone()
        learner.step(features.batch(index), torch.from_numpy(index))
        assert not torch.equal(learner.model.final.mlp[0].weight, old)
        first = 0.9 * first + 0.1 * old  # the update comes before the keys
        torch.testing.assert_close(learner.key_model.final.mlp[0].weight, first)
    assert learner.queue.owner.tolist() == [20, 21, 22, 23, *range(4, 20)]
    assert all(p.grad is None for p in learner.key_model.parameters())


def test_a_step_that_is_not_finite_leaves_the_weights_alone() -> None:
    """On a GPU nobody looks at the loss before the next step is under way."""
    learner = Learner(build("vcemo", tiny()), tiny())
    features = gather(synthetic.Store(synthetic.corpus(N)), synthetic.corpus(N), ["mel", "words", "bert"])
    learner.step(features.batch(np.arange(8)))
    before = {
        name: t.clone()
        for name, t in learner.state_dict().items()
        if "running" not in name and "num_batches" not in name
    }
    bad = features.batch(np.arange(8))
    bad.bert[0, 0, 0] = float("nan")
    assert not learner.step(bad)["finite"]
    assert all(learner.state_dict()[name].equal(t) for name, t in before.items())
    assert learner.step(features.batch(np.arange(8)))["finite"]


def test_learning_rates() -> None:
    s = tutorial(lr=1.0, warmup=0.1)
    rates = [learning_rate(step, 100, s) for step in range(100)]
    assert rates[0] == 0.1 and rates[9] == rates[10] == max(rates) == 1.0 and 0 < rates[-1] < 0.01
    assert {learning_rate(step, 100, paper()) for step in range(100)} == {1e-5}
