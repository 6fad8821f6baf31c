"""Corpora that may be fetched openly: resumed where a transfer drops, checked, unpacked whole or not at all.

Every address is asked of VCEMO_MIRROR where that is set (MIRROR/host/path), and the hub's of HF_ENDPOINT.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import shutil
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from vcemo_lib.corpora.readers import CORPORA, note, noted, remember
from vcemo_lib.corpora.readers.facts import Facts, File
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import cache_dir, offline, write_error

TIMEOUT = (5.0, 30.0)  # s: to connect, and for a transfer that stands still
TRIES, PAUSE = 6, 1.0  # of one file, and s before the second, twice as long before each that follows
AT_ONCE, BLOCK = 8, 1 << 16  # small clips; bytes, of which a drop loses one block
MARK = ".vcemo_fetch.json"  # in a folder that is ours: which files of the release it holds, unpacked
BEGINNINGS = {".zip": b"PK", ".tgz": b"\x1f\x8b", ".gz": b"\x1f\x8b", ".parquet": b"PAR1", ".wav": b"RIFF"}
ENDS = {".parquet": b"PAR1"}
CLIP_NAME = re.compile(r"\w{1,40}")
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, NotImplementedError)


def fetch(name: str, to: Path | None, agree: Callable[[Facts], bool]) -> Path:
    """The folder that a corpus was fetched to (the cache's by default); what is there already is kept.

    `agree` is asked once for its licence. VcemoError for what cannot be fetched openly, with the steps.
    """
    facts = CORPORA[name]
    if not facts.files:
        raise VcemoError(f"{facts.title} cannot be fetched openly", do=facts.get)
    licences = cache_dir() / "licences.json"
    if noted(licences).get(name) != facts.licence:
        if not agree(facts):
            raise VcemoError(f"the licence of {name} was not agreed to, nothing was fetched")
        note(licences, name, facts.licence)
    folder = to or cache_dir() / "corpora" / name
    if folder.exists() and not (folder / MARK).exists() and any(folder.iterdir()):
        raise VcemoError("this folder is not empty", folder, "give --to a new one")
    note(mark := folder / MARK, "corpus", name)
    have = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    left = [file for file in facts.files if file.url not in noted(mark)]
    if left and (free := shutil.disk_usage(folder).free) < facts.size - have:
        what = f"{name} needs {(facts.size - have) / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
        raise VcemoError(what, folder, "free some, or give --to a folder elsewhere")
    for file in left:
        _one(facts, file, folder)
        note(mark, file.url, "done")
    remember(name, folder)
    return folder


def _one(facts: Facts, file: File, folder: Path) -> None:
    """One file of a release, and what belongs to it: an archive's content, the clips that a table lists."""
    path = PurePosixPath(urlsplit(file.url).path)
    target = folder / (path.name if "://" in file.url else path)
    if not target.is_file():
        download(addresses(facts, file.url), target, file.known)
    if file.each:
        _listed(file, target, folder)
    if path.suffix in (".zip", ".tgz"):
        unpack(target, folder, file.only)
        target.unlink()


def addresses(facts: Facts, url: str) -> list[str]:
    """Where a file may be had: the hub's repositories for a path; of the mirror, where there is one."""
    hub, mirror = os.environ.get("HF_ENDPOINT") or "https://huggingface.co", os.environ.get("VCEMO_MIRROR")
    found = [url] if "://" in url else [f"{hub}/datasets/{r}/resolve/main/{url}" for r in facts.hub]
    bare = [place.partition("://")[2] for place in found]
    return [f"{mirror.rstrip('/')}/{place}" for place in bare] if mirror else found


def download(
    places: list[str], target: Path, known: str = "", session: Any = None, quiet: bool = False
) -> None:
    """One file, whole and checked, from the first address that has it; a broken transfer goes on.

    known: "md5:..." or "sha256:..." of it. VcemoError, with what each address said, where none has it.
    """
    import requests

    if offline():
        raise VcemoError("VCEMO_OFFLINE is set, nothing is fetched", target.name, "unset it once")
    session, said = session or requests.Session(), []
    part = target.with_name(f"{target.name}.part")
    for url in places:
        for attempt in range(TRIES):
            time.sleep(PAUSE * 2 ** (attempt - 1) if attempt else 0)
            try:
                part.parent.mkdir(parents=True, exist_ok=True)
                digest = _transfer(session, url, part, quiet) or known
                _check(part, target.suffix, known or digest, url)
                part.replace(target)
                return
            except requests.RequestException as error:
                answer = error.response
                why = f"{answer.status_code}" if answer is not None else type(error).__name__
                if why.isdecimal() and 400 <= int(why) < 500 and why not in ("408", "416", "429"):
                    break  # it has no such file
            except OSError as error:
                raise write_error(error, part) from error
        said.append(f"{urlsplit(url).netloc}: {why}")
    do = "try again later: what has come is kept; VCEMO_MIRROR and HF_ENDPOINT name other servers"
    raise VcemoError(f"could not fetch {target.name} ({'; '.join(said)})", do=do)


def _transfer(session: Any, url: str, part: Path, quiet: bool) -> str:
    """Append what is missing of a file; gives the SHA-256 that the hub tells of it, or ""."""
    import requests
    from tqdm import tqdm

    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        goes_on = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(
            f"bytes {have}-"
        )
        if answer.status_code == 416 or answer.status_code == 206 and not goes_on:
            part.unlink()  # it was whole already, or another range came: from the start
            raise requests.ConnectionError("another range")
        answer.raise_for_status()
        have = have if goes_on else 0
        length = int(answer.headers.get("Content-Length", 0))
        bar = tqdm(desc=part.stem, initial=have, total=have + length or None, unit="B", unit_scale=True,
                   disable=quiet, leave=False)  # fmt: skip
        with bar, part.open("ab" if goes_on else "wb") as file:
            for block in answer.iter_content(BLOCK):
                file.write(block)
                bar.update(len(block))
    linked = [step.headers.get("X-Linked-ETag", "").strip('"') for step in (*answer.history, answer)]
    return next((f"sha256:{digest}" for digest in linked if re.fullmatch(r"[0-9a-f]{64}", digest)), "")


def _check(part: Path, suffix: str, known: str, url: str) -> None:
    """Refuse what is not the file that was asked for, and throw it away."""
    kind, _, digest = known.partition(":")
    with part.open("rb") as file:
        right = not kind or hashlib.file_digest(file, kind).hexdigest() == digest
        file.seek(0)
        start = file.read(16)
        file.seek(-min(4, part.stat().st_size), os.SEEK_END)
        end = file.read(4)
    wrong = "" if right else f"it has the wrong {kind.upper()}"
    if not start.startswith(BEGINNINGS.get(suffix, b"")) or not end.endswith(ENDS.get(suffix, b"")):
        wrong = f"it is no {suffix[1:]} file, or not a whole one"
    if start.lstrip().startswith(b"<") or not start:
        wrong = "it is a web page" if start else "it is empty"
    if wrong:
        part.unlink()
        what = f"what {urlsplit(url).netloc} sent is not the file that was asked for: {wrong}"
        raise VcemoError(what, part.stem, "try again later, or set VCEMO_MIRROR")


def _listed(file: File, table: Path, folder: Path) -> None:
    """The clips that a table's column `fileName` lists, some at once; what is there is kept."""
    import requests
    from tqdm import tqdm

    with table.open(encoding="utf-8-sig", newline="") as lines:
        names = {row.get("fileName") or "" for row in csv.DictReader(lines)}
    if strange := sorted(name for name in names if not CLIP_NAME.fullmatch(name)):
        table.unlink()
        raise VcemoError(f"the table of clips lists {strange[0]!r}", table, "try again later")
    session, clips = requests.Session(), {name: folder / "AudioWAV" / f"{name}.wav" for name in sorted(names)}

    def get(name: str) -> str:
        try:
            download(addresses(CORPORA["crema-d"], file.each.format(name)), clips[name], "", session, True)
            return ""
        except VcemoError as error:
            return str(error)

    wanted = [name for name, path in clips.items() if not path.is_file()]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        failed = [why for why in tqdm(pool.map(get, wanted), "clips", len(wanted), leave=False) if why]
    if failed:
        raise VcemoError(f"{len(failed)} of {len(clips)} clips did not come, the first: {failed[0]}")


def unpack(archive: Path, folder: Path, only: str = "") -> None:
    """Unpack a zip or tar, and the tars within, whole or not at all; a path that leads outside is refused."""
    fresh = folder / ".unpacking"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        _extract(archive, fresh, only)
        for inner in sorted(fresh.rglob("*.tar.gz")):
            _extract(inner, inner.parent, "")
            inner.unlink()
        for entry in sorted(fresh.iterdir()):
            if (place := folder / entry.name).is_dir():  # from a run that was killed while it moved them
                shutil.rmtree(place)
            entry.replace(place)
    except DAMAGE as error:
        archive.unlink()
        raise VcemoError(
            f"this archive is damaged or not safe: {error}", archive, "fetch it again"
        ) from error
    except OSError as error:
        raise write_error(error, folder) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _extract(archive: Path, folder: Path, only: str) -> None:
    """Extract the members whose name `only` finds. tarfile's filter refuses what leads outside."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                path = PurePosixPath(info.filename.replace("\\", "/"))
                if path.is_absolute() or ".." in path.parts or ":" in info.filename:
                    raise zipfile.BadZipFile(f"{info.filename!r} leads out of it")
            if sum(info.file_size for info in opened.infolist()) > shutil.disk_usage(archive.parent).free:
                raise OSError(28, "no space left for what is in it")
            opened.extractall(folder, [n for n in opened.namelist() if re.search(only, n)])
    else:
        with tarfile.open(archive) as tar:
            folder.mkdir(parents=True, exist_ok=True)
            for member in tar:
                if re.search(only, member.name):
                    tar.extract(member, folder, filter="data")
