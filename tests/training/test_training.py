"""The loop: it learns, it resumes to the bit, it stops at nonsense and says where."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import synthetic
import torch

from vcemo_lib import augmentation, training
from vcemo_lib.array_cache import ArrayCache
from vcemo_lib.errors import VcemoError
from vcemo_lib.features import FeatureStore
from vcemo_lib.loading import AugmentedDataset, Scaler, augmented, gather
from vcemo_lib.models import Settings, build, paper, tutorial
from vcemo_lib.models.branches import FrameNorm
from vcemo_lib.training import Learner, Run, checkpoint, fit, learning_rate

N = 64
TINY = dict(width=16, heads=2, ff_width=16, length=6, conv_channels=(4, 4), bert_width=16, batch_size=8, epochs=3)
QUEUED = dict(views=2, queue=20, momentum=0.9, own_copies=False)


@pytest.fixture(scope="module")
def store() -> synthetic.Store:
    return synthetic.Store(synthetic.corpus(N))


@pytest.fixture
def parts() -> dict:
    return synthetic.parts(N)


def tiny(**changes) -> Settings:
    return tutorial(**(TINY | changes))


def train(store, parts, out=None, seed=0, **changes) -> Run:
    return fit(build("vcemo", tiny(**changes), seed=seed), store, parts, seed=seed, out=out, progress=False)


def same_weights(a: Run, b: Run) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True))


# At alpha = 100 cross-entropy is a hundredth of the loss: its head takes longer.
@pytest.mark.parametrize("changes", [{}, QUEUED, {"alpha": 100.0, "epochs": 80}, {"modalities": ("audio",), "epochs": 60}], ids=str)
def test_overfits_32_utterances(changes: dict) -> None:
    """Noise without any pattern: only a loop that really learns remembers it."""
    whole = synthetic.corpus(32)
    both = {"train": whole, "val": whole}
    settings = dict(epochs=30, batch_size=32, dropout=0.0, text_dropout=0.0, modality_dropout=0.0, lr=1e-2, weight_decay=0.0, width=32) | changes
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
from test_training import N, train
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
    learner.restore(tensors)
    assert 1 <= len(facts["history"]) < 500 and all(t.isfinite().all() for t in tensors.values())


def test_another_run_is_not_overwritten(store, parts, tmp_path) -> None:
    train(store, parts, tmp_path, epochs=1)
    with pytest.raises(VcemoError, match="another run"):
        train(store, parts, tmp_path, epochs=1, seed=1)
    fit(build("vcemo", tiny(epochs=1), seed=1), store, parts, seed=1, out=tmp_path, progress=False, resume=False)


def test_a_torn_checkpoint_is_told(store, parts, tmp_path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(b"half")
    with pytest.raises(VcemoError, match="not a whole checkpoint"):
        train(store, parts, tmp_path)


def test_divergence_names_step_batch_and_settings_and_keeps_the_checkpoint(store, parts, tmp_path, monkeypatch) -> None:
    step, calls = Learner.step, 0

    def burst(self, *args, **kwargs):
        nonlocal calls
        if (calls := calls + 1) == 6:
            with torch.no_grad():
                self.model.final.think[0].weight.fill_(float("inf"))
        return step(self, *args, **kwargs)

    monkeypatch.setattr(Learner, "step", burst)
    with pytest.raises(VcemoError) as error:
        train(store, parts, tmp_path)
    told = str(error.value)
    assert "epoch 1, step 5" in told and "utt0" in told and "lr=" in told and "checkpoint.safetensors" in told
    assert "\n" not in told
    tensors, facts = checkpoint.load(tmp_path / "checkpoint.safetensors")
    assert len(facts["history"]) == 1 and all(t.isfinite().all() for t in tensors.values())


def test_a_real_divergence_is_caught(store, parts) -> None:
    with pytest.raises(VcemoError, match="diverged"):
        train(store, parts, lr=1e30, schedule="constant", clip=0.0, epochs=20)


def test_features_that_are_not_finite_name_their_utterance(parts) -> None:
    store = synthetic.Store(synthetic.corpus(N))
    store.features["mel"]["utt003"][4, 7] = np.nan
    with pytest.raises(VcemoError, match="utt003"):
        train(store, parts)


def test_one_class_and_tiny_parts_stay_finite(store) -> None:
    whole = synthetic.corpus(N)
    angry = whole.subset(whole.ids[::6][:5])
    run = train(store, {"train": angry, "val": angry.subset(angry.ids[:1])}, epochs=2)
    assert np.isfinite(run.history.to_numpy()).all() and run.predict(angry).scores()["wa"] == 1.0


def test_mistakes_are_told(store, parts, tmp_path) -> None:
    with pytest.raises(VcemoError, match="4 emotions"):
        train(store, parts, classes=4)
    with pytest.raises(VcemoError, match="16 wide"):
        train(store, parts, bert_width=8)
    with pytest.raises(VcemoError, match="this store holds no 'whisper'.*compute it with"):
        lacking = FeatureStore({"mel": ArrayCache(tmp_path / "mel"), "words": ArrayCache(tmp_path / "words")}, {}, {}, "gold")
        lacking.caches["mel"].width, lacking.caches["words"].width = 80, 300
        train(lacking, parts, acoustic="both", modalities=("audio", "words"))
    with pytest.raises(VcemoError, match="no val part"):
        train(store, {"train": parts["train"]})


@pytest.mark.parametrize("changes", [{}, {"acoustic": "both", "speaker_norm": True, "augment": 0}], ids=str)
def test_a_run_survives_the_disk(store, parts, tmp_path, changes: dict) -> None:
    run = train(store, parts, epochs=2, **changes)
    assert not changes or all(set(kinds) == {"mel", "whisper"} for kinds in run.scaler.by_speaker.values())
    run.save(tmp_path)
    back = Run.load(tmp_path, store)
    assert back.settings == run.settings and back.best_epoch == run.best_epoch and back.history.equals(run.history)
    np.testing.assert_array_equal(back.predict(parts["test"]).probabilities, run.predict(parts["test"]).probabilities)


def test_a_prediction_does_not_depend_on_its_company(store, parts) -> None:
    """A speaker's statistics are those found in training, however few of the clips are asked for."""
    run = train(store, parts, epochs=1)
    test = parts["test"]
    alone = run.predict(test.subset(test.ids[3:4])).probabilities[0]
    np.testing.assert_allclose(alone, run.predict(test).probabilities[3], rtol=1e-4)


def test_two_views_and_patience(store, parts) -> None:
    run = train(store, parts, lr=1e-12, patience=2, epochs=9)
    assert len(run.history) == run.best_epoch + 3  # nothing is learnt, so it stops
    two = train(store, parts, views=2, epochs=1)
    assert two.history["supcon"].iloc[0] > run.history["supcon"].iloc[0]  # more others in the denominator


def test_keys_follow_slowly_and_fill_the_queue(store, parts) -> None:
    learner = Learner(build("vcemo", tiny(**QUEUED)), tiny(**QUEUED))
    features = gather(store, parts["train"], ["mel", "words", "bert"])
    first = learner.key_model.final.think[0].weight.clone()
    for start in range(0, 24, 8):
        index = np.arange(start, start + 8)
        old = learner.model.final.think[0].weight.detach().clone()
        learner.step(features.batch(index), torch.from_numpy(index))
        assert not torch.equal(learner.model.final.think[0].weight, old)
        first = 0.9 * first + 0.1 * old  # the update comes before the keys
        torch.testing.assert_close(learner.key_model.final.think[0].weight, first)
    assert learner.queue.owner.tolist() == [20, 21, 22, 23, *range(4, 20)]
    assert all(p.grad is None for p in learner.key_model.parameters())


def test_batches_are_of_like_length_and_complete(store, parts) -> None:
    features = gather(store, parts["train"], ["mel"])
    for rng in (np.random.default_rng(0), None):
        plan = list(features.plan(5, rng))
        assert sorted(np.concatenate(plan)) == list(range(len(features)))
        assert {len(b) for b in plan} <= {4, 5}
    def padding(plan):
        return sum(features.lengths["mel"][b].max() * len(b) for b in plan) / features.lengths["mel"].sum() - 1
    shuffled = np.array_split(np.random.default_rng(0).permutation(len(features)), 7)
    assert padding(features.plan(5, np.random.default_rng(0))) < 0.7 * padding(shuffled)


def test_gathered_batches_are_the_stores(store, parts) -> None:
    features = gather(store, parts["val"], ["mel", "words"])
    index = np.array([2, 0, 5])
    ours, theirs = features.batch(index), store.batch([parts["val"].ids[i] for i in index], ["mel", "words"])
    assert ours.ids == theirs.ids and ours.labels.tolist() == parts["val"].y()[index].tolist()
    for kind in ("mel", "words"):
        torch.testing.assert_close(getattr(ours, kind), getattr(theirs, kind), rtol=1e-3, atol=1e-3)  # float16
        assert getattr(ours, f"{kind}_len").equal(getattr(theirs, f"{kind}_len"))


def test_scaling_is_per_speaker_for_audio_and_of_the_training_part_for_the_rest(store, parts) -> None:
    raw = {name: gather(store, part, ["mel", "words"]) for name, part in parts.items()}
    scaler = Scaler.fit(raw, per_speaker=True)
    scaled = {name: scaler.apply(part) for name, part in raw.items()}
    for speaker in set(scaled["train"].speakers):
        rows = []
        for part in scaled.values():
            mel = part.sequences["mel"].rows[:-1].split(part.sequences["mel"].lengths.tolist())
            rows += [clip for clip, who in zip(mel, part.speakers, strict=True) if who == speaker]
        rows = torch.cat(rows).float()
        torch.testing.assert_close(rows.mean(0), torch.zeros(80), rtol=0, atol=2e-3)
        torch.testing.assert_close(rows.std(0), torch.ones(80), rtol=0, atol=1e-2)
    words = scaled["train"].sequences["words"].rows[:-1].float()
    torch.testing.assert_close(words.mean(0), torch.zeros(300), rtol=0, atol=2e-3)
    assert scaled["val"].sequences["words"].rows.float().mean(0).abs().max() > 0.05  # its own statistics were not used


def test_learning_rates() -> None:
    s = tutorial(lr=1.0, warmup=0.1)
    rates = [learning_rate(step, 100, s) for step in range(100)]
    assert rates[0] == 0.1 and rates[9] == rates[10] == max(rates) == 1.0 and 0 < rates[-1] < 0.01
    assert {learning_rate(step, 100, paper()) for step in range(100)} == {1e-5}


@pytest.mark.parametrize("acoustic", ["mel", "both"])
def test_averaging_frames_once_changes_nothing(store, parts, acoustic: str) -> None:
    """The twin that finds its frames averaged computes what the model computes from every frame."""
    model = build("vcemo", tiny(dropout=0.0, text_dropout=0.0, modality_dropout=0.0, acoustic=acoustic))
    features, scaler, _ = training._prepare(model, store, parts)
    twin, train, val, _ = training._on_device(model, parts["train"], features, scaler, False, False)
    assert twin is not model and train.sequences["mel"].rows.shape[1] == 40 and len(val) == len(parts["val"])
    index = np.arange(0, 32, 3)
    for training_mode in (True, False):
        there, here = (m.train(training_mode)(part.batch(index)) for m, part in ((model, features["train"]), (twin, train)))
        torch.testing.assert_close(here.logits, there.logits)
    a, b = Learner(model, model.settings), Learner(twin, model.settings)
    for learner, part in ((a, features["train"]), (b, train)):
        learner.step(part.batch(index))
    for ours, theirs in zip(twin.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(900)  # a compiler at work: minutes on a busy machine
@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++"))), reason="torch.compile needs a C++ compiler here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")
def test_compiled_layers_learn_the_same(store, parts) -> None:
    still = tiny(dropout=0.0, text_dropout=0.0, modality_dropout=0.0, epochs=2)
    plain, compiled = (fit(build("vcemo", still, seed=0), store, parts, progress=False, compile=way) for way in (False, True))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"]  # something was compiled indeed
    np.testing.assert_allclose(compiled.history.loss, plain.history.loss, rtol=1e-4)
    np.testing.assert_allclose(compiled.predict(parts["test"]).probabilities, plain.predict(parts["test"]).probabilities, atol=1e-3)


def test_norm_with_weights_is_norm_of_the_real_frames() -> None:
    """What a GPU computes, against what a processor does, where padding is anything but zero."""
    left_out, weighed = (FrameNorm(3) for _ in range(2))
    x, mask = torch.randn(4, 3, 9, 5), torch.arange(9) < torch.tensor([9, 4, 1, 7])[:, None]
    for training_mode in (True, True, False):
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        ours, theirs = weighed.train(training_mode).weighted(a, mask), left_out.train(training_mode)(b, mask)
        torch.testing.assert_close(ours, theirs)
        weight = torch.randn_like(x)
        (ours * weight).sum().backward(), (theirs * weight).sum().backward()
        torch.testing.assert_close(a.grad, b.grad)
        for state in ("running_mean", "running_var", "num_batches_tracked"):
            torch.testing.assert_close(getattr(weighed, state), getattr(left_out, state))
    torch.testing.assert_close(weighed.weight.grad, left_out.weight.grad)


def test_a_step_that_is_not_finite_leaves_the_weights_alone() -> None:
    """On a GPU nobody looks at the loss before the next step is under way."""
    learner = Learner(build("vcemo", tiny()), tiny())
    features = gather(synthetic.Store(synthetic.corpus(N)), synthetic.corpus(N), ["mel", "words", "bert"])
    learner.step(features.batch(np.arange(8)))
    before = {name: t.clone() for name, t in learner.tensors().items() if "running" not in name and "num_batches" not in name}
    bad = features.batch(np.arange(8))
    bad.bert[0, 0, 0] = float("nan")
    assert not learner.step(bad)["finite"]
    assert all(learner.tensors()[name].equal(t) for name, t in before.items())
    assert learner.step(features.batch(np.arange(8)))["finite"]


def test_divergence_is_told_after_the_epoch_too(store, parts, monkeypatch) -> None:
    """As where there is a GPU: the losses of an epoch are looked at together."""
    check = training._check
    monkeypatch.setattr(training, "_check", lambda steps, *rest: len(steps) > 1 and check(steps, *rest))
    with pytest.raises(VcemoError, match=r"diverged: loss .*epoch \d+, step \d+"):
        train(store, parts, lr=1e30, schedule="constant", clip=0.0, epochs=20)


TEAM = """
import json, sys
sys.path[:0] = [{tests!r}, {tests!r} + '/training']
import torch
torch.set_num_threads(1)
import synthetic
from test_training import N, train
from vcemo_lib.training.distributed import team
said = []
for options in {runs!r}:
    run = train(synthetic.Store(synthetic.corpus(N)), synthetic.parts(N), **options)
    weights = torch.cat([t.flatten().double() for t in run.model.state_dict().values()])
    history = run.history.drop(columns="seconds").to_dict("list")
    said.append({{"size": team().size, "history": history, "weights": [float(weights.sum()), float(weights.abs().sum())]}})
open({out!r} + f"/rank{{team().rank}}.json", "w").write(json.dumps(said))
"""
EXACT = dict(dropout=0.0, text_dropout=0.0, modality_dropout=0.0, batch_size=9)  # 32 utterances: shares of unequal size


def in_processes(count: int, tmp_path: Path, runs: list[dict]) -> list[list[dict]]:
    """Train by `accelerate launch` in processes that talk through gloo; what each found in each run."""
    script = tmp_path / "train.py"
    script.write_text(TEAM.format(tests=str(Path(__file__).parents[1]), runs=runs, out=str(tmp_path)), encoding="utf-8")
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    flags = ["--multi_gpu", "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0"]
    launch = [sys.executable, "-m", "accelerate.commands.launch", *flags, f"--num_processes={count}", str(script)]
    done = subprocess.run(launch, env=env, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(count)]


@pytest.mark.slow
@pytest.mark.timeout(900)  # two more processes import torch: minutes on a busy machine
def test_two_processes_train_as_one(store, parts, tmp_path) -> None:
    """SupCon, queue and two views see the whole batch: without dropout and BatchNorm the loss curve is one process' own."""
    options = EXACT | QUEUED | dict(modalities=("words", "bert"), out=str(tmp_path / "run"))
    first, second = in_processes(2, tmp_path, [options, {"epochs": 4, "lr": 1e-2}])
    assert first == second and first[0]["size"] == 2
    first, with_chance = first
    # With dropout and BatchNorm, whose draws and batches are another, the processes still agree, and learn.
    assert with_chance["history"]["loss"][-1] < with_chance["history"]["loss"][0]
    alone = train(store, parts, **options | {"out": None})
    for name, curve in first["history"].items():
        np.testing.assert_allclose(curve, alone.history[name], rtol=1e-3, atol=1e-5, err_msg=name)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["run.safetensors"]
    assert Run.load(tmp_path / "run", store).predict(parts["test"]).scores() == alone.predict(parts["test"]).scores()


@pytest.fixture
def spoken(tmp_path, monkeypatch) -> dict:
    """A few real clips of VCEMO-Sim, features in a cache of their own."""
    from vcemo_lib.corpora import load_corpus, splits

    monkeypatch.setenv("VCEMO_CACHE", str(tmp_path / "cache"))
    return {name: part.subset(part.ids[:n], name) for (name, part), n in zip(splits.given(load_corpus("sim")).items(), (8, 3, 3), strict=True)}


def test_augmentation_draws_versions_of_training_clips_and_of_no_others(spoken, tmp_path, monkeypatch) -> None:
    from vcemo_lib import features

    heard = []
    augment = augmentation.augment
    monkeypatch.setattr(augmentation, "augment", lambda wave, rng: heard.append(len(wave)) or augment(wave, rng))
    stores = {name: features.compute(part, ("mel",), progress=False) for name, part in spoken.items()}

    class Both:
        """One store of all parts."""

        def width(self, kind):
            return 80

        def batch(self, ids, kinds):
            return next(s for n, s in stores.items() if ids[0] in spoken[n].ids).batch(ids, kinds)

    settings = tiny(modalities=("audio",), augment=2, batch_size=4, epochs=2)
    run = fit(build("vcemo", settings), Both(), spoken, progress=False)
    assert len(heard) == 2 * 8, "two versions of each training clip, of nothing else"
    assert np.isfinite(run.history.to_numpy()).all()
    again = fit(build("vcemo", settings), Both(), spoken, progress=False)
    assert len(heard) == 2 * 8 and same_weights(run, again), "versions are kept, and drawn by the seed"
    plain = fit(build("vcemo", settings), Both(), spoken, settings=settings.but(augment=0), progress=False)
    assert not same_weights(run, plain)
    made = features.compute(spoken["train"], ("mel",), progress=False, augmented=1)
    for part in ("val", "test"):
        with pytest.raises(VcemoError, match="no mel features"):
            made.batch(spoken[part].ids[:1])


def test_versions_are_drawn_evenly_and_padded_as_they_are(spoken) -> None:
    from vcemo_lib import features

    part = spoken["train"]
    each = [gather(features.compute(part, ("mel",), progress=False), part, ["mel"]), *augmented(part, 2, progress=False)]
    pool, seen = AugmentedDataset.of(each), set()
    for seed in range(12):
        drawn = pool.draw(np.random.default_rng(seed))
        batch = drawn.batch(np.arange(len(part)))
        for i in range(len(part)):
            clips = [one.batch(np.array([i])).mel[0] for one in each]
            (which,) = [k for k, clip in enumerate(clips) if len(clip) == batch.mel_len[i] and clip.equal(batch.mel[i, : len(clip)])]
            seen.add((i, which))
            assert not batch.mel[i, len(clips[which]) :].any()
    assert len(seen) > 0.8 * 3 * len(part)
    assert not any(each[0].batch(np.array([i])).mel.equal(each[1].batch(np.array([i])).mel) for i in range(len(part)))


def test_augmentation_refuses_what_it_would_confuse(store, parts) -> None:
    with pytest.raises(VcemoError, match="does not fit"):
        train(store, parts, augment=1, modalities=("words",))
