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


def test_mcnemar_is_a_coin_toss() -> None:
    y = np.zeros(20, dtype=int)
    a, b = np.zeros(20, dtype=int), np.zeros(20, dtype=int)
    b[:6] = 1  # a alone has six right
    a[6] = 1  # b alone has one right
    got = sweeps.mcnemar(y, a, b)
    assert (got["only_a"], got["only_b"]) == (6, 1) and got["p"] == pytest.approx(2 * 8 / 2**7)
    assert sweeps.mcnemar(y, a, a)["p"] == 1.0
    # The paper's own gain: three more of 730 right, at best three against none.
    y = np.zeros(730, dtype=int)
    b = (np.arange(730) < 241).astype(int)
    a = (np.arange(730) < 238).astype(int)
    assert sweeps.mcnemar(y, a, b)["p"] == 0.25


def test_fleiss_kappa_of_the_textbook_table_of_agreement_and_of_chance() -> None:
    """Ten items, fourteen raters, five classes: the worked example printed everywhere, kappa 0.210."""
    votes = [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
             [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]  # fmt: skip
    assert sweeps.fleiss_kappa(np.array(votes)) == pytest.approx(0.210, abs=5e-4)
    assert sweeps.fleiss_kappa(np.array([[3, 0], [0, 3]])) == 1.0
    drawn = np.random.default_rng(0).multinomial(3, [0.5, 0.3, 0.2], size=20_000)
    assert sweeps.fleiss_kappa(drawn) == pytest.approx(0, abs=0.01)
    assert np.isnan(sweeps.fleiss_kappa(np.array([[3, 0], [3, 0]])))
    with pytest.raises(VcemoError):
        sweeps.fleiss_kappa(np.array([[3, 0], [2, 0]]))
