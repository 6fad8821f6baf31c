"""`make app`: the playground as a page of its own, served by the library."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import PATIENCE_MS, bars, chromium, hand_over, look, mute, reached, serving, speak, use_player

DROP = """bytes => {
    const given = new DataTransfer();
    given.items.add(new File([new Uint8Array(bytes)], 'dropped.ogg'));
    const zone = document.querySelector('[data-testid=voice]');
    zone.dispatchEvent(new DragEvent('drop', {dataTransfer: given, bubbles: true, cancelable: true}));
}"""


@pytest.fixture(scope="module")
def app(page: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page; `asked` is what it wanted from anywhere but itself."""
    arguments = ["vcemo_lib", "course", "app", "--no-browser", "--port={port}"]
    with serving(arguments, tmp_path_factory.mktemp("app")) as address:
        page.address, page.asked = address, []
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(address)
        page.get_by_test_id("player").wait_for()
        yield page


def test_it_opens_with_a_clip_judged_before_and_asks_nothing(app: Any) -> None:
    player = app.get_by_test_id("player")
    before = bars(player)
    assert len(before) == 6 and abs(sum(before.values()) - 1) < 0.01
    mute(app, player, "audio", True)
    assert bars(player) != before and "without voice" in player.inner_text()
    mute(app, player, "audio", False)
    app.get_by_test_id("voice-example-4").click()
    assert "true: ◆ sad" in player.inner_text() and bars(player) != before
    assert [url for url in app.asked if not url.startswith("blob:")] == [f"{app.address}/"]


def test_the_answer_and_the_switches_are_on_the_first_screen(app: Any) -> None:
    for width, height in ((1280, 900), (390, 844)):
        app.set_viewport_size({"width": width, "height": height})
        for part in ("player-status", "mute-bert", "player-play"):
            box = app.get_by_test_id(part).bounding_box()
            assert box["y"] + box["height"] < height, (width, part, box)
        left = app.get_by_test_id("player").bounding_box()
        assert abs(left["x"] - (width - left["x"] - left["width"])) < 20, "centred"
    app.set_viewport_size({"width": 1280, "height": 900})


def test_the_player_plays_and_judges(app: Any) -> None:
    use_player(app, app.get_by_test_id("player"))


def test_the_microphone_is_heard(app: Any, clip: Path) -> None:
    assert speak(app, 4).startswith("Done: ")
    assert "own recording" in app.get_by_test_id("player").inner_text()
    row = app.locator("[data-testid^=take-]").last.locator("xpath=../..")
    assert row.locator("[lang=zh]").inner_text(), "Whisper heard words"


def test_a_file_is_dropped(app: Any, clip: Path) -> None:
    app.evaluate(DROP, list(clip.read_bytes()))
    app.get_by_test_id("player").get_by_text("dropped.ogg").wait_for()
    assert "Whisper takes this for" not in app.get_by_test_id("player-warnings").inner_text()


def test_what_cannot_be_judged_is_said_kindly(app: Any) -> None:
    assert "silent" in hand_over(app, "hush.wav", np.zeros(16_000))
    assert "0.1" in hand_over(app, "blip.wav", 0.3 * np.sin(np.arange(1_600)))


@pytest.mark.parametrize(
    ("switch", "said"),
    [("--use-fake-device-for-media-stream", "may not use"), ("--disable-audio-input", "No microphone")],
)
def test_a_microphone_that_cannot_be_had_is_told(app: Any, browser: Any, switch: str, said: str) -> None:
    """The first browser has a microphone and no leave to use it, the second has leave and no microphone."""
    allowed = [] if "fake" in switch else ["microphone"]
    other = browser.browser_type.launch(
        executable_path=chromium(), args=["--no-sandbox", "--disable-gpu", switch]
    )
    page = other.new_context(permissions=allowed).new_page()
    page.goto(app.address, timeout=PATIENCE_MS)
    page.get_by_test_id("voice-record").click(timeout=PATIENCE_MS)
    problem = page.get_by_test_id("voice-problem").filter(has_text=said)
    problem.wait_for(timeout=PATIENCE_MS)
    assert "or choose a file" in problem.inner_text()
    other.close()


def test_the_keyboard_reaches_every_control(app: Any) -> None:
    there, found = reached(app, "body")
    assert len(there) > 8 and there == found


def test_read_and_looked_at(app: Any) -> None:
    def set_dark(dark: bool) -> None:
        app.emulate_media(color_scheme="dark" if dark else "light")

    assert look(app, "app", set_dark, widths=(1280, 390)) == {}
    app.emulate_media(color_scheme="light")


def test_another_page_may_not_ask(app: Any) -> None:
    own = {"Origin": app.address}
    assert app.request.post(f"{app.address}/judge?kind=file&name=a.wav", headers=own, data=b"").ok
    other = {"Origin": "http://example.org"}
    assert (
        app.request.post(f"{app.address}/judge?kind=file&name=a.wav", headers=other, data=b"").status == 403
    )


def test_lost_python_is_told_and_nothing_was_asked_elsewhere(app: Any) -> None:
    app.route("**/judge*", lambda route: route.abort())
    app.evaluate(DROP, [1, 2, 3])
    app.get_by_test_id("voice-problem").filter(has_text="Python does not answer any more").wait_for()
    assert app.asked and all(url.removeprefix("blob:").startswith(app.address) for url in app.asked)
    assert app.complaints == []
