"""Player, still twin, own voice: they show what the recogniser says; every fault has its kind line."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
import soundfile

import vcemo_lib as vc
from vcemo_lib import VcemoError, asr, audio
from vcemo_lib.course.listening import PreparedClip, listen
from vcemo_lib.course.widgets import Player, Voice, playground
from vcemo_lib.course.widgets.player import corpus_facts
from vcemo_lib.course.widgets.voice import decode, examples, prepared
from vcemo_lib.predict import EmotionRecognizer, Prediction

RATE = audio.SAMPLE_RATE


@pytest.fixture(scope="module")
def corpus() -> vc.Corpus:
    return vc.splits.given(vc.load_corpus("sim"))["test"]


@pytest.fixture(scope="module")
def utt_id(corpus: vc.Corpus) -> str:
    table = corpus.table
    return table.index[(table["emotion"] == "sad") & (table["seconds"].astype(float) > 2.5)][0]


@pytest.fixture
def heard(recogniser: EmotionRecognizer, corpus: vc.Corpus, utt_id: str) -> PreparedClip:
    """A clip with words and times, as Whisper would give them, without Whisper."""
    wave, line = audio.load(corpus.path(utt_id)), corpus.text_of(utt_id, "asr")
    edges = np.linspace(0.2, len(wave) / RATE - 0.2, len(line) + 1)
    words = tuple(
        asr.Word(c, float(a), float(b), 0.9) for c, a, b in zip(line, edges[:-1], edges[1:], strict=True)
    )
    return PreparedClip(recogniser, wave, line, words)


def speech(seconds: float, loud: float = 0.3) -> np.ndarray:
    """A buzz with syllables: not speech, but neither silent nor constant."""
    t = np.arange(round(seconds * RATE)) / RATE
    return (loud * np.sign(np.sin(2 * np.pi * 120 * t)) * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * t))).astype(
        np.float32
    )


def show(player: Player, corpus: vc.Corpus, utt_id: str, recogniser: EmotionRecognizer, text: str) -> None:
    player.show(audio.utterance(corpus, utt_id), recogniser, text=text, **corpus_facts(corpus, utt_id))


def wav(wave: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, wave, rate, format=kind, subtype=subtype)
    return out.getvalue()


# ---- player


def test_it_shows_what_the_recogniser_says(
    recogniser: EmotionRecognizer, corpus: vc.Corpus, utt_id: str, heard: PreparedClip
) -> None:
    player = Player(heard, truth="sad", votes={"sad": 2, "neutral": 1}, label=utt_id)
    expected = recogniser.predict(heard.wave, text=heard.transcript)
    assert (
        player.judgement["probabilities"] == expected.probabilities
        and player.judgement["emotion"] == expected.emotion
    )
    assert "".join(word["text"] for word in player.judgement["words"]) == heard.transcript
    assert [word["start"] for word in player.judgement["words"]] == [word.start for word in heard.words]
    back, rate = soundfile.read(io.BytesIO(player.mp3))
    assert rate == RATE and abs(len(back) / rate - player.seconds) < 0.2
    assert len(player.mp3) * 8 / player.seconds < 40_000, "a stored notebook holds several"
    assert soundfile.info(io.BytesIO(player.mp3)).format == "MP3"
    assert set(player.clip["colours"]) == set(player.clip["classes"]) == set(corpus.labels)
    assert max(player.clip["peaks"]) == 1.0 and len(player.clip["peaks"]) == 400


def test_attention_is_that_of_the_model_and_adds_up(heard: PreparedClip) -> None:
    said = heard.predict()
    parts = said.attention
    assert sum(parts["time"]) + sum(w for *_, w in parts["text"]) + parts["rest"] == pytest.approx(1)
    assert len(parts["time"]) == heard.recogniser.run.settings.length and 0 <= parts["rest"] < 1
    places = [heard.transcript[a:b] for a, b, _ in parts["text"]]
    assert "".join(places) == heard.transcript
    player = Player(heard)
    assert sum(word["weight"] for word in player.judgement["words"]) == pytest.approx(
        sum(w for *_, w in parts["text"]), abs=1e-3
    )


def test_the_prediction_moves_along_and_ends_at_the_whole_clip(heard: PreparedClip) -> None:
    times, rows = heard.along(8)
    assert rows.shape == (8, 6) and times[-1] == pytest.approx(heard.seconds)
    assert rows.sum(1) == pytest.approx(np.ones(8), abs=1e-5)
    assert rows[-1] == pytest.approx(list(heard.predict().probabilities.values()), abs=2e-4)
    middle = heard.recogniser.predict(heard.wave[: round(times[3] * RATE)], text=heard.until(times[3]))
    assert rows[3] == pytest.approx(
        list(middle.probabilities.values()), abs=2e-4
    )  # in a padded batch, yet the same
    assert heard.until(0.1) == "" and heard.until(times[3]) == heard.transcript[: len(heard.until(times[3]))]


def test_muting_in_the_page_judges_anew(recogniser: EmotionRecognizer, heard: PreparedClip) -> None:
    player = Player(heard)
    whole, along = dict(player.judgement["probabilities"]), dict(player.judgement["along"])
    for mute in (["audio"], ["words", "bert"], []):
        player.set_state({"muted": mute})  # as a message from the page does
        assert (
            player.judgement["probabilities"]
            == recogniser.predict(heard.wave, text=heard.transcript, mute=mute).probabilities
        )
        assert (player.judgement["probabilities"] == whole) == (mute == []) and player.judgement["took"] > 0
        assert player.judgement["along"]["probabilities"][-1] == pytest.approx(
            list(player.judgement["probabilities"].values()), abs=2e-4
        )
    assert player.judgement["along"] == along


def test_one_player_shows_clip_after_clip(
    recogniser: EmotionRecognizer, corpus: vc.Corpus, utt_id: str
) -> None:
    player = Player()
    assert "no clip in it yet" in player.twin()
    show(player, corpus, utt_id, recogniser, corpus.text_of(utt_id))
    first = player.mp3
    assert (
        player.clip["truth"] == "sad"
        and player.clip["votes"] == corpus.table.at[utt_id, "votes"]
        and "simulated" in player.clip["label"]
    )
    player.muted = ["audio"]
    other = corpus.ids[0]
    show(player, corpus, other, recogniser, "")
    assert player.mp3 != first and player.muted == [] and player.judgement["words"] == []
    player.show(audio.load(corpus.path(utt_id)))  # a mere clip: it plays, and nothing is judged
    assert player.mp3 == first and player.judgement["probabilities"] == {} and player.clip["modalities"] == []


def test_a_prediction_can_be_shown_and_muted(
    recogniser: EmotionRecognizer, corpus: vc.Corpus, utt_id: str
) -> None:
    said = recogniser.predict(corpus.path(utt_id), text="好的")
    assert Player(said).judgement["probabilities"] == said.probabilities
    expected = recogniser.predict(corpus.path(utt_id), text="好的", mute=["bert"])
    assert Player(said, recogniser, mute=["bert"]).judgement["probabilities"] == expected.probabilities


def test_twin_has_sound_picture_and_table(heard: PreparedClip) -> None:
    player = Player(heard, truth="sad", votes={"sad": 3}, label='<b>"quoted"')
    still = player.twin()
    assert "<b><b>" not in still and "&lt;b&gt;" in still
    sound = base64.b64decode(re.search(r"data:audio/mpeg;base64,([^']+)'", still)[1])
    assert sound == player.mp3
    picture = base64.b64decode(re.search(r"data:image/png;base64,([^']+)'", still)[1])
    assert picture.startswith(b"\x89PNG") and len(re.search(r"alt='([^']+)'", still)[1]) > 40
    for emotion, share in player.judgement["probabilities"].items():
        assert f"<td>{emotion}</td>" in still and f"<td>{share:.0%}</td>" in still
    assert "true: sad" in still and len(still) < 150_000
    bundle, _ = player._repr_mimebundle_()
    assert bundle["text/html"] == still and "application/vnd.jupyter.widget-view+json" in bundle


def test_the_twin_escapes_what_a_shared_run_may_be_called() -> None:
    tag = "<img src=x onerror=alert(1)>"
    said = Prediction(tag, {tag: 1.0}, tag, (), 1.0, warnings=(tag,), wave=speech(1.0))
    still = Player(said, truth=tag, votes={tag: 3}, label=tag).twin()
    assert tag not in still and "<img src=x" not in still and "&lt;img" in still


def test_words_without_times_are_spread_over_what_sounds(recogniser: EmotionRecognizer) -> None:
    quiet = np.zeros(RATE, np.float32)
    wave = np.concatenate([quiet, speech(2.0), quiet])
    player = Player(listen(recogniser, wave, "请系好安全带"))
    words = player.judgement["words"]
    assert all(word["approximate"] for word in words)
    assert words[0]["start"] == pytest.approx(1, abs=0.05) and words[-1]["end"] == pytest.approx(3, abs=0.05)
    assert all(a["end"] == b["start"] for a, b in zip(words, words[1:], strict=False))
    assert "from, s" not in player.twin(), "what was not measured is not printed"


def test_the_page_gets_the_sound_before_the_judgement(recogniser: EmotionRecognizer) -> None:
    player, changes = Player(), []
    player.observe(
        lambda change: changes.append((change["name"], bool(change["new"]))), ["clip", "judgement"]
    )
    player.show(speech(1.0), recogniser, text="好的")
    assert changes == [("clip", True), ("judgement", True)]


def test_every_request_of_the_page_is_acknowledged(recogniser: EmotionRecognizer) -> None:
    player, sent = Player(speech(1.0), recogniser, text="好的"), []
    player.send = lambda content, buffers=(): sent.append(content)
    player.set_state({"muted": ["audio"]})
    player._on_message(player, {"kind": "something else"}, [])
    assert sent == [{"kind": "answered"}] * 2


# ---- own voice


KINDS = [
    ("WAV", None, "a.wav"),
    ("FLAC", None, "a.flac"),
    ("MP3", None, "A.MP3"),
    ("OGG", "VORBIS", "a.ogg"),
    ("OGG", "OPUS", "a.opus"),
]


@pytest.mark.parametrize(("kind", "subtype", "name"), KINDS)
def test_files_of_every_kind_are_read(kind: str, subtype: str | None, name: str) -> None:
    rate = 48_000
    t = np.arange(rate) / rate
    tone = 0.5 * np.sin(2 * np.pi * 440 * t)
    wave = decode(wav(np.stack([tone, tone], 1), rate, kind, subtype), name)
    assert abs(len(wave) - RATE) < 2_000
    assert np.argmax(np.abs(np.fft.rfft(wave[:8_000]))) * 2 == pytest.approx(440, abs=4)


def test_unreadable_files_are_told() -> None:
    with pytest.raises(VcemoError, match=r"damaged \(a.wav\): record again"):
        decode(b"this is no sound", "a.wav")
    with pytest.raises(VcemoError, match="no sound in it"):
        decode(b"", "recording.wav")
    with pytest.raises(VcemoError, match="choose a file of .wav"):
        decode(b"hello", "notes.txt")


def test_silence_around_is_trimmed_and_levels_are_checked() -> None:
    quiet = np.zeros(RATE, np.float32)
    core, warnings = prepared(np.concatenate([quiet, speech(1.0), quiet]))
    assert len(core) == pytest.approx(1.4 * RATE, abs=400) and not warnings
    assert "very quiet" in prepared(speech(1.0, 0.004))[1][0]
    assert "clipped" in prepared(np.clip(speech(1.0, 3.0), -1, 1))[1][0]
    for wave, line in (
        (quiet, "silent"),
        (np.concatenate([quiet, speech(0.1), quiet]), "lasts 0.1"),
        (speech(31.0), "lasts 31 s"),
    ):
        with pytest.raises(VcemoError, match=line):
            prepared(wave)


def test_a_recording_that_cannot_be_judged_leaves_one_line(recogniser: EmotionRecognizer) -> None:
    voice = Voice(recogniser)
    voice._on_message(
        voice, {"kind": "samples", "name": "own recording"}, [memoryview(np.zeros(RATE, np.float32))]
    )
    assert "silent" in voice.problem and "\n" not in voice.problem and not voice.busy and not voice.takes
    voice._on_message(voice, {"kind": "file", "name": "notes.txt"}, [b"hello"])
    assert "notes.txt" in voice.problem and not voice.rows
    assert "run the notebook" in voice._repr_mimebundle_()[0]["text/html"]


@pytest.mark.weights
def test_own_voice_is_heard_judged_shown_and_not_kept(
    recogniser: EmotionRecognizer, corpus: vc.Corpus, utt_id: str, tmp_path, monkeypatch
) -> None:
    voice = Voice(recogniser, examples={"one": (corpus, utt_id)})
    asr.load_model()  # found in the real cache
    monkeypatch.setenv("VCEMO_CACHE", str(tmp_path))
    states = []
    voice.observe(lambda change: states.append(change["new"]), "status")
    own = audio.load(corpus.path(utt_id))
    voice._on_message(voice, {"kind": "samples", "name": "own recording"}, [own.astype(np.float32).tobytes()])
    assert (
        not voice.problem
        and len(voice.takes) == 1
        and voice.player.judgement["probabilities"]
        and not voice.busy
    )
    assert [s.split()[0] for s in states] == ["Reading", "Whisper", "The", "Done:"]
    assert not any(file.stat().st_size for file in tmp_path.rglob("*.jsonl"))
    voice._on_message(voice, {"kind": "example", "name": "one"}, [])
    assert (
        voice.player.clip["truth"] == "sad"
        and [row["emotion"] for row in voice.rows] == voice.table()["emotion"].tolist()
    )
    voice._on_message(voice, {"kind": "take", "number": 0}, [])
    assert voice.player.clip["truth"] == "" and voice.player.clip["label"].startswith("1.")


@pytest.mark.weights
def test_playground_is_whole(recogniser: EmotionRecognizer) -> None:
    page = playground(recogniser)
    assert len(examples()) == 6 and page.player.judgement["words"] and page.player.clip["truth"]
    bundle, _ = page._repr_mimebundle_()
    assert page.player.twin() in bundle["text/html"]
