"""What made a number: when, on what, with which versions and weights, from which corpus and features.

Every result file has it from here: metrics of notebooks, runs of a sweep, `results.json`, benchmarks.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vcemo_lib.corpora import Corpus

PACKAGES = ("vcemo-lib", "torch", "numpy", "librosa", "transformers", "openai-whisper", "spacy")


def stamp(corpus: Corpus | None = None, store: Any = None) -> dict[str, Any]:
    """When, on what, with which versions and weights; of which corpus and features, where they are given.

    Plain values for JSON. Imports nothing heavy: what is not loaded has made no number.
    """
    made: dict[str, Any] = {"date": now(), "versions": versions(), "hardware": hardware(), "weights": []}
    if (weights := sys.modules.get("vcemo_lib.weights")) is not None:  # where they lie differs by machine
        made["weights"] = [{k: v for k, v in used.items() if k != "path"} for used in weights.used()]
    if corpus is not None:
        made |= {"corpus": corpus.name, "simulated": corpus.simulated, "fingerprint": corpus.fingerprint()}
    return made if store is None else made | {"features": features(store)}


def now() -> str:
    """This second, as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that decide a number."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def hardware() -> dict[str, Any]:
    """System, processor, cores that this process may use, torch's threads, and its GPU where it has one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8", errors="replace") if info.is_file() else ""
    named = re.search(r"^model name\s*:\s*(.+?)\s*$", text, re.M)
    found = {
        "system": platform.system(), "machine": platform.machine(),
        "processor": named[1] if named else platform.processor() or platform.machine(), "cores": cores,
    }  # fmt: skip
    if (torch := sys.modules.get("torch")) is not None:
        found["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            found["gpu"] = torch.cuda.get_device_name()
    return found


def features(store: Any) -> dict[str, Any] | None:
    """How a store's features were made: settings and versions of each kind; None where it cannot tell."""
    return store.describe() if hasattr(store, "describe") else None
