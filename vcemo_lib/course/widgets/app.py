"""The playground as a page of its own, for a class or a demo: `vcemo course app`.

The page opens with clips that were judged before; the recogniser warms up behind it, one for all tabs.
What is recorded is judged here, handed back, and forgotten.
"""

from __future__ import annotations

import contextlib
import json
import threading
import webbrowser
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from vcemo_lib.course.widgets.living import HERE, examples, living
from vcemo_lib.errors import VcemoError

WARM_AFTER_S = 2.0  # once the page stands: loading the model takes the processor
LARGEST = 9_000_000  # bytes of a sound that is taken
POLICY = "default-src 'self' 'unsafe-inline' blob: data:"  # the browser asks nobody but this server
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Hear it: emotions in speech</title>
<link rel="icon" href="data:,"><style>{css}
:root {{ color-scheme: light dark }}
body {{ max-width: 60rem; margin: 0 auto; padding: .5rem; font: 15px/1.45 system-ui, sans-serif }}
h1 {{ margin: 0; font-size: 1.3rem }} body > p {{ margin: .2rem 0 .5rem }}</style>
<body><h1>Hear it: a recogniser of emotions in speech</h1>
<p>Play a clip or a word, take a modality away, speak yourself. Trained on <b>simulated</b> Mandarin speech:
what it says about people is a guess. <b>Nothing leaves this machine.</b></p>
<main data-vcemo="playground"><noscript>This page needs scripts.</noscript></main>
<script>{living}
Object.assign(vcemo.clips, {clips});
vcemo.judge = async (kind, name, body) =>
  (await fetch(`/judge?${{new URLSearchParams({{ kind, name }})}}`, {{ method: "POST", body }})).json();
</script></body></html>"""
_one_at_a_time = threading.Lock()


def page() -> bytes:
    """The page, whole: style, scripts, examples."""
    css, clips = (HERE / "widgets.css").read_text(encoding="utf-8"), examples()
    told = json.dumps(clips, ensure_ascii=False).replace("</", "<\\/")
    return PAGE.format(css=css, living=living(clips), clips=told).encode()


@cache
def _recogniser() -> Any:
    from vcemo_lib.predict import EmotionRecognizer

    return EmotionRecognizer.load()


def judge(kind: str, name: str, sound: bytes) -> dict[str, Any]:
    """A recording (float32 at 16 kHz) or a file, as `stored.stored` gives it, or what is wrong with it."""
    import numpy as np

    from vcemo_lib.course.widgets import stored, voice

    with _one_at_a_time:
        try:
            whole = sound[: len(sound) // 4 * 4]
            wave = voice.decode(sound, name) if kind == "file" else np.frombuffer(whole, np.float32)
            return stored.stored(voice.heard(_recogniser(), wave, name, keep=False), label=name)
        except VcemoError as error:
            return {"problem": str(error)}


def _warm() -> None:
    from vcemo_lib import asr

    with _one_at_a_time:
        _recogniser()
        asr.load_model()


class Handler(BaseHTTPRequestHandler):
    """GET / is the page, POST /judge a sound; from this page alone."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path != "/":
            return self._answer(404, "text/plain", b"")
        self._answer(200, "text/html", page())
        threading.Timer(WARM_AFTER_S, _warm).start()

    def do_POST(self) -> None:
        asked, length = urlsplit(self.path), int(self.headers.get("Content-Length") or 0)
        origin = urlsplit(self.headers.get("Origin", "")).netloc
        if asked.path != "/judge" or length > LARGEST or origin != self.headers.get("Host"):
            self.close_connection = True
            return self._answer(403, "text/plain", b"")
        query = {key: values[0] for key, values in parse_qs(asked.query).items()}
        made = judge(query.get("kind", ""), query.get("name", "recording.wav"), self.rfile.read(length))
        self._answer(200, "application/json", json.dumps(made).encode())

    def _answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        headers = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": len(content)}
        headers |= {"Cache-Control": "no-store", "Content-Security-Policy": POLICY}
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *told: Any) -> None:
        """Says nothing: who speaks when is nobody's business."""


def serve(port: int = 8866, host: str = "127.0.0.1", show: bool = True) -> None:
    """Serve the page until Ctrl-C, and open it. Raises VcemoError where the port is taken."""
    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        what = f"port {port} cannot be had: {error.strerror}"
        raise VcemoError(what, do="choose another --port") from error
    address = f"http://{'localhost' if host in ('127.0.0.1', '0.0.0.0') else host}:{server.server_port}"
    print(f"open {address} (Ctrl-C ends it)", flush=True)
    if show:
        webbrowser.open(address)
    with server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
