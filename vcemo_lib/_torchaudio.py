"""Make `import torchaudio` work beside a CPU-only torch.

The package index has one Linux build of torchaudio, and its compiled extension is linked against CUDA. Beside a
CPU-only torch it cannot be loaded (libc10_cuda.so is missing) and the import fails; `import transformers` fails
with it, because transformers imports torchaudio wherever it is installed. torchaudio itself treats an *absent*
extension as a build without one and then works in pure PyTorch. So an import hook waits for the one module that
looks for the extension, and lets it look in an empty place when, and only when, the real one cannot be loaded.

`import vcemo_lib` sets the hook. `make setup` also calls `install()`, which sets it for every start of the
environment's Python, so that a script or notebook which never imports vcemo_lib works too.
What is lost without the extension: `forced_align` and `rnnt_loss`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

TARGET = "torchaudio._extension.utils"
PTH_NAME = "vcemo_torchaudio.pth"
# Executed by every start of this environment's Python, which must survive the project having been moved away.
PTH_LINE = r"import sys; exec('try:\n import vcemo_lib._torchaudio\nexcept ImportError: pass')" + "\n"


def extension_is_unusable(load: Callable[[str], object], cuda: str | None) -> bool:
    """Whether torchaudio must do without its extension.

    `load` is torchaudio's own loader, `cuda` is `torch.version.cuda`. A torch built for CUDA is left alone, whatever
    happens: an extension that fails there is a fault that its owner should see.
    """
    if cuda is not None:
        return False
    try:
        load("_torchaudio")
    except OSError:
        return True
    return False


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        if extension_is_unusable(module._load_lib, module.torch.version.cuda):
            module._LIB_DIR = module._LIB_DIR.parent / "_extension"  # a folder without libraries


class _Finder:
    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != TARGET:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def activate() -> None:
    """Set the import hook, once. Imports nothing."""
    if not any(finder.__name__ == _Finder.__name__ for finder in sys.meta_path if isinstance(finder, type)):
        sys.meta_path.insert(0, _Finder)


def install(site_packages: str | None = None) -> str:
    """Set the hook for every start of this Python: write a `.pth` file into `site_packages`; gives its path."""
    import sysconfig
    from pathlib import Path

    pth = Path(site_packages or sysconfig.get_path("purelib")) / PTH_NAME
    pth.write_text(PTH_LINE, encoding="utf-8")
    return str(pth)


activate()
