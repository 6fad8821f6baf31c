"""Character errors: what sounds alike is one text, distances follow their definition, groups are pooled."""

from __future__ import annotations

import random
from pathlib import Path

import pandas as pd
import pytest

from vcemo_lib import VcemoError
from vcemo_lib.cer import align, cer, cer_table, edits, normalise, to_simplified
from vcemo_lib.corpora import Corpus


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
        ("10年前", "十年前"),
        ("98年", "九八年"),
        ("12345678901234567.5", "一二三四五六七八九零一二三四五六七点五"),
        ("205.07", "二百零五点零七"),
    ],
)
def test_what_sounds_alike_is_written_alike(written: str, read: str) -> None:
    assert normalise(written) == normalise(read)
    assert normalise(normalise(written)) == normalise(written)


@pytest.mark.parametrize(
    ("number", "read"),
    [
        (0, "零"), (10, "十"), (20, "二十"), (101, "一百零一"), (110, "一百一十"), (1010, "一千零一十"),
        (10_001, "一万零一"), (110_000, "十一万"), (200_000, "二十万"),
        (1_234_560_000, "十二亿三千四百五十六万"),
    ],
)  # fmt: skip
def test_numbers_follow_the_rules_of_counting(number: int, read: str) -> None:
    assert normalise(str(number)) == normalise(read)


def test_characters_are_simplified_each_by_itself() -> None:
    assert to_simplified("後面的牆和墻") == "后面的墙和墙"
    assert to_simplified("别打坏了") == "别打坏了", (
        "what is Simplified stays; OpenCC's phrases would make it 打坯"
    )


def slow_distance(a: str, b: str) -> int:
    """Levenshtein by its definition."""
    if not a or not b:
        return len(a) + len(b)
    return min(
        slow_distance(a[1:], b) + 1, slow_distance(a, b[1:]) + 1, slow_distance(a[1:], b[1:]) + (a[0] != b[0])
    )


def test_cer_and_alignment_against_the_definition() -> None:
    rng = random.Random(0)
    for _ in range(60):
        ref, hyp = ("".join(rng.choices("天地人", k=rng.randint(0, 5))) for _ in range(2))
        steps = align(ref, hyp)
        assert "".join(r for _, r, _ in steps) == ref and "".join(h for _, _, h in steps) == hyp
        assert all((op == "=") == (r == h) for op, r, h in steps)
        assert (
            edits(ref, hyp)
            == (sum(op != "=" for op, _, _ in steps), len(ref))
            == (slow_distance(ref, hyp), len(ref))
        )
    assert cer("今天天气好", "今天天汽真好") == 2 / 5
    assert cer(["天", "地地地"], ["人", "地地地"]) == 1 / 4, "lists are pooled, not averaged"
    assert cer("", "") == 0 and cer("", "好") == float("inf")


def toy_corpus() -> tuple[Corpus, dict[str, str]]:
    rows = [
        (f"u{i}", f"{i}.wav", "一二三四五"[: 1 + i % 5], ("sad", "happy")[i % 2], f"s{i % 4}")
        for i in range(40)
    ]
    table = pd.DataFrame(rows, columns=["utt_id", "audio", "text", "emotion", "speaker"]).set_index("utt_id")
    hyps = {u: text if i % 3 else "" for i, (u, text) in enumerate(table["text"].items())}
    return Corpus("toy", Path("."), table), hyps


def test_cer_by_group_is_the_pooled_rate_with_an_interval_around_it() -> None:
    corpus, hyps = toy_corpus()
    table = cer_table(corpus, hyps)
    assert list(table.index) == ["happy", "sad", "all"] and table.loc["all", "clips"] == 40
    wrong = sum(len(corpus.text_of(u)) for u in corpus.ids if not hyps[u])
    assert table.loc["all", "cer"] == pytest.approx(wrong / sum(len(corpus.text_of(u)) for u in corpus.ids))
    assert (table["low"] <= table["cer"]).all() and (table["cer"] <= table["high"]).all()
    assert (table["low"] < table["high"]).all()
    assert cer_table(corpus, pd.Series(hyps)).equals(table), "the same seed, the same table"
    assert cer_table(corpus, hyps, by="length").loc["all"].equals(table.loc["all"])
    assert len(cer_table(corpus, hyps, by="speaker")) == 5
    with pytest.raises(VcemoError, match="no column 'mood'"):
        cer_table(corpus, hyps, by="mood")
    with pytest.raises(VcemoError, match="1 clips have no transcript"):
        cer_table(corpus, {u: t for u, t in hyps.items() if u != "u7"})
