"""The player: a clip with its picture and words, and the recogniser's judgement, also without a modality.

    Player("clip.wav", EmotionRecognizer.load())
    Player.of(corpus, "s017_04", recogniser)        # with its true label and the raters' votes

Everything is computed in Python; `player.js` draws it, plays it, and says which modalities are muted.
"""

from __future__ import annotations

import io
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from vcemo_lib import audio
from vcemo_lib.course import listening
from vcemo_lib.course.listening import PreparedClip
from vcemo_lib.course.players import encode_mp3
from vcemo_lib.course.widgets.base import View, html_table, render
from vcemo_lib.course.widgets.living import script
from vcemo_lib.predict import Clip, EmotionRecognizer, Prediction

if TYPE_CHECKING:
    from vcemo_lib.corpora import Corpus

KBITS = 32  # of the MP3, 4 kB a second, which all browsers play from inside a page
PEAKS = 400  # columns of the drawn waveform
STEPS = 16  # moments at which the clip's beginning is judged
MODALITY = {"audio": "voice", "words": "words", "bert": "BERT"}  # as a reader calls them

TWIN = """\
<div class='vcemo-twin'><p><b>{{ label }}</b>
{%- for fact in facts %}; {{ fact }}{% endfor %}. A still page: in the notebook and on the site it plays.</p>
<audio controls aria-label='{{ label }}' src='data:audio/mpeg;base64,{{ mp3 | base64 }}'></audio>
<p><img style='max-width:100%' alt='{{ alt }}' src='data:image/png;base64,{{ picture | base64 }}'></p>
{{ tables | join }}{% for warning in warnings %}<p>{{ warning }}</p>{% endfor %}</div>"""

Judged = Prediction | PreparedClip  # judged already, or to be
Source = Clip | Judged  # what a player takes; a Clip is a path or samples


def prepare(source: Source, recogniser: EmotionRecognizer | None, text: str | None) -> Judged:
    """A clip to be judged (PreparedClip) or, without a recogniser, one that was judged before or never."""
    if isinstance(source, Prediction) and recogniser:
        wave = np.asarray(source.wave)
        return PreparedClip(recogniser, wave, source.transcript, source.words, source.warnings)
    if isinstance(source, Prediction | PreparedClip):
        return source
    if recogniser:
        return listening.listen(recogniser, source, text)
    wave = audio.load(source)
    return Prediction("", {}, text or "", (), len(wave) / audio.SAMPLE_RATE, wave=wave)


def peaks(wave: np.ndarray) -> list[float]:
    """The loudest sample of each of 400 equal stretches of a wave (N,); the loudest of all is 1."""
    edges = np.linspace(0, len(wave), PEAKS + 1).astype(int)[:-1]
    loudest = np.maximum.reduceat(np.abs(wave), np.minimum(edges, len(wave) - 1))
    return (loudest / max(float(loudest.max()), 1e-9)).astype(float).round(3).tolist()


def mel_image(wave: np.ndarray) -> bytes:
    """The log-mel (T, 80) as a WebP, time to the right, low bands below; at most 600 pixels wide."""
    from matplotlib import colormaps
    from PIL import Image

    mel = audio.log_mel(wave)
    low, high = np.percentile(mel, [5, 99.5])
    shades = np.clip((mel.T[::-1] - low) / max(high - low, 1e-6), 0, 1)
    image = Image.fromarray(np.ascontiguousarray(colormaps["magma"](shades, bytes=True)[..., :3]))
    out = io.BytesIO()
    image.resize((min(600, image.width), image.height)).save(out, "WEBP", quality=70)
    return out.getvalue()


def timed_words(prediction: Prediction) -> list[dict[str, Any]]:
    """A transcript's words: text, start, end (s), weight (attention), approximate.

    Where Whisper did not listen there are no times: the characters are then spread evenly over what sounds.
    """
    pieces = listening.pieces(prediction)
    starts, ends = [piece.start for piece in pieces], [piece.end for piece in pieces]
    if approximate := None in starts:
        frames = np.flatnonzero(audio.sounding(np.asarray(prediction.wave)))
        span = (frames[0], frames[-1] + 1) if len(frames) else (0, 0)
        counts = np.cumsum([0, *(len(piece.text) for piece in pieces)])
        edges = np.interp(counts, counts[[0, -1]], span) * audio.HOP / audio.SAMPLE_RATE
        starts, ends = edges[:-1].round(3).tolist(), edges[1:].round(3).tolist()
    return [
        {"text": p.text, "start": start, "end": end, "weight": round(p.weight, 4), "approximate": approximate}
        for p, start, end in zip(pieces, starts, ends, strict=True)
    ]


def judgement(prediction: Prediction, along: tuple[np.ndarray, np.ndarray] | None = None) -> dict[str, Any]:
    """What the page gets of a prediction, and of what `PreparedClip.along` gives: times (T,), rows (T, C)."""
    times, rows = along or (np.zeros(0), np.zeros((0, 0)))
    return dict(
        emotion=prediction.emotion, probabilities=prediction.probabilities, words=timed_words(prediction),
        attention=[round(weight, 4) for weight in prediction.attention.get("time", [])],
        along={"times": times.round(3).tolist(), "probabilities": rows.round(4).tolist()},
    )  # fmt: skip


def facts(ready: Judged, **own: Any) -> dict[str, Any]:
    """What the page gets of a clip, however it is judged, beside `own`: label, utt_id, truth, votes."""
    from vcemo_lib.plots import palette

    wave = np.asarray(ready.wave)
    classes, modalities = (
        (list(ready.probabilities), ())
        if isinstance(ready, Prediction)
        else (list(ready.recogniser.classes), ready.recogniser.modalities)
    )
    return dict(
        own, transcript=ready.transcript, mp3=encode_mp3(wave, KBITS), picture=mel_image(wave),
        peaks=peaks(wave), seconds=len(wave) / audio.SAMPLE_RATE, classes=classes, colours=palette(classes),
        modalities=list(modalities), warnings=list(ready.warnings),
    )  # fmt: skip


class Player(View):
    """A clip to play, with its words, its picture and the recogniser's judgement; muting judges again.

    source      a path, samples, a Prediction, or what `listen` gave
    recogniser  judges the clip; without one the player shows a Prediction's bars, or just plays
    own         text (what was said, else Whisper listens), truth, votes, label, mute; see `show`
    Raises VcemoError for a clip that cannot be judged.
    """

    _esm = script("player.js")

    sound = traitlets.Unicode().tag(sync=True)  # name of its transport in the page
    clip = traitlets.Dict().tag(sync=True)  # what stays: `show` lists it; empty before the first clip
    judgement = traitlets.Dict().tag(sync=True)  # what muting changes; took (ms) when judged again
    muted: traitlets.List[str] = traitlets.List().tag(sync=True)

    def __init__(
        self, source: Source | None = None, recogniser: EmotionRecognizer | None = None, **own: Any
    ) -> None:
        self._prepared: PreparedClip | None = None
        super().__init__(sound=uuid.uuid4().hex)
        if source is not None:
            self.show(source, recogniser, **own)

    @classmethod
    def of(cls, corpus: Corpus, utt_id: str, recogniser: EmotionRecognizer | None = None) -> Player:
        """A corpus' utterance with its true label and votes; Whisper listens."""
        return cls(audio.utterance(corpus, utt_id), recogniser, **corpus_facts(corpus, utt_id))

    def show(
        self, source: Source, recogniser: EmotionRecognizer | None = None, *, text: str | None = None,
        truth: str = "", votes: Mapping[str, int] | None = None, label: str = "", utt_id: str = "",
        mute: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Put another clip into this player. The page gets the sound first, then the judgement."""
        ready = prepare(source, recogniser, text)
        self._prepared = None  # muting judges nothing while the clips change
        with self.hold_sync():
            self.muted, self.judgement = list(mute), judgement(ready) if isinstance(ready, Prediction) else {}
            self.clip = facts(ready, label=label, utt_id=utt_id, truth=truth, votes=dict(votes or {}))
        if isinstance(ready, PreparedClip):
            self._prepared = ready
            self.judgement = judgement(ready.predict(mute), ready.along(STEPS, mute))

    @traitlets.observe("muted")
    def _on_mute(self, change: Any) -> None:
        if clip := self._prepared:
            began = time.perf_counter()
            again = judgement(clip.predict(self.muted), clip.along(STEPS, self.muted))
            self.judgement = {**again, "took": round(1000 * (time.perf_counter() - began), 1)}

    @property
    def mp3(self) -> bytes:
        return self.clip["mp3"]

    @property
    def seconds(self) -> float:
        return self.clip["seconds"]

    def __repr__(self) -> str:
        return f"Player({self.clip.get('label', '')!r}, {self.judgement.get('emotion', '')!r})"

    def twin(self) -> str:
        """The same as still HTML: sound, picture, and tables, which are all that GitHub leaves."""
        from PIL import Image

        from vcemo_lib import plots
        from vcemo_lib.course.pictures import timeline

        if not (clip := self.clip):
            return "<p class='vcemo-twin'>A player, with no clip in it yet.</p>"
        judged, classes, label = self.judgement, clip["classes"], clip["label"] or "clip"
        told, alt = [], f"Waveform and log-mel of {label}, {clip['seconds']:.1f} s"
        answers, words = [], []  # rows of the two tables
        if clip["truth"]:
            told.append(f"true: {clip['truth']}")
        if judged["emotion"]:
            answer = f"{judged['emotion']}, {judged['probabilities'][judged['emotion']]:.0%}"
            told.append(f"the model says: {answer}")
            alt += f"; below, how the probabilities move along the clip, ending at {answer}"
            shares = [f"{judged['probabilities'][c]:.0%}" for c in classes]
            answers = [["emotion", *classes], ["probability", *shares]]
            if clip["votes"]:
                answers.append(["raters", *(clip["votes"].get(c, "") for c in classes)])
        if self.muted:
            told.append(f"without {' and '.join(MODALITY[name] for name in self.muted)}")
        if spoken := judged["words"]:  # numbered, as the picture's font may have no Chinese
            words = [["no.", *range(1, len(spoken) + 1)], ["words heard", *(word["text"] for word in spoken)]]
            if not spoken[0]["approximate"]:
                words.append(["from, s", *(f"{word['start']:.2f}" for word in spoken)])
            if judged["emotion"]:
                words.append(["attention", *(f"{word['weight']:.0%}" for word in spoken)])
        mel = np.asarray(Image.open(io.BytesIO(clip["picture"])).convert("RGB"))
        curves = (*judged["along"].values(), classes, spoken)
        picture = plots.png(timeline(clip["peaks"], mel, clip["seconds"], *curves))
        tables = [html_table(rows) for rows in (answers, words) if rows]
        page = {**clip, "label": label, "facts": told, "alt": alt, "picture": picture, "tables": tables}
        return render(TWIN, **page)


def corpus_facts(corpus: Corpus, utt_id: str) -> dict[str, Any]:
    """What a player shows of a corpus' utterance beside its sound: label, utt_id, truth and votes."""
    row = corpus.table.loc[utt_id]
    label = f"{utt_id}, simulated" if corpus.simulated else utt_id
    return {"label": label, "utt_id": utt_id, "truth": row["emotion"], "votes": row.get("votes") or {}}
