"""The project's own files agree with each other: pyproject, lock, environment, Makefile, the lazy face."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
import time
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

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
    for line in (
        PYPROJECT["dependencies"] + extras["dev"] + extras["cluster"]
    ):  # the tests need a cluster's packages too
        wanted = Requirement(line)
        (pinned,) = pins[canonicalize_name(wanted.name)].specifier
        assert wanted.specifier.contains(pinned.version), f"{line} but locked at {pinned.version}"


def test_everything_that_the_library_imports_is_declared():
    lines = PYPROJECT["dependencies"] + PYPROJECT["optional-dependencies"]["cluster"]
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    owners = packages_distributions()
    undeclared = {}
    for path in sorted((ROOT / "vcemo_lib").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            for module in (
                {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {"vcemo_lib"}
            ):
                if not declared & {canonicalize_name(owner) for owner in owners.get(module, [])}:
                    undeclared.setdefault(module, path.name)
    assert not undeclared


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
    inherited = (
        "MAKEFLAGS",
        "MAKELEVEL",
        "LANE",
        "ONLY",
        "JOBS",
        "PYTHON",
        "TESTS",
        "APP",
    )  # `make test` may run this test
    env = {name: value for name, value in os.environ.items() if name not in inherited}

    def dry(*arguments: str) -> str:
        command = ["make", "--dry-run", "--always-make", *arguments]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout

    assert "course run --lane cpu" in dry("notebooks")
    assert "course run --lane smoke --only 03 --jobs 1" in dry("notebooks", "LANE=smoke", "ONLY=03", "JOBS=1")
    assert "python3.12 -m venv .venv" in dry("setup", "PYTHON=python3.12")
    assert "requirements.lock" in dry("setup") and "pytest" in dry("test") and "jupyterlab" in dry("lab")
    assert "course site" in dry("site") and "voila notebooks/app/playground.ipynb --port=1" in dry(
        "app", "APP=--port=1"
    )
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


def test_ci_runs_the_tests_and_the_smoke_lane_and_stops_at_a_failure():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "set -euo pipefail" in script
    assert (
        script.index("make test") < script.index("make notebooks LANE=smoke") < script.index("make browser")
    )
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)


@pytest.mark.parametrize("name", vcemo_lib.__all__)
def test_every_name_of_the_face_is_there(name):
    assert getattr(vcemo_lib, name) is not None


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = vcemo_lib.nothing


def test_the_readme_tells_the_results_of_the_result_files() -> None:
    spec = importlib.util.spec_from_file_location("results", ROOT / "data" / "build" / "results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert module.section() in readme
    count = len(module.stored("ablation"))
    assert count == 35, "five seeds of seven rows"
    assert {"asr", "audio", "encoders"} <= module.benchmarks().keys()
    for one in module.benchmarks().values():
        assert "ratio" not in one or f"| {one['what']} | {one['against']} | {one['ratio']:.1f} |" in readme
