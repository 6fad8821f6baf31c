"""What a run leaves behind: a table, results.json and .md, and the outputs stored in the notebooks."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcemo_lib.course.metrics import Check, number
from vcemo_lib.course.plan import Course, read_json, read_notebook
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import cache_dir, write_atomically

if TYPE_CHECKING:
    from nbformat import NotebookNode

STORED_LIMIT_BYTES = 1_000_000  # a notebook with its outputs, in the repository
_WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass
class Result:
    """What became of one notebook. `error` is None when every cell ran; `checks` are its metrics."""

    name: str
    title: str
    seconds: float
    cells: int
    error: str | None = None
    checks: list[Check] = field(default_factory=list)
    stamp: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.error is None and all(check.ok for check in self.checks)

    @property
    def summary(self) -> str:
        """What is to be said of it in half a line."""
        drifted = "; ".join(str(check) for check in self.checks if not check.ok)
        expected = any(check.expected for check in self.checks)
        return self.error or drifted or ("ok" if expected else "ran, nothing expected")


def table(results: list[Result]) -> str:
    """The closing table: notebook, seconds, cells, metrics in tolerance, and what is wrong."""
    width = max((len(result.name) for result in results), default=8)
    lines = [f"{'notebook':<{width}} {'seconds':>8} {'cells':>6} {'metrics':>8}  "]
    for result in results:
        expected = [check.ok for check in result.checks if check.expected]
        numbers = f"{result.seconds:>8.1f} {result.cells:>6} {f'{sum(expected)}/{len(expected)}':>8}"
        lines.append(f"{result.name:<{width}} {numbers}  {result.summary}")
    return "\n".join(lines)


def publish(course: Course, about: dict[str, Any], results: list[Result]) -> Path:
    """Write results.json and results.md: these results, and earlier ones of other notebooks."""
    folder = course.build / about["lane"]
    known = read_results(folder) | {result.name: result for result in results}
    results = [known[notebook.name] for notebook in course.notebooks if notebook.name in known]
    content = {**about, "notebooks": [{**asdict(result), "ok": result.ok} for result in results]}
    write_atomically(folder / "results.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    write_atomically(folder / "results.md", _page(about, results))
    return folder / "results.md"


def _page(about: dict[str, Any], results: list[Result]) -> str:
    """The table of a run, then each metric beside what was expected, as Markdown."""
    used = [weight for result in results for weight in result.stamp.get("weights", [])]
    weights = {f"{weight['name']} from {weight['source']}": "" for weight in used}
    facts = [f"{name} {value}" for name, value in (about["versions"] | about["hardware"] | weights).items()]
    head = "# The {lane} lane, {date}\n\nLast run {seconds} s with {jobs} at once, {threads} thread(s) each."
    rows = ["| notebook | metric | measured | expected | |", "|---|---|--:|--:|---|"]
    for result in results:
        for check in result.checks:
            row = (result.name, check.metric, number(check.value), check.expected)
            rows.append(f"| {' | '.join(row)} | {'' if check.ok else '✗ OUT'} |")
    parts = (head.format(**about), f"```\n{table(results)}\n```", "\n".join(rows), ", ".join(facts))
    return "\n\n".join(parts) + "\n"


def read_results(folder: Path) -> dict[str, Result]:
    """The results of the last run of each notebook in a lane's folder, by name."""
    path = folder / "results.json"
    try:
        known = {}
        for entry in read_json(path).get("notebooks", []):
            made = {name: entry[name] for name in ("name", "title", "seconds", "cells", "error", "stamp")}
            known[entry["name"]] = Result(**made, checks=[Check(**check) for check in entry["checks"]])
        return known
    except (KeyError, TypeError, ValueError) as error:
        raise VcemoError(f"not the results of a run: {error!r}", where=path, do="delete it") from error


def code_digest(notebook: NotebookNode) -> str:
    """A digest of a notebook's code cells, to which its stored outputs belong. 12 hex digits."""
    code = [cell.source for cell in code_cells(notebook)]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()[:12]


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells without the one that papermill adds."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [cell for cell in cells if "injected-parameters" not in cell.metadata.get("tags", [])]


def still(output: NotebookNode) -> NotebookNode | None:
    """An output without its live widget; None where only the widget's name would be left."""
    if output.get("data", {}).pop(_WIDGET, None) and set(output["data"]) <= {"text/plain"}:
        return None
    output.get("metadata", {}).pop(_WIDGET, None)
    return output


def store(course: Course | None = None, only: list[str] | None = None) -> list[Path]:
    """Copy the outputs of the last `cpu` run back into notebooks/; gives the files written.

    Refused (VcemoError): a notebook that failed or drifted there, or was changed since; one over 1 MB with
    its outputs; an output that names a path of this machine. Nothing is written unless all can be.
    """
    import nbformat

    course = course or Course()
    results = read_results(course.build / "cpu")
    folders = (course.root, course.data, Path.home(), cache_dir(), Path(sys.prefix))
    written: dict[Path, str] = {}
    for notebook in course.select(only):
        rerun = f"run it: vcemo course run --lane cpu --only {notebook.number}"
        if notebook.name not in results or not results[notebook.name].ok:
            raise VcemoError("no good run in the cpu lane", where=notebook.name, do=rerun)
        executed = read_notebook(course.build / "cpu" / notebook.path.name)
        target = read_notebook(notebook.path)
        if code_digest(executed) != code_digest(target):
            raise VcemoError("the notebook was changed since it was run", where=notebook.name, do=rerun)
        pairs = zip(code_cells(target), code_cells(executed), strict=True)
        for count, (cell, ran) in enumerate(pairs, 1):
            cell.execution_count = count
            cell.outputs = [kept for output in ran.outputs if (kept := still(output))]
            for output in cell.outputs:
                if "execution_count" in output:
                    output["execution_count"] = count
            if path := named_path(json.dumps(cell.outputs, ensure_ascii=False), folders):
                where = f"{notebook.name}, code cell {count}"
                raise VcemoError(f"an output names the path {path}", where=where, do="print file names only")
        target.metadata = {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "vcemo": {"lane": "cpu", "code": code_digest(target)},
        }
        text = nbformat.writes(target) + "\n"
        if (size := len(text.encode())) > STORED_LIMIT_BYTES:
            over = f"{size / 1e6:.2f} MB with its outputs, over 1 MB"
            raise VcemoError(over, where=notebook.name, do="show less")
        written[notebook.path] = text
    for file, text in written.items():
        write_atomically(file, text)
    return list(written)


def named_path(text: str, folders: Iterable[Path]) -> str | None:
    """The first of the folders that a text names; readers elsewhere have no use for it."""
    private = "|".join(re.escape(str(path)) for path in folders if path != path.parent)
    found = re.search(rf"(?:{private})(?![\w-])", text)
    return found and found[0]
