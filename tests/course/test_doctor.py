"""The doctor sees what is there, sees what is not, and says what to do."""

import tomllib
from importlib.metadata import version

import pytest
import torch
from packaging.requirements import Requirement

from vcemo_lib.course import doctor
from vcemo_lib.course.doctor import Finding, examine, report
from vcemo_lib.errors import VcemoError


@pytest.fixture(scope="module")
def findings():
    return examine()


def of(findings, part, name=None):
    return [finding for finding in findings if finding.part == part and name in (None, finding.name)]


def test_every_package_that_the_project_depends_on_is_looked_at(findings):
    project = tomllib.loads((doctor.REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {Requirement(line).name.lower() for line in project["project"]["dependencies"]}
    assert {finding.name for finding in of(findings, "Packages")} == wanted


def test_versions_are_the_installed_ones(findings):
    (numpy,) = of(findings, "Packages", "numpy")
    assert version("numpy") in numpy.detail
    assert of(findings, "Python", "python")[0].state == "ok"


def test_a_package_that_is_not_installed_is_missing(monkeypatch):
    monkeypatch.setattr(doctor, "dependencies", lambda: {"no-such-package-at-all": "1.0"})
    (finding,) = doctor._packages()
    assert finding == Finding("Packages", "no-such-package-at-all", "missing", "not installed", "make setup")


def test_another_version_than_the_locked_one_is_noted(monkeypatch):
    monkeypatch.setattr(doctor, "dependencies", lambda: {"numpy": "0.1"})
    (finding,) = doctor._packages()
    assert finding.state == "note" and finding.detail.endswith("the course was run with 0.1")


def test_versions_are_compared_with_the_lock():
    assert doctor.dependencies()["torch"] == "2.13.0" and all(doctor.dependencies().values())


def test_devices_are_right(findings):
    cuda = [finding for finding in of(findings, "Devices") if finding.name.startswith("cuda")]
    assert (cuda[0].state == "ok") == torch.cuda.is_available()
    assert of(findings, "Devices", "cpu")[0].state == "ok"


def test_torchaudio_and_sound_formats_are_found_to_work(findings):
    assert of(findings, "Audio", "torchaudio")[0].state == "ok"
    assert "Opus" in of(findings, "Audio", "libsndfile")[0].detail


def test_bundled_weights_and_corpus_are_found(findings):
    assert {(f.name, f.state) for f in of(findings, "Weights") if f.name.endswith("zh")} == {
        ("bert-mini-zh", "ok"),
        ("vectors-zh", "ok"),
    }
    (sim,) = of(findings, "Corpora", "sim")
    assert sim.state == "ok" and "simulated" in sim.detail
    assert of(findings, "Corpora", "vcemo")[0].state == "note"


def test_empty_data_folder_is_told_as_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("VCEMO_DATA", str(tmp_path))
    findings = examine()
    missing = {finding.name for finding in findings if finding.state == "missing"}
    assert {"bert-mini-zh", "vectors-zh", "sim"} <= missing
    assert all(finding.do or finding.detail.count(":") for finding in findings if finding.state == "missing")
    assert "missing: " in report(findings).splitlines()[-1]


def test_full_disk_and_unwritable_cache_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("VCEMO_CACHE", str(tmp_path))
    monkeypatch.setattr(doctor, "FREE_BYTES", 10**18)
    cache, variable = [finding for finding in doctor._disk() if finding.name in ("cache", "VCEMO_CACHE")]
    assert cache.state == "missing" and "VCEMO_CACHE" in cache.do
    assert variable.detail == f"set to {tmp_path}"
    (tmp_path / "file").touch()
    monkeypatch.setattr(doctor, "cache_dir", lambda: tmp_path / "file" / "below")  # no folder can be there
    (finding,) = doctor._safely(doctor._disk)
    assert finding.state == "missing"


def test_whisper_is_noted_as_to_be_fetched_and_missing_when_offline(monkeypatch, tmp_path):
    monkeypatch.setenv("VCEMO_CACHE", str(tmp_path))
    monkeypatch.delenv("VCEMO_OFFLINE", raising=False)
    (whisper,) = of(list(doctor._weights()), "Weights", "whisper-base")
    assert whisper.state == "note" and "prepare" in whisper.do
    monkeypatch.setenv("VCEMO_OFFLINE", "1")
    (whisper,) = of(list(doctor._weights()), "Weights", "whisper-base")
    assert whisper.state == "missing" and "VCEMO_OFFLINE" in whisper.do


def test_an_examination_that_breaks_does_not_stop_the_others():
    def _broken():
        yield Finding("Broken", "first", "ok", "fine")
        raise ImportError("no module named something\nand more")

    first, second = doctor._safely(_broken)
    assert first.state == "ok"
    assert (second.part, second.state, second.detail) == (
        "broken",
        "missing",
        "ImportError: no module named something",
    )


def test_report_shows_each_finding_and_a_verdict():
    text = report([Finding("A", "one", "ok", "here"), Finding("B", "two", "missing", "gone", "fetch it")])
    assert text.splitlines() == [
        "A",
        "  ✓ one  here",
        "",
        "B",
        "  ✗ two  gone  -> fetch it",
        "",
        "missing: two",
    ]
    assert report([Finding("A", "one", "note", "so")]).endswith(
        "everything the course needs is here; 1 note(s) marked ·"
    )


def test_examining_leaves_the_cache_as_it_was(monkeypatch, tmp_path):
    monkeypatch.setenv("VCEMO_CACHE", str(tmp_path))
    list(doctor._disk())
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_cache_is_a_note_and_one_that_cannot_be_is_told_once(monkeypatch, tmp_path):
    def refused(path, data):
        raise VcemoError("could not write: Read-only file system", where=path)

    monkeypatch.setattr(doctor, "write_atomically", refused)
    monkeypatch.setenv("VCEMO_CACHE", str(tmp_path))
    writing, cache = list(doctor._disk())[:2]
    assert (writing.state, cache.state) == ("note", "ok") and "Read-only" in writing.detail
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("VCEMO_CACHE", str(tmp_path / "file" / "cache"))
    (finding,) = doctor._safely(doctor._disk)
    assert finding.state == "missing" and "VCEMO_CACHE" in finding.detail and not finding.do
