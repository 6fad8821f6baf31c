"""Run the notebooks headless and compare what they measured with what they are expected to measure.

    vcemo course run --lane cpu          # every notebook, executed copies and an index in build/cpu/
    vcemo course store                   # those outputs become the ones that notebooks/ shows

`data/expected/course.yaml` names the notebooks, `data/expected/<lane>.json` their metrics with tolerances. A
notebook hands its metrics over with `course.record("03", {...})`. A run fails if a notebook fails, if a cell
was not executed, or if a metric is missing or out of tolerance.
"""

from __future__ import annotations

import importlib

_HOMES = {  # name -> the module it comes from
    **dict.fromkeys(("LANES", "Course", "Notebook", "read_notebook"), "plan"),
    **dict.fromkeys(("Check", "compare", "record", "stamp", "updated"), "metrics"),
    **dict.fromkeys(("STORED_LIMIT_BYTES", "Result", "code_digest", "still", "store", "table"), "report"),
    "run": "runner",
}
_MODULES = ("doctor", "exercises", "metrics", "plan", "plots", "report", "runner", "site", "widgets")

__all__ = [*_HOMES, *_MODULES]


def __getattr__(name: str) -> object:
    """Import a module, or the module of a name, the first time it is asked for (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
