"""What the notebooks measure: `record` hands it over, `compare` holds it against what is expected."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vcemo_lib.course.plan import Course
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import write_atomically
from vcemo_lib.provenance import stamp

DEFAULT_TOLERANCE = 0.05  # of a new metric's value, when `updated` meets it first
Rules = Mapping[str, Mapping[str, float]]  # metric -> value and tolerance, or min and/or max
_recorded: dict[str, dict[str, float]] = {}


def record(name: str, metrics: Mapping[str, float], **about: object) -> None:
    """Hand a notebook's metrics over to the course: `name` is its number ("03"), metrics are finite numbers.

    A second call adds to the first; `about` is kept beside them. They are written as JSON in
    build/<lane>/metrics/, outside of a run in build/interactive/.
    """
    if not re.fullmatch(r"\d\d", name):
        raise VcemoError("a notebook records under its two-digit number", where=name, do='such as "03"')
    plain = {key: value.item() if hasattr(value, "item") else value for key, value in metrics.items()}
    for key, value in plain.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise VcemoError(f"{value!r} is not a finite number", where=f"notebook {name}, metric {key}")
    _recorded[name] = recorded = _recorded.get(name, {}) | plain
    folder = Path(os.environ.get("VCEMO_METRICS") or Course().build / "interactive")
    lane = os.environ.get("VCEMO_LANE", "interactive")
    content = {"notebook": name, "lane": lane, "metrics": recorded, "about": about, **stamp()}
    text = json.dumps(content, indent=1, ensure_ascii=False, default=str)
    write_atomically(folder / f"{name}.json", text + "\n")


@dataclass(frozen=True)
class Check:
    """One metric against what is expected of it; `expected` is empty where nothing is."""

    metric: str
    value: float | None
    expected: str
    ok: bool

    def __str__(self) -> str:
        return f"{self.metric} is {number(self.value)}, not {self.expected}"


def number(value: float | None) -> str:
    """A metric's value as reports show it."""
    return "missing" if value is None else f"{value:.4g}"


def compare(metrics: Mapping[str, float], expected: Rules) -> list[Check]:
    """Each expected metric against its measured value: within value ± tolerance, or within [min, max].

    A metric that is missing fails; one that nothing is expected of is listed as such and passes.
    """
    checks = []
    for name, rule in expected.items():
        keys = set(rule) if isinstance(rule, Mapping) else set()
        if keys == {"value", "tolerance"}:
            low, high = rule["value"] - rule["tolerance"], rule["value"] + rule["tolerance"]
            text = f"{rule['value']:g} ± {rule['tolerance']:g}"
        elif keys and keys <= {"min", "max"}:
            low, high = rule.get("min", -math.inf), rule.get("max", math.inf)
            signs = {"min": "≥", "max": "≤"}
            text = " and ".join(f"{sign} {rule[key]:g}" for key, sign in signs.items() if key in rule)
        else:
            what = f"an expectation is value and tolerance, or min and/or max, not {rule}"
            raise VcemoError(what, where=name)
        value = metrics.get(name)
        slack = 1e-9 * max(1.0, abs(rule.get("value", 0.0)))  # 0.7 + 0.1 is inside 0.8
        inside = value is not None and low - slack <= value <= high + slack
        checks.append(Check(name, value, text, inside))
    unexpected = (name for name in metrics if name not in expected)
    return checks + [Check(name, metrics[name], "", True) for name in unexpected]


def updated(expected: Rules, metrics: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Expectations that follow `metrics`: tolerances and bounds stay, values move, lost ones go."""
    fresh: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        rule = dict(expected.get(name, {}))
        if not rule or "tolerance" in rule:
            whole = isinstance(value, int)
            kept = value if whole else float(f"{value:.5g}")
            room = 0 if whole else float(f"{DEFAULT_TOLERANCE * abs(value):.1g}")
            rule = {"value": kept, "tolerance": rule.get("tolerance") or room}  # a rounded value needs room
        fresh[name] = rule
    return fresh
