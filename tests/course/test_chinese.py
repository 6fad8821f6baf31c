"""Chinese for readers without Chinese: pinyin as it is read, HTML for pages and for ears."""

import re
from xml.etree import ElementTree

import pytest

import vcemo_lib as vc
from vcemo_lib.course import chinese

HAN = re.compile("[\u3400-\u9fff]")


@pytest.mark.parametrize(
    "text, read",
    [
        ("别动。", "bié dòng"),
        ("她不会去，我不来。", "tā bú huì qù wǒ bù lái"),  # 不 rises before a fourth tone
        ("等一下，一起走一天", "děng yí xià yì qǐ zǒu yì tiān"),  # 一 falls, and rises before a fourth tone
        ("第一名是周一，万一十一点", "dì yī míng shì zhōu yī wàn yī shí yī diǎn"),
        ("一年级，第二十一号，一三五", "yī nián jí dì èr shí yī hào yī sān wǔ"),
        ("小点儿声，女儿在幼儿园", "xiǎo diǎn r shēng nǚ ér zài yòu ér yuán"),
        ("妈妈，舍不得你", "mā ma shě bu de nǐ"),  # neutral tones
        ("你跑得快，还得去海边", "nǐ pǎo de kuài hái děi qù hǎi biān"),
        ("得了三朵，又得去", "dé le sān duǒ yòu děi qù"),
        ("还钱，还在银行，行了", "huán qián hái zài yín háng xíng le"),  # one character, two readings
        ("我刚睡着，他看着我", "wǒ gāng shuì zháo tā kàn zhe wǒ"),
        ("南京市长江大桥，学会计", "nán jīng shì cháng jiāng dà qiáo xué kuài jì"),
        ("Whisper says OK 3", ""),
    ],
)
def test_pinyin_is_what_a_speaker_reads(text: str, read: str) -> None:
    found = chinese.pinyin(text)
    assert " ".join(filter(None, found)) == read
    assert len(found) == len(text)


def test_every_sentence_and_transcript_gets_a_syllable_for_each_character() -> None:
    table = vc.load_corpus("sim").table
    for text in {*table["text"], *table["asr"]}:
        syllables = chinese.pinyin(text)
        assert [bool(s) for s in syllables] == [bool(HAN.match(c)) for c in text], text
        assert not any(HAN.search(s) for s in syllables), text


def test_gloss_is_ruby_with_a_text_twin() -> None:
    glossed = chinese.gloss("别关灯，求你了，别关灯！")
    assert glossed.english.startswith("Don't turn off the light"), "a sentence of the corpus is translated"
    assert "(bié guān dēng, qiú nǐ le, bié guān dēng!) Don't turn" in repr(glossed)
    ruby = ElementTree.fromstring(glossed._repr_html_().replace("<br>", "<br/>").replace("&thinsp;", ""))[0]
    assert ruby.get("lang") == "zh"
    assert [rt.text for rt in ruby.findall("rt")][:5] == ["bié", "guān", "dēng", None, "qiú"]
    assert "".join(ruby.itertext()).startswith("别(bié)关(guān)灯(dēng)，求"), "read where ruby is not known"
    assert "color" not in glossed._repr_html_(), "light or dark, the colours are the page's"


def test_gloss_of_anything_else() -> None:
    assert repr(chinese.gloss("行", "all right; a row")) == "行 (xíng) all right; a row"
    assert repr(chinese.gloss("行")) == "行 (xíng)"
    assert "<script" not in chinese.gloss("<script>", "<script>")._repr_html_()
