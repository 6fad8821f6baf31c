"""A trained model and what it says: `Run` and `Predictions`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from vcemo_lib.errors import VcemoError
from vcemo_lib.evaluation import bootstrap, scores
from vcemo_lib.loading import InMemoryDataset, Scaler, gather
from vcemo_lib.models import Settings, build
from vcemo_lib.training import checkpoint

if TYPE_CHECKING:
    import pandas as pd

EVAL_BATCH = 256  # utterances; no gradients are kept, so more fit than in training


def device(name: str | None = None) -> torch.device:
    """Where to compute: `name` if given, else an NVIDIA GPU, else Apple's, else the processor."""
    if name:
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def autocast(where: torch.device) -> torch.autocast:
    """bfloat16 for the large products on an NVIDIA GPU; nothing elsewhere."""
    return torch.autocast(where.type, torch.bfloat16, enabled=where.type == "cuda")


@dataclass
class Predictions:
    """What a model says about the N utterances of a part."""

    ids: list[str]
    classes: tuple[str, ...]
    y_true: np.ndarray  # (N,) class indices
    y_pred: np.ndarray  # (N,)
    probabilities: np.ndarray  # (N, C)
    features: np.ndarray  # (N, d), before the heads: for an embedding plot
    speakers: np.ndarray  # (N,)

    def scores(self) -> dict[str, float]:
        """WA, UA, weighted and macro F1."""
        return scores(self.y_true, self.y_pred, self.classes)

    def loss(self) -> float:
        """Mean cross-entropy."""
        return float(-np.log(self.probabilities[np.arange(len(self.ids)), self.y_true].clip(1e-12)).mean())

    def intervals(self, n: int = 2000, seed: int = 0) -> pd.DataFrame:
        """The scores with 95 % intervals from resampled speakers."""
        return bootstrap(self.y_true, self.y_pred, self.speakers, n, seed, classes=self.classes)

    @property
    def table(self) -> pd.DataFrame:
        """One row an utterance: speaker, emotion, predicted, and the probability of each emotion."""
        import pandas as pd

        name = np.asarray(self.classes)
        said = pd.DataFrame({"speaker": self.speakers, "emotion": name[self.y_true], "predicted": name[self.y_pred]}, self.ids)
        return said.join(pd.DataFrame(self.probabilities, self.ids, self.classes)).rename_axis("utt_id")


@torch.inference_mode()
def predict(model: nn.Module, part: InMemoryDataset, classes: tuple[str, ...]) -> Predictions:
    """Run a model over scaled features, in order of length, and put the answers back in the part's order."""
    where = next(model.parameters()).device
    model.eval()
    part = part.to(where)
    order, logits, features = [], [], []
    for index in part.plan(EVAL_BATCH):
        with autocast(where):
            output = model(part.batch(index))
        order.append(index)
        logits.append(output.logits.float().cpu())
        features.append(torch.empty(len(index), 0) if output.features is None else output.features.float().cpu())
    back = np.argsort(np.concatenate(order))
    probabilities = F.softmax(torch.cat(logits), dim=-1).numpy()[back]  # (N, C)
    return Predictions(part.ids, classes, part.labels.cpu().numpy(), probabilities.argmax(1), probabilities,
                       torch.cat(features).numpy()[back], part.speakers)  # fmt: skip


def kinds_of(model: nn.Module) -> list[str]:
    """The features that a model reads, the longest sequence first."""
    return [*(model.kinds[m] for m in model.settings.modalities), *getattr(model, "also_reads", ())]


@dataclass
class Run:
    """A trained model (the weights of its best epoch) and how it got there."""

    model: nn.Module
    scaler: Scaler
    history: pd.DataFrame  # one row an epoch: loss, ce, supcon, val_loss, val_wa, val_ua, ..., seconds
    best_epoch: int
    seconds: float  # training time in all
    seed: int
    classes: tuple[str, ...]
    identity: str = ""  # digest of model, settings, seed and data
    store: Any = field(default=None, repr=False)

    @property
    def settings(self) -> Settings:
        return self.model.settings

    def predict(self, part: Any, store: Any = None) -> Predictions:
        """Predictions for a corpus part, from the store that trained the model or from another one.

        A speaker met in training, validation or test keeps the statistics found then; another one's come
        from the clips given here.
        """
        if (store := store or self.store) is None:
            raise VcemoError("no feature store to predict from", do="give one: run.predict(part, store)")
        features = gather(store, part, kinds_of(self.model))
        if self.settings.speaker_norm:
            self.scaler.learn_speakers(features)
        return predict(self.model, self.scaler.apply(features), self.classes)

    def save(self, folder: Path | str) -> Path:
        """Write `run.safetensors` (weights, statistics, settings, history) into a folder."""
        speakers = sorted(self.scaler.by_speaker)
        tensors = checkpoint.prefixed("model", self.model.state_dict())
        tensors |= checkpoint.prefixed("overall", {k: torch.stack(m) for k, m in self.scaler.overall.items()})  # (2, width)
        for i, speaker in enumerate(speakers):
            tensors |= checkpoint.prefixed(f"speaker.{i}", {k: torch.stack(m) for k, m in self.scaler.by_speaker[speaker].items()})
        facts = {
            "name": self.model.name, "settings": self.settings.as_dict(), "widths": dict(self.model.widths),
            "history": self.history.reset_index().to_dict("list"), "best_epoch": self.best_epoch, "seed": self.seed,
            "seconds": self.seconds, "classes": list(self.classes), "speakers": speakers, "identity": self.identity,
        }  # fmt: skip
        return checkpoint.save(Path(folder) / "run.safetensors", tensors, facts)

    @classmethod
    def load(cls, folder: Path | str, store: Any = None) -> Run:
        """Read what `save` wrote: the folder, or the file itself."""
        import pandas as pd

        path = Path(folder)
        tensors, facts = checkpoint.load(path / "run.safetensors" if path.is_dir() else path)
        model = build(facts["name"], Settings.from_dict(facts["settings"]), facts["widths"])
        model.load_state_dict(checkpoint.under("model", tensors))
        overall = {kind: tuple(m) for kind, m in checkpoint.under("overall", tensors).items()}
        by_speaker = {s: {k: tuple(m) for k, m in checkpoint.under(f"speaker.{i}", tensors).items()} for i, s in enumerate(facts["speakers"])}
        return cls(
            model.to(device()).eval(), Scaler(overall, by_speaker), pd.DataFrame(facts["history"]).set_index("epoch"),
            facts["best_epoch"], facts["seconds"], facts["seed"], tuple(facts["classes"]), facts["identity"], store,
        )  # fmt: skip
