"""The `gpu` lane of the notebooks that train at the paper's size, run on a processor: every cell from the one
tagged `parameters` on, with a tiny model and few clips.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

import vcemo_lib as vc
from vcemo_lib.course import Course
from vcemo_lib.course.plan import read_json
from vcemo_lib.experiments import BASELINES, SUPCON, TABLE3

TINY = {
    "width": 16, "heads": 2, "layers": 2, "ff_width": 16, "length": 4, "epochs": 1, "augment": 0,
    "conv_channels": (4,), "conv_strides": ((2, 2),), "audio_pool": (8, 4),
}  # fmt: skip


@pytest.fixture
def run_lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Runs a notebook's cells, with its SIZE made smaller; gives all their variables."""
    monkeypatch.setenv("VCEMO_METRICS", str(tmp_path))

    def run(number: str, smaller: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
        (notebook,) = Course().select([number])
        cells = [cell for cell in nbformat.read(notebook.path, 4).cells if cell.cell_type == "code"]
        tagged = ["parameters" in cell.metadata.get("tags", []) for cell in cells]
        space: dict[str, Any] = {}
        for nth, cell in enumerate(cells[tagged.index(True) :]):
            code = re.sub(r"^lane = .*", 'lane = "gpu"', cell.source) if nth == 0 else cell.source
            if "except KeyboardInterrupt" in code or "resume_difference =" in code:  # test_loop does it
                space["resume_difference"] = 0.0
                continue
            exec(compile(code, cell.id, "exec"), space)
            if "SIZE" in space and space.get("FOLDER", tmp_path) != tmp_path:
                space["FOLDER"] = tmp_path
                space["SIZE"] |= {"seeds": (0, 1), "resamples": 40, **smaller(space["SIZE"])}
        return space

    return run


def check(number: str, space: dict[str, Any], configs: Any, tmp_path: Path) -> None:
    """All was trained now, another seed is set beside the table, and all is recorded as in the `cpu` lane."""
    table, landed = space["table"], space["landed"]
    assert space["lane"] == "gpu"
    assert set(table.config) == set(configs) and set(table.seed) == {0, 1}
    assert all(tmp_path in Path(file).parents for file in table.file)
    assert len(landed) and set(landed.inside) <= {True, False}
    assert not set(landed.seed) & set(table.seed), "else the comparison could not fail"
    recorded = read_json(tmp_path / f"{number}.json")
    assert not recorded["about"]["stored"]
    assert set(recorded["metrics"]) == set(read_json(Course().expected / "cpu.json")[number])


@pytest.mark.parametrize(("number", "every", "configs"), [("05", 12, SUPCON), ("06", 6, TABLE3)])
def test_every_cell_runs_and_all_is_trained_now(
    number, every, configs, run_lane, tmp_path, monkeypatch, capsys
) -> None:
    whole, paper = vc.load_corpus("sim"), vc.models.paper
    monkeypatch.setattr(vc, "load_corpus", lambda name: whole.subset(whole.ids[::every]))
    monkeypatch.setattr(vc.models, "paper", lambda **changes: paper(**changes | TINY))
    space = run_lane(number, lambda size: {})
    assert space["SIZE"]["settings"].width == TINY["width"]
    check(number, space, configs, tmp_path)


@pytest.mark.weights
def test_every_cell_of_the_baselines_runs(run_lane, tmp_path, capsys) -> None:
    few = {"every": 24, "timed": 2, "steps": 3, "ours": {}}
    space = run_lane("07", lambda size: {**few, "all": size["all"] | TINY})
    assert list(dict.fromkeys(space["table"].config)) == list(BASELINES)
    published = {name: settings.lr for name, (_, settings) in space["configs"].items()}
    assert published["UMONS 2020"] == 1e-4 and published["CME 2021"] == 5e-4  # each its own authors'
    assert space["same_settings"]
    check("07", space, BASELINES, tmp_path)


def test_figures_are_announced_as_long_as_no_gpu_made_them() -> None:
    measured = read_json(Course().expected / "gpu.json")
    for notebook in Course().select(["05", "06", "07"]):
        cells = nbformat.read(notebook.path, 4).cells
        announced = any("to come" in cell.source for cell in cells if cell.cell_type == "markdown")
        assert announced != (notebook.number in measured), notebook.name
