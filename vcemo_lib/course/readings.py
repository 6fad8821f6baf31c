"""Tables of notebooks 04 and 07: open places of the paper (readings.csv), faults of its baselines.

setting   the field of `Settings` that decides the place;  other  another value it could have
says      what the paper says, with its section;           matter  what is the matter with it
concerns  "layers", "loss" or "training"
"""

from __future__ import annotations

import ast
from pathlib import Path

import pandas as pd

from vcemo_lib import models
from vcemo_lib.models.settings import paper, tutorial

FOLDER = Path(models.__file__).parent
TABLE = pd.read_csv(FOLDER / "readings.csv", converters={"other": ast.literal_eval})
READINGS = tuple(TABLE.itertuples(index=False, name="Reading"))


def readings(concerns: str | None = None) -> pd.DataFrame:
    """What the paper says, what `paper()` and `tutorial()` choose, and what else one could."""
    table = (TABLE[TABLE.concerns == concerns] if concerns else TABLE).set_index("setting")
    chosen = {"paper()": paper(), "on IEMOCAP": paper(corpus="iemocap"), "tutorial()": tutorial()}
    for column, settings in chosen.items():
        table[column] = pd.Series({name: getattr(settings, name) for name in table.index}, dtype=object)
    table = table.rename(columns={"says": "the paper", "matter": "the matter", "other": "other reading"})
    return table[["the paper", "the matter", *chosen, "other reading"]]


def faults(model: str | None = None) -> pd.DataFrame:
    """What is not copied, of one baseline or of all: `where`, in `theirs`, and what is done `here`.

    "code" is a fault of the authors' code, "evaluation" of their figures; "input", "training" just differ.
    """
    table = pd.read_csv(FOLDER / "baselines" / "faults.csv", index_col="model")
    return table if model is None else table.loc[[model]]
