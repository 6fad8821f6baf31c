"""Browse a corpus by ear: what each clip is, what a model says about it, and where it is wrong.

    said = judged(part)             # the bundled recogniser's answers: computed once, then kept
    Browser(part, said)             # filters, confusion matrix, map, list; each clip plays

What is found, selected and counted is decided here, in Python; `browser.js` draws it and hands on what is pressed.
"""

from __future__ import annotations

import hashlib
import html
import io
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets
import numpy as np
import traitlets

from vcemo_lib import audio, evaluation
from vcemo_lib.course.widgets.player import HERE, Player, known, with_dom, with_twin
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import cache_dir

if TYPE_CHECKING:
    import pandas as pd

    from vcemo_lib.corpora import Corpus
    from vcemo_lib.predict import EmotionRecognizer
    from vcemo_lib.training.runs import Predictions, Run

ORDERS = ("corpus", "surest first", "least sure first")
VERDICTS = ("", "right", "wrong")
EVERYTHING: dict[str, Any] = {  # the filters' state in which every clip is found
    "emotion": "", "predicted": "", "speaker": "", "verdict": "", "low": 0.0, "high": 1.0, "text": "", "order": ORDERS[0],
}  # fmt: skip
TWIN_MISTAKES, TWIN_PLAYERS = 6, 3  # rows and sounds of the static twin: a stored notebook stays under 1 MB


# ---- what a model says about a part, computed once -----------------------------------------------------------


def judged(corpus: Corpus, run: Run | None = None, store: Any = None) -> Predictions:
    """What a trained run, by default the bundled recogniser, says about each clip of a corpus part.

    Features come from `store`, or are computed with the words that Whisper heard where the corpus carries them. The
    answers are kept in the cache under a digest of model, clips and features: change any, and they are computed again.
    """
    from vcemo_lib import features
    from vcemo_lib.predict import EmotionRecognizer
    from vcemo_lib.training.runs import Predictions, kinds_of

    run = run or EmotionRecognizer.load().run
    text = "asr" if "asr" in corpus.table else "gold"
    store = store or features.compute(corpus, kinds_of(run.model), text=text, progress=False)
    made_of = [corpus.fingerprint(), store.describe(), {of: [keys[u] for u in corpus.ids] for of, keys in store.keys.items()}]
    mark = hashlib.sha256(json.dumps([*made_of, run.settings.as_dict(), run.classes], sort_keys=True).encode())
    for tensor in (*run.model.state_dict().values(), *(t for moments in run.scaler.overall.values() for t in moments)):
        mark.update(tensor.cpu().numpy().tobytes())
    classes, true, speakers = run.classes, corpus.y(), corpus.table["speaker"].to_numpy(str)
    if tuple(corpus.labels) != tuple(classes):
        raise VcemoError(f"the model knows {', '.join(classes)}; the corpus has {', '.join(corpus.labels)}", do="use a model trained for these labels")

    def compute() -> dict[str, np.ndarray]:
        said = run.predict(corpus, store)
        return {"probabilities": said.probabilities, "features": said.features}

    kept = _kept(mark.hexdigest()[:16], compute)
    probabilities = kept["probabilities"]
    return Predictions(corpus.ids, classes, true, probabilities.argmax(1), probabilities, kept["features"], speakers)


def plane(vectors: np.ndarray, method: str = "tsne", seed: int = 0) -> np.ndarray:
    """Vectors (N, D) as points (N, 2) in [-1, 1], by t-SNE or PCA; kept in the cache, as t-SNE takes seconds."""
    from vcemo_lib import plots

    mark = hashlib.sha256(np.ascontiguousarray(vectors, np.float32).tobytes() + f"{vectors.shape} {method} {seed}".encode())

    def compute() -> dict[str, np.ndarray]:
        points = np.asarray(plots.to_plane(np.asarray(vectors, float), method, seed), np.float32) if len(vectors) > 3 else np.zeros((len(vectors), 2), np.float32)
        points = points - (points.max(0) + points.min(0)) / 2
        return {"points": points / max(float(np.abs(points).max()), 1e-9)}

    return _kept(f"map-{mark.hexdigest()[:16]}", compute)["points"]


def _kept(name: str, compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays from the cache, or computed and kept there; a file that is not whole is computed again."""
    import torch

    from vcemo_lib.training import checkpoint

    path = cache_dir() / "predictions" / f"{name}.safetensors"
    if path.exists():
        try:
            return {part: tensor.numpy() for part, tensor in checkpoint.load(path)[0].items()}
        except VcemoError:
            path.unlink()
    made = compute()
    checkpoint.save(path, {part: torch.from_numpy(array) for part, array in made.items()}, {})
    return made


def told(votes: Mapping[str, int]) -> str:
    """Raters' votes in words, the most first: "sad 2, neutral 1"."""
    return ", ".join(f"{label} {count}" for label, count in sorted(votes.items(), key=lambda vote: (-vote[1], vote[0])))


def table(corpus: Corpus, said: Predictions) -> pd.DataFrame:
    """One row a clip, indexed by utt_id: speaker, text, emotion, predicted, confidence, right, votes."""
    import pandas as pd

    if missing := set(said.ids) - set(corpus.ids):
        raise VcemoError(f"{len(missing)} of the judged clips are not in this corpus", where=corpus.name, do="give the part that was judged")
    rows, names = corpus.table.loc[said.ids], np.asarray(said.classes)
    votes = rows["votes"].map(told) if "votes" in rows else pd.Series("", rows.index)
    return pd.DataFrame({
        "speaker": rows["speaker"], "text": rows["text"], "emotion": names[said.y_true], "predicted": names[said.y_pred],
        "confidence": said.probabilities.max(1), "right": said.y_true == said.y_pred, "votes": votes,
    }, rows.index)  # fmt: skip


def find(clips: pd.DataFrame, query: Mapping[str, Any]) -> np.ndarray:
    """Row numbers of `table` that fit a query (keys as in `EVERYTHING`), in the order it asks for."""
    query = {**EVERYTHING, **query}
    fits = ((clips["confidence"] >= query["low"] - 1e-9) & (clips["confidence"] <= query["high"] + 1e-9)).to_numpy()
    for column in ("emotion", "predicted", "speaker"):
        if query[column]:
            fits = fits & (clips[column] == query[column]).to_numpy()
    if query["verdict"]:
        fits = fits & (clips["right"].to_numpy() == (query["verdict"] == "right"))
    if words := query["text"].strip().lower():
        fits = fits & (clips["text"].str.lower() + "\n" + clips.index.str.lower()).str.contains(words, regex=False).to_numpy()
    found = np.flatnonzero(fits)
    if query["order"] != ORDERS[0]:
        sure = clips["confidence"].to_numpy()[found]
        found = found[np.argsort(-sure if query["order"] == "surest first" else sure, kind="stable")]
    return found


# ---- sound -------------------------------------------------------------------------------------------------------


def wav(wave: np.ndarray) -> bytes:
    """Samples (N,) as a WAV file of 16 bits: every browser plays it, and nothing is encoded while somebody waits."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(wave, -1, 1), audio.SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


# ---- the widget ----------------------------------------------------------------------------------------------------


class BrowserView(anywidget.AnyWidget):
    """What is drawn: filters, confusion matrix, map and list. Use `Browser`, which also knows the sound."""

    _esm = with_dom("browser.js")
    _css = HERE / "browser.css"

    about = traitlets.Dict().tag(sync=True)  # what never changes: labels, colours, speakers, orders, note
    rows = traitlets.List().tag(sync=True)  # [utt_id, speaker, text, true, predicted, confidence, votes, x, y]
    query = traitlets.Dict(dict(EVERYTHING)).tag(sync=True)
    found = traitlets.List().tag(sync=True)  # row numbers, in the order of the list
    matrix = traitlets.List().tag(sync=True)  # (C, C) counts under all filters but emotion and predicted
    selected = traitlets.Int(-1).tag(sync=True)  # row number, -1 for none


class Browser(ipywidgets.Box):
    """A corpus part with a model's answers: filter, look at the confusion matrix and the map, listen.

    With a recogniser the player judges the chosen clip again, so that modalities can be muted; without, it shows the
    answer that is kept.

    `where(emotion="sad", predicted="neutral")` sets filters from code, `found` lists what fits, `select(utt_id)` and
    `next_mistake()` choose a clip. Where there is no kernel, a static twin stands in its place.
    """

    def __init__(
        self, corpus: Corpus, said: Predictions | None = None, recogniser: EmotionRecognizer | None = None, method: str = "tsne"
    ) -> None:
        from vcemo_lib import plots

        if not len(corpus):
            raise VcemoError("there are no clips to browse", where=corpus.name, do="give a part that has some")
        self.corpus, self.said, self.recogniser = corpus, said or judged(corpus, recogniser.run if recogniser else None), recogniser
        self.table = table(corpus, self.said)
        self.points = plane(self.said.features, method)  # (N, 2)
        labels = list(self.said.classes)
        colours = plots.palette(labels)
        kind = "Simulated speech. " if corpus.simulated else ""
        columns = (self.table[c] for c in ("speaker", "text", "emotion", "predicted", "confidence", "votes"))
        self.view = BrowserView(
            about={
                "labels": labels, "colours": [colours[label] for label in labels], "orders": list(ORDERS),
                "speakers": sorted(set(self.table["speaker"])), "method": {"tsne": "t-SNE", "pca": "PCA"}[method], "note": kind,
            },
            rows=[
                [u, s, t, labels.index(e), labels.index(p), round(float(c), 4), v, round(float(x), 3), round(float(y), 3)]
                for u, s, t, e, p, c, v, (x, y) in zip(self.table.index, *columns, self.points, strict=True)
            ],
        )  # fmt: skip
        self.player = Player()
        self.view.observe(lambda change: self._search(), "query")
        self.view.observe(lambda change: self._show(), "selected")
        self.view.on_msg(self._told)
        self._search()
        self.view.selected = 0 if len(self.table) else -1
        for part in (self.view, self.player):
            part.layout = ipywidgets.Layout(flex="1 1 440px", min_width="0")
        super().__init__([self.view, self.player], layout=ipywidgets.Layout(display="flex", flex_flow="row wrap", width="100%", grid_gap="12px"))

    # -- from code

    @property
    def found(self) -> list[str]:
        """The ids of the clips that fit the filters, in the list's order."""
        return [self.table.index[i] for i in self.view.found]

    @property
    def selected(self) -> str | None:
        """The id of the clip that is chosen."""
        return None if self.view.selected < 0 else self.table.index[self.view.selected]

    def where(self, **filters: Any) -> Browser:
        """Set filters (emotion, predicted, speaker, verdict, low, high, text, order); those not named are taken away."""
        allowed = {
            "emotion": ("", *self.said.classes), "predicted": ("", *self.said.classes), "verdict": VERDICTS, "order": ORDERS,
            "speaker": ("", *self.view.about["speakers"]),
        }  # fmt: skip
        for name, value in filters.items():
            if name not in EVERYTHING:
                raise VcemoError(f"there is no filter {name!r}", do=f"use {', '.join(EVERYTHING)}")
            if name in allowed and value not in allowed[name]:
                raise VcemoError(f"{name} cannot be {value!r}", do=f"use one of {', '.join(filter(None, allowed[name]))}")
        self.view.query = {**EVERYTHING, **filters}
        return self

    def select(self, utt_id: str) -> None:
        """Choose a clip."""
        if utt_id not in self.table.index:
            raise VcemoError(f"no clip {utt_id!r} here", where=self.corpus.name, do="choose one of browser.table.index")
        self.view.selected = int(self.table.index.get_loc(utt_id))

    def next_mistake(self, step: int = 1) -> str | None:
        """Choose the next clip of the list (the previous one: step=-1) that the model got wrong; None where none is."""
        if (row := self._mistake(step)) is None:
            return None
        self.view.selected = row
        return self.selected

    def _mistake(self, step: int) -> int | None:
        wrong = [place for place, i in enumerate(self.view.found) if not self.table["right"].iloc[i]]
        if not wrong:
            return None
        now = self.view.found.index(self.view.selected) if self.view.selected in self.view.found else (-1 if step > 0 else len(self.view.found))
        beyond = [place for place in wrong if (place - now) * step > 0]
        place = (min if step > 0 else max)(beyond or wrong)  # behind the last one comes the first
        return self.view.found[place]

    # -- from the page

    def _search(self) -> None:
        query = {**EVERYTHING, **self.view.query}
        rest = self.table.iloc[find(self.table, {**query, "emotion": "", "predicted": ""})]
        names = {label: i for i, label in enumerate(self.said.classes)}
        counts = evaluation.counts(rest["emotion"].map(names).to_numpy(int), rest["predicted"].map(names).to_numpy(int), len(names))
        with self.view.hold_sync():
            self.view.found = find(self.table, query).tolist()
            self.view.matrix = counts.tolist()

    def _told(self, _: Any, message: Mapping[str, Any], __: Any) -> None:
        if "mistake" in message and (row := self._mistake(int(message["mistake"]))) is not None:
            self._play(row)  # the sound first: the player's picture takes longer
            self.view.selected = row
        elif "play" in message:
            self._play(int(message["play"]))

    def _play(self, row: int) -> None:
        try:
            sound = wav(audio.utterance(self.corpus, self.table.index[row]))
        except VcemoError as error:
            self.view.send({"trouble": str(error)})
        else:
            self.view.send({"clip": row}, buffers=[sound])

    def _show(self) -> None:
        """Put the chosen clip into the player."""
        from vcemo_lib.predict import Prediction

        if (utt_id := self.selected) is None:
            return
        row, read = self.table.loc[utt_id], self.corpus.table.loc[utt_id]
        words = read.get("asr", row["text"])  # what the model read
        try:
            if self.recogniser:
                self.player.show_utterance(self.corpus, utt_id, self.recogniser, words)
                return
            wave = audio.utterance(self.corpus, utt_id)
        except VcemoError as error:
            self.view.send({"trouble": str(error)})
            return
        probabilities = self.said.probabilities[self.view.selected].astype(float).round(4).tolist()
        kept = Prediction(row["predicted"], dict(zip(self.said.classes, probabilities, strict=True)), words, (), len(wave) / audio.SAMPLE_RATE, wave=wave)
        self.player.show(kept, **known(self.corpus, utt_id))

    # -- where there is no kernel

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        return with_twin(super()._repr_mimebundle_(**options), self.twin(), repr(self))

    def __repr__(self) -> str:
        return f"Browser of {self.corpus.name}: {len(self.table)} clips, {int((~self.table['right']).sum())} judged wrongly"

    def twin(self) -> str:
        """The same as plain HTML: confusion matrix, map, and the surest mistakes with some players."""
        import base64

        from vcemo_lib import plots

        clips, labels = self.table, list(self.said.classes)
        kind = "simulated " if self.corpus.simulated else ""
        right = int(clips["right"].sum())
        counts = evaluation.counts(self.said.y_true, self.said.y_pred, len(labels))
        head = "".join(f"<th scope='col'>{html.escape(label)}</th>" for label in labels)
        body = "".join(
            f"<tr><th scope='row'>{html.escape(label)}</th>" + "".join(f"<td>{'<b>' * (i == j)}{n}{'</b>' * (i == j)}</td>" for j, n in enumerate(row)) + "</tr>"
            for i, (label, row) in enumerate(zip(labels, counts.tolist(), strict=True))
        )
        figure = plots.embedding(self.points, clips["emotion"].tolist(), labels=labels)
        alt = f"Map of {len(clips)} clips by {self.view.about['method']} of the model's features, coloured by true emotion"
        picture = base64.b64encode(plots.png(figure)).decode("ascii")
        wrong = clips[~clips["right"]].sort_values("confidence", ascending=False).head(TWIN_MISTAKES)
        lines = []
        for nth, (utt_id, row) in enumerate(wrong.iterrows()):
            label = f"{utt_id}: true {row['emotion']}, predicted {row['predicted']}"
            player = audio.player_html(audio.utterance(self.corpus, utt_id), label) if nth < TWIN_PLAYERS else ""
            cells = (utt_id, row["text"], row["emotion"], row["predicted"], f"{row['confidence']:.0%}", row["votes"])
            lines.append("<tr>" + "".join(f"<td style='text-align:left'>{html.escape(str(cell))}</td>" for cell in cells) + f"<td>{player}</td></tr>")
        columns = ("clip", "words", "true", "predicted", "confidence", "raters", "sound")
        return (
            f"<div class='vcemo-twin'><p>{len(clips)} {kind}clips, {right} judged rightly. This is a still picture of the browser; "
            "run the notebook to filter, click and listen.</p>"
            f"<table><caption>Confusion: true emotion in rows, predicted in columns</caption><tr><td></td>{head}</tr>{body}</table>"
            f"<img alt='{html.escape(alt, quote=True)}' src='data:image/png;base64,{picture}'>"
            f"<table><caption>The surest mistakes</caption><tr>{''.join(f'<th scope=col>{c}</th>' for c in columns)}</tr>{''.join(lines)}</table></div>"
        )

