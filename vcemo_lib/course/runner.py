"""`vcemo course run`: execute the notebooks with papermill, several at once, and compare their metrics."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcemo_lib.course.metrics import compare, updated
from vcemo_lib.course.plan import LANES, Course, Notebook, read_json, read_notebook
from vcemo_lib.course.report import Result, publish, table, to_html
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import repo_data, write_atomically
from vcemo_lib.provenance import stamp

if TYPE_CHECKING:
    from nbformat import NotebookNode

CELL_LIMIT_S = {"smoke": 600, "cpu": 1_800, "gpu": 7_200}  # a cell that takes longer hangs
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def run(
    lane: str = "cpu", only: list[str] | None = None, jobs: int | None = None, update_expected: bool = False,
    course: Course | None = None, say: Callable[[str], None] | None = None,
) -> list[Result]:  # fmt: skip
    """Run the course's notebooks in `lane`, `jobs` at once, into build/<lane>/; gives one Result a notebook.

    Writes executed copies (.ipynb, .html), index.html and results.json; with `update_expected` what was
    measured becomes expected. `say` gets the report's lines instead of the terminal.
    """
    from filelock import FileLock
    from tqdm import tqdm

    course = course or Course()
    if lane not in LANES:
        raise VcemoError(f"unknown lane {lane!r}", do=f"use {', '.join(LANES)}")
    if jobs is not None and jobs < 1:
        raise VcemoError(f"--jobs is {jobs}", do="give 1 or more")
    notebooks = course.select(only)
    parameters = {notebook.name: _parameters(notebook, lane) for notebook in notebooks}
    read_json(course.expected / f"{lane}.json")  # this and the line before refuse, before anything runs
    # One GPU serves one notebook at a time; on CPUs a notebook a core, each with one thread, is fastest.
    cores = os.cpu_count() or 1
    jobs = min(jobs or (1 if lane == "gpu" else min(2, cores)), len(notebooks))
    threads = max(1, cores // jobs) if lane == "gpu" else 1

    folder = course.build / lane
    for part in ("metrics", "html"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    kernels = _Kernels(_environment(folder, lane, threads))
    bars = say is None and sys.stderr.isatty()
    say = say or (tqdm.write if bars else partial(print, flush=True))
    execute = partial(_execute, folder=folder, kernels=kernels, bars=bars, say=say)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            tasks = {}
            for notebook in sorted(notebooks, key=lambda notebook: -notebook.seconds.get(lane, 0)):
                tasks[notebook.name] = pool.submit(execute, notebook, parameters[notebook.name])
            results = [tasks[notebook.name].result() for notebook in notebooks]
        except BaseException:  # Ctrl-C too: kernels are sessions of their own and would go on
            pool.shutdown(wait=False, cancel_futures=True)
            kernels.stop()
            raise
    seconds = time.perf_counter() - started

    about = {"lane": lane, "jobs": jobs, "threads": threads, "seconds": round(seconds, 1), **stamp()}
    with FileLock(folder / ".lock"):  # another run of other notebooks may end now
        _judge(course, lane, notebooks, results, update_expected)
        index = publish(course, about, results)
    say(table(results))
    bad = sum(not result.ok for result in results)
    verdict = f"{bad} of {len(results)} failed or drifted" if bad else "all as expected"
    say(f"{lane} lane: {len(results)} notebooks in {seconds:.0f} s, {verdict}; {index}")
    return results


def _parameters(notebook: Notebook, lane: str) -> dict[str, object]:
    """What is passed to a notebook; refused unless its parameters cell has it."""
    from papermill.translators import PythonTranslator

    wanted = {"lane": lane, **notebook.parameters.get(lane, {})}
    cells = read_notebook(notebook.path).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    known = {parameter.name for cell in tagged[:1] for parameter in PythonTranslator.inspect(cell)}
    if unknown := set(wanted) - known:
        do = "name it in the cell tagged 'parameters', or take it out of course.yaml"
        raise VcemoError(f"unknown parameter {', '.join(sorted(unknown))}", where=notebook.path, do=do)
    return wanted


def _environment(folder: Path, lane: str, threads: int) -> dict[str, str]:
    """The variables that a kernel gets beside this process's own."""
    paths = (str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH"))
    env = {
        "VCEMO_LANE": lane, "VCEMO_METRICS": str(folder.resolve() / "metrics"),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONHASHSEED": "0",
        "TQDM_DISABLE": "1",  # a stored progress bar is a page of noise
        "TOKENIZERS_PARALLELISM": "false", **dict.fromkeys(_THREADS, str(threads)),
    }  # fmt: skip
    if "VCEMO_DATA" in os.environ:  # which may be relative to this folder, not to the notebooks'
        env["VCEMO_DATA"] = str(repo_data().resolve())
    return env


class _Kernels:
    """The kernels of a run: they start *this* Python, whatever is installed, and can be stopped together."""

    def __init__(self, env: dict[str, str]) -> None:
        from jupyter_client.kernelspec import KernelSpec

        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
        self.spec = KernelSpec(argv=argv, display_name="Python 3", language="python", env=env)
        self.started: list[Any] = []
        self.stopped = threading.Event()

    def manager(self) -> type:
        """The class of kernel managers that papermill is to use."""
        from jupyter_client.manager import AsyncKernelManager

        kernels = self

        class ThisPython(AsyncKernelManager):
            kernel_spec = kernels.spec

            async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
                await super().start_kernel(**options)
                kernels.started.append(self)
                if kernels.stopped.is_set():  # while it was starting
                    await self.shutdown_kernel(now=True)
                    raise RuntimeError("the run was stopped")

        return ThisPython

    def stop(self) -> None:
        """Kill every kernel, those that are about to start, too. (An interrupt is lost between two cells.)"""
        self.stopped.set()
        for kernel in list(self.started):
            if (process := getattr(kernel.provisioner, "process", None)) is not None:
                process.kill()


def _execute(
    notebook: Notebook, parameters: dict[str, object], folder: Path, kernels: _Kernels, bars: bool,
    say: Callable[[str], None],
) -> Result:  # fmt: skip
    """Execute one notebook into a lane's folder; never raises for what happens inside it."""
    import papermill
    from nbclient.exceptions import CellTimeoutError
    from papermill.exceptions import PapermillExecutionError

    (folder / "metrics" / f"{notebook.number}.json").unlink(missing_ok=True)
    output = folder / notebook.path.name
    output.unlink(missing_ok=True)
    error = None
    started = time.perf_counter()
    if not bars:
        say(f"{notebook.name}: started")
    try:
        papermill.execute_notebook(
            notebook.path, output, parameters, kernel_name="python3", language="python",
            progress_bar={"desc": notebook.name, "leave": False} if bars else False,
            kernel_manager_class=kernels.manager(), execution_timeout=CELL_LIMIT_S[folder.name],
            resources={"metadata": {"path": str(notebook.path.parent)}},  # the folder it runs in
        )  # fmt: skip
    except PapermillExecutionError as failure:
        message = re.sub(r"\x1b\[[0-9;]*m", "", str(failure.evalue)).strip().splitlines() or [""]
        error = f"cell {failure.cell_index + 1}: {failure.ename}: {message[0]}"
    except (CellTimeoutError, RuntimeError) as failure:  # a hung cell; a kernel that died or never came up
        error = f"{type(failure).__name__}: {str(failure).strip().splitlines()[0]}"
    seconds = time.perf_counter() - started
    executed = read_notebook(output if output.exists() else notebook.path)
    cells, left = _count_cells(executed)
    if error is None and (left or not cells):
        error = f"{left} code cells were not executed" if cells else "no code cell was executed"
    write_atomically(folder / "html" / f"{notebook.name}.html", to_html(executed, notebook.title))
    state = f"FAILED, {error}" if error else "ran"
    say(f"{notebook.name}: {state}, {cells} cells, {seconds:.1f} s")
    return Result(notebook.name, notebook.title, round(seconds, 2), cells, error)


def _count_cells(notebook: NotebookNode) -> tuple[int, int]:
    """How many code cells that do something were executed, and how many were not (parameters aside)."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    parameters = {"parameters", "injected-parameters"}
    cells = [cell for cell in cells if not parameters & set(cell.metadata.get("tags", []))]
    ran = [cell.execution_count and not cell.source.startswith("%%script false") for cell in cells]
    return sum(map(bool, ran)), sum(not done for done in ran)


def _judge(course: Course, lane: str, notebooks: list[Notebook], results: list[Result], update: bool) -> None:
    """Compare what each notebook recorded with what is expected of it, after moving that with `update`."""
    path = course.expected / f"{lane}.json"
    expectations = read_json(path)
    for notebook, result in zip(notebooks, results, strict=True):
        result.stamp = read_json(course.build / lane / "metrics" / f"{notebook.number}.json")
        metrics = result.stamp.pop("metrics", {})
        if update and result.error is None:
            expectations[notebook.number] = updated(expectations.get(notebook.number, {}), metrics)
        result.checks = compare(metrics, expectations.get(notebook.number, {}))
    if update:
        write_atomically(path, json.dumps(dict(sorted(expectations.items())), indent=1) + "\n")
