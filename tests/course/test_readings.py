"""The table of readings: every setting exists, every other value is another one, is allowed, and gives a
model.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import synthetic
import torch

from vcemo_lib.course.readings import READINGS, faults, readings
from vcemo_lib.models import build, paper, tutorial

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("reading", READINGS, ids=lambda r: r.setting)
def test_the_setting_switches_to_another_reading(reading) -> None:
    ours = paper()
    assert reading.other != getattr(ours, reading.setting)
    assert getattr(ours.but(**{reading.setting: reading.other}), reading.setting) == reading.other


@pytest.mark.parametrize("reading", [r for r in READINGS if r.concerns == "layers"], ids=lambda r: r.setting)
def test_layers_in_the_other_reading_run(reading) -> None:
    small = {"conv_channels": (8, 8), "width": 32, "heads": 2, "layers": 2, "bert": "cls"}
    other = small.get(reading.setting, reading.other)
    settings = tutorial(layers=3 if reading.setting == "guided_by" else 1).but(**{reading.setting: other})
    model = build("vcemo", settings, synthetic.WIDTHS).eval()
    corpus = synthetic.corpus(4)
    with torch.no_grad():
        logits = model(synthetic.Store(corpus).batch(corpus.ids, ("mel", "words", "bert"))).logits
    assert logits.shape == (4, 6) and logits.isfinite().all()


def test_the_table_holds_each_place_once() -> None:
    table = readings()
    assert table.index.is_unique and len(table) == len(READINGS)
    assert table.loc["alpha", ["paper()", "on IEMOCAP"]].tolist() == [0.1, 100.0]
    assert set(readings("layers").index) | set(readings("loss").index) | set(
        readings("training").index
    ) == set(table.index)


def tables(page: str) -> list[list[list[str]]]:
    """The tables of a Markdown page: their rows' cells, without head and rule."""
    found, rows = [], []
    for line in [*page.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
        elif rows:
            found, rows = [*found, rows[2:]], []
    return found


def test_every_setting_that_the_paper_leaves_open_is_on_the_page() -> None:
    """Each field of `Settings` whose comment says "open"."""
    page = (ROOT / "docs" / "readings.md").read_text(encoding="utf-8")
    code = (ROOT / "vcemo_lib" / "models" / "settings.py").read_text(encoding="utf-8")
    left_open = re.findall(r"^    (\w+): .*# .*\bopen\b", code, re.MULTILINE)
    assert len(left_open) > 20 and not [name for name in left_open if f"`{name}`" not in page]


def test_the_page_in_the_docs_agrees() -> None:
    page = (ROOT / "docs" / "readings.md").read_text(encoding="utf-8")
    *of_readings, of_faults = tables(page)
    prose = {"the paper", "the matter"}
    for concerns, written in zip(("layers", "loss", "training"), of_readings, strict=True):
        table = readings(concerns).reset_index()
        shown = [
            [str(v) if name in prose else f"`{v}`" for name, v in row.items()]
            for row in table.astype(object).to_dict("records")
        ]
        assert written == shown, concerns
    for row, written in zip(faults().reset_index().to_dict("records"), of_faults, strict=True):
        assert written == [f"`{v}`" if name == "model" else v for name, v in row.items()]
