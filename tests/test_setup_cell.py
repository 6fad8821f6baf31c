"""The folded first cell of every notebook: installs the course where it is missing, else does nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def setup_cell(notebook: Path) -> str:
    cells = nbformat.read(notebook, as_version=4).cells
    return next(cell for cell in cells if cell.cell_type == "code").source


def test_it_is_the_first_code_of_every_notebook_and_everywhere_the_same() -> None:
    assert len({setup_cell(notebook) for notebook in NOTEBOOKS}) == 1


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with pip and nothing else."""
    place = tmp_path_factory.mktemp("empty")
    venv.create(place, with_pip=True)
    return place / ("Scripts" if os.name == "nt" else "bin") / "python"


def run(python: Path | str, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env["PIP_NO_DEPS"] = "1"  # what the course depends on would take minutes; `make setup` installs that
    command = [str(python), "-c", code]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, encoding="utf-8")


@pytest.mark.slow
def test_it_installs_the_course_in_an_empty_environment(empty: Path, tmp_path: Path) -> None:
    code = setup_cell(NOTEBOOKS[0])
    nothing = run(empty, code, tmp_path)  # not in a clone, and no address filled in
    assert nothing.returncode == 1 and nothing.stderr.strip().startswith("The course is not here")
    found = "from importlib.util import find_spec; print(find_spec('vcemo_lib').origin)"
    done = run(empty, f"{code}\n{found}", ROOT / "notebooks")
    assert done.returncode == 0 and str(ROOT) in done.stdout, done.stderr
    later = run(empty, found, tmp_path)  # another kernel finds it, too
    assert later.returncode == 0 and str(ROOT) in later.stdout


def test_it_does_nothing_where_the_course_is_installed(tmp_path: Path) -> None:
    done = run(sys.executable, setup_cell(NOTEBOOKS[0]) + "\nprint(sys.path[0])", tmp_path)
    assert done.returncode == 0 and done.stdout.strip() == "" and done.stderr == ""
