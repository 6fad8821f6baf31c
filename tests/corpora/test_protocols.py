"""Protocols test everybody once, keep choosing and reporting apart, and say where they do not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import vcemo_lib as vc
from vcemo_lib import VcemoError
from vcemo_lib.corpora import LABELS, Corpus
from vcemo_lib.corpora.protocols import PROTOCOLS, folds


def made(speakers: int, clips: int = 24, name: str = "toy") -> Corpus:
    """Every speaker says four sentences in six emotions; two speakers a session."""
    rows = [
        (f"{name}_{s}_{i}", f"{name}/s{s}/{LABELS[i % 6]}/{i // 6}.wav", f"句子{i // 6}", LABELS[i % 6],
         f"s{s}", f"session{s // 2}")
        for s in range(speakers) for i in range(clips)
    ]  # fmt: skip
    columns = ["utt_id", "audio", "text", "emotion", "speaker", "group"]
    return Corpus(name, Path("nowhere"), pd.DataFrame(rows, columns=columns).set_index("utt_id"))


def of(column: str, part: Corpus) -> set[str]:
    return set(part.table[column])


@pytest.mark.parametrize(("speakers", "apart"), [(2, False), (3, False), (4, False), (5, True), (10, True)])
def test_one_speaker_is_left_out_and_others_choose_where_there_are_enough(speakers: int, apart: bool) -> None:
    corpus = made(speakers, clips=36)
    protocol = folds("speakers", corpus, seed=1)
    tested = [utt_id for parts in protocol.folds.values() for utt_id in parts["test"].ids]
    assert sorted(tested) == sorted(corpus.ids) and len(protocol.folds) == speakers
    for name, parts in protocol.folds.items():
        assert of("speaker", parts["test"]) == {name}
        assert not of("speaker", parts["test"]) & (
            of("speaker", parts["train"]) | of("speaker", parts["val"])
        )
        assert of("speaker", parts["train"]).isdisjoint(of("speaker", parts["val"])) == apart
        assert not set(parts["train"].ids) & set(parts["val"].ids)
        assert of("emotion", parts["val"]) == set(LABELS)
        assert sum(map(len, parts.values())) == len(corpus)
    assert bool(protocol.note) != apart


@pytest.mark.parametrize(("name", "column"), [("speakers", "speaker"), ("text", "text"), ("random", None)])
def test_bundles_keep_groups_whole_and_test_each_clip_once(name: str, column: str | None) -> None:
    corpus = made(12)
    protocol = folds(name, corpus, k=3)
    assert len(protocol.folds) == 3 and {*protocol.folds} == {"1 of 3", "2 of 3", "3 of 3"}
    tested = [utt_id for parts in protocol.folds.values() for utt_id in parts["test"].ids]
    assert sorted(tested) == sorted(corpus.ids)
    for parts in protocol.folds.values():
        shares = parts["test"].table["emotion"].value_counts(normalize=True)
        assert shares.max() < 0.25  # six emotions, alike
        if column:
            assert not of(column, parts["test"]) & of(column, parts["train"])
    again, other = folds(name, corpus, k=3), folds(name, corpus, seed=7, k=3)
    first = protocol.folds["1 of 3"]["test"].ids
    assert again.folds["1 of 3"]["test"].ids == first != other.folds["1 of 3"]["test"].ids


def test_sessions_are_nested_and_the_papers_way_is_told_as_optimistic() -> None:
    corpus = made(10)
    honest, paper = folds("sessions", corpus), folds("sessions, paper", corpus)
    assert {*honest.folds} == {*paper.folds} == {f"session{i}" for i in range(5)}
    for parts in honest.folds.values():
        groups = [of("group", parts[part]) for part in ("train", "val", "test")]
        assert list(map(len, groups)) == [3, 1, 1] and len(set.union(*groups)) == 5
    for name, parts in paper.folds.items():
        assert parts["val"].ids == parts["test"].ids and of("group", parts["test"]) == {name}
        assert len(of("group", parts["train"])) == 4
    assert not honest.note and paper.note.startswith("optimistic")


def test_the_papers_split_is_one_fold() -> None:
    ((_, parts),) = folds("8/1/1", made(10), seed=3).folds.items()
    assert parts["test"].ids == vc.splits.random(made(10), seed=3)["test"].ids


def test_two_sentences_are_each_tested_once() -> None:
    corpus = made(4, clips=12)
    protocol = folds("text", corpus)
    assert len(protocol.folds) == 2 and "speakers leak" in protocol.note and "training" in protocol.note


def test_cross_corpus_keeps_the_labels_that_both_have() -> None:
    one, other = made(6), made(3, name="other")
    other = replace(other, table=other.table[~other.table["emotion"].isin(["fear", "surprise"])])
    ((name, parts),) = folds("cross-corpus", one, other=other).folds.items()
    assert name == "toy to other" and len(parts["test"]) == len(other)
    assert {part.labels for part in parts.values()} == {("angry", "happy", "neutral", "sad")}
    assert of("speaker", parts["train"]).isdisjoint(of("speaker", parts["val"]))
    kept = one.table["emotion"].isin(parts["test"].labels)
    assert {*parts["train"].ids, *parts["val"].ids} == {*one.subset(kept).ids}
    lone = replace(other, table=other.table[other.table["emotion"] == "sad"])
    with pytest.raises(VcemoError, match="share 1 labels"):
        folds("cross-corpus", one, other=lone)


def listed(folder: Path, part: str, rows: list[str], fold: int = 1) -> None:
    file = folder / f"fold_{fold}" / f"toy_{part}_fold_{fold}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"key": f"toy-{i}", "wav": f"downloads/{row}"}) for i, row in enumerate(rows)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_emobox_lists_find_their_clips_by_the_end_of_the_path(tmp_path: Path) -> None:
    corpus = made(4)
    audio = corpus.table["audio"]  # 0.wav lies in many folders
    for fold, left in ((1, "s0"), (2, "s1"), (10, "s2")):
        out = corpus.table["speaker"] == left
        listed(tmp_path, "train", audio[~out].tolist(), fold)
        listed(tmp_path, "test", [*audio[out], "toy/s0/calm/0.wav"], fold)
    protocol = folds("emobox", corpus, files=tmp_path)
    assert [*protocol.folds] == ["fold_1", "fold_2", "fold_10"] and "3 clips" in protocol.note
    parts = protocol.folds["fold_2"]
    assert of("speaker", parts["test"]) == {"s1"} and len(parts["test"]) == 24
    assert abs(len(parts["val"]) - 72 / 5) < 2 and not set(parts["val"].ids) & set(parts["train"].ids)
    listed(tmp_path, "valid", audio[corpus.table["speaker"] == "s3"].tolist())
    assert of("speaker", folds("emobox", corpus, files=tmp_path).folds["fold_1"]["val"]) == {"s3"}


def test_what_cannot_be_done_is_told(tmp_path: Path) -> None:
    corpus = made(1)
    with pytest.raises(VcemoError, match="choose among"):
        folds("loso", corpus)
    with pytest.raises(VcemoError, match="two groups"):
        folds("speakers", corpus)
    with pytest.raises(VcemoError, match="no column 'group'"):
        folds("sessions", replace(corpus, table=corpus.table.drop(columns="group")))
    with pytest.raises(VcemoError, match="no folder fold_1"):
        folds("emobox", corpus, files=tmp_path)
    listed(tmp_path, "train", ["else/1.wav"])
    with pytest.raises(VcemoError, match="no clip of this corpus"):
        folds("emobox", corpus, files=tmp_path)
    segments = replace(corpus, table=corpus.table.assign(audio="one.wav"))
    with pytest.raises(VcemoError, match="several utterances lie in one file"):
        folds("emobox", segments, files=tmp_path)


def test_every_protocol_is_described() -> None:
    assert all(f'"{name}"' in str(folds.__doc__) for name in PROTOCOLS)


def test_a_hundred_thousand_rows_are_dealt_in_seconds() -> None:
    import time

    n = 100_000
    rng = np.random.default_rng(0)
    columns = {"audio": "a.wav", "text": "句", "emotion": rng.choice(LABELS, n)}
    speakers = rng.integers(20, size=n).astype(str)
    table = pd.DataFrame(columns | {"speaker": speakers}, pd.Index(map(str, range(n)), name="utt_id"))
    start = time.process_time()
    protocol = folds("speakers", Corpus("large", Path("nowhere"), table), k=3)
    assert sum(len(parts["test"]) for parts in protocol.folds.values()) == n
    assert time.process_time() - start < 20
