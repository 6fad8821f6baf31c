"""The batched decoder says what openai-whisper's says; loops are found and cut."""

from __future__ import annotations

import sys

import pytest
import torch

from vcemo_lib import asr, audio
from vcemo_lib.asr import MANDARIN_PROMPT, TranscribeOptions, decoding
from vcemo_lib.asr.decoding import cut_loops, silent_keys_and_values, tokenizer_of
from vcemo_lib.asr.encoder import FULL_WINDOW, log_mel
from vcemo_lib.asr.transcribe import Listener, window_of
from vcemo_lib.corpora import Corpus

transcribe = sys.modules[Listener.__module__]


def test_loops_are_found_and_cut() -> None:
    assert cut_loops([1, 2] * 4) == [1, 2] and cut_loops([9, *[1, 2, 3] * 4]) == [9, 1, 2, 3]
    assert cut_loops([5, *[1, 2] * 5, 6]) == [5, 1, 2, 6] and cut_loops([3] * 20) == [3] == cut_loops([3] * 8)
    for spoken in ([7] * 6, [1, 2] * 3, list(range(40)), []):  # laughter: 哈哈哈哈哈哈
        assert cut_loops(spoken) == spoken


@pytest.mark.weights
def test_greedy_decoding_in_the_full_window_is_whispers(model, corpus: Corpus) -> None:
    import whisper

    waves = [audio.load(corpus.path(u)) for u in corpus.ids[:2]]
    ours = Listener("base", "zh", TranscribeOptions()).decode(waves, FULL_WINDOW, retry=True)
    options = whisper.DecodingOptions(
        language="zh", prompt=MANDARIN_PROMPT, without_timestamps=True, fp16=False
    )
    for wave, one in zip(waves, ours, strict=True):
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(torch.from_numpy(wave)))
        theirs = whisper.decode(model, mel, options)
        assert one.tokens == theirs.tokens
        assert one.avg_logprob == pytest.approx(theirs.avg_logprob, abs=1e-3)
        assert one.no_speech == pytest.approx(theirs.no_speech_prob, abs=1e-3)


@pytest.mark.weights
def test_half_precision_hears_the_same(model, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    halves = [
        (k.half(), v.half()) for k, v in silent_keys_and_values(model, torch.float32)
    ]  # a processor is slow at halves
    monkeypatch.setattr(decoding, "silent_keys_and_values", lambda model, dtype: halves)
    monkeypatch.setattr(transcribe, "log_mel", lambda *how: log_mel(*how).half())
    wave = audio.load(corpus.path(corpus.ids[1]))
    listener = Listener("base", "zh", TranscribeOptions(word_times=True))
    (halved,) = listener.decode([wave], window_of(len(wave) / audio.SAMPLE_RATE))
    monkeypatch.undo()
    (whole,) = listener.decode([wave], window_of(len(wave) / audio.SAMPLE_RATE))
    assert asr.cer(*(listener.tokenizer.decode(one.tokens) for one in (whole, halved))) < 0.2
    assert halved.avg_logprob == pytest.approx(whole.avg_logprob, abs=0.1)


@pytest.mark.weights
def test_of_a_long_prompt_the_last_tokens_are_taken(model) -> None:
    tokenizer = tokenizer_of(model, "zh")
    long = Listener("base", "zh", TranscribeOptions(prompt="普通话" * 100)).before
    assert long[0] == tokenizer.sot_prev and "普通话".endswith(tokenizer.decode(long[-3:]))
    room = model.dims.n_text_ctx - len(long) - len(tokenizer.sot_sequence_including_notimestamps)
    assert room >= model.dims.n_text_ctx // 2
    assert Listener("base", "zh", TranscribeOptions(prompt=None)).before == []
