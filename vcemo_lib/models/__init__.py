"""The models. All take a `Batch` and return an `Output`, so all train in the same loop.

>>> model = build("vcemo", tutorial(classes=6), seed=0)
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vcemo_lib.errors import VcemoError
from vcemo_lib.models.batch import Batch
from vcemo_lib.models.settings import MODALITIES, Settings, paper, tutorial
from vcemo_lib.models.vcemo import VCEMO, Output

__all__ = [
    "MODALITIES", "MODELS", "VCEMO", "Batch", "Output", "Settings",
    "build", "model_class", "paper", "parameters", "settings_for", "tutorial",
]  # fmt: skip

MODELS = {  # name -> module:class, imported when it is built
    "vcemo": "vcemo_lib.models.vcemo:VCEMO",
    "xu": "vcemo_lib.models.baselines.xu:Xu",
    "yoon": "vcemo_lib.models.baselines.yoon:Yoon",
    "mdre": "vcemo_lib.models.baselines.yoon:MDRE",
    "umons": "vcemo_lib.models.baselines.umons:UMONS",
    "cme": "vcemo_lib.models.baselines.cme:CME",
}
SETTINGS = Path(__file__).parent / "baselines" / "settings.toml"  # where a model differs from VCEMO


def model_class(name: str) -> type[nn.Module]:
    """The class of a model. Raises VcemoError for an unknown name."""
    if name not in MODELS:
        raise VcemoError(f"no model is called {name!r}", do=f"choose one of {', '.join(MODELS)}")
    module, cls = MODELS[name].split(":")
    return getattr(import_module(module), cls)


def build(
    name: str = "vcemo", settings: Settings | None = None,
    widths: Mapping[str, int] | None = None, seed: int = 0,
) -> nn.Module:
    """A model with fresh weights, the same for the same seed; without settings, those of the tutorial.

    `widths` overrides feature widths, e.g. {"bert": 768}. The model carries `.name`, `.settings`, `.widths`
    and `.kinds` (which features each modality reads).
    """
    cls = model_class(name)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return cls(settings or settings_for(name), widths)


def settings_for(name: str = "vcemo", size: str = "tutorial", classes: int = 6, **changes: Any) -> Settings:
    """A model's settings: "tutorial", small and trained like all others, or "paper", its authors' own."""
    sizes = {"tutorial": tutorial, "paper": paper}
    if size not in sizes:
        raise VcemoError(f"there is no size {size!r}", do=f"choose one of {', '.join(sizes)}")
    own = tomllib.loads(SETTINGS.read_text(encoding="utf-8"))
    differs = own["baselines"][size] | own[name].get(size, {}) if name in own else {}
    return Settings.from_dict(sizes[size](classes).as_dict() | differs).but(**changes)


def parameters(model: nn.Module) -> int:
    """How many numbers the model learns."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
