"""A synthetic store and its parts."""

from __future__ import annotations

import pytest
import synthetic
from tiny_training import N


@pytest.fixture(scope="session")
def store() -> synthetic.Store:
    return synthetic.Store(synthetic.corpus(N))


@pytest.fixture
def parts() -> dict:
    return synthetic.parts(N)
