"""Fetching a corpus from a server on this machine that drops, truncates, redirects and lies."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from vcemo_lib import VcemoError
from vcemo_lib.cli import main
from vcemo_lib.corpora import fetch, readers
from vcemo_lib.corpora.readers import CORPORA
from vcemo_lib.corpora.readers.facts import File

WAV = b"RIFF" + bytes(60_000)
NAMES = [
    f"Actor_0{actor}/03-01-0{emotion}-01-01-01-0{actor}.wav" for actor in (1, 2) for emotion in (1, 3, 5)
]
ADDRESS = "zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip"


def zipped(files: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(written := io.BytesIO(), "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return written.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    with tarfile.open(fileobj=(written := io.BytesIO()), mode="w:gz") as archive:
        for name, data in files.items():
            (info := tarfile.TarInfo(name)).size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return written.getvalue()


class Server:
    """Sends `files` by path; each request takes its manner from `manners`, good when they are used up."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.manners: list[str] = []
        self.asked: list[tuple[str, str]] = []  # path, range
        self.headers: dict[str, str] = {}  # of a hub, which redirects each request to where the file lies
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, to: http.server.BaseHTTPRequestHandler) -> None:
        to.close_connection = True
        wanted = to.headers.get("Range", "")
        self.asked.append((to.path[1:], wanted))
        manner = self.manners.pop(0) if self.manners else "good"
        data = self.files.get(to.path[1:].removeprefix("elsewhere/"))
        if data is None or manner in ("gone", "busy"):
            to.send_error(503 if manner == "busy" else 404)
            return
        if manner == "redirect" or self.headers and not to.path.startswith("/elsewhere"):
            to.send_response(302)
            to.send_header("Location", f"{self.url}/elsewhere{to.path}")
            for name, value in self.headers.items():
                to.send_header(name, value)
            to.send_header("Content-Length", "0")
            to.end_headers()
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-") or 0) if manner != "no ranges" else 0
        if start >= len(data):
            to.send_error(416)
            return
        body = {"page": b"<html>log in</html>", "altered": data[start:-1] + b"?", "empty": b""}.get(
            manner, data[start:]
        )
        to.send_response(206 if start else 200)
        if start:
            first = 7 if manner == "another range" else start
            to.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        if manner != "truncated":  # no length is told, and half of it sent
            to.send_header("Content-Length", str(len(body)))
        to.end_headers()
        half = manner in ("drop", "truncated")
        to.wfile.write(body[: len(body) // 2] if half else body)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    one = Server()
    monkeypatch.setenv("VCEMO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VCEMO_MIRROR", one.url)
    for name in (
        "VCEMO_OFFLINE",
        "VCEMO_CORPORA",
        "HF_ENDPOINT",
        "http_proxy",
        "HTTP_PROXY",
        "ALL_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(fetch, "PAUSE", 0.01)
    yield one
    one.http.shutdown()
    one.http.server_close()


@pytest.fixture
def ravdess(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A small RAVDESS at its address, with the checksum that the table of facts has for it."""
    server.files[ADDRESS] = data = zipped({name: WAV for name in NAMES})
    known = File(f"https://{ADDRESS}", f"md5:{hashlib.md5(data).hexdigest()}")
    monkeypatch.setitem(CORPORA, "ravdess", replace(CORPORA["ravdess"], files=(known,), size=1e4))
    return server


def held(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_corpus_is_fetched_unpacked_and_found_by_its_name(ravdess: Server, tmp_path: Path, capsys) -> None:
    to = tmp_path / "here"
    assert main(["fetch", "ravdess", "--to", str(to)]) == 2
    assert "licence must be agreed to" in capsys.readouterr().err and not ravdess.asked
    assert main(["fetch", "ravdess", "--to", str(to), "--yes"]) == 0
    assert "CC BY-NC-SA 4.0" in capsys.readouterr().out
    assert held(to) == [fetch.MARK, *NAMES] and readers.place("ravdess") == to
    assert main(["fetch", "ravdess", "--to", str(to)]) == 0, "agreed to once"
    assert len(ravdess.asked) == 1, "and fetched once"
    assert main(["prepare", "ravdess", "--out", str(tmp_path / "m.csv")]) == 0
    assert "6 of 1,440 clips" in capsys.readouterr().out


@pytest.mark.parametrize(
    "manners",
    [["drop"], ["drop", "drop", "busy", "drop"], ["redirect"], ["drop", "no ranges"],
     ["drop", "another range"], ["redirect", "drop", "redirect"], ["busy"]],
    ids=" ".join,
)  # fmt: skip
def test_a_transfer_goes_on_where_it_broke_off(ravdess: Server, manners: list[str]) -> None:
    ravdess.manners = list(manners)
    folder = fetch.fetch("ravdess", None, lambda _: True)
    assert held(folder) == [fetch.MARK, *NAMES] and not ravdess.manners
    if manners == ["drop"]:
        half = len(ravdess.files[ADDRESS]) // 2
        assert ravdess.asked[1][1] == f"bytes={half // fetch.BLOCK * fetch.BLOCK}-"


def test_a_killed_fetch_goes_on_and_a_whole_part_is_not_fetched_again(ravdess: Server) -> None:
    ravdess.manners = ["drop"] + ["busy"] * (fetch.TRIES - 1)
    with pytest.raises(VcemoError, match="could not fetch .*127.0.0.1:[0-9]+: 503.*try again later"):
        fetch.fetch("ravdess", None, lambda _: True)
    folder = fetch.cache_dir() / "corpora" / "ravdess"
    part = folder / "Audio_Speech_Actors_01-24.zip.part"
    assert held(folder) == [fetch.MARK, part.name]
    (folder / ".unpacking").mkdir()
    (folder / "Actor_01").mkdir()
    (folder / "Actor_01" / "half.wav").write_bytes(b"of a run that was killed")
    part.write_bytes(ravdess.files[ADDRESS])
    assert held(fetch.fetch("ravdess", None, lambda _: True)) == [fetch.MARK, *NAMES]


@pytest.mark.parametrize(
    ("manner", "told"),
    [("altered", "wrong MD5"), ("page", "a web page"), ("empty", "it is empty"), ("truncated", "wrong MD5")],
)
def test_what_is_not_the_file_is_refused_and_thrown_away(ravdess: Server, manner: str, told: str) -> None:
    ravdess.manners = [manner]
    with pytest.raises(VcemoError, match=told):
        fetch.fetch("ravdess", None, lambda _: True)
    assert held(fetch.cache_dir() / "corpora" / "ravdess") == [fetch.MARK]
    fetch.fetch("ravdess", None, lambda _: True)


def test_no_file_no_network_no_space_no_empty_folder(
    ravdess: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ravdess.manners = ["gone"]
    with pytest.raises(VcemoError, match="127.0.0.1:[0-9]+: 404"):
        fetch.fetch("ravdess", None, lambda _: True)
    assert len(ravdess.asked) == 1, "what is not there is not asked for again"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(VcemoError, match="folder is not empty"):
        fetch.fetch("ravdess", tmp_path / "full", lambda _: True)
    with pytest.raises(VcemoError, match="was not agreed to"):
        fetch.fetch("crema-d", None, lambda _: False)
    monkeypatch.setitem(CORPORA, "ravdess", replace(CORPORA["ravdess"], size=1e15))
    with pytest.raises(VcemoError, match=r"ravdess needs 1000000.0 GB, .* are free"):
        fetch.fetch("ravdess", tmp_path / "new", lambda _: True)
    monkeypatch.setenv("VCEMO_OFFLINE", "1")
    with pytest.raises(VcemoError, match="VCEMO_OFFLINE is set"):
        fetch.download([ravdess.url], tmp_path / "x.zip")


@pytest.mark.parametrize("name", ["../out.wav", "/out.wav", "a/../../out.wav", "..\\out.wav", "C:out.wav"])
def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for pack, file in ((zipped, "a.zip"), (tarred, "a.tgz")):
        if pack is tarred and ("\\" in name or ":" in name) and os.name != "nt":
            continue  # a plain name here
        (folder / file).write_bytes(pack({"good.wav": WAV, name: WAV}))
        if pack is tarred and name.startswith("/"):  # the filter makes it relative
            fetch.unpack(folder / file, folder)
            assert held(folder) == ["a.tgz", "good.wav", "out.wav"]
            continue
        with pytest.raises(VcemoError, match="damaged or not safe"):
            fetch.unpack(folder / file, folder)
        assert held(tmp_path) == [], "nothing is left"


def test_a_link_out_of_an_archive_and_half_an_archive_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "link.tgz", "w:gz") as archive:
        (info := tarfile.TarInfo("link")).type, info.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(info)
    (tmp_path / "half.tgz").write_bytes(tarred({"a.wav": os.urandom(50_000)})[:20_000])
    (tmp_path / "half.zip").write_bytes(zipped({"a.wav": WAV})[:-30])
    for name in ("link.tgz", "half.tgz", "half.zip"):
        with pytest.raises(VcemoError, match="damaged or not safe"):
            fetch.unpack(tmp_path / name, tmp_path)
    assert held(tmp_path) == []


def test_crema_d_comes_clip_by_clip_from_its_table(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CORPORA, "crema-d", replace(CORPORA["crema-d"], size=1e4))
    table, clips = (CORPORA["crema-d"].files[0].url, CORPORA["crema-d"].files[0].each)
    names = [f"1001_DFA_{emotion}_XX" for emotion in ("ANG", "HAP", "SAD")]
    rows = [
        '"","A","D","F","H","N","S","fileName"',
        *(f'"10000{n}",1,0,0,0,0,0,"{c}"' for n, c in enumerate(names)),
    ]
    server.files[table.removeprefix("https://")] = "\n".join(rows).encode()
    for name in names[:2]:
        server.files[clips.format(name).removeprefix("https://")] = WAV
    with pytest.raises(VcemoError, match="1 of 3 clips did not come, the first: .*SAD.*404"):
        fetch.fetch("crema-d", None, lambda _: True)
    server.files[clips.format(names[2]).removeprefix("https://")] = WAV
    before = len(server.asked)
    folder = fetch.fetch("crema-d", None, lambda _: True)
    assert len(server.asked) == before + 1, "what came is kept"
    assert held(folder)[1:] == [*(f"AudioWAV/{name}.wav" for name in names), "tabulatedVotes.csv"]
    assert len(readers.read("crema-d", folder)[0]) == 3
    server.files[table.removeprefix("https://")] = b'"","fileName"\n"1","../../x"\n'
    with pytest.raises(VcemoError, match="lists '../../x'"):
        fetch.fetch("crema-d", folder.with_name("other"), lambda _: True)


def test_the_hubs_files_are_checked_by_what_it_tells_and_the_second_repository_is_tried(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    facts = replace(CORPORA["csemotions"], files=CORPORA["csemotions"].files[:1], size=1e4)
    monkeypatch.setitem(CORPORA, "csemotions", facts)
    monkeypatch.delenv("VCEMO_MIRROR")
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    data, path = b"PAR1 columns PAR1", facts.files[0].url
    server.files[f"datasets/ATH-MaaS/CSEMOTIONS/resolve/main/{path}"] = data
    server.headers = {"X-Linked-ETag": f'"{hashlib.sha256(b"another file").hexdigest()}"'}
    with pytest.raises(VcemoError, match="wrong SHA256"):
        fetch.fetch("csemotions", None, lambda _: True)
    server.headers = {"X-Linked-ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
    folder = fetch.fetch("csemotions", None, lambda _: True)
    assert (folder / path).read_bytes() == data
    server.files[f"datasets/AIDC-AI/CSEMOTIONS/resolve/main/{path}"] = data[:-4]
    server.headers = {}
    with pytest.raises(VcemoError, match="no parquet file, or not a whole one"):
        fetch.fetch("csemotions", tmp_path / "again", lambda _: True)


def test_of_aishell_only_the_test_speakers_are_unpacked(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = {name: tarred({f"test/{name}/BAC.wav": WAV}) for name in ("S0764", "S0002", "S0916")}
    data = tarred({"data_aishell/transcript/t.txt": b"x", "data_aishell/wav/README": b"x"}
                  | {f"data_aishell/wav/{name}.tar.gz": one for name, one in inner.items()})  # fmt: skip
    server.files["www.openslr.org/resources/33/data_aishell.tgz"] = data
    file = replace(CORPORA["aishell"].files[0], known=f"md5:{hashlib.md5(data).hexdigest()}")
    monkeypatch.setitem(CORPORA, "aishell", replace(CORPORA["aishell"], files=(file,), size=1e4))
    folder = fetch.fetch("aishell", None, lambda _: True)
    assert held(folder)[1:] == ["data_aishell/transcript/t.txt", "data_aishell/wav/test/S0764/BAC.wav",
                                "data_aishell/wav/test/S0916/BAC.wav"]  # fmt: skip


def test_what_is_not_open_is_told_with_the_steps(server: Server, capsys) -> None:
    for name, step in (
        ("iemocap", "sail.usc.edu"),
        ("emotiontalk", "accept its conditions"),
        ("vcemo", "authors"),
    ):
        assert main(["fetch", name, "--yes"]) == 2
        told = capsys.readouterr().err
        assert "cannot be fetched openly" in told and step in told
    assert main(["fetch", "nothing"]) == 2 and main(["fetch"]) == 2
    assert "unknown corpus 'nothing'" in capsys.readouterr().err and not server.asked


def test_facts_of_what_is_fetched_are_whole() -> None:
    for name, facts in CORPORA.items():
        assert bool(facts.files) == facts.get.startswith(f"vcemo fetch {name}")
        assert not facts.files or facts.size and facts.licence
        assert json.dumps(facts.get) and facts.layout
