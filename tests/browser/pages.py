"""What the browser tests share: a server to open, and what every page must hold."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import vcemo_lib

ROOT = Path(vcemo_lib.__file__).parent.parent
SHOTS = ROOT / "build" / "screenshots"
WIDTHS = (1280, 800)
# one wait: a kernel that starts and loads the recogniser, on a machine that is busy with other things
PATIENCE_MS = 300_000

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "msedge",
)


def chromium() -> str | None:
    """The browser that VCEMO_CHROMIUM names, or the first on the PATH."""
    return os.environ.get("VCEMO_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def serving(arguments: list[str], folder: Path) -> Iterator[str]:
    """A Jupyter server of this Python in `folder`, on a free port; gives its address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "TQDM_DISABLE": "1",
    }
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    log = folder / "server.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", *(argument.format(port=port) for argument in arguments)]
        server = subprocess.Popen(
            command, cwd=folder, env=env, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        try:
            address = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + PATIENCE_MS / 1000
            while not _answers(address):
                assert server.poll() is None and time.monotonic() < deadline, log.read_text(
                    encoding="utf-8", errors="replace"
                )[-3000:]
                time.sleep(0.3)
            yield address
        finally:
            server.terminate()
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{address}/static/nothing", timeout=2).close()
    except urllib.error.HTTPError:  # there is no such file, says somebody
        return True
    except OSError:
        return False
    return True


# ---------------------------------------------------------------------------------------------- what every
# page must hold


def played(page: Any, audio: Any) -> None:
    """Wait until an audio element has no fault and is further on than it was."""
    handle = audio.element_handle()
    before = handle.evaluate("e => e.currentTime")
    page.wait_for_function(
        "([e, t]) => e.error === null && e.readyState >= 2 && e.currentTime > t + 0.1", arg=[handle, before]
    )


def look(
    page: Any,
    name: str,
    set_dark: Callable[[bool], None],
    root: str = "body",
    part: Any = None,
    widths: tuple[int, ...] = WIDTHS,
) -> dict[str, list[str]]:
    """Screenshots of the page, or a part, at both widths in both themes; what is wrong inside `root`."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    wrong = {}
    for dark in (False, True):
        set_dark(dark)
        for width in widths:
            case = f"{name}-{width}-{'dark' if dark else 'light'}"
            page.set_viewport_size({"width": width, "height": 1500})
            page.wait_for_timeout(500)  # some layouts follow a little later
            wrong[case] = faults(page, root)
            (part or page).screenshot(path=SHOTS / f"{case}.png", **({} if part else {"full_page": True}))
    page.set_viewport_size({"width": 1280, "height": 900})
    return {case: found for case, found in wrong.items() if found}


def faults(page: Any, root: str) -> list[str]:
    """Too little contrast, controls without a name, pictures without words, overflow, inside `root`."""
    return page.evaluate((Path(__file__).parent / "faults.js").read_text(encoding="utf-8"), root)


def reached(page: Any, root: str, most: int = 150) -> tuple[set[str], set[str]]:
    """Walk through `root` by Tab alone: descriptions of the controls there are, and of those reached."""
    page.evaluate(
        """root => {
        const wanted = 'button, input, select, textarea, audio[controls], summary, a[href], [tabindex="0"]';
        let n = 0;
        for (const box of document.querySelectorAll(root)) for (const e of box.querySelectorAll(wanted)) {
            if (!e.disabled && e.tabIndex >= 0 && e.checkVisibility({visibilityProperty: true})) {
                e.dataset.walk = `${n++} ${e.tagName.toLowerCase()} ${e.ariaLabel || e.innerText || e.id ||
                e.className}`.slice(0, 80);
            }
        }
        document.activeElement?.blur();
        const first = document.querySelector(root);
        first.tabIndex = -1; first.focus(); first.removeAttribute('tabindex');
    }""",
        root,
    )
    there = set(page.evaluate("[...document.querySelectorAll('[data-walk]')].map(e => e.dataset.walk)"))
    found: set[str] = set()
    for _ in range(most):
        page.keyboard.press("Tab")
        walked = page.evaluate("document.activeElement?.dataset?.walk || null")
        if walked:
            found.add(walked)
        if found == there:
            break
    return there, found


# ---------------------------------------------------------------------------------------------- what a player
# must do


def bars(player: Any) -> dict[str, float]:
    """The probabilities that a player shows."""
    shown = player.locator("[data-testid^=bar-]").evaluate_all(
        "bars => bars.map(b => [b.dataset.testid.slice(4), Number(b.dataset.value)])"
    )
    return dict(shown)


def use_player(page: Any, player: Any) -> None:
    """Play, seek by keyboard, click a word, take a modality away and give it back."""
    audio = player.get_by_test_id("player-audio")
    player.get_by_test_id("player-play").click()
    played(page, audio)
    if not audio.evaluate("e => e.paused"):  # a short clip may be over by now
        player.get_by_test_id("player-play").click()
    page.wait_for_function("e => e.paused", arg=audio.element_handle())

    seek = player.get_by_test_id("player-seek")
    seek.focus()
    page.keyboard.press("Home")
    page.keyboard.press("End")
    assert audio.evaluate("e => e.currentTime / e.duration") > 0.8

    word = player.locator("button[data-testid^=word-]").nth(1)
    start, end = map(float, re.findall(r"[\d.]+", word.get_attribute("title"))[:2])
    word.click()
    page.wait_for_function("e => e.paused && e.currentTime > 0", arg=audio.element_handle())
    stopped = audio.evaluate("e => e.currentTime")
    assert start < stopped < end + 1 and not audio.evaluate("e => e.ended"), (start, stopped, end)

    before = bars(player)
    assert len(before) == 6 and abs(sum(before.values()) - 1) < 0.01
    for modality in ("words", "audio"):
        mute(page, player, modality, True)
        assert max(abs(bars(player)[emotion] - before[emotion]) for emotion in before) > 0.005, modality
        mute(page, player, modality, False)
        assert bars(player) == before


def mute(page: Any, player: Any, modality: str, off: bool) -> None:
    """Set a player's switch and wait until it has judged anew."""
    player.get_by_test_id(f"mute-{modality}").set_checked(off)
    page.wait_for_function("e => !e.hasAttribute('aria-busy')", arg=player.element_handle())


def speak(page: Any, seconds: float) -> str:
    """Record from the microphone, wait for the judgement and give what it says."""
    voice = page.get_by_test_id("voice")
    takes = voice.locator("[data-testid^=take-]").count()
    record = voice.get_by_test_id("voice-record")
    record.click()
    page.wait_for_function("e => e.value > 0.02", arg=voice.get_by_test_id("voice-level").element_handle())
    page.wait_for_timeout(1000 * seconds)
    record.click()
    voice.get_by_test_id(f"take-{takes}").wait_for()
    assert voice.get_by_test_id("voice-problem").inner_text() == ""
    return voice.get_by_test_id("voice-status").inner_text()


def hand_over(page: Any, name: str, wave: Any) -> str:
    """Choose a sound file and give the line that refuses it."""
    import io

    import soundfile

    sound = io.BytesIO()
    soundfile.write(sound, wave, vcemo_lib.audio.SAMPLE_RATE, format="WAV")
    page.get_by_test_id("voice-file").set_input_files(
        {"name": name, "mimeType": "audio/wav", "buffer": sound.getvalue()}
    )
    problem = page.get_by_test_id("voice-problem")
    page.wait_for_function(
        "([e, name]) => e.textContent.includes(name)", arg=[problem.element_handle(), name]
    )
    return problem.inner_text()
