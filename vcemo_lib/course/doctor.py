"""`vcemo doctor`: what this machine has, what is missing, and what to do about it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vcemo_lib import _torchaudio
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import cache_dir, repo_data

PACKAGES = (  # what pyproject.toml depends on
    *("torch", "torchaudio", "transformers", "huggingface-hub", "openai-whisper", "librosa", "soundfile", "soxr"),
    *("spacy", "jieba", "numpy", "scipy", "pandas", "scikit-learn", "safetensors", "filelock", "joblib", "pyyaml"),
    *("tqdm", "matplotlib", "pillow", "seaborn", "jupyterlab", "ipython", "ipykernel", "jupyter-client"),
    *("ipywidgets", "anywidget", "traitlets", "papermill", "nbclient", "nbconvert", "nbformat", "latex2mathml", "voila"),
)
FREE_BYTES = 2_000_000_000  # Whisper, its conversion and a course's features need less
_SIGNS = {"ok": "✓", "note": "·", "missing": "✗"}


@dataclass(frozen=True)
class Finding:
    """One line of the report. `missing` keeps something in the course from working, `note` does not."""

    part: str
    name: str
    state: str  # "ok", "note" or "missing"
    detail: str
    do: str = ""


def examine() -> list[Finding]:
    """Look at Python, packages, devices, weights, corpora and disk; changes nothing."""
    examinations = (_python, _packages, _torch_and_audio, _devices, _weights, _corpora, _fonts, _disk)
    return [finding for examination in examinations for finding in _safely(examination)]


def _safely(examination: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """A doctor must finish: what breaks in one examination becomes its finding."""
    try:
        yield from examination()
    except Exception as error:
        part = examination.__name__.strip("_").replace("_", " ")
        first = str(error).splitlines()[0] if str(error) else ""
        yield Finding(part, "examination", "missing", f"{type(error).__name__}: {first}", "make setup")


def report(findings: list[Finding]) -> str:
    """The findings as text, a heading a part, with a closing line that says what is wrong in all."""
    width = max(len(finding.name) for finding in findings)
    lines, part = [], None
    for finding in findings:
        if finding.part != part:
            part = finding.part
            lines.append(f"\n{part}" if lines else part)
        remedy = f"  -> {finding.do}" if finding.do else ""
        lines.append(f"  {_SIGNS[finding.state]} {finding.name:<{width}}  {finding.detail}{remedy}")
    missing = [finding.name for finding in findings if finding.state == "missing"]
    notes = sum(finding.state == "note" for finding in findings)
    verdict = f"missing: {', '.join(missing)}" if missing else "everything the course needs is here"
    return "\n".join([*lines, "", verdict + (f"; {notes} note(s) marked ·" if notes else "")])


def _python() -> Iterator[Finding]:
    enough = sys.version_info >= (3, 11)
    where = f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    yield Finding("Python", "python", "ok" if enough else "missing", where, "" if enough else "use Python 3.11 or newer")


def locked() -> dict[str, str]:
    """The versions in requirements.lock by package; empty where the file is not there."""
    lock = repo_data().parent / "requirements.lock"
    if not lock.is_file():
        return {}
    pins = re.findall(r"^([\w.-]+)==([^;\s]+)", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name.lower().replace("_", "-"): pinned for name, pinned in pins}


def _packages() -> Iterator[Finding]:
    pins = locked()
    for name in PACKAGES:
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Finding("Packages", name, "missing", "not installed", "make setup")
            continue
        pinned = pins.get(name, found)
        if found.partition("+")[0] == pinned:
            yield Finding("Packages", name, "ok", found)
        else:
            yield Finding("Packages", name, "note", f"{found}; the course was run with {pinned}")


def _torch_and_audio() -> Iterator[Finding]:
    import soundfile
    import torch
    import torchaudio

    if torchaudio._extension._IS_TORCHAUDIO_EXT_AVAILABLE:
        yield Finding("Audio", "torchaudio", "ok", "works, with its compiled extension")
    else:
        detail = "works, without its compiled extension, which this torch cannot load"
        yield Finding("Audio", "torchaudio", "ok", detail)
        hook = Path(sysconfig.get_path("purelib")) / _torchaudio.PTH_NAME
        if not hook.is_file():
            do = "make setup" if torch.version.cuda is None else ""
            detail = "set by `import vcemo_lib` only: importing torchaudio or transformers before it fails"
            yield Finding("Audio", "torchaudio hook", "note", detail, do)
    formats = {"WAV", "FLAC", "OGG", "MP3"}
    have = formats & set(soundfile.available_formats())
    opus = "OPUS" in soundfile.available_subtypes("OGG")
    state = "ok" if have == formats and opus else "missing"
    detail = f"{soundfile.__libsndfile_version__} reads {', '.join(sorted(have))}{', Opus' if opus else ''}"
    yield Finding("Audio", "libsndfile", state, detail, "" if state == "ok" else "pip install --upgrade soundfile")


def _devices() -> Iterator[Finding]:
    import torch

    yield Finding("Devices", "cpu", "ok", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads in torch{_memory()}")
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(i)
            yield Finding("Devices", f"cuda:{i}", "ok", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    elif torch.version.cuda:
        yield Finding("Devices", "cuda", "note", f"torch is built for CUDA {torch.version.cuda} but sees no device")
    else:
        yield Finding("Devices", "cuda", "note", "none, torch is built without CUDA: the gpu lane is not for this machine")
    if torch.backends.mps.is_available():
        yield Finding("Devices", "mps", "ok", "Apple GPU")


def _memory() -> str:
    try:
        return f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB memory"
    except (AttributeError, ValueError, OSError):  # not on Windows
        return ""


def _weights() -> Iterator[Finding]:
    from vcemo_lib import predict, text, weights

    table = weights.table().set_index("name")
    for name in (text.BUNDLED_WORDS, text.BUNDLED_BERT):
        if name not in table.index:
            do = "restore data/models/ with git checkout"
            yield Finding("Weights", name, "missing", "its folder is not in data/models/", do)
    if predict.BUNDLED not in table.index:
        yield Finding("Weights", predict.BUNDLED, "note", "not bundled: a clip is judged by a run of your own", "vcemo train")
    for name, row in table.iterrows():
        detail = f"{row['source']}, {row['megabytes']:g} MB"
        if row["kind"] == "bundled":
            try:
                weights.bundled(name)  # compares every file's SHA-256
            except VcemoError as error:
                yield Finding("Weights", name, "missing", str(error))
            else:
                yield Finding("Weights", name, "ok", f"{detail}, checksums right")
        elif row["found"]:
            yield Finding("Weights", name, "ok", detail)
        else:
            do = "unset VCEMO_OFFLINE once" if weights.offline() else "vcemo prepare sim fetches them now"
            yield Finding("Weights", name, "missing" if weights.offline() else "note", row["source"], do)


def _corpora() -> Iterator[Finding]:
    from vcemo_lib.corpora import READERS, load_corpus

    for name in READERS:
        try:
            corpus = load_corpus(name)
        except VcemoError as error:
            yield Finding("Corpora", name, "missing" if name == "sim" else "note", str(error).splitlines()[0])
            continue
        speakers = corpus.table["speaker"].nunique()
        kind = "simulated, " if corpus.simulated else ""
        yield Finding("Corpora", name, "ok", f"{kind}{len(corpus)} utterances, {speakers} speakers")


def _fonts() -> Iterator[Finding]:
    from vcemo_lib import plots

    if font := plots.cjk_font():
        yield Finding("Fonts", "Chinese", "ok", font)
    else:
        detail = "none: figures number the words and show them in a table beside"
        yield Finding("Fonts", "Chinese", "note", detail, "install Noto Sans CJK to have them in the figures")


def _disk() -> Iterator[Finding]:
    from vcemo_lib.paths import write_atomically

    cache = cache_dir()
    probe = cache / ".doctor"
    write_atomically(probe, "")  # VcemoError where it cannot be written
    probe.unlink()
    free = shutil.disk_usage(cache).free
    used = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
    enough = free >= FREE_BYTES
    detail = f"{cache}, {used / 1e6:.0f} MB used, {free / 1e9:.1f} GB free"
    do = "" if enough else "free some space, or set VCEMO_CACHE to a folder elsewhere"
    yield Finding("Disk", "cache", "ok" if enough else "missing", detail, do)
    for name in sorted(name for name in os.environ if name.startswith("VCEMO_")):
        yield Finding("Disk", name, "note", f"set to {os.environ[name]}")
