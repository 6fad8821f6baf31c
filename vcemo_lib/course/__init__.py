"""Run the notebooks headless and compare what they measured with what they are expected to measure.

    vcemo course run --lane cpu          # every notebook, executed copies and results.md in build/cpu/
    vcemo course store                   # those outputs become the ones that notebooks/ shows

`data/expected/course.yaml` names the notebooks, `<lane>.json` beside it the metrics that they `record`, with
tolerances. A run fails if a notebook fails, a cell was not executed, or a metric is missing or out of bounds.
"""

from __future__ import annotations

import importlib
from typing import Any

from vcemo_lib.course.metrics import compare, record, updated
from vcemo_lib.course.plan import LANES, Course
from vcemo_lib.course.report import store
from vcemo_lib.course.runner import run

__all__ = ["LANES", "Course", "compare", "record", "run", "store", "updated"]
_LAZY = (
    "chinese", "doctor", "exercises", "players", "plots", "prosody", "results", "site", "sweeps", "widgets",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import one of the course's other modules the first time it is asked for (PEP 562)."""
    if name in _LAZY:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
