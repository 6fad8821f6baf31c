"""Whisper in batches: transcripts, word times, its encoder as acoustic features; and what errors it makes."""

from vcemo_lib.asr.decoding import Word as Word
from vcemo_lib.asr.encoder import encoder_features as encoder_features
from vcemo_lib.asr.encoder import load_model as load_model
from vcemo_lib.asr.transcribe import MANDARIN_PROMPT as MANDARIN_PROMPT
from vcemo_lib.asr.transcribe import VERSION as VERSION
from vcemo_lib.asr.transcribe import TranscribeOptions as TranscribeOptions
from vcemo_lib.asr.transcribe import Transcript as Transcript
from vcemo_lib.asr.transcribe import transcribe as transcribe
from vcemo_lib.cer import align as align
from vcemo_lib.cer import cer as cer
from vcemo_lib.cer import cer_table as cer_table
from vcemo_lib.cer import edits as edits
from vcemo_lib.cer import normalise as normalise
