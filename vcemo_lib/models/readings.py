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


ROWS = csv.DictReader(Path(__file__).with_name("readings.csv").read_text(encoding="utf-8").splitlines())
READINGS = tuple(Reading(**row | {"other": ast.literal_eval(row["other"])}) for row in ROWS)


def readings(concerns: str | None = None) -> pd.DataFrame:
    """What the paper says, what `paper()` and `tutorial()` choose, and what else one could."""
    import pandas as pd

    table = pd.DataFrame([r for r in READINGS if concerns in (None, r.concerns)]).set_index("setting")
    chosen = {"paper()": paper(), "on IEMOCAP": paper(corpus="iemocap"), "tutorial()": tutorial()}
    for column, settings in chosen.items():
        table[column] = pd.Series({name: getattr(settings, name) for name in table.index}, dtype=object)
    table = table.rename(columns={"says": "the paper", "matter": "the matter", "other": "other reading"})
    return table[["the paper", "the matter", *chosen, "other reading"]]
