"""Run the notebooks headless and compare what they measured with what they are expected to measure.

    vcemo course run --lane cpu          # every notebook, executed copies and an index in build/cpu/
    vcemo course store                   # those outputs become the ones that notebooks/ shows

`data/expected/course.yaml` names the notebooks; `data/expected/<lane>.json` holds, for each, its metrics and their
tolerances. A notebook hands its metrics over with `course.record("03", {...})`. A run fails if a notebook fails, if
a cell of it was not executed, or if a metric is missing or out of tolerance.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import html
import json
import math
import os
import queue
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import repo_data, write_atomically
from vcemo_lib.provenance import stamp

LANES = ("smoke", "cpu", "gpu")
CELL_LIMIT_S = {"smoke": 600, "cpu": 1_800, "gpu": 7_200}  # a cell that takes longer hangs
STORED_LIMIT_BYTES = 1_000_000  # a notebook with its outputs, in the repository
DEFAULT_TOLERANCE = 0.05  # of a new metric's value, when `update_expected` meets it first
_WIDGET = "application/vnd.jupyter.widget-view+json"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


# ---------------------------------------------------------------------------------------------- in a notebook

_recorded: dict[str, dict[str, float]] = {}


def record(name: str, metrics: Mapping[str, float], **about: object) -> None:
    """Hand the metrics of notebook `name` ("03") over to the course, as a JSON file.

    Metrics are finite numbers; a second call adds to the first. `about` is kept beside them as it is: seeds,
    fingerprints, intervals. Under `vcemo course run` the file lies in build/<lane>/metrics/, otherwise in
    build/interactive/.
    """
    if not re.fullmatch(r"\d\d", name):
        raise VcemoError("a notebook records under its two-digit number", where=name, do='write record("03", {...})')
    for key, value in metrics.items():
        if not _is_finite(value):
            raise VcemoError(f"the metric is {value!r}, not a finite number", where=f"notebook {name}, {key}")
    recorded = _recorded.setdefault(name, {})
    recorded.update({key: value.item() if hasattr(value, "item") else value for key, value in metrics.items()})
    folder = os.environ.get("VCEMO_METRICS") or Course().build / "interactive"
    path = Path(folder) / f"{name}.json"
    lane = os.environ.get("VCEMO_LANE", "interactive")
    content = {"notebook": name, "lane": lane, "metrics": recorded, "about": about, **stamp()}
    write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n")


def _is_finite(value: object) -> bool:
    try:
        return math.isfinite(value)  # a bool, an int, a float, a NumPy or a one-element torch number
    except (TypeError, ValueError):
        return False


# ---------------------------------------------------------------------------------------------- the course's plan


@dataclass(frozen=True)
class Notebook:
    """One row of course.yaml: `minutes` a reader takes, `seconds` a run of each lane takes on two cores, and what
    parameters it gets in each lane beside `lane`.
    """

    path: Path
    title: str
    minutes: float
    seconds: dict[str, float]
    parameters: dict[str, dict[str, object]]

    @property
    def name(self) -> str:
        """File name without its ending: "03_features"."""
        return self.path.stem

    @property
    def number(self) -> str:
        """The two digits it starts with, under which it records."""
        return self.name[:2]


@dataclass(frozen=True)
class Course:
    """Where a course lies: `notebooks/`, `data/expected/` and `build/` below `root` (this repository by default)."""

    root: Path = field(default_factory=lambda: repo_data().parent)

    @property
    def build(self) -> Path:
        return self.root / "build"

    @property
    def expected(self) -> Path:
        return self.root / "data" / "expected"

    @cached_property
    def notebooks(self) -> list[Notebook]:
        """The notebooks in their order; VcemoError for a plan that is wrong, with the entry that is."""
        import yaml

        plan = self.expected / "course.yaml"
        try:
            entries = yaml.safe_load(plan.read_text(encoding="utf-8"))["notebooks"]
            notebooks = [self._notebook(entry, plan) for entry in entries]
        except FileNotFoundError as error:
            raise VcemoError("the course's plan is missing", where=plan, do="restore it from the repository") from error
        except (yaml.YAMLError, KeyError, TypeError) as error:
            raise VcemoError(f"the course's plan cannot be read: {error!r}", where=plan) from error
        if not notebooks:
            raise VcemoError("the course's plan lists no notebook", where=plan)
        numbers = [notebook.number for notebook in notebooks]
        if twice := sorted({number for number in numbers if numbers.count(number) > 1}):
            raise VcemoError(f"notebook {', '.join(twice)} is listed twice", where=plan)
        return notebooks

    def _notebook(self, entry: dict, plan: Path) -> Notebook:
        where = f"{plan}: {entry.get('name', entry)}"
        needed, optional = {"name", "title", "minutes"}, {"seconds", "parameters"}
        if wrong := needed - set(entry) | set(entry) - needed - optional:
            raise VcemoError(f"missing or unknown: {', '.join(sorted(wrong))}", where=where, do="mend the entry")
        seconds, parameters = entry.get("seconds") or {}, entry.get("parameters") or {}
        if unknown := (set(parameters) | set(seconds)) - set(LANES):
            raise VcemoError(f"unknown lane {sorted(unknown)}", where=where, do=f"use {', '.join(LANES)}")
        if not re.match(r"\d\d_", entry["name"]):
            raise VcemoError("a notebook's name starts with two digits", where=where, do="call it NN_title")
        path = self.root / "notebooks" / f"{entry['name']}.ipynb"
        return Notebook(path, entry["title"], entry["minutes"], seconds, parameters)

    def select(self, only: list[str] | None = None) -> list[Notebook]:
        """The notebooks that `only` names by number or name; all of them without it. Their files must be there."""
        chosen = [one for one in self.notebooks if not only or {one.number, one.name} & set(only)]
        if missing := [one.path.name for one in chosen if not one.path.is_file()]:
            do = "write it, or take it out of course.yaml"
            raise VcemoError(f"no such notebook: {', '.join(missing)}", where=self.root / "notebooks", do=do)
        if only and (unknown := set(only) - {key for notebook in chosen for key in (notebook.number, notebook.name)}):
            numbers = ", ".join(notebook.number for notebook in self.notebooks)
            raise VcemoError(f"no notebook {', '.join(sorted(unknown))}", do=f"choose from {numbers}")
        return chosen


# ---------------------------------------------------------------------------------------------- comparing metrics


@dataclass(frozen=True)
class Check:
    """One metric against what is expected of it."""

    metric: str
    value: float | None
    expected: str
    ok: bool


def compare(metrics: Mapping[str, float], expected: Mapping[str, Mapping[str, float]]) -> list[Check]:
    """Each expected metric against its measured value: within value ± tolerance, or within [min, max].

    A metric that is missing fails; one that nothing is expected of is listed as such and passes.
    """
    checks = []
    for name, rule in expected.items():
        if set(rule) == {"value", "tolerance"}:
            low, high = rule["value"] - rule["tolerance"], rule["value"] + rule["tolerance"]
            text = f"{rule['value']:g} ± {rule['tolerance']:g}"
        elif set(rule) and set(rule) <= {"min", "max"}:
            low, high = rule.get("min", -math.inf), rule.get("max", math.inf)
            text = " and ".join(f"{sign} {rule[key]:g}" for key, sign in (("min", "≥"), ("max", "≤")) if key in rule)
        else:
            raise VcemoError(f"an expectation is value and tolerance, or min and/or max, not {dict(rule)}", where=name)
        value = metrics.get(name)
        slack = 1e-9 * max(1.0, abs(rule.get("value", 0.0)))  # 0.7 + 0.1 is inside 0.8
        checks.append(Check(name, value, text, value is not None and low - slack <= value <= high + slack))
    checks += [Check(name, value, "—", True) for name, value in metrics.items() if name not in expected]
    return checks


def updated(expected: Mapping[str, Mapping[str, float]], metrics: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Expectations that follow `metrics`: tolerances and bounds stay, values move, lost metrics go, new ones come."""
    fresh: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        rule = dict(expected.get(name, {}))
        if not rule or "tolerance" in rule:
            kept, room = (value, 0) if isinstance(value, int) else (float(f"{value:.5g}"), float(f"{DEFAULT_TOLERANCE * abs(value):.1g}"))
            rule = {"value": kept, "tolerance": rule.get("tolerance") or room}  # a rounded value needs some room
        fresh[name] = rule
    return fresh


# ---------------------------------------------------------------------------------------------- running


@dataclass
class Result:
    """What became of one notebook. `error` is None when every cell ran; `checks` are its metrics."""

    name: str
    title: str
    seconds: float
    cells: int
    error: str | None = None
    checks: list[Check] = field(default_factory=list)
    stamp: dict[str, object] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.error is None and all(check.ok for check in self.checks)

    @property
    def summary(self) -> str:
        """What is to be said of it in half a line."""
        if self.error:
            return self.error
        drifted = [f"{check.metric} is {_number(check.value)}, not {check.expected}" for check in self.checks if not check.ok]
        return "; ".join(drifted) or ("ok" if any(check.expected != "—" for check in self.checks) else "ran, nothing expected")


def _number(value: float | None) -> str:
    return "missing" if value is None else f"{value:.4g}"


def run(
    lane: str = "cpu",
    only: list[str] | None = None,
    jobs: int | None = None,
    update_expected: bool = False,
    course: Course | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Result]:
    """Run the course's notebooks in `lane`, `jobs` at once, into build/<lane>/; gives one Result a notebook.

    Executed copies (.ipynb and .html), index.html and results.json are written there. With `update_expected` the
    measured metrics become the expected ones. Errors: VcemoError for a wrong lane, plan, parameter or number.
    """
    from filelock import FileLock

    course = course or Course()
    if lane not in LANES:
        raise VcemoError(f"unknown lane {lane!r}", do=f"use {', '.join(LANES)}")
    if jobs is not None and jobs < 1:
        raise VcemoError(f"--jobs is {jobs}", do="give 1 or more")
    notebooks = course.select(only)
    parameters = {notebook.name: _parameters(notebook, lane) for notebook in notebooks}  # refuse before running
    _read_expected(course, lane)  # told now if it cannot be read
    # One GPU serves one notebook at a time; on CPUs a notebook a core, each with one thread, is fastest.
    cores = os.cpu_count() or 1
    jobs = min(jobs or (1 if lane == "gpu" else min(2, cores)), len(notebooks))
    threads = max(1, cores // jobs) if lane == "gpu" else 1

    folder = course.build / lane
    for part in ("metrics", "html"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    show = _Progress(jobs, say)
    kernels: set[object] = set()
    with ThreadPoolExecutor(jobs) as pool:
        tasks = {
            notebook.name: pool.submit(_run_one, course, notebook, lane, parameters[notebook.name], threads, show, kernels)
            for notebook in sorted(notebooks, key=lambda one: -one.seconds.get(lane, 0))  # longest first ends soonest
        }
        try:
            results = [tasks[notebook.name].result() for notebook in notebooks]
        except BaseException:  # Ctrl-C too: the kernels are sessions of their own and would go on
            pool.shutdown(wait=False, cancel_futures=True)
            for kernel in list(kernels):
                with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                    if (pid := getattr(kernel.provisioner, "pid", None)) is not None:
                        os.kill(pid, signal.SIGINT)
            raise
    seconds = time.perf_counter() - started

    about = {"lane": lane, "jobs": jobs, "threads": threads, "seconds": round(seconds, 1), **stamp()}
    with FileLock(folder / ".lock"):  # another run of other notebooks may end now
        _judge(course, lane, notebooks, results, update_expected)
        _publish(course, folder, about, results)
    show.say(table(results))
    bad = sum(not result.ok for result in results)
    verdict = "all as expected" if not bad else f"{bad} of {len(results)} failed or drifted"
    show.say(f"{lane} lane: {len(results)} notebooks in {seconds:.0f} s, {verdict}; {folder / 'index.html'}")
    return results


def _judge(course: Course, lane: str, notebooks: list[Notebook], results: list[Result], update: bool) -> None:
    """Compare what each notebook recorded with what is expected of it, after moving that with `update`."""
    expectations = _read_expected(course, lane)
    for notebook, result in zip(notebooks, results, strict=True):
        result.stamp = _read_json(course.build / lane / "metrics" / f"{notebook.number}.json", {})
        metrics = result.stamp.pop("metrics", {})
        if update and result.error is None:
            expectations[notebook.number] = updated(expectations.get(notebook.number, {}), metrics)
        result.checks = compare(metrics, expectations.get(notebook.number, {}))
    if update:
        text = json.dumps(dict(sorted(expectations.items())), indent=1) + "\n"
        write_atomically(course.expected / f"{lane}.json", text)


def _publish(course: Course, folder: Path, about: dict[str, object], results: list[Result]) -> None:
    """Write results.json and index.html: these results, and earlier ones of the other notebooks."""
    earlier = _read_json(folder / "results.json", {"notebooks": []})["notebooks"]
    fresh = [{**asdict(result), "ok": result.ok} for result in results]
    known = {entry["name"]: entry for entry in earlier + fresh}
    entries = [known[notebook.name] for notebook in course.notebooks if notebook.name in known]
    text = json.dumps({**about, "notebooks": entries}, indent=1, ensure_ascii=False) + "\n"
    write_atomically(folder / "results.json", text)
    write_atomically(folder / "index.html", _index(about, entries))


def _parameters(notebook: Notebook, lane: str) -> dict[str, object]:
    """What is passed to a notebook: `lane`, and what course.yaml adds; refused unless its parameters cell has them."""
    import nbformat

    wanted = {"lane": lane, **notebook.parameters.get(lane, {})}
    cells = nbformat.read(notebook.path, as_version=4).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    known: set[str] = set()
    for node in ast.parse(tagged[0].source).body if tagged else []:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        known |= {target.id for target in targets if isinstance(target, ast.Name)}
    if unknown := set(wanted) - known:
        do = "name it in the cell tagged 'parameters', or take it out of course.yaml"
        raise VcemoError(f"unknown parameter {', '.join(sorted(unknown))}", where=notebook.path, do=do)
    return wanted


def _run_one(
    course: Course,
    notebook: Notebook,
    lane: str,
    parameters: dict[str, object],
    threads: int,
    show: _Progress,
    kernels: set[object],
) -> Result:
    """Execute one notebook into build/<lane>/; never raises for what happens inside it."""
    import nbformat
    import papermill
    from nbclient.exceptions import CellTimeoutError
    from papermill.exceptions import PapermillExecutionError

    folder = course.build / lane
    (folder / "metrics" / f"{notebook.number}.json").unlink(missing_ok=True)
    output = folder / f"{notebook.name}.ipynb"
    output.unlink(missing_ok=True)
    env = {
        "VCEMO_LANE": lane,
        "VCEMO_METRICS": str(folder / "metrics"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")])),
        "PYTHONHASHSEED": "0",
        "TQDM_DISABLE": "1",  # a stored progress bar is a page of noise
        "TOKENIZERS_PARALLELISM": "false",
        **dict.fromkeys(_THREADS, str(threads)),
    }
    error = None
    started = time.perf_counter()
    with show.notebook(notebook.name) as bar:
        try:
            papermill.execute_notebook(
                notebook.path,
                output,
                parameters,
                kernel_name="python3",
                language="python",
                progress_bar=bar,
                kernel_manager_class=_kernel_manager(env, kernels),
                resources={"metadata": {"path": str(notebook.path.parent)}},  # the folder it runs in
                execution_timeout=CELL_LIMIT_S[lane],
            )
        except PapermillExecutionError as failure:
            message = re.sub(r"\x1b\[[0-9;]*m", "", str(failure.evalue)).strip().splitlines() or [""]
            error = f"cell {failure.cell_index + 1}: {failure.ename}: {message[0]}"
        except (CellTimeoutError, RuntimeError) as failure:  # a hung cell; a kernel that died or never came up
            error = f"{type(failure).__name__}: {str(failure).strip().splitlines()[0]}"
        seconds = time.perf_counter() - started
        executed = nbformat.read(output if output.exists() else notebook.path, as_version=4)
        cells, left = _count_cells(executed)
        if error is None and (left or not cells):
            error = f"{left} code cells were not executed" if cells else "no code cell was executed"
        write_atomically(folder / "html" / f"{notebook.name}.html", _to_html(executed, notebook.title))
        show.done(f"{notebook.name}: {f'FAILED, {error}' if error else 'ran'}, {cells} cells, {seconds:.1f} s")
    return Result(notebook.name, notebook.title, round(seconds, 2), cells, error)


def _kernel_manager(env: dict[str, str], kernels: set[object]) -> type:
    """A kernel manager class that starts *this* Python with `env`, whatever kernels the machine has installed."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
    spec = KernelSpec(argv=argv, display_name="Python 3", language="python", env=env)

    class ThisPython(AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            kernels.add(self)
            return spec

    return ThisPython


def _count_cells(notebook: object) -> tuple[int, int]:
    """How many code cells that do something were executed, and how many were not (parameters aside)."""
    ran = left = 0
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type != "code" or not cell.source.strip() or {"parameters", "injected-parameters"} & set(tags):
            continue
        skipped = cell.execution_count is None or cell.source.startswith("%%script false")
        ran, left = ran + (not skipped), left + skipped
    return ran, left


class _Progress:
    """A bar for each running notebook on a terminal; plain lines elsewhere, or to `say`."""

    def __init__(self, jobs: int, say: Callable[[str], None] | None) -> None:
        self.bars = say is None and sys.stderr.isatty()
        self._say = say
        self._slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(jobs):
            self._slots.put(slot)

    def say(self, line: str) -> None:
        if self._say:
            self._say(line)
        elif self.bars:
            from tqdm import tqdm

            tqdm.write(line)
        else:
            print(line, flush=True)

    done = say

    def notebook(self, name: str) -> _Slot:
        """A context for one running notebook; gives what papermill wants as `progress_bar`."""
        return _Slot(self, name)


class _Slot:
    def __init__(self, progress: _Progress, name: str) -> None:
        self.progress, self.name = progress, name

    def __enter__(self) -> dict[str, object] | bool:
        self.slot = self.progress._slots.get()
        if not self.progress.bars:
            self.progress.say(f"{self.name}: started")
            return False
        return {"desc": self.name, "position": self.slot, "leave": False}

    def __exit__(self, *failure: object) -> None:
        self.progress._slots.put(self.slot)


# ---------------------------------------------------------------------------------------------- reports


def table(results: list[Result]) -> str:
    """The closing table: notebook, seconds, cells, metrics in tolerance, and what is wrong."""
    width = max((len(result.name) for result in results), default=8)
    lines = [f"{'notebook':<{width}} {'seconds':>8} {'cells':>6} {'metrics':>8}  "]
    for result in results:
        expected = [check for check in result.checks if check.expected != "—"]
        within = f"{sum(check.ok for check in expected)}/{len(expected)}"
        lines.append(f"{result.name:<{width}} {result.seconds:>8.1f} {result.cells:>6} {within:>8}  {result.summary}")
    return "\n".join(lines)


def _to_html(notebook: object, title: str) -> str:
    """A notebook as one HTML page; nbconvert drops the alternative text of pictures, which is put back here."""
    from nbconvert import HTMLExporter

    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        alt = output.get("metadata", {}).get("image/png", {}).get("alt")
        if alt and "text/html" not in output["data"]:
            source = f"data:image/png;base64,{output['data']['image/png'].strip()}"
            output["data"]["text/html"] = f'<img alt="{html.escape(alt)}" src="{source}">'
    page, _ = HTMLExporter().from_notebook_node(notebook, resources={"metadata": {"name": title}})
    return page


def _index(about: dict[str, object], entries: list[dict]) -> str:
    """The index page of a lane: a row a notebook with its link, and its metrics beside what was expected."""
    rows = []
    for entry in entries:
        checks = "".join(
            f"<tr class={'ok' if check['ok'] else 'bad'}><td>{html.escape(check['metric'])}<td>{_number(check['value'])}"
            f"<td>{html.escape(check['expected'])}<td>{'in' if check['ok'] else 'OUT'}"
            for check in entry["checks"]
        )
        detail = f"<details><summary>{len(entry['checks'])} metrics</summary><table><tr><th>metric<th>measured<th>expected<th>{checks}</table></details>"
        state = "ok" if entry["ok"] else html.escape(entry["error"] or "drifted")
        rows.append(
            f'<tr class={"ok" if entry["ok"] else "bad"}><td><a href="html/{entry["name"]}.html">{entry["name"][:2]} '
            f"{html.escape(entry['title'])}</a><td>{entry['seconds']:.1f}<td>{entry['cells']}<td>{state}<td>{detail}"
        )
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    hardware = ", ".join(f"{name} {value}" for name, value in about["hardware"].items())
    used = {(weight.get("name"), weight.get("source")) for entry in entries for weight in entry["stamp"].get("weights", [])}
    weights = ", ".join(sorted(f"{name} from {source}" for name, source in used)) or "none recorded"
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>The course, {about["lane"]} lane</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse }} td, th {{ padding: .2rem .8rem; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd }}
.bad > td:nth-child(4) {{ font-weight: bold; color: #a3252b }} .bad > td:nth-child(4)::before {{ content: "✗ " }}
</style>
<h1>The course, {about["lane"]} lane</h1>
<p>{about["date"]}; last run {about["seconds"]} s with {about["jobs"]} at once, {about["threads"]} thread(s) each</p>
<table><tr><th>notebook<th>seconds<th>cells<th>state<th>{"".join(rows)}</table>
<p>{html.escape(versions)}<br>{html.escape(hardware)}<br>weights: {html.escape(weights)}</p></html>
"""


def _read_json(path: Path, otherwise: dict) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return otherwise
    except json.JSONDecodeError as error:
        raise VcemoError(f"not JSON: {error}", where=path, do="restore or delete the file") from error


def _read_expected(course: Course, lane: str) -> dict[str, dict[str, dict[str, float]]]:
    return _read_json(course.expected / f"{lane}.json", {})


# ---------------------------------------------------------------------------------------------- stored outputs


def code_digest(notebook: object) -> str:
    """A digest of a notebook's code cells: what its stored outputs belong to. 12 hex digits."""
    code = [cell.source for cell in _own_cells(notebook) if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()[:12]


def _own_cells(notebook: object) -> list:
    """Cells without the ones that papermill adds."""
    added = {"injected-parameters", "papermill-error-cell-tag"}
    return [cell for cell in notebook.cells if not added & set(cell.metadata.get("tags", []))]


def store(course: Course | None = None, only: list[str] | None = None) -> list[Path]:
    """Copy the outputs of the last `cpu` run back into notebooks/; gives the files written.

    Refused (VcemoError): a notebook that failed or drifted there, or was changed since; one over 1 MB with its
    outputs; an output that names a path of this machine. Nothing is written unless all can be.
    """
    import nbformat

    course = course or Course()
    folder = course.build / "cpu"
    results = {entry["name"]: entry for entry in _read_json(folder / "results.json", {"notebooks": []})["notebooks"]}
    written: dict[Path, str] = {}
    for notebook in course.select(only):
        if not results.get(notebook.name, {}).get("ok"):
            do = f"make it pass: vcemo course run --lane cpu --only {notebook.number}"
            raise VcemoError("no good run in the cpu lane", where=notebook.name, do=do)
        executed = nbformat.read(folder / f"{notebook.name}.ipynb", as_version=4)
        target = nbformat.read(notebook.path, as_version=4)
        if code_digest(executed) != code_digest(target):
            do = f"run it again: vcemo course run --lane cpu --only {notebook.number}"
            raise VcemoError("the notebook was changed since it was run", where=notebook.name, do=do)
        own_code = [cell for cell in _own_cells(executed) if cell.cell_type == "code"]
        code = [cell for cell in target.cells if cell.cell_type == "code"]
        for count, (cell, source) in enumerate(zip(code, own_code, strict=True), 1):
            cell.execution_count = count
            cell.outputs = [kept for output in source.outputs if (kept := _cleaned(output, count))]
        target.metadata = {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "vcemo": {"lane": "cpu", "code": code_digest(target)},
        }
        text = nbformat.writes(target) + "\n"
        _refuse_paths(target, notebook.name)
        if len(text.encode()) > STORED_LIMIT_BYTES:
            size = len(text.encode()) / 1e6
            raise VcemoError(f"{size:.2f} MB with its outputs, over 1 MB", where=notebook.name, do="show less")
        written[notebook.path] = text
    for path, text in written.items():
        write_atomically(path, text)
    return list(written)


def _cleaned(output: dict, count: int) -> dict | None:
    """An output fit to be stored: numbered with its cell; without live widgets, whose state is not stored."""
    if "execution_count" in output:
        output["execution_count"] = count
    return still(output)


def still(output: dict) -> dict | None:
    """An output without its live widget; None where only the widget's name would be left."""
    if output.get("data", {}).pop(_WIDGET, None) and set(output["data"]) <= {"text/plain"}:
        return None
    output.get("metadata", {}).pop(_WIDGET, None)
    return output


def _refuse_paths(notebook: object, name: str) -> None:
    from vcemo_lib.paths import cache_dir

    private = {str(path) for path in (repo_data().parent, Path.home(), cache_dir(), Path(sys.prefix)) if len(path.parts) > 1}
    for number, cell in enumerate(notebook.cells, 1):
        text = json.dumps(cell.get("outputs", []), ensure_ascii=False)
        for path in private:
            if re.search(re.escape(path) + r"(?![\w-])", text):
                raise VcemoError(f"an output names the path {path}", where=f"{name}, cell {number}", do="print file names only")
