"""Run the experiments whose results the `cpu` lane shows: `python data/build/run_experiments.py`.

The straight line beside Table 3; five seeds each: the paper's Table 3, SupCon, Tables 1 and 2; three seeds:
SupCon on training parts whose ambiguity and imbalance are dialled. About an hour on two cores; a killed run
goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

import vcemo_lib as vc
from vcemo_lib.corpora import Corpus
from vcemo_lib.course.dials import dials
from vcemo_lib.course.sweeps import straight_lines
from vcemo_lib.models import tutorial
from vcemo_lib.paths import repo_data

SEEDS = (0, 1, 2, 3, 4)
WHAT = ("line", "ablation", "supcon", "compare", "dials")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", choices=WHAT, nargs="+", default=WHAT)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--out", type=Path, default=repo_data() / "expected" / "results")
    parser.add_argument("--every", type=int, default=1, help="only every n-th utterance (to try this script)")
    parser.add_argument("--epochs", type=int, help="fewer epochs (to try this script)")
    given = parser.parse_args()
    corpus = vc.load_corpus("sim")
    parts = vc.splits.given(corpus.subset(corpus.ids[:: given.every]))
    for what in given.what:
        table = vc.comparison.summary(run(what, corpus, parts, given))
        print(what, table.to_string(float_format="{:.3f}".format), "", sep="\n")


def run(what: str, corpus: Corpus, parts: dict[str, Corpus], given: argparse.Namespace) -> pd.DataFrame:
    """One experiment's table."""
    fewer = {} if given.epochs is None else {"epochs": given.epochs}
    kinds = [kind for kinds in tutorial().kinds.values() for kind in kinds]
    if what == "compare":
        kinds = ["mel", "words", "bert", "word_spans"]
    store = vc.features.compute(corpus, kinds=kinds)
    if what == "line":
        return straight_lines(store, parts, given.out / what)
    where, workers = (store, parts, given.out / what, given.seeds), given.workers
    if what == "ablation":
        configs = vc.experiments.ablation_configs(tutorial(alpha=0.0, **fewer))
        return vc.experiments.run(configs, *where, workers=workers)
    if what == "supcon":  # alpha 0 is the ablation's last row
        trained = {name: own for name, own in vc.experiments.SUPCON.items() if own["alpha"]}
        configs = {name: tutorial(**own, **fewer) for name, own in trained.items()}
        return vc.experiments.run(configs, *where, workers=workers)
    if what == "dials":
        settings = tutorial(**{"epochs": 32, "patience": 32} | fewer)  # these training parts are small
        tables = []
        for name, dialled in dials(parts).items():
            ways = {way: vc.experiments.SUPCON[way] for way in ("alpha 0", "alpha 1")}
            configs = {f"{name}, {way}": settings.but(**change) for way, change in ways.items()}
            few = (store, dialled, given.out / what, given.seeds[:3])
            tables.append(vc.experiments.run(configs, *few, workers=workers))
        return pd.concat(tables, ignore_index=True)
    configs = vc.experiments.baseline_configs(store, 6, **fewer)
    for path, (config, recipe) in vc.experiments.jobs(configs, *where).items():
        twin = next(given.out.glob(f"*/*-{recipe.key}.json"), None)  # the same run, under another name
        if twin and not path.exists():
            found = json.loads(twin.read_text(encoding="utf-8"))
            vc.paths.write_atomically(path, json.dumps(found | {"config": config}, ensure_ascii=False))
    return vc.experiments.run(configs, *where, workers=workers)


if __name__ == "__main__":
    main()
