"""Features: made once, found again, remade when what they are made of changes, whole after a kill."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from vcemo_lib import VcemoError, audio, features
from vcemo_lib.corpora import Corpus


def corpus_of(root: Path, count: int, texts: list[str] | None = None) -> Corpus:
    """`count` short clips of noise with words."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(count):
        soundfile.write(root / f"{i}.wav", 0.1 * rng.normal(size=3200 + 160 * i), 16_000, subtype="PCM_16")
        rows.append((f"u{i}", f"{i}.wav", (texts or ["你好", "今天天气不错", ""])[i % 3], "happy", "s1"))
    return Corpus(
        "toy",
        root,
        pd.DataFrame(rows, columns=["utt_id", "audio", "text", "emotion", "speaker"]).set_index("utt_id"),
    )


def files(cache: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(cache)): p.read_bytes()
        for p in sorted(cache.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


def test_arrays_are_right_and_batches_padded(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, 5)
    store = features.compute(corpus, ("mel", "words"), cache=tmp_path / "cache", progress=False)
    direct = audio.log_mel(audio.load(corpus.path("u3")))
    assert np.abs(store.get("mel", "u3").astype(np.float32) - direct).max() < 0.01
    assert store.get("words", "u2").shape == (0, 300) and store.width("mel") == 80
    batch = store.batch(["u0", "u4", "u2"])
    assert batch.mel.shape == (3, 1 + (3200 + 640) // 160, 80) and batch.words_len.tolist()[2] == 0
    made = store.describe()["kinds"]
    assert made["words"]["settings"] == {"vectors": "bundled"} and str(tmp_path) not in str(made)


def test_a_second_run_computes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = corpus_of(tmp_path, 4)
    features.compute(corpus, ("mel",), cache=tmp_path / "cache", progress=False)
    before = files(tmp_path / "cache")
    monkeypatch.setattr(audio, "log_mels", lambda waves: pytest.fail("computed again"))
    features.compute(corpus, ("mel",), cache=tmp_path / "cache", progress=False)
    assert files(tmp_path / "cache") == before


def test_only_what_changed_is_remade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = corpus_of(tmp_path, 6)
    features.compute(corpus, ("mel", "words"), cache=tmp_path / "cache", progress=False)
    soundfile.write(corpus.path("u2"), np.zeros(4000), 16_000)
    made: list[int] = []
    real = audio.log_mels
    monkeypatch.setattr(audio, "log_mels", lambda waves: made.append(len(waves)) or real(waves))
    store = features.compute(corpus, ("mel", "words"), cache=tmp_path / "cache", progress=False)
    assert made == [1] and len(store.get("mel", "u2")) == 26
    other = features.cache_of("mel", {"augmented": 2}, tmp_path / "cache").folder
    assert other != features.cache_of("mel", {"augmented": 3}, tmp_path / "cache").folder


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_features import corpus_of
from vcemo_lib import audio, features
features.BATCH = 4
real = audio.log_mels
def slow(waves):
    time.sleep(0.3)
    return real(waves)
audio.log_mels = slow
features.compute(corpus_of(Path({root!r}), 40), ("mel",), cache=Path({cache!r}), progress=False)
"""


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = corpus_of(tmp_path, 40)
    monkeypatch.setattr(features, "BATCH", 4)
    features.compute(corpus, ("mel",), cache=tmp_path / "whole", progress=False)
    cut = tmp_path / "cut"
    code = KILLED.format(tests=str(Path(__file__).parent), root=str(tmp_path), cache=str(cut))
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parent.parent)
    deadline, done = time.time() + 60, 0
    while time.time() < deadline and done < 2:
        time.sleep(0.05)
        done = len(list(cut.rglob("*.safetensors")))
    os.kill(process.pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()
    whole = sorted(cut.rglob("*.safetensors"))
    assert 2 <= len(whole) < 10
    whole[0].with_name("half.tmp").write_bytes(whole[0].read_bytes()[:99])  # of a kill while writing
    features.compute(corpus, ("mel",), cache=cut, progress=False)
    assert files(cut) == files(tmp_path / "whole")


def test_mistakes_are_told(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, 2)
    with pytest.raises(VcemoError, match="unknown kind of feature 'mfcc'"):
        features.compute(corpus, ("mfcc",), cache=tmp_path / "c")
    with pytest.raises(VcemoError, match="unknown setting"):
        features.compute(corpus, ("mel",), cache=tmp_path / "c", mels=40)
    store = features.compute(corpus, ("mel",), cache=tmp_path / "c", progress=False)
    with pytest.raises(VcemoError, match="no mel features of 'u9'"):
        store.get("mel", "u9")
    with pytest.raises(VcemoError, match="holds no 'bert'"):
        store.width("bert")
    corpus.path("u1").write_bytes(b"not a sound")
    with pytest.raises(VcemoError, match="1.wav"):
        features.compute(corpus, ("mel",), cache=tmp_path / "c", progress=False)
    corpus.path("u1").unlink()
    with pytest.raises(VcemoError, match="cannot read the clip of 'u1'"):
        features.compute(corpus, ("mel",), cache=tmp_path / "c", progress=False)


def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = corpus_of(tmp_path, 3)
    features.compute(corpus.subset(["u0"]), ("mel",), cache=tmp_path / "c", progress=False)

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(VcemoError, match="the disk is full.*VCEMO_CACHE"):
        features.compute(corpus, ("mel",), cache=tmp_path / "c", progress=False)
    monkeypatch.undo()
    assert len(features.cache_of("mel", {}, tmp_path / "c").read().places) == 1
    assert (
        len(features.compute(corpus, ("mel",), cache=tmp_path / "c", progress=False).get("mel", "u2")) == 23
    )


def test_segments_of_one_long_file(tmp_path: Path) -> None:
    soundfile.write(
        tmp_path / "long.wav", 0.1 * np.random.default_rng(1).normal(size=32_000), 16_000, subtype="PCM_16"
    )
    rows = [("a", "long.wav", "一", "sad", "s", 0.0, 0.5), ("b", "long.wav", "二", "sad", "s", 0.5, 1.5)]
    table = pd.DataFrame(
        rows, columns=["utt_id", "audio", "text", "emotion", "speaker", "start", "end"]
    ).set_index("utt_id")
    store = features.compute(Corpus("cut", tmp_path, table), ("mel",), cache=tmp_path / "c", progress=False)
    assert len(store.get("mel", "a")) == 51 and len(store.get("mel", "b")) == 101


def test_word_spans_are_of_sound_and_words(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, 3)
    store = features.compute(corpus, ("mel", "words", "word_spans"), cache=tmp_path / "cache", progress=False)
    for utt_id in corpus.ids:
        spans = store.get("word_spans", utt_id)
        assert spans.shape == (len(store.get("words", utt_id)), 2) and (np.diff(spans) >= 1).all()
        assert spans.max(initial=0) <= len(store.get("mel", utt_id))
    before = {u: key for u, key in store.keys["both"].items()}
    corpus.table.loc["u1", "text"] = "昨天下雨了"
    soundfile.write(corpus.path("u0"), np.zeros(4000), 16_000)
    after = features.compute(corpus, ("word_spans",), cache=tmp_path / "cache", progress=False).keys["both"]
    assert [u for u in before if before[u] != after[u]] == ["u0", "u1"]


@pytest.mark.weights
def test_word_spans_by_whisper_lie_near_those_over_the_voice(tmp_path: Path) -> None:
    import vcemo_lib as vc

    few = vc.load_corpus("sim").subset(["s001_03", "s017_01"])
    guess, timed = (
        features.compute(few, ("mel", "word_spans"), cache=tmp_path, progress=False, times=times)
        for times in ("voice", "base")
    )
    for utt_id in few.ids:
        by_voice, by_whisper = (store.get("word_spans", utt_id).astype(float) for store in (guess, timed))
        heard = by_whisper[:, 1] > by_whisper[:, 0]
        assert heard.mean() > 0.5 and by_whisper.max() <= len(guess.get("mel", utt_id)) + 2
        assert np.median(np.abs(by_voice - by_whisper)[heard]) < 30  # frames of 10 ms


def test_the_key_of_spans_by_whisper_names_its_weights_and_the_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "whisper.safetensors"
    monkeypatch.setattr("vcemo_lib.weights.whisper", lambda model: file)

    def folder(kind: str, **settings: object) -> str:
        return features.cache_of(kind, settings, tmp_path).folder.name

    names = []
    for content, version in ((b"a", 5), (b"bc", 5), (b"bc", 6)):
        file.write_bytes(content)
        monkeypatch.setattr(features, "VERSION", version)
        names.append((folder("word_spans", times="base"), folder("whisper")))
    spans, frames = (len(set(column)) for column in zip(*names, strict=True))
    assert (spans, frames) == (3, 2)  # how words are timed does not matter to the encoder's frames


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def test_damage_is_noticed_and_computed_again(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, 4)
    store = features.compute(corpus, ("mel",), cache=tmp_path / "c", progress=False)
    whole = {u: store.get("mel", u).copy() for u in corpus.ids}
    path = next((tmp_path / "c").rglob("*.safetensors"))
    for at in np.linspace(0, path.stat().st_size - 1, 24).astype(int):
        flip(path, int(at))
        store = features.compute(corpus, ("mel",), cache=tmp_path / "c", progress=False)
        for utt_id in corpus.ids:
            np.testing.assert_array_equal(store.get("mel", utt_id), whole[utt_id])


def test_a_cache_that_cannot_be_written_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("a file", encoding="utf-8")
    with pytest.raises(VcemoError, match="could not write.*VCEMO_CACHE"):
        features.compute(corpus_of(tmp_path, 1), ("mel",), cache=tmp_path / "c", progress=False)


def test_the_key_names_the_content_of_the_users_own_vectors(tmp_path: Path) -> None:
    own = tmp_path / "vectors"
    own.mkdir()
    (own / "words.txt").write_text("a", encoding="utf-8")
    before = features.cache_of("words", {"vectors": str(own)}, tmp_path).folder
    (own / "words.txt").write_text("bc", encoding="utf-8")
    assert features.cache_of("words", {"vectors": str(own)}, tmp_path).folder != before


def test_the_recipe_is_all_that_names_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever decides a kind's numbers is in its recipe, and with the recipe the cache changes."""
    from importlib.metadata import version

    from vcemo_lib import augmentation

    monkeypatch.setattr("vcemo_lib.weights.whisper", lambda model: tmp_path / "whisper.safetensors")
    (tmp_path / "whisper.safetensors").write_bytes(b"a")
    chosen = {"augmented": 1, "times": "base"}

    def now() -> dict[str, tuple[str, str]]:
        made = {kind: features.recipe(kind, **chosen) for kind in features.KINDS}
        assert json.loads(json.dumps(made)) == made
        return {
            kind: (str(made[kind]), features.cache_of(kind, chosen, tmp_path).folder.name) for kind in made
        }

    def changed(target: object, name: str, value: object) -> set[str]:
        before = now()
        with monkeypatch.context() as context:
            context.setattr(target, name, value)
            after = now()
        found = {kind for kind in before if before[kind][0] != after[kind][0]}
        assert found == {kind for kind in before if before[kind][1] != after[kind][1]}
        return found

    for name in ("SNR_DB", "STEPS", "STRETCH", "WINDOW", "HOP", "RATE"):
        assert changed(augmentation, name, 3) == {"mel"}
    assert changed(features, "VERSION", 99) == {"word_spans"}
    assert changed(torch.cuda, "is_available", lambda: True) == {"whisper", "word_spans"}  # half precision
    sound, of_words = {"mel", "whisper", "word_spans"}, {"words", "word_spans"}
    for package, kinds in (("torchaudio", sound), ("jieba", of_words)):
        other = {package: "0.0"}
        assert (
            changed(features, "version", lambda name, other=other: other.get(name) or version(name)) == kinds
        )


def test_where_the_users_own_vectors_lie_does_not_matter(tmp_path: Path) -> None:
    for place in ("here", "there"):
        (tmp_path / place / "vectors").mkdir(parents=True)
        (tmp_path / place / "vectors" / "words.txt").write_text("a", encoding="utf-8")
    here, there = (
        features.recipe("words", vectors=str(tmp_path / place / "vectors")) for place in ("here", "there")
    )
    assert here == there and here["settings"] == {"vectors": "vectors"}


def test_a_recording_of_many_utterances_is_read_once_for_their_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = corpus_of(tmp_path, 1)
    table = pd.concat([corpus.table] * 50).assign(start=np.arange(50) / 1000, end=0.15)
    table.index = [f"u{i}" for i in range(50)]
    summed, real = [], hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, how: summed.append(file.name) or real(file, how))
    store = features.compute(Corpus("cut", tmp_path, table), ("mel",), cache=tmp_path / "c", progress=False)
    assert len(set(store.keys["audio"].values())) == 50 and len(summed) == 1
