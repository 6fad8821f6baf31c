"""`make app`: the playground as a page of its own, served by Voila."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import PATIENCE_MS, ROOT, chromium, hand_over, look, reached, serving, speak, use_player


@pytest.fixture(scope="module")
def app(page: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    arguments = [
        "voila",
        str(ROOT / "notebooks" / "app" / "playground.ipynb"),
        "--no-browser",
        "--port={port}",
        "--Voila.ip=127.0.0.1",
    ]
    with serving(arguments, tmp_path_factory.mktemp("voila")) as address:
        page.address = address
        page.goto(address)
        page.get_by_test_id("player").wait_for()
        yield page


def test_the_player_plays_and_judges(app: Any) -> None:
    use_player(app, app.get_by_test_id("player"))


def test_the_microphone_is_heard(app: Any, clip: Path) -> None:
    assert speak(app, 4).startswith("Done: ")
    assert "own recording" in app.get_by_test_id("player").inner_text()
    assert (
        app.locator("[data-testid^=take-]").last.locator("xpath=../..").locator("[lang=zh]").inner_text()
    )  # Whisper heard words


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
        if dark:
            app.goto(f"{app.address}/?theme=dark")
            app.get_by_test_id("player").wait_for()

    assert look(app, "app", set_dark) == {}
    assert app.complaints == []
