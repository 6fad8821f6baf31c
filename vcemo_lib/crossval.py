"""A protocol run whole: every fold with every seed; the folds of one seed make one prediction of the corpus.

>>> table = run({"log-mel": settings}, store, protocols.folds("speakers", corpus), "build/people")
>>> comparison.summary(table)      # intervals over speakers and seeds, as of any other result
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np

from vcemo_lib import audit, comparison, evaluation, experiments
from vcemo_lib.corpora.protocols import Protocol
from vcemo_lib.paths import write_atomically

if TYPE_CHECKING:
    import pandas as pd

PER_CLIP = ("ids", "speakers", "y_true", "y_pred")


def run(
    configs: Mapping[str, experiments.Config], store: Any, protocol: Protocol, out: Path | str,
    seeds: Sequence[int] = (0, 1, 2), workers: int = 1, progress: bool = True,
    keep: Path | str | None = None,
) -> pd.DataFrame:  # fmt: skip
    """`experiments.run` on every fold, resumable; one row a config and seed, its file in `out`.

    Scores are of all folds' answers together, not means of the folds'; `by_fold` gives each fold's. The
    folds' own runs lie in `keep`, by default out/folds.
    """
    import pandas as pd

    runs: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    for nth, (fold, parts) in enumerate(protocol.folds.items()):
        folder = Path(keep or Path(out) / "folds") / f"{nth:02d}"
        done = experiments.run(configs, store, parts, folder, seeds, workers, progress=progress)
        for file in done.file:
            found = comparison.facts(file)
            runs.setdefault((found["config"], found["seed"]), {})[fold] = found
    return pd.DataFrame([comparison.row(write(whole(of, protocol), out)) for of in runs.values()])


def whole(folds: Mapping[str, Mapping[str, Any]], protocol: Protocol) -> dict[str, Any]:
    """The results of one config and seed, by fold, as one; what differs stands under "folds"."""
    runs = list(folds.values())
    own = ("scores", "val", "best_epoch", "epochs", "parts", "leaks")
    said = {key: [item for one in runs for item in one["predictions"][key]] for key in PER_CLIP}
    classes = runs[0]["predictions"]["classes"]
    told = {key: value for key, value in runs[0].items() if key not in (*own, "recipe", "predictions")}
    return told | {
        "protocol": {"name": protocol.name, "note": protocol.note},
        "folds": {fold: {key: one[key] for key in own if key in one} for fold, one in folds.items()},
        "leaks": audit.together(one["leaks"] for one in runs),
        "scores": evaluation.scores(np.array(said["y_true"]), np.array(said["y_pred"]), classes),
        "val": {metric: mean(one["val"][metric] for one in runs) for metric in runs[0]["val"]},
        "best_epoch": mean(one["best_epoch"] for one in runs),
        "epochs": max(one["epochs"] for one in runs),
        "seconds": sum(one["seconds"] for one in runs),
        "predictions": said | {"classes": classes},
    }


def write(result: Mapping[str, Any], out: Path | str) -> Path:
    """A whole result as a file of its folder; its name says which."""
    path = Path(out) / f"{experiments.plain(result['config'])}-seed{result['seed']}.json"
    write_atomically(path, json.dumps(result, ensure_ascii=False))
    return path


def by_fold(table: pd.DataFrame) -> pd.DataFrame:
    """Every fold's own scores: a row for each config, seed and fold."""
    import pandas as pd

    rows = []
    for config, seed, file in zip(table.config, table.seed, table.file, strict=True):
        for fold, found in comparison.facts(file)["folds"].items():
            rows.append({"config": config, "seed": seed, "fold": fold, **found["scores"]})
    return pd.DataFrame(rows)
