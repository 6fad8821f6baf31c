"""Transcripts: nothing heard in noise, loops heard again, what is kept is kept, long recordings too."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import vcemo_lib as vc
from vcemo_lib import VcemoError, asr, audio
from vcemo_lib.asr import MANDARIN_PROMPT, Transcript, Word
from vcemo_lib.asr.decoding import Decoded, tokenizer_of
from vcemo_lib.asr.encoder import FULL_WINDOW
from vcemo_lib.asr.transcribe import (
    EDGE_SECONDS,
    WINDOW_STEP,
    Listener,
    _kept,
    gate,
    window_of,
)
from vcemo_lib.corpora import Corpus

RATE = audio.SAMPLE_RATE
transcribing = sys.modules[Listener.__module__]
HEARD = Transcript("你好", "zh", 0.0, -0.1, -20.0, 1.0)


def test_the_window_depends_on_the_clip_alone_and_holds_it() -> None:
    for seconds in np.linspace(0.05, 28.9, 200):
        assert seconds + EDGE_SECONDS <= window_of(seconds) <= seconds + EDGE_SECONDS + WINDOW_STEP
    assert window_of(29.99) == window_of(30) == 30 and window_of(30.01) == np.inf


def test_the_gate_closes_on_silence_noise_and_echoes_only() -> None:
    heard = Transcript("你好", "zh", no_speech=0.3, avg_logprob=-0.4, peak_db=-10.0, seconds=1.0)
    changed = lambda **change: gate(replace(heard, **change), MANDARIN_PROMPT)  # noqa: E731
    assert changed() == "" and changed(no_speech=0.9) == "" and changed(avg_logprob=-2.0) == ""
    assert changed(peak_db=-70.0) == "silence"
    assert changed(no_speech=0.9, avg_logprob=-1.0) == "no speech"
    assert changed(no_speech=0.9, retried=True) == "no speech"
    assert changed(text=MANDARIN_PROMPT, avg_logprob=-0.6) == "prompt"


def test_a_corpus_gives_the_transcripts_that_ship_with_it(model, corpus: Corpus, own_cache: Path) -> None:
    heard = asr.transcribe(corpus, progress=False)
    assert list(heard.index) == corpus.ids
    same = sum(
        asr.normalise(heard.loc[u, "text"]) == asr.normalise(corpus.text_of(u, "asr")) for u in corpus.ids
    )
    assert same >= len(corpus) - 1, "another processor may round one clip otherwise"
    assert asr.cer([corpus.text_of(u) for u in corpus.ids], heard["text"].tolist()) < 0.4
    assert not heard["retried"].any()


@pytest.mark.weights
def test_beside_silence_it_hears_the_same_sentences(model, corpus: Corpus, own_cache: Path) -> None:
    heard = asr.transcribe(corpus, progress=False, beside_silence=True)
    assert asr.cer([corpus.text_of(u) for u in corpus.ids], heard["text"].tolist()) < 0.4
    assert (heard["gate"] == "").all()


@pytest.mark.slow
@pytest.mark.weights
def test_errors_are_as_many_as_plain_whispers(model, corpus: Corpus) -> None:
    options = dict(language="zh", initial_prompt=asr.MANDARIN_PROMPT, temperature=0.0, fp16=False)
    waves = [audio.load(corpus.path(u)) for u in corpus.ids]
    plain = [model.transcribe(wave, **options)["text"] for wave in waves]
    ours = asr.transcribe(waves, progress=False, cache=False)
    said = [corpus.text_of(u) for u in corpus.ids]
    assert all(one.gate == "" for one in ours)
    assert asr.cer(said, [one.text for one in ours]) <= asr.cer(said, plain) + 0.05, plain


@pytest.mark.weights
def test_a_clip_is_heard_alike_alone_and_in_a_batch(model, corpus: Corpus) -> None:
    paths = [corpus.path(u) for u in corpus.ids[:4]]
    together = asr.transcribe(paths, progress=False, cache=False)
    alone = asr.transcribe(audio.load(paths[2]), progress=False, cache=False)
    assert alone[0].text == together[2].text
    assert alone[0].avg_logprob == pytest.approx(together[2].avg_logprob, abs=1e-3)


@pytest.mark.weights
def test_what_is_kept_is_not_decoded_again(
    model, corpus: Corpus, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [corpus.path(u) for u in corpus.ids[:5]]
    real, calls = Listener.batch, []

    def breaks_off(self, waves):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(len(waves))
        return real(self, waves)

    monkeypatch.setattr(transcribing, "BATCH", 1)
    monkeypatch.setattr(Listener, "batch", breaks_off)
    with pytest.raises(KeyboardInterrupt):
        asr.transcribe(paths, progress=False)
    file = next(own_cache.rglob("*.json"))
    file.write_bytes(file.read_bytes()[:-9])  # damaged: one transcript is heard again
    again: list[int] = []
    monkeypatch.setattr(Listener, "batch", lambda self, waves: again.append(len(waves)) or real(self, waves))
    first = asr.transcribe(paths, progress=False)
    assert sum(again) == 4
    monkeypatch.setattr(Listener, "batch", lambda *_: pytest.fail("decoded again"))
    assert asr.transcribe(paths, progress=False) == first
    waves = [audio.load(path) for path in paths[::-1]]
    assert [one.text for one in asr.transcribe(waves, progress=False)] == [one.text for one in first[::-1]]


def test_a_damaged_byte_costs_one_transcript_or_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    whole = json.dumps(asdict(replace(HEARD, words=(Word("你", 0.1, 0.2, 0.5),)))).encode()
    for at in range(len(whole)):
        file.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
        assert _kept(file) is None
    file.write_bytes(whole)
    assert _kept(file) == replace(HEARD, words=(Word("你", 0.1, 0.2, 0.5),)) and _kept(tmp_path / "b") is None


@pytest.mark.weights
def test_a_read_only_cache_that_holds_everything_is_read(
    model, corpus: Corpus, own_cache: Path, monkeypatch
) -> None:
    path = corpus.path(corpus.ids[0])
    first = asr.transcribe(path, progress=False)

    def read_only(*arguments, **_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.mkdir", read_only)
    monkeypatch.setattr(Path, "write_bytes", read_only)
    assert asr.transcribe(path, progress=False) == first
    with pytest.raises(VcemoError, match="could not write: Permission denied.*VCEMO_CACHE"):
        asr.transcribe(corpus.path(corpus.ids[1]), progress=False)


@pytest.mark.weights
def test_a_loop_is_decoded_again_in_the_full_window(model, monkeypatch: pytest.MonkeyPatch) -> None:
    windows, stubborn = [], [False]
    good = tokenizer_of(model, "zh").encode("今天天气真好")

    def greedy(model, tokenizer, encoded, *rest):
        windows.append(encoded.shape[1] / 50)
        loop = windows[-1] < FULL_WINDOW or stubborn[0]
        return [Decoded(good * 6 if loop else list(good), 0.1, -0.2, unfinished=loop) for _ in encoded]

    monkeypatch.setattr(transcribing, "greedy", greedy)
    wave = 0.1 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    for stubborn[0] in (False, True):  # and when even that loops, the loop is cut
        one = asr.transcribe([wave], word_times=True, progress=False, cache=False)[0]
        assert one.text == "今天天气真好" and one.retried
        assert "".join(word.text for word in one.words) == one.text, (
            "the words are those of the text that is left"
        )
    assert windows == [1.5, 30.0, 1.5, 30.0]


@pytest.mark.weights
def test_mistakes_are_told(model, tmp_path: Path) -> None:
    with pytest.raises(VcemoError, match="no such audio file"):
        asr.transcribe([tmp_path / "none.wav"], progress=False)
    (tmp_path / "bad.wav").write_bytes(b"not a sound")
    with pytest.raises(VcemoError, match="cannot be read"):
        asr.transcribe([tmp_path / "bad.wav"], progress=False, cache=False)
    with pytest.raises(VcemoError, match="no language 'klingon'"):
        asr.transcribe([np.zeros(RATE, np.float32)], language="klingon", progress=False, cache=False)
    assert asr.transcribe([], progress=False) == []


def nonspeech(seed: int = 0) -> list[np.ndarray]:
    """Silence, noises, tones and music, 1 to 2.5 s each."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(2.2 * RATE)) / RATE

    def colour(seconds: float, slope: float) -> np.ndarray:
        spectrum = np.fft.rfft(rng.standard_normal(int(seconds * RATE)))
        return np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 1) ** (slope / 2))

    def note(hertz: float, seconds: float) -> np.ndarray:
        s = np.arange(int(seconds * RATE)) / RATE
        return sum(np.sin(2 * np.pi * hertz * k * s) / k for k in range(1, 6)) * np.exp(-3 * s)

    scale = 220 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
    waves = [(None, np.zeros(n)) for n in (RATE, 2 * RATE)] + [(-80, colour(2, 0)), (-75, colour(1.5, 1))]
    waves += [
        (level, colour(rng.uniform(1, 2.5), slope)) for slope in (0, 1, 2) for level in (-55, -40, -25, -12)
    ]
    waves += [(-20, np.sin(2 * np.pi * f * t)) for f in (50, 120, 220, 440, 1000, 3000)]
    waves += [(-18, 2 * ((f * t) % 1) - 1) for f in (100, 150, 220)] + [
        (-20, np.sign(np.sin(2 * np.pi * 110 * t)))
    ]
    waves += [(-18, np.sin(2 * np.pi * (a * t + b * t**2))) for a, b in ((200, 400), (3000, -450))]
    waves += [(-18, np.concatenate([note(f, 0.25) for f in rng.choice(scale, 8)])) for _ in range(5)]
    chords = [[sum(note(f * m, 0.5) for m in (1, 1.26, 1.5)) for f in rng.choice(scale, 4)] for _ in range(3)]
    waves += [(-18, np.concatenate(chord)) for chord in chords]
    waves += [(-18, np.sin(2 * np.pi * 330 * t + 8 * np.sin(2 * np.pi * 5.5 * t)))]
    waves += [(-20, colour(2.2, 0) * (0.5 + 0.5 * np.sin(2 * np.pi * r * t)) ** 2) for r in (2, 4, 6)]
    clicks = np.zeros((2, len(t)))
    clicks[0, ::4000], clicks[1, rng.integers(0, len(t), 30)] = 1, 1
    waves += [(-30, row) for row in clicks]
    waves += [(-20, colour(2.2, 1) * np.repeat(rng.uniform(0, 1, 22) ** 2, RATE // 10))]
    waves += [
        (-15, np.sin(2 * np.pi * 440 * t) * (np.sin(4 * np.pi * t) > 0)),
        (-20, np.sin(2 * np.pi * 425 * t) * (t % 1 < 0.35)),
    ]
    waves += [(-20, sum(np.sin(2 * np.pi * f * t) for f in (100, 150, 200, 300)) + 0.2 * colour(2.2, 1))]
    waves += [
        (-20, colour(2.2, 2) * (1 + 0.8 * np.sin(np.pi * t))),
        (-18, np.sin(2 * np.pi * np.where(t % 0.8 < 0.4, 650, 900) * t)),
    ]
    waves += [
        (-25, colour(2.2, 0) * np.exp(-8 * (t % 0.5))),
        (-22, np.sin(2 * np.pi * 180 * t) * np.exp(-6 * (t % 0.4))),
    ]
    scaled = [w if level is None else w / np.sqrt(np.mean(w**2)) * 10 ** (level / 20) for level, w in waves]
    return [np.clip(w, -1, 1).astype(np.float32) for w in scaled]


@pytest.mark.weights
def test_nothing_is_heard_in_a_dozen_of_them(model) -> None:
    dozen = nonspeech(seed=1)[::4]  # not the noises that the gate was measured on
    heard = asr.transcribe(dozen, progress=False, cache=False)
    assert [
        (4 * k, one.text, one.no_speech, one.avg_logprob)
        for k, one in enumerate(heard)
        if one.text or not one.gate
    ] == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.weights
def test_nothing_is_heard_where_nobody_speaks(model) -> None:
    clips = nonspeech()
    assert len(clips) == 50
    heard = asr.transcribe(clips, progress=False, cache=False)
    assert [(k, one.text) for k, one in enumerate(heard) if one.text] == []
    english = asr.transcribe(clips[4:50:6], language="en", progress=False, cache=False)
    assert [one.text for one in english] == [""] * len(english)


@pytest.mark.weights
def test_a_segment_of_a_long_file_is_heard_alone(model, corpus: Corpus, tmp_path: Path) -> None:
    import soundfile

    first, second = (audio.load(corpus.path(u)) for u in corpus.ids[:2])
    soundfile.write(tmp_path / "long.wav", np.concatenate([first, second]), RATE, subtype="FLOAT")
    cut = len(first) / RATE
    table = pd.DataFrame(
        {
            "audio": "long.wav",
            "text": "",
            "emotion": "sad",
            "speaker": "s",
            "start": [0.0, cut],
            "end": [cut, np.nan],
        },
        index=pd.Index(["a", "b"], name="utt_id"),
    )
    parts = asr.transcribe(Corpus("cut", tmp_path, table), progress=False, cache=False)
    alone = asr.transcribe([first, second], progress=False, cache=False)
    assert parts["text"].tolist() == [one.text for one in alone]


@pytest.mark.weights
def test_a_long_recording_is_heard_to_its_end(model) -> None:
    whole = vc.load_corpus("sim")
    corpus, pause = whole.subset(whole.ids[5::170][:12]), np.zeros(RATE // 3, np.float32)
    wave = np.concatenate([part for u in corpus.ids for part in (audio.load(corpus.path(u)), pause)])
    (one,) = asr.transcribe([wave], word_times=True, progress=False, cache=False)
    assert one.seconds == len(wave) / RATE > FULL_WINDOW and one.gate == "" and not one.words
    assert asr.cer("".join(corpus.text_of(u) for u in corpus.ids), one.text) < 0.4


@pytest.mark.weights
def test_the_language_is_the_corpus_own(model, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list = []
    real = Listener.__call__

    def note(self, clips):
        heard.append((self.language, self.prompt))
        return real(self, clips)

    monkeypatch.setattr(Listener, "__call__", note)
    monkeypatch.setattr(
        Listener, "batch", lambda self, waves: [replace(HEARD, language=self.language)] * len(waves)
    )
    mixed = corpus.with_column("language", ["en", "zh", ""] + ["en"] * (len(corpus) - 3))
    found = asr.transcribe(mixed, progress=False, cache=False)
    assert found["language"].tolist() == ["en", "zh", "zh"] + ["en"] * (len(corpus) - 3)
    assert heard == [("en", None), ("zh", MANDARIN_PROMPT)]
    assert set(asr.transcribe(mixed, language="ja", progress=False, cache=False)["language"]) == {"ja"}
    with pytest.raises(TypeError, match="langage"):
        asr.transcribe(mixed, langage="en")
