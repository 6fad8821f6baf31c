"""Where the paper contradicts itself or says nothing: our reading of each place, and the setting that switches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vcemo_lib.models.settings import paper, tutorial

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Reading:
    """One open place: the field of `Settings` that decides it, and another value that one could read into it."""

    setting: str
    other: Any
    says: str  # what the paper says, with its section
    matter: str  # what is the matter with it
    concerns: str  # "layers", "loss" or "training"


READINGS = (
    Reading("guided_by", "same_depth", "3.3: guided by the final output", "clear; UMONS 2020 does the other", "layers"),
    Reading("guides", ("audio", "fused"), "3.3: 'the first modality' looks at itself alone", "which is first is not said", "layers"),
    Reading("both_guide", True, "3.3: 'to each modality'; Fig. 2 and reference 23 go one way", "text against figure", "layers"),
    Reading("bert", "tokens", "3.2: BERT gives 'a 768-dimensional vector'", "attention over one vector is always 1", "layers"),
    Reading("length", 16, "3.3: audio and words are added", "needs equal lengths; how is not said", "layers"),
    Reading("head_layers", 1, "3.3: 'two-layer MLP'; 3.4: 'one-layer MLP'", "the same predictor, twice", "layers"),
    Reading("pool", "mean", "nothing stands between self-attention and MLP", "a sequence must become a vector", "layers"),
    Reading("lstm_both_ways", False, "3.2: 'an LSTM layer'", "direction not said", "layers"),
    Reading("conv_channels", (16, 32, 32), "3.2: 'Conv-BatchNorm-ReLU'", "neither sizes nor number given", "layers"),
    Reading("width", 256, "not given", "MCAN, reference 23", "layers"),
    Reading("layers", 4, "not given", "MCAN, reference 23", "layers"),
    Reading("heads", 4, "not given", "MCAN, reference 23", "layers"),
    Reading("anchors", "all", "3.4: a sum over 'the set of classes'", "must be anchors; only a mean makes alpha independent of the batch", "loss"),
    Reading("normalize", False, "3.4: plain dot products", "its reference 7 normalises", "loss"),
    Reading("base_temperature", 0.07, "not in the equation", "reference 7's code has 0.07: at temperature 1 the loss is 14 times as large", "loss"),
    Reading("alpha", 100.0, "4.2: 0.1 on VCEMO, 100 on IEMOCAP", "at 100 cross-entropy is 1/101 of the loss", "loss"),
    Reading("queue", 16_384, "3.5: MoCo 'as described in the previous section'", "described nowhere; read as IEMOCAP only", "loss"),
    Reading("views", 2, "3.5: 'run the prediction twice'", "read as IEMOCAP only", "loss"),
    Reading("own_copies", False, "not mentioned", "a queue larger than the corpus holds an anchor's own old keys", "loss"),
    Reading("epochs", 2, "4.2: '50 steps'", "50 updates (two epochs) would not fill the queue: epochs", "training"),
    Reading("lr", 1e-4, "4.2: 1e-5 on VCEMO, 1e-4 on IEMOCAP", "1e-5 is little for a model trained from nothing", "training"),
    Reading("select", "ua", "4.3: the epoch by validation", "by accuracy, it seems; on IEMOCAP by the reported fold itself", "training"),
    Reading("speaker_norm", True, "not mentioned", "ours; uses all clips of a test speaker, no labels", "training"),
)


def readings(concerns: str | None = None) -> pd.DataFrame:
    """The table of readings: what `paper()`, `paper(corpus="iemocap")` and `tutorial()` choose, and what else one could."""
    import pandas as pd

    ours, iemocap, small = paper(), paper(corpus="iemocap"), tutorial()
    rows = [
        {
            "setting": r.setting, "the paper": r.says, "the matter": r.matter, "paper()": getattr(ours, r.setting),
            "on IEMOCAP": getattr(iemocap, r.setting), "tutorial()": getattr(small, r.setting), "other reading": r.other,
        }  # fmt: skip
        for r in READINGS
        if concerns in (None, r.concerns)
    ]
    return pd.DataFrame(rows).set_index("setting")
