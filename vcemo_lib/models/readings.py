"""Where the paper contradicts itself or is silent, and the setting that decides it (readings.csv)."""

from __future__ import annotations

import ast
import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vcemo_lib.models.settings import paper, tutorial

if TYPE_CHECKING:
    import pandas as pd


class Reading(NamedTuple):
    """One open place: the field of `Settings` that decides it, and another value it could have."""

    setting: str
    other: Any
    says: str  # what the paper says, with its section
    matter: str  # what is the matter with it
    concerns: str  # "layers", "loss" or "training"


with Path(__file__).with_name("readings.csv").open(encoding="utf-8", newline="") as _file:
    _rows = list(csv.DictReader(_file))
READINGS = tuple(Reading(**row | {"other": ast.literal_eval(row["other"])}) for row in _rows)


def readings(concerns: str | None = None) -> pd.DataFrame:
    """What the paper says, what `paper()` and `tutorial()` choose, and what else one could."""
    import pandas as pd

    chosen = {"paper()": paper(), "on IEMOCAP": paper(corpus="iemocap"), "tutorial()": tutorial()}
    rows = [
        {"setting": r.setting, "the paper": r.says, "the matter": r.matter}
        | {column: getattr(settings, r.setting) for column, settings in chosen.items()}
        | {"other reading": r.other}
        for r in READINGS
        if concerns in (None, r.concerns)
    ]
    return pd.DataFrame(rows).set_index("setting")
