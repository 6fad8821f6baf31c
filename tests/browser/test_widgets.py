"""The widgets' scripts and their Python side in a page without Jupyter: sound, lost kernel, and looks."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import look

import vcemo_lib as vc
from vcemo_lib import audio
from vcemo_lib.course.players import player_html
from vcemo_lib.course.widgets import Browser, Game, Player, Voice
from vcemo_lib.course.widgets.base import HERE
from vcemo_lib.predict import EmotionRecognizer
from vcemo_lib.training.runs import Predictions

PATIENCE_MS = 10_000
DARK = (
    "--jp-ui-font-color1:#e0e0e0;--jp-layout-color1:#111;--jp-layout-color2:#333;background:#111;"
    "color-scheme:dark"
)


def plain(value: Any) -> Any:
    """A trait's value as JSON; bytes as {"base64": ...}."""
    if isinstance(value, bytes | memoryview):
        return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


def state(widget: Any) -> dict[str, Any]:
    own = [
        name
        for name in widget.keys
        if not name.startswith("_") and name not in ("layout", "tabbable", "tooltip")
    ]
    return plain({name: getattr(widget, name) for name in own})


class Kernel:
    """Carries a page's requests to widgets of this process, and back what these then are and say."""

    def __init__(self, page: Any) -> None:
        self.page, self.widgets, self.said = page, {}, {}
        page.expose_function("toPython", self.answer)

    def show(self, *widgets: Any) -> None:
        for widget in widgets:
            self.widgets[widget.model_id], self.said[widget.model_id] = widget, []

            def send(content: Any, buffers: Any = (), said: list = self.said[widget.model_id]) -> None:
                said.append({"content": content, "buffers": [plain(bytes(buffer)) for buffer in buffers]})

            widget.send = send
            source, values = str(widget._esm), state(widget)
            self.page.evaluate(
                "([id, esm, state]) => void showWidget(id, esm, state)", [widget.model_id, source, values]
            )

    def answer(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        before = {id: state(widget) for id, widget in self.widgets.items()}
        widget = self.widgets[request["id"]]
        if "state" in request:
            widget.set_state(request["state"])
        else:
            widget._on_message(widget, request["message"], [])
        answers = []
        for id, other in self.widgets.items():
            news = {name: value for name, value in state(other).items() if value != before[id][name]}
            answers.append({"model": id, "values": news, "messages": list(self.said[id])})
            self.said[id].clear()
        return answers


@pytest.fixture
def kernel(browser: Any) -> Iterator[Kernel]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_content("<!doctype html><html lang=en><body></body></html>")
    page.add_style_tag(path=HERE / "widgets.css")
    page.add_script_tag(content=(Path(__file__).parent / "widgets.js").read_text("utf-8"))
    yield Kernel(page)
    context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def part() -> vc.Corpus:
    test = vc.splits.given(vc.load_corpus("sim"))["test"]
    return test.subset(test.ids[::8])


@pytest.fixture(scope="module")
def predictions(part: vc.Corpus) -> Predictions:
    """Made up: every third answer is the next class."""
    rng, true = np.random.default_rng(0), part.y()
    answers = np.where(np.arange(len(part)) % 3 == 0, (true + 1) % 6, true)
    shares = (rng.dirichlet(np.ones(6), len(part)) + np.eye(6)[answers]) / 2
    features = np.eye(6)[answers] + rng.normal(0, 0.1, (len(part), 6))
    speakers = part.table["speaker"].to_numpy(str)
    return Predictions(part.ids, part.labels, true, answers, shares, features.astype(np.float32), speakers)


@pytest.fixture(scope="module")
def recogniser() -> EmotionRecognizer:
    return EmotionRecognizer.load()


def has(page: Any, testid: str, text: str) -> None:
    """Wait until an element has a text."""
    page.get_by_test_id(testid).filter(has_text=text).first.wait_for()


def sounds(page: Any) -> list[float]:
    """Where the page's sounds are that play now, in s."""
    return page.evaluate(
        "[...document.querySelectorAll('audio')].filter(a => !a.paused).map(a => a.currentTime)"
    )


def until(page: Any, condition: str) -> None:
    page.wait_for_function(condition)


SOUND = "document.querySelector('[data-testid=player-audio]')"


def test_the_player_plays_pauses_stops_seeks_slows_and_loops(kernel: Kernel, part: vc.Corpus) -> None:
    page = kernel.page
    kernel.show(Player(audio.utterance(part, part.ids[0])))
    page.get_by_test_id("player-speed").select_option("0.5")
    page.get_by_test_id("player-play").click()
    until(page, f"{SOUND}.currentTime > 0.2")
    assert page.evaluate(f"{SOUND}.playbackRate") == 0.5
    assert page.evaluate("parseFloat(document.querySelector('.vcemo-cursor').style.left)") > 2
    page.get_by_test_id("player-play").click()
    paused = page.evaluate(f"{SOUND}.currentTime")
    assert sounds(page) == [] and paused > 0.2
    page.get_by_test_id("player-play").click()
    until(page, f"{SOUND}.currentTime > {paused + 0.1}")
    page.get_by_test_id("player-stop").click()
    until(page, f"{SOUND}.paused && {SOUND}.currentTime === 0")
    page.get_by_test_id("player-loop").check()
    page.get_by_test_id("player-speed").select_option("1.5")
    page.evaluate(f"{SOUND}.currentTime = {SOUND}.duration - 0.3")
    page.get_by_test_id("player-play").click()
    until(page, f"!{SOUND}.paused && {SOUND}.currentTime < 1")


def alone(page: Any) -> None:
    """One sound is left, a moment after the others were told to stop."""
    until(page, "[...document.querySelectorAll('audio')].filter(a => !a.paused).length === 1")
    assert len(sounds(page)) == 1


def test_one_sound_at_a_time_native_clips_as_well(kernel: Kernel, part: vc.Corpus) -> None:
    page = kernel.page
    kernel.show(Player(audio.utterance(part, part.ids[0])), Player(audio.utterance(part, part.ids[1])))
    page.evaluate(
        "html => document.body.insertAdjacentHTML('beforeend', html)",
        player_html(audio.utterance(part, part.ids[2])),
    )
    page.get_by_test_id("player-play").nth(1).wait_for()
    for play in ("player-play >> nth=0", "player-play >> nth=1"):
        page.locator(f"data-testid={play}").click()
        until(page, "[...document.querySelectorAll('audio')].some(a => !a.paused && a.currentTime > 0.1)")
        alone(page)
    page.evaluate("document.querySelector('audio[controls]').play()")
    until(page, "document.querySelector('audio[controls]').currentTime > 0.1")
    alone(page)
    assert page.get_by_test_id("player-play").nth(1).inner_text() == "▶ Play"


def test_the_browsers_sound_is_its_players(kernel: Kernel, part: vc.Corpus, predictions: Predictions) -> None:
    browser, page = Browser(part, predictions), kernel.page
    kernel.show(browser.view, browser.player)
    row = page.get_by_test_id(f"vcemo-row-{part.ids[3]}")
    row.click()
    has(page, "player", part.ids[3])
    until(page, f"{SOUND}.currentTime > 0.2")
    assert page.evaluate("document.querySelectorAll('audio').length") == 1
    assert page.evaluate("parseFloat(document.querySelector('.vcemo-cursor').style.left)") > 2
    assert page.get_by_test_id("player-play").inner_text() == "❚❚ Pause" and "❚❚" in row.inner_text()
    row.click()  # pauses
    paused = page.evaluate(f"{SOUND}.currentTime")
    assert sounds(page) == [] and paused > 0.2
    row.click()  # goes on
    until(page, f"{SOUND}.currentTime > {paused + 0.1}")
    page.get_by_test_id("vcemo-stop").click()
    until(page, f"{SOUND}.paused && {SOUND}.currentTime === 0")
    word = page.get_by_test_id("word-1")
    start = page.evaluate(
        f"new Promise(done => {SOUND}.addEventListener('play', () => done({SOUND}.currentTime)) "
        "|| document.querySelector('[data-testid=word-1]').click())"
    )
    assert f"{start:.1f}" in word.get_attribute("title"), "a word plays its span"
    until(page, f"{SOUND}.paused")


def test_mistakes_are_walked_through_both_ways_and_around(
    kernel: Kernel, part: vc.Corpus, predictions: Predictions
) -> None:
    browser, page = Browser(part, predictions), kernel.page
    kernel.show(browser.view, browser.player)
    wrong = browser.table.index[~browser.table["right"]].tolist()  # the first clip is one, and is chosen
    walk = [("next", 1), ("next", 2), ("previous", 1), ("previous", 0), ("previous", -1), ("next", 0)]
    for name, utt_id in [(name, wrong[nth]) for name, nth in walk]:
        page.get_by_test_id(f"vcemo-{name}-mistake").click()
        has(page, "player", utt_id)
        until(page, f"!{SOUND}.paused")


def test_filters_list_what_they_say(kernel: Kernel, part: vc.Corpus, predictions: Predictions) -> None:
    browser, page = Browser(part, predictions), kernel.page
    kernel.show(browser.view, browser.player)
    page.get_by_test_id("vcemo-filter-confidence").select_option("up to 50 %")
    few = int((browser.table["confidence"] <= 0.5).sum())
    has(page, "vcemo-found", f"{few} of {len(part)} clips")
    page.get_by_test_id("vcemo-reset").click()
    page.get_by_test_id("vcemo-filter-text").fill("no such words")
    has(page, "vcemo-empty", "No clip fits")
    page.get_by_test_id("vcemo-show-all").click()
    has(page, "vcemo-found", f"{len(part)} of {len(part)} clips")


def called(page: Any, widget: Any, call: str, *values: Any) -> Any:
    """What a function of a widget's script gives, in the browser: `call` is its name."""
    load = "import(URL.createObjectURL(new Blob([source], {type: 'text/javascript'})))"
    script = f"async ([source, values]) => (await {load}).default.{call}(...values)"
    return page.evaluate(script, [str(widget._esm), list(values)])


def test_filters_find_alone_and_together(kernel: Kernel, part: vc.Corpus, predictions: Predictions) -> None:
    browser = Browser(part, predictions)
    clips, rows = browser.table, browser.view.rows
    everything = {"emotion": "", "predicted": "", "speaker": "", "verdict": "", "text": "", "order": "corpus"}

    def find(low: float = 0.0, high: float = 1.0, **asked: Any) -> list[int]:
        query = everything | {"low": low, "high": high} | asked
        return called(kernel.page, browser.view, "find", rows, list(predictions.classes), query)

    assert find() == list(range(len(part)))
    for column in ("emotion", "predicted", "speaker"):
        value = clips[column].iloc[5]
        assert find(**{column: value}) == np.flatnonzero(clips[column] == value).tolist()
    wrong = find(verdict="wrong")
    assert wrong == np.flatnonzero(~clips["right"]).tolist()
    sure = clips["confidence"].iloc[find(0.6, 0.9, order="surest first")]
    assert len(sure) and sure.between(0.6, 0.9).all() and sure.is_monotonic_decreasing
    word = clips["text"].iloc[0][:2]
    assert find(text=word) == np.flatnonzero(clips["text"].str.contains(word, regex=False)).tolist()
    assert find(text=part.ids[4].upper()) == [4] and find(text="([") == [], "ids are found; no pattern"
    assert find(emotion="sad", verdict="wrong") == [i for i in find(emotion="sad") if i in wrong]


def test_scores_of_a_game_are_those_of_the_books(
    kernel: Kernel, part: vc.Corpus, predictions: Predictions
) -> None:
    from scipy.stats import binomtest
    from sklearn.metrics import cohen_kappa_score

    game, rng = Game(part, predictions, seed=3), np.random.default_rng(0)
    for label in rng.choice(predictions.classes, 10).tolist():
        game.answer(label)
    game.reveal()
    clips = game.result()["clips"]
    you, raters, model = called(kernel.page, game, "scores", clips)
    for score, who in ((you, "you"), (model, "model")):
        labels, said = [clip["label"] for clip in clips], [clip[who] for clip in clips]
        right = sum(a == b for a, b in zip(labels, said, strict=True))
        low, high = binomtest(right, 10).proportion_ci(method="wilson")
        assert (score["right"], score["of"]) == (right, 10)
        assert [score["low"], score["high"]] == pytest.approx([low, high], abs=1e-6)
        assert score["kappa"] == pytest.approx(cohen_kappa_score(labels, said))
    share = [clip["votes"].get(clip["label"], 0) / sum(clip["votes"].values()) for clip in clips]
    assert raters["right"] == pytest.approx(sum(share)) and "low" not in raters
    only = [clip["you"] == clip["label"] for clip in clips if (clip["you"] == clip["label"])
            != (clip["model"] == clip["label"])]  # fmt: skip
    p = binomtest(sum(only), len(only)).pvalue if only else 1.0
    notes = called(kernel.page, game, "notes", clips, [you, raters, model])
    assert f"{p:.2f} (McNemar)" in notes[0] and "10 clips are few" in notes[1] and len(notes) == 3
    same = [{**clip, "you": "sad", "label": "sad", "model": "sad"} for clip in clips]
    assert called(kernel.page, game, "scores", same)[0]["kappa"] is None


def test_the_game_takes_no_answer_unheard(kernel: Kernel, part: vc.Corpus, predictions: Predictions) -> None:
    game, page = Game(part, predictions), kernel.page
    kernel.show(game)
    page.get_by_test_id("vcemo-game").focus()
    page.keyboard.press("1")
    page.get_by_test_id("vcemo-game-sad").click(force=True)
    assert (
        game.answers == [] and "Play it, then answer" in page.get_by_test_id("vcemo-game-status").inner_text()
    )
    page.keyboard.press(" ")
    for done in range(1, 11):
        until(page, "document.querySelector('[data-testid=vcemo-game-sad]').ariaDisabled === 'false'")
        page.get_by_test_id("vcemo-game-sad").click()
        has(page, "vcemo-game-status", f"lip {done}: you said sad")
    page.get_by_test_id("vcemo-game-reveal").click()
    page.get_by_test_id("vcemo-game-clip-2").click()
    until(page, "[...document.querySelectorAll('audio')].some(a => !a.paused)")
    page.get_by_test_id("vcemo-game-again").click()
    has(page, "vcemo-game-status", "Clip 1 of 10")
    assert game.seed == 1 and game.answers == [] and sounds(page) == []


def test_a_lost_kernel_is_told_after_5_s(
    kernel: Kernel, part: vc.Corpus, predictions: Predictions, recogniser: EmotionRecognizer
) -> None:
    page, browser = kernel.page, Browser(part, predictions)
    player = Player(audio.utterance(part, part.ids[0]), recogniser, text="好的")
    voice = Voice(recogniser, player, {"one": (part, part.ids[0])})
    game = Game(part, predictions)
    kernel.show(player, browser.view, voice, game)
    page.get_by_test_id("mute-audio").check()
    until(page, "!document.querySelector('.vcemo-player').hasAttribute('aria-busy')")
    page.evaluate("window.pythonLives = false")
    page.get_by_test_id("mute-audio").uncheck()
    page.get_by_test_id("voice-example-0").click()
    page.get_by_test_id(f"vcemo-row-{part.ids[5]}").click()
    page.get_by_test_id("vcemo-game-play").click()
    assert page.get_by_test_id("player-problem").inner_text() == ""
    for problem in ("player-problem", "voice-problem", "vcemo-browser-trouble", "vcemo-game-trouble"):
        has(page, problem, "Python has not answered for 5 s")
        assert "restart" in page.get_by_test_id(problem).inner_text()
    page.evaluate("window.pythonLives = true")  # it was only busy
    page.get_by_test_id("mute-audio").check()
    until(page, "document.querySelector('[data-testid=player-problem]').innerText === ''")


def test_looked_at(
    kernel: Kernel, part: vc.Corpus, predictions: Predictions, recogniser: EmotionRecognizer
) -> None:
    page, browser = kernel.page, Browser(part, predictions, recogniser)
    game, voice = Game(part, predictions), Voice(recogniser, browser.player, {"one": (part, part.ids[0])})
    browser.view.selected = 3
    played = Game(part, predictions)
    for label in part.table.loc[played.ids, "emotion"]:
        played.answer(label)
    played.reveal()
    kernel.show(voice, browser.view, browser.player, game, played)
    page.locator("summary", has_text="Map").click()

    def set_dark(dark: bool) -> None:
        page.evaluate("style => document.body.setAttribute('style', style)", DARK if dark else "")

    assert look(page, "widgets", set_dark) == {}
