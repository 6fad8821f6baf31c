"""Downloads: whole or not at all; the hub at a commit, or left alone."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from vcemo_lib import weights
from vcemo_lib.errors import VcemoError
from vcemo_lib.weights import sources


def sum_of(server) -> str:
    return hashlib.sha256(server.data).hexdigest()


def test_a_download_is_whole(server, tmp_path: Path):
    path = sources.download(server.url, tmp_path / "new" / "file.pt", sum_of(server))
    assert path.read_bytes() == server.data and os.listdir(path.parent) == ["file.pt"]


@pytest.mark.parametrize("manner", ["dropped", "dropped chunks", "stalled", "altered", "gone"])
def test_a_download_that_fails_is_one_line_and_the_next_recovers(
    server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manner: str
):
    monkeypatch.setattr(sources, "STALL_SECONDS", 0.3)
    target, server.manner = tmp_path / "new" / "file.pt", manner
    with pytest.raises(VcemoError) as failed:
        sources.download(server.url, target, sum_of(server))
    assert "127.0.0.1" in str(failed.value) and "\n" not in str(failed.value)
    assert set(os.listdir(target.parent)) <= {"file.pt.part"}
    server.manner = "whole"  # a server that knows no ranges sends it all again
    assert sources.download(server.url, target, sum_of(server)).read_bytes() == server.data
    assert os.listdir(target.parent) == ["file.pt"]


def test_a_download_goes_on_where_it_broke_off(server, tmp_path: Path):
    server.manner = "dropped"
    with pytest.raises(VcemoError):
        sources.download(server.url, tmp_path / "file.pt", sum_of(server))
    server.manner, have = "rest", (tmp_path / "file.pt.part").stat().st_size
    assert have > 0
    assert sources.download(server.url, tmp_path / "file.pt", sum_of(server)).read_bytes() == server.data
    assert server.ranges[-1] == f"bytes={have}-"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """What the hub's client is asked for: (revision, from the cache alone)."""
    import huggingface_hub

    calls: list[tuple] = []

    def client(repository, *_, revision=None, local_files_only=False, **__):
        calls.append((revision, local_files_only))
        raise FileNotFoundError

    monkeypatch.setattr(huggingface_hub, "snapshot_download", client)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", client)
    return calls


def test_offline_the_hub_is_not_asked(asked: list[tuple], server, monkeypatch: pytest.MonkeyPatch):
    import socket

    monkeypatch.setenv("VCEMO_OFFLINE", "1")
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server.server_port}")
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was tried"))
    for name in ("bert-base-chinese", "a/b"):
        with pytest.raises(VcemoError, match=f"could not get {name} from the hub, VCEMO_OFFLINE is set"):
            weights.hub(name)
    assert asked and all(cached for _, cached in asked)


def test_offline_what_the_client_kept_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import socket

    from huggingface_hub import constants

    kept, commit = tmp_path / "models--a--b", "0" * 40
    for path, text in ((f"snapshots/{commit}/config.json", "{}"), ("refs/main", commit)):
        (kept / path).parent.mkdir(parents=True, exist_ok=True)
        (kept / path).write_text(text, encoding="utf-8")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("VCEMO_OFFLINE", "1")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("the network was tried"))
    assert weights.hub("a/b") == weights.hub("a/b@main") == kept / "snapshots" / commit


def test_hub_repositories_are_taken_at_a_commit(asked: list[tuple], server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server.server_port}")
    for name, revision in (
        ("bert-base-chinese", sources.HUB_REVISIONS["bert-base-chinese"]),
        ("a/b@1234", "1234"),
    ):
        asked.clear()
        with pytest.raises(VcemoError, match="could not get"):
            weights.hub(name)
        assert asked == [(revision, False)]
