"""What the tests of the weights share: a bare machine, and a server on it that sends well or badly."""

from __future__ import annotations

import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_whisper import checkpoint

from vcemo_lib.weights import sources


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, nothing in openai-whisper's own, no memory of what was used or did not answer."""
    monkeypatch.setenv("VCEMO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("VCEMO_OFFLINE", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)  # the tests' own server is on this machine
    monkeypatch.setattr(sources, "_used", {})


class Server:
    """A server on this machine that sends `data`, well or badly, and counts who asks."""

    def __init__(self, data: bytes) -> None:
        self.data, self.manner, self.asked = data, "whole", 0
        self.ranges: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked += 1
                outer.answer(self)

            def do_HEAD(self) -> None:
                self.send_error(501)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    @property
    def url(self) -> str:
        """As openai-whisper's addresses: the file's SHA-256 is in it."""
        return f"http://127.0.0.1:{self.server.server_port}/{hashlib.sha256(self.data).hexdigest()}/tiny.pt"

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        half = len(self.data) // 2
        handler.close_connection = True
        self.ranges.append(handler.headers.get("Range", ""))
        start = int(self.ranges[-1].removeprefix("bytes=").rstrip("-") or 0)
        if self.manner == "rest" and start:
            handler.send_response(206)
            handler.send_header("Content-Length", str(len(self.data) - start))
            handler.end_headers()
            handler.wfile.write(self.data[start:])
            return
        handler.send_response(404 if self.manner == "gone" else 200)
        if self.manner == "dropped chunks":
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.wfile.write(f"{len(self.data):x}\r\n".encode() + self.data[:half])
            return
        handler.send_header("Content-Length", str(len(self.data)))
        handler.end_headers()
        if self.manner in ("dropped", "stalled"):
            handler.wfile.write(self.data[:half])
            handler.wfile.flush()
            time.sleep(1 if self.manner == "stalled" else 0)
        elif self.manner == "altered":
            handler.wfile.write(self.data[:-1] + bytes([self.data[-1] ^ 1]))
        elif self.manner == "whole":
            handler.wfile.write(self.data)


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server(np.random.default_rng(0).bytes(600_000))
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def whisper_server(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """openai-whisper's table names this server for the size "tiny"."""
    import whisper

    server.data = checkpoint(tmp_path)
    monkeypatch.setitem(whisper._MODELS, "tiny", server.url)
    return server
