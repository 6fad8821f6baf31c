"""How much do clips of a stranger help? `python data/build/enrolment_curve.py` scores the bundled recogniser.

On VCEMO-Sim's validation speakers, each known by 0, 1, 2, ... clips without labels (see `Scaler.adapted`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

import vcemo_lib as vc
from vcemo_lib.corpora import Corpus
from vcemo_lib.loading import gather
from vcemo_lib.training.runs import Run, kinds_of, predict


def enrolment_curve(
    run: Run,
    part: Corpus,
    store: vc.features.FeatureStore | None = None,
    counts: Sequence[int] = (0, 1, 2, 5, 10, 20),
    seed: int = 0,
) -> pd.DataFrame:
    """A corpus part's scores, with intervals, where speakers are known by 0, 1, 2, ... clips without labels.

    Every clip is judged at every point, scaled by other clips of its speaker: drawn with the seed, those of a
    point among those of the next, and all of them where there are fewer than `counts` says.
    """
    features = gather(store or run.store, part, kinds_of(run.model))
    order, speakers = np.random.default_rng(seed).permutation(len(features)), features.speakers
    others = {
        u: [j for j in order if speakers[j] == speakers[i] and j != i] for i, u in enumerate(features.ids)
    }
    features, found = replace(features, speakers=np.array(features.ids)), {}  # a clip's scale is its own
    for count in counts:
        scaler = run.scaler.adapted(features, {u: known[:count] for u, known in others.items()})
        answers = predict(run.model, scaler.apply(features), run.classes)
        found[count] = replace(answers, speakers=speakers).intervals()
    return pd.concat(found, names=["enrolled", "score"])


if __name__ == "__main__":
    recogniser, part = vc.EmotionRecognizer.load().run, vc.splits.given(vc.load_corpus("sim"))["val"]
    print(enrolment_curve(recogniser, part, vc.features.compute(part, kinds_of(recogniser.model))))
