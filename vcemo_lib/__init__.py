"""Multimodal speech emotion recognition: each name of `__init__.pyi` is imported on first use."""

import os

import lazy_loader

from vcemo_lib import _torchaudio  # noqa: F401  sets the torchaudio import hook before anything can import it
from vcemo_lib.errors import VcemoError  # noqa: F401

__version__ = "0.1.0"

# Before torch reads it: threads that spin while they wait stand still beside another busy process.
for _variable, _value in {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}.items():
    os.environ.setdefault(_variable, _value)

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
