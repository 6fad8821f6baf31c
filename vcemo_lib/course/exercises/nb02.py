"""Notebook 02: the edit distance, the error rate of a corpus, and how fast somebody speaks."""

from itertools import zip_longest
from random import Random
from types import SimpleNamespace

import numpy as np

import vcemo_lib as vc
from vcemo_lib.course.exercises import Case, Notebook

notebook = Notebook("02")
QUESTIONS = notebook.quiz

_PAIRS = (
    *(("好好好", "好"), ("你吃饭了吗", "你吃饭了吗"), ("今天下雨", "明天下雨"), ("你吃饭了吗", "你吃饭吗")),
    *(("我不去", "我真的不去"), ("你打我", "我打你"), ("再等一会儿", "等一下"), ("", "谢谢观看")),
    *(("好", ""), ("明天见", "天明见")),
)


_RNG = Random(0)  # sixty pairs drawn from three characters, on which no other rule stays right
_DRAWN = [tuple("".join(_RNG.choices("啊你好", k=_RNG.randint(0, 7))) for _ in range(2)) for _ in range(60)]


@notebook.exercise(
    cases=[*_PAIRS, *_DRAWN],
    mistakes=dict(
        places=lambda ref, hyp: sum(r != h for r, h in zip_longest(ref, hyp)),
        sets=lambda ref, hyp: len(set(ref) ^ set(hyp)),
        lengths=lambda ref, hyp: abs(len(ref) - len(hyp)),
    ),
)
def distance(ref, hyp):
    above = list(range(len(hyp) + 1))  # edits from nothing to each beginning of hyp
    for i, r in enumerate(ref, start=1):
        row = [i]
        for j, h in enumerate(hyp, start=1):
            lost, new, same_or_other = above[j] + 1, row[-1] + 1, above[j - 1] + (r != h)
            row.append(min(lost, new, same_or_other))
        above = row
    return above[-1]


def _edits(refs: list[str], hyps: list[str]) -> np.ndarray:
    return np.array([distance.solve_with(ref, hyp) for ref, hyp in zip(refs, hyps, strict=True)])


@notebook.exercise(
    cases=(
        (["好", "今天下午我们一起去公园吧", "你说什么"], ["早", "今天下午我们一起去公园吧", "你说什么呢啊"]),
        (["我不知道", "走"], ["我知道", "走走走走"]),
        (["再见"], ["再见"]),
    ),
    mistakes=dict(
        mean_of_rates=lambda refs, hyps: (_edits(refs, hyps) / [len(ref) for ref in refs]).mean(),
        over_heard=lambda refs, hyps: _edits(refs, hyps).sum() / len("".join(hyps)),
        per_clip=lambda refs, hyps: _edits(refs, hyps).mean(),
        number=lambda refs, hyps: _edits(refs, hyps).sum(),
        clips=lambda refs, hyps: (_edits(refs, hyps) > 0).mean(),
    ),
)
def corpus_cer(refs, hyps):
    counts = [vc.asr.edits(ref, hyp) for ref, hyp in zip(refs, hyps, strict=True)]  # (edits, characters) each
    return sum(wrong for wrong, _ in counts) / sum(characters for _, characters in counts)


def _timed(clip_seconds: float, *words: tuple[str, float, float]) -> Case:
    """Words with start and end (s) in a clip of so many seconds."""
    return [SimpleNamespace(text=text, start=start, end=end) for text, start, end in words], clip_seconds


def _spoken(words: list) -> int:
    """Characters that are heard."""
    return sum(character.isalnum() for word in words for character in word.text)


def _seconds(words: list) -> float:
    return words[-1].end - words[0].start


@notebook.exercise(
    cases=(
        _timed(2.5, ("你", 0.5, 0.7), ("怎么", 0.7, 1.1), ("才", 1.1, 1.3), ("来？", 1.3, 1.5)),
        _timed(3.0, ("好，", 0.2, 0.6), ("我们", 1.0, 1.6), ("走吧。", 1.6, 2.2)),  # with a pause inside
        _timed(1.2, ("谢谢！", 0.4, 0.9)),
    ),
    mistakes=dict(
        clip_length=lambda words, clip_seconds: _spoken(words) / clip_seconds,
        marks=lambda words, clip_seconds: sum(len(word.text) for word in words) / _seconds(words),
        words=lambda words, clip_seconds: len(words) / _seconds(words),
        without_pauses=lambda words, _: _spoken(words) / sum(word.end - word.start for word in words),
        from_zero=lambda words, clip_seconds: _spoken(words) / words[-1].end,
        inverse=lambda words, clip_seconds: _seconds(words) / _spoken(words),
    ),
)
def speaking_rate(words, clip_seconds):  # Word(text, start, end) each -> characters a second while speaking
    spoken = sum(character.isalnum() for word in words for character in word.text)
    return spoken / (words[-1].end - words[0].start)
