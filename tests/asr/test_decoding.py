"""The batched decoder says what openai-whisper's says; loops are found and cut."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from vcemo_lib import VcemoError, asr, audio
from vcemo_lib.asr import MANDARIN_PROMPT, TranscribeOptions, decoding
from vcemo_lib.asr.decoding import Decoded, cut_loops, prompt_tokens, silence, tokenizer_of
from vcemo_lib.asr.encoder import FULL_WINDOW, halve
from vcemo_lib.asr.transcribe import Listener, window_of
from vcemo_lib.corpora import Corpus


def test_loops_are_found_and_cut() -> None:
    def loops(tokens: list[int]) -> bool:
        return Decoded(tokens, "zh", 0.0, -0.1, unfinished=False).loops()

    assert loops([1, 2] * 4) and loops([9, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]) and loops([7] * 8)
    assert Decoded([1], "zh", 0.0, -0.1, unfinished=True).loops()
    assert not loops([7] * 6), "laughter: 哈哈哈哈哈哈"
    assert not loops([1, 2] * 3) and not loops(list(range(40))) and not loops([])
    assert cut_loops([5, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 6]) == [5, 1, 2, 6]
    assert cut_loops([3] * 20) == [3] and cut_loops([1, 2, 3]) == [1, 2, 3]


@pytest.mark.weights
def test_greedy_decoding_in_the_full_window_is_whispers(model, corpus: Corpus) -> None:
    import torch
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
    half = copy.deepcopy(model)
    halve(half)
    still = {model: silence(model)}  # a processor is slow at halves: not encoded again
    still[half] = [(k.half(), v.half()) for k, v in still[model]]
    monkeypatch.setattr(decoding, "silence", still.__getitem__)
    waves = [audio.load(corpus.path(corpus.ids[1]))]
    listener, heard = Listener("base", "zh", TranscribeOptions(word_times=True)), []
    for listener.model in (model, half):
        heard += listener.decode(waves, window_of(len(waves[0]) / audio.SAMPLE_RATE))
    whole, halved = heard
    assert asr.cer(*(tokenizer_of(model, "zh").decode(one.tokens) for one in (whole, halved))) < 0.2
    assert halved.avg_logprob == pytest.approx(whole.avg_logprob, abs=0.1)


@pytest.mark.weights
def test_a_prompt_that_leaves_no_room_is_refused_in_one_line(model) -> None:
    assert prompt_tokens(model, "zh", None) == []
    with pytest.raises(VcemoError, match="the prompt has 3.. tokens.*at most 219") as told:
        asr.transcribe([np.zeros(16_000, np.float32)], prompt="普通话" * 100, progress=False, cache=False)
    assert "\n" not in str(told.value)
