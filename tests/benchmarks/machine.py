"""What the benchmarks share: the machine, times that other work disturbs little, where figures are kept."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from vcemo_lib import provenance
from vcemo_lib.paths import repo_data, write_atomically


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The option that every benchmark takes: `make bench` gives --write."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--write", action="store_true", help="keep the figures in data/expected/bench/")
    return parser


def facts() -> dict[str, Any]:
    """Processor, cores that this process may use, GPU, threads of torch, load, versions."""
    import torch  # noqa: F401  so that its threads and GPU are told

    hardware, versions = provenance.hardware(), provenance.versions()
    return {
        **{name: hardware.get(name) for name in ("processor", "cores", "gpu", "threads")},
        # above `cores`: others worked
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        **{name: versions[name] for name in ("python", "torch")},
    }


def describe() -> str:
    """The facts in a line."""
    return ", ".join(f"{name} {value}" for name, value in facts().items() if value is not None)


def keep(name: str, **figures: Any) -> None:
    """Write a benchmark's figures and machine; what, against, ratio and note make a row of README's table."""
    rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}
    whole = rounded | {"machine": facts()}
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
    """Each way's median wall and cpu seconds; taking turns, all meet alike what else the machine does."""
    found: list[list[SimpleNamespace]] = [[] for _ in ways]
    for _ in range(repeats):
        for way, times in zip(ways, found, strict=True):
            with timed() as taken:
                way()
            times.append(taken)
    median = statistics.median
    return [
        SimpleNamespace(wall=median(t.wall for t in times), cpu=median(t.cpu for t in times))
        for times in found
    ]
