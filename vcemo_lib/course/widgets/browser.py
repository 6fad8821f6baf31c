"""Browse a corpus by ear: what each clip is, what a model says about it, and where it is wrong.

    predictions = judged(part)      # the bundled recogniser's answers
    Browser(part, predictions)      # filters, confusion matrix, map, list; each clip plays

`browser.js` filters, counts and draws. A chosen clip goes into the player beside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np
import traitlets
from markupsafe import Markup

from vcemo_lib import audio, evaluation
from vcemo_lib.course.players import player_html
from vcemo_lib.course.widgets.base import HasTwin, View, html_table, render, votes_text
from vcemo_lib.course.widgets.living import script
from vcemo_lib.course.widgets.player import Player, corpus_facts
from vcemo_lib.errors import VcemoError
from vcemo_lib.predict import EmotionRecognizer, Prediction

if TYPE_CHECKING:
    import pandas as pd

    from vcemo_lib.corpora import Corpus
    from vcemo_lib.training.runs import Predictions, Run

TWIN_MISTAKES, TWIN_PLAYERS = 6, 3  # rows and sounds of the still twin: a stored notebook stays under 1 MB
TWIN = """\
<div class='vcemo-twin'><p>{{ clips }}, {{ right }} judged rightly. This is a still picture of the browser;
run the notebook to filter, click and listen.</p>{{ matrix }}
<img alt='{{ alt }}' src='data:image/png;base64,{{ picture | base64 }}'>{{ mistakes }}</div>"""


def judged(corpus: Corpus, run: Run | None = None, store: Any = None) -> Predictions:
    """What a trained run, by default the bundled recogniser, says about each clip of a corpus part.

    Without `store`, features are computed of the words that Whisper heard, where the corpus has them.
    """
    from vcemo_lib import features
    from vcemo_lib.training.runs import kinds_of

    run = run or EmotionRecognizer.load().run
    if tuple(corpus.labels) != tuple(run.classes):
        what = f"the model knows {', '.join(run.classes)}; the corpus has {', '.join(corpus.labels)}"
        raise VcemoError(what, do="use a model trained for these labels")
    text = "asr" if "asr" in corpus.table else "gold"
    store = store or features.compute(corpus, kinds_of(run.model), text=text, progress=False)
    return run.predict(corpus, store)


def plane(vectors: np.ndarray) -> np.ndarray:
    """Vectors (N, D) as points (N, 2) in [-1, 1], by PCA."""
    from vcemo_lib.course.pictures import to_plane

    points = to_plane(vectors) if len(vectors) > 2 else np.zeros((len(vectors), 2))
    points = points - (points.max(0) + points.min(0)) / 2
    return points / max(np.abs(points).max(), 1e-9)


def table(corpus: Corpus, predictions: Predictions) -> pd.DataFrame:
    """One row a clip, indexed by utt_id: speaker, text, emotion, predicted, confidence, right, votes."""
    if missing := set(predictions.ids) - set(corpus.ids):
        what = f"{len(missing)} of the judged clips are not in this corpus"
        raise VcemoError(what, where=corpus.name, do="give the part that was judged")
    rows, names = corpus.table.loc[predictions.ids], np.asarray(predictions.classes)
    return rows[["speaker", "text"]].assign(
        emotion=names[predictions.y_true], predicted=names[predictions.y_pred],
        confidence=predictions.probabilities.max(1), right=predictions.y_true == predictions.y_pred,
        votes=rows["votes"].map(votes_text) if "votes" in rows else "",
    )  # fmt: skip


def page(corpus: Corpus, predictions: Predictions) -> dict[str, Any]:
    """What the page gets: `about`, and `rows`, whose columns `browser.js` names."""
    from vcemo_lib.plots import palette

    clips, p = table(corpus, predictions), predictions
    points = plane(p.features).round(3).T.tolist()
    sure, answers = clips["confidence"].astype(float).round(4), (p.y_true.tolist(), p.y_pred.tolist())
    columns = (clips["text"], clips["votes"], sure, *answers, clips["speaker"], *points)
    note = "Simulated speech." if corpus.simulated else ""
    rows = [list(row) for row in zip(p.ids, *columns, strict=True)]
    return {"about": {"colours": palette(p.classes), "note": note}, "rows": rows}


class BrowserView(View):
    """What is drawn: filters, confusion matrix, map and list; `Browser` also knows the sound."""

    _esm = script("browser.js")

    about = traitlets.Dict().tag(sync=True)  # what never changes
    rows: traitlets.List[Any] = traitlets.List().tag(sync=True)  # browser.js names their columns
    selected = traitlets.Int(-1).tag(sync=True)  # row number, -1 for none


class Browser(HasTwin, ipywidgets.Box):
    """A corpus part with a model's answers: filter, look at the confusion matrix and the map, listen.

    corpus       the part; `table` has one row a clip
    predictions  the answers; by default the recogniser's
    recogniser   judges the chosen clip again, so that modalities can be muted; else the kept answer is shown
    """

    def __init__(
        self, corpus: Corpus, predictions: Predictions | None = None,
        recogniser: EmotionRecognizer | None = None,
    ) -> None:  # fmt: skip
        if not len(corpus):
            raise VcemoError("there are no clips to browse", where=corpus.name, do="give another part")
        self.corpus, self.recogniser, self.player = corpus, recogniser, Player()
        self.predictions = p = predictions or judged(corpus, recogniser.run if recogniser else None)
        self.table = table(corpus, p)
        self.points = plane(p.features)  # (N, 2)
        given = page(corpus, p)
        self.view = BrowserView(about=given["about"] | {"sound": self.player.sound}, rows=given["rows"])
        self.view.observe(lambda change: self._show(), "selected")
        self.view.selected = 0
        for part in (self.view, self.player):
            part.layout = ipywidgets.Layout(flex="1 1 440px", min_width="0")
        layout = ipywidgets.Layout(display="flex", flex_flow="row wrap", width="100%", grid_gap="12px")
        super().__init__([self.view, self.player], layout=layout)

    def _show(self) -> None:
        """Put the chosen clip into the player."""
        if (chosen := self.view.selected) < 0:
            return
        utt_id = self.table.index[chosen]
        read = self.corpus.table.loc[utt_id]
        words = read.get("asr", read["text"])  # what the model read
        self.view.problem = ""
        try:
            clip: Any = audio.utterance(self.corpus, utt_id)
            if not self.recogniser:
                p, seconds = self.predictions, len(clip) / audio.SAMPLE_RATE
                shares = p.probabilities[chosen].astype(float).round(4).tolist()
                kept = dict(zip(p.classes, shares, strict=True))
                clip = Prediction(p.classes[p.y_pred[chosen]], kept, words, (), seconds, wave=clip)
            self.player.show(clip, self.recogniser, text=words, **corpus_facts(self.corpus, utt_id))
        except VcemoError as error:
            self.view.problem = str(error)

    def twin(self) -> str:
        """The same as still HTML: confusion matrix, map, and the surest mistakes, some of them with sound."""
        from vcemo_lib import plots
        from vcemo_lib.course.pictures import embedding

        table, p = self.table, self.predictions
        counts = evaluation.counts(p.y_true, p.y_pred, len(p.classes)).tolist()
        matrix = [[label, *row] for label, row in zip(p.classes, counts, strict=True)]
        mistakes: list[list[Any]] = []
        for row in table[~table["right"]].nlargest(TWIN_MISTAKES, "confidence").itertuples():
            sound, label = "", f"{row.Index}: true {row.emotion}, predicted {row.predicted}"
            if len(mistakes) < TWIN_PLAYERS:
                sound = Markup(player_html(audio.utterance(self.corpus, str(row.Index)), label))
            shares = f"{row.confidence:.0%}"
            mistakes.append([row.Index, row.text, row.emotion, row.predicted, shares, row.votes, sound])
        figure = embedding(self.points, table["emotion"].tolist(), labels=list(p.classes))
        kind = "simulated " if self.corpus.simulated else ""
        heads = ("clip", "words", "true", "predicted", "confidence", "raters", "sound")
        return render(
            TWIN, clips=f"{len(table)} {kind}clips", right=table["right"].sum(), picture=plots.png(figure),
            matrix=html_table(matrix, ("", *p.classes), "Confusion: true in rows, predicted in columns"),
            alt=f"Map of {len(table)} clips by PCA of the model's features, coloured by true emotion",
            mistakes=html_table(mistakes, heads, "The surest mistakes"),
        )  # fmt: skip

    def __repr__(self) -> str:
        wrong = int((~self.table["right"]).sum())
        return f"Browser of {self.corpus.name}: {len(self.table)} clips, {wrong} judged wrongly"
