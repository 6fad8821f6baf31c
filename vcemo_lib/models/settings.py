"""Every hyper-parameter of the model and of its training: `paper()` and `tutorial()`."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from vcemo_lib.errors import VcemoError

MODALITIES = ("audio", "words", "bert")


@dataclass(frozen=True)
class Settings:
    """One experiment, whole. Change a copy with `settings.but(alpha=0)`.

    The defaults are the paper's on its own corpus, each with its section. "open": the paper does not say; the
    value is that of MCAN (its reference 23) or ours, and docs/readings.md gives the reason.
    """

    # Inputs
    classes: int = 6  # emotions to tell apart (4.2: six, or the usual four)
    modalities: tuple[str, ...] = MODALITIES  # any of them, one at least (3.1)
    acoustic: Literal["mel", "whisper", "both"] = "mel"  # log-mel (3.1), Whisper's frames; both: added
    bert: Literal["cls", "mean", "tokens"] = "cls"  # one vector a sentence (3.2), or all "tokens"
    bert_width: int = 768  # H, width of the sentence encoder (3.2)
    # Standardise audio by each speaker's clips, without labels (open). "mixed": in training by none, a few or
    # all of them, drawn anew each epoch, so that one model judges strangers and voices heard before.
    speaker_norm: Literal[False, True, "mixed"] = False

    # Branches
    audio_pool: tuple[int, int] = (1, 1)  # average so many frames and mel bands before anything else (open)
    conv_channels: tuple[int, ...] = (32, 64, 64)  # of each Conv-BatchNorm-ReLU block (3.2; sizes open)
    conv_strides: tuple[tuple[int, int], ...] = ((2, 2), (2, 2), (2, 2))  # time, frequency (open)
    lstm_bidirectional: bool = True  # 3.2: "an LSTM layer" (direction open)
    length: int = 32  # audio and words are averaged to so many steps: 3.3 adds them (how is open)

    # Fusion
    width: int = 512  # d, channels of a token (open)
    heads: int = 8  # of attention, with d / heads channels each (open)
    layers: int = 6  # depth of each co-attention stack (open)
    ff_width: int = 2048  # hidden width of the feed-forward layers (open)
    dropout: float = 0.1  # attention maps, residuals, feed-forward, heads, audio branch (open)
    text_dropout: float = 0.1  # of word and sentence vectors and of `statistics` as they come in (open)
    modality_dropout: float = 0.0  # share of training utterances that lose one modality in a step (open)
    guides: tuple[Literal["words", "audio"], Literal["fused", "bert"]] = ("words", "fused")  # of 1, 2 (open)
    guided_by: Literal["final", "same_depth"] = "final"  # the guide's final layer (3.3), or its own depth's
    bidirectional: bool = False  # each guides the other (3.3: "to each modality"; Fig. 2: one way)
    pool: Literal["attention", "mean"] = "attention"  # tokens -> one vector (open)
    statistics: bool = False  # add to that vector what is linear in the sound's mean and deviation (ours)
    head_layers: Literal[1, 2] = 2  # of predictor and projector (3.3 "two-layer MLP"; 3.4 "one-layer")
    projection: int = 128  # width of what SupCon compares (4.2)

    # Loss
    alpha: float = 0.1  # weight of SupCon in (CE + alpha SupCon) / (1 + alpha); 0: none (4.2)
    temperature: float = 1.0  # tau (4.2)
    base_temperature: float = 1.0  # the loss is multiplied by tau / base_temperature (3.4: no such factor)
    normalize: bool = True  # projections of length one (3.4 follows reference 7, which does)
    anchors: Literal["positives", "all"] = "positives"  # mean over those with a positive (3.4 prints a sum)
    views: Literal[1, 2] = 1  # forward passes of an utterance, apart by dropout (3.5: two, on IEMOCAP)
    queue: int = 0  # keys of earlier batches with their labels, MoCo (3.5: 16384, on IEMOCAP); 0: none
    momentum: float = 0.999  # of MoCo's key encoder (open: MoCo)
    allow_own_keys: bool = True  # an anchor may meet its own older keys in the queue (open: MoCo)

    # Training
    optimizer: Literal["adam", "adamw"] = "adam"  # (4.2)
    lr: float = 1e-5  # the highest learning rate (4.2)
    weight_decay: float = 1e-3  # 4.2
    schedule: Literal["constant", "cosine"] = "constant"  # cosine: after a linear warm-up, to 0 (open)
    warmup: float = 0.0  # share of the steps that warm up (open)
    epochs: int = 50  # 4.2: "50 steps"; fifty updates would not even fill the queue
    batch_size: int = 256  # 4.2
    clip: float = 0.0  # largest norm of the gradient; 0: no limit (open)
    patience: int = 50  # epochs without a better validation score before stopping (open: never)
    select: Literal["ua", "wa", "f1_weighted", "f1_macro"] = "wa"  # validation score: best epoch (4.3)
    augment: int = 1  # altered versions of a clip: an epoch draws one, or the clip (3.5; number open)

    def __post_init__(self) -> None:
        def check(good: bool, name: str, remedy: str) -> None:
            if not good:
                raise VcemoError(f"{name} is {getattr(self, name)!r}", where="Settings", do=remedy)

        for name, choices in CHOICES.items():
            check(getattr(self, name) in choices, name, f"choose one of {', '.join(map(repr, choices))}")
        for name, (low, high) in RANGES.items():
            number = "whole number" if isinstance(low, int) else "number"
            check(within(getattr(self, name), low, high), name, f"give a {number} from {low} to {high}")
        known = len({*self.modalities} & {*MODALITIES})
        check(0 < known == len(self.modalities), "modalities", f"name some of {MODALITIES}, each once")
        check(self.width % self.heads == 0, "width", f"it must divide by heads ({self.heads})")
        same = len(self.conv_channels) == len(self.conv_strides)
        check(same, "conv_strides", "give one stride for each of conv_channels")

    @property
    def kinds(self) -> dict[str, tuple[str, ...]]:
        """The kinds of features that each modality reads."""
        acoustic = ("mel", "whisper") if self.acoustic == "both" else (self.acoustic,)
        return {"audio": acoustic, "words": ("words",), "bert": ("bert",)}

    def but(self, **changes: Any) -> Settings:
        """A copy with some fields changed."""
        return Settings.from_dict(asdict(self) | changes)

    def as_dict(self) -> dict[str, Any]:
        """All fields as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Settings:
        """The inverse of `as_dict`, also after JSON and under the names of earlier versions."""
        known = {RENAMED.get(name, name): frozen(value) for name, value in values.items()}
        if differ := known.keys() ^ {f.name for f in fields(cls)}:
            do = "see models.Settings; read a run with the version of vcemo_lib that wrote it"
            raise VcemoError(f"missing or unknown settings: {', '.join(sorted(differ))}", do=do)
        return cls(**known)


RENAMED = {  # earlier names, which stored runs carry
    "own_copies": "allow_own_keys", "both_guide": "bidirectional", "lstm_both_ways": "lstm_bidirectional",
}  # fmt: skip
HINTS = get_type_hints(Settings)
CHOICES: dict[str, tuple[Any, ...]]
CHOICES = {name: get_args(hint) for name, hint in HINTS.items() if get_origin(hint) is Literal}
CHOICES |= {name: (True, False) for name, hint in HINTS.items() if hint is bool}
CHOICES["guides"] = tuple(itertools.product(*map(get_args, get_args(HINTS["guides"]))))
# Whole numbers have whole bounds; a tuple's numbers all lie within. Upper limits are there so that settings
# from a stranger's file cannot demand any memory or time.
BOUNDS: dict[tuple[float, float], str] = {
    (1, 100): "layers", (1, 1024): "heads audio_pool conv_channels conv_strides", (1, 4096): "length",
    (1, 2**16): "classes bert_width width ff_width projection", (1, 10**7): "epochs batch_size",
    (0, 1000): "augment", (0, 10**7): "patience", (0, 2**24): "queue", (0.0, 1.0): "momentum warmup",
    (0.0, 0.99): "dropout text_dropout modality_dropout", (0.0, 1e9): "alpha clip weight_decay",
    (0.0, 1e38): "lr", (1e-9, 1e9): "temperature base_temperature",
}  # fmt: skip
RANGES = {name: bounds for bounds, names in BOUNDS.items() for name in names.split()}


def within(value: Any, low: float, high: float) -> bool:
    """Is it a number from low to high, a whole one if `low` is, or a short tuple (of tuples) of such?"""
    if isinstance(value, tuple | list):
        return 0 < len(value) <= 32 and all(within(v, low, high) for v in value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    return (whole or isinstance(value, float) and isinstance(low, float)) and low <= value <= high


def frozen(value: Any) -> Any:
    """JSON's lists as the tuples they were."""
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


def paper(classes: int = 6, corpus: str = "vcemo", **changes: Any) -> Settings:
    """The paper's experiment on "vcemo" or on "iemocap" (4.2 and 3.5)."""
    iemocap = {"alpha": 100.0, "lr": 1e-4, "weight_decay": 0.0, "views": 2, "queue": 16_384}
    if (own := {"vcemo": {}, "iemocap": iemocap}.get(corpus)) is None:
        raise VcemoError(f"the paper has no corpus {corpus!r}", do="choose 'vcemo' or 'iemocap'")
    return Settings(classes).but(**own | changes)


def tutorial(classes: int = 6, **changes: Any) -> Settings:
    """The same model, small enough to train on two processor cores while the reader waits."""
    small = Settings(
        bert="tokens",  # guided attention over a single vector could only add a constant
        bert_width=384,  # the bundled encoder
        speaker_norm=True,  # speakers differ more than emotions do
        audio_pool=(16, 2),  # 160 ms, 40 bands
        conv_channels=(16, 16), conv_strides=((1, 2), (1, 2)),  # time is kept: the LSTM needs its steps
        lstm_bidirectional=False,
        length=8, width=64, heads=4, ff_width=128,
        layers=2,  # with one, the guide's final layer would be its only one
        statistics=True,  # docs/straight_line.md
        dropout=0.15,
        text_dropout=0.5,  # text is learned by heart first
        modality_dropout=0.4,  # else the voice, learned first, keeps the words from being learned
        optimizer="adamw",
        lr=1.5e-3,  # the paper's 1e-5 is too small to train this from nothing
        weight_decay=1e-2, schedule="cosine", warmup=0.15, epochs=16, batch_size=64, clip=1.0, patience=16,
        select="ua",  # every emotion counts the same
        augment=0,  # minutes of phase vocoder for a run of seconds
    )  # fmt: skip
    return small.but(**{"classes": classes} | changes)
