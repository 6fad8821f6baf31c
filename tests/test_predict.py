"""The bundled recogniser: a clip in, a prediction out, and kind clear lines for what cannot be judged."""

from __future__ import annotations

import base64
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
        zero = model.branches[modality].register_forward_hook(lambda _, given, out: (out[0] * 0, out[1]))
        assert muted == recogniser.predict(path, text="气死我了").probabilities
        zero.remove()
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
    recogniser.save(tmp_path)
    again = EmotionRecognizer.load(tmp_path)
    clip = corpus.path(corpus.ids[7])
    assert (
        again.predict(clip, text="好的").probabilities == recogniser.predict(clip, text="好的").probabilities
    )


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
    recogniser.save(tmp_path)
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
    """A hub that keeps what is pushed, {path: content}, and gives it back, over HTTP on this machine."""
    from huggingface_hub import constants

    kept: dict[str, bytes] = {}
    commit = "0" * 40

    class Hub(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def answer(self, content: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            for name, value in {
                "Content-Length": str(len(content)),
                "X-Repo-Commit": commit,
                **headers,
            }.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.endswith("/api/repos/create"):
                name = "somebody/" + json.loads(body)["name"]
                self.answer(json.dumps({"url": f"{constants.ENDPOINT}/{name}", "name": name}).encode())
            elif "/preupload/" in self.path:
                files = [
                    {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for f in json.loads(body)["files"]
                ]
                self.answer(json.dumps({"files": files}).encode())
            elif "/commit/" in self.path:
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        repository = self.path.split("/api/models/")[1].split("/commit/")[0]
                        kept[f"/{repository}/resolve/main/{line['value']['path']}"] = base64.b64decode(
                            line["value"]["content"]
                        )
                self.answer(
                    json.dumps(
                        {
                            "success": True,
                            "commitUrl": f"{constants.ENDPOINT}/{repository}/commit/{commit}",
                            "commitOid": commit,
                        }
                    ).encode()
                )
            else:
                self.answer(b"{}", 404)

        def do_GET(self) -> None:
            if self.path == "/":
                self.answer(b"a hub")
            elif self.path in kept:
                content = kept[self.path]
                self.answer(content, ETag=f'"{hashlib.sha1(content).hexdigest()}"')
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


def test_a_recogniser_goes_to_the_hub_and_comes_back(
    recogniser: EmotionRecognizer, corpus: vc.Corpus, hub: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = recogniser.push_to_hub("somebody/ser")
    assert "/commit/" in address and list(hub) == ["/somebody/ser/resolve/main/run.safetensors"]
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
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(VcemoError, match="out of reach"):
        EmotionRecognizer.load("nobody/nothing")
    monkeypatch.setenv("VCEMO_OFFLINE", "1")
    with pytest.raises(VcemoError, match="VCEMO_OFFLINE is set"):
        EmotionRecognizer.load("nobody/nothing")
