"""Scores against scikit-learn and against counting by hand; intervals against what they promise."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from vcemo_lib.errors import VcemoError
from vcemo_lib.evaluation import (
    METRICS,
    confusion,
    contrast,
    difference,
    from_counts,
    interval,
    intervals,
    majority,
    paired_test,
    scores,
)  # fmt: skip

BUILD = Path(__file__).parent.parent / "data" / "build" / "statistics_page.py"
pytestmark = pytest.mark.filterwarnings("ignore:one s", "ignore:only")


@pytest.fixture(scope="module")
def page():
    """The script that writes docs/statistics.md: its experiments are run here, smaller."""
    spec = importlib.util.spec_from_file_location("statistics_page", BUILD)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
    assert from_counts(tables)[3, 2, 3] == pytest.approx(float(from_counts(tables[2, 3])[3]))


def test_majority(rng: np.random.Generator) -> None:
    assert majority(np.array([3, 3, 0]), np.array([3, 0, 0, 1]), 6)["wa"] == 0.25


# ---- the chance of speakers and of seeds ---------------------------------------------------------------


def by_loop(table: np.ndarray, metric: str) -> tuple[float, float, float]:
    """Value, standard error and degrees of freedom of counts (S, G, C, C), as docs/statistics.md has them."""
    seeds, groups = table.shape[:2]

    def score(cells: np.ndarray) -> float:
        return float(from_counts(cells)[METRICS.index(metric)])

    theta = [score(table[s].sum(0)) for s in range(seeds)]
    without = [[score(np.delete(table[s], g, 0).sum(0)) for g in range(groups)] for s in range(seeds)]
    u = [[(groups - 1) / groups * (np.mean(row) - value) for value in row] for row in without]
    mean_u = [np.mean([u[s][g] for s in range(seeds)]) for g in range(groups)]
    of_speakers = groups / (groups - 1) * sum(m**2 for m in mean_u)
    of_seeds = np.var(theta, ddof=1) / seeds
    rest = sum((u[s][g] - mean_u[g]) ** 2 for s in range(seeds) for g in range(groups))
    both = groups / (groups - 1) * rest / (seeds * (seeds - 1))
    error = max(of_speakers + of_seeds - both, of_speakers, of_seeds) ** 0.5
    terms = of_speakers**2 / (groups - 1) + of_seeds**2 / (seeds - 1)
    return float(np.mean(theta)), error, (of_speakers + of_seeds) ** 2 / terms


def test_intervals_equal_a_plain_loop(page, rng: np.random.Generator) -> None:
    from scipy.stats import t

    table = page.simulate(11, 3, 14, rng)[0]
    found = contrast([table], [1.0])
    for metric in METRICS:
        value, error, freedom = by_loop(table, metric)
        half = t.ppf(0.975, freedom) * error
        np.testing.assert_allclose(found.loc[metric, ["value", "low", "high"]].astype(float),
                                   [value, value - half, value + half], atol=1e-9)  # fmt: skip
    assert (found.speakers == 11).all() and (found.seeds == 3).all()


def test_one_seed_and_equal_speakers_give_the_textbooks_interval_of_a_mean(rng: np.random.Generator) -> None:
    from scipy.stats import t

    right = rng.random((20, 8)) < 0.7
    y, speaker = np.zeros(160, int), np.repeat(np.arange(20), 8)
    found = intervals(y, (~right).astype(int).ravel(), speaker, classes=2).loc["wa"]
    shares = right.mean(1)
    half = t.ppf(0.975, 19) * shares.std(ddof=1) / 20**0.5
    assert found[["value", "low", "high"]].tolist() == pytest.approx(
        [shares.mean(), shares.mean() - half, shares.mean() + half]
    )


def test_a_configuration_is_hardly_ever_better_than_itself(page) -> None:
    """All 375 pairings of two seeds against two or three others, on the bundled runs; 5 % are due.

    With the seeds taken as fixed, 19 % of the pairings of two against two would differ in UA.
    """
    tables = page.stored()
    p = np.concatenate([page.null(tables, 2, 2), page.null(tables, 2, 3)])
    assert len(p) >= 300 and ((p < 0.05).mean(0) <= 0.07).all()
    assert (page.null(tables, 2, 2, ignore_seeds=True) < 0.05).mean(0)[1] > 0.1


@pytest.mark.slow
def test_95_percent_intervals_hold_the_truth_in_95_percent(page) -> None:
    """WA and UA, scores and paired differences, of simulated speakers and seeds."""
    assert (abs(page.coverage(20, 3, 500) - 0.95) <= 0.02).all()


def test_only_speakers_and_seeds_together_see_how_little_is_known(rng: np.random.Generator) -> None:
    """Speakers who are all right or all wrong: 12 independent things, not 240."""
    y, speaker = np.tile(np.arange(6), 40), np.repeat(np.arange(12), 20)
    p = np.where(speaker % 2 == 0, y, (y + 1) % 6)
    by_clip, by_speaker = intervals(y, p), intervals(y, p, speaker)
    assert by_clip.loc["wa", "value"] == by_speaker.loc["wa", "value"] == 0.5
    width = (by_speaker.high - by_speaker.low)["wa"] / (by_clip.high - by_clip.low)["wa"]
    assert width == pytest.approx(20**0.5, rel=0.2)
    seeds = np.repeat([0, 1], 240)  # and seeds of which one is all right, one all wrong
    both = [np.tile(v, 2) for v in (y, speaker)]
    p = np.where(seeds == 0, both[0], (both[0] + 1) % 6)
    found = intervals(both[0], p, both[1], seeds).loc["wa"]
    assert (found.low, found.high) == (0.0, 1.0)


def test_one_speaker_gives_no_interval_and_few_are_told(rng: np.random.Generator) -> None:
    y, a, b = (rng.integers(0, 6, 100) for _ in range(3))
    with pytest.warns(UserWarning, match="one speaker"):
        test = paired_test(y, a, b, np.zeros(100))
    assert test[["low", "high", "p"]].isna().all(axis=None) and test.difference.notna().all()
    with pytest.warns(UserWarning, match="one speaker"):
        assert intervals(y, a, ["s"] * 100)[["low", "high"]].isna().all(axis=None)
    with pytest.warns(UserWarning, match="one speaker"):
        alone = interval(lambda rows: a[rows].mean(), ["s"] * 100)
    assert alone["value"] == a.mean() and np.isnan([alone["low"], alone["high"]]).all()
    for call in (lambda: intervals(y, a, y), lambda: interval(lambda rows: a[rows].mean(), y)):
        with pytest.warns(UserWarning, match="only 6 speakers"):
            call()


def test_one_seed_is_told_and_two_are_not(rng: np.random.Generator) -> None:
    y, p, speaker = np.tile(np.arange(6), 40), rng.integers(0, 6, 240), np.tile(np.arange(12), 20)
    with pytest.warns(UserWarning, match="one seed: the chance of training is not in"):
        assert (intervals(y, p, speaker, np.zeros(240, int)).seeds == 1).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (intervals(y, p, speaker).seeds == 1).all()  # none was named: the column tells it
        assert (intervals(y, p, speaker, np.repeat([0, 1], 120)).seeds == 2).all()
    with pytest.raises(VcemoError, match="seeds without speakers"):
        intervals(y, p, seeds=np.repeat([0, 1], 120))


def test_pairing_sees_what_separate_intervals_do_not(rng: np.random.Generator) -> None:
    y = rng.integers(0, 6, 400)
    b = np.where(rng.random(400) < 0.6, y, (y + 1) % 6)
    a, mended = b.copy(), np.flatnonzero(b != y)[:16]
    a[mended] = y[mended]  # a is b with 16 mistakes mended: 4 points
    test = paired_test(y, a, b).loc["wa"]
    assert test.difference == pytest.approx(0.04) and test.low > 0 and test.p < 0.01
    alone_a, alone_b = intervals(y, a).loc["wa"], intervals(y, b).loc["wa"]
    assert alone_a.low < alone_b.high  # side by side they overlap


def test_a_model_is_as_good_as_itself(rng: np.random.Generator) -> None:
    y, a = rng.integers(0, 6, 60), rng.integers(0, 6, 60)
    test = paired_test(y, a, a, rng.integers(0, 5, 60), np.repeat([0, 1, 2], 20))
    assert (test[["difference", "low", "high"]] == 0).all(axis=None) and (test.p == 1).all()


def test_seeds_of_their_own_add_their_chance_and_contrasts_have_signs(page, rng: np.random.Generator) -> None:
    a, b = page.simulate(12, 4, 20, rng)
    apart, reordered = (difference(a, other, same_seeds=False) for other in (b, b[[2, 0, 3, 1]]))
    np.testing.assert_allclose(apart, reordered, atol=1e-9)
    there, back = contrast([a, b], [1, -1]), contrast([b, a], [1, -1])
    np.testing.assert_allclose(there.low, -back.high)
    np.testing.assert_allclose(there.value, difference(a, b).difference)
    gain = contrast([a, b, a, b], [1, -1, -1, 1])
    assert (gain.value == 0).all() and (gain.p == 1).all()


def test_names_instead_of_indices_are_refused() -> None:
    with pytest.raises(VcemoError, match="indices"):
        scores(np.array(["angry"]), np.array(["sad"]), 6)
    with pytest.raises(VcemoError, match="indices"):
        scores(np.array([6]), np.array([0]), 6)
    with pytest.raises(VcemoError, match="1 labels and 2"):
        scores(np.array([0]), np.array([0, 1]), 6)


def test_interval_of_any_number_draws_whole_groups(rng: np.random.Generator) -> None:
    """Fifty speakers of twenty equal clips: the mean is as uncertain as that of fifty numbers."""
    groups = np.repeat(np.arange(50), 20)
    x = np.repeat(rng.normal(size=50), 20)
    got = interval(lambda rows: x[rows].mean(), groups)
    assert got["value"] == pytest.approx(x.mean())
    expected = 2 * 1.96 * x[::20].std() / np.sqrt(50)
    assert got["high"] - got["low"] == pytest.approx(expected, rel=0.15)
    assert got == interval(lambda rows: x[rows].mean(), groups)
