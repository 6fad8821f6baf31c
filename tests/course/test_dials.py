"""Dials of notebook 05: each draws training parts that differ in one thing alone."""

from __future__ import annotations

import pytest

import vcemo_lib as vc
from vcemo_lib.course import dials


@pytest.fixture(scope="module")
def parts() -> dict[str, vc.Corpus]:
    return vc.splits.given(vc.load_corpus("sim"))


def test_the_dial_of_ambiguity_changes_the_votes_alone(parts: dict[str, vc.Corpus]) -> None:
    train = parts["train"]
    drawn = dials.by_votes(train, seed=1)
    for kind, votes in (("unanimous", {3}), ("split", {2})):
        assert {max(v.values()) for v in drawn[kind].table["votes"]} == votes
        assert set(drawn[kind].ids) <= set(train.ids)
    counts = [part.table["emotion"].value_counts().to_dict() for part in drawn.values()]
    assert counts[0] == counts[1] and sum(counts[0].values()) > 500
    assert (
        drawn["split"].ids
        == dials.by_votes(train, seed=1)["split"].ids
        != dials.by_votes(train, seed=2)["split"].ids
    )


def test_the_dial_of_imbalance_changes_the_mix_alone(parts: dict[str, vc.Corpus]) -> None:
    train = parts["train"]
    drawn = dials.by_mix(train, 600)
    assert {len(part) for part in drawn.values()} == {600}
    count = {name: part.table["emotion"].value_counts() for name, part in drawn.items()}
    assert set(count["balanced"]) == {100}
    assert count["paper's mix"][["fear", "surprise"]].sum() == 15  # 2.5 % of 600
    share = train.table["emotion"].value_counts(normalize=True)
    assert all(abs(count["as it is"][label] - 600 * share[label]) < 1 for label in vc.LABELS)
    rarest = train.table["emotion"].value_counts().min()
    assert {len(part) for part in dials.by_mix(train).values()} == {
        6 * rarest
    }  # as many as the rarest emotion allows
    with pytest.raises(vc.VcemoError, match="200 utterances of .* wanted, there are"):
        dials.by_mix(train, 1200)


def test_the_dials_leave_validation_and_test_as_they_are(parts: dict[str, vc.Corpus]) -> None:
    turned = dials.dials(parts)
    assert list(turned) == ["unanimous", "split", "balanced", "as it is", "paper's mix"]
    assert len({len(setting["train"]) for setting in turned.values()}) == 1
    assert all(
        setting["val"] is parts["val"] and setting["test"] is parts["test"] for setting in turned.values()
    )


def test_an_emotion_without_utterances(parts: dict[str, vc.Corpus]) -> None:
    without = parts["train"].subset((parts["train"].table["emotion"] != "fear").to_numpy())
    drawn = dials.by_votes(without)
    assert len(drawn["split"]) == len(drawn["unanimous"]) > 400
    with pytest.raises(vc.VcemoError, match="no utterances of fear"):
        dials.dials({**parts, "train": without})
    with pytest.raises(vc.VcemoError, match="no utterances of fear, surprise"):
        dials.by_mix(vc.corpora.four(parts["train"]))
