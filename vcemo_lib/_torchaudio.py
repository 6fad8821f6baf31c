"""Make `import torchaudio` work beside a CPU-only torch: its extension, linked to CUDA, is left out."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

TARGET = "torchaudio._extension.utils"
PTH_NAME = "vcemo_torchaudio.pth"
PTH_LINE = r"import sys; exec('try:\n import vcemo_lib._torchaudio\nexcept ImportError: pass')" + "\n"


class _Finder:
    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != TARGET or not (spec := PathFinder.find_spec(name, path)):
            return None
        loader: Any = spec.loader
        run = loader.exec_module
        loader.exec_module = lambda module: (run(module), leave_out(module))
        return spec


def leave_out(utils: Any) -> None:
    """Where the extension fails beside a torch without CUDA, search a folder without libraries."""
    try:
        utils._load_lib("_torchaudio")
    except OSError:
        if utils.torch.version.cuda is None:  # beside another torch it is a fault that its owner should see
            utils._LIB_DIR = utils._LIB_DIR.parent / "_extension"


def install(site_packages: str | None = None) -> str:
    """Set the hook for every start of this Python, by a `.pth` file (silent where the project is gone)."""
    import sysconfig
    from pathlib import Path

    pth = Path(site_packages or sysconfig.get_path("purelib")) / PTH_NAME
    pth.write_text(PTH_LINE, encoding="utf-8")
    return str(pth)


if not any(getattr(finder, "__name__", "") == _Finder.__name__ for finder in sys.meta_path):
    sys.meta_path.insert(0, _Finder)
