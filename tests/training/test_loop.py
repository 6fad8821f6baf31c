"""The loop: it learns, it resumes to the bit, it stops at nonsense and says where."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import synthetic
import torch
from tiny_training import QUEUED, N, same_weights, tiny, train

from vcemo_lib.errors import VcemoError
from vcemo_lib.models import build
from vcemo_lib.training import Learner, checkpoint, fit


# At alpha = 100 cross-entropy is a hundredth of the loss: its head takes longer.
@pytest.mark.parametrize(
    "changes", [{}, QUEUED, {"alpha": 100.0, "epochs": 80}, {"modalities": ("audio",), "epochs": 60}], ids=str
)
def test_overfits_32_utterances(changes: dict) -> None:
    """Noise without any pattern: only a loop that really learns remembers it."""
    whole = synthetic.corpus(32)
    both = {"train": whole, "val": whole}
    settings = (
        dict(
            epochs=30,
            batch_size=32,
            dropout=0.0,
            text_dropout=0.0,
            modality_dropout=0.0,
            lr=1e-2,
            weight_decay=0.0,
            width=32,
        )
        | changes
    )
    run = train(synthetic.Store(whole, signal=0.0), both, **settings)
    assert run.predict(whole).scores()["wa"] == 1.0


def test_learns_what_generalises(store, parts) -> None:
    run = train(store, parts, epochs=8, lr=1e-2, width=32)
    said = run.predict(parts["test"])
    assert said.scores()["wa"] > 0.7  # chance is 0.17
    assert said.table.shape == (len(parts["test"]), 3 + 6) and said.ids == parts["test"].ids
    np.testing.assert_allclose(said.probabilities.sum(1), 1, rtol=1e-5)
    assert run.best_epoch == run.history["val_ua"].idxmax()
    assert {"loss", "ce", "supcon", "val_wa", "val_ua", "val_loss"} <= set(run.history)


def test_the_seed_decides(store, parts) -> None:
    a, b, c = (train(store, parts, seed=seed, epochs=1, **QUEUED) for seed in (1, 1, 2))
    assert same_weights(a, b) and not same_weights(a, c)


@pytest.mark.parametrize("changes", [{}, QUEUED], ids=["plain", "queue and two views"])
def test_resumes_to_the_same_result(store, parts, tmp_path, monkeypatch, changes: dict) -> None:
    changes = changes | {"epochs": 2}
    whole = train(store, parts, **changes)
    step, calls = Learner.step, 0

    def dies(*args, **kwargs):
        nonlocal calls
        if (calls := calls + 1) == 6:  # in the middle of the second epoch of four steps
            raise KeyboardInterrupt
        return step(*args, **kwargs)

    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(Learner, "step", dies)
        train(store, parts, tmp_path, **changes)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.safetensors"]
    resumed = train(store, parts, tmp_path, **changes)
    assert same_weights(resumed, whole)
    columns = [c for c in whole.history if c != "seconds"]
    assert resumed.history[columns].equals(whole.history[columns])
    again = train(store, parts, tmp_path, **changes)  # now it is finished, and only read
    assert same_weights(again, whole) and again.seconds == resumed.seconds


KILLED = """
import sys, torch
sys.path[:0] = [{tests!r}, {tests!r} + '/training']
torch.set_num_threads(1)
import synthetic
from tiny_training import N, train
train(synthetic.Store(synthetic.corpus(N)), synthetic.parts(N), {out!r}, epochs=500, patience=500)
"""


def test_a_killed_process_leaves_a_whole_checkpoint(store, parts, tmp_path) -> None:
    code = KILLED.format(tests=str(Path(__file__).parents[1]), out=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", code])
    path = tmp_path / "checkpoint.safetensors"
    deadline = time.monotonic() + 120
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    tensors, facts = checkpoint.load(path)
    learner = Learner(build("vcemo", tiny()), tiny())
    learner.load_state_dict(tensors)
    assert 1 <= len(facts["history"]) < 500 and all(t.isfinite().all() for t in tensors.values())


def test_another_run_is_not_overwritten(store, parts, tmp_path) -> None:
    train(store, parts, tmp_path, epochs=1)
    with pytest.raises(VcemoError, match="another run"):
        train(store, parts, tmp_path, epochs=1, seed=1)
    other = synthetic.Store(synthetic.corpus(N), signal=0.0)  # the same utterances, other features
    with pytest.raises(VcemoError, match="another run"):
        train(other, parts, tmp_path, epochs=1)


def test_divergence_names_step_batch_and_settings_and_keeps_the_checkpoint(
    store, parts, tmp_path, monkeypatch
) -> None:
    step, calls = Learner.step, 0

    def burst(self, *args, **kwargs):
        nonlocal calls
        if (calls := calls + 1) == 6:
            with torch.no_grad():
                self.model.final.mlp[0].weight.fill_(float("inf"))
        return step(self, *args, **kwargs)

    monkeypatch.setattr(Learner, "step", burst)
    with pytest.raises(VcemoError) as error:
        train(store, parts, tmp_path)
    told = str(error.value)
    assert "epoch 1, step 1" in told and "lower lr" in told and "last checkpoint" in told
    assert "\n" not in told
    tensors, facts = checkpoint.load(tmp_path / "checkpoint.safetensors")
    assert len(facts["history"]) == 1 and all(t.isfinite().all() for t in tensors.values())


def test_a_real_divergence_is_caught(store, parts) -> None:
    with pytest.raises(VcemoError, match=r"diverged: loss .*epoch \d+, step \d+"):
        train(store, parts, lr=1e30, schedule="constant", clip=0.0, epochs=20)


def test_one_class_and_tiny_parts_stay_finite(store) -> None:
    whole = synthetic.corpus(N)
    angry = whole.subset(whole.ids[::6][:5])
    run = train(store, {"train": angry, "val": angry.subset(angry.ids[:1])}, epochs=2)
    assert np.isfinite(run.history.to_numpy()).all() and run.predict(angry).scores()["wa"] == 1.0


def test_two_views_and_patience(store, parts) -> None:
    run = train(store, parts, lr=1e-12, patience=2, epochs=9)
    assert len(run.history) == run.best_epoch + 3  # nothing is learnt, so it stops
    two = train(store, parts, views=2, epochs=1)
    assert two.history["supcon"].iloc[0] > run.history["supcon"].iloc[0]  # more others in the denominator


def test_the_model_that_is_given_is_trained_and_its_frozen_branches_stay(store, parts) -> None:
    model = build("vcemo", tiny())
    model.branches.requires_grad_(False)
    before = {name: p.clone() for name, p in model.named_parameters()}
    heard = []
    model.branches["audio"].register_forward_hook(lambda module, given, out: heard.append(given[0].shape[2]))
    run = fit(model, store, parts, progress=False)
    assert run.model is model and set(heard) == {40}, "hooks run, on frames averaged once"
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) == name.startswith("branches."), name


def test_weights_that_the_last_step_spoils_are_told(store, parts) -> None:
    """The loss was measured before the update, so it was finite."""
    with pytest.raises(VcemoError, match="lr is inf"):
        train(store, parts, lr=float("inf"))
    with pytest.raises(VcemoError, match="diverged: .*not finite.*lower lr"):
        train(store, parts, lr=1e38, schedule="constant", clip=0.0, epochs=1, batch_size=64)


BESIDE = """
import os, subprocess, sys, time
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
sys.path[:0] = [{tests!r}, {tests!r} + '/training']
import synthetic
from tiny_training import N, train
import torch
torch.set_num_threads(2)
store, parts = synthetic.Store(synthetic.corpus(N)), synthetic.parts(N)
def seconds():
    return train(store, parts, epochs=4, patience=4).history.seconds[1:].min()
seconds()
alone = min(seconds() for _ in range(2))
busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
try:
    beside = min(seconds() for _ in range(2))
finally:
    busy.kill()
    busy.wait()
print(alone, beside)
"""


@pytest.mark.timeout(900)  # on a machine that is busy with other things, too
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no way to keep to two cores here")
def test_training_does_not_stand_still_beside_a_busy_process() -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core")
    code, env = BESIDE.format(tests=str(Path(__file__).parents[1])), dict(os.environ)
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "KMP_BLOCKTIME"):
        env.pop(variable, None)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr[-2000:]
    alone, beside = map(float, done.stdout.split())
    assert beside < 3 * alone, f"{alone:.2f} s an epoch alone, {beside:.2f} s beside a busy process"


def test_a_users_own_way_of_waiting_stays() -> None:
    code = "import os, vcemo_lib; print(os.environ['OMP_WAIT_POLICY'], os.environ['KMP_BLOCKTIME'])"
    own = {"OMP_WAIT_POLICY": "active"}
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "KMP_BLOCKTIME")}
    found = [subprocess.check_output([sys.executable, "-c", code], env=env | e, text=True) for e in ({}, own)]
    assert [line.split() for line in found] == [["passive", "0"], ["active", "0"]]
