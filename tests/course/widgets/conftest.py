"""A part of VCEMO-Sim with answers of which it is known what must be found, for the widgets' tests."""

from __future__ import annotations

import numpy as np
import pytest

import vcemo_lib as vc
from vcemo_lib.training.runs import Predictions


@pytest.fixture(scope="package")
def part() -> vc.Corpus:
    test = vc.splits.given(vc.load_corpus("sim"))["test"]
    return test.subset(test.ids[::8])


@pytest.fixture(scope="package")
def said(part: vc.Corpus) -> Predictions:
    """Answers made up so that it is known what must be found: every third one is the next class."""
    rng, true = np.random.default_rng(0), part.y()
    pred = np.where(np.arange(len(part)) % 3 == 0, (true + 1) % 6, true)
    probabilities = rng.dirichlet(np.ones(6), len(part))
    probabilities[np.arange(len(part)), pred] += 1
    features = np.eye(6)[pred] + rng.normal(0, 0.1, (len(part), 6))
    return Predictions(
        part.ids,
        part.labels,
        true,
        pred,
        probabilities / 2,
        features.astype(np.float32),
        part.table["speaker"].to_numpy(str),
    )
