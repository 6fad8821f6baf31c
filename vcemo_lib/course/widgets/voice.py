"""Own voice: the microphone or a file, checked, transcribed and judged; and the playground, all of it on one page.

The browser sends a recording as WAV (16 kHz, 16 bits), so no converter is needed. A file is sent as it is: libsndfile
reads wav, mp3, ogg (Vorbis or Opus) and flac; for m4a and the like ffmpeg is asked, where there is one. The sound goes
from the page to the kernel and no further. Takes live in the kernel's memory until it ends; neither the sound nor what
Whisper heard is kept on disk.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets
import numpy as np
import traitlets

from vcemo_lib import audio
from vcemo_lib.course.widgets.player import HERE, Player, known, with_dom, with_twin
from vcemo_lib.errors import VcemoError
from vcemo_lib.predict import EmotionRecognizer, Heard, Prediction, checked

if TYPE_CHECKING:
    import pandas as pd

    from vcemo_lib.corpora import Corpus

READ = (".wav", ".mp3", ".ogg", ".opus", ".flac")  # by libsndfile alone
LONGEST_S = 30.0  # what Whisper hears at a time
MARGIN_S = 0.2  # kept before the first and after the last sound
NO_WORDS = "Whisper heard no words, so the voice alone decides; was it Mandarin?"
QUIET_DB = -40.0  # dB re full scale of the loudest 10 ms: heard, but barely


def decode(data: bytes, name: str = "recording.wav") -> np.ndarray:
    """A sound file's bytes as (N,) at 16 kHz. Raises VcemoError where neither libsndfile nor ffmpeg can read them."""
    import soundfile

    suffix = Path(name).suffix.lower()
    try:
        return audio.load(*soundfile.read(io.BytesIO(data), dtype="float32"))
    except (soundfile.LibsndfileError, RuntimeError, VcemoError) as error:
        if suffix in READ:
            raise VcemoError("there is no sound in it, or it is damaged", where=name, do="record again, or choose another file") from error
    if not (ffmpeg := shutil.which("ffmpeg")):
        do = f"choose a file of {', '.join(READ)}, or install ffmpeg"
        raise VcemoError("reading this kind of file takes ffmpeg, which is not installed", where=name, do=do)
    with tempfile.TemporaryDirectory() as folder:  # an m4a cannot be read from a pipe
        path, wav = Path(folder) / f"sound{suffix}", Path(folder) / "converted.wav"
        path.write_bytes(data)
        command = [ffmpeg, "-loglevel", "error", "-nostdin", "-i", str(path), "-vn", "-ac", "1", "-ar", str(audio.SAMPLE_RATE), str(wav)]
        if subprocess.run(command, capture_output=True, timeout=60, check=False).returncode:
            raise VcemoError("this is no sound file, or a damaged one", where=name, do=f"choose a file of {', '.join(READ)} or .m4a")
        return audio.load(wav)


def trimmed(wave: np.ndarray, margin: float = MARGIN_S) -> np.ndarray:
    """The wave from `margin` s before its first sound to `margin` s after its last."""
    sounding = np.flatnonzero(audio.sounding(wave))
    spare = round(margin * audio.SAMPLE_RATE)
    return wave[max(0, sounding[0] * audio.HOP - spare) : (sounding[-1] + 1) * audio.HOP + spare]


def prepared(wave: np.ndarray, name: str = "the recording") -> tuple[np.ndarray, tuple[str, ...]]:
    """An own recording fit to be judged, trimmed, and warnings; VcemoError where it is silent, too short or too long."""
    checked(wave, name)  # silent as a whole?
    checked(trimmed(wave, margin=0), name)  # too short without its silence?
    core, warnings = checked(trimmed(wave), name)
    if len(core) > LONGEST_S * audio.SAMPLE_RATE:
        raise VcemoError(f"it lasts {len(core) / audio.SAMPLE_RATE:.0f} s", where=name, do=f"give one sentence or two, at most {LONGEST_S:.0f} s")
    loudest = audio.levels(core).max()
    if loudest < QUIET_DB:
        warnings = (*warnings, f"it is very quiet ({loudest:.0f} dB at its loudest); go nearer to the microphone")
    return core, warnings


class Voice(anywidget.AnyWidget):
    """Record, or choose a file, and see what the recogniser makes of it in `player`; `takes` keeps them for comparison.

    `examples` (name -> (corpus, utt_id)) can be chosen as well.
    """

    _esm = with_dom("voice.js")
    _css = HERE / "player.css"

    status = traitlets.Unicode().tag(sync=True)
    problem = traitlets.Unicode().tag(sync=True)
    busy = traitlets.Bool(False).tag(sync=True)
    example_names = traitlets.List().tag(sync=True)
    rows = traitlets.List().tag(sync=True)  # of the table of takes
    longest = traitlets.Float(LONGEST_S).tag(sync=True)

    def __init__(
        self, recogniser: EmotionRecognizer | None = None, player: Player | None = None, examples: dict[str, tuple[Corpus, str]] | None = None
    ) -> None:
        self.recogniser = recogniser or EmotionRecognizer.load()
        self.player = player or Player()
        self.examples = examples or {}
        self.takes: list[tuple[Heard, dict[str, Any]]] = []  # what was heard, and what else the player needs
        super().__init__(example_names=list(self.examples))
        self.on_msg(self._received)

    # -- ways in

    def receive(self, data: bytes, name: str = "recording.wav") -> Prediction | None:
        """A sound file's bytes, as the page sends them, judged and shown; None, and `problem` set, where it cannot be."""
        label = "own recording" if name == "recording.wav" else name
        return self._judge(lambda: decode(data, name), label, own=True)

    def choose(self, name: str) -> Prediction | None:
        """One of the examples, judged and shown."""
        corpus, utt_id = self.examples[name]
        return self._judge(lambda: audio.utterance(corpus, utt_id), **known(corpus, utt_id))

    def _judge(self, sound: Callable[[], np.ndarray], label: str, own: bool = False, **facts: Any) -> Prediction | None:
        self.busy, self.problem, self.status = True, "", "Reading the sound …"
        try:
            wave, warnings = prepared(sound(), label)
            self.status = "Whisper listens to the words …"
            heard = self.recogniser.listen(wave, keep=not own)
            heard.warnings = warnings if heard.transcript else (*warnings, NO_WORDS)
            self.status = "The model judges …"
            said = heard.predict()
            self.takes.append((heard, {"label": f"{len(self.takes) + 1}. {label}", **facts}))
            self._show(len(self.takes) - 1)
            share = said.probabilities[said.emotion]
            row = {"label": label, "transcript": said.transcript, "emotion": said.emotion, "share": share, "seconds": said.seconds}
            self.rows = [*self.rows, row]
            self.status = f"Done: {said.emotion}, {share:.0%}. See the player."
            return said
        except VcemoError as error:
            self.status, self.problem = "", str(error)
            return None
        finally:
            self.busy = False

    def _show(self, number: int) -> None:
        heard, facts = self.takes[number]
        self.player.show(heard, **facts)

    def _received(self, _: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        if content.get("kind") == "clip":
            self.receive(bytes(buffers[0]), str(content.get("name", "recording.wav")))
        elif content.get("kind") == "example" and content.get("name") in self.examples:
            self.choose(content["name"])
        elif content.get("kind") == "again" and 0 <= int(content.get("number", -1)) < len(self.takes):
            self._show(int(content["number"]))

    # -- to read

    def table(self) -> pd.DataFrame:
        """One row a take: what it was, the words heard, the emotion, and the probability of each."""
        import pandas as pd

        said = [(facts["label"], heard.predict()) for heard, facts in self.takes]
        rows = [{"words heard": p.transcript, "seconds": p.seconds, "emotion": p.emotion, **p.probabilities} for _, p in said]
        return pd.DataFrame(rows, index=pd.Index([label for label, _ in said], name="take"))

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        return with_twin(super()._repr_mimebundle_(**options), self.twin(), repr(self))

    def twin(self) -> str:
        """What stands here where no kernel runs."""
        return "<p class='vcemo-twin'><b>Own voice</b>: run the notebook to record here, or to choose a sound file. This is a still page.</p>"

    def __repr__(self) -> str:
        return f"Voice, {len(self.takes)} take(s)"


class Playground(ipywidgets.VBox):
    """The whole page of notebook 09 and of the app: choose, record or upload; play, mute, compare."""

    def __init__(self, recogniser: EmotionRecognizer | None = None) -> None:
        self.recogniser = recogniser or EmotionRecognizer.load()
        self.player = Player()
        self.voice = Voice(self.recogniser, self.player, examples())
        super().__init__([self.voice, self.player])
        self.voice.choose(next(iter(self.voice.examples)))

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        return with_twin(super()._repr_mimebundle_(**options), self.voice.twin() + self.player.twin(), "Playground")


def examples() -> dict[str, tuple[Corpus, str]]:
    """One clip an emotion from VCEMO-Sim's test part (simulated): the first of 2 to 4 s whose raters agree."""
    import vcemo_lib as vc

    test = vc.splits.given(vc.load_corpus("sim"))["test"]
    table = test.table[test.table["seconds"].astype(float).between(2, 4) & test.table["votes"].map(len).eq(1)]
    found = {emotion: table.index[table["emotion"] == emotion] for emotion in test.labels}
    return {f"{emotion}: {table.at[ids[0], 'text']} ({ids[0]})": (test, ids[0]) for emotion, ids in found.items() if len(ids)}


def playground(recogniser: EmotionRecognizer | None = None) -> Playground:
    """The playground, with the bundled recogniser by default."""
    return Playground(recogniser)
