"""The `gpu` lane of the notebooks that train at the paper's size, on a processor: tiny model, few clips."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest

import vcemo_lib as vc
from vcemo_lib.course import Course
from vcemo_lib.experiments import BASELINES, SUPCON, TABLE3

TINY = {
    "width": 16, "heads": 2, "layers": 2, "ff_width": 16, "length": 4, "conv_channels": (4,),
    "conv_strides": ((2, 2),), "audio_pool": (8, 4), "epochs": 1, "augment": 0,
}  # fmt: skip
SAME_IN_EVERY_LANE = {"nb05-44": {"resume_difference": 0.0}}  # kill and resume: test_training does it


@pytest.mark.parametrize(("number", "every"), [("05", 12), ("06", 6)])
def test_every_cell_runs_and_all_is_trained_now(number, every, tmp_path, monkeypatch, capsys) -> None:
    whole, paper = vc.load_corpus("sim"), vc.models.paper
    monkeypatch.setattr(vc, "load_corpus", lambda name: whole.subset(whole.ids[::every]))
    monkeypatch.setattr(vc.models, "paper", lambda **changes: paper(**changes | TINY))
    monkeypatch.setenv("VCEMO_METRICS", str(tmp_path))
    (notebook,) = Course().select([number])
    space: dict = {}
    for cell in nbformat.read(notebook.path, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        space |= SAME_IN_EVERY_LANE.get(cell.id, {})
        if cell.id not in SAME_IN_EVERY_LANE:
            exec(compile(re.sub(r"^lane = .*", 'lane = "gpu"', cell.source), cell.id, "exec"), space)
        if "SIZE" in space and "FOLDER" in space and space["FOLDER"] != tmp_path:
            space["FOLDER"] = tmp_path
            space["SIZE"] |= {"seeds": (0, 1), "resamples": 40}
    assert space["lane"] == "gpu" and space["SIZE"]["settings"].width == TINY["width"]
    assert set(space["table"].config) == set(SUPCON if number == "05" else TABLE3) and set(
        space["table"].seed
    ) == {0, 1}
    assert all(tmp_path in Path(file).parents for file in space["table"].file)
    about = json.loads((tmp_path / f"{number}.json").read_text(encoding="utf-8"))
    assert about["metrics"]["live_inside"] >= 0 and not about["about"]["stored"]
    assert "to come" in notebook.path.read_text(encoding="utf-8")
    capsys.readouterr()


@pytest.mark.weights
def test_every_cell_of_the_rivals_runs(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("VCEMO_METRICS", str(tmp_path))
    (notebook,) = Course().select(["07"])
    space: dict = {}
    for cell in nbformat.read(notebook.path, as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(re.sub(r"^lane = .*", 'lane = "gpu"', cell.source), cell.id, "exec"), space)
        if "FOLDER" in space and space["FOLDER"] != tmp_path:
            space["FOLDER"] = tmp_path
            space["SIZE"] |= {
                "every": 24,
                "seeds": (0, 1),
                "resamples": 40,
                "timed": 2,
                "steps": 3,
                "all": space["SIZE"]["all"] | TINY,
                "ours": {},
            }
    table = space["table"]
    assert list(dict.fromkeys(table.config)) == list(BASELINES) and set(table.seed) == {0, 1}
    published = {name: settings.lr for name, (_, settings) in space["configs"].items()}
    assert published["UMONS 2020"] == 1e-4 and published["CME 2021"] == 5e-4  # each its own authors'
    about = json.loads((tmp_path / "07.json").read_text(encoding="utf-8"))
    assert about["metrics"]["same_settings"] == 1 and not about["about"]["stored"]
    assert "to come" in notebook.path.read_text(encoding="utf-8")
    capsys.readouterr()
