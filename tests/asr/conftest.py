"""What the tests of ASR share: Whisper base, a few short clips, an empty cache of transcripts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import vcemo_lib as vc
from vcemo_lib import asr
from vcemo_lib.corpora import Corpus


@pytest.fixture(scope="package")
def model():
    return asr.load_model("base")  # fails with the one clear line where the weights cannot be had


@pytest.fixture(scope="package")
def corpus() -> Corpus:
    whole = vc.load_corpus("sim")
    short = whole.table[whole.table["seconds"].astype(float) < 2.5]
    return whole.subset(list(short.index[:: len(short) // 8][:8]))


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Transcripts are kept in an empty folder; the weights stay where they are."""
    monkeypatch.setattr(sys.modules["vcemo_lib.asr.transcribe"], "cache_dir", lambda: tmp_path)
    return tmp_path / "asr"
