"""A clip judged again and again: as a whole, up to a moment, without a modality or a word (notebook 09)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from vcemo_lib import audio, text
from vcemo_lib.asr import Word
from vcemo_lib.models.vcemo import Output
from vcemo_lib.predict import Clip, EmotionRecognizer, Prediction


def listen(
    recogniser: EmotionRecognizer, clip: Clip, text: str | None = None, keep: bool = True
) -> PreparedClip:
    """A clip ready to be judged; `keep`: Whisper's transcript may stay in the cache of this machine."""
    heard = recogniser.hear([clip], None if text is None else [text], keep)[0]
    return PreparedClip(recogniser, np.asarray(heard.wave), heard.transcript, heard.words, heard.warnings)


class Piece(NamedTuple):
    """One word of a transcript."""

    text: str
    start: float | None  # s, where known
    end: float | None
    first: int  # character
    last: int  # one past the last character
    weight: float  # BERT's attention


def pieces(clip: Prediction) -> list[Piece]:
    """The transcript's words, with their times where Whisper gave them."""
    words: list[tuple[str, float | None, float | None]]
    words = [(word.text.strip(), word.start, word.end) for word in clip.words]
    found, last = [], 0
    for word, start, end in words or [(w, None, None) for w in text.words(clip.transcript)]:
        first = max(clip.transcript.find(word, last), last)
        last = first + len(word)
        weight = sum(w for a, _, w in clip.attention.get("text", ()) if first <= a < last)
        found.append(Piece(word, start, end, first, last, weight))
    return found


@dataclass
class PreparedClip:
    """One clip with its transcript, ready to be judged again and again."""

    recogniser: EmotionRecognizer
    wave: np.ndarray  # (N,) at 16 kHz
    transcript: str
    words: tuple[Word, ...] = ()  # where Whisper listened
    warnings: tuple[str, ...] = ()
    _made: dict[int, Any] = field(default_factory=dict, repr=False)  # stretches -> what `upto` gave

    @property
    def seconds(self) -> float:
        return len(self.wave) / audio.SAMPLE_RATE

    def predict(self, mute: Sequence[str] = ()) -> Prediction:
        """The whole clip, without the muted modalities."""
        probabilities, output = self.recogniser.judge(self.recogniser.scaled(self.upto(1)[1], mute), [0])
        clip = Prediction("", {}, self.transcript, self.words, round(self.seconds, 3), self.warnings)
        clip = replace(clip, attention=self._attention(output), wave=self.wave)
        return clip.answered(self.recogniser.classes, probabilities[0])

    def along(self, steps: int = 16, mute: Sequence[str] = ()) -> tuple[np.ndarray, np.ndarray]:
        """Seconds (steps,) and probabilities (steps, C) of the clip's beginning, stretch by stretch.

        A word counts once it is over; where no times are known, characters are taken as spread evenly.
        """
        times, arrays = self.upto(steps)
        return times, self.recogniser.judge(self.recogniser.scaled(arrays, mute), range(steps))[0]

    def leave_out(self) -> list[tuple[str, float, float]]:
        """Each word, how much less probable the answer is without it (the voice stays), and its attention."""
        whole = self.predict()
        if not (found := pieces(whole)):
            return []
        texts = [self.transcript[: piece.first] + self.transcript[piece.last :] for piece in found]
        voice = self.upto(1)[1]
        waves = [self.wave] * len(texts) if "word_spans" in voice else []  # no rows for a kind of the voice
        made = self.recogniser.arrays(waves, texts)
        arrays = {kind: rows or voice[kind] * len(texts) for kind, rows in made.items()}
        rows = self.recogniser.judge(self.recogniser.scaled(arrays), range(len(texts)))[0]  # (pieces, C)
        lost = whole.probabilities[whole.emotion] - rows[:, self.recogniser.classes.index(whole.emotion)]
        return [(piece.text, float(loss), piece.weight) for piece, loss in zip(found, lost, strict=True)]

    def until(self, moment: float) -> str:
        """The words that are over by a moment (s)."""
        if moment >= self.seconds:
            return self.transcript
        if self.words:
            return "".join(word.text for word in self.words if word.end <= moment)
        return self.transcript[: int(len(self.transcript) * moment / self.seconds)]

    def upto(self, steps: int) -> tuple[np.ndarray, dict[str, list[np.ndarray]]]:
        """The ends (s) of so many equal stretches, and the features of the clip's beginning up to each."""
        if steps not in self._made:
            times = np.linspace(0, self.seconds, steps + 1)[1:]
            waves = [self.wave[: max(audio.HOP, round(t * audio.SAMPLE_RATE))] for t in times]
            self._made[steps] = times, self.recogniser.arrays(waves, [self.until(t) for t in times])
        return self._made[steps]

    def _attention(self, output: Output) -> dict[str, Any]:
        """What each token weighs in the pooling, 1 in all.

        "time": of equal stretches; "text": (first character, one past the last, weight) of BERT's; "rest".
        """
        if self.recogniser.run.model.name != "vcemo":  # the baselines pool otherwise
            return {}
        settings, spans = self.recogniser.run.settings, []
        pool = output.attention["pool"][0].float().cpu().numpy()
        steps = settings.length if {"audio", "words"} & set(settings.modalities) else 0
        if steps and settings.guides[1] == "bert":  # BERT's tokens come first
            pool = np.roll(pool, steps)
        time, bert = np.split(pool, [steps])
        if "bert" in settings.modalities and settings.bert == "tokens" and len(bert) > 1:
            tokens = text.load_bert().tokenizer(self.transcript, return_offsets_mapping=True)
            weighed = zip(tokens["offset_mapping"], bert, strict=False)
            spans = [(first, last, float(weight)) for (first, last), weight in weighed if last > first]
        rest = float(1 - time.sum() - sum(weight for *_, weight in spans))
        return {"time": time.tolist(), "text": spans, "rest": rest}
