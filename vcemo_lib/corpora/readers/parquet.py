"""CSEMOTIONS: sound, words, emotion and speaker in the columns of parquet files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vcemo_lib.corpora.readers.facts import Facts
from vcemo_lib.corpora.readers.tree import Report, Row, Tree, stem
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import write_atomically

CLIPS = "clips"  # the folder beside the parquet files that their sounds are cut out to
COLUMNS = ["audio", "text", "emotion", "speaker"]
BEGINNINGS = {b"RIFF": "wav", b"fLaC": "flac", b"OggS": "ogg", b"ID3": "mp3", b"\xff\xfb": "mp3"}
ROWS = 32  # read at a time: a clip of 48 kHz is a megabyte


def rows(tree: Tree, facts: Facts, report: Report) -> Iterator[Row]:
    """A row for each of the table; its clip is cut out to a file once, where it is not there already."""
    for _, file in tree.find(r"[^/]+\.parquet"):
        shard = stem(file)
        for utt_id, record in cut(records(tree.root / file), tree.root / CLIPS, shard):
            name = record["clip"]
            if name:
                tree.sizes.setdefault(f"{CLIPS}/{name}", (tree.root / CLIPS / name).stat().st_size)
            told = {key: str(record.get(key) or "").strip() for key in COLUMNS[1:]}
            audio = f"{CLIPS}/{name}" if name else None
            yield Row(utt_id, audio, told["emotion"], told["speaker"] or "unknown", told["text"])


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a parquet file, a few at a time. VcemoError where it is none, or pyarrow is missing."""
    try:
        from pyarrow.lib import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        do = "pip install pyarrow"
        raise VcemoError("parquet files are read with pyarrow, which is not installed", path, do) from error
    try:
        file = ParquetFile(path)
        if lacking := set(COLUMNS) - set(file.schema_arrow.names):
            what = f"a parquet file without the column(s) {', '.join(sorted(lacking))}"
            raise VcemoError(what, path, f"it needs {', '.join(COLUMNS)}")
        for batch in file.iter_batches(ROWS, columns=COLUMNS):
            yield from batch.to_pylist()
    except (ArrowException, OSError) as error:
        raise VcemoError("this parquet file is damaged", path, "fetch it again") from error


def cut(found: Iterable[Mapping[str, Any]], folder: Path, shard: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row's id and itself, its sound in `folder` as the file named by `clip`; "" for no sound."""
    for number, record in enumerate(found):
        utt_id, audio = f"{shard}-{number:05d}", record.get("audio")
        sound = (audio.get("bytes") if isinstance(audio, Mapping) else audio) or b""
        ending = next((end for start, end in BEGINNINGS.items() if sound.startswith(start)), "")
        clip = f"{utt_id}.{ending}" if ending else ""
        if clip and not ((path := folder / clip).is_file() and path.stat().st_size == len(sound)):
            write_atomically(path, sound)
        yield utt_id, {**record, "audio": None, "clip": clip}
