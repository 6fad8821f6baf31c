"""Whisper in batches: transcripts, word times, its encoder as acoustic features; and what errors it makes."""

from vcemo_lib.asr.decoding import Word
from vcemo_lib.asr.encoder import encoder_features, load_model
from vcemo_lib.asr.transcribe import MANDARIN_PROMPT, VERSION, TranscribeOptions, Transcript, transcribe
from vcemo_lib.cer import align, cer, cer_table, edits, normalise

__all__ = [
    "MANDARIN_PROMPT", "VERSION", "TranscribeOptions", "Transcript", "Word", "align", "cer", "cer_table",
    "edits", "encoder_features", "load_model", "normalise", "transcribe",
]  # fmt: skip
