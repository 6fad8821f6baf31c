"""Run the experiments whose results the `cpu` lane shows, five seeds each: the paper's Table 3, SupCon,
Tables 1 and 2, and (three seeds) SupCon on training parts whose ambiguity and imbalance are dialled.

`python data/build/run_experiments.py` (about an hour on two cores); a killed run goes on where it stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import vcemo_lib as vc
from vcemo_lib.corpora.sim import dials
from vcemo_lib.paths import repo_data

SEEDS = (0, 1, 2, 3, 4)
WHAT = ("ablation", "supcon", "compare", "dials")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", choices=WHAT, nargs="+", default=WHAT)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--out", type=Path, default=repo_data() / "expected" / "results")
    parser.add_argument(
        "--every", type=int, default=1, help="take every how-manieth utterance (to try this script)"
    )
    parser.add_argument("--epochs", type=int, help="fewer epochs (to try this script)")
    given = parser.parse_args()
    corpus = vc.load_corpus("sim")
    parts = vc.splits.given(corpus.subset(corpus.ids[:: given.every]))
    fewer = {} if given.epochs is None else {"epochs": given.epochs}
    for what in given.what:
        print(
            f"{what}\n{vc.experiments.summary(run(what, corpus, parts, given, fewer)).to_string(float_format='{:.3f}'.format)}\n"
        )


def run(
    what: str, corpus: Any, parts: dict[str, Any], given: argparse.Namespace, fewer: dict[str, int]
) -> Any:
    """One experiment's table."""
    kinds = tuple(kind for kinds in vc.models.tutorial().kinds.values() for kind in kinds)
    store = vc.features.compute(
        corpus, kinds=("mel", "words", "bert", "word_spans") if what == "compare" else kinds
    )
    where = (store, parts, given.out / what, given.seeds)
    if what == "ablation":
        return vc.experiments.ablate(*where, vc.models.tutorial(alpha=0.0, **fewer), workers=given.workers)
    if what == "supcon":
        configs = {
            name: vc.models.tutorial(**changes, **fewer)
            for name, changes in vc.experiments.SUPCON.items()
            if changes["alpha"]
        }
        # alpha 0 is the ablation's last row
        return vc.experiments.run(configs, *where, workers=given.workers)
    if what == "dials":
        settings = vc.models.tutorial(**fewer) if fewer else None
        return vc.experiments.over_dials(
            store, dials(parts), given.out / what, given.seeds[:3], settings, given.workers
        )
    return vc.experiments.peers(*where, workers=given.workers, **fewer)


if __name__ == "__main__":
    main()
