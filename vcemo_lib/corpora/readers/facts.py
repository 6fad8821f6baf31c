"""What is known of each corpus before it is read: labels, licence, counts, how to get it (facts.yaml)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vcemo_lib.corpora.labels import LABELS


@dataclass(frozen=True)
class File:
    """A file of a release that may be fetched: its address (its path for one on the hub) and its checksum."""

    url: str
    known: str = ""  # "md5:..." or "sha256:..."
    only: str = ""  # of an archive: the members whose name this pattern finds; "": all
    each: str = ""  # of a table of clips: the address of one


@dataclass(frozen=True)
class Facts:
    """One corpus; of a complete copy are `clips`, `speakers`, `counts` by kept label. 0, {}: not known."""

    title: str
    licence: str
    get: str  # the steps
    layout: str  # what its reader sees; told where a tree is refused
    language: str = ""  # of Whisper and the encoders; "": each row's own, or not known
    reader: str = ""  # its file here and function; "": none
    clips: int = 0
    speakers: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)  # own, lower case -> ours, or what is left out
    counts: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, int] = field(default_factory=dict)  # kept utterances of each session
    names: str = ""  # where the file's name tells all: its pattern (emotion, speaker, sentence)
    sentences: Mapping[str, str] = field(default_factory=dict)
    votes: str = ""  # whose
    classes: tuple[str, ...] = ()  # the kept labels, in our order
    files: tuple[File, ...] = ()
    hub: tuple[str, ...] = ()  # its repositories on the Hugging Face hub
    size: float = 0  # bytes on disk while it is fetched and unpacked


def _facts(told: dict[str, Any], spellings: Mapping[str, str]) -> Facts:
    labels = told.get("labels", spellings)
    classes = told.get("classes") or [label for label in LABELS if label in set(labels.values())]
    files = tuple(File(**file) for file in told.get("files", ()))
    lists = {"classes": tuple(classes), "files": files, "hub": tuple(told.get("hub", ()))}
    return Facts(**{**told, **lists, "labels": labels})


def _read() -> dict[str, Facts]:
    told = yaml.safe_load((Path(__file__).parent / "facts.yaml").read_text(encoding="utf-8"))
    spellings = {form: label or form for label, forms in told["spellings"].items() for form in forms.split()}
    return {name: _facts(known, spellings) for name, known in told["corpora"].items()}


CORPORA = _read()
