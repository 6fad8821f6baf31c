"""Altered versions of the training clips (section 4.2: Gaussian noise at 30 dB SNR, pitch shift, time stretch).

Each version of a clip is computed once and kept like every other feature; an epoch then draws, for each utterance, one
of its versions or the clip itself. Validation and test clips have no versions, so nothing can draw them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vcemo_lib.errors import VcemoError

if TYPE_CHECKING:
    from torch import nn

    from vcemo_lib.corpora import Corpus
    from vcemo_lib.features import FeatureStore
    from vcemo_lib.loading import Features, Ragged
    from vcemo_lib.models import Batch


@dataclass
class Version:
    """Altered clips by the name of the kind that they stand for: a store that `loading.gather` can read."""

    altered: FeatureStore  # of the kind "mel_altered"

    def batch(self, ids: Sequence[str], kinds: Sequence[str] = ("mel",)) -> Batch:
        """The altered log-mel of these utterances, padded."""
        from vcemo_lib.models import Batch

        return Batch.collate(ids, {"mel": [self.altered.get("mel_altered", u) for u in ids]})


def versions(part: Corpus, copies: int, progress: bool = True) -> list[Version]:
    """The altered versions 1 to `copies` of a corpus part; those that are kept already are not computed again."""
    from vcemo_lib import features

    return [Version(features.compute(part, ("mel_altered",), progress=progress, version=i + 1)) for i in range(copies)]


@dataclass
class Versions:
    """The training part in several versions of its sound, all of it in memory."""

    part: Features  # the clips as they are; its kinds["mel"] is not read
    mel: Ragged  # lengths and starts (versions, N)
    steps: np.ndarray  # (versions, N) lengths, on the processor

    @classmethod
    def of(cls, parts: Sequence[Features]) -> Versions:
        """The same N utterances, once as they are and once in each version."""
        import torch

        from vcemo_lib.loading import Ragged

        ragged = [part.kinds["mel"] for part in parts]
        rows = torch.cat([*(one.rows[:-1] for one in ragged), ragged[0].rows[-1:]])  # one zero row behind them all
        ends = np.cumsum([0] + [len(one.rows) - 1 for one in ragged])
        starts = torch.stack([one.starts + int(end) for one, end in zip(ragged, ends, strict=False)])
        lengths = torch.stack([one.lengths for one in ragged])
        return cls(parts[0], Ragged(rows, lengths, starts), np.stack([part.steps["mel"] for part in parts]))

    def draw(self, rng: np.random.Generator) -> Features:
        """The part with one version of each clip, drawn evenly. No row is copied."""
        import torch

        from vcemo_lib.loading import Ragged

        each = np.arange(len(self.part))
        chosen = rng.integers(len(self.steps), size=len(each))  # (N,)
        at = torch.from_numpy(chosen).to(self.mel.rows.device), torch.from_numpy(each).to(self.mel.rows.device)
        mel = Ragged(self.mel.rows, self.mel.lengths[at], self.mel.starts[at])
        return replace(self.part, kinds=self.part.kinds | {"mel": mel}, steps=self.part.steps | {"mel": self.steps[chosen, each]})


def check(model: nn.Module) -> None:
    """Refuse what altered sound would confuse: a model without log-mel, or one that knows where each word lies."""
    if "mel" not in [model.kinds[m] for m in model.settings.modalities] or getattr(model, "also_reads", ()):
        raise VcemoError(f"augmentation does not fit the model {model.name!r} with these settings", where="fit",
                         do="set augment=0; it needs acoustic='mel', and a model that does not count in frames")  # fmt: skip
