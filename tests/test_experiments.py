"""Sweeps: the same table in one process and in two, nothing trained twice, nothing lost when killed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synthetic

from vcemo_lib import comparison, experiments
from vcemo_lib.comparison import compare, facts, summary
from vcemo_lib.course import results
from vcemo_lib.errors import VcemoError
from vcemo_lib.evaluation import METRICS
from vcemo_lib.experiments import TABLE3, ablation_configs, run
from vcemo_lib.models import tutorial

TINY = tutorial(width=16, heads=2, ff_width=16, length=6, conv_channels=(4, 4), bert_width=16, batch_size=16,
                epochs=2, lr=1e-2)  # fmt: skip
CONFIGS = {
    "with SupCon": TINY.but(modalities=("words",)),
    "without": TINY.but(modalities=("words",), alpha=0.0),
}


@pytest.fixture(scope="module")
def data() -> tuple[synthetic.Store, dict]:
    return synthetic.Store(synthetic.corpus(64)), synthetic.parts(64)


def quiet(data, out, configs=CONFIGS, **options):
    return run(configs, *data, out=out, progress=False, **{"seeds": (0, 1)} | options)


def test_one_row_a_run_with_its_scores(data, tmp_path) -> None:
    table = quiet(data, tmp_path)
    assert list(zip(table.config, table.seed, strict=True)) == [(c, s) for c in CONFIGS for s in (0, 1)]
    said = facts(table.file[0])["predictions"]
    assert said["ids"] == data[1]["test"].ids
    right = np.mean(np.array(said["y_true"]) == np.array(said["y_pred"]))
    assert table.wa[0] == pytest.approx(right)
    assert not table.duplicated(["wa", "ua", "val_ua", "f1_macro"]).all()


def test_what_is_done_is_read_and_what_is_missing_is_run(data, tmp_path, monkeypatch) -> None:
    first = quiet(data, tmp_path)
    trained = []
    train_one = experiments.train_one
    monkeypatch.setattr(
        experiments, "train_one", lambda config, *rest: trained.append(config) or train_one(config, *rest)
    )
    assert quiet(data, tmp_path).equals(first) and trained == []
    Path(first.file[3]).unlink()  # as if killed before the last run
    again = quiet(data, tmp_path)
    assert trained == ["without"]
    assert again.drop(columns="seconds").equals(first.drop(columns="seconds"))
    quiet(
        data, tmp_path, {"without": CONFIGS["without"].but(lr=2e-2)}, seeds=(0,)
    )  # other settings: another run
    assert trained == ["without", "without"]


def test_processes_give_what_one_process_gives(data, tmp_path) -> None:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = quiet(data, tmp_path / "1")
    torch.set_num_threads(threads)
    together = quiet(data, tmp_path / "2", workers=2)
    assert together[["config", "seed", *METRICS]].equals(alone[["config", "seed", *METRICS]])


def test_ablation_has_the_papers_seven_rows(data, tmp_path) -> None:
    table = quiet(data, tmp_path, ablation_configs(TINY.but(epochs=1)), seeds=(0,))
    assert table.config.tolist() == list(TABLE3) and len(set(TABLE3.values())) == 7
    assert table.parameters.is_unique


def test_summary_and_paired_comparison(data, tmp_path) -> None:
    table = quiet(data, tmp_path)
    rows = summary(table)
    assert rows.index.tolist() == list(CONFIGS)
    for config, runs in table.groupby("config"):
        assert rows.loc[config, ("wa", "mean")] == pytest.approx(runs.wa.mean())
        assert (
            rows.loc[config, ("wa", "low")]
            <= rows.loc[config, ("wa", "mean")]
            <= rows.loc[config, ("wa", "high")]
        )
        assert rows.loc[config, ("runs", "seeds")] == 2
    there, back = compare(table, *CONFIGS), compare(table, *reversed(CONFIGS))
    mean = table.groupby("config").ua.mean()
    assert there.difference["ua"] == pytest.approx(mean["with SupCon"] - mean["without"])
    assert there.difference["ua"] == pytest.approx(-back.difference["ua"])
    assert (compare(table, "without", "without").p == 1).all()


def test_mistakes_are_told(data, tmp_path) -> None:
    table = quiet(data, tmp_path, {"without": CONFIGS["without"].but(epochs=1)}, seeds=(0,))
    with pytest.raises(VcemoError, match="no config is called 'with'"):
        compare(table, "with", "without")
    Path(table.file[0]).write_text("{", encoding="utf-8")
    with pytest.raises(VcemoError, match="not the whole result"):
        quiet(data, tmp_path, {"without": CONFIGS["without"].but(epochs=1)}, seeds=(0,))
    with pytest.raises(VcemoError, match="no test part"):
        run(CONFIGS, data[0], {}, tmp_path)


def test_a_folder_reads_as_the_table_that_wrote_it(data, tmp_path) -> None:
    table = quiet(data, tmp_path)
    again = comparison.read(tmp_path)
    assert (
        again.set_index(["config", "seed"]).loc[list(zip(table.config, table.seed, strict=True))].wa.tolist()
        == table.wa.tolist()
    )
    assert comparison.facts(table.file[0])["settings"]["alpha"] == CONFIGS["with SupCon"].alpha
    with pytest.raises(VcemoError, match="no results"):
        comparison.read(tmp_path / "none")


def test_answers_and_where_they_gain(data, tmp_path) -> None:
    table = quiet(data, tmp_path)
    said = comparison.answers(table)
    shares = said.groupby(["config", "seed"]).right.mean()
    assert all(shares[row.config, row.seed] == pytest.approx(row.wa) for row in table.itertuples())


def test_baselines_have_the_papers_rows_and_one_budget(data, tmp_path) -> None:
    small = dict(width=16, heads=2, ff_width=16, length=6, batch_size=16, epochs=1)
    table = quiet(data, tmp_path, experiments.baseline_configs(data[0], 6, **small), seeds=(0,))
    assert table.config.tolist() == list(experiments.BASELINES) and table.model.tolist() == [
        model for model, _ in experiments.BASELINES.values()
    ]
    settings = [comparison.facts(file)["settings"] for file in table.file]
    of_training = (
        "lr",
        "weight_decay",
        "schedule",
        "epochs",
        "batch_size",
        "speaker_norm",
        "modality_dropout",
        "text_dropout",
        "select",
    )
    assert all(len({s[field] for s in settings}) == 1 for field in of_training)
    of = dict(zip(table.config, settings, strict=True))
    assert [name for name, s in of.items() if s["alpha"]] == ["VCEMO + SupCon"]
    three = [name for name, s in of.items() if len(s["modalities"]) == 3]
    assert three == ["VCEMO", "VCEMO + SupCon"]
    one = experiments.baseline_configs(data[0], 6, names=["CME 2021"], **small)
    again = quiet(data, tmp_path, one, seeds=(0,))
    assert again.file.tolist() == table.file[table.config == "CME 2021"].tolist()
    with pytest.raises(VcemoError, match="no baseline is called Xu"):
        experiments.baseline_configs(data[0], 6, names=["Xu"])


def test_one_thing_at_a_time_differs_between_two_rows(data) -> None:
    configs = experiments.baseline_configs(data[0], 6)
    for question, (a, b) in results.one_change().items():
        (model, ours), (other, theirs) = configs[a], configs[b]
        differ = {name for name, value in ours.as_dict().items() if theirs.as_dict()[name] != value}
        if question.startswith("architecture"):
            assert model != other and ours.layers == theirs.layers and ours.width == theirs.width
        else:
            assert model == other and len(differ) == 1, (question, differ)


def test_baselines_as_published(data) -> None:
    configs = experiments.baseline_configs(data[0], 6, "paper", ["UMONS 2020", "VCEMO"])
    (_, umons), (_, ours) = configs["UMONS 2020"], configs["VCEMO"]
    assert (umons.layers, umons.epochs, ours.layers, ours.batch_size, ours.alpha) == (4, 99, 6, 256, 0.0)


def test_all_pairs_are_held_against_the_number_of_tests(data, tmp_path) -> None:
    table = quiet(data, tmp_path, CONFIGS | {"again": CONFIGS["without"].but(lr=2e-2)})
    pairs = comparison.all_pairs(table)
    assert (
        len(pairs) == 3 and (pairs.difference > -1e-9).all() and (pairs.p_holm >= pairs.p).all()
    )  # two may tie
    one = pairs.iloc[0]
    assert one.difference == pytest.approx(compare(table, one.a, one.b).difference["ua"])
    smallest = pairs.p.idxmin()
    assert pairs.p_holm[smallest] == pytest.approx(min(1, 3 * pairs.p[smallest]))


def test_gain_over_gain_is_the_difference_of_two_comparisons(data, tmp_path) -> None:
    base = TINY.but(modalities=("words",), alpha=0.0, epochs=3)
    configs = {"a": base.but(alpha=1.0), "b": base, "c": base.but(epochs=1), "d": base.but(width=8)}
    table = quiet(data, tmp_path, configs)
    found = comparison.compare_gains(table, ("a", "b"), ("c", "d"), "wa")
    gains = [compare(table, *pair).loc["wa", "difference"] for pair in (("a", "b"), ("c", "d"))]
    assert (
        found["value"] == pytest.approx(gains[0] - gains[1])
        and found["low"] <= found["value"] <= found["high"]
    )
    none = comparison.compare_gains(table, ("a", "b"), ("a", "b"))
    assert none == {"value": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}
    with pytest.raises(VcemoError, match="no config is called 'e'"):
        comparison.compare_gains(table, ("a", "b"), ("c", "e"))


def test_each_way_to_train_with_supcon_is_a_valid_setting(data, tmp_path) -> None:
    configs = {
        name: TINY.but(modalities=("words",), epochs=1, **change)
        for name, change in experiments.SUPCON.items()
    }
    table = quiet(data, tmp_path, configs, seeds=(0,))
    used = [comparison.facts(f)["settings"] for f in table.file]
    assert [(s["alpha"], bool(s["queue"]), s["views"]) for s in used] == [
        (0.0, False, 1),
        (0.1, False, 1),
        (1.0, False, 1),
        (0.1, True, 1),
        (0.1, False, 2),
    ]
    machine = comparison.facts(table.file[0])["machine"]
    assert {
        "device",
        "processor",
        "cores",
        "threads",
        "torch",
        "python",
        "numpy",
        "vcemo_lib",
        "date",
    } <= set(machine)


def test_a_sweep_is_run_again_where_words_were_recognised_otherwise(data, tmp_path) -> None:
    configs = {"without": CONFIGS["without"].but(epochs=1)}
    store, parts = data
    heard = {name: part.with_column("asr", part.table["text"]) for name, part in parts.items()}
    first, again = (quiet((store, heard), tmp_path, configs, seeds=(0,)) for _ in range(2))
    heard = {name: part.with_column("asr", "人") for name, part in parts.items()}
    other = quiet((store, heard), tmp_path, configs, seeds=(0,))
    assert first.equals(again) and other.file[0] != first.file[0]
    assert facts(other.file[0])["recipe"] in other.file[0], "the file is named by its recipe's key"
