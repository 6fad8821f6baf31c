"""Every hyper-parameter of the model and of its training, in one place: `paper()` and `tutorial()`.

The paper leaves sizes open and contradicts itself in places. Each choice is a field here; the
value in `paper()` carries the section it comes from, or "open" and where the value was taken from.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from vcemo_lib.errors import VcemoError

MODALITIES = ("audio", "words", "bert")


@dataclass(frozen=True)
class Settings:
    """One experiment, whole. Change a copy with `settings.but(alpha=0)`."""

    # What goes in
    classes: int  # emotions to tell apart
    modalities: tuple[str, ...]  # any non-empty part of ("audio", "words", "bert")
    acoustic: str  # what the audio branch hears: "mel", "whisper" (encoder frames), or "both", their tokens added
    bert: str  # "cls" or "mean": one vector a sentence; "tokens": all of them
    bert_width: int  # H, the width of the sentence encoder
    speaker_norm: bool  # standardise audio by each speaker's own clips (no labels used), else by the training part

    # The branches
    audio_pool: tuple[int, int]  # average so many frames and so many mel bands before anything else
    conv_channels: tuple[int, ...]  # channels of each Conv-BatchNorm-ReLU block
    conv_strides: tuple[tuple[int, int], ...]  # (time, frequency) stride of each block
    lstm_both_ways: bool  # read the sequence backwards as well
    length: int  # audio and words are averaged to this many steps, so that they can be added

    # The fusion
    width: int  # d, channels of every token
    heads: int  # attention heads; d / heads channels each
    layers: int  # depth of each co-attention stack
    ff_width: int  # hidden width of the feed-forward layers
    dropout: float  # everywhere: attention maps, residuals, feed-forward, heads, the audio branch
    text_dropout: float  # of the word and sentence vectors as they come in; text is learned by heart first
    modality_dropout: float  # share of training utterances that lose one of their modalities, drawn anew each time
    guides: tuple[str, str]  # who guides in fusion 1 ("words" or "audio") and in fusion 2 ("fused" or "bert")
    guided_by: str  # "final": the guide's last layer; "same_depth": its layer of the same depth
    both_guide: bool  # let each modality guide the other, not one of them only
    pool: str  # tokens -> one vector: "attention" or "mean"
    head_layers: int  # linear layers of predictor and projector: 2 (one hidden) or 1
    projection: int  # width of the projection that SupCon sees

    # The loss
    alpha: float  # weight of SupCon in (CE + alpha SupCon) / (1 + alpha); 0 switches it off
    temperature: float  # tau
    base_temperature: float  # the loss is multiplied by tau / base_temperature
    normalize: bool  # scale projections to length one before their dot products
    anchors: str  # average over "positives" (anchors that have one) or "all" anchors
    views: int  # forward passes of each utterance in a step, told apart by dropout alone
    queue: int  # labelled keys remembered from earlier batches (MoCo); 0: none
    momentum: float  # of the MoCo key encoder
    own_copies: bool  # may an anchor meet its own older keys in the queue?

    # The training
    optimizer: str  # "adam" or "adamw"
    lr: float  # peak learning rate
    weight_decay: float
    schedule: str  # "constant" or "cosine" (linear warm-up, then a half cosine down to 0)
    warmup: float  # share of the steps spent warming up
    epochs: int
    batch_size: int
    clip: float  # largest norm of the gradient; 0: no limit
    patience: int  # epochs without a better validation score before stopping
    select: str  # validation score that picks the epoch: "ua", "wa", "f1_weighted", "f1_macro"
    augment: int = 0  # altered versions of each training clip (noise, pitch, tempo); an epoch draws one of them or the clip itself

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if (value := getattr(self, name)) not in allowed:
                raise VcemoError(f"{name} is {value!r}", where="Settings", do=f"choose one of {', '.join(map(repr, allowed))}")
        unknown = set(self.modalities) - set(MODALITIES)
        if unknown or not self.modalities or len(set(self.modalities)) < len(self.modalities):
            raise VcemoError(f"modalities are {self.modalities!r}", where="Settings", do=f"name some of {MODALITIES}, each once")
        if self.width % self.heads:
            raise VcemoError(f"width {self.width} does not divide by {self.heads} heads", where="Settings", do="change one of them")
        if len(self.conv_channels) != len(self.conv_strides):
            raise VcemoError("conv_channels and conv_strides differ in length", where="Settings", do="give one stride a block")
        for name in ("classes", "layers", "length", "epochs", "batch_size", "temperature", "lr"):
            if not getattr(self, name) > 0:
                raise VcemoError(f"{name} is {getattr(self, name)}", where="Settings", do="give a number above zero")
        for name in ("dropout", "text_dropout", "modality_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise VcemoError(f"{name} is {getattr(self, name)}", where="Settings", do="give a share from 0 to below 1")
        if not 0 <= self.momentum <= 1:
            raise VcemoError(f"momentum is {self.momentum}", where="Settings", do="give a share from 0 to 1")
        for name in ("alpha", "queue", "augment"):
            if getattr(self, name) < 0:
                raise VcemoError(f"{name} is {getattr(self, name)}", where="Settings", do="give 0 or more")

    @property
    def kinds(self) -> dict[str, tuple[str, ...]]:
        """The kinds of features that each modality reads."""
        acoustic = ("mel", "whisper") if self.acoustic == "both" else (self.acoustic,)
        return {"audio": acoustic, "words": ("words",), "bert": ("bert",)}

    def but(self, **changes: Any) -> Settings:
        """A copy with some fields changed; a name that does not exist is refused."""
        if unknown := changes.keys() - {f.name for f in fields(self)}:
            raise VcemoError(f"no setting is called {', '.join(sorted(unknown))}", do="see the fields of vcemo_lib.models.Settings")
        return replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """All fields as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Settings:
        """The inverse of `as_dict`, also after a trip through JSON (lists become tuples again)."""
        def frozen(value: Any) -> Any:
            return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value

        return cls(**{name: frozen(value) for name, value in values.items()})


_CHOICES: dict[str, tuple] = {
    "acoustic": ("mel", "whisper", "both"),
    "bert": ("cls", "mean", "tokens"),
    "guides": (("words", "fused"), ("audio", "fused"), ("words", "bert"), ("audio", "bert")),
    "guided_by": ("final", "same_depth"),
    "pool": ("attention", "mean"),
    "head_layers": (1, 2),
    "anchors": ("positives", "all"),
    "views": (1, 2),
    "optimizer": ("adam", "adamw"),
    "schedule": ("constant", "cosine"),
    "select": ("ua", "wa", "f1_weighted", "f1_macro"),
}


def paper(classes: int = 6, corpus: str = "vcemo", **changes: Any) -> Settings:
    """The paper's experiment on "vcemo" or on "iemocap"; what it leaves open follows MCAN (its reference 23)."""
    if corpus not in ("vcemo", "iemocap"):
        raise VcemoError(f"the paper has no corpus {corpus!r}", do="choose 'vcemo' or 'iemocap'")
    iemocap = corpus == "iemocap"
    settings = Settings(
        classes=classes,  # 4.2: six emotions, or the usual four
        modalities=MODALITIES,  # 3.1
        acoustic="mel",  # 3.1: the mel-spectrogram
        bert="cls",  # 3.2: "a 768-dimensional vector", so one a sentence
        bert_width=768,  # 3.2
        speaker_norm=False,  # open: not mentioned
        audio_pool=(1, 1),  # open: no pooling is mentioned
        conv_channels=(32, 64, 64),  # 3.2 "Conv-BatchNorm-ReLU" in "time and frequency"; number and size open
        conv_strides=((2, 2), (2, 2), (2, 2)),  # open
        lstm_both_ways=True,  # 3.2 "an LSTM layer"; direction open
        length=32,  # 3.3 adds the two element by element, so they must be equally long; how is open
        width=512,  # open: MCAN
        heads=8,  # open: MCAN
        layers=6,  # open: MCAN
        ff_width=2048,  # open: MCAN
        dropout=0.1,  # open: MCAN
        text_dropout=0.1,  # open: as the rest
        modality_dropout=0.0,  # open: not mentioned
        guides=("words", "fused"),  # 3.3 "the first modality" guides the second; which is first in fusion 1 is open
        guided_by="final",  # 3.3 "the final output of the self-attention layers"
        both_guide=False,  # 3.3 "to each modality" could mean True; Fig. 2 and reference 23 go one way
        pool="attention",  # open: MCAN
        head_layers=2,  # 3.3 "two-layer MLP"; 3.4 calls the same "one-layer", read as one hidden layer
        projection=128,  # 4.2
        alpha=100.0 if iemocap else 0.1,  # 4.2
        temperature=1.0,  # 4.2
        base_temperature=1.0,  # 3.4: the equation has no such factor (the reference code's 0.07 would make it 14)
        normalize=True,  # 3.4 follows reference 7, which normalises
        anchors="positives",  # 3.4 prints a sum; with alpha = 100 only a mean makes sense
        views=2 if iemocap else 1,  # 3.5 "we run the prediction twice", on IEMOCAP
        queue=16_384 if iemocap else 0,  # 3.5 "MoCo with size 16384", in the same sentence
        momentum=0.999,  # open: MoCo (reference 6)
        own_copies=True,  # open: MoCo does not tell them apart
        optimizer="adam",  # 4.2
        lr=1e-4 if iemocap else 1e-5,  # 4.2
        weight_decay=0.0 if iemocap else 1e-3,  # 4.2
        schedule="constant",  # open: none is mentioned
        warmup=0.0,  # open
        epochs=50,  # 4.2 "50 steps"; fifty updates would not even fill the queue
        batch_size=256,  # 4.2
        clip=0.0,  # open
        patience=50,  # 4.3 picks the epoch on the validation part, stops early nowhere
        select="wa",  # 4.3: accuracy
        augment=1,  # 4.2: noise at 30 dB SNR, pitch shift, time stretch; how often and how much is open
    )
    return settings.but(**changes)


def tutorial(classes: int = 6, **changes: Any) -> Settings:
    """The same model, small enough to train on two processor cores while the reader waits."""
    return paper(classes).but(
        **{
            "bert": "tokens",  # guided attention over a single vector could only add a constant
            "bert_width": 384,  # the bundled encoder
            "speaker_norm": True,  # speakers differ more than emotions do
            "audio_pool": (8, 2),  # 80 ms and 40 bands: at 40 ms the voice alone scored alike on validation and took a third longer
            "conv_channels": (16, 16),
            "conv_strides": ((2, 2), (2, 1)),
            "lstm_both_ways": False,
            "length": 8,
            "width": 64,
            "heads": 4,
            "layers": 1,
            "ff_width": 128,
            "dropout": 0.15,
            "text_dropout": 0.5,
            "modality_dropout": 0.4,  # else the voice, learned first, keeps the words from being learned
            "optimizer": "adamw",
            "lr": 1.5e-3,  # the paper's 1e-5 is too small to train this from nothing
            "weight_decay": 1e-2,
            "schedule": "cosine",
            "warmup": 0.15,
            "epochs": 16,
            "batch_size": 64,
            "clip": 1.0,
            "patience": 16,
            "select": "ua",  # every emotion counts the same
            "augment": 0,  # minutes of phase vocoder for a run of seconds
            **changes,
        }
    )
