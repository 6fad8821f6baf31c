"""Beat the model: ten clips by ear, then your score beside the raters' and the model's.

    game = Game(part, predictions, seed=0)      # predictions: what `judged(part)` gave
    game                                        # keys 1 to 6 answer, space plays
    game.save("my_ears.json")                   # after the reveal only

What the clips are is not sent to the page before the reveal. A game that is not finished is kept nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from vcemo_lib import audio
from vcemo_lib.corpora.splits import bare
from vcemo_lib.course.dials import apportion
from vcemo_lib.course.players import encode_mp3, player_html
from vcemo_lib.course.widgets.base import View, render, votes_text
from vcemo_lib.course.widgets.living import script
from vcemo_lib.course.widgets.player import KBITS
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import write_atomically

if TYPE_CHECKING:
    from vcemo_lib.corpora import Corpus
    from vcemo_lib.training.runs import Predictions

CLIPS = 10
TWIN = """\
<div class='vcemo-twin'><p><b>Beat the model</b>: {{ clips | length }} {{ "simulated " if simulated }}clips.
Choose from {{ labels | join(", ") }} by ear, write it down, then unfold.
In the notebook and on the site it is counted for you.</p>
<ol>{% for clip in clips %}<li style='margin:.5em 0'>{{ clip.sound | safe }}
<details><summary>What is it? Decide first</summary><p>label: <b>{{ clip.label }}</b>;
{% if clip.votes %}raters: {{ votes_text(clip.votes) }};{% endif %}
model: {{ clip.model }} ({{ clip.confidence | percent }} sure); {{ clip.text }}</p></details></li>
{% endfor %}</ol>
<details><summary>The model's score</summary><p>{{ right }} of {{ clips | length }} right: ten clips are few,
and the notebook says how unsure that is.</p></details></div>"""


def draw(corpus: Corpus, clips: int = CLIPS, seed: int = 0) -> list[str]:
    """Ids of so many clips in random order: each emotion once, the others as common as in the corpus.

    No sentence comes twice. Raises VcemoError where the corpus has too few for that.
    """
    rng = np.random.default_rng(seed)
    counts = corpus.table["emotion"].value_counts()
    labels = [label for label in corpus.labels if counts.get(label, 0)]
    if clips < len(labels):
        raise VcemoError(f"{clips} clips for {len(labels)} emotions", do=f"ask for at least {len(labels)}")
    shares = np.array([counts[label] for label in labels]) / len(corpus)
    quota = dict(zip(labels, (1 + apportion((clips - len(labels)) * shares)).tolist(), strict=True))
    sentences = corpus.table["text"].map(bare)
    chosen: dict[str, str] = {}  # sentence -> clip
    for label in sorted(labels, key=lambda label: counts[label]):  # the rarest choose first
        ids = corpus.table.index[corpus.table["emotion"] == label].to_numpy(str)
        for utt_id in rng.permutation(ids).tolist():
            if quota[label] and sentences[utt_id] not in chosen:
                chosen[sentences[utt_id]] = utt_id
                quota[label] -= 1
        if quota[label]:
            what = f"too few different sentences labelled {label}"
            raise VcemoError(what, where=corpus.name, do="ask for fewer clips or take a larger part")
    return rng.permutation([*chosen.values()]).tolist()


def about(corpus: Corpus, classes: Sequence[str]) -> dict[str, Any]:
    """What the page knows from the first: colours by label, number of clips, a note."""
    from vcemo_lib.plots import palette

    note = "Simulated voices, simulated raters." if corpus.simulated else ""
    return {"colours": palette(classes), "clips": CLIPS, "note": note}


class Game(View):
    """The game, also by code: `answer("sad")`, `back()`, `reveal()`, `again()`, `result()`, `save(path)`."""

    _esm = script("game.js")

    about = traitlets.Dict().tag(sync=True)  # colours by label, number of clips, note
    seed = traitlets.Int().tag(sync=True)
    answers = traitlets.List(traitlets.Unicode()).tag(sync=True)  # so far, in the order of the clips
    stage = traitlets.Enum(("playing", "revealed"), "playing").tag(sync=True)
    clips: traitlets.List[Any] = traitlets.List().tag(sync=True)  # what they are; empty before the reveal

    def __init__(self, corpus: Corpus, predictions: Predictions, seed: int = 0) -> None:
        if missing := set(predictions.ids) ^ set(corpus.ids):
            what = f"{len(missing)} clips are in the corpus or among the answers only"
            raise VcemoError(what, where=corpus.name, do="give the part that was judged")
        self.corpus, self.predictions = corpus, predictions
        self.ids = draw(corpus, CLIPS, seed)
        super().__init__(about=about(corpus, predictions.classes), seed=seed)

    def answer(self, label: str) -> None:
        """Say what the present clip is."""
        if label not in self.predictions.classes:
            raise VcemoError(f"{label!r} is no emotion here", do=f"say {', '.join(self.predictions.classes)}")
        if self.stage == "playing" and len(self.answers) < CLIPS:
            self.answers = [*self.answers, label]

    def back(self) -> None:
        """Take the last answer back."""
        if self.stage == "playing":
            self.answers = self.answers[:-1]

    def reveal(self) -> None:
        """Show what everybody said. Raises VcemoError while answers are missing."""
        if left := CLIPS - len(self.answers):
            raise VcemoError(f"{left} of {CLIPS} clips have no answer yet", do="listen to them first")
        with self.hold_sync():
            self.clips = self._clips()
            self.stage = "revealed"

    def again(self) -> None:
        """Begin again with other clips (the next seed); what was answered is forgotten."""
        self.ids = draw(self.corpus, CLIPS, self.seed + 1)
        with self.hold_sync():
            self.seed += 1
            self.stage, self.answers, self.clips = "playing", [], []

    def result(self) -> dict[str, Any]:
        """Everything about a finished game, as plain values. Raises VcemoError before the reveal."""
        if not self.clips:
            raise VcemoError("this game is not finished", do="answer all clips and reveal")
        clips = [{**clip, "you": answer} for clip, answer in zip(self.clips, self.answers, strict=True)]
        of, said = self.corpus, [(clip["label"], clip["you"], clip["model"]) for clip in clips]
        right = {"you": sum(label == you for label, you, _ in said), "model": sum(t == m for t, _, m in said)}
        facts = dict(corpus=of.name, simulated=of.simulated, fingerprint=of.fingerprint(), seed=self.seed)
        return {**facts, "right": right, "clips": clips}

    def save(self, path: Path | str) -> Path:
        """Write the result as JSON."""
        write_atomically(Path(path), json.dumps(self.result(), indent=1, ensure_ascii=False) + "\n")
        return Path(path)

    def _clips(self) -> list[dict[str, Any]]:
        """What is known of the clips, in their order."""
        p, table = self.predictions, self.corpus.table
        votes: Any = table.get("votes", {})
        return [
            dict(
                utt_id=utt_id, text=table.at[utt_id, "text"], votes=dict(votes.get(utt_id) or {}),
                label=p.classes[p.y_true[i]], model=p.classes[p.y_pred[i]],
                confidence=round(float(p.probabilities[i].max()), 4),
            )
            for utt_id, i in zip(self.ids, map(p.ids.index, self.ids), strict=True)
        ]  # fmt: skip

    def receive_message(self, message: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        """From the page: an answer, its retraction, the reveal, a new game, or a clip to be heard."""
        match message:
            case {"do": "answer", "label": str(label)}:
                self.answer(label)
            case {"do": "back" | "reveal" | "again" as action}:
                getattr(self, action)()
            case {"do": "load", "clip": int(clip)} if 0 <= clip < CLIPS:
                sound = encode_mp3(audio.utterance(self.corpus, self.ids[clip]), KBITS)
                self.send({"kind": "clip", "clip": clip, "seed": self.seed}, buffers=[sound])

    def twin(self) -> str:
        """The game as still HTML: a sound a clip, and below each what raters and model said, to unfold."""
        clips = self._clips()
        for number, clip in enumerate(clips, start=1):
            clip["sound"] = player_html(audio.utterance(self.corpus, clip["utt_id"]), f"clip {number}")
        right = sum(clip["label"] == clip["model"] for clip in clips)
        values = {"simulated": self.corpus.simulated, "labels": self.predictions.classes, "right": right}
        return render(TWIN, clips=clips, votes_text=votes_text, **values)

    def __repr__(self) -> str:
        return f"Game: {CLIPS} clips of {self.corpus.name}, seed {self.seed}, {self.stage}"
