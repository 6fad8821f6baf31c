"""The network: files with their checksum (pooch), wheels of the package index (pip), the Hugging Face hub."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import write_error

CONNECT_SECONDS = 5  # a host that does not answer within this is left alone for the rest of the process
STALL_SECONDS = 30  # a transfer that stands still for this long has dropped
HUB_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")  # what an encoder needs; nothing that is pickled
HUB_REVISIONS = {"bert-base-chinese": "8f23c25b06e129b6c986331a13d8d025a92cf0ea"}  # the default

_failures: dict[str, str] = {}  # host -> why, or ""; so that a sealed machine waits once


class Unavailable(Exception):
    """This source cannot give the file now; the next one is tried."""


def offline() -> bool:
    """Whether `VCEMO_OFFLINE` forbids every attempt at the network."""
    return os.environ.get("VCEMO_OFFLINE", "").lower() not in ("", "0", "false", "no")


def reach(url: str) -> None:
    """Raise Unavailable where a host does not answer: after `CONNECT_SECONDS`, and at once the next time."""
    import requests

    if offline():
        raise Unavailable("VCEMO_OFFLINE is set, so no network was tried")
    host, failures = urlsplit(url).netloc, _failures

    def ask() -> None:
        try:
            requests.head(url, timeout=CONNECT_SECONDS)
            failures.setdefault(host, "")
        except requests.RequestException as error:
            failures.setdefault(host, type(error).__name__)

    if host not in failures:
        asking = threading.Thread(target=ask, daemon=True)  # a name look-up has no time limit of its own
        asking.start()
        asking.join(CONNECT_SECONDS)
    if reason := failures.setdefault(host, f"no answer within {CONNECT_SECONDS} s"):
        raise Unavailable(f"{host} is out of reach ({reason})")


def download(url: str, target: Path, sha256: str) -> Path:
    """Fetch a file, whole and with this SHA-256; where a transfer drops, the next try goes on from there.

    Raises Unavailable, or VcemoError where the file cannot be written.
    """
    import pooch
    import requests

    reach(url)
    host, part = urlsplit(url).netloc, target.with_name(f"{target.name}.part")

    def resume(url: str, output: str, _pooch: object) -> None:
        with part.open("ab") as file:

            def start_again(response: requests.Response, **_: object) -> None:
                if response.status_code == requests.codes.ok and file.tell():  # all of it, not the rest
                    file.truncate(0)

            headers = {"Range": f"bytes={file.tell()}-", "Accept-Encoding": "identity"}
            seconds, hooks = (CONNECT_SECONDS, STALL_SECONDS), {"response": start_again}
            get = pooch.HTTPDownloader(True, 1 << 18, timeout=seconds, headers=headers, hooks=hooks)
            get(url, file, None)
        part.replace(output)

    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(pooch.retrieve(url, sha256, target.name, target.parent, downloader=resume))
    except requests.HTTPError as error:
        part.unlink(missing_ok=True)
        raise Unavailable(f"{host} answered {error.response.status_code}") from error
    except requests.RequestException as error:
        raise Unavailable(f"the download from {host} broke off ({type(error).__name__})") from error
    except ValueError as error:  # pooch's word for another checksum
        raise Unavailable(f"what {host} sent has the wrong SHA-256") from error
    except OSError as error:
        part.unlink(missing_ok=True)
        raise write_error(error, target) from error


def hub(name: str, file: str | None = None) -> Path:
    """A file of a repository on the Hugging Face hub, or the folder of all that an encoder needs.

    `name` is "user/name" or "user/name@revision"; HF_ENDPOINT is honoured. A pinned revision never changes,
    so the client's cache is asked first; without one, the hub is asked for its newest while it is in reach.
    The commit is the name of the folder. Raises VcemoError where it cannot be had.
    """
    from huggingface_hub import hf_hub_download, snapshot_download, try_to_load_from_cache

    repository, _, chosen = name.partition("@")
    revision = chosen or HUB_REVISIONS.get(repository)
    get = partial(snapshot_download, allow_patterns=list(HUB_FILES), ignore_patterns=["*/*"])
    if file:
        get = partial(hf_hub_download, filename=file)
    why = "it is not in the cache"
    for cached in (True, False) if revision else (False, True):
        try:
            if not cached:
                reach(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
            if not (cached and file):
                return Path(get(repository, revision=revision, local_files_only=cached))
            # `hf_hub_download(local_files_only=True)` would still ask the hub for a file of the client's own.
            if isinstance(kept := try_to_load_from_cache(repository, file, revision=revision), str):
                return Path(kept)
        except Unavailable as error:
            why = str(error)
        except (OSError, ValueError) as error:
            why = why if cached else type(error).__name__
    do = "check the name and the network (HF_ENDPOINT may name a mirror), or give a path"
    raise VcemoError(f"could not get {name} from the hub, {why}", do=do)


def pip_download(requirements: list[str], folder: Path) -> None:
    """Let pip fetch wheels into `folder` from whatever index the user has set; none of their code is run."""
    pip = [sys.executable, "-m", "pip"]
    if not find_spec("pip"):  # as uv makes environments
        pip = [found for name in ("pip", "pip3") if (found := shutil.which(name))][:1]
    if not pip:
        raise Unavailable("the package index needs pip, which is not installed here")
    options = "download --no-deps --only-binary=:all: --no-cache-dir --disable-pip-version-check --timeout 15"
    command = [*pip, *options.split(), "--retries", "1", "--dest", str(folder), *requirements]
    # pip writes to TMPDIR first: kept inside our folder, so that a killed run leaves nothing elsewhere
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    # its progress goes to our stderr (2), what it complains of comes back
    ended = subprocess.run(
        command, env=environment, stdout=2, stderr=subprocess.PIPE, encoding="utf-8", errors="replace"
    )
    if "No space left" in ended.stderr or "Errno 28" in ended.stderr:
        raise write_error(OSError(errno.ENOSPC, ""), folder.parent)
    if ended.returncode:
        lines = ended.stderr.splitlines() or [f"pip ended with {ended.returncode}"]
        raise Unavailable("package index: " + next((x for x in lines if x.startswith("ERROR")), lines[-1]))
