"""Exercises of notebook 02, speech recognition."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from vcemo_lib.course.exercises import Exercise, Question

# ---- 1: the edit distance -----------------------------------------------------------------------------------

_PAIRS = (("你吃饭了吗", "你吃饭了吗", 0), ("你吃饭了吗", "你吃饭吗", 1), ("今天下雨", "明天下雨", 1), ("我不去", "我真的不去", 2),
          ("再等一会儿", "等一下", 3), ("", "谢谢观看", 4), ("好", "", 1))  # fmt: skip


def _levenshtein(ref: str, hyp: str) -> int:
    above = list(range(len(hyp) + 1))
    for i, r in enumerate(ref, start=1):
        row = [i]
        for j, h in enumerate(hyp, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (r != h)))
        above = row
    return above[-1]


def _places(ref: str, hyp: str) -> int:
    """What a student counts who compares place by place."""
    return sum(r != h for r, h in zip(ref, hyp, strict=False)) + abs(len(ref) - len(hyp))


def _judge_distance(answer: object) -> str | None:
    wrong = [(ref, hyp, right, int(answer(ref, hyp))) for ref, hyp, right in _PAIRS if int(answer(ref, hyp)) != right]
    if not wrong:
        return None
    if all(int(answer(ref, hyp)) == _places(ref, hyp) for ref, hyp, _ in _PAIRS):
        return "you compare place by place: one lost character shifts all that follow, and each of them counts as an error."
    if all(int(answer(ref, hyp)) == len(set(ref) ^ set(hyp)) for ref, hyp, _ in _PAIRS):
        return "you compare sets of characters, which have no order: 我打你 and 你打我 would be the same."
    ref, hyp, right, got = wrong[0]
    return f"from {ref!r} to {hyp!r} it takes {right} edit(s), not {got}."


def _solve_distance() -> object:
    def distance(ref, hyp):
        above = list(range(len(hyp) + 1))  # edits from nothing to each beginning of hyp
        for i, r in enumerate(ref, start=1):
            row = [i]
            for j, h in enumerate(hyp, start=1):
                lost, new, same_or_other = above[j] + 1, row[-1] + 1, above[j - 1] + (r != h)
                row.append(min(lost, new, same_or_other))
            above = row
        return above[-1]

    return distance


distance = Exercise(
    title="the edit distance",
    judge=_judge_distance,
    solve=_solve_distance,
    hints=(
        "Fill a table: cell (i, j) holds the fewest edits from the first i characters of ref to the first j of hyp.",
        "Its first row is 0, 1, 2, ...: so many insertions. Its first column likewise: so many deletions.",
        "Every other cell is the least of: the cell above + 1, the cell to the left + 1, the cell above left + (0 if the characters are the same, else 1).",
    ),
    praise="Right: this is Levenshtein's distance. Divided by the length of ref it is the CER.",
    wrong={
        "place by place": (lambda: _places, "place by place"),
        "sets of characters": (lambda: lambda r, h: len(set(r) ^ set(h)), "sets"),
        "never inserts": (lambda: lambda r, h: sum(c not in h for c in r), "edit(s)"),
    },
)

# ---- 2: the error rate of a corpus --------------------------------------------------------------------------

_REFS, _HYPS = ["好", "今天下午我们一起去公园吧", "你说什么"], ["早", "今天下午我们一起去公园吧", "你说什么呢"]


def _judge_corpus(answer: object) -> str | None:
    counts = [(_levenshtein(r, h), len(r)) for r, h in zip(_REFS, _HYPS, strict=True)]
    right = sum(wrong for wrong, _ in counts) / sum(length for _, length in counts)
    got = float(answer(_REFS, _HYPS))
    if np.isclose(got, right):
        return None
    if np.isclose(got, np.mean([wrong / length for wrong, length in counts])):
        return "you averaged the clips' rates. One wrong character in a one-character clip then weighs as much as a wholly wrong long one: pool the counts."
    if np.isclose(got, sum(wrong for wrong, _ in counts) / sum(map(len, _HYPS))):
        return "you divided by what was heard. A recogniser that babbles would be rewarded: divide by the length of the reference."
    return f"{right:.4f} is right, not {got:.4f}: all edits over all characters of the references."


def _solve_corpus() -> object:
    def corpus_cer(refs, hyps):
        from vcemo_lib import asr

        counts = [asr.edits(ref, hyp) for ref, hyp in zip(refs, hyps, strict=True)]  # (edits, characters) each
        return sum(wrong for wrong, _ in counts) / sum(characters for _, characters in counts)

    return corpus_cer


corpus_cer = Exercise(
    title="the CER of a corpus",
    judge=_judge_corpus,
    solve=_solve_corpus,
    hints=("`vc.asr.edits(ref, hyp)` gives (edits, characters of ref) of one clip.", "Sum both over the clips before you divide."),
    praise="Right: pooled, so that every character weighs the same.",
    wrong={
        "mean of rates": (lambda: lambda rs, hs: np.mean([_levenshtein(r, h) / len(r) for r, h in zip(rs, hs, strict=True)]), "averaged"),
        "over the hypothesis": (lambda: lambda rs, hs: sum(map(_levenshtein, rs, hs)) / sum(map(len, hs)), "heard"),
    },
)

# ---- 3: how fast somebody speaks ----------------------------------------------------------------------------

_WORDS = [SimpleNamespace(text=text, start=start, end=end) for text, start, end in (("你", 0.5, 0.7), ("怎么", 0.7, 1.1), ("才", 1.1, 1.3), ("来？", 1.3, 1.5))]
_CLIP_S = 2.5


def _judge_rate(answer: object) -> str | None:
    got = float(answer(_WORDS, _CLIP_S))
    if np.isclose(got, 5.0):
        return None
    if np.isclose(got, 5 / _CLIP_S):
        return "you divided by the clip's length. The pause before and after is not speech; count from the first word's start to the last one's end."
    if np.isclose(got, 6.0):
        return "you counted the question mark: nobody hears that one."
    if np.isclose(got, 4.0):
        return "you counted words. A word may hold several characters, each of them a syllable."
    return f"here 5.0 characters are spoken a second, not {got:.2f}: 你怎么才来 within 1.0 s."


def _solve_rate() -> object:
    def rate(words, clip_seconds):  # Word(text, start, end) each -> characters a second while speaking
        spoken = sum(character.isalnum() for word in words for character in word.text)
        return spoken / (words[-1].end - words[0].start)

    return rate


rate = Exercise(
    title="how fast somebody speaks",
    judge=_judge_rate,
    solve=_solve_rate,
    hints=("`words[0].start` and `words[-1].end` say when speech begins and ends.", "`'？'.isalnum()` is False, `'来'.isalnum()` is True."),
    praise="Right. Angry speech is faster, sad speech slower: word times are prosody, too.",
    wrong={
        "over the whole clip": (lambda: lambda w, s: sum(c.isalnum() for x in w for c in x.text) / s, "clip's length"),
        "with punctuation": (lambda: lambda w, s: sum(len(x.text) for x in w) / (w[-1].end - w[0].start), "question mark"),
        "words": (lambda: lambda w, s: len(w) / (w[-1].end - w[0].start), "counted words"),
    },
)

# ---- the quiz -----------------------------------------------------------------------------------------------

QUESTIONS = (
    Question(
        "A recogniser writes 20 characters where 5 were said, all 5 of them right. What is its CER?",
        (
            ("300 %", True, "15 insertions over 5 characters said. CER has no upper bound: inventing counts."),
            ("0 %, since all that was said is there", False, "Insertions are errors, too."),
            ("75 %", False, "That is 15 of 20: the edits are divided by what was said, not by what was written."),
        ),
    ),
    Question(
        "CER falls from 14 % to 9 % although the model is the same. What may have happened?",
        (
            ("The texts were normalised before they were compared.", True, "Punctuation, numerals and Traditional characters can make up a large part of a raw rate."),
            ("The clips' rates were pooled instead of averaged.", True, "That changes the number as well: short clips weigh less. So say which of the two you did."),
            ("Temperature was set to zero.", False, "Possible in principle, but it changes the transcripts; here the transcripts are the same."),
        ),
    ),
    Question(
        "Why does Whisper write a sentence for a silent clip?",
        (
            ("Its training texts rarely were empty, so the decoder prefers some text over none.", True, "The decoder is a language model that looks at sound. Without sound the language model goes on alone."),
            ("The clip holds speech that is too soft to hear.", False, "An array of zeros holds nothing."),
            ("The prompt asks for it.", False, "It happens without a prompt as well, with other sentences."),
        ),
    ),
    Question(
        "On ASR text a model loses 4 points of UA, with an interval from -1 to 9. What may you write?",
        (
            ("On these clips a cost is likely but not certain; more speakers would tell.", True, "The interval holds zero, though most of it lies on one side."),
            ("ASR errors cost 4 points.", False, "That hides how uncertain it is."),
            ("ASR errors cost nothing.", False, "An interval that holds zero does not prove zero: it also holds 8."),
        ),
    ),
)
