"""SupCon against a double loop, pytorch-metric-learning and sums done by hand; MoCo's arithmetic."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vcemo_lib.errors import VcemoError
from vcemo_lib.losses import LabelQueue, joint, momentum_update, supcon

LABELS = torch.tensor([0, 0, 1, 1, 1, 2, 3, 3])  # class 2 has one member, so no positive
N, D = len(LABELS), 5


def double_loop(z, labels, tau, keys=None, key_labels=None, allowed=None):
    """The definition, one anchor and one positive at a time; z (A, D) is normalised, allowed (A, keys)."""
    losses = []
    for i in range(len(z)):
        contrast = [(z[j], int(labels[j])) for j in range(len(z)) if j != i]
        if keys is not None:
            contrast += [
                (keys[k], int(key_labels[k]))
                for k in range(len(keys))
                if key_labels[k] >= 0 and (allowed is None or allowed[i, k])
            ]
        denominator = sum(math.exp(float(z[i] @ a) / tau) for a, _ in contrast)
        positives = [a for a, label in contrast if label == labels[i]]
        if positives:
            losses.append(
                -sum(math.log(math.exp(float(z[i] @ p) / tau) / denominator) for p in positives)
                / len(positives)
            )
    return sum(losses) / len(losses)


@pytest.fixture
def z() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(N, D, dtype=torch.float64)


@pytest.mark.parametrize("tau", [1.0, 0.5, 0.07])
def test_equals_the_double_loop(z: torch.Tensor, tau: float) -> None:
    want = double_loop(F.normalize(z, dim=-1), LABELS, tau)
    assert float(supcon(z, LABELS, tau)) == pytest.approx(want, rel=1e-5)


def test_views_are_more_samples_of_the_same_label(z: torch.Tensor) -> None:
    views = torch.stack([z, torch.randn_like(z), torch.randn_like(z)], dim=1)  # (N, 3, D)
    flat = F.normalize(views, dim=-1).flatten(0, 1)
    want = double_loop(flat, LABELS.repeat_interleave(3), 0.5)
    assert float(supcon(views, LABELS, 0.5)) == pytest.approx(want, rel=1e-5)
    torch.testing.assert_close(supcon(views, LABELS), supcon(views.flip(1), LABELS))  # their order is nothing
    order = torch.randperm(N)
    torch.testing.assert_close(supcon(views, LABELS), supcon(views[order], LABELS[order]))


@pytest.mark.parametrize("drop_own", [False, True])
def test_equals_the_double_loop_with_a_queue(z: torch.Tensor, drop_own: bool) -> None:
    keys, key_labels = torch.randn(6, D, dtype=torch.float64), torch.tensor([0, 2, 2, 1, -1, -1])
    keys[4:] = 1e3  # empty slots may hold anything
    allowed = torch.rand(N, 6) > 0.4 if drop_own else None
    z, keys_n = F.normalize(z, dim=-1), F.normalize(keys, dim=-1)
    want = double_loop(z, LABELS, 0.5, keys_n, key_labels, allowed)
    got = supcon(z, LABELS, 0.5, keys=keys, key_labels=key_labels, key_allowed=allowed)
    assert float(got) == pytest.approx(want, rel=1e-5)
    assert float(got) != pytest.approx(float(supcon(z, LABELS, 0.5)), rel=1e-3)


@pytest.mark.parametrize("tau", [1.0, 0.1])
def test_equals_pytorch_metric_learning(z: torch.Tensor, tau: float) -> None:
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    z = z.float()
    torch.testing.assert_close(supcon(z, LABELS, tau), losses.SupConLoss(temperature=tau)(z, LABELS))


def test_equals_pytorch_metric_learning_with_a_queue() -> None:
    """Its cross-batch call takes the anchors from the batch and all contrast from the memory."""
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    torch.manual_seed(1)
    z, keys, key_labels = torch.randn(N, D), torch.randn(20, D), torch.randint(0, 4, (20,))
    # Ours contrasts with the batch as well: give theirs batch and keys as one memory, self-pairs named and
    # left out.
    memory, memory_labels = torch.cat([z, keys]), torch.cat([LABELS, key_labels])
    same = LABELS[:, None] == memory_labels
    same[range(N), range(N)] = False
    other = LABELS[:, None] != memory_labels
    a1, p = torch.where(same)
    a2, n = torch.where(other)
    theirs = losses.SupConLoss(temperature=0.3)(z, LABELS, (a1, p, a2, n), memory, memory_labels)
    torch.testing.assert_close(supcon(z, LABELS, 0.3, keys=keys, key_labels=key_labels), theirs)


@pytest.mark.parametrize("n", [4, 32])
def test_identical_features_cost_log_of_the_others(n: int) -> None:
    same = torch.ones(n, 2, D)  # two views of one class: 2N - 1 others, all alike
    assert float(supcon(same, torch.zeros(n, dtype=torch.int64))) == pytest.approx(
        math.log(2 * n - 1), rel=1e-6
    )


def test_temperature_factor(z: torch.Tensor) -> None:
    plain = supcon(z, LABELS, temperature=1.0)
    torch.testing.assert_close(supcon(z, LABELS, temperature=1.0, base_temperature=1.0), plain)
    torch.testing.assert_close(supcon(z, LABELS, 0.3, base_temperature=0.6), supcon(z, LABELS, 0.3) / 2)
    assert float(supcon(z, LABELS, temperature=1.0, base_temperature=0.07) / plain) == pytest.approx(
        1 / 0.07
    )  # 14.29
    assert float(plain) == pytest.approx(double_loop(F.normalize(z, dim=-1), LABELS, 1.0), rel=1e-5)


def test_an_anchor_without_positives_counts_nothing(z: torch.Tensor) -> None:
    lonely = z.clone().requires_grad_()
    loss = supcon(lonely, torch.arange(N))
    loss.backward()
    assert float(loss.detach()) == 0 and torch.all(lonely.grad == 0)
    with_lonely = supcon(z[:6], LABELS[:6])  # the last of these six has no positive
    torch.testing.assert_close(supcon(z[:6], LABELS[:6], anchors="all") * 6, with_lonely * 5)


@pytest.mark.parametrize("n", [1, 2])
def test_a_batch_of_one_or_of_one_class_is_finite(n: int) -> None:
    z = torch.randn(n, D, requires_grad=True)
    loss = supcon(z, torch.zeros(n, dtype=torch.int64))
    loss.backward()
    assert loss.isfinite() and z.grad.isfinite().all()


def test_huge_logits_stay_finite() -> None:
    z = (torch.randn(N, D) * 1e4).requires_grad_()
    loss = supcon(z, LABELS, temperature=0.01, normalize=False)
    loss.backward()
    assert loss.isfinite() and z.grad.isfinite().all()
    # Orthogonal classes at a tiny temperature: subtracting the self-similarity first would give log(0).
    eye = torch.eye(N).requires_grad_()
    loss = supcon(eye, LABELS, temperature=1e-3)
    loss.backward()
    assert loss.isfinite() and eye.grad.isfinite().all()


def test_normalising_forgets_length(z: torch.Tensor) -> None:
    torch.testing.assert_close(supcon(z, LABELS), supcon(z * 7, LABELS))
    assert not torch.isclose(supcon(z, LABELS, normalize=False), supcon(z * 7, LABELS, normalize=False))


def test_gradient_pulls_a_class_together() -> None:
    torch.manual_seed(0)
    z, labels = torch.randn(16, D), torch.arange(16) % 2
    start = F.normalize(z, dim=-1)
    z.requires_grad_()
    optimizer = torch.optim.SGD([z], lr=5.0)
    for _ in range(50):
        optimizer.zero_grad()
        supcon(z, labels, 0.5).backward()
        optimizer.step()
    end = F.normalize(z.detach(), dim=-1)
    same = labels[:, None] == labels
    assert (end @ end.T)[same].mean() > (start @ start.T)[same].mean() + 0.3
    assert (end @ end.T)[~same].mean() < (start @ start.T)[~same].mean() - 0.3


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(VcemoError, match="do not fit"):
        supcon(torch.randn(4, D), torch.zeros(5))


def test_joint_loss_is_the_papers() -> None:
    ce, con = torch.tensor(2.0), torch.tensor(5.0)
    assert float(joint(ce, con, 0.0)) == 2.0
    assert float(joint(ce, con, 0.1)) == pytest.approx((2 + 0.5) / 1.1)
    assert float(joint(ce, con, 100.0)) == pytest.approx(502 / 101)


def test_queue_wraps_round() -> None:
    queue = LabelQueue(5, 2)
    for start in (0, 3, 6):  # three pushes of three into five slots
        at = torch.arange(start, start + 3)
        queue.push(at[:, None].float().expand(3, 2), at, owner=at + 100)
    assert queue.labels.tolist() == [5, 6, 7, 8, 4]
    assert queue.keys[:, 0].tolist() == [5.0, 6.0, 7.0, 8.0, 4.0]
    assert queue.owner.tolist() == [105, 106, 107, 108, 104] and int(queue.next) == 4


def test_queue_smaller_than_a_batch_keeps_the_last() -> None:
    queue = LabelQueue(3, 1)
    queue.push(torch.arange(8.0)[:, None], torch.arange(8))
    assert sorted(queue.labels.tolist()) == [5, 6, 7]


def test_an_empty_queue_changes_nothing(z: torch.Tensor) -> None:
    queue = LabelQueue(64, D)
    torch.testing.assert_close(supcon(z, LABELS, keys=queue.keys, key_labels=queue.labels), supcon(z, LABELS))
    queue.push(z.float(), LABELS)
    assert (queue.labels >= 0).sum() == N and not queue.keys.requires_grad


def test_momentum_update_arithmetic() -> None:
    slow, fast = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    nn.init.constant_(slow.weight, 2.0)
    nn.init.constant_(fast.weight, 4.0)
    fast.running_mean.fill_(9.0)
    for n in (1, 2):
        momentum_update(slow, fast, 0.9)
        torch.testing.assert_close(slow.weight, torch.full((3,), 4 - 2 * 0.9**n))
    assert torch.all(slow.running_mean == 0)  # running statistics are not averaged
    momentum_update(slow, fast, 1.0)
    torch.testing.assert_close(slow.weight, torch.full((3,), 4 - 2 * 0.9**2))
    momentum_update(slow, fast, 0.0)
    torch.testing.assert_close(slow.weight, fast.weight)
