"""Tensors and facts in one safetensors file: written whole or not at all, with a digest to check."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import write_atomically

FACTS, DIGEST = "vcemo", "sha256"  # keys of the file's own metadata


def save(path: Path | str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Path:
    """Write tensors and JSON-able facts."""
    whole = {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}
    text = json.dumps(facts, ensure_ascii=False)
    write_atomically(Path(path), serialise(whole, metadata={FACTS: text, DIGEST: digest(whole, text)}))
    return Path(path)


def load(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts of a file that `save` wrote. Files of earlier versions carry no digest."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        facts = dict(json.loads(metadata[FACTS]))
    except FileNotFoundError as error:
        raise VcemoError("no such checkpoint", where=path, do="train a model with out=... first") from error
    except (SafetensorError, OSError, LookupError, TypeError, ValueError) as error:
        raise VcemoError("this is not a whole checkpoint", path, "delete it and train again") from error
    if metadata.get(DIGEST, wanted := digest(tensors, metadata[FACTS])) != wanted:
        raise VcemoError("this checkpoint is damaged", path, "delete it and train again")
    return tensors, facts


def digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256 of the facts' text and of every tensor's name, type, shape and bytes."""
    sha = hashlib.sha256(text.encode("utf-8"))
    for name, t in sorted(tensors.items()):
        sha.update(f"{name} {t.dtype} {tuple(t.shape)}".encode())
        sha.update(t.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """{"a": t} -> {"prefix.a": t}."""
    return {f"{prefix}.{name}": t for name, t in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse: the tensors whose names begin with `prefix.`, without it."""
    return {name[len(prefix) + 1 :]: t for name, t in tensors.items() if name.startswith(f"{prefix}.")}
