"""Make `import torchaudio` work beside a CPU-only torch.

The package index has one Linux build of torchaudio, linked against CUDA. Beside a CPU-only torch its
extension cannot be loaded, and `import torchaudio` fails, as does `import transformers`, which imports it
wherever it is installed. torchaudio itself works in pure PyTorch where the extension is *absent*. So an
import hook lets the one module that looks for it look in an empty place when, and only when, it cannot be
loaded. Lost are `forced_align` and `rnnt_loss`.

`import vcemo_lib` sets the hook. `make setup` calls `install()`, which sets it for every start of its Python,
so that a script or notebook which never imports vcemo_lib works too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

TARGET = "torchaudio._extension.utils"
PTH_NAME = "vcemo_torchaudio.pth"
# Executed by every start of this environment's Python, which must survive the project having been moved away.
PTH_LINE = r"import sys; exec('try:\n import vcemo_lib._torchaudio\nexcept ImportError: pass')" + "\n"


def extension_is_unusable(load: Callable[[str], object], cuda: str | None) -> bool:
    """Whether torchaudio's own loader `load` fails, beside a torch of `torch.version.cuda`.

    A torch built for CUDA is left alone: an extension that fails there is a fault that its owner should see.
    """
    if cuda is not None:
        return False
    try:
        load("_torchaudio")
    except OSError:
        return True
    return False


class _Finder:
    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name == TARGET else None
        if spec and spec.loader:
            run = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                run(module)
                if extension_is_unusable(module._load_lib, module.torch.version.cuda):
                    module._LIB_DIR = module._LIB_DIR.parent / "_extension"  # a folder without libraries

            spec.loader.exec_module = exec_module
        return spec


def install(site_packages: str | None = None) -> str:
    """Set the hook for every start of this Python by a `.pth` file in `site_packages`; returns its path."""
    import sysconfig
    from pathlib import Path

    pth = Path(site_packages or sysconfig.get_path("purelib")) / PTH_NAME
    pth.write_text(PTH_LINE, encoding="utf-8")
    return str(pth)


def activate() -> None:
    """Set the import hook, once. Imports nothing."""
    if not any(getattr(finder, "__name__", "") == _Finder.__name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder)


activate()
