"""Folds of one seed make one prediction of the whole corpus, scored as one."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic

from vcemo_lib import comparison, crossval, evaluation
from vcemo_lib.corpora.protocols import Protocol
from vcemo_lib.models import tutorial

TINY = tutorial(width=16, heads=2, ff_width=16, length=6, conv_channels=(4, 4), bert_width=16, batch_size=16,
                epochs=1, lr=1e-2, modalities=("words",))  # fmt: skip


@pytest.fixture(scope="module")
def data() -> tuple[synthetic.Store, Protocol]:
    corpus = synthetic.corpus(48)
    cut = np.arange(48) % 3
    parts = [(corpus.subset(cut == i), corpus.subset(cut == (i + 1) % 3), corpus.subset(cut == (i + 2) % 3))
             for i in range(3)]  # fmt: skip
    folds = {f"fold {i}": dict(zip(("train", "val", "test"), of, strict=True)) for i, of in enumerate(parts)}
    return synthetic.Store(corpus), Protocol("toy", folds, "made up")


def test_every_clip_is_answered_once_a_seed_and_scored_together(data, tmp_path) -> None:
    store, protocol = data
    table = crossval.run(
        {"a": TINY, "b": TINY.but(lr=1e-3)}, store, protocol, tmp_path, (0, 1), progress=False
    )
    assert list(zip(table.config, table.seed, strict=True)) == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    found = comparison.facts(table.file[0])
    said = found["predictions"]
    assert sorted(said["ids"]) == sorted(u for parts in protocol.folds.values() for u in parts["test"].ids)
    right = evaluation.scores(np.array(said["y_true"]), np.array(said["y_pred"]), said["classes"])
    assert found["scores"] == right and table.ua[0] == right["ua"]
    assert found["protocol"] == {"name": "toy", "note": "made up"} and [*found["folds"]] == [*protocol.folds]
    assert found["leaks"]["test"]["clips"] == 48 and found["leaks"]["test"]["utterance"] == 0
    summary = comparison.summary(comparison.read(tmp_path))
    assert summary.loc["a", ("runs", "seeds")] == 2
    assert comparison.compare(comparison.read(tmp_path), "a", "b").loc["ua", "seeds"] == 2
    each = crossval.by_fold(table)
    assert len(each) == 12 and each[each.config == "a"].fold.nunique() == 3
    sizes = [len(parts["test"]) for parts in protocol.folds.values()]
    of_a = each[(each.config == "a") & (each.seed == 0)]
    assert np.average(of_a.wa, weights=sizes) == pytest.approx(table.wa[0])


def test_a_second_call_trains_nothing(data, tmp_path) -> None:
    store, protocol = data
    given = ({"a": TINY}, store, protocol, tmp_path / "out", (0,))
    first = crossval.run(*given, progress=False, keep=tmp_path / "folds")
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "folds").rglob("*.json")}
    assert len(files) == 3 and len(list((tmp_path / "out").iterdir())) == 1
    assert crossval.run(*given, progress=False, keep=tmp_path / "folds").equals(first)
    assert files == {file: file.stat().st_mtime_ns for file in (tmp_path / "folds").rglob("*.json")}
