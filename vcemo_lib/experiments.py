"""Experiments as data: many settings, many seeds, one tidy table. Every finished run is one JSON file.

>>> table = run(ablation_configs(tutorial()), store, parts, out="build/ablation", seeds=range(3), workers=2)
>>> comparison.compare(table, "Embeddings + Acoustic", "Acoustic")
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcemo_lib import provenance
from vcemo_lib.comparison import row
from vcemo_lib.errors import VcemoError
from vcemo_lib.evaluation import METRICS
from vcemo_lib.models.settings import Settings
from vcemo_lib.paths import write_atomically
from vcemo_lib.provenance import Recipe

if TYPE_CHECKING:
    import pandas as pd

Config = Settings | tuple[str, Settings]  # settings of the paper's model, or (model name, settings)

TABLE3: dict[str, tuple[str, ...]] = {  # the paper's Table 3, in its order and words
    "Embeddings": ("words",),
    "BERT": ("bert",),
    "Acoustic": ("audio",),
    "Embeddings + BERT": ("words", "bert"),
    "Embeddings + Acoustic": ("audio", "words"),
    "BERT + Acoustic": ("audio", "bert"),
    "Embeddings + BERT + Acoustic": ("audio", "words", "bert"),
}

# VCEMO as the rivals are: they read audio and words, and no statistics of the clip.
TWO: dict[str, Any] = {"modalities": ("audio", "words"), "alpha": 0.0, "statistics": False}

# The paper's Tables 1 and 2, and what lies between two of their rows: name -> model, what differs.
BASELINES: dict[str, tuple[str, dict[str, Any]]] = {
    "Xu 2019": ("xu", {}),
    "Yoon 2018 (MDRE)": ("mdre", {}),
    "Yoon 2019 (MHA-2)": ("yoon", {}),
    "UMONS 2020": ("umons", {}),
    "UMONS, final guide": ("umons", {"guided_by": "final"}),
    "CME 2021": ("cme", {}),
    "VCEMO, audio and words": ("vcemo", TWO),
    "VCEMO, same-depth guide": ("vcemo", TWO | {"guided_by": "same_depth"}),
    "VCEMO, 32 steps": ("vcemo", TWO | {"length": 32}),  # as many as UMONS
    "VCEMO, with statistics": ("vcemo", TWO | {"statistics": True}),
    "VCEMO": ("vcemo", {"alpha": 0.0}),
    "VCEMO + SupCon": ("vcemo", {}),
}

# Training without SupCon and with it (sections 3.4, 3.5): name -> what differs from the settings.
SUPCON: dict[str, dict[str, Any]] = {
    "alpha 0": {"alpha": 0.0},
    "alpha 0.1": {"alpha": 0.1},  # the paper's on VCEMO
    "alpha 1": {"alpha": 1.0},
    # With a momentum of 0.999 a short run would leave the key encoder at its random start.
    "alpha 0.1, queue": {"alpha": 0.1, "queue": 1024, "momentum": 0.99},
    "alpha 0.1, two views": {"alpha": 0.1, "views": 2},
}


def run(
    configs: Mapping[str, Config], store: Any, parts: Mapping[str, Any], out: Path | str,
    seeds: Sequence[int] = (0, 1, 2), workers: int = 1, keep_models: bool = False, progress: bool = True,
) -> pd.DataFrame:  # fmt: skip
    """Train every config with every seed and score it on the test part, or read what `out` holds.

    One row a run: config, model, seed, wa, ua, f1_weighted, f1_macro, val_... of the same, best_epoch,
    epochs, seconds, parameters, file. More `workers`: that many processes with one thread each, faster for
    small models. `keep_models`: each in out/<file name>/. Several machines may share `out`.
    """
    import pandas as pd
    from joblib import Parallel, delayed, parallel_config
    from tqdm.auto import tqdm

    from vcemo_lib import audit

    if "test" not in parts:
        raise VcemoError("no test part to score on", do="give parts with 'train', 'val' and 'test'")
    wanted = jobs(configs, store, parts, Path(out), seeds)
    missing = {path: job for path, job in wanted.items() if not path.exists()}
    leaks = audit.record(parts, store) if missing else {}
    shared = (store, parts, leaks, keep_models, workers > 1)
    tasks = [delayed(train_one)(*job, path.absolute(), *shared) for path, job in missing.items()]
    one_thread = 1 if workers > 1 else None
    with parallel_config("loky", n_jobs=workers, inner_max_num_threads=one_thread):
        done = Parallel(return_as="generator_unordered", batch_size=1)(tasks)
        shown: dict[str, Any] = {"initial": len(wanted) - len(tasks), "leave": False, "disable": not progress}
        for path, result in tqdm(done, "runs", len(wanted), **shown):
            write_atomically(path, json.dumps(result, ensure_ascii=False))  # at once: a killed sweep keeps it
    return pd.DataFrame([row(path) for path in wanted])


def jobs(
    configs: Mapping[str, Config], store: Any, parts: Mapping[str, Any], out: Path, seeds: Sequence[int]
) -> dict[Path, tuple[str, Recipe]]:
    """What `run` trains: the file that a run's result goes to -> its config and its recipe."""
    from vcemo_lib.models import kinds_read

    wanted: dict[Path, tuple[str, Recipe]] = {}
    data: dict[tuple[str, ...], dict[str, Any]] = {}  # by the kinds that a model reads
    for config, given in configs.items():
        name, settings = given if isinstance(given, tuple) else ("vcemo", given)
        kinds = tuple(sorted(kinds_read(name, settings)))
        data[kinds] = data.get(kinds) or provenance.data(store, kinds, parts)
        for seed in seeds:
            recipe = Recipe.of(name, settings, seed, data[kinds])
            wanted[out / f"{plain(config)}-seed{seed}-{recipe.key}.json"] = config, recipe
    return wanted


def plain(config: str) -> str:
    """A config's name as a part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", config.lower()).strip("-")


def ablation_configs(settings: Settings) -> dict[str, Config]:
    """The paper's Table 3 for `run`: seven choices of modalities (section 4.4; without SupCon there)."""
    return {name: settings.but(modalities=modalities) for name, modalities in TABLE3.items()}


def baseline_configs(
    store: Any, classes: int, size: str = "tutorial", names: Iterable[str] | None = None, **changes: Any
) -> dict[str, Config]:
    """The paper's Tables 1 and 2 (section 4.3): name -> (model, settings) of `BASELINES` or some of them.

    size "tutorial": all small and trained alike, only architectures differ; "paper": as published. `changes`:
    settings that all get. They read the kinds "mel", "words", "bert" and "word_spans".
    """
    from vcemo_lib.models import settings_for

    if unknown := set(names or ()) - set(BASELINES):
        do = f"choose among {', '.join(BASELINES)}"
        raise VcemoError(f"no baseline is called {', '.join(sorted(unknown))}", do=do)
    # Log-mel is the paper's input, and the one that all can read.
    common = {"bert_width": store.width("bert"), "acoustic": "mel"} | changes
    chosen = [(name, *BASELINES[name]) for name in names or BASELINES]
    return {name: (model, settings_for(model, size, classes, **own | common)) for name, model, own in chosen}


def train_one(
    config: str, recipe: Recipe, path: Path, store: Any, parts: Mapping[str, Any], leaks: Any, keep: bool,
    alone: bool,
) -> tuple[Path, dict[str, Any]]:  # fmt: skip
    """Train and score one run, for the file at `path`. In a process of its own it keeps to one thread."""
    import torch

    from vcemo_lib.models import build, parameters
    from vcemo_lib.training import device, fit

    if alone:
        torch.set_num_threads(1)
    model = build(recipe.model, Settings.from_dict(recipe.settings), seed=recipe.seed)
    folder = path.with_suffix("") if keep else None
    result = fit(model, store, parts, seed=recipe.seed, out=folder, progress=False)
    test, best = result.predict(parts["test"]), result.history.loc[result.best_epoch]
    versions = {name.replace("-", "_"): found for name, found in provenance.versions().items()}
    return path, {
        "config": config, **recipe.plain(),
        "parts": {name: part.fingerprint() for name, part in parts.items()}, "leaks": leaks,
        "scores": test.scores(), "val": {m: float(best[f"val_{m}"]) for m in METRICS},
        "best_epoch": result.best_epoch, "epochs": len(result.history),
        "seconds": result.seconds, "parameters": parameters(model),
        "machine": {"device": str(device()), **provenance.hardware(), **versions, "date": provenance.now()},
        "predictions": test.as_dict(),
    }  # fmt: skip
