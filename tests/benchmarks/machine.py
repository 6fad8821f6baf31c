"""What a benchmark prints beside its figures: the machine, and times that other work on it disturbs little."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace


def describe() -> str:
    """Processor, cores that this process may use, threads of torch, versions."""
    import torch

    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    busy = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{name}, {cores} cores{gpu}, {torch.get_num_threads()} threads{busy}; Python {platform.python_version()}, torch {torch.__version__}"


@contextmanager
def timed() -> Iterator[SimpleNamespace]:
    """`wall` and `cpu` seconds of a block; the latter, summed over threads, hold on a busy machine too."""
    taken = SimpleNamespace(wall=0.0, cpu=0.0)
    wall, cpu = time.perf_counter(), time.process_time()
    yield taken
    taken.wall, taken.cpu = time.perf_counter() - wall, time.process_time() - cpu
