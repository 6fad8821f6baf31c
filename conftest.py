"""Settings for the whole test suite: one thread a process, no window, the torchaudio hook set first."""

import os

# The tests may run side by side; numpy and torch read this when they are imported.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "agg")

import pytest
import setuptools  # noqa: F401  before a test imports Python's own distutils: torch's compiler wants setuptools'

import vcemo_lib  # sets the torchaudio hook


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test marked `gpu` runs where there is one and is skipped, by name, where there is none."""
    gpu_tests = [item for item in items if item.get_closest_marker("gpu")]
    if gpu_tests:
        import torch

        if not torch.cuda.is_available():
            for item in gpu_tests:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def recogniser() -> "vcemo_lib.EmotionRecognizer":
    """The bundled recogniser."""
    return vcemo_lib.EmotionRecognizer.load()
