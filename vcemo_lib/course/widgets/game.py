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
from markupsafe import Markup

from vcemo_lib import audio
from vcemo_lib.corpora.splits import bare
from vcemo_lib.course.dials import apportion
from vcemo_lib.course.players import encode_mp3, player_html
from vcemo_lib.course.widgets.base import View, html_table, render, script, votes_text
from vcemo_lib.course.widgets.player import KBITS
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import write_atomically

if TYPE_CHECKING:
    from vcemo_lib.corpora import Corpus
    from vcemo_lib.training.runs import Predictions

CLIPS = 10
RATERS_NOTE = "Each rater's vote is part of the majority that it is measured against: that flatters them."
TWIN = """\
<div class='vcemo-twin'><p><b>Beat the model</b>: {{ clips | length }} {{ "simulated " if simulated }}clips.
Choose from {{ labels | join(", ") }} by ear, write it down, then unfold. The notebook counts for you.</p>
<ol>{% for clip in clips %}<li style='margin:.5em 0'>{{ clip.sound | safe }}
<details><summary>What is it? Decide first</summary><p>label: <b>{{ clip.label }}</b>;
{% if clip.votes %}raters: {{ votes_text(clip.votes) }};{% endif %}
model: {{ clip.model }} ({{ clip.confidence | percent }} sure); {{ clip.text }}</p></details></li>
{% endfor %}</ol>
<details><summary>The model's score</summary><p>{{ score.right }} of {{ score.of }} right;
that fits a true share from {{ score.low | percent }} to {{ score.high | percent }}.</p></details></div>"""


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


def score(who: str, true: Sequence[str], answers: Sequence[str]) -> dict[str, Any]:
    """How answers (N,) agree with labels (N,): `right` of `of`, `low` and `high` of the share (95 %, Wilson),
    `kappa` (Cohen's, None where everybody always gave the same answer).
    """
    from scipy.stats import binomtest

    right = sum(a == b for a, b in zip(true, answers, strict=True))
    low, high = map(float, binomtest(right, len(true)).proportion_ci(method="wilson"))
    kappa = cohen_kappa(true, answers)
    return {"who": who, "right": right, "of": len(true), "low": low, "high": high, "kappa": kappa}


def score_of_raters(true: Sequence[str], votes: Sequence[Mapping[str, int]]) -> dict[str, Any]:
    """The raters' mean score, without interval: each is measured against a majority that he is a part of."""
    cast = [[vote for vote, count in of.items() for _ in range(count)] for of in votes]
    right = sum(each.count(label) / len(each) for label, each in zip(true, cast, strict=True))
    kappa = cohen_kappa([label for label, each in zip(true, cast, strict=True) for _ in each], sum(cast, []))
    return {"who": "raters", "right": right, "of": len(true), "low": None, "high": None, "kappa": kappa}


def cohen_kappa(true: Sequence[str], answers: Sequence[str]) -> float | None:
    """Agreement beyond chance: 1 at most, 0 for what chance gives; None where undefined (Cohen, 1960)."""
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(true, answers)) if len({*true, *answers}) > 1 else None


class Game(View):
    """The game, also by code: `answer("sad")`, `back()`, `reveal()`, `again()`, `result()`, `save(path)`."""

    _esm = script("game.js")

    about = traitlets.Dict().tag(sync=True)  # colours by label, number of clips, note
    seed = traitlets.Int().tag(sync=True)
    answers = traitlets.List(traitlets.Unicode()).tag(sync=True)  # so far, in the order of the clips
    stage = traitlets.Enum(("playing", "revealed"), "playing").tag(sync=True)
    report = traitlets.Dict().tag(sync=True)  # empty before the reveal
    report_html = traitlets.Unicode().tag(sync=True)

    def __init__(self, corpus: Corpus, predictions: Predictions, seed: int = 0) -> None:
        from vcemo_lib.plots import palette

        if missing := set(predictions.ids) ^ set(corpus.ids):
            what = f"{len(missing)} clips are in the corpus or among the answers only"
            raise VcemoError(what, where=corpus.name, do="give the part that was judged")
        self.corpus, self.predictions = corpus, predictions
        self.ids = draw(corpus, CLIPS, seed)
        note = "Simulated voices, simulated raters." if corpus.simulated else ""
        about = {"colours": palette(predictions.classes), "clips": CLIPS, "note": note}
        super().__init__(about=about, seed=seed)

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
            self.report = self._report()
            self.report_html = report_html(self.report)
            self.stage = "revealed"

    def again(self) -> None:
        """Begin again with other clips (the next seed); what was answered is forgotten."""
        self.ids = draw(self.corpus, CLIPS, self.seed + 1)
        with self.hold_sync():
            self.seed += 1
            self.stage, self.answers, self.report, self.report_html = "playing", [], {}, ""

    def result(self) -> dict[str, Any]:
        """Everything about a finished game, as plain values. Raises VcemoError before the reveal."""
        if not self.report:
            raise VcemoError("this game is not finished", do="answer all clips and reveal")
        return self.report

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

    def _report(self) -> dict[str, Any]:
        from vcemo_lib.course.sweeps import mcnemar

        clips = [{**clip, "you": answer} for clip, answer in zip(self._clips(), self.answers, strict=True)]
        names = ("label", "you", "model", "votes")
        label, you, model, votes = ([clip[name] for clip in clips] for name in names)
        yours, its = score("you", label, you), score("model", label, model)
        raters = [score_of_raters(label, votes)] if all(votes) else []
        test = mcnemar(*map(np.array, (label, you, model)))
        return dict(
            corpus=self.corpus.name, simulated=self.corpus.simulated, fingerprint=self.corpus.fingerprint(),
            seed=self.seed, scores=[yours, *raters, its], p=test["p"], clips=clips,
            notes=[*notes(yours, its, test), *([RATERS_NOTE] if raters else [])],
        )  # fmt: skip

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
        model = score("model", [clip["label"] for clip in clips], [clip["model"] for clip in clips])
        values = {"simulated": self.corpus.simulated, "labels": self.predictions.classes, "score": model}
        return render(TWIN, clips=clips, votes_text=votes_text, **values)

    def __repr__(self) -> str:
        return f"Game: {CLIPS} clips of {self.corpus.name}, seed {self.seed}, {self.stage}"


def notes(you: Mapping[str, Any], model: Mapping[str, Any], test: Mapping[str, float]) -> list[str]:
    """What the scores of a game say, and what they do not."""
    lead, share = you["right"] - model["right"], you["right"] / you["of"]
    outcome = f"You are {abs(lead)} clip{'s' * (abs(lead) > 1)} {'ahead' if lead > 0 else 'behind'}"
    needed = round(1.96**2 * max(share * (1 - share), 0.09) / 0.05**2, -1)
    return [
        f"{outcome if lead else 'You and the model are level'}. Only you had {test['only_a']} right, only "
        f"the model {test['only_b']}; were you equally good, a split at least as uneven would come up with "
        f"probability {test['p']:.2f} (McNemar).",
        f"{you['of']} clips are few: {you['right']:g} right fits a true share from {you['low']:.0%} to "
        f"{you['high']:.0%}, and kappa is as unsure. To know it within 5 points takes some {needed:.0f} "
        "clips.",
    ]


def report_html(report: Mapping[str, Any]) -> str:
    """A finished game's scores, notes and clips as HTML; a button replays its clip."""
    button = Markup("<button type='button' data-clip='{}' aria-label='play clip {}, {}'>▶</button>")
    scores, clips = [], []
    for each in report["scores"]:
        interval = "–" if each["low"] is None else f"{each['low']:.0%} to {each['high']:.0%}"
        kappa = "–" if each["kappa"] is None else f"{each['kappa']:.2f}"
        scores.append([each["who"], f"{each['right']:.3g} of {each['of']}", interval, kappa])
    for i, clip in enumerate(report["clips"]):
        you, model = (f"{'✓' if clip[who] == clip['label'] else '✗'} {clip[who]}" for who in ("you", "model"))
        cells = [clip["label"], you, votes_text(clip["votes"]), f"{model} ({clip['confidence']:.0%})"]
        clips.append([button.format(i, i + 1, clip["label"]), clip["text"], *cells])
    return (
        html_table(scores, ("who", "right", "95 % interval", "Cohen's kappa"))
        + Markup("").join(Markup("<p>{}</p>").format(note) for note in report["notes"])
        + html_table(clips, ("", "words", "label", "you", "raters", "model (how sure)"))
    )
