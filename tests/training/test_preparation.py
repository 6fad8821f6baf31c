"""From a feature store to what the loop trains on."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import synthetic
import torch
from tiny_training import NO_DROPOUT, N, same_weights, tiny, train

from vcemo_lib import augmentation
from vcemo_lib.array_cache import ArrayCache
from vcemo_lib.errors import VcemoError
from vcemo_lib.features import FeatureStore
from vcemo_lib.loading import Scaler, gather
from vcemo_lib.models import build
from vcemo_lib.training import Learner, fit
from vcemo_lib.training.loop import prepare, read_parts


def test_mistakes_are_told(store, parts, tmp_path) -> None:
    with pytest.raises(VcemoError, match="4 emotions"):
        train(store, parts, classes=4)
    with pytest.raises(VcemoError, match="16 wide"):
        train(store, parts, bert_width=8)
    with pytest.raises(VcemoError, match="this store holds no 'whisper'.*compute it with"):
        caches = {kind: ArrayCache(tmp_path / kind) for kind in ("mel", "words")}
        lacking = FeatureStore(caches, {}, {}, "gold")
        caches["mel"].width, caches["words"].width = 80, 300
        train(lacking, parts, acoustic="both", modalities=("audio", "words"))
    with pytest.raises(VcemoError, match="no val part"):
        train(store, {"train": parts["train"]})


def test_features_that_are_not_finite_name_their_utterance(parts) -> None:
    store = synthetic.Store(synthetic.corpus(N))
    store.features["mel"]["utt003"][4, 7] = np.nan
    with pytest.raises(VcemoError, match="utt003"):
        train(store, parts)


@pytest.mark.parametrize("acoustic", ["mel", "both"])
def test_averaging_frames_once_changes_nothing(store, parts, acoustic: str) -> None:
    """A model computes from frames averaged once what it computes from every frame."""
    model, twin = (build("vcemo", tiny(**NO_DROPOUT, acoustic=acoustic)) for _ in range(2))
    features = read_parts(model, store, parts)
    scaler = Scaler.fit(features, per_speaker=True)
    train, val = prepare(model, parts["train"], features, scaler, progress=False)
    features = {name: scaler.apply(features[name]) for name in ("train", "val")}
    assert train.pooled and train.sequences["mel"].rows.shape[1] == 40 and len(val) == len(parts["val"])
    index = np.arange(0, 32, 3)
    for training_mode in (True, False):
        there, here = (
            m.train(training_mode)(part.batch(index))
            for m, part in ((model, features["train"]), (twin, train))
        )
        torch.testing.assert_close(here.logits, there.logits)
    a, b = Learner(model, model.settings), Learner(twin, model.settings)
    for learner, part in ((a, features["train"]), (b, train)):
        learner.step(part.batch(index))
    for ours, theirs in zip(twin.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(900)  # a compiler at work: minutes on a busy machine
@pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++"))), reason="torch.compile needs a C++ compiler here"
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")
def test_compiled_layers_learn_the_same(store, parts) -> None:
    still = tiny(dropout=0.0, text_dropout=0.0, modality_dropout=0.0)
    plain, compiled = (Learner(build("vcemo", still, seed=0), still) for _ in range(2))
    compiled.compile_attention()
    features = read_parts(plain.model, store, parts)["train"]
    for index in features.plan(8):
        ours, theirs = (learner.step(features.batch(index)) for learner in (compiled, plain))
        torch.testing.assert_close(ours["loss"], theirs["loss"], rtol=1e-3, atol=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"]  # something was compiled indeed


def test_batches_are_random_and_complete(store, parts) -> None:
    features = gather(store, parts["train"], ["mel"])
    for rng in (np.random.default_rng(0), None):
        plan = list(features.plan(5, rng))
        assert sorted(np.concatenate(plan)) == list(range(len(features)))
        assert {len(b) for b in plan} <= {4, 5}


def test_gathered_batches_are_the_stores(store, parts) -> None:
    features = gather(store, parts["val"], ["mel", "words"])
    index = np.array([2, 0, 5])
    ours, theirs = features.batch(index), store.batch([parts["val"].ids[i] for i in index], ["mel", "words"])
    assert ours.ids == theirs.ids and ours.labels.tolist() == parts["val"].y()[index].tolist()
    for kind in ("mel", "words"):
        torch.testing.assert_close(
            getattr(ours, kind), getattr(theirs, kind), rtol=1e-3, atol=1e-3
        )  # float16
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
    assert (
        scaled["val"].sequences["words"].rows.float().mean(0).abs().max() > 0.05
    )  # its own statistics were not used


@pytest.fixture
def spoken(tmp_path, monkeypatch) -> dict:
    """A few real clips of VCEMO-Sim, features in a cache of their own."""
    from vcemo_lib.corpora import load_corpus, splits

    monkeypatch.setenv("VCEMO_CACHE", str(tmp_path / "cache"))
    return {
        name: part.subset(part.ids[:n], name)
        for (name, part), n in zip(splits.given(load_corpus("sim")).items(), (8, 3, 3), strict=True)
    }


def test_augmentation_draws_versions_of_training_clips_and_of_no_others(
    spoken, tmp_path, monkeypatch
) -> None:
    from vcemo_lib import features

    heard = []
    augment = augmentation.augment
    monkeypatch.setattr(
        augmentation, "augment", lambda wave, rng: heard.append(len(wave)) or augment(wave, rng)
    )
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
    plain = fit(build("vcemo", settings.but(augment=0)), Both(), spoken, progress=False)
    assert not same_weights(run, plain)
    made = features.compute(spoken["train"], ("mel",), progress=False, augmented=1)
    for part in ("val", "test"):
        with pytest.raises(VcemoError, match="no mel features"):
            made.batch(spoken[part].ids[:1])


def test_mixed_scaling_knows_a_speaker_by_none_a_few_or_all_clips(store, parts) -> None:
    """What one model for strangers and known voices meets in training; in validation it meets strangers."""
    model = build("vcemo", tiny(**NO_DROPOUT, acoustic="whisper", speaker_norm="mixed", audio_pool=(1, 1)))
    features = read_parts(model, store, parts)
    assert set(features) == {"train", "val"}, "no other part's clips are used"
    scaler = Scaler.fit(features, per_speaker=False)
    train, val = prepare(model, parts["train"], features, scaler, progress=False)
    strangers, known = scaler.apply(features["train"]), Scaler.fit(features, per_speaker=True)
    assert torch.equal(val.sequences["whisper"].rows, scaler.apply(features["val"]).sequences["whisper"].rows)
    rows, count = train.versions["whisper"].rows, len(features["train"].sequences["whisper"].rows) - 1
    assert len(rows) == 4 * count + 1, "none, 2, 10 and all clips of the speaker"
    assert torch.equal(rows[:count], strangers.sequences["whisper"].rows[:-1])
    by_all = known.apply(features["train"]).sequences["whisper"].rows[:-1].float()
    off = [(rows[i * count : (i + 1) * count].float() - by_all).abs().mean() for i in range(4)]
    assert off[3] <= off[2] < off[0] and off[3] < 0.7 * off[0], off
    drawn = [train.draw(np.random.default_rng(seed)).sequences["whisper"].starts for seed in (0, 1)]
    assert not torch.equal(*drawn)


def test_versions_are_drawn_evenly_and_padded_as_they_are(spoken) -> None:
    from vcemo_lib import features

    part = spoken["train"]
    clean = gather(features.compute(part, ("mel",), progress=False), part, ["mel"])
    altered = (features.compute(part, ("mel",), progress=False, augmented=i) for i in (1, 2))
    each = [clean, *(gather(store, part, ["mel"]) for store in altered)]
    pool, seen = clean.with_versions(each[1:]), set()
    for seed in range(12):
        drawn = pool.draw(np.random.default_rng(seed))
        batch = drawn.batch(np.arange(len(part)))
        for i in range(len(part)):
            clips = [one.batch(np.array([i])).mel[0] for one in each]
            (which,) = [
                k
                for k, clip in enumerate(clips)
                if len(clip) == batch.mel_len[i] and clip.equal(batch.mel[i, : len(clip)])
            ]
            seen.add((i, which))
            assert not batch.mel[i, len(clips[which]) :].any()
    assert len(seen) > 0.8 * 3 * len(part)
    assert not any(
        each[0].batch(np.array([i])).mel.equal(each[1].batch(np.array([i])).mel) for i in range(len(part))
    )


def test_augmentation_refuses_what_it_would_confuse(store, parts) -> None:
    with pytest.raises(VcemoError, match="does not fit"):
        train(store, parts, augment=1, modalities=("words",))
