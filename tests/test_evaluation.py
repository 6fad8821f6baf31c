"""Scores against scikit-learn and against counting by hand; intervals against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from vcemo_lib.errors import VcemoError
from vcemo_lib.evaluation import (
    bootstrap,
    confusion,
    fleiss_kappa,
    from_counts,
    interval,
    majority,
    mcnemar,
    paired_bootstrap,
    scores,
)  # fmt: skip


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_wa_is_accuracy_and_ua_is_mean_recall() -> None:
    """Eight neutral, two angry, all called neutral: WA 0.8, UA 0.5; some published code swaps them."""
    got = scores(np.array([3] * 8 + [0] * 2), np.full(10, 3), 6)
    assert got["wa"] == 0.8 and got["ua"] == 0.5
    assert got["f1_weighted"] == pytest.approx(0.8 * 16 / 18) and got["f1_macro"] == pytest.approx(8 / 18)


def test_equal_scikit_learn(rng: np.random.Generator) -> None:
    y, p = rng.integers(0, 6, 300), rng.integers(0, 6, 300)
    got = scores(y, p, 6)
    assert got["wa"] == pytest.approx(metrics.accuracy_score(y, p))
    assert got["ua"] == pytest.approx(metrics.balanced_accuracy_score(y, p))
    assert got["f1_weighted"] == pytest.approx(metrics.f1_score(y, p, average="weighted"))
    assert got["f1_macro"] == pytest.approx(metrics.f1_score(y, p, average="macro"))
    np.testing.assert_array_equal(confusion(y, p, list("abcdef")), metrics.confusion_matrix(y, p))
    np.testing.assert_allclose(confusion(y, p, list("abcdef"), share=True).sum(axis=1), 1)


def test_a_class_that_never_occurs_counts_in_no_mean() -> None:
    assert scores(np.array([0, 1]), np.array([0, 1]), 6) == dict.fromkeys(
        ("wa", "ua", "f1_weighted", "f1_macro"), 1.0
    )


def test_rare_classes_move_macro_f1_and_not_weighted_f1(rng: np.random.Generator) -> None:
    y = np.array([3] * 390 + [0] * 195 + [1] * 15)  # fear is 2.5 %
    right, blind = y.copy(), np.where(y == 1, 3, y)
    a, b = scores(y, right, 6), scores(y, blind, 6)
    assert a["f1_weighted"] - b["f1_weighted"] < 0.04 < 0.3 < a["f1_macro"] - b["f1_macro"]


def test_many_tables_at_once(rng: np.random.Generator) -> None:
    tables = rng.integers(0, 9, (4, 5, 6, 6))
    assert from_counts(tables)["f1_macro"][2, 3] == pytest.approx(
        float(from_counts(tables[2, 3])["f1_macro"])
    )


def test_majority(rng: np.random.Generator) -> None:
    assert majority(np.array([3, 3, 0]), np.array([3, 0, 0, 1]), 6)["wa"] == 0.25


def test_bootstrap_covers_the_truth(rng: np.random.Generator) -> None:
    """80 of 100 test sets of a model that is right with 0.7 should give a 80 % interval that holds 0.7."""
    held = 0
    for i in range(100):
        y = rng.integers(0, 6, 150)
        p = np.where(rng.random(150) < 0.7, y, (y + 1) % 6)
        low, high = bootstrap(y, p, n=400, seed=i, level=0.8, classes=6).loc["wa", ["low", "high"]]
        held += low <= 0.7 <= high
    assert 68 <= held <= 90


def test_bootstrap_draws_whole_speakers(rng: np.random.Generator) -> None:
    """Speakers who are all right or all wrong: only resampling speakers sees how little is known."""
    y, speaker = np.tile(np.arange(6), 40), np.repeat(np.arange(12), 20)
    p = np.where(speaker % 2 == 0, y, (y + 1) % 6)
    by_clip, by_speaker = bootstrap(y, p), bootstrap(y, p, speaker)
    assert by_clip.loc["wa", "value"] == by_speaker.loc["wa", "value"] == 0.5
    width = (by_speaker.high - by_speaker.low)["wa"] / (by_clip.high - by_clip.low)["wa"]
    assert width == pytest.approx(20**0.5, rel=0.2)  # 12 independent things, not 240


def test_bootstrap_is_repeatable(rng: np.random.Generator) -> None:
    y, p = rng.integers(0, 6, 50), rng.integers(0, 6, 50)
    assert bootstrap(y, p, seed=3).equals(bootstrap(y, p, seed=3))


def test_paired_bootstrap_sees_what_separate_intervals_do_not(rng: np.random.Generator) -> None:
    y = rng.integers(0, 6, 400)
    b = np.where(rng.random(400) < 0.6, y, (y + 1) % 6)
    a = b.copy()
    a[np.flatnonzero(b != y)[:16]] = y[
        np.flatnonzero(b != y)[:16]
    ]  # a is b with 16 mistakes mended: 4 points
    test = paired_bootstrap(y, a, b).loc["wa"]
    assert test.difference == pytest.approx(0.04) and test.low > 0 and test.p < 0.01
    alone_a, alone_b = bootstrap(y, a).loc["wa"], bootstrap(y, b).loc["wa"]
    assert alone_a.low < alone_b.high  # side by side they overlap


def test_paired_bootstrap_of_a_model_with_itself(rng: np.random.Generator) -> None:
    y, a = rng.integers(0, 6, 60), rng.integers(0, 6, 60)
    test = paired_bootstrap(y, a, a, rng.integers(0, 5, 60))
    assert (test[["difference", "low", "high"]] == 0).all(axis=None) and (test.p == 1).all()


def test_mcnemar_is_a_coin_toss() -> None:
    y = np.zeros(20, dtype=int)
    a, b = np.zeros(20, dtype=int), np.zeros(20, dtype=int)
    b[:6] = 1  # a alone has six right
    a[6] = 1  # b alone has one right
    got = mcnemar(y, a, b)
    assert (got["only_a"], got["only_b"]) == (6, 1) and got["p"] == pytest.approx(2 * 8 / 2**7)
    assert mcnemar(y, a, a)["p"] == 1.0
    # The paper's own gain: three more of 730 right, at best three against none.
    y = np.zeros(730, dtype=int)
    b = (np.arange(730) < 241).astype(int)
    a = (np.arange(730) < 238).astype(int)
    assert mcnemar(y, a, b)["p"] == 0.25


def test_names_instead_of_indices_are_refused() -> None:
    with pytest.raises(VcemoError, match="indices"):
        scores(np.array(["angry"]), np.array(["sad"]), 6)
    with pytest.raises(VcemoError, match="indices"):
        scores(np.array([6]), np.array([0]), 6)
    with pytest.raises(VcemoError, match="1 labels and 2"):
        scores(np.array([0]), np.array([0, 1]), 6)


def test_fleiss_kappa_of_the_textbook_table_of_agreement_and_of_chance() -> None:
    """Ten items, fourteen raters, five classes: the worked example that is printed everywhere, kappa 0.210.
    """
    votes = [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
             [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]  # fmt: skip
    assert fleiss_kappa(np.array(votes)) == pytest.approx(0.210, abs=5e-4)
    assert fleiss_kappa(np.array([[3, 0], [0, 3]])) == 1.0
    drawn = np.random.default_rng(0).multinomial(3, [0.5, 0.3, 0.2], size=20_000)
    assert fleiss_kappa(drawn) == pytest.approx(0, abs=0.01)
    assert np.isnan(fleiss_kappa(np.array([[3, 0], [3, 0]])))
    with pytest.raises(VcemoError):
        fleiss_kappa(np.array([[3, 0], [2, 0]]))


def test_interval_of_any_number_draws_whole_groups(rng: np.random.Generator) -> None:
    """Fifty speakers of twenty equal clips: the mean is as uncertain as that of fifty numbers."""
    groups = np.repeat(np.arange(50), 20)
    x = np.repeat(rng.normal(size=50), 20)
    got = interval(lambda rows: x[rows].mean(), groups)
    assert got["value"] == pytest.approx(x.mean())
    expected = 2 * 1.96 * x[::20].std() / np.sqrt(50)
    assert got["high"] - got["low"] == pytest.approx(expected, rel=0.15)
    assert got == interval(lambda rows: x[rows].mean(), groups)
