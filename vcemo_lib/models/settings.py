"""Every hyper-parameter of the model and of its training: `paper()` and `tutorial()`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Real
from typing import Any

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
    acoustic: str = "mel"  # "mel" (3.1), "whisper" (its encoder's frames), or "both", their tokens added
    bert: str = "cls"  # one vector a sentence, "cls" (3.2) or "mean"; "tokens": all of them
    bert_width: int = 768  # H, width of the sentence encoder (3.2)
    speaker_norm: bool = False  # standardise audio by each speaker's clips; no labels are used (open)

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
    text_dropout: float = 0.1  # of word and sentence vectors as they come in (open)
    modality_dropout: float = 0.0  # share of training utterances that lose one modality in a step (open)
    guides: tuple[str, str] = ("words", "fused")  # of fusion 1 ("audio"), of 2 ("bert") (open)
    guided_by: str = "final"  # the guide's "final" layer (3.3), or that of the "same_depth"
    bidirectional: bool = False  # each guides the other (3.3: "to each modality"; Fig. 2: one way)
    pool: str = "attention"  # tokens -> one vector: "attention" or "mean" (open)
    head_layers: int = 2  # linear layers of predictor and projector (3.3 "two-layer MLP"; 3.4 "one-layer")
    projection: int = 128  # width of what SupCon compares (4.2)

    # Loss
    alpha: float = 0.1  # weight of SupCon in (CE + alpha SupCon) / (1 + alpha); 0: none (4.2)
    temperature: float = 1.0  # tau (4.2)
    base_temperature: float = 1.0  # the loss is multiplied by tau / base_temperature (3.4: no such factor)
    normalize: bool = True  # projections of length one (3.4 follows reference 7, which does)
    anchors: str = "positives"  # mean over anchors that have a positive, or over "all" (3.4 prints a sum)
    views: int = 1  # forward passes of an utterance in a step, told apart by dropout (3.5: two, on IEMOCAP)
    queue: int = 0  # keys of earlier batches with their labels, MoCo (3.5: 16384, on IEMOCAP); 0: none
    momentum: float = 0.999  # of MoCo's key encoder (open: MoCo)
    allow_own_keys: bool = True  # an anchor may meet its own older keys in the queue (open: MoCo)

    # Training
    optimizer: str = "adam"  # or "adamw" (4.2)
    lr: float = 1e-5  # the highest learning rate (4.2)
    weight_decay: float = 1e-3  # 4.2
    schedule: str = "constant"  # or "cosine": linear warm-up, then half a cosine down to 0 (open)
    warmup: float = 0.0  # share of the steps that warm up (open)
    epochs: int = 50  # 4.2: "50 steps"; fifty updates would not even fill the queue
    batch_size: int = 256  # 4.2
    clip: float = 0.0  # largest norm of the gradient; 0: no limit (open)
    patience: int = 50  # epochs without a better validation score before stopping (open: never)
    select: str = "wa"  # validation score that picks the epoch (4.3): "ua", "wa", "f1_weighted", "f1_macro"
    augment: int = 1  # altered versions of a clip: an epoch draws one, or the clip (3.5; number open)

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if (value := getattr(self, name)) not in choices:
                raise wrong(name, value, f"choose one of {', '.join(map(repr, choices))}")
        for name, (low, high) in RANGES.items():
            if not within(value := getattr(self, name), low, high):
                number = "whole number" if isinstance(low, int) else "number"
                raise wrong(name, value, f"give a {number} from {low} to {high}")
        if not self.modalities or len({*self.modalities} & {*MODALITIES}) != len(self.modalities):
            raise wrong("modalities", self.modalities, f"name some of {MODALITIES}, each once")
        if self.width % self.heads:
            raise wrong("width", self.width, f"it must divide by heads ({self.heads})")
        if len(self.conv_channels) != len(self.conv_strides):
            raise wrong("conv_strides", self.conv_strides, "give one stride for each of conv_channels")

    @property
    def kinds(self) -> dict[str, tuple[str, ...]]:
        """The kinds of features that each modality reads."""
        acoustic = ("mel", "whisper") if self.acoustic == "both" else (self.acoustic,)
        return {"audio": acoustic, "words": ("words",), "bert": ("bert",)}

    def but(self, **changes: Any) -> Settings:
        """A copy with some fields changed."""
        if unknown := changes.keys() - asdict(self).keys():
            raise VcemoError(f"no setting is called {', '.join(sorted(unknown))}", do="see models.Settings")
        return replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """All fields as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Settings:
        """The inverse of `as_dict`, also after JSON and under the names of earlier versions."""
        known = {RENAMED.get(name, name): frozen(value) for name, value in values.items()}
        if differ := known.keys() ^ {f.name for f in fields(cls)}:
            raise VcemoError(f"missing or unknown settings: {', '.join(sorted(differ))}", where="Settings",
                             do="read them with the version of vcemo_lib that wrote them")  # fmt: skip
        return cls(**known)


RENAMED = {  # earlier names, which stored runs carry
    "own_copies": "allow_own_keys", "both_guide": "bidirectional", "lstm_both_ways": "lstm_bidirectional",
}  # fmt: skip
CHOICES: dict[str, tuple] = {
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
for switch in ("speaker_norm", "lstm_bidirectional", "bidirectional", "normalize", "allow_own_keys"):
    CHOICES[switch] = (True, False)
# Whole numbers have whole bounds; a tuple's numbers all lie within. Upper limits are there so that settings
# from a stranger's file cannot demand any memory or time.
RANGES: dict[str, tuple[float, float]] = {
    "classes": (1, 2**16), "bert_width": (1, 2**16), "width": (1, 2**16), "ff_width": (1, 2**16),
    "projection": (1, 2**16), "audio_pool": (1, 1024), "conv_channels": (1, 1024), "conv_strides": (1, 1024),
    "length": (1, 4096), "heads": (1, 1024), "layers": (1, 100), "queue": (0, 2**24), "augment": (0, 1000),
    "epochs": (1, 10**7), "batch_size": (1, 10**7), "patience": (0, 10**7),
    "dropout": (0.0, 0.99), "text_dropout": (0.0, 0.99), "modality_dropout": (0.0, 0.99),
    "momentum": (0.0, 1.0), "warmup": (0.0, 1.0), "alpha": (0.0, 1e9), "clip": (0.0, 1e9),
    "temperature": (1e-9, 1e9), "base_temperature": (1e-9, 1e9),
    "lr": (0.0, 1e38), "weight_decay": (0.0, 1e9),
}  # fmt: skip


def within(value: Any, low: float, high: float) -> bool:
    """Is it a number from low to high, a whole one if `low` is, or a short tuple (of tuples) of such?"""
    if isinstance(value, tuple | list):
        return 0 < len(value) <= 32 and all(within(v, low, high) for v in value)
    kind = Integral if isinstance(low, int) else Real
    return isinstance(value, kind) and not isinstance(value, bool) and low <= value <= high


def frozen(value: Any) -> Any:
    """JSON's lists as the tuples they were."""
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


def wrong(name: str, value: Any, remedy: str) -> VcemoError:
    return VcemoError(f"{name} is {value!r}", where="Settings", do=remedy)


def paper(classes: int = 6, corpus: str = "vcemo", **changes: Any) -> Settings:
    """The paper's experiment on "vcemo" or on "iemocap" (4.2 and 3.5)."""
    if corpus not in ("vcemo", "iemocap"):
        raise VcemoError(f"the paper has no corpus {corpus!r}", do="choose 'vcemo' or 'iemocap'")
    iemocap = {"alpha": 100.0, "lr": 1e-4, "weight_decay": 0.0, "views": 2, "queue": 16_384}
    return Settings(classes).but(**(iemocap if corpus == "iemocap" else {}) | changes)


def tutorial(classes: int = 6, **changes: Any) -> Settings:
    """The same model, small enough to train on two processor cores while the reader waits."""
    small = Settings(
        bert="tokens",  # guided attention over a single vector could only add a constant
        bert_width=384,  # the bundled encoder
        speaker_norm=True,  # speakers differ more than emotions do
        audio_pool=(8, 2),  # 80 ms, 40 bands: on validation as good as 40 ms, in two thirds of the time
        conv_channels=(16, 16), conv_strides=((2, 2), (2, 1)), lstm_bidirectional=False,
        length=8, width=64, heads=4, layers=1, ff_width=128,
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
