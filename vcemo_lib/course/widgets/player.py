"""The player: a clip with its picture and its words, and what the recogniser makes of it, also without a modality.

    Player("clip.wav", EmotionRecognizer.load())
    Player.of(corpus, "s017_04", recogniser)        # with its true label and the raters' votes

Everything is computed in Python; `player.js` draws it, plays it, and says which modalities are muted.

The sound travels as MP3: it plays in Chromium, Firefox and Safari alike, inside the page, at 32 kbit/s. The corpus itself
lies on disk as Ogg/Opus, which at the same size sounds better and is what Python reads, but Safari plays Ogg only since
version 18.4.
"""

from __future__ import annotations

import base64
import html
import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import numpy as np
import traitlets

from vcemo_lib import audio
from vcemo_lib.predict import Clip, EmotionRecognizer, Heard, Prediction

if TYPE_CHECKING:
    from vcemo_lib.corpora import Corpus

HERE = Path(__file__).parent
KBITS = 32  # of the MP3: 4 kB a second
PEAKS = 400  # columns of the drawn waveform
STEPS = 16  # moments at which the clip's beginning is judged
MODALITY = {"audio": "voice", "words": "words", "bert": "BERT"}  # as a reader calls them


def with_dom(name: str) -> str:
    """A widget's script with `dom.js` before it: a page gets each widget's script alone, where nothing can be imported."""
    return "\n".join((HERE / part).read_text(encoding="utf-8") for part in ("dom.js", name))


@dataclass
class PlayerData:
    """What a player shows, as plain values; `twin` makes still HTML of it."""

    label: str
    mp3: bytes
    picture: bytes  # PNG of the log-mel, one pixel a frame and band
    seconds: float
    peaks: list[float]  # loudest sample of each of 400 stretches, 0 to 1
    words: list[dict[str, Any]]  # text, start, end (s; None where not known), weight (of its BERT tokens)
    transcript: str
    truth: str = ""
    votes: dict[str, int] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    modalities: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    muted: list[str] = field(default_factory=list)
    emotion: str = ""
    probabilities: dict[str, float] = field(default_factory=dict)
    along: dict[str, list] = field(default_factory=dict)  # times (s), probabilities: one row of C a time
    attention: list[float] = field(default_factory=list)  # of equal stretches of time
    took: float = 0.0  # ms, that judging anew took


def player_data(
    source: Clip | Prediction | Heard,
    recogniser: EmotionRecognizer | None = None,
    *,
    text: str | None = None,
    truth: str = "",
    votes: Mapping[str, int] | None = None,
    label: str = "",
    mute: Sequence[str] = (),
) -> PlayerData:
    """Everything a player shows of a clip (path, samples, a Prediction, or what `recogniser.listen` gave).

    Without a recogniser it plays and shows a Prediction's bars, but judges nothing. `text` is what was said, where it is
    known; else the recogniser's Whisper listens. Raises VcemoError for a clip that cannot be judged.
    """
    return _fill(_ready(source, recogniser, text), truth, votes, label, mute)


def _ready(source: Clip | Prediction | Heard, recogniser: EmotionRecognizer | None, text: str | None) -> Heard | Prediction:
    """A clip to be judged anew (Heard) or one that was judged already (Prediction)."""
    if isinstance(source, Prediction) and recogniser:
        return Heard(recogniser, source.wave, source.transcript, source.words, source.warnings)
    if isinstance(source, (Prediction, Heard)):
        return source
    if recogniser:
        return recogniser.listen(source, text)
    wave = audio.load(source)
    return Prediction("", {}, text or "", (), len(wave) / audio.SAMPLE_RATE, wave=wave)


def _fill(ready: Heard | Prediction, truth: str, votes: Mapping[str, int] | None, label: str, mute: Sequence[str]) -> PlayerData:
    wave = ready.wave
    edges = np.linspace(0, len(wave), PEAKS + 1).astype(int)[:-1]
    peaks = np.maximum.reduceat(np.abs(wave), np.minimum(edges, len(wave) - 1))
    data = PlayerData(
        label, audio.encode_mp3(wave, KBITS), _mel_png(wave), len(wave) / audio.SAMPLE_RATE,
        [round(float(p), 3) for p in peaks / max(float(peaks.max()), 1e-9)], [], ready.transcript, truth, dict(votes or {}),
        warnings=list(ready.warnings),
    )  # fmt: skip
    if isinstance(ready, Heard):
        data.classes, data.modalities = list(ready.recogniser.classes), list(ready.recogniser.modalities)
        _judge(data, ready, mute)
    else:
        data.classes = list(ready.probabilities)
        _say(data, ready)
    return data


def _judge(data: PlayerData, heard: Heard, mute: Sequence[str]) -> None:
    """Set what the recogniser says about the clip without the muted modalities."""
    data.muted = list(mute)
    _say(data, heard.predict(mute))
    times, rows = heard.along(STEPS, mute)
    data.along = {"times": times.round(3).tolist(), "probabilities": rows.round(4).tolist()}


def _say(data: PlayerData, said: Prediction) -> None:
    data.emotion, data.probabilities = said.emotion, said.probabilities
    data.attention = [round(w, 4) for w in said.attention.get("time", [])]
    data.words = [{"text": p.text, "start": p.start, "end": p.end, "weight": round(p.weight, 4)} for p in said.pieces()]


def _mel_png(wave: np.ndarray) -> bytes:
    """The log-mel (T, 80) as a PNG, time to the right, low bands below; at most 600 pixels wide."""
    from matplotlib import colormaps
    from PIL import Image

    mel = audio.log_mel(wave)
    low, high = np.percentile(mel, [5, 99.5])
    shades = colormaps["magma"](np.clip((mel.T[::-1] - low) / max(high - low, 1e-6), 0, 1), bytes=True)[..., :3]
    image = Image.fromarray(np.ascontiguousarray(shades))
    image = image.resize((min(600, image.width), image.height)).quantize(64)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


class Player(anywidget.AnyWidget):
    """A clip to play, with its words, its picture and the recogniser's judgement; muting a modality judges anew.

    Arguments as for `player_data`. `show(...)` puts another clip into the same player. Where no kernel runs, its
    static twin is seen instead.
    """

    _esm = with_dom("player.js")
    _css = HERE / "player.css"

    label = traitlets.Unicode().tag(sync=True)
    mp3 = traitlets.Bytes().tag(sync=True)
    picture = traitlets.Bytes().tag(sync=True)
    seconds = traitlets.Float().tag(sync=True)
    peaks = traitlets.List().tag(sync=True)
    words = traitlets.List().tag(sync=True)
    transcript = traitlets.Unicode().tag(sync=True)
    truth = traitlets.Unicode().tag(sync=True)
    votes = traitlets.Dict().tag(sync=True)
    classes = traitlets.List().tag(sync=True)
    colours = traitlets.Dict().tag(sync=True)
    modalities = traitlets.List().tag(sync=True)
    warnings = traitlets.List().tag(sync=True)
    muted = traitlets.List().tag(sync=True)
    emotion = traitlets.Unicode().tag(sync=True)
    probabilities = traitlets.Dict().tag(sync=True)
    along = traitlets.Dict().tag(sync=True)
    attention = traitlets.List().tag(sync=True)
    took = traitlets.Float().tag(sync=True)

    def __init__(self, source: Clip | Prediction | Heard | None = None, recogniser: EmotionRecognizer | None = None, **facts: Any) -> None:
        self.data: PlayerData | None = None
        self._heard: Heard | None = None
        super().__init__()
        if source is not None:
            self.show(source, recogniser, **facts)

    @classmethod
    def of(cls, corpus: Corpus, utt_id: str, recogniser: EmotionRecognizer | None = None, text: str | None = None) -> Player:
        """A corpus' utterance with its true label and votes. Whisper listens unless `text` is given."""
        player = cls()
        player.show_utterance(corpus, utt_id, recogniser, text)
        return player

    def show_utterance(self, corpus: Corpus, utt_id: str, recogniser: EmotionRecognizer | None = None, text: str | None = None) -> None:
        """Put a corpus' utterance into this player."""
        self.show(audio.utterance(corpus, utt_id), recogniser, text=text, **known(corpus, utt_id))

    def show(
        self, source: Clip | Prediction | Heard, recogniser: EmotionRecognizer | None = None, *, text: str | None = None, truth: str = "",
        votes: Mapping[str, int] | None = None, label: str = "", mute: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Put another clip into this player; arguments as for `player_data`."""
        from vcemo_lib.plots import palette

        ready = _ready(source, recogniser, text)
        self._heard = ready if isinstance(ready, Heard) else None
        self.data = _fill(ready, truth, votes, label, mute)
        with self.hold_sync():
            self.colours = palette(self.data.classes)
            self._take(asdict(self.data))

    def _take(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            setattr(self, name, value)

    @traitlets.observe("muted")
    def _mute(self, change: Any) -> None:
        if self._heard is None or self.data is None or change["new"] == self.data.muted:
            return
        started = time.perf_counter()
        _judge(self.data, self._heard, change["new"])
        self.data.took = round(1000 * (time.perf_counter() - started), 1)
        with self.hold_sync():
            self._take({name: getattr(self.data, name) for name in ("emotion", "probabilities", "along", "attention", "words", "took")})

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict] | None:
        return with_twin(super()._repr_mimebundle_(**options), self.twin(), repr(self))

    def twin(self) -> str:
        """The same as still HTML."""
        return twin(self.data) if self.data else "<p class='vcemo-twin'>A player, with no clip in it yet.</p>"

    def __repr__(self) -> str:
        return f"Player({self.label!r}, {self.emotion!r})"


def known(corpus: Corpus, utt_id: str) -> dict[str, Any]:
    """What a player tells of a corpus' utterance beside its sound: label, truth and votes."""
    row = corpus.table.loc[utt_id]
    return {"label": f"{utt_id}, simulated" if corpus.simulated else utt_id, "truth": row["emotion"], "votes": row.get("votes") or {}}


def with_twin(made: Any, still: str, text: str) -> tuple[dict, dict]:
    """A widget's MIME bundle with still HTML beside the live view: JupyterLab takes the view, other renderers the HTML."""
    bundle, metadata = made if isinstance(made, tuple) else (made or {}, {})
    return {**bundle, "text/plain": text, "text/html": still}, metadata


def twin(data: PlayerData) -> str:
    """A player as still HTML: the sound, a picture of it with the prediction along the clip, and tables.

    What a page strips (GitHub takes sound and pictures out of HTML), the tables still say.
    """
    from PIL import Image

    from vcemo_lib import plots

    label = html.escape(data.label or "clip", quote=True)
    mel = np.asarray(Image.open(io.BytesIO(data.picture)).convert("RGB"))
    along = data.along or {"times": [], "probabilities": []}
    figure = plots.timeline(data.peaks, mel, data.seconds, along["times"], along["probabilities"], data.classes, data.words)
    picture = base64.b64encode(plots.png(figure)).decode("ascii")
    said = f"{data.emotion}, {data.probabilities[data.emotion]:.0%}" if data.emotion else ""
    alt = f"Waveform and log-mel of {data.label or 'the clip'}, {data.seconds:.1f} s"
    alt += f"; below, how the probabilities move along the clip, ending at {said}" if said else ""
    sound = base64.b64encode(data.mp3).decode("ascii")
    facts = [f"<b>{label}</b>", data.truth and f"true: {data.truth}", said and f"the model says: <b>{said}</b>"]
    if data.muted:
        facts.append(f"without {' and '.join(MODALITY[name] for name in data.muted)}")
    return (
        f"<div class='vcemo-twin'><p>{'; '.join(filter(None, facts))}. A still page: run the notebook for the player itself.</p>"
        f"<audio controls aria-label='{label}' src='data:audio/mpeg;base64,{sound}'></audio>"
        f"<p><img style='max-width:100%' alt='{html.escape(alt, quote=True)}' src='data:image/png;base64,{picture}'></p>"
        f"{_probability_table(data)}{_word_table(data)}{''.join(f'<p>{html.escape(told)}</p>' for told in data.warnings)}</div>"
    )


def _probability_table(data: PlayerData) -> str:
    if not data.probabilities:
        return ""
    heads = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in data.classes)
    rows = {"probability": [f"{data.probabilities[name]:.0%}" for name in data.classes]}
    if data.votes:
        rows["raters"] = [str(data.votes.get(name, "")) for name in data.classes]
    return f"<table><tr><td></td>{heads}</tr>{_lines(rows)}</table>"


def _word_table(data: PlayerData) -> str:
    if not data.words:
        return ""
    rows = {"no.": [str(nth) for nth in range(1, len(data.words) + 1)]}  # so the picture names them where its font has no Chinese
    rows["words heard"] = [f"<span lang='zh'>{html.escape(word['text'])}</span>" for word in data.words]
    if data.words[0]["start"] is not None:
        rows["from, s"] = [f"{word['start']:.2f}" for word in data.words]
    if data.probabilities:
        rows["attention"] = [f"{word['weight']:.0%}" for word in data.words]
    return f"<table>{_lines(rows)}</table>"


def _lines(rows: Mapping[str, Sequence[str]]) -> str:
    """Rows of a table: title -> cells, as HTML."""
    return "".join(f"<tr><th scope='row'>{title}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" for title, cells in rows.items())
