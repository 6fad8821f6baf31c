"""A live run against stored ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vcemo_lib.course import sweeps
from vcemo_lib.errors import VcemoError


def test_agreement_follows_students_prediction_interval() -> None:
    stored = pd.DataFrame({"config": "x", "seed": [0, 1, 2], "wa": [0.70, 0.72, 0.74], "ua": [0.6, 0.6, 0.6]})
    of_one, of_other = {"seed": 1, "wa": 0.80, "ua": 0.6}, {"seed": 9, "wa": 0.83, "ua": 0.61}
    live = pd.DataFrame([{"config": "x"} | of_one, {"config": "x"} | of_other])
    found = sweeps.agreement(live, stored)
    assert found.inside.tolist() == [True, True, False, False]
    assert found.low[0] == pytest.approx(0.72 - 4.302653 * 0.02 * (4 / 3) ** 0.5, abs=1e-5)
    assert found.stored[0] == 0.72 and np.isnan(found.stored[2])
    with pytest.raises(VcemoError, match="stored"):
        sweeps.agreement(live, stored[:1])
