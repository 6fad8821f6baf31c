"""Manifests: good ones are read, every bad row is named with its line and reason."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vcemo_lib import VcemoError, load_corpus
from vcemo_lib.corpora import LABELS, four, splits
from vcemo_lib.corpora.manifest import parse_votes

HEADER = "utt_id,audio,text,emotion,speaker,votes,start,end\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * np.sin(np.arange(8000) / 10), 16_000)
    (tmp_path / "empty.wav").write_bytes(b"")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    return tmp_path


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    (folder / "manifest.csv").write_text(header + "\n".join(rows) + "\n", encoding="utf-8")
    return folder / "manifest.csv"


def test_a_good_manifest_is_read(folder: Path) -> None:
    corpus = load_corpus(
        write(folder, "u1,a.wav,你好,happy,s1,happy:2 sad:1,,", 'u2,b.wav,"别走，求你",sad,s2,,0.1,0.4')
    )
    assert len(corpus) == 2 and corpus.ids == ["u1", "u2"] and not corpus.simulated
    assert corpus.y().tolist() == [LABELS.index("happy"), LABELS.index("sad")]
    assert corpus.table.at["u1", "votes"] == {"happy": 2, "sad": 1}
    assert corpus.text_of("u2") == "别走，求你" and corpus.path("u1").is_file()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("u1,a.wav,你好,joyful,s1,,,", "unknown emotion 'joyful'"),
        ("u1,gone.wav,你好,happy,s1,,,", "no audio file 'gone.wav'"),
        ("u1,empty.wav,你好,happy,s1,,,", "is empty, or no file"),
        ("u1,../a.wav,你好,happy,s1,,,", "leads out of the corpus"),
        ("u1,a/../../a.wav,你好,happy,s1,,,", "leads out of the corpus"),
        ("u1,a\\..\\a.wav,你好,happy,s1,,,", "leads out of the corpus"),
        ("u1,/a.wav,你好,happy,s1,,,", "leads out of the corpus"),
        ("u1,C:a.wav,你好,happy,s1,,,", "leads out of the corpus"),
        ("u1,..a.wav,你好,happy,s1,,,", "no audio file"),
        ("u1,a.wav,你好,happy,,,,", "empty speaker"),
        (",a.wav,你好,happy,s1,,,", "empty utt_id"),
        ("u1,a.wav,你好,happy,s1,happy 2,,", "votes 'happy 2'"),
        ("u1,a.wav,你好,happy,s1,glad:2,,", "votes 'glad:2' are not of the form"),
        ("u1,a.wav,你好,happy,s1,,0.5,0.2", "is not before end"),
        ("u1,a.wav,你好,happy,s1,,zero,1", "not a number of seconds"),
        ("u1,a.wav,你好,happy,s1,,,inf", "'inf' is not a number of seconds"),
        ("u1,a.wav,你好,happy,s1,,1_0,20", "'1_0' is not a number of seconds"),
        ("u1,a.wav,你好,happy,s1,,-1,", "'-1' is not a number of seconds"),
        ('u1,a.wav,你好,happy,s1,"{""happy"": null}",,', "are not of the form"),
        ('u1,a.wav,你好,happy,s1,"{""happy"": [1]}",,', "are not of the form"),
        ('u1,a.wav,你好,happy,s1,"{""happy"": 1e400}",,', "are not of the form"),
        ("u1,a.wav,你好,happy,s1,[1],,", "are not of the form"),
        ("u1,a.wav,你好,happy,s1,happy:1_0,,", "are not of the form"),
        ('u1,a.wav,你好,happy,s1,"' + '{""a"":' * 100_000 + '",,', "are not of the form"),
        ("u1," + "a" * 300 + ".wav,你好,happy,s1,,,", "no audio file"),
        ("u1,pipe,你好,happy,s1,,,", "'pipe' is empty, or no file"),
        ("u1", "empty speaker"),
    ],
)
def test_a_bad_row_is_refused_with_its_line_and_reason(folder: Path, row: str, reason: str) -> None:
    manifest = write(folder, "u0,b.wav,你好,happy,s1,,,", row)
    with pytest.raises(VcemoError) as caught:
        load_corpus(manifest)
    assert (
        "line 3: " in str(caught.value)
        and reason in str(caught.value)
        and "manifest.csv" in str(caught.value)
    )


def test_all_bad_rows_are_told_at_once(folder: Path) -> None:
    with pytest.raises(VcemoError) as caught:
        load_corpus(
            write(
                folder,
                "u1,a.wav,你好,joyful,s1,,,",
                "u1,b.wav,你好,happy,s1,,,",
                "u3,gone.wav,你好,sad,s1,,,",
            )
        )
    told = str(caught.value)
    assert (
        told.startswith("3 bad row(s)")
        and "duplicate utt_id 'u1', first on line 2" in told
        and "line 4: no audio file" in told
    )


def test_lines_are_those_of_the_file(folder: Path) -> None:
    """Blank lines are skipped and a quoted cell may hold a line break; both count."""
    rows = ["u0,b.wav,你好,happy,s1,,,", "", 'u1,a.wav,"你\n好",happy,s1,,,', "u2,a.wav,你好,joyful,s1,,,"]
    with pytest.raises(VcemoError, match=r"1 bad row\(s\) .*\n  line 6: unknown emotion 'joyful'"):
        load_corpus(write(folder, *rows))
    assert load_corpus(write(folder, *rows[:3])).ids == ["u0", "u1"]


def test_100_000_rows_are_checked_and_split_fast(folder: Path) -> None:
    rows = [
        f"u{i},{'abc'[i % 3]}.wav,第{i}句,{LABELS[i * 7919 % 6]},s{i % 999},happy:2 sad:1,{i % 9},{i % 9 + 1}"
        for i in range(100_000)
    ]
    load_corpus(write(folder, *rows[:100]))  # pandas is imported
    manifest = write(folder, *rows)
    start = time.process_time()
    corpus = load_corpus(manifest)
    for split in (splits.by_speaker, splits.by_text, splits.random):
        assert sum(map(len, split(corpus).values())) == 100_000
    assert time.process_time() - start < 5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in the file system")
def test_what_is_no_file_is_no_manifest(folder: Path) -> None:
    os.mkfifo(folder / "pipe.csv")
    (folder / "folder.csv").mkdir()
    for name in ("pipe.csv", "folder.csv"):
        with pytest.raises(VcemoError, match="is not a file"):
            load_corpus(folder / name)


def test_a_row_with_more_cells_than_the_header_is_refused(folder: Path) -> None:
    with pytest.raises(VcemoError, match="not a readable CSV file: [^\n]*\\(.*manifest.csv\\)"):
        load_corpus(write(folder, "u1,a.wav,你好,happy,s1,,,", "u2,a.wav,你好,happy,s1,,,,,,"))


def test_escape_codes_in_names_are_shown_and_not_sent_to_the_terminal(folder: Path) -> None:
    with pytest.raises(VcemoError) as caught:
        load_corpus(folder / "\x1b[31m\x9b\u202ered.csv")
    assert "\\x1b[31m\\x9b\\u202ered.csv" in str(caught.value) and str(caught.value).isprintable()


def test_a_corpus_is_written_as_the_manifest_that_it_was_read_from(folder: Path) -> None:
    corpus = load_corpus(
        write(folder, "u1,a.wav,你好,happy,s1,happy:2 sad:1,,", "u2,b.wav,别走,sad,s2,,0.1,0.4")
    )
    (folder / "again.csv").write_text(corpus.to_csv(), encoding="utf-8")
    assert load_corpus(folder / "again.csv").table.equals(corpus.table)


def test_unknown_names_missing_files_and_columns_are_told(folder: Path) -> None:
    with pytest.raises(VcemoError, match="unknown corpus 'savee'"):
        load_corpus("savee")
    with pytest.raises(VcemoError, match="no such manifest"):
        load_corpus(folder / "none.csv")
    with pytest.raises(VcemoError, match="lacks the column.*speaker"):
        load_corpus(write(folder, "u1,a.wav,你好,happy", header="utt_id,audio,text,emotion\n"))
    with pytest.raises(VcemoError, match="no rows"):
        load_corpus(write(folder))
    with pytest.raises(VcemoError, match="not released"):
        load_corpus("vcemo")
    (folder / "binary.csv").write_bytes(b"\xff\xfe\x00\x01" * 20)
    with pytest.raises(VcemoError, match="not a readable CSV"):
        load_corpus(folder / "binary.csv")


def test_vcemo_maps_its_labels(folder: Path) -> None:
    write(folder, "u1,a.wav,你好,Anger,s1,,,", "u2,b.wav,你好,surprised,s2,,,")
    assert load_corpus("vcemo", root=folder).table["emotion"].tolist() == ["angry", "surprise"]


def test_subset_four_and_fingerprint(folder: Path) -> None:
    corpus = load_corpus(
        write(folder, "u1,a.wav,一,happy,s1,,,", "u2,b.wav,二,fear,s2,,,", "u3,c.wav,三,sad,s2,,,")
    )
    assert four(corpus).ids == ["u1", "u3"] and four(corpus).y().tolist() == [1, 3]
    assert corpus.subset(["u3", "u1"]).ids == ["u3", "u1"]
    assert (
        corpus.fingerprint() == corpus.subset(corpus.ids).fingerprint() != corpus.subset(["u1"]).fingerprint()
    )
    with pytest.raises(VcemoError, match="no ASR transcripts"):
        corpus.text_of("u1", "asr")


def test_votes_are_counts_of_labels() -> None:
    assert parse_votes("angry:2 sad:1") == parse_votes("angry:2;sad:1") == {"angry": 2, "sad": 1}
    assert parse_votes("") == {} and parse_votes("sad:2.0") == {"sad": 2}
    with pytest.raises(ValueError, match="not a count"):
        parse_votes("sad:-1")
