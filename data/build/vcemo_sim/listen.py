"""Stage 5: listen to the finished corpus as anyone would: prosody by pyin, words by Whisper.

Run with the course's own environment. Writes prosody.csv (measures of every clip) and puts Whisper's words
into manifest.csv as the column `asr`.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd

from vcemo_lib import asr, audio, corpora
from vcemo_lib.course import prosody
from vcemo_lib.paths import write_atomically

OUT = Path(__file__).resolve().parent.parent.parent / "vcemo_sim"


def measure(clip: Path) -> dict[str, float]:
    """The prosody of one clip, rounded for the file."""
    return {name: round(value, 4) for name, value in prosody.measure(audio.load(clip)).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", choices=("prosody", "words"), nargs="+", default=["prosody", "words"])
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    corpus = corpora.load_corpus("sim")
    if "prosody" in arguments.what:
        with ProcessPoolExecutor(arguments.processes) as pool:
            rows = list(pool.map(measure, [corpus.path(u) for u in corpus.ids], chunksize=16))
        table = pd.DataFrame(rows, index=pd.Index(corpus.ids, name="utt_id"))
        write_atomically(OUT / "prosody.csv", table.to_csv(lineterminator="\n"))
    if "words" in arguments.what:
        heard = asr.transcribe(corpus, model="base")
        manifest = pd.read_csv(OUT / "manifest.csv", dtype=str, keep_default_na=False)
        manifest["asr"] = manifest["utt_id"].map(heard["text"])
        write_atomically(OUT / "manifest.csv", manifest.to_csv(index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
