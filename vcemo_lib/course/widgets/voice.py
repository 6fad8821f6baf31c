"""Own voice: the microphone or a file, checked, transcribed and judged; and the playground, all on one page.

A recording arrives as samples (float32, 16 kHz), a file as its bytes where libsndfile reads it; others, such
as m4a, the page decodes. Takes live in the kernel's memory; neither sound nor transcript is kept on disk.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np
import traitlets

from vcemo_lib import audio
from vcemo_lib.course.listening import PreparedClip, listen
from vcemo_lib.course.widgets.base import HasTwin, View
from vcemo_lib.course.widgets.living import script
from vcemo_lib.course.widgets.player import Player, corpus_facts
from vcemo_lib.errors import VcemoError
from vcemo_lib.predict import EmotionRecognizer, Prediction, checked

if TYPE_CHECKING:
    import pandas as pd

    from vcemo_lib.corpora import Corpus

SUFFIXES = (".wav", ".mp3", ".ogg", ".opus", ".flac")  # of the files that libsndfile reads
LONGEST_S = 30.0  # what Whisper hears at a time
MARGIN = 3_200  # samples (0.2 s) kept before the first and after the last sound
NO_WORDS = "Whisper heard no words, so the voice alone decides; was it Mandarin?"
OTHER = "Whisper takes this for {} ({:.0%}); all is judged as Mandarin, so words and answer mean little."
QUIET_DB = -40.0  # dB re full scale of the loudest 10 ms: heard, but barely
TWIN = """<p class='vcemo-twin'><b>Own voice</b>: run the notebook to record here, or to choose a sound file.
This is a still page.</p>"""


def decode(data: bytes, name: str = "recording.wav") -> np.ndarray:
    """A sound file's bytes as (N,) at 16 kHz. Raises VcemoError where libsndfile cannot read them."""
    import soundfile

    try:
        return audio.load(*soundfile.read(io.BytesIO(data), dtype="float32"))
    except (soundfile.LibsndfileError, RuntimeError, VcemoError) as error:
        known = Path(name).suffix.lower() in SUFFIXES
        do = "record again, or choose another file" if known else f"choose a file of {', '.join(SUFFIXES)}"
        raise VcemoError("there is no sound in it, or it is damaged", where=name, do=do) from error


def prepared(wave: np.ndarray, name: str = "the recording") -> tuple[np.ndarray, tuple[str, ...]]:
    """A recording without the silence around it, but for 0.2 s, and warnings.

    Raises VcemoError where it is silent, too short or too long.
    """
    checked(wave, name)  # silent as a whole?
    sounding = np.flatnonzero(audio.sounding(wave))
    first, last = sounding[0] * audio.HOP, (sounding[-1] + 1) * audio.HOP
    checked(wave[first:last], name)  # too short without its silence?
    core, warnings = checked(wave[max(0, first - MARGIN) : last + MARGIN], name)
    if (seconds := len(core) / audio.SAMPLE_RATE) > LONGEST_S:
        do = f"give one sentence or two, at most {LONGEST_S:.0f} s"
        raise VcemoError(f"it lasts {seconds:.0f} s", where=name, do=do)
    if (loudest := audio.levels(core).max()) < QUIET_DB:
        warnings += (f"it is very quiet ({loudest:.0f} dB at its loudest); go nearer to the microphone",)
    return core, warnings


def language(wave: np.ndarray) -> tuple[str, float]:
    """The language that Whisper hears in a wave (N,), such as "english", and its probability."""
    import torch
    from whisper.tokenizer import LANGUAGES, get_tokenizer

    from vcemo_lib.asr import load_model
    from vcemo_lib.asr.encoder import encode, log_mel

    model = load_model()
    start = torch.tensor([[get_tokenizer(True).sot]], device=model.device)
    with torch.inference_mode():
        encoded = encode(model, log_mel(model, [wave], len(wave) + audio.SAMPLE_RATE))
        logits = model.logits(start, encoded)[0, 0]
    tokens = get_tokenizer(True).all_language_tokens
    shares = logits[list(tokens)].float().softmax(-1)
    return LANGUAGES[get_tokenizer(True).all_language_codes[int(shares.argmax())]], float(shares.max())


def heard(recogniser: EmotionRecognizer, wave: np.ndarray, name: str, keep: bool = False) -> PreparedClip:
    """A recording trimmed, checked, transcribed; it warns of another language and where no word was heard.

    Raises VcemoError where it cannot be judged.
    """
    core, warnings = prepared(wave, name)
    clip = listen(recogniser, core, keep=keep)
    if not any(map(str.isalnum, clip.transcript)):  # punctuation is no word
        clip.transcript, clip.words, warnings = "", (), (*warnings, NO_WORDS)
    spoken, share = language(core)
    if spoken != "chinese" and share > 0.5:
        warnings += (OTHER.format(spoken.capitalize(), share),)
    clip.warnings = (*clip.warnings, *warnings)
    return clip


class Voice(View):
    """Record, or choose a file or an example (name -> (corpus, utt_id)), and see it judged in `player`."""

    _esm = script("voice.js")

    status = traitlets.Unicode().tag(sync=True)
    busy = traitlets.Bool(False).tag(sync=True)
    example_names: traitlets.List[str] = traitlets.List().tag(sync=True)
    rows: traitlets.List[Any] = traitlets.List().tag(sync=True)  # of the table of takes
    longest = traitlets.Float(LONGEST_S).tag(sync=True)  # s, then the recording stops
    suffixes = traitlets.List(list(SUFFIXES)).tag(sync=True)

    def __init__(
        self, recogniser: EmotionRecognizer | None = None, player: Player | None = None,
        examples: dict[str, tuple[Corpus, str]] | None = None,
    ) -> None:  # fmt: skip
        self.recogniser, self.player = recogniser or EmotionRecognizer.load(), player or Player()
        self.examples = examples or {}
        self.takes: list[tuple[PreparedClip, dict[str, Any]]] = []  # with what else the player needs
        super().__init__(example_names=list(self.examples))

    def receive(self, data: bytes, name: str = "recording.wav") -> Prediction | None:
        """Judge and show a sound file's bytes; None, and `problem` set, where it cannot be judged."""
        label = "own recording" if name == "recording.wav" else name
        return self._judge(lambda: decode(data, name), label, own=True)

    def choose(self, name: str) -> Prediction | None:
        """Judge and show one of the examples."""
        corpus, utt_id = self.examples[name]
        return self._judge(lambda: audio.utterance(corpus, utt_id), **corpus_facts(corpus, utt_id))

    def _judge(
        self, sound: Callable[[], np.ndarray], label: str, own: bool = False, **facts: Any
    ) -> Prediction | None:
        self.busy, self.problem, self.status = True, "", "Reading the sound …"
        try:
            wave = sound()
            self.status = "Whisper listens to the words …"
            clip = heard(self.recogniser, wave, label, keep=not own)
            self.status = "The model judges …"
            prediction = clip.predict()
            facts = {"label": f"{len(self.takes) + 1}. {label}", **facts}
            self.takes.append((clip, facts))
            self.player.show(clip, **facts)
        except VcemoError as error:
            self.status, self.problem = "", str(error)
            return None
        finally:
            self.busy = False
        share = prediction.probabilities[prediction.emotion]
        self.rows = [*self.rows, {**prediction.as_dict(), "label": label, "share": share}]
        self.status = f"Done: {prediction.emotion}, {share:.0%}. See the player."
        return prediction

    def receive_message(self, message: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        """From the page: a recording, a file, an example, or a take to be shown again."""
        match message:
            case {"kind": "samples", "name": str(name)}:
                self._judge(lambda: np.frombuffer(buffers[0], np.float32), name, own=True)
            case {"kind": "file", "name": str(name)}:
                self.receive(bytes(buffers[0]), name)
            case {"kind": "example", "name": str(name)} if name in self.examples:
                self.choose(name)
            case {"kind": "take", "number": int(number)} if 0 <= number < len(self.takes):
                clip, facts = self.takes[number]
                self.player.show(clip, **facts)

    def table(self) -> pd.DataFrame:
        """One row a take: what it was, the words heard, the emotion, and the probability of each."""
        import pandas as pd

        names = pd.Index([facts["label"] for _, facts in self.takes], name="take")
        columns = {"transcript": "words heard", "seconds": "seconds", "emotion": "emotion"}
        rows = [
            {**{to: row[name] for name, to in columns.items()}, **row["probabilities"]} for row in self.rows
        ]
        return pd.DataFrame(rows, names)

    def twin(self) -> str:
        return TWIN


class Playground(HasTwin, ipywidgets.VBox):
    """The whole page of notebook 09 and of the app: choose, record or upload; play, mute, compare."""

    def __init__(self, recogniser: EmotionRecognizer | None = None) -> None:
        self.player = Player()
        self.voice = Voice(recogniser, self.player, examples())
        super().__init__([self.voice, self.player])
        self.voice.choose(next(iter(self.voice.examples)))

    def twin(self) -> str:
        return self.voice.twin() + self.player.twin()


def examples() -> dict[str, tuple[Corpus, str]]:
    """One clip an emotion from VCEMO-Sim's test part: the first of 2 to 4 s whose raters agree."""
    import vcemo_lib as vc

    test = vc.splits.given(vc.load_corpus("sim"))["test"]
    table = test.table[test.table["seconds"].astype(float).between(2, 4) & test.table["votes"].map(len).eq(1)]
    first = {row.emotion: row for row in table[::-1].itertuples()}
    chosen = [first[emotion] for emotion in test.labels if emotion in first]
    return {f"{row.emotion}: {row.text} ({row.Index})": (test, row.Index) for row in chosen}


playground = Playground
