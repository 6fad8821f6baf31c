"""Sweeps: the same table in one process and in two, nothing trained twice, nothing lost when killed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synthetic

from vcemo_lib import experiments
from vcemo_lib.errors import VcemoError
from vcemo_lib.evaluation import METRICS
from vcemo_lib.experiments import TABLE3, ablate, compare, predictions, run, summary
from vcemo_lib.models import tutorial

TINY = tutorial(width=16, heads=2, ff_width=16, length=6, conv_channels=(4, 4), bert_width=16, batch_size=16,
                epochs=2, lr=1e-2)  # fmt: skip
CONFIGS = {"with SupCon": TINY.but(modalities=("words",)), "without": TINY.but(modalities=("words",), alpha=0.0)}


@pytest.fixture(scope="module")
def data() -> tuple[synthetic.Store, dict]:
    return synthetic.Store(synthetic.corpus(64)), synthetic.parts(64)


def quiet(data, out, configs=CONFIGS, **options):
    return run(configs, *data, out=out, progress=False, **{"seeds": (0, 1)} | options)


def test_one_row_a_run_with_its_scores(data, tmp_path) -> None:
    table = quiet(data, tmp_path)
    assert list(zip(table.config, table.seed, strict=True)) == [(c, s) for c in CONFIGS for s in (0, 1)]
    said = predictions(table.file[0])
    assert said["ids"] == data[1]["test"].ids
    right = np.mean(np.array(said["y_true"]) == np.array(said["y_pred"]))
    assert table.wa[0] == pytest.approx(right)
    assert not table.duplicated(["wa", "ua", "val_ua", "f1_macro"]).all()


def test_what_is_done_is_read_and_what_is_missing_is_run(data, tmp_path, monkeypatch) -> None:
    first = quiet(data, tmp_path)
    trained = []
    one = experiments._one
    monkeypatch.setattr(experiments, "_one", lambda fact, *rest: trained.append(fact["config"]) or one(fact, *rest))
    assert quiet(data, tmp_path).equals(first) and trained == []
    Path(first.file[3]).unlink()  # as if killed before the last run
    again = quiet(data, tmp_path)
    assert trained == ["without"]
    assert again.drop(columns="seconds").equals(first.drop(columns="seconds"))
    quiet(data, tmp_path, {"without": CONFIGS["without"].but(lr=2e-2)}, seeds=(0,))  # other settings: another run
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
    table = ablate(*data, out=tmp_path, seeds=(0,), settings=TINY.but(epochs=1), progress=False)
    assert table.config.tolist() == list(TABLE3) and len(set(TABLE3.values())) == 7
    assert table.parameters.is_unique


def test_summary_and_paired_comparison(data, tmp_path) -> None:
    table = quiet(data, tmp_path)
    rows = summary(table, n=200)
    assert rows.index.tolist() == list(CONFIGS)
    for config, runs in table.groupby("config"):
        assert rows.loc[config, ("wa", "mean")] == pytest.approx(runs.wa.mean())
        assert rows.loc[config, ("wa", "low")] <= rows.loc[config, ("wa", "mean")] <= rows.loc[config, ("wa", "high")]
        assert rows.loc[config, ("runs", "seeds")] == 2
    there, back = compare(table, *CONFIGS, n=200), compare(table, *reversed(CONFIGS), n=200)
    mean = table.groupby("config").ua.mean()
    assert there.difference["ua"] == pytest.approx(mean["with SupCon"] - mean["without"])
    assert there.difference["ua"] == pytest.approx(-back.difference["ua"])
    assert (compare(table, "without", "without", n=50).p == 1).all()


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
    again = experiments.read(tmp_path)
    assert again.set_index(["config", "seed"]).loc[list(zip(table.config, table.seed, strict=True))].wa.tolist() == table.wa.tolist()
    assert experiments.facts(table.file[0])["settings"]["alpha"] == CONFIGS["with SupCon"].alpha
    with pytest.raises(VcemoError, match="no results"):
        experiments.read(tmp_path / "none")


def test_answers_and_where_they_gain(data, tmp_path) -> None:
    table = quiet(data, tmp_path)
    said = experiments.answers(table)
    shares = said.groupby(["config", "seed"]).right.mean()
    assert all(shares[row.config, row.seed] == pytest.approx(row.wa) for row in table.itertuples())
    kinds = said.drop_duplicates("utt_id").set_index("utt_id").speaker.rename("who")
    gain = experiments.gain_by(said, "with SupCon", "without", kinds, n=50)
    assert gain.utterances.sum() == said.utt_id.nunique()
    assert np.average(gain.difference, weights=gain.utterances) == pytest.approx(shares["with SupCon"].mean() - shares["without"].mean())
    assert (experiments.gain_by(said, "without", "without", kinds, n=50)[["difference", "low", "high"]] == 0).all(axis=None)


def test_loaded_weights_do_not_make_another_run_and_no_path_is_written(data, tmp_path) -> None:
    store, parts = data

    class Described(type(store)):
        weights: list = [{"name": "bert", "source": "bundled", "sha256": "0", "path": "/somewhere"}]

        def describe(self):
            return {"kinds": {"words": {}}, "text": "gold", "weights": self.weights}

    described = Described(synthetic.corpus(64))
    configs = {"without": CONFIGS["without"].but(epochs=1)}
    first = run(configs, described, parts, tmp_path, seeds=(0,), progress=False)
    assert "/somewhere" not in Path(first.file[0]).read_text() and '"sha256": "0"' in Path(first.file[0]).read_text()
    described.weights = []
    assert run(configs, described, parts, tmp_path, seeds=(0,), progress=False).equals(first)


def test_agreement_follows_students_prediction_interval() -> None:
    import pandas as pd

    stored = pd.DataFrame({"config": "x", "seed": [0, 1, 2], "wa": [0.70, 0.72, 0.74], "ua": [0.6, 0.6, 0.6]})
    live = pd.DataFrame([{"config": "x", "seed": 1, "wa": 0.80, "ua": 0.6}, {"config": "x", "seed": 9, "wa": 0.83, "ua": 0.61}])
    found = experiments.agreement(live, stored)
    assert found.inside.tolist() == [True, True, False, False]
    assert found.low[0] == pytest.approx(0.72 - 4.302653 * 0.02 * (4 / 3) ** 0.5, abs=1e-5)
    assert found.stored[0] == 0.72 and np.isnan(found.stored[2])
    with pytest.raises(VcemoError, match="stored"):
        experiments.agreement(live, stored[:1])
