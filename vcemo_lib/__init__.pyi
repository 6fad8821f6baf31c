"""The face as type checkers see it: __init__.py imports each of these names when it is first used."""

from vcemo_lib import asr as asr
from vcemo_lib import audio as audio
from vcemo_lib import comparison as comparison
from vcemo_lib import corpora as corpora
from vcemo_lib import course as course
from vcemo_lib import evaluation as evaluation
from vcemo_lib import experiments as experiments
from vcemo_lib import features as features
from vcemo_lib import losses as losses
from vcemo_lib import models as models
from vcemo_lib import paths as paths
from vcemo_lib import plots as plots
from vcemo_lib import predict as predict
from vcemo_lib import probe as probe
from vcemo_lib import provenance as provenance
from vcemo_lib import text as text
from vcemo_lib import training as training
from vcemo_lib import weights as weights
from vcemo_lib.asr import alignment as alignment
from vcemo_lib.corpora import LABELS as LABELS
from vcemo_lib.corpora import Corpus as Corpus
from vcemo_lib.corpora import labels as labels
from vcemo_lib.corpora import load_corpus as load_corpus
from vcemo_lib.corpora import splits as splits
from vcemo_lib.course import doctor as doctor
from vcemo_lib.course import exercises as exercises
from vcemo_lib.course import prosody as prosody
from vcemo_lib.course import widgets as widgets
from vcemo_lib.errors import VcemoError as VcemoError
from vcemo_lib.predict import EmotionRecognizer as EmotionRecognizer

__version__: str
__all__: list[str]
