"""Splits share what they promise to share and nothing else, and the audit finds what leaks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vcemo_lib import VcemoError
from vcemo_lib.corpora import LABELS, Corpus, splits


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """600 utterances, 30 speakers, 100 sentences, 5 sessions, unequal classes; files of distinct bytes."""
    root = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(600):
        (root / f"{i}.wav").write_bytes(i.to_bytes(4, "little"))
        speaker = int(rng.integers(30))
        rows.append(
            (
                f"u{i}",
                f"{i}.wav",
                f"句子{rng.integers(100)}",
                LABELS[int(rng.choice(6, p=[0.2, 0.1, 0.2, 0.3, 0.15, 0.05]))],
                f"s{speaker}",
                f"g{speaker % 5}",
            )
        )
    table = pd.DataFrame(rows, columns=["utt_id", "audio", "text", "emotion", "speaker", "group"]).set_index(
        "utt_id"
    )
    return Corpus("toy", root, table)


@pytest.mark.parametrize(("split", "column"), [(splits.by_speaker, "speaker"), (splits.by_text, "text")])
def test_a_grouped_split_shares_no_group_and_keeps_the_shares(corpus: Corpus, split, column: str) -> None:
    parts = split(corpus, seed=3)
    sets = [set(parts[p].table[column]) for p in ("train", "val", "test")]
    assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])
    assert sum(len(p) for p in parts.values()) == 600
    for part, share in zip(("train", "val", "test"), splits.FRACTIONS, strict=True):
        assert abs(len(parts[part]) / 600 - share) < 0.05
        assert set(parts[part].table["emotion"]) == set(LABELS)


def test_random_is_stratified_and_seeded(corpus: Corpus) -> None:
    one, same, other = (splits.random(corpus, seed=s) for s in (1, 1, 2))
    assert one["test"].ids == same["test"].ids != other["test"].ids
    whole = corpus.table["emotion"].value_counts(normalize=True)
    assert np.abs(one["train"].table["emotion"].value_counts(normalize=True) - whole).max() < 0.02


def test_the_audit_finds_each_kind_of_leak(corpus: Corpus) -> None:
    leaks = splits.audit(splits.random(corpus))
    assert {"speaker", "sentence"} == set(leaks["leak"])
    assert set(splits.audit(splits.by_speaker(corpus))["leak"]) == {"sentence"}
    assert "speaker" not in set(
        splits.audit(
            {
                "train": corpus.subset(["u1"]),
                "test": corpus.subset(corpus.table["speaker"] != corpus.table.at["u1", "speaker"]),
            }
        )["leak"]
    )
    twin = corpus.subset(["u1"])
    assert set(splits.audit({"train": twin, "test": twin})["leak"]) == {"speaker", "sentence", "audio"}


@pytest.mark.parametrize(
    "same",
    ["你好！", "你好…", "“你好”", "—你好——", "你　好", "《你好》", "（你好）", "~你\u200b好~", "你好\n"],
)
def test_a_sentence_is_its_letters_and_digits(corpus: Corpus, same: str) -> None:
    assert splits.bare(same) == splits.bare("你好") == "你好" and splits.bare("ＡＢ１２ﬁ") == "AB12fi"
    one, other = (
        corpus.subset(["u1"]).with_column("text", same),
        corpus.subset(["u2"]).with_column("text", "你好"),
    )
    assert "sentence" in set(splits.audit({"train": one, "test": other})["leak"])
    assert splits.bare("你好吗") != splits.bare("你好") and splits.bare("नमस्ते") == "नमस्ते"


def test_two_segments_of_one_recording_are_not_identical_audio(corpus: Corpus) -> None:
    def leaks(*segments: tuple[float, float]) -> set[str]:
        table = corpus.table.loc[["u1", "u2"]].assign(audio="1.wav", speaker=["a", "b"], text=["一", "二"])
        both = Corpus(
            "toy", corpus.root, table.assign(start=[s for s, _ in segments], end=[e for _, e in segments])
        )
        return set(splits.audit({"train": both.subset(["u1"]), "test": both.subset(["u2"])})["leak"])

    whole = (float("nan"), float("nan"))
    assert leaks((0.0, 1.0), (1.0, 2.0)) == set() == leaks((0.0, 1.0), whole)
    assert leaks((0.0, 1.0), (0.0, 1.0)) == {"audio"} == leaks(whole, whole)


def test_a_clean_split_audits_empty(corpus: Corpus) -> None:
    table = corpus.table.assign(text=[f"{s}{i}" for i, s in enumerate(corpus.table["speaker"])])
    assert splits.audit(splits.by_speaker(Corpus("clean", corpus.root, table))).empty


def test_leave_one_group_out_keeps_choosing_and_reporting_apart(corpus: Corpus) -> None:
    tested = []
    for name, parts in splits.leave_one_group_out(corpus):
        tested.append(name)
        groups = {part: set(c.table["group"]) for part, c in parts.items()}
        assert groups["test"] == {name} and len(groups["val"]) == 1 and len(groups["train"]) == 3
        assert not groups["val"] & groups["test"] and not (groups["val"] | groups["test"]) & groups["train"]
    assert sorted(tested) == [f"g{i}" for i in range(5)]


def test_what_cannot_be_split_is_told(corpus: Corpus) -> None:
    with pytest.raises(VcemoError, match="no train/val/test split"):
        splits.given(corpus)
    with pytest.raises(VcemoError, match="at least three groups"):
        splits.by_speaker(corpus.subset(corpus.table["speaker"] == "s1"))
    with pytest.raises(VcemoError, match="add up to 1"):
        splits.random(corpus, fractions=(0.5, 0.1, 0.1))
