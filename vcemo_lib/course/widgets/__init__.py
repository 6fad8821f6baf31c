"""What a reader plays with in a notebook or in the app. Each name loads its module on first use.

Every widget has a still twin (sound, picture, table) for pages without a kernel: GitHub, nbviewer, exported HTML.
"""

from __future__ import annotations

import importlib

_NAMES = {  # name -> the module it comes from
    "Browser": "browser",
    "Game": "game",
    "judged": "answers",
    "Player": "player",
    "twin": "player",
    "Voice": "voice",
    "playground": "voice",
}

__all__ = list(_NAMES)


def __getattr__(name: str) -> object:
    if name in _NAMES:
        return getattr(importlib.import_module(f"vcemo_lib.course.widgets.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'vcemo_lib.course.widgets' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
