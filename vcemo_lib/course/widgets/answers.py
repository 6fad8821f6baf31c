"""What a model answers on a corpus part, and its features as points of a plane."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import cache_dir

if TYPE_CHECKING:
    from vcemo_lib.corpora import Corpus
    from vcemo_lib.training.runs import Predictions, Run


def judged(corpus: Corpus, run: Run | None = None, store: Any = None) -> Predictions:
    """What a trained run, by default the bundled recogniser, says about each clip of a corpus part.

    Features come from `store`, or are computed (and cached) with the words that Whisper heard where the corpus
    carries them. Raises VcemoError where the labels differ.
    """
    from vcemo_lib import features
    from vcemo_lib.predict import EmotionRecognizer
    from vcemo_lib.training.runs import kinds_of

    run = run or EmotionRecognizer.load().run
    if tuple(corpus.labels) != tuple(run.classes):
        what = f"the model knows {', '.join(run.classes)}; the corpus has {', '.join(corpus.labels)}"
        raise VcemoError(what, do="use a model trained for these labels")
    text = "asr" if "asr" in corpus.table else "gold"
    store = store or features.compute(corpus, kinds_of(run.model), text=text, progress=False)
    return run.predict(corpus, store)


def plane(vectors: np.ndarray, method: str = "tsne", seed: int = 0) -> np.ndarray:
    """Vectors (N, D) as points (N, 2) in [-1, 1], by t-SNE or PCA; cached, as t-SNE takes seconds."""
    import torch

    from vcemo_lib import plots
    from vcemo_lib.training import checkpoint

    digest = hashlib.sha256(np.ascontiguousarray(vectors, np.float32).tobytes())
    digest.update(f"{vectors.shape} {method} {seed}".encode())

    path = cache_dir() / "predictions" / f"map-{digest.hexdigest()[:16]}.safetensors"
    if path.exists():
        try:
            return checkpoint.load(path)[0]["points"].numpy()
        except VcemoError:  # damaged: compute it again
            path.unlink()
    points = np.zeros((len(vectors), 2), np.float32)
    if len(vectors) > 3:
        points = np.asarray(plots.to_plane(np.asarray(vectors, float), method, seed), np.float32)
        points -= (points.max(0) + points.min(0)) / 2
        points /= max(float(np.abs(points).max()), 1e-9)
    checkpoint.save(path, {"points": torch.from_numpy(points)}, {})
    return points
