"""Where the paper contradicts itself or is silent, and the setting that decides it (readings.csv).

setting   the field of `Settings` that decides the place;  other  another value it could have
says      what the paper says, with its section;           matter  what is the matter with it
concerns  "layers", "loss" or "training"
"""

from __future__ import annotations

import ast
from pathlib import Path

import pandas as pd

from vcemo_lib.models.settings import paper, tutorial

TABLE = pd.read_csv(Path(__file__).with_name("readings.csv"), converters={"other": ast.literal_eval})
READINGS = tuple(TABLE.itertuples(index=False, name="Reading"))


def readings(concerns: str | None = None) -> pd.DataFrame:
    """What the paper says, what `paper()` and `tutorial()` choose, and what else one could."""
    table = (TABLE[TABLE.concerns == concerns] if concerns else TABLE).set_index("setting")
    chosen = {"paper()": paper(), "on IEMOCAP": paper(corpus="iemocap"), "tutorial()": tutorial()}
    for column, settings in chosen.items():
        table[column] = pd.Series({name: getattr(settings, name) for name in table.index}, dtype=object)
    table = table.rename(columns={"says": "the paper", "matter": "the matter", "other": "other reading"})
    return table[["the paper", "the matter", *chosen, "other reading"]]
