"""From a clip to an emotion, on this machine alone: `EmotionRecognizer.load().predict("clip.wav")`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vcemo_lib import audio, features
from vcemo_lib.errors import VcemoError

if TYPE_CHECKING:
    from vcemo_lib.loading import InMemoryDataset
    from vcemo_lib.models.vcemo import Output
    from vcemo_lib.training.runs import Run

BUNDLED = "recogniser"  # folder of data/models/: trained on VCEMO-Sim, so on simulated speech
SHORTEST_S = 0.3  # shorter than a syllable: nothing to hear
CLIPPED_SHARE = 0.005  # of the samples at full scale: the microphone was overdriven

Clip = str | Path | np.ndarray


class Piece(NamedTuple):
    """One word of a transcript."""

    text: str
    start: float | None  # s, where known
    end: float | None
    first: int  # where it stands in the transcript: its first character, and one past its last
    last: int
    weight: float  # of its BERT tokens in the pooling


@dataclass(frozen=True)
class Prediction:
    """The recogniser's answer to one clip.

    `attention` is what each token weighs in the pooling, 1 in all: "time", of equal stretches of the clip;
    "text", (first character, one past the last, weight) of BERT's tokens in the transcript; "rest".
    """

    emotion: str
    probabilities: dict[str, float]
    transcript: str
    words: tuple[Any, ...]  # vcemo_lib.asr.Word: text, start, end (s); empty where the text was given
    seconds: float
    warnings: tuple[str, ...] = ()
    attention: dict[str, Any] = field(default_factory=dict, repr=False)
    wave: np.ndarray | None = field(default=None, repr=False, compare=False)  # (N,) at 16 kHz

    def pieces(self) -> list[Piece]:
        """The transcript's words, with their times where Whisper gave them."""
        from vcemo_lib import text

        words = [(w.text.strip(), w.start, w.end) for w in self.words]
        if not words and self.transcript:
            words = [(word, None, None) for word in text.words(self.transcript)]
        found, last = [], 0
        for word, start, end in words:
            first = max(self.transcript.find(word, last), last)
            last = first + len(word)
            weight = sum(w for a, _, w in self.attention.get("text", ()) if first <= a < last)
            found.append(Piece(word, start, end, first, last, weight))
        return found

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without attention and sound."""
        plain = asdict(replace(self, wave=None))
        return {key: value for key, value in plain.items() if key not in ("attention", "wave")}


def checked(clip: Clip, name: str = "recording") -> tuple[np.ndarray, tuple[str, ...]]:
    """A clip's samples, (N,) at 16 kHz, and warnings. Raises VcemoError where there is nothing to judge."""
    wave = audio.load(clip)
    name = str(clip) if isinstance(clip, str | Path) else name
    if len(wave) < SHORTEST_S * audio.SAMPLE_RATE:
        what = f"the clip lasts {len(wave) / audio.SAMPLE_RATE:.2f} s"
        raise VcemoError(what, where=name, do=f"record at least {SHORTEST_S} s of speech")
    if audio.levels(wave).max() < audio.SILENT_DB:
        raise VcemoError("the clip is silent", where=name, do="check the microphone, speak up and try again")
    clipped = float(np.mean(np.abs(wave) > 0.999))
    warning = f"{clipped:.1%} of the samples are clipped; move away from the microphone"
    return wave, (warning,) if clipped > CLIPPED_SHARE else ()


class EmotionRecognizer:
    """A trained run and what it needs to judge new clips: a Whisper for the words, encoders for features."""

    def __init__(self, run: Run, whisper: str = "base") -> None:
        if not all(tensor.isfinite().all() for tensor in run.model.state_dict().values()):
            do = "train it again, or restore its file"
            raise VcemoError("the model's weights are not all finite", do=do)
        self.run, self.whisper, self.classes = run, whisper, run.classes
        self.modalities = run.settings.modalities

    @classmethod
    def load(cls, source: Path | str | None = None, whisper: str = "base") -> EmotionRecognizer:
        """The bundled recogniser, one saved in a folder, or one on the Hugging Face hub ("user/name")."""
        from vcemo_lib import weights
        from vcemo_lib.training.runs import Run

        if source is None:
            source = weights.bundled(BUNDLED)
        elif not Path(source).exists() and str(source).count("/") == 1 and not str(source).startswith("."):
            source = weights.hub(str(source), "run.safetensors")
        return cls(Run.load(source), whisper)

    def save(self, folder: Path | str) -> Path:
        """Write `run.safetensors` into a folder."""
        return self.run.save(folder)

    def push_to_hub(self, repository: str, **options: Any) -> str:
        """Upload the run to the Hugging Face hub and give the commit's address; needs `hf auth login`."""
        import tempfile

        from huggingface_hub import HfApi

        HfApi().create_repo(repository, exist_ok=True, **options)
        with tempfile.TemporaryDirectory() as folder:
            self.save(folder)
            return str(HfApi().upload_folder(repo_id=repository, folder_path=folder))

    def predict(
        self, clips: Clip | Sequence[Clip], text: str | Sequence[str] | None = None,
        mute: Sequence[str] = (), same_speaker: bool = False,
    ) -> Prediction | list[Prediction]:
        """The emotion of a clip, or of each of a list: a path, or samples (N,) at 16 kHz.

        text          the transcript, where it is known; else Whisper makes one
        mute          modalities the model must do without: "audio", "words", "bert"
        same_speaker  the clips are one person's: their voice is then measured against itself
        Raises VcemoError for a clip that is unreadable, silent, too short or not finite.
        """
        if isinstance(clips, str | Path | np.ndarray):
            return self.predict([clips], None if text is None else [str(text)], mute, same_speaker)[0]
        prepared = self._prepare(clips, text)
        arrays = self.arrays([clip.wave for clip in prepared], [clip.transcript for clip in prepared])
        part = self.scaled(arrays, mute, same_speaker)
        # One by one: without padding, a clip's answer does not depend on the others.
        return [clip.to_prediction(*self.judge(part, [i])) for i, clip in enumerate(prepared)]

    def listen(self, clip: Clip, text: str | None = None, keep: bool = True) -> PreparedClip:
        """A clip made ready to be judged again and again: as a whole, up to a moment, without a modality.

        keep  whether Whisper's transcript may stay in the cache of this machine
        """
        return self._prepare([clip], None if text is None else [text], keep)[0]

    def _prepare(
        self, clips: Sequence[Clip], text: Sequence[str] | None, keep: bool = True
    ) -> list[PreparedClip]:
        if text is not None and len(text) != len(clips):
            raise VcemoError(f"{len(text)} texts for {len(clips)} clips", do="give one text a clip")
        waves, warnings = zip(*map(checked, clips), strict=True) if len(clips) else ((), ())
        texts, words = text or [""] * len(waves), [()] * len(waves)
        if text is None and {"words", "bert"} & set(self.modalities):
            from vcemo_lib.asr import transcribe

            heard = transcribe(list(waves), self.whisper, word_times=True, progress=False, cache=keep)
            texts, words = [t.text for t in heard], [t.words or () for t in heard]
        return [PreparedClip(self, *each) for each in zip(waves, texts, words, warnings, strict=True)]

    def arrays(self, waves: Sequence[np.ndarray], texts: Sequence[str]) -> dict[str, list[np.ndarray]]:
        """The features of clips and their words, unscaled: kind -> one (rows, width) a clip."""
        read = self.run.settings.kinds
        kinds = {kind: features.KINDS[kind] for modality in self.modalities for kind in read[modality]}
        of = {"audio": waves, "text": texts}
        return {name: kind.make(of[kind.of], **self.run.made_by(name)) for name, kind in kinds.items()}

    def scaled(
        self, arrays: Mapping[str, Sequence[np.ndarray]], mute: Sequence[str] = (), same_speaker: bool = False
    ) -> InMemoryDataset:
        """Features as the model wants them; a muted modality is an empty sequence."""
        import torch

        from vcemo_lib.loading import InMemoryDataset, Ragged

        if unknown := set(mute) - set(self.modalities):
            what = f"there is no modality {', '.join(sorted(unknown))} to mute"
            raise VcemoError(what, do=f"this model has {', '.join(self.modalities)}")
        kinds, muted = {}, {kind for modality in mute for kind in self.run.settings.kinds[modality]}
        for kind, made in arrays.items():
            kept = [array[:0] if kind in muted else array for array in made]
            rows = torch.from_numpy(np.concatenate(kept).astype(np.float32))
            kinds[kind] = Ragged.of(rows.half(), torch.tensor([len(a) for a in kept]))
        count = len(next(iter(arrays.values())))
        ids, labels = [f"clip{i}" for i in range(count)], torch.zeros(count, dtype=torch.int64)
        part = InMemoryDataset(ids, labels, np.array(["?"] * count), kinds)
        # A voice heard once cannot be measured against itself: it is measured against the training part.
        scaler = replace(self.run.scaler, by_speaker={})
        if same_speaker and self.run.settings.speaker_norm and "audio" not in mute:
            scaler.learn_speakers(part)
        return scaler.apply(part)

    def judge(self, part: InMemoryDataset, which: Sequence[int]) -> tuple[np.ndarray, Output]:
        """Probabilities (n, C) of n clips of scaled features, and the model's output, from one forward pass.

        Raises VcemoError where they are not finite: absurd samples in the clip, or damaged weights.
        """
        import torch

        from vcemo_lib.training.runs import autocast

        where = next(self.run.model.parameters()).device
        with torch.inference_mode(), autocast(where):
            output = self.run.model.eval()(part.to(where).batch(np.asarray(which)))
        probabilities = output.logits.float().softmax(-1).cpu().numpy()
        if not np.isfinite(probabilities).all():
            do = "check the clip (its samples lie between -1 and 1) and the model's file"
            raise VcemoError("the model's answer is not a number", do=do)
        return probabilities, output


@dataclass
class PreparedClip:
    """One clip with its transcript, ready to be judged again and again; features are computed when needed."""

    recogniser: EmotionRecognizer
    wave: np.ndarray  # (N,) at 16 kHz
    transcript: str
    words: tuple[Any, ...] = ()  # vcemo_lib.asr.Word, where Whisper listened
    warnings: tuple[str, ...] = ()
    _whole: dict[str, list[np.ndarray]] = field(default_factory=dict, repr=False)  # kind -> one array
    _parts: dict[int, Any] = field(default_factory=dict, repr=False)  # steps -> times, arrays

    @property
    def seconds(self) -> float:
        return len(self.wave) / audio.SAMPLE_RATE

    def predict(self, mute: Sequence[str] = ()) -> Prediction:
        """The whole clip, without the muted modalities."""
        self._whole = self._whole or self.recogniser.arrays([self.wave], [self.transcript])
        return self.to_prediction(*self.recogniser.judge(self.recogniser.scaled(self._whole, mute), [0]))

    def along(self, steps: int = 16, mute: Sequence[str] = ()) -> tuple[np.ndarray, np.ndarray]:
        """The prediction for the clip's beginning, after each of so many equal stretches.

        Gives seconds (steps,) and probabilities (steps, C), the last row being the whole clip. A word counts
        once it is over; where no times are known, characters are taken as spread evenly.
        """
        if steps not in self._parts:
            times = np.linspace(0, self.seconds, steps + 1)[1:]
            waves = [self.wave[: max(audio.HOP, round(t * audio.SAMPLE_RATE))] for t in times]
            self._parts[steps] = times, self.recogniser.arrays(waves, [self.until(t) for t in times])
        times, arrays = self._parts[steps]
        return times, self.recogniser.judge(self.recogniser.scaled(arrays, mute), range(steps))[0]

    def leave_out(self) -> list[tuple[str, float, float]]:
        """Each word, how much less probable the answer is without it (the voice stays), and its attention."""
        whole = self.predict()
        if not (pieces := whole.pieces()):
            return []
        texts = [self.transcript[: piece.first] + self.transcript[piece.last :] for piece in pieces]
        made = self.recogniser.arrays([], texts)  # no rows for a kind of the voice
        arrays = {kind: rows or self._whole[kind] * len(texts) for kind, rows in made.items()}
        rows = self.recogniser.judge(self.recogniser.scaled(arrays), range(len(texts)))[0]  # (pieces, C)
        lost = whole.probabilities[whole.emotion] - rows[:, self.recogniser.classes.index(whole.emotion)]
        return [(piece.text, float(loss), piece.weight) for piece, loss in zip(pieces, lost, strict=True)]

    def until(self, moment: float) -> str:
        """The words that are over by a moment (s)."""
        if moment >= self.seconds:
            return self.transcript
        if self.words:
            return "".join(word.text for word in self.words if word.end <= moment)
        return self.transcript[: int(len(self.transcript) * moment / self.seconds)]

    def to_prediction(self, probabilities: np.ndarray, output: Output) -> Prediction:
        """The model's answer to this clip alone, probabilities (1, C), as a Prediction."""
        classes, row = self.recogniser.classes, probabilities[0]
        rounded = {label: round(float(p), 4) for label, p in zip(classes, row, strict=True)}
        return Prediction(
            classes[int(row.argmax())], rounded, self.transcript, self.words, round(self.seconds, 3),
            self.warnings, self._attention(output), self.wave,
        )  # fmt: skip

    def _attention(self, output: Output) -> dict[str, Any]:
        """The pooling weights by what their tokens stand for (see `Prediction`)."""
        if self.recogniser.run.model.name != "vcemo":  # the baselines pool otherwise
            return {}
        settings, text = self.recogniser.run.settings, []
        pool = output.attention["pool"][0].float().cpu().numpy()
        steps = settings.length if {"audio", "words"} & set(settings.modalities) else 0
        if steps and settings.guides[1] == "bert":  # BERT's tokens come first
            pool = np.roll(pool, steps)
        time, bert = np.split(pool, [steps])
        if "bert" in settings.modalities and settings.bert == "tokens" and len(bert) > 1:
            from vcemo_lib.text import load_bert

            tokens = load_bert().tokenizer(self.transcript, return_offsets_mapping=True)
            weighed = zip(tokens["offset_mapping"], bert, strict=False)
            text = [(first, last, float(weight)) for (first, last), weight in weighed if last > first]
        return {"time": time.tolist(), "text": text, "rest": float(1 - time.sum() - sum(w for *_, w in text))}


