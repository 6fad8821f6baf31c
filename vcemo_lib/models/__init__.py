"""The models. All take a `Batch` and return an `Output`, so all train in the same loop.

>>> model = build("vcemo", tutorial(classes=6), seed=0)
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vcemo_lib.errors import VcemoError
from vcemo_lib.models.baselines import CME, MDRE, UMONS, Xu, Yoon
from vcemo_lib.models.batch import Batch, Model, Output
from vcemo_lib.models.settings import MODALITIES, Settings, paper, tutorial
from vcemo_lib.models.vcemo import VCEMO

__all__ = [
    "MODALITIES", "MODELS", "VCEMO", "Batch", "Model", "Output", "Settings",
    "build", "kinds_read", "model_class", "paper", "parameters", "settings_for", "tutorial",
]  # fmt: skip

MODELS: dict[str, type[Model]] = {model.name: model for model in (VCEMO, Xu, Yoon, MDRE, UMONS, CME)}


def choose(choices: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in choices:
        raise VcemoError(f"there is no {what} {name!r}", do=f"choose one of {', '.join(choices)}")
    return choices[name]


def model_class(name: str) -> type[Model]:
    """The class of a model. Raises VcemoError for an unknown name."""
    return choose(MODELS, name, "model")


def build(
    name: str = "vcemo", settings: Settings | None = None,
    widths: Mapping[str, int] | None = None, seed: int = 0,
) -> Model:  # fmt: skip
    """A model with fresh weights, the same for the same seed; without settings, those of the tutorial.

    `widths` overrides feature widths, e.g. {"bert": 768}.
    """
    cls = model_class(name)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return cls(settings or settings_for(name), widths or {})


def settings_for(name: str = "vcemo", size: str = "tutorial", classes: int = 6, **changes: Any) -> Settings:
    """A model's settings: "tutorial", small and trained like all others, or "paper", its authors' own."""
    sized = choose({"tutorial": tutorial, "paper": paper}, size, "size")(classes)
    own = tomllib.loads((Path(__file__).parent / "baselines" / "settings.toml").read_text(encoding="utf-8"))
    differs = own["baselines"][size] | own[name].get(size, {}) if name in own else {}
    return Settings.from_dict(sized.as_dict() | differs).but(**changes)


def kinds_read(name: str, settings: Settings) -> tuple[str, ...]:
    """The kinds of features that a model of these settings reads."""
    kinds = (kind for modality in settings.modalities for kind in settings.kinds[modality])
    return (*kinds, *model_class(name).also_reads)


def parameters(model: nn.Module) -> int:
    """How many numbers the model learns."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
