"""ASR: the same words as openai-whisper in a fraction of its work, no loops, nothing heard in noise, errors counted right."""

from __future__ import annotations

import random
from math import ceil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import vcemo_lib as vc
from vcemo_lib import VcemoError, asr, audio
from vcemo_lib.corpora import Corpus

RATE = audio.SAMPLE_RATE

# ---- texts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("13点", "十三点"),
        ("两个", "2个"),
        ("2024年", "二零二四年"),
        ("1,000块", "一千块"),
        ("3.5%", "百分之三点五"),
        ("12:30", "十二点三十分"),
        ("10300", "一万零三百"),
        ("100000000", "一亿"),
        ("13800138000", "一三八零零一三八零零零"),
        ("007", "零零七"),
        ("兩點鐘,她說:「我著急。」", "两点钟她说我着急"),
        ("ＡＢＣ，　ａ！", "abca"),
        ("……?!", ""),
    ],
)
def test_what_sounds_alike_is_written_alike(written: str, read: str) -> None:
    assert asr.normalise(written) == asr.normalise(read)
    assert asr.normalise(asr.normalise(written)) == asr.normalise(written)


def test_numerals_follow_the_rules_of_counting() -> None:
    said = {0: "零", 10: "十", 12: "十二", 20: "二十", 101: "一百零一", 110: "一百一十", 1001: "一千零一", 1010: "一千零一十"}
    said |= {10_000: "一万", 10_001: "一万零一", 110_000: "十一万", 1_000_010: "一百万零一十", 200_000_003: "二亿零三"}
    assert {number: asr.numerals(number) for number in said} == said


def slow_distance(a: str, b: str) -> int:
    """Levenshtein by its definition."""
    if not a or not b:
        return len(a) + len(b)
    return min(slow_distance(a[1:], b) + 1, slow_distance(a, b[1:]) + 1, slow_distance(a[1:], b[1:]) + (a[0] != b[0]))


def test_cer_and_alignment_against_the_definition() -> None:
    rng = random.Random(0)
    for _ in range(60):
        ref, hyp = ("".join(rng.choices("天地人", k=rng.randint(0, 5))) for _ in range(2))
        steps = asr.align(ref, hyp)
        assert "".join(r for _, r, _ in steps) == ref and "".join(h for _, _, h in steps) == hyp
        assert all((op == "=") == (r == h) for op, r, h in steps)
        assert asr.edits(ref, hyp) == (sum(op != "=" for op, _, _ in steps), len(ref)) == (slow_distance(ref, hyp), len(ref))
    assert asr.cer("今天天气好", "今天天汽真好") == 2 / 5
    assert asr.cer(["天", "地地地"], ["人", "地地地"]) == 1 / 4, "lists are pooled, not averaged"
    assert asr.cer("", "") == 0 and asr.cer("", "好") == float("inf")


def toy_corpus() -> tuple[Corpus, dict[str, str]]:
    rows = [(f"u{i}", f"{i}.wav", "一二三四五"[: 1 + i % 5], ("sad", "happy")[i % 2], f"s{i % 4}") for i in range(40)]
    table = pd.DataFrame(rows, columns=["utt_id", "audio", "text", "emotion", "speaker"]).set_index("utt_id")
    hyps = {u: text if i % 3 else "" for i, (u, text) in enumerate(table["text"].items())}
    return Corpus("toy", Path("."), table), hyps


def test_cer_by_group_is_the_pooled_rate_with_an_interval_around_it() -> None:
    corpus, hyps = toy_corpus()
    table = asr.cer_table(corpus, hyps)
    assert list(table.index) == ["happy", "sad", "all"] and table.loc["all", "clips"] == 40
    wrong = sum(len(corpus.text_of(u)) for u in corpus.ids if not hyps[u])
    assert table.loc["all", "cer"] == pytest.approx(wrong / sum(len(corpus.text_of(u)) for u in corpus.ids))
    assert (table["low"] <= table["cer"]).all() and (table["cer"] <= table["high"]).all()
    assert (table["low"] < table["high"]).all()
    assert asr.cer_table(corpus, pd.Series(hyps)).equals(table), "the same seed, the same table"
    assert asr.cer_table(corpus, [hyps[u] for u in corpus.ids], by="length").loc["all"].equals(table.loc["all"])
    assert len(asr.cer_table(corpus, hyps, by="speaker")) == 5
    with pytest.raises(VcemoError, match="no column 'mood'"):
        asr.cer_table(corpus, hyps, by="mood")
    with pytest.raises(VcemoError, match="1 clips have no transcript"):
        asr.cer_table(corpus, {u: t for u, t in hyps.items() if u != "u7"})


# ---- loops, windows, times: without weights ------------------------------------------------------------------


def test_loops_are_found_and_cut() -> None:
    assert asr.loops([1, 2] * 4) and asr.loops([9, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]) and asr.loops([7] * 8)
    assert not asr.loops([7] * 6), "laughter: 哈哈哈哈哈哈"
    assert not asr.loops([1, 2] * 3) and not asr.loops(list(range(40))) and not asr.loops([])
    assert asr._unloop([5, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 6]) == [5, 1, 2, 6]
    assert asr._unloop([3] * 20) == [3] and asr._unloop([1, 2, 3]) == [1, 2, 3]


def test_the_window_depends_on_the_clip_alone_and_holds_it() -> None:
    for seconds in np.linspace(0.05, 29.8, 200):
        assert seconds + asr.EDGE_SECONDS <= asr.window_of(seconds) <= seconds + asr.EDGE_SECONDS + asr.WINDOW_STEP
    assert asr.window_of(29.99) == asr.window_of(30) == 30


def test_time_warping_finds_a_planted_path() -> None:
    cost = np.ones((4, 40))
    for row, (start, end) in enumerate([(0, 7), (7, 19), (19, 22), (22, 40)]):
        cost[row, start:end] = -1
    assert asr._time_warp(cost).tolist() == [0, 7, 19, 22]


def test_the_gate_closes_on_silence_noise_and_echoes_only() -> None:
    heard = asr.Transcript("你好", "zh", no_speech=0.3, avg_logprob=-0.4, peak_db=-10.0, seconds=1.0, window=1.5)
    changed = lambda **change: asr._gate(asr.replace(heard, **change), asr.MANDARIN_PROMPT)  # noqa: E731
    assert changed() == "" and changed(no_speech=0.9) == "" and changed(avg_logprob=-2.0) == ""
    assert changed(peak_db=-70.0) == "silence"
    assert changed(no_speech=0.9, avg_logprob=-1.0) == "no speech"
    assert changed(no_speech=0.9, retried=True) == "no speech"
    assert changed(text=asr.MANDARIN_PROMPT, avg_logprob=-0.6) == "prompt"


# ---- with Whisper base -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return asr.load_model("base")  # fails with the one clear line where the weights cannot be had


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    whole = vc.load_corpus("sim")
    short = whole.table[whole.table["seconds"].astype(float) < 2.5] if "seconds" in whole.table else whole.table
    return whole.subset(list(short.index[:: len(short) // 8][:8]))


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Transcripts are kept in an empty folder; the weights stay where they are."""
    monkeypatch.setattr(asr, "cache_dir", lambda: tmp_path)
    return tmp_path / "asr"


@pytest.mark.weights
def test_the_encoder_in_its_own_window_is_whispers(model) -> None:
    import torch

    mel = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours, layer = asr._encode(model, mel, layer=-1)
        assert torch.allclose(ours, model.encoder(mel), atol=1e-4) and layer is ours


@pytest.mark.weights
def test_greedy_decoding_in_the_full_window_is_whispers(model, corpus: Corpus) -> None:
    import torch
    import whisper

    waves = [audio.load(corpus.path(u)) for u in corpus.ids[:2]]
    ours = asr._decode(model, waves, asr.FULL_WINDOW, "zh", asr.MANDARIN_PROMPT, True, False, None)
    options = whisper.DecodingOptions(language="zh", prompt=asr.MANDARIN_PROMPT, without_timestamps=True, fp16=False)
    for wave, one in zip(waves, ours, strict=True):
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(torch.from_numpy(wave)))
        theirs = whisper.decode(model, mel, options)
        assert one.tokens == theirs.tokens
        assert one.avg_logprob == pytest.approx(theirs.avg_logprob, abs=1e-3)
        assert one.no_speech == pytest.approx(theirs.no_speech_prob, abs=1e-3)


@pytest.mark.weights
def test_half_precision_hears_the_same(model, corpus: Corpus) -> None:
    import copy

    half = copy.deepcopy(model)
    asr._halve(half)
    asr._silence_memory[half] = [(k.half(), v.half()) for k, v in asr._silence(model)]  # a processor is slow at halves
    waves = [audio.load(corpus.path(corpus.ids[1]))]
    window = asr.window_of(len(waves[0]) / RATE)
    whole, halved = (asr._decode(m, waves, window, "zh", asr.MANDARIN_PROMPT, False, True, -1)[0] for m in (model, half))
    assert asr.cer(*(asr._tokenizer_of(model, "zh").decode(one.tokens) for one in (whole, halved))) < 0.2
    assert halved.avg_logprob == pytest.approx(whole.avg_logprob, abs=0.1) and np.isfinite(halved.features).all()


def test_a_corpus_gives_the_transcripts_that_ship_with_it(model, corpus: Corpus, own_cache: Path) -> None:
    heard = asr.transcribe(corpus, progress=False)
    assert list(heard.index) == corpus.ids
    same = sum(asr.normalise(heard.loc[u, "text"]) == asr.normalise(corpus.text_of(u, "asr")) for u in corpus.ids)
    assert same >= len(corpus) - 1, "another processor may round one clip otherwise"
    assert asr.cer([corpus.text_of(u) for u in corpus.ids], heard["text"].tolist()) < 0.4
    assert not heard["retried"].any() and (heard["window"] < 3.1).all()


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
def test_what_is_kept_is_not_decoded_again(model, corpus: Corpus, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [corpus.path(u) for u in corpus.ids[:5]]
    real, calls = asr._batch, []

    def breaks_off(model, waves, *rest):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(len(waves))
        return real(model, waves, *rest)

    monkeypatch.setattr(asr, "_batch", breaks_off)
    with pytest.raises(KeyboardInterrupt):
        asr.transcribe(paths, progress=False, batch_size=1)
    file = next(own_cache.glob("*.jsonl"))
    file.write_bytes(file.read_bytes()[:-9])  # the kill came in the middle of the second line
    again: list[int] = []
    monkeypatch.setattr(asr, "_batch", lambda model, waves, *rest: again.append(len(waves)) or real(model, waves, *rest))
    first = asr.transcribe(paths, progress=False, batch_size=1)
    assert sum(again) == 4
    monkeypatch.setattr(asr, "_batch", lambda *_: pytest.fail("decoded again"))
    assert asr.transcribe(paths, progress=False, batch_size=1) == first
    assert [one.text for one in first] == [one.text for one in asr.transcribe(paths[::-1], progress=False)][::-1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_told(own_cache: Path) -> None:
    kept = asr._Cache("base", {})
    kept.path.symlink_to("/dev/full")  # writes to it fail as on a full disk
    with pytest.raises(VcemoError, match="could not keep transcripts: No space left.*free some space"):
        kept.put("key", asr.Transcript("你好", "zh", 0.0, -0.1, -20.0, 1.0, 1.5))


@pytest.mark.weights
def test_a_loop_is_decoded_again_in_the_full_window(model, monkeypatch: pytest.MonkeyPatch) -> None:
    good, windows, stubborn = asr._tokenizer_of(model, "zh").encode("今天天气真好"), [], [False]

    def decode(model, waves, window, *rest):
        windows.append(window)
        loop = window < asr.FULL_WINDOW or stubborn[0]
        tokens = good * 6 if loop else list(good)
        return [asr._Heard(list(tokens), "zh", 0.1, -0.2, unfinished=loop) for _ in waves]

    monkeypatch.setattr(asr, "_decode", decode)
    wave = 0.1 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    for stubborn[0] in (False, True):  # and when even that loops, the loop is cut
        one = asr.transcribe([wave], progress=False, cache=False)[0]
        assert one.text == "今天天气真好" and one.retried and one.window == asr.FULL_WINDOW
    assert windows == [1.5, 30.0, 1.5, 30.0]


@pytest.mark.weights
def test_word_times_follow_the_sound(model, corpus: Corpus) -> None:
    first, second = (audio.load(corpus.path(u)) for u in corpus.ids[4:6])
    wave = np.concatenate([first, np.zeros(RATE, dtype=np.float32), second])
    alone, both = asr.transcribe([first, wave], word_times=True, progress=False, cache=False)
    for one in (alone, both):
        assert "".join(word.text for word in one.words).strip() == one.text
        times = [t for word in one.words for t in (word.start, word.end)]
        assert times == sorted(times) and 0 <= times[0] and times[-1] <= one.seconds + 0.01
        assert all(0 <= word.probability <= 1 for word in one.words)
    pause = len(first) / RATE
    later = [word for word in both.words if word.end > pause + 0.3]
    assert later and all(word.start > pause + 0.99 for word in later), "nobody speaks in the pause"
    assert len(both.words) - len(later) == pytest.approx(len(alone.words), abs=2)
    for word, same in zip(alone.words, both.words, strict=False):
        assert word.text != same.text or abs(word.start - same.start) < 0.15, "what follows moves no word before it"


@pytest.mark.weights
def test_encoder_frames(model) -> None:
    rng = np.random.default_rng(0)
    waves = [0.1 * rng.standard_normal(n).astype(np.float32) for n in (8000, 8001, 16_000, 100)]
    frames = asr.encoder_features(waves, layer=3)
    assert [f.shape for f in frames] == [(ceil(len(w) / 320), 512) for w in waves]
    assert np.allclose(asr.encoder_features(waves[2], layer=3), frames[2], atol=1e-3)
    assert not np.allclose(asr.encoder_features(waves[2], layer=2), frames[2], atol=1e-1)
    with pytest.raises(VcemoError, match="no encoder layer 7"):
        asr.encoder_features(waves[0], layer=7)


@pytest.mark.weights
def test_encoder_frames_come_with_the_transcript(model, corpus: Corpus) -> None:
    wave = audio.load(corpus.path(corpus.ids[0]))
    one = asr.transcribe([wave], layer=3, progress=False, cache=False)[0]
    own = asr.encoder_features(wave, layer=3)
    assert one.features.shape == own.shape and one.features.dtype == np.float16
    cosine = (one.features * own).sum(1) / np.linalg.norm(one.features, axis=1) / np.linalg.norm(own, axis=1)
    assert np.median(cosine) > 0.95, "the silence after the clip changes them little"


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


# ---- 50 clips in which nobody speaks -------------------------------------------------------------------------


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
    waves += [(level, colour(rng.uniform(1, 2.5), slope)) for slope in (0, 1, 2) for level in (-55, -40, -25, -12)]
    waves += [(-20, np.sin(2 * np.pi * f * t)) for f in (50, 120, 220, 440, 1000, 3000)]
    waves += [(-18, 2 * ((f * t) % 1) - 1) for f in (100, 150, 220)] + [(-20, np.sign(np.sin(2 * np.pi * 110 * t)))]
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
    waves += [(-15, np.sin(2 * np.pi * 440 * t) * (np.sin(4 * np.pi * t) > 0)), (-20, np.sin(2 * np.pi * 425 * t) * (t % 1 < 0.35))]
    waves += [(-20, sum(np.sin(2 * np.pi * f * t) for f in (100, 150, 200, 300)) + 0.2 * colour(2.2, 1))]
    waves += [(-20, colour(2.2, 2) * (1 + 0.8 * np.sin(np.pi * t))), (-18, np.sin(2 * np.pi * np.where(t % 0.8 < 0.4, 650, 900) * t))]
    waves += [(-25, colour(2.2, 0) * np.exp(-8 * (t % 0.5))), (-22, np.sin(2 * np.pi * 180 * t) * np.exp(-6 * (t % 0.4)))]
    scaled = [w if level is None else w / np.sqrt(np.mean(w**2)) * 10 ** (level / 20) for level, w in waves]
    return [np.clip(w, -1, 1).astype(np.float32) for w in scaled]


@pytest.mark.weights
def test_nothing_is_heard_in_a_dozen_of_them(model) -> None:
    dozen = nonspeech(seed=1)[::4]  # not the noises that the gate was measured on
    heard = asr.transcribe(dozen, progress=False, cache=False)
    assert [(4 * k, one.text, one.no_speech, one.avg_logprob) for k, one in enumerate(heard) if one.text or not one.gate] == []


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
        {"audio": "long.wav", "text": "", "emotion": "sad", "speaker": "s", "start": [0.0, cut], "end": [cut, np.nan]},
        index=pd.Index(["a", "b"], name="utt_id"),
    )
    parts = asr.transcribe(Corpus("cut", tmp_path, table), progress=False, cache=False)
    alone = asr.transcribe([first, second], progress=False, cache=False)
    assert parts["text"].tolist() == [one.text for one in alone]


@pytest.mark.weights
def test_long_recordings_go_window_after_window(model, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict = {}
    segments = [{"no_speech_prob": 0.1, "avg_logprob": -0.3}]
    answer = {"text": " 你好 ", "language": "zh", "segments": segments}
    fake = SimpleNamespace(encoder=model.encoder, transcribe=lambda wave, **options: told.update(options, n=len(wave)) or answer)
    one = asr._batch(fake, [np.zeros(31 * RATE, np.float32)], 30.0, "zh", asr.MANDARIN_PROMPT, False, None)[0]
    assert (one.text, one.window, one.seconds) == ("你好", 30.0, 31.0)
    assert told["temperature"] == 0.0 and told["initial_prompt"] == asr.MANDARIN_PROMPT and told["n"] == 31 * RATE
