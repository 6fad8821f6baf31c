"""The course runner, on a course of small notebooks; and the plan and stored outputs of the real one."""

import json
import math
import signal
import threading
import time

import nbformat
import numpy as np
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from vcemo_lib import course as vc_course
from vcemo_lib.course import LANES, Course, compare, record, run, store, updated
from vcemo_lib.course.metrics import Check
from vcemo_lib.errors import VcemoError

PARAMETERS = 'lane = "cpu"\nscale = 1.0'
RECORD = "from vcemo_lib import course\n"


def write_notebook(root, name, *cells, parameters=PARAMETERS):
    """A notebook with a parameters cell and `cells`, each code, or a code cell of the test's own making."""
    first = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    made = [cell if not isinstance(cell, str) else new_code_cell(cell) for cell in cells]
    folder = root / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(
        new_notebook(cells=[new_markdown_cell(f"# {name}"), first, *made]), folder / f"{name}.ipynb"
    )


def write_plan(root, *entries):
    folder = root / "data" / "expected"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "course.yaml").write_text(yaml.safe_dump({"notebooks": list(entries)}), encoding="utf-8")


def entry(name, **more):
    return {"name": name, "title": name[3:].title(), "minutes": 1, **more}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A course whose notebooks end in every way a notebook can end, run once."""
    root = tmp_path_factory.mktemp("course")
    skipped = new_code_cell("print('not run')", metadata={"tags": ["skip-execution"]})
    write_notebook(root, "01_good",
        "import os, pathlib, sys",
        'print(lane, scale, pathlib.Path.cwd().name, os.environ["OMP_NUM_THREADS"])',
        RECORD + 'course.record("01", {"same": 0.5 * scale, "floor": 3}, seeds=[0, 1])',
    )  # fmt: skip
    write_notebook(
        root, "02_fails", "x = 1", "raise ValueError('no good')\nprint(x)", "print('never reached')"
    )
    write_notebook(root, "03_drifts", RECORD + 'course.record("03", {"same": 0.7, "new": 1})')
    write_notebook(root, "04_empty", new_markdown_cell("nothing runs here"))
    write_notebook(root, "05_skips", "x = 1", skipped)
    write_plan(root, entry("01_good", parameters={"smoke": {"scale": 2.0}}),
        *map(entry, ("02_fails", "03_drifts", "04_empty", "05_skips")))  # fmt: skip
    expected = {
        "01": {"same": {"value": 1.0, "tolerance": 0.01}, "floor": {"min": 2}},
        "03": {"same": {"value": 0.5, "tolerance": 0.1}, "lost": {"max": 1}},
    }
    (root / "data" / "expected" / "smoke.json").write_text(json.dumps(expected), encoding="utf-8")
    said: list[str] = []
    results = run("smoke", course=Course(root), say=said.append)
    return root, {result.name: result for result in results}, said


def test_good_notebook_passes_with_its_parameters_folder_and_one_thread(finished):
    root, results, _ = finished
    good = results["01_good"]
    assert good.ok and good.error is None and good.cells == 3
    executed = nbformat.read(root / "build" / "smoke" / "01_good.ipynb", as_version=4)
    printed = "".join(
        output.text for cell in executed.cells for output in cell.get("outputs", []) if "text" in output
    )
    assert printed.strip() == "smoke 2.0 notebooks 1"


def test_metrics_are_stamped(finished):
    root, results, _ = finished
    written = json.loads((root / "build" / "smoke" / "metrics" / "01.json").read_text(encoding="utf-8"))
    assert written["metrics"] == {"same": 1.0, "floor": 3}
    assert written["lane"] == "smoke" and written["about"] == {"seeds": [0, 1]}
    assert {"python", "torch", "numpy"} <= set(written["versions"]) and written["hardware"]["cores"] >= 1
    assert written["weights"] == []
    assert results["01_good"].stamp["date"] == written["date"]


def test_failing_notebook_is_told_by_cell_and_error(finished):
    root, results, _ = finished
    assert not results["02_fails"].ok
    assert results["02_fails"].error == "cell 5: ValueError: no good"


def test_drift_and_lost_metric_fail_and_a_new_one_is_listed(finished):
    drifted = finished[1]["03_drifts"]
    assert drifted.error is None and not drifted.ok
    assert [(check.metric, check.ok) for check in drifted.checks] == [
        ("same", False),
        ("lost", False),
        ("new", True),
    ]
    assert drifted.summary == "same is 0.7, not 0.5 ± 0.1; lost is missing, not ≤ 1"


def test_notebook_that_runs_nothing_or_skips_fails(finished):
    assert finished[1]["04_empty"].error == "no code cell was executed"
    assert finished[1]["05_skips"].error == "1 code cells were not executed"


def test_table_page_and_results_tell_all(finished):
    root, results, said = finished
    table = next(line for line in said if line.startswith("notebook"))
    assert len(table.splitlines()) == 6 and "2/2" in table and "0/2" in table
    assert "4 of 5 failed or drifted" in said[-1]
    page = (root / "build" / "smoke" / "results.md").read_text(encoding="utf-8")
    assert all(name in page for name in results) and "ValueError: no good" in page
    assert "| 03_drifts | same | 0.7 | 0.5 ± 0.1 | ✗ OUT |" in page and "numpy" in page
    written = json.loads((root / "build" / "smoke" / "results.json").read_text(encoding="utf-8"))
    assert [notebook["ok"] for notebook in written["notebooks"]] == [True, False, False, False, False]


def test_updating_and_storing(tmp_path):
    """The way a maintainer refreshes a notebook: run, update the expectations, store the outputs."""
    root = tmp_path
    write_notebook(root, "01_good", "print(1 + 1)", RECORD + 'course.record("01", {"a": 0.123456, "n": 3})')
    write_plan(root, entry("01_good"))
    place = Course(root)
    with pytest.raises(VcemoError, match="no good run in the cpu lane"):
        store(place)
    assert run("cpu", course=place, update_expected=True, say=lambda line: None)[0].ok
    assert json.loads((root / "data" / "expected" / "cpu.json").read_text()) == {
        "01": {"a": {"value": 0.12346, "tolerance": 0.006}, "n": {"value": 3, "tolerance": 0}}
    }
    path = root / "notebooks" / "01_good.ipynb"
    assert store(place) == [path]
    stored = nbformat.read(path, as_version=4)
    nbformat.validate(stored)
    assert [cell.cell_type for cell in stored.cells] == [
        "markdown",
        "code",
        "code",
        "code",
    ]  # nothing injected
    assert stored.cells[1].source == PARAMETERS and stored.cells[2].outputs[0].text == "2\n"
    assert [cell.execution_count for cell in stored.cells[1:]] == [1, 2, 3]
    assert stored.metadata.vcemo.code == vc_course.report.code_digest(stored)
    before = path.read_bytes()
    store(place)
    assert path.read_bytes() == before  # storing again changes no byte

    stored.cells[2].source = "print(2 + 2)"
    nbformat.write(stored, path)
    with pytest.raises(VcemoError, match="changed since it was run"):
        store(place)


def test_paths_of_the_machine_and_heavy_outputs_are_not_stored(tmp_path):
    write_notebook(tmp_path, "01_path", "import sys; print(sys.prefix)")
    write_notebook(tmp_path, "02_heavy", "print('x' * 1_100_000)")
    write_plan(tmp_path, entry("01_path"), entry("02_heavy"))
    run("cpu", course=Course(tmp_path), say=lambda line: None)
    with pytest.raises(VcemoError, match="01_path, code cell 2"):
        store(Course(tmp_path), only=["01"])
    with pytest.raises(VcemoError, match="1.10 MB with its outputs"):
        store(Course(tmp_path), only=["02_heavy"])


def test_unknown_parameter_is_refused_before_anything_runs(tmp_path):
    write_notebook(tmp_path, "01_good", "x = 1")
    write_plan(tmp_path, entry("01_good", parameters={"smoke": {"scael": 2}}))
    with pytest.raises(VcemoError, match="unknown parameter scael"):
        run("smoke", course=Course(tmp_path))
    assert not (tmp_path / "build").exists()


def test_notebook_without_a_lane_is_refused(tmp_path):
    write_notebook(tmp_path, "01_good", "x = 1", parameters="scale = 1")
    write_plan(tmp_path, entry("01_good"))
    with pytest.raises(VcemoError, match="unknown parameter lane"):
        run("smoke", course=Course(tmp_path))


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([{"name": "01_good", "title": "x"}], "minutes"),
        ([entry("01_good", colour="red")], "colour"),
        ([entry("01_good"), entry("01_good")], "01 is listed twice"),
        ([entry("01_good"), entry("07_none")], "no such notebook: 07_none.ipynb"),
        ([entry("good")], "two digits"),
        ([], "lists no notebook"),
        ([entry("01_good", parameters={"fast": {}})], "unknown lane"),
        ([entry("01_good", seconds={"slow": 3})], "unknown lane"),
    ],
)
def test_wrong_plan_is_refused_with_the_reason(tmp_path, entries, told):
    write_notebook(tmp_path, "01_good", "x = 1")
    write_plan(tmp_path, *entries)
    with pytest.raises(VcemoError, match=told):
        Course(tmp_path).select()


def test_notebooks_that_are_there_can_be_chosen_while_others_are_yet_to_be_written(tmp_path):
    write_notebook(tmp_path, "01_good", "x = 1")
    write_plan(tmp_path, entry("01_good"), entry("07_none"))
    assert [notebook.name for notebook in Course(tmp_path).select(["01"])] == ["01_good"]


def test_wrong_lane_number_and_jobs_are_refused(tmp_path):
    write_notebook(tmp_path, "01_good", "x = 1")
    write_plan(tmp_path, entry("01_good"))
    for arguments, told in (
        ({"lane": "fast"}, "unknown lane"),
        ({"only": ["9"]}, "no notebook 9"),
        ({"jobs": 0}, "--jobs"),
    ):
        with pytest.raises(VcemoError, match=told):
            run(course=Course(tmp_path), **arguments)
    with pytest.raises(VcemoError, match="plan is missing"):
        _ = Course(tmp_path / "elsewhere").notebooks


def test_damaged_files_are_told_in_one_line(tmp_path):
    write_notebook(tmp_path, "01_good", "x = 1")
    write_plan(tmp_path, entry("01_good"))
    place, plan = Course(tmp_path), tmp_path / "data" / "expected" / "course.yaml"
    results = tmp_path / "build" / "cpu" / "results.json"
    results.parent.mkdir(parents=True)
    for text in ("[]", '{"notebooks": 3}', '{"notebooks": [{"name": "01_good"}]}', "nonsense"):
        results.write_text(text, encoding="utf-8")
        with pytest.raises(VcemoError, match="results.json"):
            store(place)
    for text in (
        "[]",
        "- [",
        "notebooks: 3",
        "notebooks: [3, x]",
        "\x00",
        "notebooks: [{name: 1, title: 2, minutes: x}]",
    ):
        plan.write_text(text, encoding="utf-8")
        with pytest.raises(VcemoError, match="course.yaml") as told:
            _ = Course(tmp_path).notebooks
        assert "\n" not in str(told.value)
    write_plan(tmp_path, entry("01_good"))
    for text in ("", "[]", "{}", '{"cells": [3], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}'):
        (tmp_path / "notebooks" / "01_good.ipynb").write_text(text, encoding="utf-8")
        with pytest.raises(VcemoError, match="not a notebook"):
            run("smoke", course=Course(tmp_path))


def test_the_data_folder_may_have_another_name_or_lie_elsewhere(tmp_path, monkeypatch):
    write_notebook(tmp_path, "01_good", "x = 1")
    write_plan(tmp_path, entry("01_good"))
    (tmp_path / "data").rename(tmp_path / "other")
    monkeypatch.setenv("VCEMO_DATA", str(tmp_path / "other"))
    assert [notebook.path for notebook in Course().select()] == [tmp_path / "notebooks" / "01_good.ipynb"]
    (tmp_path / "scratch").mkdir()
    (tmp_path / "other").rename(tmp_path / "scratch" / "data")
    monkeypatch.setenv("VCEMO_DATA", str(tmp_path / "scratch" / "data"))
    assert Course().notebooks and (Course().root / "vcemo_lib").is_dir()  # the notebooks of the clone


def test_ctrl_c_while_a_kernel_starts_leaves_no_notebook_running(tmp_path):
    late = "import pathlib, time; time.sleep(3); pathlib.Path('late').touch()"
    write_notebook(tmp_path, "01_slow", late, "time.sleep(60)")
    write_plan(tmp_path, entry("01_slow"))

    def interrupt(line):
        if line.endswith("started"):
            main = threading.main_thread().ident
            threading.Timer(0.3, signal.pthread_kill, [main, signal.SIGINT]).start()

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run("smoke", course=Course(tmp_path), say=interrupt)
    assert time.monotonic() - began < 40 and not (tmp_path / "notebooks" / "late").exists()


# ---------------------------------------------------------------------------------------------- metrics


def test_compare_knows_tolerance_bounds_missing_and_new():
    expected = {
        "edge": {"value": 0.7, "tolerance": 0.1},
        "over": {"value": 0.7, "tolerance": 0.1},
        "in": {"min": 0.5, "max": 0.9},
        "below": {"min": 0.5},
        "missing": {"max": 1},
        "nan": {"max": 1},
    }
    measured = {"edge": 0.8, "over": 0.8001, "in": 0.9, "below": 0.49, "nan": math.nan, "new": 4}
    checks = {check.metric: check for check in compare(measured, expected)}
    assert {name for name, check in checks.items() if check.ok} == {"edge", "in", "new"}
    assert checks["missing"] == Check("missing", None, "≤ 1", False)


def test_expectation_that_can_never_fail_is_refused():
    for rule in ({}, {"value": 1}, {"value": 1, "tolerance": 1, "min": 0}):
        with pytest.raises(VcemoError, match="an expectation is"):
            compare({"wa": 1}, {"wa": rule})


def test_update_keeps_tolerances_and_bounds():
    before = {"wa": {"value": 0.5, "tolerance": 0.2}, "ua": {"min": 0.3}, "gone": {"max": 1}}
    after = updated(before, {"wa": 0.654321, "ua": 0.9, "n": 12})
    assert after == {
        "wa": {"value": 0.65432, "tolerance": 0.2},
        "ua": {"min": 0.3},
        "n": {"value": 12, "tolerance": 0},
    }
    exact = {"difference": {"value": 0.0, "tolerance": 0.0}}
    assert updated(exact, {"difference": 0.0}) == exact
    assert updated(exact, {"difference": -0.2512345}) == {
        "difference": {"value": -0.25123, "tolerance": 0.01}
    }  # not 0: it is rounded


def test_record_writes_numbers_and_refuses_others(tmp_path, monkeypatch):
    monkeypatch.setenv("VCEMO_METRICS", str(tmp_path))
    monkeypatch.setattr(vc_course.metrics, "_recorded", {})
    record("07", {"wa": np.float32(0.5)})
    record("07", {"n": np.int64(3)}, corpus="abc")
    written = json.loads((tmp_path / "07.json").read_text(encoding="utf-8"))
    assert written["metrics"] == {"wa": 0.5, "n": 3} and written["about"] == {"corpus": "abc"}
    for wrong in (math.nan, math.inf, "0.5", None, [1, 2]):
        with pytest.raises(VcemoError, match="not a finite number"):
            record("07", {"wa": wrong})
    with pytest.raises(VcemoError, match="two-digit"):
        record("seven", {"wa": 1})


# ---------------------------------------------------------------------------------------------- the real
# course


def real_notebooks():
    return Course().notebooks


def test_the_course_lists_every_notebook_that_is_there():
    place = Course()
    listed = [notebook.path for notebook in place.notebooks]
    assert listed == sorted((place.root / "notebooks").glob("*.ipynb")) and listed


def test_every_notebook_has_something_expected_of_it_in_every_lane_that_has_expectations():
    place = Course()
    for lane in LANES:
        path = place.expected / f"{lane}.json"
        if lane == "gpu" and not path.exists():
            continue
        expected = json.loads(path.read_text(encoding="utf-8"))
        assert set(expected) == {notebook.number for notebook in place.notebooks}, lane
        assert all(expected.values()), lane
        for rules in expected.values():
            compare({}, rules)  # refuses a rule that is malformed


def test_stored_outputs_belong_to_the_code_beside_them():
    for notebook in real_notebooks():
        stored = nbformat.read(notebook.path, as_version=4)
        nbformat.validate(stored)
        where = f"{notebook.name}: run `vcemo course run` and `vcemo course store`"
        assert stored.metadata.get("vcemo", {}).get("code") == vc_course.report.code_digest(stored), where
        assert notebook.path.stat().st_size <= vc_course.report.STORED_LIMIT_BYTES, where


# The code cells of a notebook that are shown and have more than 12 lines. It shall only go down.
LONG_CELLS = {"03": 8}


def test_cells_are_few_and_short():
    """At most 70 cells are shown; those of more than 12 lines are as many as the table says."""
    long = {}
    for notebook in Course().notebooks:
        cells = nbformat.read(notebook.path, as_version=4).cells
        shown = [c for c in cells if not {"hide-cell", "hide-input"} & set(c.metadata.get("tags", []))]
        assert len(shown) <= 70, notebook.name
        if count := sum(c.cell_type == "code" and len(c.source.splitlines()) > 12 for c in shown):
            long[notebook.number] = count
    grown = {number: count for number, count in long.items() if count > LONG_CELLS.get(number, 0)}
    assert not grown, "shorten the new cells, or fold them (tag hide-input)"
    assert long == LONG_CELLS, "fewer than the table says: lower it"
