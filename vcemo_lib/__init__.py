"""Multimodal speech emotion recognition: a small tested library, and the course over it.

Heavy libraries load where they are used: `import vcemo_lib` imports none, each name below on first use.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from vcemo_lib import _torchaudio  # noqa: F401  sets the torchaudio import hook before anything can import it
from vcemo_lib.errors import VcemoError

__version__ = "0.1.0"

# Before torch reads it: threads sleep while they wait. Where they spin, a training of thousands of small
# parallel regions stands still beside another busy process. A value of the user's own stays.
for _variable, _value in {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}.items():
    os.environ.setdefault(_variable, _value)

_MODULES = (
    "asr", "audio", "comparison", "corpora", "course", "evaluation", "experiments", "features",
    "losses", "models", "paths", "plots", "predict", "probe", "prosody", "provenance", "text", "training",
    "weights",
)  # fmt: skip
_NAMES = {  # name -> the module it comes from
    "Corpus": "corpora",
    "EmotionRecognizer": "predict",
    "LABELS": "corpora",
    "alignment": "asr.alignment",
    "load_corpus": "corpora",
    "labels": "corpora.labels",
    "splits": "corpora.splits",
    "doctor": "course.doctor",
    "exercises": "course.exercises",
    "widgets": "course.widgets",
}

__all__ = ["VcemoError", "__version__", *_MODULES, *_NAMES]


def __getattr__(name: str) -> Any:
    """Import a module, or the module of a name, the first time it is asked for (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"vcemo_lib.{name}")
    if name in _NAMES:
        module = importlib.import_module(f"vcemo_lib.{_NAMES[name]}")
        value = module if _NAMES[name].endswith(f".{name}") else getattr(module, name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'vcemo_lib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
