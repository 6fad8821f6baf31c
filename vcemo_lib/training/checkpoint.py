"""Tensors and facts in one safetensors file, written whole or not at all, and read without running anything."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vcemo_lib.errors import VcemoError

FACTS = "vcemo"  # key of the JSON text in the file's own metadata: so tensors and facts cannot part


def save(path: Path | str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Path:
    """Write tensors and JSON-able facts to `path` by way of a temporary file beside it."""
    from safetensors.torch import save_file

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    whole = {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}
    try:
        save_file(whole, temporary, metadata={FACTS: json.dumps(facts, ensure_ascii=False)})
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def load(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts of a file that `save` wrote."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[FACTS])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118: not a dict
    except FileNotFoundError as error:
        raise VcemoError("no such checkpoint", where=path, do="train a model with out=... first") from error
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise VcemoError("this is not a whole checkpoint of the course", where=path, do="delete it and train again") from error


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """{"a": t} -> {"prefix.a": t}."""
    return {f"{prefix}.{name}": t for name, t in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse: the tensors whose names begin with `prefix.`, without it."""
    return {name[len(prefix) + 1 :]: t for name, t in tensors.items() if name.startswith(f"{prefix}.")}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's memory (Adam's averages and step counts) as named tensors."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": t for i, slots in state.items() for name, t in slots.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, t in tensors.items():
        i, slot = name.split(".", 1)
        like = parameters[int(i)]
        # Averages must lie in memory as their parameter does (channels last, say): fused Adam walks both in step.
        state.setdefault(int(i), {})[slot] = torch.empty_like(like).copy_(t) if t.shape == like.shape else t
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
