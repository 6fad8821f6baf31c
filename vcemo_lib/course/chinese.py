"""Chinese for readers without Chinese: pinyin over every character, English beneath."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from html import escape

from vcemo_lib.corpora.sim import translations
from vcemo_lib.paths import repo_data

# 一 keeps its tone as an ordinal, among digits and at the end; 儿 is a syllable of its own in few words.
_DIGITS = "一二三四五六七八九十零"
_YI = re.compile(f"(?<![第周期初万统唯{_DIGITS}])一(?=[\u3400-\u9fff])(?![{_DIGITS}号月楼层]|年级|等奖|单元)")
_ER = re.compile("(?<=[\u3400-\u9fff])(?<![女幼婴孤胎])儿(?![子童媳戏科])")


@dataclass(frozen=True, repr=False)
class Gloss:
    """A Chinese text, a syllable for each of its characters ("" where it has none), and its English."""

    text: str
    syllables: tuple[str, ...]
    english: str = ""

    def __repr__(self) -> str:
        read = "".join(f" {s}" if s else c for c, s in zip(self.text, self.syllables, strict=True))
        read = " ".join(read.translate(str.maketrans("，。？！、：；“”", ",.?!,:;''")).split())
        return " ".join(filter(None, [self.text, f"({read})", self.english]))

    def _repr_html_(self) -> str:
        pairs = zip(map(escape, self.text), self.syllables, strict=True)
        read = "{}<rp>(</rp><rt>&thinsp;{}&thinsp;</rt><rp>)</rp>".format
        ruby = "".join(read(c, s) if s else f"{c}<rt></rt>" for c, s in pairs)
        below = f'<br><span lang="en" style="opacity: .8">{escape(self.english)}</span>' * bool(self.english)
        style = "display: inline-block; margin: .2em 1em .2em 0"  # colours are the page's, light or dark
        return f'<span style="{style}"><ruby lang="zh" style="font-size: 1.3em">{ruby}</ruby>{below}</span>'


def gloss(text: str, english: str | None = None) -> Gloss:
    """A Chinese text with pinyin and English, which is known of VCEMO-Sim's sentences: HTML, or a line."""
    return Gloss(text, tuple(pinyin(text)), translations().get(text, "") if english is None else english)


def pinyin(text: str) -> list[str]:
    """A syllable for each character, "" for what is not Chinese; 一, 不 and 儿 as read there (yì diǎn r)."""
    found = _reader()(text, errors=lambda run: [""] * len(run))
    changing, rhotic = ({match.start() for match in what.finditer(text)} for what in (_YI, _ER))
    for at, character in enumerate(text):
        falls = not set("àèìòùǜ").isdisjoint("".join(found[at + 1 : at + 2]))
        if character == "一":
            found[at] = "yī" if at not in changing else "yí" if falls else "yì"
        elif character == "不" and found[at] != "bu":
            found[at] = "bú" if falls else "bù"
        elif at in rhotic:
            found[at] = "r"
    return found


@lru_cache(maxsize=1)
def _reader() -> Callable[..., list[str]]:
    """The reader of pypinyin, taught neutral tones and the words of the corpus that it reads wrongly."""
    import pypinyin

    with (repo_data() / "vcemo_sim" / "readings.csv").open(encoding="utf-8", newline="") as file:
        pypinyin.load_phrases_dict({text: [[s] for s in read.split()] for text, read in csv.reader(file)})
    return partial(pypinyin.lazy_pinyin, style=pypinyin.Style.TONE)
