"""What a course consists of: the notebooks that `data/expected/course.yaml` names, and its files."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import repo_data

if TYPE_CHECKING:
    from nbformat import NotebookNode

LANES = ("smoke", "cpu", "gpu")
_NEEDED, _OPTIONAL = {"name", "title", "minutes"}, {"seconds", "parameters"}


@dataclass(frozen=True)
class Notebook:
    """One entry of course.yaml."""

    path: Path
    title: str
    minutes: float  # of a reader
    seconds: dict[str, float]  # of a run in each lane, on two cores
    parameters: dict[str, dict[str, object]]  # what a lane passes beside `lane` itself

    @property
    def name(self) -> str:  # "03_features"
        return self.path.stem

    @property
    def number(self) -> str:  # "03", under which it records
        return self.name[:2]


class Course:
    """Where a course lies: `notebooks/` and `build/` below `root`, its plan and expected figures in `data`.

    Without `root`, `data` is the bundled folder or VCEMO_DATA, and `root` the folder around it, or the
    library's own repository where no notebooks lie beside `data`.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.data = root / "data" if root else repo_data().resolve()
        beside = (self.data.parent / "notebooks").is_dir()
        self.root = root or (self.data.parent if beside else Path(__file__).resolve().parents[2])
        self.build, self.expected = self.root / "build", self.data / "expected"

    @cached_property
    def notebooks(self) -> list[Notebook]:
        """The notebooks in their order; VcemoError for a plan that is wrong, with the entry that is."""
        import yaml

        plan = self.expected / "course.yaml"
        try:
            entries = list(yaml.safe_load(plan.read_text(encoding="utf-8"))["notebooks"])
        except FileNotFoundError as error:
            raise VcemoError("the course's plan is missing", where=plan, do="git checkout it") from error
        except (yaml.YAMLError, UnicodeError, KeyError, TypeError) as error:
            reason = " ".join(repr(error).split())
            raise VcemoError(f"the course's plan cannot be read: {reason}", where=plan) from error
        if not entries:
            raise VcemoError("the course's plan lists no notebook", where=plan)
        notebooks = [self._notebook(entry, plan) for entry in entries]
        numbers = [notebook.number for notebook in notebooks]
        if twice := sorted({number for number in numbers if numbers.count(number) > 1}):
            raise VcemoError(f"notebook {', '.join(twice)} is listed twice", where=plan)
        return notebooks

    def _notebook(self, entry: Any, plan: Path) -> Notebook:
        keys = set(entry) if isinstance(entry, dict) else set()
        where = f"{plan}: {entry.get('name', entry) if keys else entry}"
        if wrong := (_NEEDED - keys) | (keys - _NEEDED - _OPTIONAL):
            names = ", ".join(sorted(map(str, wrong)))
            raise VcemoError(f"missing or unknown: {names}", where=where, do="mend the entry")
        if not re.match(r"\d\d_", str(entry["name"])):
            raise VcemoError("a notebook's name starts with two digits", where=where, do="call it NN_title")
        seconds, parameters = entry.get("seconds") or {}, entry.get("parameters") or {}
        lanes = [set(of) if isinstance(of, dict) else {str(of)} for of in (seconds, parameters)]
        if unknown := set.union(*lanes) - set(LANES):
            raise VcemoError(f"unknown lane {sorted(unknown)}", where=where, do=f"use {', '.join(LANES)}")
        if not all(isinstance(number, int | float) for number in (entry["minutes"], *seconds.values())):
            raise VcemoError("minutes and seconds are numbers", where=where, do="mend the entry")
        path = self.root / "notebooks" / f"{entry['name']}.ipynb"
        return Notebook(path, str(entry["title"]), entry["minutes"], seconds, parameters)

    def select(self, only: list[str] | None = None) -> list[Notebook]:
        """The notebooks that `only` names by number or name, or all of them. Their files must be there."""
        chosen = [book for book in self.notebooks if not only or {book.number, book.name} & set(only)]
        if missing := [notebook.path.name for notebook in chosen if not notebook.path.is_file()]:
            do = "write it, or take it out of course.yaml"
            raise VcemoError(f"no such notebook: {', '.join(missing)}", where=self.root / "notebooks", do=do)
        known = {key for notebook in chosen for key in (notebook.number, notebook.name)}
        if only and (unknown := set(only) - known):
            numbers = ", ".join(notebook.number for notebook in self.notebooks)
            raise VcemoError(f"no notebook {', '.join(sorted(unknown))}", do=f"choose from {numbers}")
        return chosen


def read_notebook(path: Path) -> NotebookNode:
    """A notebook's file as nbformat has it; VcemoError where it is not one."""
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except (ValueError, AttributeError, KeyError, TypeError, nbformat.ValidationError) as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise VcemoError(f"not a notebook: {reason}", where=path, do="restore or mend the file") from error
    return notebook


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file, empty where there is no file; VcemoError where it is something else."""
    try:
        return {**json.loads(path.read_text(encoding="utf-8"))} if path.exists() else {}
    except (TypeError, ValueError) as error:
        raise VcemoError(f"no JSON object: {error}", where=path, do="restore or delete the file") from error
