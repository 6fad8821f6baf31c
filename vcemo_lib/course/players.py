"""HTML players that carry their sound as MP3, so that a stored notebook plays offline."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vcemo_lib import audio


def encode_mp3(wave: np.ndarray, kbits: int | None = None) -> bytes:
    """The wave as an MP3, which every browser plays: about 45 kbit/s, or a constant `kbits` (8 to 160)."""
    import soundfile

    buffer, rate = io.BytesIO(), {}
    if kbits:  # libsndfile counts from 0 (160 kbit/s, the most at 16 kHz) to 1 (8 kbit/s)
        rate = {"bitrate_mode": "CONSTANT", "compression_level": (160 - kbits) / 152}
    soundfile.write(buffer, np.clip(wave, -1, 1), audio.SAMPLE_RATE, format="MP3", **rate)
    return buffer.getvalue()


def player_html(source: np.ndarray | str | Path, label: str = "") -> str:
    """An HTML `<audio>` player of a clip; screen readers read its `label`."""
    data, name = base64.b64encode(encode_mp3(audio.load(source))).decode("ascii"), html.escape(label)
    sound = f'aria-label="{name or "audio clip"}" src="data:audio/mpeg;base64,{data}"'
    caption = f"<figcaption>{name}</figcaption>" if name else ""
    return f'<figure style="margin:0"><audio controls {sound}></audio>{caption}</figure>'


def players_html(clips: Mapping[str, np.ndarray | str | Path], columns: int = 3) -> str:
    """A table of players, label -> clip; where a page strips the sound, the labels still stand there."""
    style = "text-align:left;vertical-align:top"
    cells = [f"<td style='{style}'>{player_html(clip, label)}</td>" for label, clip in clips.items()]
    rows = ("".join(cells[start : start + columns]) for start in range(0, len(cells), columns))
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
