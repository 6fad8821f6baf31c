"""Run the experiments whose results the `cpu` lane shows: the paper's Table 3 and SupCon, three seeds each.

`python data/build/run_experiments.py` (half an hour on two cores); a killed run goes on where it stopped.
"""

from __future__ import annotations

import argparse

import vcemo_lib as vc
from vcemo_lib.paths import repo_data

SEEDS = (0, 1, 2)
ALPHAS = (0.1, 1.0)  # weight of SupCon; 0 is the ablation's last row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", choices=("ablation", "supcon"), nargs="+", default=["ablation", "supcon"])
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    corpus = vc.load_corpus("sim")
    parts = vc.splits.given(corpus)
    store = vc.features.compute(corpus, kinds=("mel", "words", "bert"))
    results = repo_data() / "expected" / "results"
    if "ablation" in arguments.what:
        print(vc.experiments.summary(vc.experiments.ablate(store, parts, results / "ablation", SEEDS, workers=arguments.workers)))
    if "supcon" in arguments.what:
        configs = {f"alpha {alpha:g}": vc.models.tutorial(alpha=alpha) for alpha in ALPHAS}
        print(vc.experiments.summary(vc.experiments.run(configs, store, parts, results / "supcon", SEEDS, workers=arguments.workers)))


if __name__ == "__main__":
    main()
