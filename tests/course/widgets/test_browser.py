"""The browser: what is found, counted, chosen and played; what stands there without a kernel."""

from __future__ import annotations

import io
import re
import time

import numpy as np
import pytest
import soundfile

import vcemo_lib as vc
from vcemo_lib import VcemoError
from vcemo_lib.course.widgets import browser as module
from vcemo_lib.course.widgets.browser import EVERYTHING, Browser, find, judged, plane, table, told
from vcemo_lib.training.runs import Predictions


@pytest.fixture
def browser(part: vc.Corpus, said: Predictions, monkeypatch: pytest.MonkeyPatch, tmp_path) -> Browser:
    monkeypatch.setenv("VCEMO_CACHE", str(tmp_path))
    return Browser(part, said, method="pca")


def test_the_table_tells_truth_answer_confidence_and_votes(part: vc.Corpus, said: Predictions) -> None:
    clips = table(part, said)
    assert list(clips.index) == part.ids and (clips["emotion"] == part.table["emotion"]).all()
    assert np.allclose(clips["confidence"], said.probabilities.max(1)) and (~clips["right"]).sum() == -(-len(part) // 3)
    assert told({"neutral": 1, "sad": 2}) == "sad 2, neutral 1"
    with pytest.raises(VcemoError, match="not in this corpus"):
        table(part.subset(part.ids[:3]), said)


def test_filters_find_what_they_say_alone_and_together(part: vc.Corpus, said: Predictions) -> None:
    clips = table(part, said)
    assert find(clips, {}).tolist() == list(range(len(part)))
    for column in ("emotion", "predicted", "speaker"):
        value = clips[column].iloc[5]
        assert find(clips, {column: value}).tolist() == np.flatnonzero(clips[column] == value).tolist()
    wrong = find(clips, {"verdict": "wrong"})
    assert set(wrong) | set(find(clips, {"verdict": "right"})) == set(range(len(part))) and not clips["right"].iloc[wrong].any()
    sure = find(clips, {"low": 0.6, "high": 0.9, "order": "surest first"})
    assert clips["confidence"].iloc[sure].between(0.6, 0.9).all() and clips["confidence"].iloc[sure].is_monotonic_decreasing
    word = clips["text"].iloc[0][:2]
    assert 0 in find(clips, {"text": word}) and all(word in clips["text"].iloc[i] for i in find(clips, {"text": word}))
    assert find(clips, {"text": part.ids[4].upper()}).tolist() == [4], "a clip's id is found, too"
    assert len(find(clips, {"text": "(["})) == 0, "a search is no pattern"
    both = find(clips, {"emotion": "sad", "verdict": "wrong"})
    assert set(both) == set(find(clips, {"emotion": "sad"})) & set(wrong)


def test_a_cell_of_the_matrix_counts_what_a_press_on_it_lists(browser: Browser) -> None:
    matrix, labels = np.array(browser.view.matrix), browser.said.classes
    assert matrix.sum() == len(browser.table)
    for i, true in enumerate(labels):
        for j, predicted in enumerate(labels):
            browser.where(emotion=true, predicted=predicted)
            assert len(browser.found) == matrix[i, j]
            assert np.array_equal(browser.view.matrix, matrix), "the cell chosen does not empty the others"
    browser.where(verdict="right")
    assert np.array(browser.view.matrix).trace() == len(browser.found)
    browser.where(speaker=browser.table["speaker"].iloc[0], text="no such words")
    assert browser.found == [] and np.sum(browser.view.matrix) == 0 and browser.next_mistake() is None


def test_mistakes_are_walked_through_both_ways_and_around(browser: Browser) -> None:
    wrong = browser.table.index[~browser.table["right"]].tolist()
    browser.view.selected = -1
    assert [browser.next_mistake() for _ in range(len(wrong) + 1)] == [*wrong, wrong[0]]
    assert [browser.next_mistake(-1) for _ in range(2)] == [wrong[-1], wrong[-2]]
    browser.where(emotion=browser.table["emotion"].iloc[0])  # what is chosen may not be in the list any more
    assert browser.next_mistake() in browser.found


def test_a_filter_that_does_not_exist_is_told(browser: Browser) -> None:
    with pytest.raises(VcemoError, match="no filter 'colour'"):
        browser.where(colour="red")
    with pytest.raises(VcemoError, match="emotion cannot be 'joy'"):
        browser.where(emotion="joy")
    with pytest.raises(VcemoError, match="no clip 'x'"):
        browser.select("x")
    with pytest.raises(VcemoError, match="no clips to browse"):
        Browser(browser.corpus.subset([]), browser.said)


def test_a_press_sends_the_clip_and_shows_it_in_the_player(browser: Browser, part: vc.Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    monkeypatch.setattr(browser.view, "send", lambda content, buffers=(): sent.append((content, buffers)))
    browser.view.selected = 7
    browser._told(None, {"play": 7}, [])
    wave, rate = soundfile.read(io.BytesIO(sent[0][1][0]), dtype="float32")
    want = vc.audio.load(part.path(part.ids[7]))
    assert sent[0][0] == {"clip": 7} and rate == 16_000 and np.abs(wave - np.clip(want, -1, 1)).max() < 1e-4
    assert browser.player.truth == part.table["emotion"].iloc[7] and part.ids[7] in browser.player.label and "simulated" in browser.player.label
    assert browser.player.probabilities[browser.table["predicted"].iloc[7]] == max(browser.player.probabilities.values())
    browser._told(None, {"mistake": 1}, [])
    assert sent[1][0]["clip"] == browser.view.selected and not browser.table["right"].iloc[browser.view.selected]


def test_with_a_recogniser_the_player_judges_again(part: vc.Corpus, said: Predictions, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    from vcemo_lib.predict import EmotionRecognizer

    monkeypatch.setenv("VCEMO_CACHE", str(tmp_path))
    recogniser, happened = EmotionRecognizer.load(), []
    browser = Browser(part, said, recogniser, method="pca")
    monkeypatch.setattr(browser.view, "send", lambda content, buffers=(): happened.append(browser.selected))
    browser.select(part.ids[2])
    want = recogniser.predict(part.path(part.ids[2]), text=part.text_of(part.ids[2], "asr"))
    assert browser.player.emotion == want.emotion and browser.player.probabilities == pytest.approx(want.probabilities, abs=2e-4)
    before = dict(browser.player.probabilities)
    browser.player.muted = ["audio"]
    assert browser.player.probabilities != before
    browser._told(None, {"mistake": 1}, [])
    assert happened == [part.ids[2]] != [browser.selected], "the sound is on its way before the player is filled"


def test_a_clip_that_is_gone_is_told_on_the_page(part: vc.Corpus, said: Predictions, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("VCEMO_CACHE", str(tmp_path))
    lost = part.with_column("audio", "audio/gone.ogg")
    sent = []
    monkeypatch.setattr(module.BrowserView, "send", lambda self, content, buffers=(): sent.append(content))
    Browser(lost, said, method="pca")._told(None, {"play": 0}, [])
    assert all("no such audio file" in message["trouble"] for message in sent) and sent


def test_every_interaction_is_quick(browser: Browser) -> None:
    browser.view.selected = 1
    start = time.perf_counter()
    browser.where(emotion="sad", text="我")
    browser.next_mistake()
    browser._told(None, {"play": 3}, [])
    assert time.perf_counter() - start < 3, "three interactions, ten times their usual time: a test does not measure speed"


def test_the_twin_holds_matrix_mistakes_and_sound(browser: Browser) -> None:
    bundle, _ = browser._repr_mimebundle_()
    still = bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle and still == browser.twin()
    assert "simulated" in still and still.count("<audio") == module.TWIN_PLAYERS and "alt='Map of" in still
    cells = [int(n) for n in re.findall(r"<td>(?:<b>)?(\d+)(?:</b>)?</td>", still)]
    assert cells == np.array(browser.view.matrix).ravel().tolist()
    assert len(still) < 300_000


def test_points_fill_the_square_and_are_kept(said: Predictions, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("VCEMO_CACHE", str(tmp_path))
    for method in ("pca", "tsne"):
        points = plane(said.features, method)
        assert points.shape == (len(said.ids), 2) and np.abs(points).max() == pytest.approx(1, abs=1e-6)
        assert np.array_equal(points, plane(said.features, method))
    assert len(list((tmp_path / "predictions").iterdir())) == 2
    for file in (tmp_path / "predictions").iterdir():
        file.write_bytes(b"half")
    assert np.array_equal(points, plane(said.features, "tsne")), "a broken file is computed again"
    assert plane(said.features[:1]).shape == (1, 2)


def test_the_bundled_recogniser_judges_once_and_its_answers_are_kept(part: vc.Corpus, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    from vcemo_lib import features
    from vcemo_lib.predict import EmotionRecognizer
    from vcemo_lib.training.runs import Run, kinds_of

    run, few = EmotionRecognizer.load().run, part.subset(part.ids[:12])
    store = features.compute(few, kinds_of(run.model), text="asr", progress=False)
    monkeypatch.setenv("VCEMO_CACHE", str(tmp_path))
    first = judged(few, run, store)
    whole = run.predict(few, store)
    assert np.allclose(first.probabilities, whole.probabilities) and first.ids == few.ids
    monkeypatch.setattr(Run, "predict", lambda *_: pytest.fail("computed again"))
    again = judged(few, run, store)
    assert np.array_equal(again.probabilities, first.probabilities) and np.array_equal(again.features, first.features)
    assert np.array_equal(again.y_pred, first.y_pred) and again.scores() == first.scores()
    with pytest.raises(pytest.fail.Exception, match="computed again"):
        judged(few.subset(few.ids[:5]), run, store)
    with pytest.raises(VcemoError, match="the model knows"):
        judged(vc.corpora.four(few), run, store)


def test_what_the_page_is_given_is_complete(browser: Browser) -> None:
    assert set(browser.view.query) == set(EVERYTHING)
    assert [row[0] for row in browser.view.rows] == browser.table.index.tolist()
    assert len(browser.view.about["colours"]) == 6 and browser.view.about["note"].startswith("Simulated")
