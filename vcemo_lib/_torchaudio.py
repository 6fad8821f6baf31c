"""Make `import torchaudio` work beside a CPU-only torch.

The package index has one Linux build of torchaudio, linked against CUDA. Beside a CPU-only torch its
extension cannot be loaded, and `import torchaudio` fails, as does `import transformers`, which imports it.
Where the extension is *absent*, torchaudio works in pure PyTorch (but for `forced_align` and `rnnt_loss`). So
an import hook lets torchaudio look in an empty folder where the extension cannot be loaded.

`import vcemo_lib` sets the hook; `make setup` sets it for every start of its Python, by `install()`.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

TARGET = "torchaudio._extension.utils"
PTH_NAME = "vcemo_torchaudio.pth"
# Python runs this line whenever it starts; the project may have been moved away meanwhile.
PTH_LINE = r"import sys; exec('try:\n import vcemo_lib._torchaudio\nexcept ImportError: pass')" + "\n"


def leave_out(utils: Any) -> None:
    """Where the extension fails beside a torch without CUDA, search a folder without libraries."""
    try:
        utils._load_lib("_torchaudio")
    except OSError:
        if utils.torch.version.cuda is None:  # beside another torch it is a fault that its owner should see
            utils._LIB_DIR = utils._LIB_DIR.parent / "_extension"


class _Finder:
    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name == TARGET else None
        if spec:
            loader: Any = spec.loader
            run = loader.exec_module

            def exec_module(module: Any) -> None:
                run(module)
                leave_out(module)

            loader.exec_module = exec_module
        return spec


def install(site_packages: str | None = None) -> str:
    """Set the hook for every start of this Python by a `.pth` file in `site_packages`; returns its path."""
    import sysconfig
    from pathlib import Path

    pth = Path(site_packages or sysconfig.get_path("purelib")) / PTH_NAME
    pth.write_text(PTH_LINE, encoding="utf-8")
    return str(pth)


if not any(getattr(finder, "__name__", "") == _Finder.__name__ for finder in sys.meta_path):
    sys.meta_path.insert(0, _Finder)
