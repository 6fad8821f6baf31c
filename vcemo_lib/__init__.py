"""Multimodal speech emotion recognition: a small tested library, and the course over it.

Heavy libraries load where they are used: this imports none, each name of `__init__.pyi` on first use.
"""

import lazy_loader

from vcemo_lib import _torchaudio  # noqa: F401  sets the torchaudio import hook before anything can import it
from vcemo_lib.errors import VcemoError  # noqa: F401

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
