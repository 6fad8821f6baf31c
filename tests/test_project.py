"""The project's own files agree with each other: pyproject, lock, environment, Makefile, the lazy face."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import lines
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import vcemo_lib

ROOT = Path(vcemo_lib.__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def locked() -> dict[str, Requirement]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert len({canonicalize_name(pin.name) for pin in pins}) == len(pins), "a package is pinned twice"
    return {canonicalize_name(pin.name): pin for pin in pins}


def test_lock_pins_each_package_to_one_portable_version():
    for name, pin in locked().items():
        (specifier,) = pin.specifier
        assert specifier.operator == "==" and Version(specifier.version).local is None, pin
        assert not re.match(r"triton|nvidia|cuda", name), "what a platform brings by itself is not pinned"
    assert str(locked()["torch"].specifier) == "==2.13.0"


def test_every_dependency_is_locked_at_a_version_that_it_allows():
    pins = locked()
    extras = PYPROJECT["optional-dependencies"]
    for line in PYPROJECT["dependencies"] + extras["dev"]:  # all that the tests need
        wanted = Requirement(line)
        (pinned,) = pins[canonicalize_name(wanted.name)].specifier
        assert wanted.specifier.contains(pinned.version), f"{line} but locked at {pinned.version}"


def test_everything_that_the_library_imports_is_declared():
    optional = PYPROJECT["optional-dependencies"]
    wanted = PYPROJECT["dependencies"] + optional["site"]
    declared = {canonicalize_name(Requirement(line).name) for line in wanted}
    owners = packages_distributions()
    imported: dict[str, str] = {}  # package -> a file that imports it
    for path in sorted((ROOT / "vcemo_lib").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            imported |= {module.partition(".")[0]: path.name for module in modules}
    foreign = imported.keys() - sys.stdlib_module_names - {"vcemo_lib"}
    known = {name for name in foreign if declared & {canonicalize_name(own) for own in owners.get(name, [])}}
    assert not {name: imported[name] for name in foreign - known}


def test_environment_agrees_with_lock_and_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    specs = [spec for spec in environment["dependencies"] if isinstance(spec, str)]
    (pip,) = [spec["pip"] for spec in environment["dependencies"] if isinstance(spec, dict)]
    assert environment["channels"] == ["conda-forge"]
    assert all(re.fullmatch(r"[a-z]+((=|>=)[\d.]+)?", spec) for spec in specs), specs
    (python,) = [spec.removeprefix("python=") for spec in specs if spec.startswith("python=")]
    assert Requirement(f"python{PYPROJECT['requires-python']}").specifier.contains(python)
    assert {"pip", "git", "make"} <= {re.split("[=>]", spec)[0] for spec in specs}
    # all Python packages come from the lock: no second list that could drift away from it
    assert pip == ["-r requirements.lock", "-e ."]


def test_make_knows_its_targets_and_passes_lane_and_python_on():
    # `make test` may run this test
    inherited = ("MAKEFLAGS", "MAKELEVEL", "LANE", "ONLY", "JOBS", "PYTHON", "TESTS", "APP")
    env = {name: value for name, value in os.environ.items() if name not in inherited}

    def dry(*arguments: str) -> str:
        command = ["make", "--dry-run", "--always-make", *arguments]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout

    assert "course run --lane cpu" in dry("notebooks")
    assert "course run --lane smoke --only 03 --jobs 1" in dry("notebooks", "LANE=smoke", "ONLY=03", "JOBS=1")
    assert "python3.12 -m venv .venv" in dry("setup", "PYTHON=python3.12")
    assert "requirements.lock" in dry("setup") and "pytest" in dry("test") and "jupyterlab" in dry("lab")
    assert "course site" in dry("site")
    assert "vcemo_lib course app --port=1" in dry("app", "APP=--port=1")
    assert "[browser]" in dry("browser") and "--ignore tests/browser" in dry("test")
    assert "rm -rf build" in dry("clean")


def test_setup_runs_again_only_when_the_lock_changes(tmp_path):
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".installed").touch()
    asked = ["make", "--question", "setup"]  # 0: up to date, 1: something is to be made
    assert subprocess.run(asked, cwd=tmp_path).returncode == 0
    os.utime(tmp_path / "requirements.lock", (time.time() + 10,) * 2)
    assert subprocess.run(asked, cwd=tmp_path).returncode == 1


STEPS = ["lint", "test", "notebooks LANE=smoke", "browser"]


@pytest.mark.parametrize("failing", [None, *STEPS])
def test_ci_runs_every_step_in_order_and_stops_at_a_failure(tmp_path, failing) -> None:
    """With a `make` that notes what it is asked for, and fails at one step."""
    log, make = tmp_path / "asked", tmp_path / "make"
    make.write_text(f'#!/bin/sh\necho "$*" >> "{log}"\necho "done: $*"\n[ "$*" != "{failing}" ]\n', "utf-8")
    make.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    env = os.environ | {"PATH": path, "VCEMO_CHROMIUM": "here"}  # which is then not looked for
    done = subprocess.run(["bash", ROOT / ".ci" / "run"], env=env, capture_output=True, text=True)
    expected = STEPS[: STEPS.index(failing) + 1] if failing else STEPS
    assert log.read_text(encoding="utf-8").splitlines() == expected
    assert (done.returncode == 0) == (failing is None)
    if failing is None:  # the tests' closing line once more, at the end
        assert done.stdout.splitlines()[-1] == "done: test"


def commands_of_the_workflow() -> list[str]:
    """The `run` lines of the workflow's steps, for every system and Python that it names."""
    text = (ROOT / ".github" / "workflows" / "course.yml").read_text(encoding="utf-8")
    (job,) = yaml.safe_load(text)["jobs"].values()
    assert all(("run" in step) != ("uses" in step) for step in job["steps"])
    return [step["run"] for step in job["steps"] if "run" in step]


def test_the_commands_that_files_name_are_targets_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    named = [*commands_of_the_workflow(), container["postCreateCommand"]]
    assert all(command.startswith("make ") for command in named)
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        named += re.findall(r"(?:^|`)(make [a-z]+)", text, re.MULTILINE)
    assert {command.split()[1] for command in named} <= set(phony.split())
    assert {"setup", "lint", "test", "notebooks"} <= {c.split()[1] for c in commands_of_the_workflow()}


def test_contributors_are_told_the_limits_that_are_checked() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    most = lines.MOST_LINES
    limits = f"{most['library']:,} lines", f"{most['course']:,}", f"a file {lines.LONGEST_FILE}"
    assert all(limit in text for limit in limits) and f"a line {lines.LONGEST_LINE}" in text
    for name in re.findall(r"`((?:tests|vcemo_lib|data)/[\w/.]+)`|\]\((\w[\w/.]+)\)", text):
        assert (ROOT / "".join(name)).exists(), f"CONTRIBUTING.md names {''.join(name)}"


def test_the_citation_follows_its_format_and_the_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()  # what the format demands
    assert citation["version"] == vcemo_lib.__version__ and citation["license"] == PYPROJECT["license"]
    (paper,) = citation["references"]
    assert all(person["family-names"] and person["given-names"] for person in paper["authors"])


@pytest.mark.slow
def test_a_wheel_holds_every_file_of_the_package(tmp_path) -> None:
    """Built from a copy, since setuptools leaves a folder `build` beside what it builds."""
    tracked = subprocess.check_output(["git", "ls-files", "vcemo_lib"], cwd=ROOT, text=True).splitlines()
    source = tmp_path / "source"
    for name in [*tracked, "pyproject.toml", "README.md", "LICENSE"]:
        if (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*pip, "--wheel-dir", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == {name for name in tracked if (ROOT / name).exists()}


@pytest.mark.parametrize("name", vcemo_lib.__all__)
def test_every_name_of_the_face_is_there(name):
    assert getattr(vcemo_lib, name) is not None


def test_type_checkers_see_every_name_of_the_face() -> None:
    stub = ast.parse((ROOT / "vcemo_lib" / "__init__.pyi").read_text(encoding="utf-8"))
    seen = {alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen | {"__version__"} == set(vcemo_lib.__all__)


def test_the_typed_program_uses_all_that_the_readme_shows() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(import vcemo_lib.*?)```", readme, re.DOTALL)
    typed = (ROOT / "tests" / "typing" / "face.py").read_text(encoding="utf-8")
    shown = set(re.findall(r"\b(?:vc|run|corpus)(?:\.\w+)+", block))
    assert len(shown) > 8 and not {name for name in shown if name not in typed}


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing"):
        _ = vcemo_lib.nothing


def test_the_command_prints_what_the_readme_says_of_results(capsys) -> None:
    from vcemo_lib.cli import main
    from vcemo_lib.course import results

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.split("results.py -->\n")[1].split("<!-- end of results -->")[0]
    assert main(["results"]) == 0
    assert capsys.readouterr().out == shown, "run `python data/build/results.py`"
    assert len(results.stored("ablation")) == 35, "five seeds of seven rows"
    for name in results.experiments.BASELINES:
        assert f"\n| {name} | " in shown
    for found in (figures for figures in results.benchmarks().values() if "ratio" in figures):
        assert f"| {found['what']} | {found['against']} | {found['ratio']:.1f} |" in shown
