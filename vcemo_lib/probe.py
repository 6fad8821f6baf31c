"""The straight line: logistic regression on means over time of frozen features, scored on other speakers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vcemo_lib.evaluation import scores
from vcemo_lib.training.runs import Predictions

ACOUSTIC = ("mel", "whisper")
STRENGTHS = (0.001, 0.01, 0.1, 1.0)  # scikit-learn's C, the inverse of the penalty


def pooled(store: Any, kind: str, ids: Sequence[str], deviations: bool = False) -> np.ndarray:
    """Each utterance's mean over time, (N, width) float32, its deviation beside it; zeros if it is empty."""
    rows = [np.asarray(store.get(kind, utt_id), np.float32) for utt_id in ids]
    rows = [row if len(row) else np.zeros((1, row.shape[1]), np.float32) for row in rows]
    means = np.stack([row.mean(axis=0) for row in rows])
    return np.hstack([means, np.stack([row.std(axis=0) for row in rows])]) if deviations else means


def standardise(x: np.ndarray, groups: Sequence | None = None) -> np.ndarray:
    """Every column of x (N, D) to mean 0 and deviation 1 within each group (N,); constant ones to zeros."""
    groups = np.zeros(len(x)) if groups is None else np.asarray(groups)
    out = np.empty_like(x, dtype=np.float32)
    for group in np.unique(groups):
        rows = x[groups == group]
        deviation = rows.std(axis=0)
        out[groups == group] = (rows - rows.mean(axis=0)) / np.where(deviation > 1e-6, deviation, 1.0)
    return out


def linear(
    store: Any, parts: Mapping[str, Any], kinds: str | Sequence[str], by_speaker: bool = False,
    deviations: bool = False,
) -> Predictions:  # fmt: skip
    """Test predictions of balanced logistic regression on `pooled` kinds, its strength the best on "val".

    `by_speaker` standardises acoustic kinds within each speaker, by all his clips but no labels: report it.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    everyone = np.concatenate([part.table["speaker"].to_numpy(str) for part in parts.values()])
    columns = []
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        ids = [utt_id for part in parts.values() for utt_id in part.ids]
        x = pooled(store, kind, ids, deviations)  # (N, width)
        columns.append(standardise(x, everyone) if by_speaker and kind in ACOUSTIC else x)
    cuts = np.cumsum([len(part) for part in parts.values()])[:-1]
    x = dict(zip(parts, np.split(np.concatenate(columns, axis=1), cuts), strict=True))
    y = {name: part.y() for name, part in parts.items()}
    scaler = StandardScaler().fit(x["train"])
    x = {name: scaler.transform(values) for name, values in x.items()}

    models = [LogisticRegression(C=c, class_weight="balanced", max_iter=500) for c in STRENGTHS]
    classes, test = tuple(parts["train"].labels), parts["test"]
    on_val = []
    for model in models:
        model.fit(x["train"], y["train"])
        on_val.append(scores(y["val"], model.predict(x["val"]), classes)["ua"])
    best = models[int(np.argmax(on_val))]
    shares = np.zeros((len(test), len(classes)), np.float32)
    shares[:, best.classes_] = best.predict_proba(x["test"])
    speakers = test.table["speaker"].to_numpy(str)
    return Predictions(test.ids, classes, y["test"], shares.argmax(1), shares, x["test"], speakers)
