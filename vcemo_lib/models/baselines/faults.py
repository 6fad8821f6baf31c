"""Where the rivals' own code is at fault, or cannot be followed with our features, and what is done here instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd


class Fault(NamedTuple):
    """One thing that is not copied."""

    model: str
    where: str  # "code": a fault of theirs; "evaluation": of their figures; "input" and "training": ours differ
    theirs: str
    here: str


# fmt: off
FAULTS = (
    Fault("xu", "code", "words attend to padded speech too", "padding gets no weight"),
    Fault("xu", "evaluation", "one fold, Session 5, both to choose the epoch and to report",
          "validation chooses, test reports"),
    Fault("xu", "evaluation", "label 'exc' is not merged into 'hap', though the paper's four emotions are",
          "the corpus' own mapping"),
    Fault("xu", "input",
          "power spectrogram of 257 bands, 7 s; always the left channel; word vectors trained on",
          "log-mel of the whole clip; word vectors frozen"),
    Fault("yoon", "code",
          "re-implementation in FG_CME reshapes the last states (2, B, H) as (B, 2 H), which mixes utterances of a batch",
          "each utterance's own two states"),
    Fault("yoon", "evaluation",
          "precision printed as accuracy, by the author's own notice; random folds share speakers",
          "WA, UA and F1 under their names; speakers apart"),
    Fault("yoon", "input", "MFCC", "log-mel"),
    Fault("mdre", "code", "one number serves as the bias of all classes", "a bias for each class"),
    Fault("mdre", "code", "'dr_audio 0.7' and 'dr_text 0.3' are read as dropout, but are what is kept",
          "dropout 0.3 and 0.7"),
    Fault("mdre", "evaluation",
          "folds drawn by utterance, so speakers are shared; precision printed as accuracy",
          "speakers apart; WA, UA and F1"),
    Fault("mdre", "training", "a sigmoid for each class, batches drawn with replacement",
          "softmax cross-entropy, every utterance once an epoch"),
    Fault("mdre", "input", "39 MFCC and 35 prosodic numbers an utterance (openSMILE)", "log-mel alone"),
    Fault("umons", "code", "masks hold in the first block only: later, padding is attended to and pooled",
          "masks in all blocks and in the pools"),
    Fault("umons", "code", "LayerNorm with unbiased deviation and its epsilon outside the root",
          "torch's LayerNorm"),
    Fault("umons", "code", "unknown words share the index of the first word",
          "word vectors come from the features"),
    Fault("umons", "code", "Adam's betas are parsed and never used",
          "Adam's defaults, which are what theirs ran with"),
    Fault("umons", "training", "summed cross-entropy; the rate halved on no progress; ensembles of five",
          "mean; constant rate; one model"),
    Fault("cme", "code", "a word without frames gets a maximum of -1,000,000",
          "a word has one frame at least"),
    Fault("cme", "code", "dropout=0.5 given to a one-layer LSTM, which ignores it",
          "none, said so; `dropout` falls on the frames"),
    Fault("cme", "evaluation", "the epoch is chosen on the session that is reported",
          "validation chooses, test reports"),
    Fault("cme", "input", "forced alignment; the sound's gate is an embedding of the word's number",
          "Whisper's word times, or words laid over the voiced frames by their characters; a linear layer on the word's vector"),
)
# fmt: on


def faults(model: str | None = None) -> pd.DataFrame:
    """The table of what is not copied, of one rival or of all."""
    import pandas as pd

    return pd.DataFrame([f for f in FAULTS if model in (None, f.model)]).set_index("model")
