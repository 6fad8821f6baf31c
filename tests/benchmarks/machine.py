"""What the benchmarks share: the machine they ran on, times that other work on it disturbs little, where figures are kept."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from vcemo_lib.paths import repo_data, write_atomically


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The option that every benchmark takes: `make bench` gives --write."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--write", action="store_true", help="keep the figures in data/expected/bench/, from where README gets them")
    return parser


def facts() -> dict[str, Any]:
    """Processor, cores that this process may use, GPU, threads of torch, load, versions."""
    import torch

    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return {
        "processor": name,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,  # above `cores`: others were working
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def describe() -> str:
    """The facts in a line."""
    return ", ".join(f"{name} {value}" for name, value in facts().items() if value is not None)


def keep(name: str, **figures: Any) -> None:
    """Write a benchmark's figures and machine. Those with a `ratio` are a row of README's table: what, against, ratio, note."""
    whole = {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()} | {"machine": facts()}
    folder = repo_data() / "expected" / "bench"
    write_atomically(folder / f"{name}.json", json.dumps(whole, ensure_ascii=False, indent=2) + "\n")


@contextmanager
def timed() -> Iterator[SimpleNamespace]:
    """`wall` and `cpu` seconds of a block; the latter, summed over threads, hold on a busy machine too."""
    taken = SimpleNamespace(wall=0.0, cpu=0.0)
    wall, cpu = time.perf_counter(), time.process_time()
    yield taken
    taken.wall, taken.cpu = time.perf_counter() - wall, time.process_time() - cpu


def in_turns(ways: Sequence[Callable[[], Any]], repeats: int) -> list[SimpleNamespace]:
    """Each way's median wall and cpu seconds; they take turns, so that what else the machine does meets all alike."""
    found: list[list[SimpleNamespace]] = [[] for _ in ways]
    for _ in range(repeats):
        for way, times in zip(ways, found, strict=True):
            with timed() as taken:
                way()
            times.append(taken)
    return [SimpleNamespace(**{part: statistics.median(getattr(t, part) for t in times) for part in ("wall", "cpu")}) for times in found]
