"""This machine's Chromium, driven by playwright, with a microphone that plays a clip.

They are skipped, saying so, where playwright is not installed (`make browser` does) or no Chromium is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import PATIENCE_MS, chromium

import vcemo_lib


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    try:
        import playwright  # noqa: F401

        missing = None if chromium() else "no Chromium on the PATH or in VCEMO_CHROMIUM"
    except ImportError:
        missing = "playwright is not installed; `make browser` installs it"
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=missing) if missing else pytest.mark.timeout(1800))


# ---------------------------------------------------------------------------------------------- the browser


@pytest.fixture(scope="session")
def clip() -> Path:
    """The clip that the microphone plays: the first of the test part said in anger."""
    corpus = vcemo_lib.load_corpus("sim")
    test = vcemo_lib.splits.given(corpus)["test"].table
    return corpus.path(test.index[test["emotion"] == "angry"][0])


@pytest.fixture(scope="session")
def browser(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    import soundfile
    from playwright.sync_api import sync_playwright

    voice = tmp_path_factory.mktemp("microphone") / "voice.wav"
    soundfile.write(voice, vcemo_lib.audio.load(clip), vcemo_lib.audio.SAMPLE_RATE, subtype="PCM_16")
    options = (
        *(
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
        ),
        *("--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"),
        *(
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-audio-capture={voice}",
        ),
    )
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium(), args=options)
        yield started
        started.close()


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Any]:
    """A page for one file's tests; what its scripts complained of is in `page.complaints`."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, permissions=["microphone"])
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    yield page
    context.close()
