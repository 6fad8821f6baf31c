"""Where pre-trained weights come from, each with its checksum; `used()` tells which source gave them."""

from vcemo_lib.weights.sources import about, bundled, bundled_digest, hub, record, sha256, table, used
from vcemo_lib.weights.whisper import whisper

__all__ = [
    "about", "bundled", "bundled_digest", "hub", "record", "sha256", "table", "used", "whisper",
]  # fmt: skip
