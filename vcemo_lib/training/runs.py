"""A trained model and its predictions: `Run` and `Predictions`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from vcemo_lib.errors import VcemoError
from vcemo_lib.evaluation import intervals, scores
from vcemo_lib.loading import InMemoryDataset, Scaler, gather
from vcemo_lib.models import Settings, model_class
from vcemo_lib.provenance import Recipe
from vcemo_lib.training import checkpoint

EVAL_BATCH = 256  # utterances; no gradients are kept, so more fit than in training
RUN_FILE = "run.safetensors"


def device() -> torch.device:
    """Where to compute: an NVIDIA GPU, else Apple's, else the processor."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def autocast(where: torch.device) -> torch.autocast:
    """bfloat16 for the large products on an NVIDIA GPU; nothing elsewhere."""
    return torch.autocast(where.type, torch.bfloat16, enabled=where.type == "cuda")


@dataclass
class Predictions:
    """A model's answers for the N utterances of a part."""

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

    def intervals(self) -> pd.DataFrame:
        """The scores of this one run with 95 % intervals over speakers (see `evaluation.intervals`)."""
        return intervals(self.y_true, self.y_pred, self.speakers, classes=self.classes)

    def as_dict(self) -> dict[str, Any]:
        """Who was answered what, as plain values for a result file."""
        told = {"ids": self.ids, "speakers": self.speakers.tolist(), "classes": list(self.classes)}
        return told | {"y_true": self.y_true.tolist(), "y_pred": self.y_pred.tolist()}

    @property
    def table(self) -> pd.DataFrame:
        """One row an utterance: speaker, emotion, predicted, and the probability of each emotion."""
        name = np.asarray(self.classes)
        columns = {"speaker": self.speakers, "emotion": name[self.y_true], "predicted": name[self.y_pred]}
        columns |= dict(zip(self.classes, self.probabilities.T, strict=True))
        return pd.DataFrame(columns, pd.Index(self.ids, name="utt_id"))


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
        features.append((output.logits if output.features is None else output.features).float().cpu())
    back = np.argsort(np.concatenate(order))
    probabilities = F.softmax(torch.cat(logits), dim=-1).numpy()[back]  # (N, C)
    y_true, y_pred = part.labels.cpu().numpy(), probabilities.argmax(1)
    embedding = torch.cat(features).numpy()[back]  # (N, d)
    return Predictions(part.ids, classes, y_true, y_pred, probabilities, embedding, part.speakers)


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
    recipe: Recipe | None = None  # what made it; a file of an earlier version has none
    store: Any = field(default=None, repr=False)

    @property
    def settings(self) -> Settings:
        return self.model.settings

    def predict(self, part: Any, store: Any = None) -> Predictions:
        """Predictions for a corpus part, from the store that trained the model or one of features made alike.

        A speaker met in training, validation or test keeps the statistics found then; a stranger is measured
        by the clips given here (see `Scaler.adapted`), and nothing is kept for the next call. Other words
        (ASR, say) are taken, another encoder is refused.
        """
        if (store := store or self.store) is None:
            raise VcemoError("no feature store to predict from", do="give one: run.predict(part, store)")
        known = self.scaler.by_speaker
        if self.recipe:
            self.recipe.require_features(store)
            known = known if self.recipe.knows(part) else {}  # speakers of equal names are other people
        features = gather(store, part, kinds_of(self.model))
        strangers = set(features.speakers) - known.keys() if self.settings.speaker_norm is True else ()
        clips_of = {name: np.flatnonzero(features.speakers == name) for name in strangers}
        adapted = self.scaler.adapted(features, clips_of)
        scaler = replace(adapted, by_speaker=known | adapted.by_speaker)
        return predict(self.model, scaler.apply(features), self.classes)

    def made_by(self, kind: str) -> dict[str, Any]:
        """The settings of `features.compute` by which a kind of feature was made for this run."""
        made = self.recipe.features["kinds"] if self.recipe else {}
        return made.get(kind, {}).get("settings", {})

    def save(self, folder: Path | str) -> Path:
        """Write `run.safetensors` (weights, statistics, settings, history) into a folder."""
        speakers = sorted(self.scaler.by_speaker)
        moments = {f"overall.{kind}": m for kind, m in self.scaler.overall.items()}
        for i, speaker in enumerate(speakers):
            moments |= {f"speaker.{i}.{kind}": m for kind, m in self.scaler.by_speaker[speaker].items()}
        tensors = checkpoint.prefixed("model", self.model.state_dict())
        tensors |= {name: torch.stack(m) for name, m in moments.items()}  # (2, width)
        facts = {name: getattr(self, name) for name in ("best_epoch", "seconds", "seed")} | {
            "recipe": self.recipe and asdict(self.recipe),
            "name": self.model.name, "settings": self.settings.as_dict(), "widths": dict(self.model.widths),
            "history": self.history.reset_index().to_dict("list"), "classes": list(self.classes),
            "speakers": speakers,
        }  # fmt: skip
        return checkpoint.save(Path(folder) / RUN_FILE, tensors, facts)

    @classmethod
    def load(cls, folder: Path | str, store: Any = None) -> Run:
        """Read what `save` wrote: the folder, or the file itself. Raises VcemoError for any other content."""
        path = Path(folder) / RUN_FILE if Path(folder).is_dir() else Path(folder)
        tensors, facts = checkpoint.load(path)
        if broken := [name for name, t in tensors.items() if not t.isfinite().all()]:
            what = f"{len(broken)} tensors are not finite, such as {broken[0]}"
            raise VcemoError(what, where=path, do="train again")
        try:
            with torch.device("meta"):  # no memory is touched before the weights are known to fit
                settings = Settings.from_dict(facts["settings"])
                model = model_class(facts["name"])(settings, dict(facts["widths"]))
            model.to_empty(device=device()).load_state_dict(checkpoint.under("model", tensors))
            of = {s: checkpoint.under(f"speaker.{i}", tensors) for i, s in enumerate(facts["speakers"])}
            by_speaker = {s: {kind: (t[0], t[1]) for kind, t in each.items()} for s, each in of.items()}
            overall = {kind: (t[0], t[1]) for kind, t in checkpoint.under("overall", tensors).items()}
            plain = {name: facts[name] for name in ("best_epoch", "seconds", "seed")}
            plain["recipe"] = Recipe(**facts["recipe"]) if facts.get("recipe") else None
            history = pd.DataFrame(facts["history"]).set_index("epoch")
            scaler = Scaler(overall, by_speaker)
            return cls(model.eval(), scaler, history, classes=tuple(facts["classes"]), store=store, **plain)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, VcemoError) as error:
            what = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise VcemoError(f"this file does not describe a run ({what})", where=path) from error
