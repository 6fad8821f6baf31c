"""The bundled recogniser: a clip in, a prediction out, and kind clear lines for what cannot be judged."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import soundfile

import vcemo_lib as vc
from vcemo_lib import VcemoError, audio
from vcemo_lib.course.sweeps import enrolment_curve
from vcemo_lib.predict import EmotionRecognizer


@pytest.fixture(scope="module")
def corpus() -> vc.Corpus:
    return vc.splits.given(vc.load_corpus("sim"))["test"]


def test_it_does_better_than_always_neutral_on_simulated_test_clips(
    recogniser: EmotionRecognizer, corpus: vc.Corpus
) -> None:
    chosen = corpus.subset(corpus.ids[::5])
    answers = recogniser.predict(
        [chosen.path(u) for u in chosen.ids], text=[chosen.text_of(u) for u in chosen.ids]
    )
    right = np.mean([p.emotion == e for p, e in zip(answers, chosen.table["emotion"], strict=True)])
    assert right > (chosen.table["emotion"] == "neutral").mean() + 0.1


def test_path_and_samples_agree_and_a_list_equals_single_clips(
    recogniser: EmotionRecognizer, corpus: vc.Corpus
) -> None:
    paths, lines = [corpus.path(u) for u in corpus.ids[:3]], ["你好", "太好了", ""]
    many = recogniser.predict(paths, text=lines)
    for path, line, expected in zip(paths, lines, many, strict=True):
        again = recogniser.predict(audio.load(path), text=line)
        assert again.emotion == expected.emotion and again.probabilities == pytest.approx(
            expected.probabilities, abs=2e-4
        )
    assert sum(many[0].probabilities.values()) == pytest.approx(1, abs=1e-3)
    assert json.loads(json.dumps(many[0].as_dict()))["transcript"] == "你好"


def test_muting_changes_the_answer_and_must_name_a_modality(
    recogniser: EmotionRecognizer, corpus: vc.Corpus
) -> None:
    path = corpus.path(corpus.ids[0])
    whole = recogniser.predict(path, text="气死我了").probabilities
    for modality in recogniser.run.settings.modalities:
        muted = recogniser.predict(path, text="气死我了", mute=[modality]).probabilities
        assert muted != whole and np.isfinite(list(muted.values())).all()
    with pytest.raises(VcemoError, match="no modality video"):
        recogniser.predict(path, text="", mute=["video"])


def test_muted_is_what_training_taught_and_what_an_empty_transcript_is(
    recogniser: EmotionRecognizer, corpus: vc.Corpus
) -> None:
    path, model = corpus.path(corpus.ids[0]), recogniser.run.model
    empty = recogniser.predict(path, text="").probabilities
    for modality in recogniser.modalities:
        muted = recogniser.predict(path, text="气死我了", mute=[modality]).probabilities
        zero = [model.branches[modality].register_forward_hook(lambda _, given, out: (out[0] * 0, out[1]))]
        if modality == "audio":
            zero.append(model.statistics.register_forward_hook(lambda _, given, out: out * 0))
        found = recogniser.predict(path, text="气死我了").probabilities
        [hook.remove() for hook in zero]
        assert muted == found
    assert empty == recogniser.predict(path, text="", mute=["words", "bert"]).probabilities
    assert empty == recogniser.predict(path, text=" ", mute=["words"]).probabilities


def test_what_cannot_be_judged_is_told(recogniser: EmotionRecognizer, tmp_path: Path) -> None:
    with pytest.raises(VcemoError, match="lasts 0.10 s"):
        recogniser.predict(np.full(1600, 0.1, np.float32), text="")
    with pytest.raises(VcemoError, match="silent"):
        recogniser.predict(np.zeros(16_000, np.float32), text="")
    clipped = np.sign(np.sin(np.arange(16_000) / 20)).astype(np.float32)
    assert "clipped" in recogniser.predict(clipped, text="").warnings[0]
    with pytest.raises(VcemoError):
        EmotionRecognizer.load(tmp_path)
    with pytest.raises(VcemoError, match="1 texts for 2 clips"):
        recogniser.predict([clipped, clipped], text=["你好"])


def test_arrays_as_recorders_give_them(recogniser: EmotionRecognizer) -> None:
    """Integers, stereo and far too long a clip are understood, refused or warned about."""
    rng = np.random.default_rng(0)
    wave = (0.2 * np.sin(np.arange(32_000) / 20) + 0.01 * rng.standard_normal(32_000)).astype(np.float32)
    whole = recogniser.predict(wave, text="你好").probabilities
    for same in ((wave * 32_768).astype(np.int16), np.stack([wave, wave], axis=1)):
        assert recogniser.predict(same, text="你好").probabilities == pytest.approx(whole, abs=0.01)
    with pytest.raises(VcemoError, match=r"shape \(2, 32000\)"):
        recogniser.predict(np.stack([wave, wave]), text="你好")
    with pytest.raises(VcemoError, match="lasts 180 s.*cut it"):
        recogniser.predict(np.tile(wave, 90), text="你好")
    assert "lasts 24 s" in recogniser.predict(np.tile(wave, 12), text="你好").warnings[0]


def test_what_is_no_number_is_no_answer(
    recogniser: EmotionRecognizer, corpus: vc.Corpus, tmp_path: Path
) -> None:
    """Samples near 1e20 (one flipped bit of a float file), and weights that are not finite."""
    wave = 0.1 * np.sin(np.arange(16_000) / 20)
    wave[8_000:8_400] = 1e20
    soundfile.write(tmp_path / "flipped.wav", wave, 16_000, subtype="FLOAT")
    with pytest.raises(VcemoError):
        recogniser.predict(tmp_path / "flipped.wav", text="你好")
    overall = recogniser.run.scaler.overall
    features = recogniser.scaled(
        {kind: [np.full((20, len(mean)), np.nan)] for kind, (mean, _) in overall.items()}
    )
    with pytest.raises(VcemoError, match="answer is not a number"):
        recogniser.judge(features, [0])
    damaged = copy.deepcopy(recogniser.run)
    next(damaged.model.parameters()).data.view(-1)[0] = np.inf
    with pytest.raises(VcemoError, match="weights are not all finite"):
        EmotionRecognizer(damaged)


def test_it_saves_and_loads(recogniser: EmotionRecognizer, corpus: vc.Corpus, tmp_path: Path) -> None:
    recogniser.run.save(tmp_path)
    again = EmotionRecognizer.load(tmp_path)
    clip = corpus.path(corpus.ids[7])
    assert (
        again.predict(clip, text="好的").probabilities == recogniser.predict(clip, text="好的").probabilities
    )


def own_words(corpus: vc.Corpus, ids: list[str]) -> tuple[list[Path], list[str]]:
    return [corpus.path(u) for u in ids], [corpus.text_of(u) for u in ids]


@pytest.fixture(scope="module")
def few(corpus: vc.Corpus) -> vc.Corpus:
    """Five clips of each of four test speakers."""
    speakers = corpus.table["speaker"].unique()[:4]
    table = corpus.table[corpus.table["speaker"].isin(speakers)]
    return corpus.subset(table.groupby("speaker").head(5).index)


@pytest.fixture(scope="module")
def by_voice(few: vc.Corpus) -> vc.training.Run:
    """A run trained on voices measured against themselves."""
    settings = vc.models.tutorial(6, modalities=("audio",), acoustic="mel", epochs=1, speaker_norm=True)
    part = few.subset(few.ids[:10])
    store = vc.features.compute(few, ("mel",), progress=False)
    model = vc.models.build("vcemo", settings, seed=0)
    return vc.training.fit(model, store, {"train": part, "val": part}, progress=False)


def test_a_prediction_depends_on_no_earlier_one(by_voice: vc.training.Run, few: vc.Corpus) -> None:
    """One clip of each stranger, judged first, does not decide how they are scaled from then on."""
    strangers = few.subset(few.ids[10:])
    before = by_voice.predict(strangers).probabilities
    by_voice.predict(strangers.subset(strangers.ids[::5]))
    np.testing.assert_array_equal(by_voice.predict(strangers).probabilities, before)


def test_a_stranger_is_scaled_as_the_training_part_until_enrolled(
    by_voice: vc.training.Run, few: vc.Corpus
) -> None:
    """A model trained by speaker says that it wants other clips, and uses them where they are."""
    recogniser, ids = EmotionRecognizer(by_voice), few.ids[10:15]
    paths, lines = own_words(few, ids)
    alone = recogniser.predict(paths[0], text=lines[0])
    assert "enrol" in alone.warnings[0]
    known = recogniser.predict(paths[0], text=lines[0], enrol=paths[1:])
    assert not known.warnings and known.probabilities != alone.probabilities
    assert recogniser.predict(paths[0], text=lines[0]).probabilities == alone.probabilities
    own = recogniser.enrolled(paths[1:])
    part = own.scaled(own.arrays([audio.load(paths[0])], lines[:1]))
    mean, deviation = (m.half() for m in own.scaler.by_speaker[""]["mel"])
    raw = vc.features.mel([audio.load(paths[0])])[0]
    np.testing.assert_allclose(
        part.sequences["mel"].rows[:-1], (raw - mean.numpy()) / deviation.numpy(), atol=0.05
    )


def test_the_enrolment_curve_judges_the_same_clips_at_every_point(
    recogniser: EmotionRecognizer, few: vc.Corpus
) -> None:
    run, store = recogniser.run, vc.features.compute(few, ("mel", "words", "bert"), progress=False)
    curve = enrolment_curve(run, few, store, counts=(0, 2, 4, 20), seed=1)
    assert curve.loc[4].equals(curve.loc[20])  # there are four others
    assert (curve["speakers"] == 4).all() and not curve.loc[0].equals(curve.loc[4])
    again = enrolment_curve(run, few, store, counts=(2,), seed=1)
    assert again.loc[2].equals(curve.loc[2])
    lone = few.subset(few.ids[::5])  # one clip of each: nothing to enrol by, and never by itself
    flat = enrolment_curve(run, lone, store, counts=(0, 1))
    assert flat.loc[0].equals(flat.loc[1])
    paths, lines = own_words(few, few.ids)
    truth = few.table["emotion"].tolist()
    right = [a.emotion == e for a, e in zip(recogniser.predict(paths, text=lines), truth, strict=True)]
    assert curve.loc[(0, "wa"), "value"] == pytest.approx(np.mean(right))
    for i, path in enumerate(paths):  # at the last point, by the four others of the same speaker
        others = [p for j, p in enumerate(paths) if j // 5 == i // 5 and j != i]
        right[i] = recogniser.predict(path, text=lines[i], enrol=others).emotion == truth[i]
    assert curve.loc[(4, "wa"), "value"] == pytest.approx(np.mean(right))


def test_a_model_that_reads_where_words_lie_is_told(few: vc.Corpus) -> None:
    """CME in the recogniser hears what it heard in training."""
    settings = vc.models.settings_for("cme", classes=6, epochs=1, speaker_norm=False)
    store = vc.features.compute(few, ("mel", "words", "word_spans"), progress=False)
    run = vc.training.fit(
        vc.models.build("cme", settings, seed=0), store, {"train": few, "val": few}, progress=False
    )
    expected = run.predict(few).probabilities
    recogniser, (paths, lines) = EmotionRecognizer(run), own_words(few, few.ids)
    answers = recogniser.predict(paths, text=lines)
    found = [list(answer.probabilities.values()) for answer in answers]
    np.testing.assert_allclose(found, expected, atol=2e-3)
    muted = recogniser.predict(paths[0], text=lines[0], mute=["words"]).probabilities
    assert np.isfinite(list(muted.values())).all() and muted != answers[0].probabilities


@pytest.mark.weights
def test_a_model_of_both_acoustic_features_is_fitted_saved_and_asked(
    corpus: vc.Corpus, tmp_path: Path
) -> None:
    few = corpus.subset(corpus.ids[:24])
    store = vc.features.compute(few, kinds=("mel", "whisper"), progress=False)
    settings = vc.models.tutorial(6, modalities=("audio",), acoustic="both", epochs=1, augment=0)
    run = vc.training.fit(
        vc.models.build("vcemo", settings), store, {"train": few, "val": few}, progress=False
    )
    recogniser = EmotionRecognizer(run)
    recogniser.run.save(tmp_path)
    clip = few.path(few.ids[0])
    answer = recogniser.predict(clip, text="")
    assert EmotionRecognizer.load(tmp_path).predict(clip, text="").probabilities == answer.probabilities
    muted = recogniser.predict(clip, text="", mute=["audio"]).probabilities
    assert muted != answer.probabilities and np.isfinite(list(muted.values())).all()


@pytest.mark.weights
def test_it_listens_for_the_words_itself(recogniser: EmotionRecognizer, corpus: vc.Corpus) -> None:
    sad = corpus.table[
        (corpus.table["emotion"] == "sad") & (corpus.table["seconds"].astype(float) > 2.5)
    ].index[0]
    answer = recogniser.predict(corpus.path(sad))
    assert any("\u4e00" <= c <= "\u9fff" for c in answer.transcript) and answer.words[0].start >= 0


# ---- the hub: its client's real code against a little hub on this machine


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """A hub that serves {path: content} over HTTP on this machine."""
    from huggingface_hub import constants

    kept, commit = dict[str, bytes](), "0" * 40

    class Hub(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def answer(self, content: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            headers |= {"Content-Length": str(len(content)), "X-Repo-Commit": commit}
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def do_GET(self) -> None:
            if self.path == "/":
                self.answer(b"a hub")
            elif (path := self.path.replace(commit, "main")) in kept:
                content = kept[path]
                self.answer(content, ETag=f'"{hashlib.sha1(content).hexdigest()}"')
            elif "/api/models/somebody/ser" in self.path:
                files = [
                    {"type": "file", "rfilename": name, "path": name, "size": len(content), "oid": commit}
                    for name, content in ((path.split("/resolve/main/")[1], kept[path]) for path in kept)
                ]
                about = files if "/tree/" in self.path else {"id": "somebody/ser", "sha": commit}
                self.answer(json.dumps(about).encode())
            else:
                self.answer(b"{}", 404, X_Error_Code="RepoNotFound", X_Error_Message="Repository Not Found")

        do_HEAD = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setattr(constants, "ENDPOINT", address)  # the client read the variable when it was imported
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)
    monkeypatch.setenv("HF_TOKEN", "hf_nobody")
    monkeypatch.delenv("VCEMO_OFFLINE", raising=False)
    yield kept
    server.shutdown()


def test_a_recogniser_comes_from_the_hub(
    recogniser: EmotionRecognizer, corpus: vc.Corpus, hub: dict[str, bytes], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    hub["/somebody/ser/resolve/main/run.safetensors"] = recogniser.run.save(tmp_path).read_bytes()
    clip = corpus.path(corpus.ids[3])
    expected = recogniser.predict(clip, text="好的").probabilities
    assert EmotionRecognizer.load("somebody/ser").predict(clip, text="好的").probabilities == expected
    monkeypatch.setenv("VCEMO_OFFLINE", "1")  # it is in the client's cache by now
    assert EmotionRecognizer.load("somebody/ser").predict(clip, text="好的").probabilities == expected


def test_what_the_hub_does_not_have_is_told(hub: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        VcemoError, match="could not get nobody/nothing from the hub, RepositoryNotFoundError"
    ):
        EmotionRecognizer.load("nobody/nothing")
    monkeypatch.setenv("VCEMO_OFFLINE", "1")
    with pytest.raises(VcemoError, match="VCEMO_OFFLINE is set"):
        EmotionRecognizer.load("nobody/nothing")
