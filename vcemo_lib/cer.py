"""Character error rate of Mandarin transcripts: normalise two texts, align them, count the edits."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import zip_longest

import numpy as np
import pandas as pd
from rapidfuzz.distance import Levenshtein

from vcemo_lib.corpora import Corpus
from vcemo_lib.errors import VcemoError

_DIGITS = str.maketrans("0123456789", "零一二三四五六七八九")
# Characters that sound alike and mean the same here, and what OpenCC leaves as it depends on the context.
_SAME = str.maketrans("两〇妳甚祂牠裏著", "二零你什他它里着")
_MARKS = {"equal": "=", "replace": "~", "delete": "-", "insert": "+"}
_LENGTHS = {0: "1-5", 5: "6-8", 8: "9-11", 11: "12-15", 15: "16 and more"}  # characters, more than the key


@lru_cache(maxsize=1)
def _simplified() -> dict[int, str]:
    """OpenCC's Simplified character for each Traditional one."""
    from opencc import OpenCC

    convert = OpenCC("t2s").convert
    return {code: convert(chr(code)) for code in range(0x3400, 0xA000)}


def to_simplified(text: str) -> str:
    """Traditional characters to Simplified, each by itself: OpenCC's phrases would turn 打坏 into 打坯."""
    return text.translate(_simplified())


def _read_number(match: re.Match[str]) -> str:
    """A number as it is read in Mandarin: digit by digit where it is a year or a telephone number."""
    from cn2an import an2cn

    whole, fraction = match.groups()
    after = match.string[match.end() : match.end() + 2]
    counted = len(whole) == 2 and after[1:] in set("前后来间内里多")  # 10年前: ten years ago, not the year 10
    year = after[:1] == "年" and len(whole) in (2, 4) and not counted
    telephone = len(whole) > 6 and not whole.endswith("0000") or whole.startswith("0")
    by_digit = len(whole) > 16 or (year or telephone) and not fraction  # cn2an reads 16 digits
    read = whole.translate(_DIGITS) if by_digit else an2cn(whole)
    return f"{read}点{fraction.translate(_DIGITS)}" if fraction else read


def _read_time(match: re.Match[str]) -> str:
    hour, minute = map(int, match.groups())
    return f"{hour}点{minute}分" if minute else f"{hour}点"


def normalise(text: str) -> str:
    """A text as it is compared: half width, lower case, Simplified, numbers as read, no punctuation."""
    text = to_simplified(unicodedata.normalize("NFKC", text).lower()).translate(_SAME)
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    text = re.sub(r"(\d+(?:\.\d+)?)%", r"百分之\1", text)
    text = re.sub(r"(\d{1,2}):(\d{2})(?!\d)", _read_time, text)
    text = re.sub(r"([0-9]+)(?:\.([0-9]+))?", _read_number, text)
    return "".join(c for c in text if unicodedata.category(c)[0] in "LNM")  # letters, numbers and marks


def align(ref: str, hyp: str) -> list[tuple[str, str, str]]:
    """Two texts, normalised, aligned: (op, of ref, of hyp) each; "=" same, "~" other, "-" lost, "+" new."""
    ref, hyp, found = normalise(ref), normalise(hyp), []
    for step in Levenshtein.opcodes(ref, hyp):
        before, after = ref[step.src_start : step.src_end], hyp[step.dest_start : step.dest_end]
        found += [(_MARKS[step.tag], r, h) for r, h in zip_longest(before, after, fillvalue="")]
    return found


def edits(ref: str, hyp: str, clean: Callable[[str], str] = normalise) -> tuple[int, int]:
    """(number of edits, number of characters in ref), both texts put through `clean` first."""
    ref = clean(ref)
    return Levenshtein.distance(ref, clean(hyp)), len(ref)


def cer(ref: str | Sequence[str], hyp: str | Sequence[str], clean: Callable[[str], str] = normalise) -> float:
    """Character error rate of a pair, or pooled over two lists; `clean` goes first (`str`: as written)."""
    if isinstance(ref, str) and isinstance(hyp, str):
        ref, hyp = [ref], [hyp]
    counts = [edits(r, h, clean) for r, h in zip(ref, hyp, strict=True)]
    wrong, characters = map(sum, zip((0, 0), *counts, strict=True))
    return wrong / characters if characters else (float("inf") if wrong else 0.0)


def cer_table(
    corpus: Corpus, hyps: Mapping[str, str] | pd.Series, by: str = "emotion", n: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """CER by a column or by "length", and over "all": clips, characters, cer, low, high (95 %)."""
    if missing := [utt_id for utt_id in corpus.ids if utt_id not in hyps]:
        raise VcemoError(f"{len(missing)} clips have no transcript", missing[0], "transcribe all")
    if by != "length" and by not in corpus.table:
        raise VcemoError(f"no column {by!r} in the manifest", do='choose "length" or a column')
    counts = pd.DataFrame([edits(corpus.text_of(u), hyps[u]) for u in corpus.ids], dtype=float)  # (N, 2)
    lengths = pd.cut(counts[1], [*_LENGTHS, np.inf], labels=list(_LENGTHS.values()))
    groups = lengths if by == "length" else corpus.table[by].set_axis(counts.index)
    rng, speakers, rows = np.random.default_rng(seed), corpus.table["speaker"].to_numpy(), {}
    for name, part in [*counts.groupby(groups, observed=True), ("all", counts)]:
        sums = part.groupby(speakers[part.index]).sum()  # (speakers, 2)
        sums = (sums if len(sums) > 1 else part).to_numpy()
        drawn = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=n) @ sums  # (n, 2)
        low, high = np.percentile(drawn[:, 0] / np.maximum(drawn[:, 1], 1), [2.5, 97.5])
        wrong, characters = part.sum()
        rate = wrong / max(characters, 1)
        rows[name] = dict(clips=len(part), characters=int(characters), cer=rate, low=low, high=high)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(by)
