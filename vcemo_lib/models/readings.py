"""Where the paper contradicts itself or says nothing: our reading of each place, and the setting that switches it."""

from __future__ import annotations

from collections.abc import Sequence
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
    Reading("augment", 0, "4.2: noise at 30 dB SNR, pitch shift, time stretch", "how often and how much is not said", "training"),
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


CONCERNS = {"layers": "The model", "loss": "The loss", "training": "The training"}

EQUAL = """`vcemo compare` (`experiments.peers`, notebook 07) trains the rivals and VCEMO on the same corpus, split and features and in the same
loop. At `--size tutorial` the rivals' settings are made from `tutorial()`: optimizer, learning rate and schedule, epochs, batch size, weight
decay, clipping, dropout (of sound and of text), modality dropout, per-speaker standardisation, augmentation, and the score that picks the
epoch are equal for all. What differs: the architecture, and the few sizes in `SMALL` of each rival's class. The
rivals read audio and words; VCEMO is there once with the same two and once with BERT. All hear log-mel. These settings were chosen for
VCEMO on the validation part and not for each rival anew, which favours VCEMO, if anybody. At `--size paper` everybody has the values of its
own authors, as far as they can be known.

Where CME's word times come from is our reading, too: with `--word-times voice` (the default, and what the bundled results were made with) the
words are laid over the voiced frames in proportion to their characters; with `--word-times base`, or another Whisper, they are Whisper's."""


def page() -> str:
    """The page docs/readings.md: all readings, what is not copied from the rivals, what a comparison makes equal."""
    from vcemo_lib.models.baselines import faults

    lines = ["# Readings", "", "Written by `python data/build/readings.py` from `vcemo_lib/models/readings.py`; a test compares the two.", "",
             "The paper leaves sizes open and contradicts itself in places. Each such place is a field of `vcemo_lib.models.Settings`: change it with "
             "`settings.but(...)`, and train.", ""]  # fmt: skip
    for concerns, title in CONCERNS.items():
        lines += [f"## {title}", "", *_markdown(readings(concerns), ("the paper", "the matter")), ""]
    lines += ["## What a comparison makes equal", "", EQUAL, ""]
    theirs = faults().rename(columns={"theirs": "their code or text", "here": "here instead"})
    lines += ["## The rivals: what is not copied", "", *_markdown(theirs, theirs.columns), ""]
    return "\n".join(lines)


def _markdown(table: pd.DataFrame, prose: Sequence[str]) -> list[str]:
    """A table's lines; what stands in the columns of `prose` is text, all else is code."""
    head = [str(table.index.name), *table.columns]
    rows = [[value if name in prose else f"`{value}`" for name, value in zip(head, row, strict=True)]
            for row in table.reset_index().astype(object).to_numpy()]  # fmt: skip
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]
