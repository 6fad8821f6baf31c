"""What is shown first: `python data/build/front.py`, after each training of the recogniser.

It judges six clips for app and site (data/models/examples.json), and takes README's picture, docs/player.png,
of the real player in a real Chromium.
"""

from __future__ import annotations

import json
import os
import shutil

from vcemo_lib import EmotionRecognizer, audio, paths
from vcemo_lib.course.listening import listen
from vcemo_lib.course.widgets import stored
from vcemo_lib.course.widgets.living import HERE, living, recogniser_digest
from vcemo_lib.course.widgets.player import corpus_facts
from vcemo_lib.course.widgets.voice import examples

SHOWN = "sad"  # the example of the picture
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><style>{css}</style>
<body style="margin: 0; padding: 8px; width: 900px"><div data-vcemo="player {utt_id}"></div>
<script>{living}; Object.assign(vcemo.clips, {clips})</script>"""


def judge() -> dict[str, object]:
    """Six simulated clips, an emotion each, with the words that Whisper hears in them and their times."""
    recogniser, clips = EmotionRecognizer.load(), {}
    for corpus, utt_id in examples().values():
        clip = listen(recogniser, audio.utterance(corpus, utt_id))
        clips[utt_id] = stored.stored(clip, **corpus_facts(corpus, utt_id))
    text = json.dumps({"recogniser": recogniser_digest(), "clips": clips}, ensure_ascii=False)
    paths.write_atomically(paths.repo_data() / "models" / "examples.json", text + "\n")
    return clips


def photograph(clips: dict[str, object]) -> None:
    """README's picture: the player half-way through a clip."""
    from playwright.sync_api import sync_playwright

    (utt_id,) = [name for name, one in clips.items() if one["clip"]["truth"] == SHOWN]
    css = (HERE / "widgets.css").read_text(encoding="utf-8")
    page = PAGE.format(css=css, utt_id=utt_id, living=living(clips), clips=json.dumps(clips))
    browser = os.environ.get("VCEMO_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        view = started.new_page(viewport={"width": 916, "height": 900}, device_scale_factor=1.5)
        view.set_content(page)
        seek = view.get_by_test_id("player-seek")
        seek.wait_for()
        view.wait_for_function("document.querySelector('audio').readyState > 1")
        seek.evaluate("e => { e.value = 0.6 * e.max; e.dispatchEvent(new Event('input')) }")
        view.wait_for_timeout(300)
        shot = view.get_by_test_id("player").screenshot()
        started.close()
    paths.write_atomically(paths.repo_data().parent / "docs" / "player.png", shot)


if __name__ == "__main__":
    photograph(judge())
