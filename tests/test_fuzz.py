"""Damaged files, wrong arguments: a command ends in a sound result or in a mistake told, never a traceback.

Seeded plain random: a failure names its case, and comes again. `FUZZ_TIMES=100` tries a hundred times more.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from vcemo_lib.cli import main
from vcemo_lib.corpora import LABELS
from vcemo_lib.paths import repo_data
from vcemo_lib.training import Run

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
HEADER = ["utt_id", "audio", "text", "emotion", "speaker", "split", "start", "end", "votes"]


def flipped(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four bits turned over."""
    found = bytearray(data)
    for place in rng.integers(0, len(data), rng.integers(1, 5)):
        found[place] ^= 1 << int(rng.integers(8))
    return bytes(found)


def early(data: bytes, rng: np.random.Generator) -> bytes:
    """Bits turned over in the first hundred bytes, where headers are."""
    return flipped(data[:100], rng) + data[100:]


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    """The file ends early."""
    return data[: int(rng.integers(len(data)))]


def overwritten(data: bytes, rng: np.random.Generator) -> bytes:
    """A stretch of random bytes."""
    start = int(rng.integers(len(data)))
    return data[:start] + rng.bytes(int(rng.integers(1, 40))) + data[start + 20 :]


DAMAGES = (flipped, early, cut, overwritten)


def damaged(data: bytes, case: int) -> bytes:
    """The file, damaged in one of four ways; a case is always the same."""
    return DAMAGES[case % 4](data, np.random.default_rng(case))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with 18 short clips, their manifest, a trained run in `run`, and its cache in `cache`."""
    root = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    rows = []
    for speaker, part in enumerate(["train", "val", "test"]):
        for nth, emotion in enumerate(LABELS):
            wave = 0.3 * np.sin(np.arange(3_200) * 0.1 * 1.2**nth) + 0.01 * rng.standard_normal(3_200)
            soundfile.write(root / f"{speaker}{nth}.wav", wave, 16_000)
            name = f"{speaker}{nth}"
            rows.append([name, f"{name}.wav", f"第{name}句", emotion, f"s{speaker}", part, "", "", "sad:2"])
    write(root / "manifest.csv", [HEADER, *rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VCEMO_CACHE", str(root / "cache"))
        patch.setenv("VCEMO_OFFLINE", "1")
        settings = ["modalities=audio", "epochs=1"]
        arguments = ["train", str(root / "manifest.csv"), "--out", str(root / "run"), "--set", *settings]
        assert main(arguments) == 0
        yield root


def write(path: Path, rows: list[list[str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture
def ends_well(capsys: pytest.CaptureFixture, world: Path) -> Callable[..., int]:
    """Run a command: it must end with 0, or with 2 and a mistake told, and leave no half-written file."""

    def run(case: object, *arguments: object) -> int:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            code = ended.code
        except Exception as error:
            raise AssertionError(f"{case}: {arguments} ended in {type(error).__name__}: {error}") from error
        out, err = capsys.readouterr()
        mistakes = [line for line in err.splitlines() if line.startswith("vcemo: ")]
        assert code in (0, 2) or "doctor" in arguments and code == 1, f"{case}: exit code {code}"
        assert "Traceback" not in err and "nan%" not in out, f"{case}: {out} {err}"
        assert code != 2 or mistakes, f"{case}: it ended with 2 and said {err!r}"
        half = [path for path in world.rglob("*") if path.name.endswith((".tmp", ".part"))]
        assert not half, f"{case}: left {half}"
        return code

    return run


def test_damaged_manifests(world: Path, ends_well: Callable[..., int]) -> None:
    whole = (world / "manifest.csv").read_bytes()
    for case in range(32 * TIMES):
        file = world / "damaged.csv"
        file.write_bytes(damaged(whole, case))
        ends_well(("manifest", case), "corpora", file)


def rows_of(world: Path) -> list[list[str]]:
    with (world / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


CELLS: dict[str, tuple[str, ...]] = {
    "utt_id": ("", " ", "00", "nan", "a/b", "../x", "\u202e", "x" * 300),
    "audio": ("", "/etc/passwd", "C:\\clips\\a.wav", "\\\\host\\a.wav", "..\\..\\a.wav", "../a.wav", "00",
              ".", "no.wav", "00.wav/", "x" * 300, "~/a.wav", "file:///a.wav"),
    "text": ("", "nan", "\u0000", "\U0001f600" * 50, "第" * 5_000, "=1+1"),
    "emotion": ("", "nan", "NaN", "Sad", "sad ", "7", "高兴"),
    "speaker": ("", " ", "nan", "s\n0"),
    "split": ("dev", "Train", "nan", "test "),
    "start": ("-1", "1_0", "inf", "nan", "1e400", "0,5", "１", "5", "0x1"),
    "end": ("-1", "0", "inf", "nan", "1e400", "1e30", "0.00001", "99"),
    "votes": ("{", "[1]", '{"sad": null}', '{"sad": 1e400}', '{"sad": [1]}', "[" * 5_000, "sad", "sad:-1",
              '{"a":' * 5_000, "sad:1 sad:2", "7", "null", '"x"'),
}  # fmt: skip


@pytest.mark.parametrize("column", CELLS)
def test_manifests_with_a_wrong_cell(world: Path, ends_well: Callable[..., int], column: str) -> None:
    for value in CELLS[column]:
        rows = rows_of(world)
        rows[8][HEADER.index(column)] = value
        path = write(world / "wrong.csv", rows)
        if ends_well((column, value[:40]), "corpora", path) == 0:
            ends_well((column, value[:40]), "features", path, "--kinds", "mel")


def test_manifests_of_another_make(world: Path, ends_well: Callable[..., int]) -> None:
    rows, text = rows_of(world), (world / "manifest.csv").read_text(encoding="utf-8")
    path = world / "other.csv"
    for encoding in ("utf-8-sig", "gbk", "utf-16", "utf-16-le", "utf-32", "big5"):
        path.write_bytes(text.encode(encoding, "replace"))
        code = ends_well(encoding, "corpora", path)
        assert encoding != "utf-8-sig" or code == 0, "a byte-order mark is no mistake"
    for column in range(len(HEADER)):
        write(path, [[cell for n, cell in enumerate(row) if n != column] for row in rows])
        code = ends_well(("without", HEADER[column]), "corpora", path)
        assert code == (2 if HEADER[column] in ("utt_id", "audio", "text", "emotion", "speaker") else 0)
    for case, content in enumerate(["", "\n", ",".join(HEADER), '"', ",,,,\n" * 9, "\x00" * 99, "a\tb\n"]):
        path.write_text(content, encoding="utf-8")
        assert ends_well(("content", case), "corpora", path) == 2
    write(path, [*rows, *rows[1:]])
    assert ends_well("every id twice", "corpora", path) == 2
    write(path, rows[:1] + [row for row in rows[1:] if row[5] == "train"])
    for command in ("corpora", "train", "evaluate"):
        run = [world / "run"] if command == "evaluate" else []
        ends_well(("one part", command), command, *run, path)
    (world / "folder.csv").mkdir()
    assert ends_well("a folder", "corpora", world / "folder.csv") == 2
    os.mkfifo(world / "pipe.csv")
    assert ends_well("a pipe", "corpora", world / "pipe.csv") == 2


def test_damaged_clips(world: Path, ends_well: Callable[..., int]) -> None:
    wave, _ = soundfile.read(world / "20.wav")
    for nth, suffix in enumerate(("wav", "flac", "ogg", "mp3", "opus")):
        clip = world / f"damaged.{suffix}"
        soundfile.write(clip, wave, 16_000, **({"format": "OGG", "subtype": "OPUS"} if nth == 4 else {}))
        whole = clip.read_bytes()
        for case in range(6 * TIMES):
            clip.write_bytes(damaged(whole, case))
            ends_well((suffix, case), "predict", clip, "--run", world / "run")
    clip = world / "odd.wav"
    for name, level in (("huge", 1e20), ("nan", np.nan), ("inf", np.inf), ("silent", 0.0)):
        soundfile.write(clip, np.full(3_200, level), 16_000, subtype="FLOAT")
        ends_well(name, "predict", clip, "--run", world / "run")
    for rate in (1, 7, 2**31 - 1):
        soundfile.write(clip, wave, rate)
        ends_well(("rate", rate), "predict", clip, "--run", world / "run")
    clip.write_bytes(b"")
    assert ends_well("empty", "predict", clip, "--run", world / "run") == 2


def as_run(facts: dict[str, Any] | list | str, tensors: bytes) -> bytes:
    """A run's file with other facts, its digest as if it had been written so."""
    header = {"__metadata__": {"vcemo": json.dumps(facts)}, **json.loads(tensors[8 : 8 + length(tensors)])}
    header["__metadata__"] = {"vcemo": json.dumps(facts)}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tensors[8 + length(tensors) :]


def length(file: bytes) -> int:
    return struct.unpack("<Q", file[:8])[0]


STRANGE: tuple[Any, ...] = (None, "", "x", -1, 0, 10**8, 1e400, [], {}, [None], True, "nan", [["a"]], 10**30)


def test_damaged_runs(world: Path, ends_well: Callable[..., int], tmp_path: Path) -> None:
    file = world / "run" / "run.safetensors"
    whole = file.read_bytes()
    facts = json.loads(json.loads(whole[8 : 8 + length(whole)])["__metadata__"]["vcemo"])
    contents = [damaged(whole, case) for case in range(12 * TIMES)]
    rng = np.random.default_rng(0)
    for _ in range(24 * TIMES):
        name, value = rng.choice([*facts["settings"]]), STRANGE[rng.integers(len(STRANGE))]
        contents.append(as_run(facts | {"settings": facts["settings"] | {str(name): value}}, whole))
    for name in facts:
        value = STRANGE[rng.integers(len(STRANGE))]
        contents.append(as_run(facts | {name: value}, whole))
        contents.append(as_run({n: v for n, v in facts.items() if n != name}, whole))
    contents += [as_run(odd, whole) for odd in ([], "x", {}, None)]  # type: ignore[arg-type]
    for case, content in enumerate(contents):
        (tmp_path / "run.safetensors").write_bytes(content)
        ends_well(("run", case), "predict", world / "20.wav", "--run", tmp_path)
        if case % 4 == 0:
            ends_well(("evaluate", case), "evaluate", tmp_path, world / "manifest.csv")


def test_damaged_checkpoints(
    world: Path, ends_well: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = world / "again"
    arguments = ["train", world / "manifest.csv", "--out", folder, "--set", "modalities=audio", "epochs=1"]
    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", lambda *_: sys.exit(0))
        assert ends_well("stopped at the end", *arguments) == 0
    shutil.copy(world / "run" / "results.json", folder)
    for name in ("checkpoint.safetensors", "results.json"):
        whole = (folder / name).read_bytes()
        for case in range(4 * TIMES):
            (folder / name).write_bytes(damaged(whole, case))
            if ends_well((name, case), *arguments) == 0:
                json.loads((folder / "results.json").read_text(encoding="utf-8"))
        (folder / name).write_bytes(whole)


def test_damaged_caches(world: Path, ends_well: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCEMO_CACHE", str(world / "own"))
    command = ["features", world / "manifest.csv", "--kinds", "mel"]
    assert ends_well("new", *command) == 0
    expected = {path.name for path in (world / "own" / "features").rglob("*.safetensors")}
    for case in range(4 * TIMES):
        (file,) = (world / "own" / "features").rglob("*.safetensors")
        file.write_bytes(damaged(file.read_bytes(), case))
        assert ends_well(("cache", case), *command) == 0
        assert {path.name for path in (world / "own" / "features").rglob("*.safetensors")} == expected


def test_damaged_results(world: Path, ends_well: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    data = world / "data"
    for name in ("expected", "models", "vcemo_sim"):
        (data / name).mkdir(parents=True)
    shutil.copytree(repo_data() / "expected" / "results", data / "expected" / "results")
    shutil.copytree(repo_data() / "expected" / "bench", data / "expected" / "bench")
    shutil.copy(repo_data() / "models" / "encoders.json", data / "models")
    shutil.copy(repo_data() / "vcemo_sim" / "about.json", data / "vcemo_sim")
    monkeypatch.setenv("VCEMO_DATA", str(data))
    files = sorted(data.rglob("*.json"))
    for case in range(4 * TIMES):
        file = files[np.random.default_rng(case).integers(len(files))]
        whole = file.read_bytes()
        content = damaged(whole, case) if case % 2 else (b"[]", b"{}", b"", b"null")[case // 2 % 4]
        file.write_bytes(content)
        ends_well((file.name, case), "results")
        file.write_bytes(whole)


def test_damaged_bundles(world: Path, ends_well: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    data = world / "bundle"
    bundled = ("vcemo_sim/about.json", "vcemo_sim/manifest.csv", "models/SHA256SUMS", "expected/course.yaml")
    for name in bundled:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repo_data() / name, data / name)
    for folder in ("recogniser", "vectors-zh"):
        shutil.copytree(repo_data() / "models" / folder, data / "models" / folder)
    monkeypatch.setenv("VCEMO_DATA", str(data))
    files = sorted(path for path in data.rglob("*") if path.is_file())
    reading = {
        "vcemo_sim": ["corpora"],
        "expected": ["course", "list"],
        "models": ["predict", world / "20.wav"],
    }
    for case in range(2 * TIMES):
        for file in files:
            whole = file.read_bytes()
            file.write_bytes((b"", b"[]", b"{}", b"null", b"7")[case] if case < 5 else damaged(whole, case))
            ends_well((file.name, case), *reading[file.relative_to(data).parts[0]])
            if case % 4 == 0 and file.parent == data / "models":
                ends_well((file.name, case), "doctor")
            file.write_bytes(whole)


def test_damaged_whispers(world: Path, ends_well: Callable[..., int], tmp_path: Path) -> None:
    from tiny_whisper import DIMS, checkpoint

    from vcemo_lib import weights

    (tmp_path / "tiny.pt").write_bytes(checkpoint(tmp_path))
    kept = weights.whisper(str(tmp_path / "tiny.pt")).read_bytes()
    facts = {"dims": DIMS, "source": "here"}
    odd: list[Any] = [[], {}, "x", None, {"dims": 7, "source": "x"}, {"dims": DIMS}, {**facts, "dims": {}}]
    odd += [{**facts, "dims": DIMS | {name: ("x", 10**9, 0, -1)[n % 4]}} for n, name in enumerate(DIMS)]
    contents = [(as_run(about, kept), "safetensors") for about in odd]
    for suffix, whole in (("safetensors", kept), ("pt", (tmp_path / "tiny.pt").read_bytes())):
        contents += [(damaged(whole, case), suffix) for case in range(4 * TIMES)]
    for case, (content, suffix) in enumerate(contents):
        file = tmp_path / f"odd.{suffix}"
        file.write_bytes(content)
        ends_well(("whisper", case), "predict", world / "20.wav", "--whisper", file)


def test_a_full_disk(world: Path, ends_well: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    manifest, run, out = world / "manifest.csv", world / "run", world / "full"
    monkeypatch.setenv("VCEMO_CACHE", str(world / "full_cache"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))  # bytes of any file that is written
    try:
        assert ends_well("features", "features", manifest, "--kinds", "mel") == 2
        monkeypatch.setenv("VCEMO_CACHE", str(world / "cache"))
        settings = ("--set", "modalities=audio", "epochs=1")
        assert ends_well("train", "train", manifest, "--out", out, *settings) == 2
        assert ends_well("evaluate", "evaluate", run, manifest, "--out", out) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(out.iterdir()) == [], "nothing half-written"


def test_wrong_arguments(world: Path, ends_well: Callable[..., int]) -> None:
    manifest, clip = world / "manifest.csv", world / "20.wav"
    train = ["train", manifest, "--out", world / "x"]
    for name in ("", "no", str(world), "no.pt", "x" * 300):
        assert ends_well(name, "predict", clip, f"--whisper={name}") == 2
        assert ends_well(name, "features", manifest, "--kinds", f" {name}") == 2
        assert ends_well(name, *train, f"--model={name}") == 2
        assert ends_well(name, *train, "--set", name) == 2
        assert ends_well(name, "course", "run", "--only", f" {name}") == 2
    wrong = ("classes=2", "seed=1", "workers=2", "lr=-1", "lr=1e400", "heads=[]", "guides=7", "epochs=1e3")
    for setting in wrong:
        assert ends_well(setting, *train, "--set", setting) == 2
    four = write(world / "four.csv", [row for row in rows_of(world) if row[3] not in ("fear", "surprise")])
    for command in (["evaluate", world / "run"], ["evaluate", world / "run", "--part", "all"]):
        ends_well("four labels", *command[:2], four, *command[2:])


def test_wrong_places(world: Path, ends_well: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, file = world / "manifest.csv", world / "a_file"
    file.write_text("here already", encoding="utf-8")
    long = "x" * 300
    for out in (file, file / "run", world / long, manifest):
        for command in (["train", manifest], ["ablate", manifest], ["compare", manifest],
                        ["evaluate", world / "run", manifest]):  # fmt: skip
            assert ends_well(("out", str(out)[-20:]), *command, "--out", out) == 2
    for root in (file, world / "nowhere", long):
        assert ends_well(("root", str(root)[-20:]), "features", manifest, "--root", root) == 2
    for run in (file, world / "nowhere", long, world, manifest, "a/b"):
        assert ends_well(("run", str(run)[-20:]), "predict", world / "20.wav", "--run", run) == 2
    for cache in (file, file / "cache", world / long):
        monkeypatch.setenv("VCEMO_CACHE", str(cache))
        assert ends_well(("cache", cache.name[:9]), "features", manifest, "--kinds", "mel") == 2
        ends_well(("cache", cache.name[:9]), "predict", world / "20.wav", "--run", world / "run")
    monkeypatch.setenv("VCEMO_DATA", str(file))
    for command in (["corpora"], ["results"], ["course", "list"], ["predict", world / "20.wav"]):
        assert ends_well("data", *command) == 2
