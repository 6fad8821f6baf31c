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
from typing import Any

from vcemo_lib.course.metrics import compare, updated
from vcemo_lib.course.plan import LANES, Course, Notebook, read_json, read_notebook
from vcemo_lib.course.report import Result, code_cells, publish, table
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import repo_data, write_atomically
from vcemo_lib.provenance import stamp

CELL_LIMIT_S = {"smoke": 600, "cpu": 1_800, "gpu": 7_200}  # a cell that takes longer hangs
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def run(
    lane: str = "cpu", only: list[str] | None = None, jobs: int | None = None, update_expected: bool = False,
    course: Course | None = None, say: Callable[[str], None] | None = None,
) -> list[Result]:  # fmt: skip
    """Run the course's notebooks in `lane`, `jobs` at once, into build/<lane>/; gives one Result a notebook.

    Writes executed copies, results.md and results.json; with `update_expected` what was
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
    (folder / "metrics").mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    started: list[Any] = []
    stopped = threading.Event()
    kernels = _kernels(_environment(folder, lane, threads), started, stopped)
    bars = say is None and sys.stderr.isatty()
    say = say or (tqdm.write if bars else partial(print, flush=True))
    execute = partial(_execute, folder=folder, kernels=kernels, bars=bars, say=say)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            longest = sorted(notebooks, key=lambda notebook: -notebook.seconds.get(lane, 0))
            tasks = {book.name: pool.submit(execute, book, parameters[book.name]) for book in longest}
            results = [tasks[notebook.name].result() for notebook in notebooks]
        except BaseException:  # Ctrl-C too: kernels are sessions of their own and would go on
            pool.shutdown(wait=False, cancel_futures=True)
            stopped.set()
            for kernel in list(started):  # killed, as an interrupt is lost between two cells
                if (process := getattr(kernel.provisioner, "process", None)) is not None:
                    process.kill()
            raise
    seconds = time.perf_counter() - began

    about = {"lane": lane, "jobs": jobs, "threads": threads, "seconds": round(seconds, 1), **stamp()}
    with FileLock(folder / ".lock"):  # another run of other notebooks may end now
        _judge(course, lane, notebooks, results, update_expected)
        page = publish(course, about, results)
    say(table(results))
    bad = sum(not result.ok for result in results)
    verdict = f"{bad} of {len(results)} failed or drifted" if bad else "all as expected"
    say(f"{lane} lane: {len(results)} notebooks in {seconds:.0f} s, {verdict}; {page}")
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


def _kernels(env: dict[str, str], started: list[Any], stopped: threading.Event) -> type:
    """A class of kernel managers: they start *this* Python, and nothing more once `stopped` is set."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]

    class ThisPython(AsyncKernelManager):
        kernel_spec = KernelSpec(argv=argv, display_name="Python 3", language="python", env=env)

        async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
            await super().start_kernel(**options)
            started.append(self)
            if stopped.is_set():  # while it was starting
                await self.shutdown_kernel(now=True)
                raise RuntimeError("the run was stopped")

    return ThisPython


def _execute(
    notebook: Notebook, parameters: dict[str, object], folder: Path, kernels: type, bars: bool,
    say: Callable[[str], None],
) -> Result:  # fmt: skip
    """Execute one notebook into a lane's folder; never raises for what happens inside it."""
    import papermill
    from nbclient.exceptions import CellTimeoutError
    from papermill.exceptions import PapermillExecutionError

    output, error, began = folder / notebook.path.name, None, time.perf_counter()
    for former in (output, folder / "metrics" / f"{notebook.number}.json"):
        former.unlink(missing_ok=True)
    if not bars:
        say(f"{notebook.name}: started")
    try:
        papermill.execute_notebook(
            notebook.path, output, parameters, kernel_name="python3", language="python",
            progress_bar={"desc": notebook.name, "leave": False} if bars else False,
            kernel_manager_class=kernels, execution_timeout=CELL_LIMIT_S[folder.name],
            resources={"metadata": {"path": str(notebook.path.parent)}},  # the folder it runs in
        )  # fmt: skip
    except PapermillExecutionError as failure:
        message = re.sub(r"\x1b\[[0-9;]*m", "", str(failure.evalue)).strip().splitlines() or [""]
        error = f"cell {failure.cell_index + 1}: {failure.ename}: {message[0]}"
    except (CellTimeoutError, RuntimeError) as failure:  # a hung cell; a kernel that died or never came up
        error = f"{type(failure).__name__}: {str(failure).strip().splitlines()[0]}"
    seconds = time.perf_counter() - began
    executed = read_notebook(output if output.exists() else notebook.path)
    work = [cell for cell in code_cells(executed) if cell.source.strip()]
    work = [cell for cell in work if "parameters" not in cell.metadata.get("tags", [])]
    cells = sum(bool(cell.execution_count) for cell in work)
    if error is None and (cells < len(work) or not cells):
        error = f"{len(work) - cells} code cells were not executed" if cells else "no code cell was executed"
    say(f"{notebook.name}: {f'FAILED, {error}' if error else 'ran'}, {cells} cells, {seconds:.1f} s")
    return Result(notebook.name, notebook.title, round(seconds, 2), cells, error)


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
