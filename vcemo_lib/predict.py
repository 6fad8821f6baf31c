"""From a clip to an emotion, on this machine alone: `EmotionRecognizer.load().predict("clip.wav")`."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import pandas as pd
import torch

from vcemo_lib import audio, features, weights
from vcemo_lib.asr import Word, transcribe
from vcemo_lib.corpora import Corpus
from vcemo_lib.errors import VcemoError
from vcemo_lib.loading import InMemoryDataset, Ragged, gather
from vcemo_lib.models.vcemo import Output
from vcemo_lib.training.runs import RUN_FILE, Predictions, Run, autocast, kinds_of
from vcemo_lib.training.runs import predict as predict_part

BUNDLED = "recogniser"  # folder of data/models/: trained on VCEMO-Sim, so on simulated speech
SHORTEST_S = 0.3  # shorter than a syllable: nothing to hear
CLIPPED_SHARE = 0.005  # of the samples at full scale: the microphone was overdriven
LONGEST_S = 20.0  # longer than anything it learned from; BERT may not read all the words
STRANGER = "this model measures a voice against itself: give it other clips of this voice to enrol"

Clip = str | Path | np.ndarray
Names = Sequence[str]


@dataclass(frozen=True)
class Prediction:
    """A clip as it was heard, and the answer to it."""

    emotion: str
    probabilities: dict[str, float]
    transcript: str
    words: tuple[Word, ...]  # with their times (s); empty where the text was given
    seconds: float
    warnings: tuple[str, ...] = ()
    attention: dict[str, Any] = field(default_factory=dict, repr=False)  # see `course.listening`
    wave: np.ndarray | None = field(default=None, repr=False, compare=False)  # (N,) at 16 kHz

    def answered(self, classes: Names, probabilities: np.ndarray) -> Prediction:
        """The same clip with an answer: probabilities (C,) of classes."""
        shares = dict(zip(classes, (round(p, 4) for p in probabilities.tolist()), strict=True))
        return replace(self, emotion=classes[int(probabilities.argmax())], probabilities=shares)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without attention and sound."""
        plain = asdict(replace(self, wave=None))
        return {key: value for key, value in plain.items() if key not in ("attention", "wave")}


def checked(clip: Clip, name: str = "recording") -> tuple[np.ndarray, tuple[str, ...]]:
    """A clip's samples, (N,) at 16 kHz, and warnings. Raises VcemoError where there is nothing to judge."""
    wave = audio.load(clip)
    name = str(clip) if isinstance(clip, str | Path) else name
    if (seconds := len(wave) / audio.SAMPLE_RATE) < SHORTEST_S:
        raise VcemoError(f"the clip lasts {seconds:.2f} s", name, f"record at least {SHORTEST_S} s of speech")
    if audio.levels(wave).max() < audio.SILENT_DB:
        raise VcemoError("the clip is silent", name, "check the microphone, speak up and try again")
    if seconds > audio.MAX_UTTERANCE_SECONDS:
        raise VcemoError(f"the clip lasts {seconds:.0f} s", name, "cut it into sentences")
    clipped, warnings = float(np.mean(np.abs(wave) > 0.999)), []
    if clipped > CLIPPED_SHARE:
        warnings.append(f"{clipped:.1%} of the samples are clipped; move away from the microphone")
    if seconds > LONGEST_S:
        warnings.append(f"the clip lasts {seconds:.0f} s; cut it into sentences for a better answer")
    return wave, tuple(warnings)


class EmotionRecognizer:
    """A trained run and what it needs to judge new clips: a Whisper for the words, encoders for features."""

    def __init__(self, run: Run, whisper: str = "base") -> None:
        if not all(tensor.isfinite().all() for tensor in run.model.state_dict().values()):
            raise VcemoError("the model's weights are not all finite", do="restore its file, or train again")
        self.run, self.whisper, self.classes = run, whisper, run.classes
        self.modalities = run.settings.modalities
        self.scaler = replace(run.scaler, by_speaker={})  # for a stranger: as the training part

    @classmethod
    def load(cls, source: Path | str | None = None, whisper: str = "base") -> EmotionRecognizer:
        """The bundled recogniser, one saved in a folder, or one on the Hugging Face hub ("user/name")."""
        name = str(source or weights.bundled(BUNDLED))
        if not Path(name).exists() and name.count("/") == 1 and not name.startswith("."):
            name = str(weights.hub(name, RUN_FILE))
        return cls(Run.load(name), whisper)

    @overload
    def predict(  # type: ignore[overload-overlap]
        self, clips: Clip, text: str | None = ..., mute: Names = ..., enrol: Sequence[Clip] = ...
    ) -> Prediction: ...
    @overload
    def predict(
        self, clips: Sequence[Clip], text: Names | None = ..., mute: Names = ..., enrol: Sequence[Clip] = ...
    ) -> list[Prediction]: ...
    def predict(self, clips: Any, text: Any = None, mute: Names = (), enrol: Sequence[Clip] = ()) -> Any:
        """The emotion of a clip, or of each of a list: a path, or samples (N,) at 16 kHz.

        text  the transcript, where it is known; else Whisper makes one
        mute  modalities the model must do without: "audio", "words", "bert"
        enrol other clips of the same voice, without labels: what the clips are measured against (`enrolled`)
        Raises VcemoError for a clip that is unreadable, silent, too short or not finite.
        """
        if isinstance(clips, str | Path | np.ndarray):
            return self.predict([clips], None if text is None else [text], mute, enrol)[0]
        if len(enrol):
            return self.enrolled(enrol).predict(clips, text, mute)
        answers = []
        for clip in self.hear(clips, text):  # one by one: an answer does not depend on the other clips
            part = self.scaled(self.arrays([np.asarray(clip.wave)], [clip.transcript]), mute)
            answers.append(clip.answered(self.classes, self.judge(part, [0])[0][0]))
        return answers

    def enrolled(self, clips: Sequence[Clip]) -> EmotionRecognizer:
        """This recogniser for one voice, known by these clips: what follows is scaled by their statistics."""
        made = self.arrays([checked(clip)[0] for clip in clips], [""] * len(clips))
        own = copy.copy(self)
        own.scaler = self.scaler.adapted(self._part(made), {"": range(len(clips))})
        return own

    def hear(self, clips: Sequence[Clip], texts: Names | None, keep: bool = True) -> list[Prediction]:
        """Clips with their transcripts, without an answer; `keep`: Whisper's may stay in the cache."""
        if texts is not None and len(texts) != len(clips):
            raise VcemoError(f"{len(texts)} texts for {len(clips)} clips", do="give one text a clip")
        waves, warnings = [*zip(*map(checked, clips), strict=True)] or [(), ()]
        if self.run.settings.speaker_norm and not self.scaler.by_speaker:
            warnings = [(*told, STRANGER) for told in warnings]
        heard: list[tuple[str, tuple[Word, ...]]] = [(line, ()) for line in texts or [""] * len(clips)]
        if texts is None and {"words", "bert"} & set(self.modalities):
            found = transcribe(waves, self.whisper, word_times=True, progress=False, cache=keep)
            heard = [(transcript.text, transcript.words or ()) for transcript in found]
        seconds = [round(len(wave) / audio.SAMPLE_RATE, 3) for wave in waves]
        return [
            Prediction("", {}, *words, length, told, wave=wave)
            for words, length, told, wave in zip(heard, seconds, warnings, waves, strict=True)
        ]

    def arrays(self, waves: Sequence[np.ndarray], texts: Sequence[str]) -> dict[str, list[np.ndarray]]:
        """The features of clips and their words, unscaled: kind -> one (rows, width) a clip."""
        contents = {"audio": waves, "text": texts, "both": list(zip(waves, texts, strict=False))}
        kinds = {kind: features.KINDS[kind] for kind in kinds_of(self.run.model)}
        made_by = self.run.made_by
        return {name: kind.make(contents[kind.of], **made_by(name)) for name, kind in kinds.items()}

    def scaled(self, arrays: Mapping[str, Sequence[np.ndarray]], mute: Sequence[str] = ()) -> InMemoryDataset:
        """Features as the model wants them, and which modalities it must do without."""
        if unknown := set(mute) - set(self.modalities):
            what = f"there is no modality {', '.join(sorted(unknown))} to mute"
            raise VcemoError(what, do=f"this model has {', '.join(self.modalities)}")
        return self.scaler.apply(replace(self._part(arrays), muted=tuple(mute)))

    @staticmethod
    def _part(arrays: Mapping[str, Sequence[np.ndarray]]) -> InMemoryDataset:
        """Clips of one voice, which has no name."""
        kinds, nobody = {}, [""] * len(next(iter(arrays.values())))
        for kind, made in arrays.items():
            rows = torch.from_numpy(np.concatenate(made).astype(np.float32))
            kinds[kind] = Ragged.of(rows.half(), torch.tensor([len(array) for array in made]))
        return InMemoryDataset(nobody, torch.zeros(len(nobody)).long(), np.array(nobody), kinds)

    def judge(self, part: InMemoryDataset, which: Sequence[int]) -> tuple[np.ndarray, Output]:
        """Probabilities (n, C) of n clips of scaled features, and the model's output, in one forward pass."""
        where = next(self.run.model.parameters()).device
        with torch.inference_mode(), autocast(where):
            output = self.run.model.eval()(part.to(where).batch(np.asarray(which)))
        probabilities = output.logits.float().softmax(-1).cpu().numpy()
        if not np.isfinite(probabilities).all():  # absurd samples in the clip, or damaged weights
            do = "check the clip (its samples lie between -1 and 1) and the model's file"
            raise VcemoError("the model's answer is not a number", do=do)
        return probabilities, output


def enrolment(
    run: Run, part: Corpus, store: Any = None, counts: Sequence[int] = (0, 1, 2, 5, 10, 20), seed: int = 0
) -> dict[int, Predictions]:
    """A corpus part's answers where speakers are known by 0, 1, 2, ... clips without labels, by that number.

    Every clip is judged at every point, scaled by other clips of its speaker: drawn with the seed, those of a
    point among those of the next, and all of them where there are fewer than `counts` says.
    """
    features = gather(store or run.store, part, kinds_of(run.model))
    order, speakers = np.random.default_rng(seed).permutation(len(features)), features.speakers
    others = {
        u: [j for j in order if speakers[j] == speakers[i] and j != i] for i, u in enumerate(features.ids)
    }
    features, found = replace(features, speakers=np.array(features.ids)), {}  # a clip's scale is its own
    for count in counts:
        scaler = run.scaler.adapted(features, {u: known[:count] for u, known in others.items()})
        answers = predict_part(run.model, scaler.apply(features), run.classes)
        found[count] = replace(answers, speakers=speakers)
    return found


def enrolment_curve(
    run: Run, part: Corpus, store: Any = None, counts: Sequence[int] = (0, 1, 2, 5, 10, 20), seed: int = 0
) -> pd.DataFrame:
    """The scores of `enrolment`, with intervals: a row a number of clips and score."""
    answers = enrolment(run, part, store, counts, seed)
    return pd.concat({n: of.intervals() for n, of in answers.items()}, names=["enrolled", "score"])
