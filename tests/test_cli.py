"""The command line: what it prints and its exit codes, on a corpus of short tones."""

import csv
import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from vcemo_lib import __version__, audio, weights
from vcemo_lib.cli import main
from vcemo_lib.corpora import LABELS, load_corpus
from vcemo_lib.paths import cache_dir
from vcemo_lib.predict import EmotionRecognizer

CACHE = cache_dir()  # this machine's own


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    """A manifest of 36 half-second tones, six speakers in three parts; an emotion has its pitch."""
    root = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    rows = []
    for speaker, part in enumerate(["train", "train", "train", "train", "val", "test"]):
        for nth, emotion in enumerate(LABELS):
            utt_id = f"s{speaker}_{emotion}"
            time = np.arange(8_000) / audio.SAMPLE_RATE
            wave = 0.3 * np.sin(2 * np.pi * 200 * 1.5**nth * time) + 0.01 * rng.standard_normal(8_000)
            soundfile.write(root / f"{utt_id}.wav", wave, audio.SAMPLE_RATE)
            rows.append([utt_id, f"{utt_id}.wav", f"第{speaker}{nth}句", emotion, f"s{speaker}", part])
    with (root / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["utt_id", "audio", "text", "emotion", "speaker", "split"], *rows])
    return root / "manifest.csv"


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("VCEMO_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def trained(tones, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "tones"
    settings = ["modalities=audio", "epochs=12", "batch_size=8", "lr=0.01"]
    arguments = ["--out", str(out), "--set", *settings]
    assert main(["train", str(tones), *arguments]) == 0
    return out


def told(capsys) -> tuple[str, str]:
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_version_help_and_no_command(capsys):
    for arguments, code in ((["--version"], 0), (["--help"], 0), ([], 2), (["nonsense"], 2)):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == code
    out, _ = told(capsys)
    commands = (
        "doctor",
        "corpora",
        "fetch",
        "prepare",
        "features",
        "train",
        "evaluate",
        "ablate",
        "compare",
        "predict",
        "results",
        "course",
    )
    assert f"vcemo {__version__}" in out and all(f"\n    {command}" in out for command in commands)


LONG = "x" * 300


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["corpora", "nowhere"], "unknown corpus 'nowhere'"),
        (["corpora", "nowhere.csv"], "no such manifest"),
        (["corpora", LONG + ".csv"], "name too long"),
        (["evaluate", "no_run"], "no_run"),
        (["evaluate", LONG], "name too long"),
        (["predict", "clip.wav", "--run", "no_run"], "no_run"),
        (["predict", "clip.wav", "--run", LONG], "name too long"),
        (["predict", LONG + ".wav"], LONG),
        (["predict", "clip.wav", "--run", "a b/c"], "could not get a b/c from the hub"),
        (["predict", "clip.wav", "--run", "a/b"], "could not get a/b from the hub, VCEMO_OFFLINE is set"),
        (["predict", "\x1b[31m.wav"], r"\x1b[31m.wav"),
        (["course", "run", "--lane", "fast"], "unknown lane 'fast'"),
        (["train", "--seed", "-1"], "argument --seed: -1 is not a whole number"),
        (["train", "--seed", str(2**64)], "is not a whole number"),
        (["train", "--seed", "two"], "argument --seed: two is not a whole number"),
        (["train", "--out", "{tmp}", "--set", "lr=inf"], "lr is 'inf' (Settings): give a number"),
        (["train", "--out", "{tmp}", "--set", "lr=Infinity"], "lr is inf (Settings): give a number"),
        (["train", "--out", "{tmp}", "--set", "epochs=0"], "epochs is 0 (Settings): give a whole number"),
        (["train", "--out", "{tmp}", "--set", "epochs"], "epochs is '' (Settings): give a whole number"),
        (["train", "--out", "{tmp}", "--set", "no=1"], "no setting is called 'no'"),
        (["train", "--out", "{tmp}", "--set", "modalities=smell"], "modalities is ('smell',)"),
        (["ablate", "--seeds", "0", "-1"], "is not a whole number"),
        (["nonsense"], "invalid choice: 'nonsense'"),
    ],
)
def test_mistakes_are_told_in_one_line_with_exit_code_2(capsys, monkeypatch, tmp_path, arguments, message):
    arguments = [str(tmp_path) if argument == "{tmp}" else argument for argument in arguments]
    monkeypatch.setenv("VCEMO_OFFLINE", "1")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: pytest.fail("it reached for the network"))
    try:
        code = main(arguments)
    except SystemExit as ended:  # argparse's own way out
        code = ended.code
    out, err = told(capsys)
    assert code == 2 and out == "" and err.startswith("vcemo: ") and len(err.splitlines()) == 1
    assert message in err.replace("File name", "name")


@pytest.mark.parametrize("command", [["train"], ["ablate"], ["compare"], ["prepare"]])
@pytest.mark.parametrize("out", ["file/run", "no_entry/run"])
def test_a_folder_that_cannot_be_written_is_told_before_any_work(
    capsys, monkeypatch, tones, tmp_path, command, out
):
    from vcemo_lib import features, weights

    for module, name in ((features, "compute"), (weights, "whisper")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("it began to work"))
    (tmp_path / "file").write_text("here already", encoding="utf-8")
    (tmp_path / "no_entry").mkdir(mode=0o500)
    if out.startswith("no_entry") and os.access(tmp_path / "no_entry", os.W_OK):
        pytest.skip("whoever runs this may write everywhere")
    assert main([*command, str(tones), "--out", str(tmp_path / out)]) == 2
    _, err = told(capsys)
    assert ("Not a directory" in err or "Permission denied" in err) and len(err.splitlines()) == 1
    assert main([*command, str(tones), "--out", str(tmp_path / "file")]) == 2
    assert "File exists" in told(capsys)[1]


def test_a_mistake_shows_no_traceback_from_the_shell():
    done = subprocess.run(
        [sys.executable, "-m", "vcemo_lib", "corpora", "nowhere"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_doctors_exit_code_says_whether_something_is_missing(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("VCEMO_DATA", str(tmp_path))
    assert main(["doctor"]) == 1
    assert "missing: " in told(capsys)[0]


def test_corpora_describes(capsys, tones):
    assert main(["corpora", str(tones)]) == 0
    out, _ = told(capsys)
    assert "36 utterances, 6 speakers" in out and "0 speakers, sentences or clips are in two parts." in out
    assert load_corpus(tones).fingerprint() in out
    assert main(["corpora", str(tones), "--split", "random"]) == 0
    assert "are in two parts; the first ten:" in told(capsys)[0]


def test_control_characters_of_a_manifest_do_not_reach_the_terminal(capsys, tones, tmp_path):
    text = tones.read_text(encoding="utf-8").replace(",s0,", ",\x1b[31ms0,").replace(",s5,", ",\x1b[31ms0,")
    (tmp_path / "m.csv").write_text(text, encoding="utf-8")
    assert main(["corpora", str(tmp_path / "m.csv"), "--root", str(tones.parent)]) == 0
    out, _ = told(capsys)
    assert "speaker train and test" in out and r"\x1b[31ms0" in out and "\x1b" not in out


def test_features_are_computed_and_kept(capsys, tones):
    for _ in range(2):
        assert main(["features", str(tones), "--kinds", "mel"]) == 0
        assert "mel          36 utterances, 80 wide" in told(capsys)[0]


def test_training_writes_a_run_with_stamped_results(trained, tones):
    results = json.loads((trained / "results.json").read_text(encoding="utf-8"))
    assert {"wa", "ua", "f1_weighted", "f1_macro"} == set(results["metrics"])
    assert results["fingerprint"] == load_corpus(tones).fingerprint() and results["seed"] == 0
    assert results["versions"]["torch"] and results["part"] == "test"
    assert results["metrics"]["wa"]["value"] > 0.5  # six pitches far apart; chance is 0.17


@pytest.mark.weights
def test_a_model_may_hear_both_acoustic_features(capsys, tones, tmp_path, monkeypatch):
    monkeypatch.setattr(weights.sources, "cache_dir", lambda: CACHE)  # Whisper is not fetched again
    settings = ["acoustic=both", "modalities=audio", "epochs=1"]
    assert main(["train", str(tones), "--out", str(tmp_path), "--set", *settings]) == 0
    assert main(["evaluate", str(tmp_path), str(tones)]) == 0
    assert "6 utterances" in told(capsys)[0]


def test_evaluation_of_a_loaded_run_repeats_what_training_found(capsys, trained, tones, tmp_path):
    assert main(["evaluate", str(trained), str(tones), "--out", str(tmp_path)]) == 0
    assert "6 utterances" in told(capsys)[0]
    once, again = (json.loads((folder / "results.json").read_text()) for folder in (trained, tmp_path))
    assert once["metrics"] == again["metrics"]
    assert main(["evaluate", str(trained), str(tones), "--part", "all"]) == 0
    assert "36 utterances" in told(capsys)[0]


def test_prediction_names_an_emotion_for_each_clip(capsys, trained, tones):
    clips = [str(tones.parent / f"s5_{emotion}.wav") for emotion in ("angry", "surprise")]
    assert main(["predict", *clips, "--run", str(trained)]) == 0
    lines = told(capsys)[0].splitlines()
    assert [line.split(":")[0] for line in lines] == ["s5_angry.wav", "s5_surprise.wav"]
    assert all(line.split()[1] in LABELS and "%" in line for line in lines)
    assert main(["predict", clips[0], "--run", str(trained), "--json"]) == 0
    answer = json.loads(told(capsys)[0])
    assert answer["clip"] == clips[0] and sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    others = [str(tones.parent / f"s5_{emotion}.wav") for emotion in ("sad", "happy", "neutral")]
    assert main(["predict", clips[0], "--run", str(trained), "--json", "--enrol", *others]) == 0
    enrolled = json.loads(told(capsys)[0])
    assert enrolled["probabilities"] != answer["probabilities"]
    own = EmotionRecognizer.load(trained).predict(clips[0], enrol=others)
    assert enrolled["probabilities"] == own.probabilities
    assert main(["predict", "absent.wav", "--run", str(trained)]) == 2
    assert "absent.wav" in told(capsys)[1]


def test_ablation_trains_the_rows_of_table_3(capsys, tones, tmp_path):
    arguments = ["ablate", str(tones), "--seeds", "0", "--set", "epochs=1", "--out", str(tmp_path / "runs")]
    assert main(arguments) == 0
    once, _ = told(capsys)
    assert all(row in once for row in ("Acoustic", "BERT", "Embeddings + BERT + Acoustic"))
    assert len(list((tmp_path / "runs").glob("*.json"))) == 7
    assert main(arguments) == 0  # reads what is there
    assert told(capsys)[0] == once


def test_comparison_trains_the_baselines_that_are_named(capsys, tones, tmp_path):
    arguments = [
        "compare",
        str(tones),
        "--seeds",
        "0",
        "1",
        "--set",
        "epochs=1",
        "--out",
        str(tmp_path / "runs"),
    ]
    assert main([*arguments, "--models", "Yoon 2018 (MDRE)", "CME 2021"]) == 0
    once, _ = told(capsys)
    assert "CME 2021" in once and "2 seed(s)" in once and "Xu" not in once
    assert len(list((tmp_path / "runs").glob("*.json"))) == 4
    assert main([*arguments, "--models", "Xu"]) == 2
    assert "choose among Xu 2019" in told(capsys)[1]


def test_a_baseline_is_trained_kept_and_evaluated(capsys, tones, tmp_path):
    assert main(["train", str(tones), "--model", "cme", "--set", "epochs=1", "--out", str(tmp_path)]) == 0
    assert main(["evaluate", str(tmp_path), str(tones)]) == 0
    assert "6 utterances" in told(capsys)[0]
    assert main(["train", str(tones), "--model", "nobody"]) == 2
    assert "there is no model 'nobody'" in told(capsys)[1]


def test_course_commands_reach_the_course(capsys, monkeypatch, tmp_path):
    from test_course import RECORD, entry, write_notebook, write_plan

    monkeypatch.setenv("VCEMO_DATA", str(tmp_path / "data"))
    write_notebook(tmp_path, "01_good", RECORD + 'course.record("01", {"a": 1})')
    write_plan(tmp_path, entry("01_good", seconds={"cpu": 2}))
    assert main(["course", "list"]) == 0
    assert "01     1 min  Good  (cpu 2 s)" in told(capsys)[0]
    assert main(["course", "store"]) == 2
    assert "no good run in the cpu lane" in told(capsys)[1]
    expected = {"01": {"a": {"value": 2, "tolerance": 0}}}
    (tmp_path / "data" / "expected" / "cpu.json").write_text(json.dumps(expected), encoding="utf-8")
    assert main(["course", "run", "--only", "01", "--jobs", "1"]) == 1
    assert "a is 1, not 2 ± 0" in told(capsys)[0]


def test_evaluate_takes_the_split_that_was_trained_on(capsys, tones, tmp_path):
    short = ["--out", str(tmp_path / "run"), "--set", "modalities=audio", "epochs=1"]
    assert main(["train", str(tones), "--split", "random", *short]) == 0
    of_training = told(capsys)[0].split("\n", 1)[1]
    assert main(["evaluate", str(tmp_path / "run"), str(tones)]) == 0
    assert told(capsys)[0].strip() in of_training, "the very clips that it was tested on"
