"""The paper's rivals (Tables 1 and 2): same `Batch` in, same `Output` out, same training loop.

name    model                                what makes it itself
xu      Xu et al. 2019, arXiv 1909.05645     each word attends over the speech, then one GRU reads both
yoon    Yoon et al. 2019, arXiv 1904.10788   two hops: the voice asks the words, what they say asks the voice
mdre    Yoon et al. 2018, arXiv 1810.04635   two GRUs, their last states side by side, no attention
umons   Delbrouck et al. 2020, 2006.15955    co-attention guided by the words of the *same* depth
cme     Li et al. 2021, arXiv 2010.12733     each word and its own piece of sound excite one another

All read sound and word vectors. Their sizes stand in the fields of `Settings` that mean the same here; a field
that a model has no use for (`guides`, say) is ignored. Faults of the original code are not copied: see `faults()`.

>>> settings = published("xu", classes=4)       # as its authors trained it
>>> model = build("xu", tutorial("xu", 6))      # small, trained like our own tutorial()
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vcemo_lib.errors import VcemoError
from vcemo_lib.models import model_class
from vcemo_lib.models import settings as ours
from vcemo_lib.models.baselines.faults import faults
from vcemo_lib.models.batch import Batch
from vcemo_lib.models.branches import Recurrent, coarser
from vcemo_lib.models.settings import Settings
from vcemo_lib.models.vcemo import VCEMO, Output, Tokens

__all__ = ["RIVALS", "Output", "Recurrent", "GatedRecurrent", "Rival", "faults", "last_state", "published", "tutorial"]

RIVALS = {"xu": "Xu 2019", "yoon": "Yoon 2019 (MHA-2)", "mdre": "Yoon 2018 (MDRE)", "umons": "UMONS 2020", "cme": "CME 2021"}


def published(name: str, classes: int = 4, **changes: Any) -> Settings:
    """A rival's own settings, as far as they can be known (four emotions, since all but UMONS used IEMOCAP)."""
    return model_class(name).published(classes, **changes)


def tutorial(name: str, classes: int = 6, **changes: Any) -> Settings:
    """A rival of the size of our `tutorial()` and trained as that is, so that only the architectures differ."""
    return model_class(name).tutorial(classes, **changes)


class Rival(nn.Module):
    """What the rivals share: sound and words come in, averaged and scaled as for VCEMO, and logits go out.

    A rival has no projector, so it trains with alpha=0 only.
    """

    name: ClassVar[str]
    also_reads: ClassVar[tuple[str, ...]] = ()  # features beyond those of its modalities
    PUBLISHED: ClassVar[dict[str, Any]]  # the authors' values, each with its source
    SMALL: ClassVar[dict[str, Any]] = {}  # what differs from our tutorial(), beyond the modalities

    def __init__(self, settings: Settings, widths: Mapping[str, int] | None = None) -> None:
        super().__init__()
        if set(settings.modalities) != {"audio", "words"}:
            raise VcemoError(f"the model {self.name!r} reads audio and words, not {settings.modalities!r}",
                             do="build it with modalities=('audio', 'words')")  # fmt: skip
        if settings.acoustic == "both":
            raise VcemoError(f"the model {self.name!r} reads one acoustic feature", do="build it with acoustic='mel' or 'whisper'")
        self.settings = settings
        self.widths = {"mel": 80, "whisper": 512, "words": 300, "word_spans": 2} | dict(widths or {})
        self.kinds = {"audio": settings.acoustic, "words": "words"}
        self.bands = -(-self.widths[settings.acoustic] // settings.audio_pool[1])  # F, what a frame is wide

    @classmethod
    def published(cls, classes: int = 4, **changes: Any) -> Settings:
        """The authors' own settings."""
        theirs = {
            "modalities": ("audio", "words"),
            "modality_dropout": 0.0,  # none of them has it
            "alpha": 0.0,  # nor SupCon
            "augment": 0,  # nor altered sound
            "weight_decay": 0.0,  # nor weight decay
        }
        return ours.paper(classes).but(**theirs | cls.PUBLISHED | changes)

    @classmethod
    def tutorial(cls, classes: int = 6, **changes: Any) -> Settings:
        """Small, and trained like our own `tutorial()`: optimizer, epochs, dropout, speaker statistics."""
        like = ours.tutorial(classes)
        small = {"modalities": ("audio", "words"), "alpha": 0.0, "acoustic": "mel" if like.acoustic == "both" else like.acoustic}
        return like.but(**small | cls.SMALL | changes)

    lose_one = VCEMO.lose_one  # a trick of training, which shall not decide a comparison of architectures

    def read(self, batch: Batch) -> tuple[Tokens, Tokens]:
        """Sound (B, T, F), (B, T), averaged by `audio_pool`, and words (B, W, 300), (B, W)."""
        tokens = {"audio": coarser(*batch.sequence(self.kinds["audio"]), self.settings.audio_pool), "words": batch.sequence("words")}
        if self.training and self.settings.modality_dropout:
            tokens = self.lose_one(tokens)
        return tokens["audio"], tokens["words"]


class GatedRecurrent(Recurrent):
    """`Recurrent` of gated recurrent units (GRU) in place of an LSTM."""

    def __init__(self, width_in: int, width: int, both_ways: bool) -> None:
        nn.Module.__init__(self)
        self.forwards = nn.GRU(width_in, width // 2 if both_ways else width, batch_first=True)
        self.backwards = nn.GRU(width_in, width - width // 2, batch_first=True) if both_ways else None


def last_state(x: Tensor, mask: Tensor, both_ways: bool) -> Tensor:
    """Where a recurrent layer ended: its last real step, for the backward half the first. (B, T, d) -> (B, d)."""
    last = x[torch.arange(len(x), device=x.device), mask.sum(dim=1) - 1]  # (B, d)
    half = x.shape[-1] // 2
    return torch.cat([last[:, :half], x[:, 0, half:]], dim=-1) if both_ways else last
