"""`vcemo doctor`: what this machine has, what is missing, and what to do about it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sysconfig
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path

from vcemo_lib import _torchaudio
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import cache_dir, offline, write_atomically

REPOSITORY = Path(__file__).resolve().parents[2]
FREE_BYTES = 2_000_000_000  # Whisper, its conversion and a course's features need less
_SIGNS = {"ok": "✓", "note": "·", "missing": "✗"}


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    part: str
    name: str
    state: str  # "ok", "note", or "missing": something in the course does not work
    detail: str
    do: str = ""  # where it is not ok


def examine() -> list[Finding]:
    """Look at Python, packages, devices, weights, corpora and disk; changes nothing."""
    examinations = (_python, _packages, _audio, _devices, _weights, _corpora, _fonts, _disk)
    return [finding for examination in examinations for finding in _safely(examination)]


def _safely(examination: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """A doctor must finish: what breaks in one examination becomes its finding."""
    try:
        yield from examination()
    except VcemoError as error:  # it says itself what to do
        yield Finding(examination.__name__.strip("_"), "examination", "missing", str(error).splitlines()[0])
    except Exception as error:
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        yield Finding(examination.__name__.strip("_"), "examination", "missing", reason, "make setup")


def report(findings: list[Finding]) -> str:
    """The findings as text, a heading for each part, with a closing line that says what is wrong in all."""
    width = max(len(finding.name) for finding in findings)
    lines: list[str] = []
    for part, own in groupby(findings, key=lambda finding: finding.part):
        lines += ["", part]
        for finding in own:
            remedy = f"  -> {finding.do}" if finding.do and finding.state != "ok" else ""
            lines.append(f"  {_SIGNS[finding.state]} {finding.name:<{width}}  {finding.detail}{remedy}")
    missing = [finding.name for finding in findings if finding.state == "missing"]
    notes = sum(finding.state == "note" for finding in findings)
    verdict = f"missing: {', '.join(missing)}" if missing else "everything the course needs is here"
    return "\n".join([*lines[1:], "", verdict + (f"; {notes} note(s) marked ·" if notes else "")])


def _python() -> Iterator[Finding]:
    where = f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    yield Finding("Python", "python", "ok", where)


def dependencies() -> dict[str, str]:
    """The packages that pyproject.toml names, with their versions in requirements.lock, "" if not there."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([\w.-]+)==([^;\s]+)", lock.lower().replace("_", "-"), flags=re.MULTILINE))
    names = [re.split(r"[^\w.-]", line)[0].lower() for line in project["dependencies"]]
    return {name: pins.get(name, "") for name in names}


def _packages() -> Iterator[Finding]:
    for name, pinned in dependencies().items():
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Finding("Packages", name, "missing", "not installed", "make setup")
            continue
        if found.partition("+")[0] == pinned or not pinned:
            yield Finding("Packages", name, "ok", found)
        else:
            yield Finding("Packages", name, "note", f"{found}; the course was run with {pinned}")


def _audio() -> Iterator[Finding]:
    import soundfile
    import torch
    import torchaudio

    compiled = torchaudio._extension._IS_TORCHAUDIO_EXT_AVAILABLE
    yield Finding("Audio", "torchaudio", "ok", f"works with{'' if compiled else 'out'} compiled extension")
    if not compiled and not (Path(sysconfig.get_path("purelib")) / _torchaudio.PTH_NAME).is_file():
        detail = "set by `import vcemo_lib` only: importing torchaudio or transformers before it fails"
        do = "make setup" if torch.version.cuda is None else ""
        yield Finding("Audio", "torchaudio hook", "note", detail, do)
    known = {**soundfile.available_formats(), **soundfile.available_subtypes("OGG")}
    formats = [name for name in ("FLAC", "MP3", "OGG", "Opus", "WAV") if name.upper() in known]
    detail = f"{soundfile.__libsndfile_version__} reads {', '.join(formats)}"
    state = "ok" if len(formats) == 5 else "missing"
    yield Finding("Audio", "libsndfile", state, detail, "pip install --upgrade soundfile")


def _devices() -> Iterator[Finding]:
    import torch

    detail = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads in torch"
    if hasattr(os, "sysconf"):  # not on Windows
        detail += f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB memory"
    yield Finding("Devices", "cpu", "ok", detail)
    for nth in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(nth)
        yield Finding("Devices", f"cuda:{nth}", "ok", f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB")
    if not torch.cuda.is_available():
        built = f"torch is built for CUDA {torch.version.cuda} but sees no device"
        none = "none, torch is built without CUDA: the gpu lane is not for this machine"
        yield Finding("Devices", "cuda", "note", built if torch.version.cuda else none)
    if torch.backends.mps.is_available():
        yield Finding("Devices", "mps", "ok", "Apple GPU")


def _weights() -> Iterator[Finding]:
    from vcemo_lib import predict, text, weights

    table = weights.table().set_index("name")
    for name in sorted({text.BUNDLED_WORDS, text.BUNDLED_BERT, predict.BUNDLED}.difference(table.index)):
        yield Finding("Weights", name, "missing", "not in data/models/", "restore it with git checkout")
    for name, row in zip(map(str, table.index), table.to_dict("records"), strict=True):
        detail = f"{row['source']}, {row['megabytes']:g} MB"
        state, do = "ok", ""
        if row["kind"] == "bundled":
            try:
                weights.bundled(name)  # compares every file's SHA-256
                detail += ", checksums right"
            except VcemoError as error:
                state, detail = "missing", str(error)
        elif not row["found"]:
            state, do = "note", "vcemo prepare sim fetches them now"
            if offline():
                state, do = "missing", "unset VCEMO_OFFLINE once"
        yield Finding("Weights", name, state, detail, do)


def _corpora() -> Iterator[Finding]:
    from vcemo_lib.corpora import READERS, load_corpus

    for name in READERS:
        try:
            corpus = load_corpus(name)
            detail = f"{len(corpus)} utterances, {corpus.table['speaker'].nunique()} speakers"
            yield Finding("Corpora", name, "ok", f"simulated, {detail}" if corpus.simulated else detail)
        except VcemoError as error:
            state = "missing" if name == "sim" else "note"
            yield Finding("Corpora", name, state, str(error).splitlines()[0])


def _fonts() -> Iterator[Finding]:
    from vcemo_lib.plots import cjk_fonts

    state = "ok" if cjk_fonts() else "note"
    detail = ", ".join(cjk_fonts()) or "none: figures show boxes for Chinese"
    yield Finding("Fonts", "Chinese", state, detail, "restore data/fonts with git checkout")


def _disk() -> Iterator[Finding]:
    cache = cache_dir()
    try:
        write_atomically(cache / ".doctor", "")
        (cache / ".doctor").unlink()
    except VcemoError as error:  # what is kept there is used all the same
        yield Finding("Disk", "writing", "note", str(error))
    free = shutil.disk_usage(cache).free
    used = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
    detail = f"{cache}, {used / 1e6:.0f} MB used, {free / 1e9:.1f} GB free"
    state = "ok" if free >= FREE_BYTES else "missing"
    yield Finding("Disk", "cache", state, detail, "free some, or set VCEMO_CACHE to a folder elsewhere")
    for name in sorted(name for name in os.environ if name.startswith("VCEMO_")):
        yield Finding("Disk", name, "note", f"set to {os.environ[name]}")
