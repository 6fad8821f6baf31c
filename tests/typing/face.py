"""README's library section as a typed program: `mypy` checks it, nothing runs it.

`assert_type` says what a name is; an annotation says what it may be used as.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import pandas as pd
import torch
from torch import nn

import vcemo_lib as vc

corpus = vc.load_corpus("sim")
assert_type(corpus, vc.Corpus)
frame: pd.DataFrame = corpus.table
assert_type(corpus.ids, list[str])
own: vc.Corpus = vc.load_corpus(Path("my.csv"))

parts: dict[str, vc.Corpus] = vc.splits.given(corpus)
for split in (vc.splits.by_speaker, vc.splits.by_text, vc.splits.random):
    parts = split(corpus, seed=0)
leaks: pd.DataFrame = vc.splits.audit(parts)
record: dict[str, Any] = vc.audit.record(parts)
folds = vc.protocols.folds("speakers", corpus)

store = vc.features.compute(corpus, kinds=("mel", "words", "bert"))
width: int = store.width("bert")

settings = vc.models.tutorial(classes=6)
assert_type(settings, vc.models.Settings)
model: nn.Module = vc.models.build("vcemo", settings, seed=0)
run = vc.training.fit(vc.models.build("vcemo", settings), store, parts, seed=0)
run.save(Path("build/run"))
predictions = run.predict(parts["test"])
intervals: pd.DataFrame = predictions.intervals()

scores: Mapping[str, float] = vc.evaluation.scores(np.zeros(4, int), np.zeros(4, int))
loss: torch.Tensor = vc.losses.supcon(torch.zeros(8, 128), torch.zeros(8, dtype=torch.long), temperature=1.0)

prediction = vc.EmotionRecognizer.load().predict("clip.wav")
assert isinstance(prediction, vc.predict.Prediction)  # of one clip; of several it is a list
emotion: str = prediction.emotion
probabilities: Mapping[str, float] = prediction.probabilities
transcript: str = prediction.transcript

configs = vc.experiments.ablation_configs(settings)
where = (store, parts, "build/ablation")
table: pd.DataFrame = vc.experiments.run(configs, *where, seeds=range(3), workers=2)
table = vc.experiments.run(vc.experiments.baseline_configs(store, 6), store, parts, out="build/baselines")
summary: pd.DataFrame = vc.comparison.summary(table)
difference: pd.DataFrame = vc.comparison.compare(table, "VCEMO", "Xu 2019")
made: dict[str, Any] = vc.provenance.stamp(corpus, store)

try:
    vc.load_corpus("nowhere")
except vc.VcemoError as error:
    print(str(error), vc.paths.cache_dir(), vc.__version__)
