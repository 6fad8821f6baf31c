"""Beat the model: ten clips by ear, then your score beside the raters' and the model's.

    game = Game(part, said, seed=0)      # said: what `judged(part)` gave
    game                                 # keys 1 to 6 answer, space plays
    game.save("my_ears.json")            # after the reveal only

What the clips are is not sent to the page before the reveal. A game that is not finished is kept nowhere.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import numpy as np
import traitlets

from vcemo_lib import audio
from vcemo_lib.corpora.splits import apportion, bare
from vcemo_lib.course.widgets.browser import told, wav
from vcemo_lib.course.widgets.player import HERE, with_dom, with_twin
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import write_atomically

if TYPE_CHECKING:
    from vcemo_lib.corpora import Corpus
    from vcemo_lib.training.runs import Predictions

CLIPS = 10


# ---- what is drawn, and how it is scored -------------------------------------------------------------------------


def draw(corpus: Corpus, clips: int = CLIPS, seed: int = 0) -> list[str]:
    """Ids of so many clips in random order: each emotion once, the others as common as in the corpus; no sentence twice.

    Raises VcemoError where the corpus has too few sentences for that.
    """
    rng = np.random.default_rng(seed)
    counts = corpus.table["emotion"].value_counts()
    labels = [label for label in corpus.labels if counts.get(label, 0)]
    if clips < len(labels):
        raise VcemoError(f"{clips} clips for {len(labels)} emotions", do=f"ask for at least {len(labels)}")
    shares = np.array([counts[label] for label in labels]) / len(corpus)
    quota = 1 + apportion((clips - len(labels)) * shares)
    sentences = corpus.table["text"].map(bare)
    chosen: list[str] = []
    heard: set[str] = set()
    for label, number in sorted(zip(labels, quota.tolist(), strict=True), key=lambda pair: counts[pair[0]]):  # the rarest choose first
        for utt_id in rng.permutation(corpus.table.index[corpus.table["emotion"] == label].to_numpy(str)).tolist():
            if number and sentences[utt_id] not in heard:
                chosen.append(utt_id)
                heard.add(sentences[utt_id])
                number -= 1
        if number:
            raise VcemoError(f"too few different sentences labelled {label}", where=corpus.name, do="ask for fewer clips or take a larger part")
    return rng.permutation(chosen).tolist()


@dataclass(frozen=True)
class Score:
    """How one who labelled the clips agrees with the majority of the raters."""

    who: str
    right: float  # of `of`; the raters' is a mean over their votes
    of: int
    low: float | None  # 95 % interval of the share (Wilson), None for the raters: their votes are not independent of the label
    high: float | None
    kappa: float | None  # Cohen's; None where it does not exist, as everybody always said the same


def score(who: str, true: Sequence[str], said: Sequence[str]) -> Score:
    """The score of answers (N,) against labels (N,)."""
    from scipy.stats import binomtest

    right = sum(a == b for a, b in zip(true, said, strict=True))
    interval = binomtest(right, len(true)).proportion_ci(method="wilson")
    return Score(who, right, len(true), float(interval.low), float(interval.high), cohen_kappa(true, said))


def score_of_raters(true: Sequence[str], votes: Sequence[Mapping[str, int]]) -> Score:
    """The raters' own: each vote against the majority that it is a part of, so better than a stranger's could be."""
    pairs = [(label, vote) for label, cast in zip(true, votes, strict=True) for vote, count in cast.items() for _ in range(count)]
    share = np.mean([cast.get(label, 0) / sum(cast.values()) for label, cast in zip(true, votes, strict=True)])
    return Score("raters", float(share) * len(true), len(true), None, None, cohen_kappa(*zip(*pairs, strict=True)))


def cohen_kappa(true: Sequence[str], said: Sequence[str]) -> float | None:
    """Agreement beyond chance, 1 at most, 0 for what chance gives; None where it does not exist (Cohen, 1960)."""
    from sklearn.metrics import cohen_kappa_score

    if len(set(true) | set(said)) < 2:
        return None
    return float(cohen_kappa_score(list(true), list(said)))


# ---- the widget ----------------------------------------------------------------------------------------------------


class Game(anywidget.AnyWidget):
    """Beat the model: listen to ten clips, say what each is, then see your score, the raters' and the model's.

    From code: `answer("sad")`, `back()`, `reveal()`, `again()`; `result()` and `save(path)` after the reveal. Shown
    where no kernel runs, it is a list of players with answers to unfold.
    """

    _esm = with_dom("game.js")
    _css = HERE / "browser.css"

    about = traitlets.Dict().tag(sync=True)  # labels, colours, number of clips, note
    answers = traitlets.List(traitlets.Unicode()).tag(sync=True)  # so far, in the order of the clips
    stage = traitlets.Enum(("playing", "revealed"), "playing").tag(sync=True)
    report = traitlets.Dict().tag(sync=True)  # empty before the reveal

    def __init__(self, corpus: Corpus, said: Predictions, clips: int = CLIPS, seed: int = 0) -> None:
        from vcemo_lib.plots import palette

        self.corpus, self.said, self.clips, self.seed = corpus, said, clips, seed
        if missing := set(said.ids) ^ set(corpus.ids):
            raise VcemoError(f"{len(missing)} clips are in the corpus or among the answers only", where=corpus.name, do="give the part that was judged")
        self.ids = draw(corpus, clips, seed)
        labels = list(said.classes)
        colours = palette(labels)
        note = "Simulated voices, simulated raters." if corpus.simulated else ""
        super().__init__(about={"labels": labels, "colours": [colours[label] for label in labels], "clips": clips, "note": note})
        self.on_msg(self._told)

    # -- the game

    def answer(self, label: str) -> None:
        """Say what the present clip is; the next one follows."""
        if label not in self.said.classes:
            raise VcemoError(f"{label!r} is no emotion here", do=f"say one of {', '.join(self.said.classes)}")
        if self.stage == "playing" and len(self.answers) < self.clips:
            self.answers = [*self.answers, label]

    def back(self) -> None:
        """Take the last answer back."""
        if self.stage == "playing":
            self.answers = self.answers[:-1]

    def reveal(self) -> None:
        """Show what everybody said. Raises VcemoError while answers are missing."""
        if left := self.clips - len(self.answers):
            raise VcemoError(f"{left} of {self.clips} clips have no answer yet", do="listen to them first")
        with self.hold_sync():
            self.report = self._report()
            self.stage = "revealed"

    def again(self) -> None:
        """Begin anew with other clips (the next seed); what was answered is forgotten."""
        self.seed += 1
        self.ids = draw(self.corpus, self.clips, self.seed)
        with self.hold_sync():
            self.stage, self.answers, self.report = "playing", [], {}

    def result(self) -> dict[str, Any]:
        """Everything about a finished game, as plain values. Raises VcemoError before the reveal."""
        if self.stage != "revealed":
            raise VcemoError("this game is not finished", do="answer all clips and reveal")
        return self.report

    def save(self, path: Path | str) -> Path:
        """Write the result as JSON."""
        write_atomically(Path(path), json.dumps(self.result(), indent=1, ensure_ascii=False) + "\n")
        return Path(path)

    def _rows(self) -> list[dict[str, Any]]:
        """What is known of the clips, in their order."""
        table, place = self.corpus.table, {u: i for i, u in enumerate(self.said.ids)}
        rows = []
        for utt_id in self.ids:
            i, row = place[utt_id], table.loc[utt_id]
            rows.append({
                "utt_id": utt_id, "text": row["text"], "label": row["emotion"], "model": self.said.classes[self.said.y_pred[i]],
                "confidence": round(float(self.said.probabilities[i].max()), 4), "votes": dict(row.get("votes") or {}),
            })  # fmt: skip
        return rows

    def _report(self) -> dict[str, Any]:
        from vcemo_lib.evaluation import mcnemar

        rows = [{**row, "you": you} for row, you in zip(self._rows(), self.answers, strict=True)]
        true, votes = [row["label"] for row in rows], [row["votes"] for row in rows]
        you, model = (score(who, true, [row[who] for row in rows]) for who in ("you", "model"))
        raters = [score_of_raters(true, votes)] if all(votes) else []
        index = {label: i for i, label in enumerate(self.said.classes)}
        y, yours, its = (np.array([index[row[who]] for row in rows]) for who in ("label", "you", "model"))
        toss = mcnemar(y, yours, its)
        share = you.right / you.of
        lead = you.right - model.right
        outcome = "You and the model are level" if not lead else f"You are {abs(lead)} clip{'s' * (abs(lead) > 1)} {'ahead' if lead > 0 else 'behind'}"
        needed = round(1.96**2 * max(share * (1 - share), 0.09) / 0.05**2, -1)
        notes = [
            f"{outcome}. Only you had {toss['only_a']} right, only the model {toss['only_b']}; were you equally good, a split at least as "
            f"uneven would come up with probability {toss['p']:.2f} (McNemar).",
            f"{self.clips} clips are few: {you.right:g} right fits a true share from {you.low:.0%} to {you.high:.0%}, and kappa is as unsure. "
            f"To know the share to within 5 points takes some {needed:.0f} clips.",
        ]
        if raters:
            notes.append("Each rater's vote is part of the majority that it is measured against: that flatters the raters.")
        about = {"corpus": self.corpus.name, "simulated": self.corpus.simulated, "fingerprint": self.corpus.fingerprint(), "seed": self.seed}
        return {**about, "scores": [asdict(one) for one in (you, *raters, model)], "p": toss["p"], "notes": notes, "clips": rows}

    # -- from the page

    def _told(self, _: Any, message: Mapping[str, Any], __: Any) -> None:
        try:
            match message.get("do"):
                case "answer":
                    self.answer(message["label"])
                case "back":
                    self.back()
                case "reveal":
                    self.reveal()
                case "again":
                    self.again()
                case "play" if 0 <= int(message["clip"]) < len(self.ids):
                    clip = int(message["clip"])
                    sound = wav(audio.utterance(self.corpus, self.ids[clip]))
                    self.send({"clip": clip, "seed": self.seed}, buffers=[sound])
        except VcemoError as error:
            self.send({"trouble": str(error)})

    # -- where there is no kernel

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        return with_twin(super()._repr_mimebundle_(**options), self.twin(), repr(self))

    def __repr__(self) -> str:
        return f"Game: {self.clips} clips of {self.corpus.name}, seed {self.seed}, {self.stage}"

    def twin(self) -> str:
        """The game as still HTML: a player a clip, and below each what raters and model said, to unfold."""
        rows = self._rows()
        items = []
        for number, row in enumerate(rows, start=1):
            told_by = [f"label: <b>{html.escape(row['label'])}</b>"] + ([f"raters: {html.escape(told(row['votes']))}"] if row["votes"] else [])
            told_by.append(f"model: {html.escape(row['model'])} ({row['confidence']:.0%} sure)")
            player = audio.player_html(audio.utterance(self.corpus, row["utt_id"]), f"clip {number}")
            items.append(
                f"<li style='margin:.5em 0'>{player}<details><summary>What is it? Decide first</summary>"
                f"<p>{'; '.join(told_by)}; <span lang='zh'>{html.escape(row['text'])}</span></p></details></li>"
            )
        model = score("model", [row["label"] for row in rows], [row["model"] for row in rows])
        kind = "simulated " if self.corpus.simulated else ""
        return (
            f"<div class='vcemo-twin'><p><b>Beat the model</b>: {len(rows)} {kind}clips. Choose from {html.escape(', '.join(self.said.classes))} by ear, "
            f"write it down, then unfold. The running notebook counts for you.</p><ol>{''.join(items)}</ol>"
            f"<details><summary>The model's score</summary><p>{model.right} of {model.of} right; that fits a true share from {model.low:.0%} to "
            f"{model.high:.0%}.</p></details></div>"
        )
