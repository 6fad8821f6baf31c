"""What a reader plays with in a notebook or in the app; each name loads its module on first use.

Every widget has a still twin (sound, picture, table) for pages without a kernel, such as GitHub's.
"""

from __future__ import annotations

import importlib
from typing import Any

_NAMES = {"Browser": "browser", "judged": "browser", "Game": "game", "Player": "player"}  # -> its module
_NAMES |= {"Voice": "voice", "playground": "voice"}
__all__ = list(_NAMES)


def __getattr__(name: str) -> Any:
    if name == "app":
        return importlib.import_module("vcemo_lib.course.widgets.app")
    if name in _NAMES:
        return getattr(importlib.import_module(f"vcemo_lib.course.widgets.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'vcemo_lib.course.widgets' has no attribute {name!r}")
