"""The face as type checkers see it: __init__.py imports each of these names when it is first used."""

from . import asr as asr
from . import audio as audio
from . import audit as audit
from . import comparison as comparison
from . import corpora as corpora
from . import course as course
from . import evaluation as evaluation
from . import experiments as experiments
from . import features as features
from . import losses as losses
from . import models as models
from . import paths as paths
from . import plots as plots
from . import predict as predict
from . import probe as probe
from . import provenance as provenance
from . import text as text
from . import training as training
from . import weights as weights
from .asr import alignment as alignment
from .corpora import LABELS as LABELS
from .corpora import Corpus as Corpus
from .corpora import labels as labels
from .corpora import load_corpus as load_corpus
from .corpora import protocols as protocols
from .corpora import splits as splits
from .course import doctor as doctor
from .course import exercises as exercises
from .course import prosody as prosody
from .course import widgets as widgets
from .errors import VcemoError as VcemoError
from .predict import EmotionRecognizer as EmotionRecognizer

__version__: str
__all__: list[str]
