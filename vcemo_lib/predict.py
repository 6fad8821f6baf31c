"""From a clip to an emotion: `EmotionRecognizer.load().predict("clip.wav")`. Everything happens on this machine."""

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
    """What the recogniser says about one clip."""

    emotion: str
    probabilities: dict[str, float]
    transcript: str
    words: tuple[Any, ...]  # vcemo_lib.asr.Word: text, start, end (s); empty where the text was given
    seconds: float
    warnings: tuple[str, ...] = ()
    # What each token weighs in the pooling; they add up to 1. "time": of equal stretches of the clip; "text": (first
    # character, one past the last, weight) of each BERT token that stands in the transcript; "rest": of all others.
    attention: dict[str, Any] = field(default_factory=dict, repr=False)
    wave: np.ndarray | None = field(default=None, repr=False, compare=False)  # (N,) at 16 kHz, what was judged

    def pieces(self) -> list[Piece]:
        """The transcript's words, with their times where Whisper gave them."""
        from vcemo_lib import text

        words = [(w.text.strip(), w.start, w.end) for w in self.words]
        if not words and self.transcript:
            words = [(word, None, None) for word in text.words(self.transcript)]
        found, at = [], 0
        for word, start, end in words:
            first = max(self.transcript.find(word, at), at)
            at = first + len(word)
            found.append(Piece(word, start, end, first, at, sum(w for a, _, w in self.attention.get("text", ()) if first <= a < at)))
        return found

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without attention and sound."""
        plain = asdict(replace(self, wave=None))
        del plain["attention"], plain["wave"]
        return plain


def checked(clip: Clip, name: str = "recording") -> tuple[np.ndarray, tuple[str, ...]]:
    """A clip's samples, (N,) at 16 kHz, and warnings. Raises VcemoError where there is nothing to judge.

    `name` is what a clip without a path is called there.
    """
    wave = audio.load(clip)
    name = clip if isinstance(clip, str | Path) else name
    if len(wave) < SHORTEST_S * audio.SAMPLE_RATE:
        raise VcemoError(f"the clip lasts {len(wave) / audio.SAMPLE_RATE:.2f} s", where=name, do=f"record at least {SHORTEST_S} s of speech")
    if audio.levels(wave).max() < audio.SILENT_DB:
        raise VcemoError("the clip is silent", where=name, do="check the microphone, speak up and try again")
    clipped = float(np.mean(np.abs(wave) > 0.999))
    return wave, (f"{clipped:.1%} of the samples are clipped; move away from the microphone",) if clipped > CLIPPED_SHARE else ()


class EmotionRecognizer:
    """A trained run and what it needs to judge new clips: Whisper for the words, the encoders for the features."""

    def __init__(self, run: Run, whisper: str = "base") -> None:
        self.run, self.whisper = run, whisper
        self.classes = run.classes
        self.modalities = run.settings.modalities

    @classmethod
    def load(cls, source: Path | str | None = None, whisper: str = "base") -> EmotionRecognizer:
        """The bundled recogniser, one saved in a folder, or one on the Hugging Face hub ("user/name")."""
        from vcemo_lib import weights
        from vcemo_lib.training.runs import Run

        if source is None:
            return cls(Run.load(weights.bundled(BUNDLED)), whisper)
        if not Path(source).exists() and str(source).count("/") == 1 and not str(source).startswith("."):
            return cls(Run.load(weights.hub(str(source), "run.safetensors")), whisper)
        return cls(Run.load(source), whisper)

    def save(self, folder: Path | str) -> Path:
        """Write `run.safetensors` into a folder."""
        return self.run.save(folder)

    def push_to_hub(self, repository: str, **options: Any) -> str:
        """Upload the run to the Hugging Face hub; needs a login (`hf auth login`). Returns the commit's address."""
        import tempfile

        from huggingface_hub import HfApi

        api = HfApi()
        api.create_repo(repository, exist_ok=True, **options)
        with tempfile.TemporaryDirectory() as folder:
            self.save(folder)
            return str(api.upload_folder(repo_id=repository, folder_path=folder))

    def predict(
        self,
        clips: Clip | Sequence[Clip],
        text: str | Sequence[str] | None = None,
        mute: Sequence[str] = (),
        same_speaker: bool = False,
    ) -> Prediction | list[Prediction]:
        """The emotion of a clip, or of each of a list: a path, or samples (N,) at 16 kHz.

        text          what was said, where it is known; else Whisper listens
        mute          modalities the model must do without: "audio", "words", "bert"
        same_speaker  the clips are one person's: their voice is then measured against itself
        Raises VcemoError for a clip that is unreadable, silent or too short.
        """
        if isinstance(clips, str | Path | np.ndarray):
            return self.predict([clips], None if text is None else [str(text)], mute, same_speaker)[0]
        self._known(mute)
        heard = self._listen(clips, text)
        part = self.scaled(self.arrays([h.wave for h in heard], [h.transcript for h in heard]), mute, same_speaker)
        # one by one: a few clips, no padding, no waiting for the longest
        return [h.told(*self.judge(part, [i])) for i, h in enumerate(heard)]

    def listen(self, clip: Clip, text: str | None = None, keep: bool = True) -> Heard:
        """A clip made ready to be judged again and again, as a whole or up to a moment, with or without a modality.

        keep  whether Whisper's transcript may stay in the cache of this machine
        """
        return self._listen([clip], None if text is None else [text], keep)[0]

    def _listen(self, clips: Sequence[Clip], text: Sequence[str] | None, keep: bool = True) -> list[Heard]:
        ready = [checked(clip) for clip in clips]
        waves = [wave for wave, _ in ready]
        said, words = list(text) if text is not None else [""] * len(waves), [()] * len(waves)
        if text is None and {"words", "bert"} & set(self.modalities):
            from vcemo_lib import asr

            transcripts = asr.transcribe(waves, self.whisper, word_times=True, progress=False, cache=keep)
            said, words = [t.text for t in transcripts], [t.words or () for t in transcripts]
        return [Heard(self, *one) for one in zip(waves, said, words, [told for _, told in ready], strict=True)]

    def _known(self, mute: Sequence[str]) -> None:
        if strange := set(mute) - set(self.modalities):
            raise VcemoError(f"there is no modality {', '.join(sorted(strange))} to mute", do=f"this model has {', '.join(self.modalities)}")

    def arrays(self, waves: Sequence[np.ndarray], texts: Sequence[str]) -> dict[str, list[np.ndarray]]:
        """The features of clips and their words, unscaled: kind -> one (rows, width) a clip."""
        read = self.run.settings.kinds
        kinds = {kind: features.KINDS[kind] for modality in self.modalities for kind in read[modality]}
        return {name: kind.make(waves if kind.of == "audio" else texts) for name, kind in kinds.items()}

    def scaled(self, arrays: Mapping[str, Sequence[np.ndarray]], mute: Sequence[str] = (), same_speaker: bool = False) -> InMemoryDataset:
        """Features as the model wants them; a muted modality is an empty sequence."""
        import torch

        from vcemo_lib.loading import InMemoryDataset, Ragged

        self._known(mute)
        model, kinds, count = self.run.model, {}, 0
        muted = {kind for modality in mute for kind in self.run.settings.kinds[modality]}
        for kind, made in arrays.items():
            count = len(made)
            kept = [np.zeros((0, model.widths[kind]), np.float32) if kind in muted else array for array in made]
            rows = torch.from_numpy(np.concatenate(kept).astype(np.float32))
            kinds[kind] = Ragged.of(rows, torch.tensor([len(a) for a in kept]))
        ids, speakers = [f"clip{i}" for i in range(count)], np.array(["?"] * count)
        part = InMemoryDataset(ids, torch.zeros(count, dtype=torch.int64), speakers, kinds, {k: r.lengths.numpy() for k, r in kinds.items()})
        # A voice heard once cannot be measured against itself: it is measured against the training part.
        scaler = replace(self.run.scaler, by_speaker={})
        if same_speaker and self.run.settings.speaker_norm and "audio" not in mute:
            scaler.learn_speakers(part)
        return scaler.apply(part)

    def judge(self, part: InMemoryDataset, which: Sequence[int]) -> tuple[np.ndarray, Output]:
        """Probabilities (n, C) of n clips of scaled features, from one forward pass, and all that the model says."""
        import torch

        from vcemo_lib.training.runs import autocast

        where = next(self.run.model.parameters()).device
        with torch.inference_mode(), autocast(where):
            output = self.run.model.eval()(part.to(where).batch(np.asarray(which)))
        return output.logits.float().softmax(-1).cpu().numpy(), output


@dataclass
class Heard:
    """One clip with its words, ready to be judged again and again; features are computed once, when first needed."""

    recogniser: EmotionRecognizer
    wave: np.ndarray  # (N,) at 16 kHz
    transcript: str
    words: tuple[Any, ...] = ()  # vcemo_lib.asr.Word, where Whisper listened
    warnings: tuple[str, ...] = ()
    _whole: dict[str, list[np.ndarray]] = field(default_factory=dict, repr=False)
    _parts: dict[int, tuple[np.ndarray, dict[str, list[np.ndarray]]]] = field(default_factory=dict, repr=False)

    @property
    def seconds(self) -> float:
        return len(self.wave) / audio.SAMPLE_RATE

    def predict(self, mute: Sequence[str] = ()) -> Prediction:
        """The whole clip, without the muted modalities."""
        self._whole = self._whole or self.recogniser.arrays([self.wave], [self.transcript])
        return self.told(*self.recogniser.judge(self.recogniser.scaled(self._whole, mute), [0]))

    def along(self, steps: int = 16, mute: Sequence[str] = ()) -> tuple[np.ndarray, np.ndarray]:
        """How the prediction moves: after each of so many equal stretches, what the clip's beginning up to there says.

        Gives seconds (steps,) and probabilities (steps, C), the last row being the whole clip. A word counts once it
        is over; where no times are known, characters are taken as spread evenly. One forward pass for all.
        """
        if steps not in self._parts:
            times = np.linspace(0, self.seconds, steps + 1)[1:]
            waves = [self.wave[: max(audio.HOP, round(t * audio.SAMPLE_RATE))] for t in times]
            self._parts[steps] = times, self.recogniser.arrays(waves, [self.until(t) for t in times])
        times, arrays = self._parts[steps]
        return times, self.recogniser.judge(self.recogniser.scaled(arrays, mute), range(steps))[0]

    def leave_out(self) -> list[tuple[str, float, float]]:
        """Each word, how much less probable the answer is when the text lacks it (the voice stays), and its attention."""
        said = self.predict()
        pieces = said.pieces()
        if not pieces:
            return []
        texts = [said.transcript[: piece.first] + said.transcript[piece.last :] for piece in pieces]
        made = self.recogniser.arrays([], texts)
        arrays = {kind: rows or self._whole[kind] * len(texts) for kind, rows in made.items()}  # no rows: a kind of the voice
        answer = self.recogniser.classes.index(said.emotion)
        rows = self.recogniser.judge(self.recogniser.scaled(arrays), range(len(texts)))[0]
        before = said.probabilities[said.emotion]
        return [(piece.text, float(before - row[answer]), piece.weight) for piece, row in zip(pieces, rows, strict=True)]

    def until(self, moment: float) -> str:
        """The words that are over by a moment (s)."""
        if moment >= self.seconds:
            return self.transcript
        if self.words:
            return "".join(word.text for word in self.words if word.end <= moment)
        return self.transcript[: int(len(self.transcript) * moment / self.seconds)]

    def told(self, probabilities: np.ndarray, output: Output) -> Prediction:
        """What the model said about this clip alone, probabilities (1, C), as a Prediction."""
        return Prediction(
            emotion=self.recogniser.classes[int(probabilities[0].argmax())],
            probabilities={label: round(float(p), 4) for label, p in zip(self.recogniser.classes, probabilities[0], strict=True)},
            transcript=self.transcript,
            words=self.words,
            seconds=round(self.seconds, 3),
            warnings=self.warnings,
            attention=self._attention(output),
            wave=self.wave,
        )

    def _attention(self, output: Output) -> dict[str, Any]:
        """The pooling weights, told apart by what their tokens stand for."""
        if self.recogniser.run.model.name != "vcemo":  # the baselines pool otherwise
            return {}
        settings = self.recogniser.run.settings
        pool = output.attention["pool"][0].float().cpu().numpy()
        steps = settings.length if {"audio", "words"} & set(settings.modalities) else 0
        bert_first = steps and settings.guides[1] == "bert"
        time, bert = (pool[len(pool) - steps :], pool[: len(pool) - steps]) if bert_first else (pool[:steps], pool[steps:])
        text = []
        if "bert" in settings.modalities and settings.bert == "tokens" and len(bert) > 1:
            from vcemo_lib.text import load_bert

            places = load_bert().tokenizer(self.transcript, return_offsets_mapping=True)["offset_mapping"]
            text = [(*place, float(w)) for place, w in zip(places, bert, strict=False) if place[1] > place[0]]
        return {"time": time.tolist(), "text": text, "rest": float(1 - time.sum() - sum(w for *_, w in text))}
