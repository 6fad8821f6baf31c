"""Tables of runs: what stands in the files is found again, and known differences come out as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vcemo_lib import comparison
from vcemo_lib.course import sweeps
from vcemo_lib.errors import VcemoError
from vcemo_lib.evaluation import scores

CLASSES = ["happy", "sad", "angry"]
SPEAKERS = np.repeat([f"s{i:02d}" for i in range(12)], 6)
Y_TRUE = np.tile(np.arange(3), len(SPEAKERS) // 3)
WRONG = {"good": 0.1, "middling": 0.3, "bad": 0.6}  # the share of answers that are wrong, by chance


def answered(config: str, seed: int) -> np.ndarray:
    wrong = np.random.default_rng([len(config), seed]).random(len(Y_TRUE)) < WRONG[config]
    return np.where(wrong, (Y_TRUE + 1) % 3, Y_TRUE)


def write(folder: Path, config: str, seed: int, y_true: np.ndarray = Y_TRUE) -> Path:
    """The file of a run, as `experiments.run` leaves it."""
    y_pred = answered(config, seed)
    found = {"ids": [f"u{i}" for i in range(len(Y_TRUE))], "speakers": SPEAKERS.tolist(), "classes": CLASSES}
    run = {
        "config": config, "model": "vcemo", "seed": seed, "settings": {"alpha": 0.1},
        "scores": scores(y_true, y_pred, 3), "val": {"ua": 0.5}, "best_epoch": 3, "epochs": 5,
        "seconds": 2.0 + seed, "parameters": 10,
        "predictions": found | {"y_true": y_true.tolist(), "y_pred": y_pred.tolist()},
    }  # fmt: skip
    file = folder / f"{config}-{seed}.json"
    file.write_text(json.dumps(run), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("runs")
    for config in WRONG:
        for seed in (2, 0, 1):
            write(folder, config, seed)
    return comparison.read(folder)


def wa(config: str, seed: int) -> float:
    return float(np.mean(answered(config, seed) == Y_TRUE))


def gain(a: str, b: str) -> float:
    return float(np.mean([wa(a, seed) - wa(b, seed) for seed in range(3)]))


def test_a_folder_is_read_in_order_of_config_and_seed(table: pd.DataFrame) -> None:
    assert list(zip(table.config, table.seed, strict=True)) == [
        (config, seed) for config in sorted(WRONG) for seed in range(3)
    ]
    for run in table.itertuples():
        assert run.wa == pytest.approx(wa(run.config, run.seed)) and run.val_ua == 0.5
    assert comparison.facts(table.file[0])["settings"] == {"alpha": 0.1}
    assert comparison.facts(table.file[0])["predictions"]["y_pred"] == answered("bad", 0).tolist()


def test_summary_has_means_intervals_and_what_training_took(table: pd.DataFrame) -> None:
    found = comparison.summary(table, metrics=("wa",))
    assert found.index.tolist() == sorted(WRONG)
    for config, row in found.iterrows():
        each = [wa(str(config), seed) for seed in range(3)]
        assert row["wa", "mean"] == pytest.approx(np.mean(each))
        assert row["wa", "sd"] == pytest.approx(np.std(each, ddof=1), abs=1e-12)
        assert row["wa", "low"] < row["wa", "mean"] < row["wa", "high"]
        assert row["runs"].tolist() == [3, 10, 3.0]  # seeds, parameters, mean seconds


def test_a_comparison_is_of_common_seeds_and_turns_round(table: pd.DataFrame, tmp_path: Path) -> None:
    there, back = comparison.compare(table, "good", "bad"), comparison.compare(table, "bad", "good")
    assert (
        there.difference["wa"] == pytest.approx(gain("good", "bad")) == pytest.approx(-back.difference["wa"])
    )
    assert 0 < there.low["wa"] < there.difference["wa"] < there.high["wa"]
    assert (comparison.compare(table, "good", "good").difference == 0).all()
    more = pd.DataFrame([*table.to_dict("records"), comparison.row(write(tmp_path, "good", 7))])
    assert comparison.compare(more, "good", "bad").difference["wa"] == there.difference["wa"]


def test_gain_over_gain_is_the_difference_of_two_comparisons(table: pd.DataFrame) -> None:
    found = comparison.compare_gains(table, ("good", "bad"), ("good", "middling"), "wa")
    assert found["value"] == pytest.approx(gain("good", "bad") - gain("good", "middling"))
    assert found["low"] <= found["value"] <= found["high"]


def test_pairs_come_best_first_and_holm_takes_all_tests_into_account(table: pd.DataFrame) -> None:
    pairs = comparison.all_pairs(table, "wa")
    assert list(zip(pairs.a, pairs.b, strict=True)) == [
        ("good", "middling"), ("good", "bad"), ("middling", "bad"),
    ]  # fmt: skip
    first, second, third = sorted(pairs.p)
    holm = [3 * first, max(3 * first, 2 * second), max(3 * first, 2 * second, third)]
    assert sorted(pairs.p_holm) == pytest.approx(np.minimum(holm, 1))


def test_every_answer_has_a_row_and_gains_are_counted_by_kind(table: pd.DataFrame) -> None:
    found = comparison.answers(table)
    assert len(found) == 9 * len(Y_TRUE)
    assert found.groupby("config").right.mean()["bad"] == pytest.approx(
        np.mean([wa("bad", s) for s in range(3)])
    )
    kinds = pd.Series({f"u{i}": CLASSES[y] for i, y in enumerate(Y_TRUE) if y}, name="emotion")
    by_kind = sweeps.gain_by(found, "good", "bad", kinds)
    assert by_kind.index.tolist() == ["angry", "sad"]  # utterances without a kind are left out
    for emotion, row in by_kind.iterrows():
        here = Y_TRUE == CLASSES.index(str(emotion))
        right = {c: np.mean([(answered(c, s) == Y_TRUE)[here] for s in range(3)]) for c in ("good", "bad")}
        assert row.utterances == here.sum()
        assert [row.a, row.b, row.difference] == pytest.approx(
            [right["good"], right["bad"], right["good"] - right["bad"]]
        )


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (lambda table: comparison.compare(table, "good", "best"), "no config is called 'best'"),
        (lambda table: sweeps.agreement(table, table[:1]), "stored run"),
        (lambda table: comparison.read(Path("nowhere")), "no results of runs"),
    ],
)
def test_mistakes_are_told(table: pd.DataFrame, mistake: Callable[[pd.DataFrame], object], told: str) -> None:
    with pytest.raises(VcemoError, match=told) as error:
        mistake(table)
    assert "\n" not in str(error.value)


def test_half_a_file_and_other_utterances_are_told(table: pd.DataFrame, tmp_path: Path) -> None:
    other = comparison.row(write(tmp_path, "good", 0, y_true=np.zeros_like(Y_TRUE))) | {"config": "other"}
    both = pd.DataFrame([*table.to_dict("records"), other])
    with pytest.raises(VcemoError, match="different utterances"):
        comparison.compare(both, "bad", "other")
    (tmp_path / "half.json").write_text('{"config": "a"', encoding="utf-8")
    with pytest.raises(VcemoError, match="not the whole result of a run"):
        comparison.read(tmp_path)
