"""What is bundled is whole, and what is in the cache is found by its exact name."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from vcemo_lib import weights
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import repo_data
from vcemo_lib.weights import sources


def test_what_is_bundled_is_whole():
    for name in ("vectors-zh", "bert-mini-zh"):
        assert weights.bundled(name) == repo_data() / "models" / name
    assert [one["source"] for one in weights.used()] == ["bundled", "bundled"]


def test_an_altered_bundle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    models = tmp_path / "data" / "models"
    shutil.copytree(repo_data() / "models" / "vectors-zh", models / "vectors-zh")
    shutil.copy(repo_data() / "models" / "SHA256SUMS", models)
    monkeypatch.setenv("VCEMO_DATA", str(tmp_path / "data"))
    assert weights.bundled("vectors-zh") == models / "vectors-zh"
    words = models / "vectors-zh" / "words.txt"
    text = words.read_bytes()
    words.write_bytes(text[:-2] + b"x" + text[-1:])
    with pytest.raises(VcemoError, match="altered.*words.txt.*git checkout"):
        weights.bundled("vectors-zh")
    words.unlink()
    with pytest.raises(VcemoError, match="missing or altered"):
        weights.bundled("vectors-zh")
    words.write_bytes(text)
    assert weights.bundled("vectors-zh")
    with pytest.raises(VcemoError, match="missing or altered.*bert-mini-zh"):
        weights.bundled("bert-mini-zh")
    sums = models / "SHA256SUMS"
    for damage in (b"", b"no list", b"\xff", b"\n".join(sums.read_bytes().splitlines()[:1])):
        sums.write_bytes(damage)
        with pytest.raises(VcemoError, match="no checksum of vectors-zh is listed"):
            weights.bundled("vectors-zh")
    sums.unlink()
    with pytest.raises(VcemoError, match="no checksum of vectors-zh is listed"):
        weights.bundled("vectors-zh")


def test_a_size_is_not_taken_for_another_whose_name_begins_alike():
    def put(name: str, data: bytes) -> Path:
        path = sources.weights_dir() / f"{name}.{hashlib.sha256(data).hexdigest()}.safetensors"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return path

    english = put("whisper-base.en", b"english")
    assert sources.cached("whisper-base") is None and sources.cached("whisper-base.en") == english
    both = put("whisper-base", b"every language")
    assert sources.cached("whisper-base") == both
