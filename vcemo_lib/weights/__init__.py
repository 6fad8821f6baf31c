"""Where pre-trained weights come from, each with its checksum.

Sources, in this order: a path the user gives; the library's own cache; the official source; a package-index
mirror; what `data/models/` bundles. Nothing is unpickled that could run code, nothing is taken that is not
whole. Which source was used is told by `used()`, to be printed in notebooks and stored with results.
"""

from vcemo_lib.weights.fetch import hub as hub
from vcemo_lib.weights.fetch import offline as offline
from vcemo_lib.weights.registry import bundled as bundled
from vcemo_lib.weights.registry import bundled_digest as bundled_digest
from vcemo_lib.weights.registry import record as record
from vcemo_lib.weights.registry import sha256 as sha256
from vcemo_lib.weights.registry import sign_bundled as sign_bundled
from vcemo_lib.weights.registry import table as table
from vcemo_lib.weights.registry import used as used
from vcemo_lib.weights.whisper import whisper as whisper
from vcemo_lib.weights.whisper import whisper_dims as whisper_dims
