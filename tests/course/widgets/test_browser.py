"""The browser: what is chosen and played, and what stands there without a kernel. Chromium tests filters."""

from __future__ import annotations

import re

import numpy as np
import pytest

import vcemo_lib as vc
from vcemo_lib import VcemoError
from vcemo_lib.course.widgets import browser as module
from vcemo_lib.course.widgets.base import votes_text
from vcemo_lib.course.widgets.browser import Browser, judged, plane, table
from vcemo_lib.predict import EmotionRecognizer
from vcemo_lib.training.runs import Predictions, kinds_of


@pytest.fixture
def browser(part: vc.Corpus, said: Predictions) -> Browser:
    return Browser(part, said)


def test_the_table_tells_truth_answer_confidence_and_votes(part: vc.Corpus, said: Predictions) -> None:
    clips = table(part, said)
    assert list(clips.index) == part.ids and (clips["emotion"] == part.table["emotion"]).all()
    assert np.allclose(clips["confidence"], said.probabilities.max(1)) and (~clips["right"]).sum() == -(
        -len(part) // 3
    )
    assert votes_text({"neutral": 1, "sad": 2}) == "sad 2, neutral 1"
    with pytest.raises(VcemoError, match="not in this corpus"):
        table(part.subset(part.ids[:3]), said)


def test_a_part_without_clips_is_refused(browser: Browser) -> None:
    with pytest.raises(VcemoError, match="no clips to browse"):
        Browser(browser.corpus.subset([]), browser.predictions)


def test_a_chosen_clip_is_in_the_player(browser: Browser, part: vc.Corpus) -> None:
    browser.view.set_state({"selected": 7})
    clip, row = browser.player.clip, browser.table.iloc[7]
    assert clip["utt_id"] == part.ids[7] in clip["label"] and "simulated" in clip["label"]
    assert clip["truth"] == row["emotion"] and browser.player.judgement["emotion"] == row["predicted"]
    assert browser.player.judgement["words"][0]["approximate"], "each word has a span to play"
    assert browser.view.about["sound"] == browser.player.sound, "browser and player share one transport"


def test_with_a_recogniser_the_player_judges_again(
    part: vc.Corpus, said: Predictions, recogniser: EmotionRecognizer
) -> None:
    browser = Browser(part, said, recogniser)
    browser.view.selected = 2
    want = recogniser.predict(part.path(part.ids[2]), text=part.text_of(part.ids[2], "asr"))
    shown = browser.player.judgement
    assert shown["emotion"] == want.emotion
    assert shown["probabilities"] == pytest.approx(want.probabilities, abs=2e-4)
    browser.player.muted = ["audio"]
    assert browser.player.judgement["probabilities"] != shown["probabilities"]


def test_a_clip_that_is_gone_is_told_on_the_page(part: vc.Corpus, said: Predictions) -> None:
    browser = Browser(part.with_column("audio", "audio/gone.ogg"), said)
    assert "no such audio file" in browser.view.problem


def test_the_twin_holds_matrix_mistakes_and_sound(browser: Browser) -> None:
    bundle, _ = browser._repr_mimebundle_()
    still = bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle and still == browser.twin()
    assert "simulated" in still and still.count("<audio") == module.TWIN_PLAYERS and "alt='Map of" in still
    cells = [int(n) for n in re.findall(r"<td>(\d+)</td>", still)]
    answers = browser.predictions
    counts = vc.evaluation.counts(answers.y_true, answers.y_pred, len(answers.classes))
    assert cells == counts.ravel().tolist()
    assert len(still) < 300_000


def test_points_fill_the_square(said: Predictions) -> None:
    points = plane(said.features)
    assert points.shape == (len(said.ids), 2) and np.abs(points).max() == pytest.approx(1)
    assert plane(said.features[:1]).shape == (1, 2)


def test_the_bundled_recogniser_judges_a_part(part: vc.Corpus, recogniser: EmotionRecognizer) -> None:
    run, few = recogniser.run, part.subset(part.ids[:12])
    answers = judged(few, run)
    store = vc.features.compute(few, kinds_of(run.model), text="asr", progress=False)
    assert (
        np.allclose(answers.probabilities, run.predict(few, store).probabilities) and answers.ids == few.ids
    )
    with pytest.raises(VcemoError, match="the model knows"):
        judged(vc.corpora.four(few), run, store)


def test_what_the_page_is_given_is_complete(browser: Browser) -> None:
    assert [row[0] for row in browser.view.rows] == browser.table.index.tolist()
    assert {len(row) for row in browser.view.rows} == {9} and browser.view.rows[4][6].startswith("s")
    assert len(browser.view.about["colours"]) == 6 and browser.view.about["note"].startswith("Simulated")
