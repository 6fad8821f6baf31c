"""Every reader on a tree in its release's own layout and encoding, whole and damaged."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import vcemo_lib as vc
from vcemo_lib import VcemoError, audio
from vcemo_lib.cli import main
from vcemo_lib.corpora import readers
from vcemo_lib.corpora.readers import CORPORA, READABLE, parquet, read
from vcemo_lib.corpora.readers.tree import decode

RATES = [16_000, 44_100, 48_000]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCEMO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VCEMO_CORPORA", raising=False)


def sound(path: Path, nth: int = 0) -> Path:
    """0.1 s of a tone: of 16, 44.1 and 48 kHz in turn, 16 or 24 bit, mono or stereo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = RATES[nth % 3]
    wave = 0.1 * np.sin(np.arange(rate // 10) * (nth + 5) / 50)
    wave = np.stack([wave, wave], axis=1) if nth % 2 else wave
    with path.open("wb") as file:
        soundfile.write(file, wave, rate, format="WAV", subtype="PCM_24" if nth % 3 == 2 else "PCM_16")
    return path


def text(path: Path, lines: list[str], encoding: str = "utf-8", end: str = "\r\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((end.join(lines) + end).encode(encoding))


def clutter(root: Path) -> None:
    """What file systems leave behind; no reader may see it."""
    for stray in (".DS_Store", "__MACOSX/._a.wav", ".hidden/b.wav", "._c.wav", "Thumbs.db"):
        (root / stray).parent.mkdir(parents=True, exist_ok=True)
        (root / stray).write_bytes(b"\0\5\x16\7")


def ravdess(root: Path) -> None:
    for nth, emotion in enumerate(("01", "02", "03", "04", "05", "06", "07", "08")):
        for actor in ("01", "02"):
            ending = "WAV" if actor == "02" else "wav"
            sound(root / f"Actor_{actor}" / f"03-01-{emotion}-01-0{nth % 2 + 1}-01-{actor}.{ending}", nth)


def crema(root: Path) -> None:
    for nth, emotion in enumerate(("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")):
        sound(root / "AudioWAV" / f"1001_DFA_{emotion}_XX.wav", nth)
    sound(root / "AudioWAV" / "1002_IEO_SAD_X.wav")
    text(root / "processedResults/tabulatedVotes.csv",
         ['"","A","D","F","H","N","S","fileName","numResponses"',
          '"100001",5,1,0,0,4,0,"1001_DFA_ANG_XX",10', '"200001",0,0,9,0,0,0,"1001_DFA_ANG_XX",9',
          '"100002",x,0,0,0,0,0,"1001_DFA_FEA_XX",9'])  # fmt: skip


def emodb(root: Path) -> None:
    for nth, name in enumerate(("03a01Wa", "03a02Fc", "08b10Na", "08a04Ta", "16b09Ab", "16a05La", "16a07Eb")):
        sound(root / "wav" / f"{name}.wav", nth)


def casia(root: Path) -> None:
    for nth, emotion in enumerate(("Angry", "fear", "happy", "neutral", "sad", "surprise")):
        for speaker in ("liuchanhg", "ZhaoZuoxiang"):
            sound(root / speaker / emotion / f"{201 + nth}.wav", nth)
    text(
        root / "transcripts.txt",
        ["201 就是下雨也去", "202、你真可爱", "203\t快跑", "204  今天 星期六"],
        "gbk",
    )


def esd(root: Path) -> None:
    for nth, emotion in enumerate(("Angry", "Happy", "Neutral", "Sad", "Surprise")):
        for speaker, below in (("0001", ""), ("0003", "evaluation/"), ("0011", "")):
            sound(root / speaker / emotion / f"{below}{speaker}_{nth:06d}.wav", nth)
    text(root / "0001/0001.txt", ["0001_000000\t打远一看，\t生气", "0001_000001\t好的。\t快乐"], "gbk")
    text(root / "0003/0003.txt", ["0003_000000\t打远一看，\t生气"], "utf-16")
    text(root / "0011/0011.txt", ["0011_000000 The nine the eggs Angry", "0011_000001\tTom now\tHappy"])


def iemocap(root: Path) -> None:
    for nth in range(1, 6):
        below, turns, spoken = root / f"IEMOCAP_full_release/Session{nth}", [], []
        for i, label in enumerate(("ang", "hap", "exc", "neu", "sad", "xxx", "fru", "sur")):
            utt_id = f"Ses0{nth}F_impro01_{'FM'[i % 2]}{i:03d}"
            turns += ["", f"[6.{i}901 - 8.2357]\t{utt_id}\t{label}\t[2.5000, 2.5000, 2.5000]",
                      "C-E2:\tNeutral; Anger;\t()", "C-E3:\tHappiness;\t()", "C-F1:\tSadness;\t()",
                      "A-E3:\tval 3; act 2; dom  2;\t()"]  # fmt: skip
            spoken.append(f"{utt_id} [006.2901-008.2357]: Excuse me, {i}.")
            if (nth, i) != (5, 0):
                sound(below / f"sentences/wav/Ses0{nth}F_impro01/{utt_id}.wav", i)
        text(below / f"dialog/EmoEvaluation/Ses0{nth}F_impro01.txt",
             ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", *turns])  # fmt: skip
        text(below / "dialog/EmoEvaluation/Categorical/Ses01F_impro01_e1.txt", ["not a label file"])
        text(below / f"dialog/transcriptions/Ses0{nth}F_impro01.txt", [*spoken, "M: overlapping"])


def emotiontalk(root: Path) -> None:
    for nth, emotion in enumerate(("happy", "surprise", "sad", "disgust", "anger", "fear", "neutral")):
        name = f"G0001_01_{nth:03d}"
        told = {
            "data": [{"annotator": "a", "emotion": emotion}, {"annotator": "b", "emotion": "Neutral"}],
            "emotion_result": emotion, "speaker_id": f"S{nth % 2}", "content": f" 第{nth}句 ",
            "file_name": f"Audio\\wav\\{name}.wav",
        }  # fmt: skip
        text(root / f"Audio/json/G0001/{name}.json", [json.dumps(told, ensure_ascii=False)], "utf-8-sig")
        other = json.dumps({**told, "emotion_result": "neutral"})
        for kind in ("Text", "Video"):
            text(root / f"{kind}/json/G0001/{name}.json", [other])
        sound(root / f"Audio/wav/G0001/{name}.wav", nth)


def m3ed(root: Path) -> None:
    dialog = {
        f"show_0_{nth}": {
            "Text": f"第{nth}句", "Speaker": "AB"[nth % 2], "StartTime": "00:00:01",
            "EmoAnnotation": {
                "EmoAnnotator1": "Happy, Sad", "EmoAnnotator2": emotion, "final_main_emo": emotion,
            },
        } for nth, emotion in enumerate(("Happy", "Surprise", "Sad", "Disgust", "Anger", "Fear", "Neutral"))
    }  # fmt: skip
    scene = {"Dialog": dialog, "SpeakerInfo": {"A": {"Name": "小红"}, "B": {"Name": "小明"}}}
    text(root / "annotation.json", [json.dumps({"show": {"show_0": scene}}, ensure_ascii=False)])
    text(root / "relation_annotation_release.json", [json.dumps({"show": {"show_0": "friends"}})])
    text(root / "splitInfo/movie_list_test.txt", ["show"])
    for nth, utt_id in enumerate(dialog):
        sound(root / f"speech/{'AB'[nth % 2]}_{utt_id}.wav", nth)


def meld(root: Path) -> None:
    for part, folder in (("train", "train_splits"), ("dev", "dev_splits_complete"), ("test", "output_test")):
        rows = ["Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID"]
        for nth, emotion in enumerate(("neutral", "joy", "anger", "disgust")):
            rows.append(f'{nth},"It\x92s {part}, really",Ross,{emotion},positive,0,{nth}')
            sound(root / folder / f"dia0_utt{nth}.wav", nth)
        text(root / f"{part}_sent_emo.csv", rows, "utf-8-sig")


def mer(root: Path) -> None:
    rows = ["name,discrete,valence"]
    for nth, emotion in enumerate(("neutral", "angry", "happy", "sad", "worried", "surprise")):
        rows.append(f"sample_{nth:08d},{emotion},0.5")
        sound(root / "train" / f"sample_{nth:08d}.wav", nth)
    text(root / "train-label.csv", rows)
    text(root / "transcription.csv", ["name,english,chinese", "sample_00000000,hi,你好"])


def sims(root: Path) -> None:
    rows = ["video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode"]
    for nth, kind in enumerate(("Positive", "Negative", "Neutral")):
        for video in ("video_0001", "video_0002"):
            rows.append(f"{video},{nth + 1:04d},第{nth}句,0.4,0,0,0,{kind},{('train', 'valid', 'test')[nth]}")
            sound(root / "Raw" / video / f"{nth + 1:04d}.wav", nth)
    text(root / "label.csv", rows, "gbk")


def folders(root: Path) -> None:
    for nth, emotion in enumerate(("生气", "Happy", "SAD")):
        for speaker in ("anna", "ben"):
            sound(root / speaker / emotion / f"{nth}.wav", nth)
    text(root / "anna/生气/0.txt", ["别走"], "gbk")


RELEASES: dict[str, tuple[Callable[[Path], None], int, tuple[str, ...]]] = {  # utterances, what is told
    "ravdess": (ravdess, 12, ("left out: 2 calm, 2 disgust", "16 of 1,440 clips")),
    "crema-d": (crema, 6, ("left out: 1 disgust", "a row of processedResults")),
    "emodb": (emodb, 5, ("left out: 1 boredom, 1 disgust",)),
    "casia": (casia, 12, ("without words: 4",)),
    "esd": (esd, 15, ("without words: 10",)),
    "iemocap": (
        iemocap,
        24,
        ("missing, ", "Ses05F_impro01_F000", "left out: 5 undecided, 5 frustration, 5 surprise"),
    ),
    "emotiontalk": (emotiontalk, 6, ("left out: 1 disgust",)),
    "m3ed": (m3ed, 6, ("left out: 1 disgust",)),
    "meld": (meld, 9, ("left out: 3 disgust",)),
    "mer2023": (mer, 5, ("left out: 1 worried", "speakers are not told")),
    "ch-sims": (sims, 6, ("2,281",)),
    "folders": (folders, 6, ("speakers were taken from folders",)),
}


@pytest.mark.parametrize("name", RELEASES)
def test_a_release_is_read_and_its_manifest_is_the_same_corpus(name: str, tmp_path: Path, capsys) -> None:
    build, number, told = RELEASES[name]
    root = tmp_path / "release"
    build(root)
    clutter(root)
    table, report = read(name, root)
    assert len(table) == number and set(table["emotion"]) == set(CORPORA[name].classes) & set(
        table["emotion"]
    )
    assert all(part in str(report) for part in told), str(report)
    assert not any("c.wav" in line or "b.wav" in line for line in report.extra)
    with pytest.warns(UserWarning) if report.faults() else pytest.MonkeyPatch.context():
        corpus = vc.load_corpus(name, root=root)
    assert [audio.load(corpus.path(utt_id)).shape for utt_id in corpus.ids[:3]] == [(1_600,)] * 3
    for out in (tmp_path / "above.csv", tmp_path / "elsewhere" / "m.csv", tmp_path / "folder"):
        assert main(["prepare", name, str(root), "--out", str(out)]) == 0
        again = vc.load_corpus(out if out.suffix else out / "manifest.csv")
        assert (
            again.labels == corpus.labels
            and again.fingerprint() == corpus.fingerprint()
            or out.stem == "above"
        )
        assert all(again.path(u).samefile(corpus.path(u)) for u in corpus.ids)
    assert str(report.about[0]) in capsys.readouterr().out
    assert readers.place(name) == root.resolve(), "it is found by its name the next time"


def test_every_reader_is_tested() -> None:
    assert set(READABLE) == {*RELEASES, "csemotions"} and set(CORPORA) == {*READABLE, "vcemo", "aishell"}


@pytest.mark.parametrize("name", READABLE)
def test_another_tree_is_refused_with_what_is_wrong(name: str, tmp_path: Path) -> None:
    for nth in range(20):
        sound(tmp_path / "music" / f"song{nth}.wav")
    with pytest.raises(VcemoError) as refused:
        read(name, tmp_path)
    told = str(refused.value)
    assert "this is not" in told and CORPORA[name].layout in told and "extra, 20: music/song0.wav" in told
    with pytest.raises(VcemoError, match="no such folder"):
        read(name, tmp_path / "nowhere")


def test_videos_and_circles_of_links(tmp_path: Path) -> None:
    meld(tmp_path)
    for clip in tmp_path.rglob("*.wav"):
        clip.replace(clip.with_suffix(".mp4"))
    with pytest.raises(VcemoError, match="no clip of MELD.*can be used(.|\n)*its clips are video: ffmpeg"):
        read("meld", tmp_path)
    casia(tmp_path / "casia")
    try:
        (tmp_path / "casia" / "wangzhe").symlink_to(tmp_path / "casia", target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    assert len(read("casia", tmp_path / "casia")[0]) == 12


def test_details_that_a_layout_alone_does_not_show(tmp_path: Path) -> None:
    def of(name: str) -> pd.DataFrame:
        RELEASES[name][0](tmp_path / name)
        return read(name, tmp_path / name)[0].set_index("utt_id")

    table = of("ravdess")
    assert table.at["03-01-06-01-02-01-02", "emotion"] == "fear" and set(table["speaker"]) == {"01", "02"}
    assert table.at["03-01-06-01-02-01-02", "text"] == "Dogs are sitting by the door."
    table = of("crema-d")
    assert table.at["1001_DFA_ANG_XX", "votes"] == "angry:5 other:1 neutral:4", "the voice's raters alone"
    table = of("casia")
    assert (
        table.at["liuchanhg_Angry_201", "text"] == "就是下雨也去"
        and table.at["liuchanhg_sad_205", "text"] == ""
    )
    assert table.at["ZhaoZuoxiang_fear_202", "text"] == "你真可爱"
    table = of("esd")
    assert table.at["0001_000000", "text"] == table.at["0003_000000", "text"] == "打远一看，"
    assert (
        table.at["0011_000000", "text"] == "The nine the eggs" and table.at["0003_000000", "split"] == "val"
    )
    assert table["language"].value_counts().to_dict() == {"zh": 10, "en": 5}
    table = of("iemocap")
    turn = table.loc["Ses01F_impro01_F002"]
    assert (turn.emotion, turn.speaker, turn.group, turn.language) == ("happy", "Ses01F", "Ses01", "en")
    assert turn.votes == "neutral:1 angry:1 happy:1" and turn.text == "Excuse me, 2."
    assert table["speaker"].nunique() == 10
    table = of("emotiontalk")
    assert table.at["G0001_01_000", "emotion"] == "happy", "what was heard, not what was read"
    assert (
        table.at["G0001_01_000", "votes"] == "happy:1 neutral:1"
        and table.at["G0001_01_004", "text"] == "第4句"
    )
    table = of("m3ed")
    assert table.at["show_0_1", "speaker"] == "show_小明" and set(table["split"]) == {"test"}
    assert table.at["show_0_1", "votes"] == "happy:1 sad:1 surprise:1"
    table = of("meld")
    assert table.at["dev_dia0_utt1", "audio"] == "dev_splits_complete/dia0_utt1.wav"
    assert (
        table.at["dev_dia0_utt1", "text"] == "It's dev, really"
        and table.at["dev_dia0_utt1", "split"] == "val"
    )
    assert of("ch-sims").at["video_0002_0003", "audio"] == "Raw/video_0002/0003.wav"
    assert of("folders").at["anna_生气_0", "text"] == "别走"


def test_damage_is_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    ravdess(tmp_path)
    clips = [tmp_path / f"Actor_01/03-01-0{emotion}-01-01-01-01.wav" for emotion in (1, 3, 5)]
    clips[0].write_bytes(b"")
    clips[1].write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    sound(tmp_path / "copy" / clips[2].name)
    sound(tmp_path / "Actor_01" / "03-01-09-01-01-01-01.wav")
    sound(tmp_path / "noise.wav")
    clips[2].with_suffix(".mp4").write_bytes(b"film")
    table, report = read("ravdess", tmp_path)
    told = str(report)
    assert len(table) == 10
    for part in (
        "is empty",
        "git lfs pull",
        "a second 03-01",
        "label '09'",
        "noise.wav",
        "2 of 24 speakers",
    ):
        assert part in told, part


def test_damaged_tables_and_json_are_reported(tmp_path: Path) -> None:
    emotiontalk(tmp_path / "e")
    text(tmp_path / "e/Audio/json/G0001/G0001_01_000.json", ["{"])
    text(tmp_path / "e/Audio/json/G0001/G0001_01_001.json", ["[1]"])
    table, report = read("emotiontalk", tmp_path / "e")
    assert len(table) == 4 and "is no JSON" in str(report) and "holds no emotion_result" in str(report)
    meld(tmp_path / "m")
    with (tmp_path / "m/test_sent_emo.csv").open("a", encoding="utf-8") as file:
        file.write("9,lost\r\n")
    assert "line 6 of test_sent_emo.csv" in str(read("meld", tmp_path / "m")[1])
    iemocap(tmp_path / "i")
    text(tmp_path / "i/IEMOCAP_full_release/Session1/dialog/EmoEvaluation/Ses01M_x.txt", ["% nothing"])
    assert "holds no turn" in str(read("iemocap", tmp_path / "i")[1])


def test_iemocap_whole_has_the_counts_that_papers_give(tmp_path: Path) -> None:
    """The four classes of all five sessions in their published numbers: nothing is missing, nothing extra."""
    rng, classes = np.random.default_rng(0), CORPORA["iemocap"].counts
    labels = np.repeat(
        ["ang", "hap", "neu", "sad"], [classes[c] for c in ("angry", "happy", "neutral", "sad")]
    )
    labels = rng.permutation(labels).tolist() + ["fru"] * (10_039 - 5_531)
    at, sizes = 0, [*CORPORA["iemocap"].groups.values()]
    for nth, size in enumerate(sizes, 1):
        below, turns = tmp_path / f"Session{nth}", []
        chosen = labels[at : at + size] + (labels[5_531:] if nth == 5 else [])
        at += size
        (below / "sentences/wav/d").mkdir(parents=True)
        for i, label in enumerate(chosen):
            utt_id = f"Ses0{nth}F_impro01_{'FM'[i % 2]}{i:04d}"
            turns.append(f"[1.0 - 2.0]\t{utt_id}\t{label}\t[2.5, 2.5, 2.5]")
            (below / f"sentences/wav/d/{utt_id}.wav").write_bytes(b"RIFF" * 50)  # no reader decodes it
        text(below / f"dialog/EmoEvaluation/Ses0{nth}F_impro01.txt", turns)
    table, report = read("iemocap", tmp_path)
    assert len(table) == 5_531 and report.faults() == []
    assert Counter(table["group"]) == CORPORA["iemocap"].groups


def test_encodings() -> None:
    line = "就是下雨也去"
    for encoding in ("utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16"):
        assert decode(line.encode(encoding)) == line
    assert decode("0003 ab\t好".encode("utf-16-le")) == "0003 ab\t好"
    assert decode(b"\xff\xff\xfe ok").endswith("ok"), "whatever comes is read"


def test_sounds_are_cut_out_of_columns_once(tmp_path: Path) -> None:
    clip = sound(tmp_path / "a.wav", 2).read_bytes()
    rows = [
        {"audio": {"bytes": clip, "path": "x.wav"}, "text": "你好"},
        {"audio": None},
        {"audio": {"bytes": b"no"}},
    ]
    found = dict(parquet.cut(rows, tmp_path / "clips", "train-0"))
    assert [record["clip"] for record in found.values()] == ["train-0-00000.wav", "", ""]
    cut = tmp_path / "clips" / "train-0-00000.wav"
    before = cut.stat().st_mtime_ns
    list(parquet.cut(rows, tmp_path / "clips", "train-0"))
    assert cut.read_bytes() == clip and cut.stat().st_mtime_ns == before
    cut.write_bytes(clip[:50])  # what a full disk left
    list(parquet.cut(rows, tmp_path / "clips", "train-0"))
    assert cut.read_bytes() == clip and [p.name for p in cut.parent.iterdir()] == [cut.name]


def test_csemotions_is_read_from_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="parquet files are read with pyarrow")
    labels = ("Neutral", "Happy", "Angry", "Sad", "Surprise", "Fearful", "Playfulness")
    rows = [
        {"audio": {"bytes": sound(tmp_path / "x.wav", nth).read_bytes(), "path": "x.wav"},
         "text": f"第{nth}句", "emotion": label, "speaker": f"S{nth % 2}"} for nth, label in enumerate(labels)
    ]  # fmt: skip
    bad = [
        {**rows[0], "audio": None},
        {**rows[0], "emotion": "Envy"},
        {**rows[0], "text": None, "speaker": None},
    ]
    (tmp_path / "r/data").mkdir(parents=True)
    pd.DataFrame(rows + bad).to_parquet(tmp_path / "r/data/train-00000-of-00001.parquet")
    for _ in range(2):
        table, report = read("csemotions", tmp_path / "r")
        assert len(table) == 7 and set(table["emotion"]) == set(vc.LABELS)
        for part in (
            "left out: 1 playfulness",
            "label 'Envy'",
            "train-00000-of-00001-00007",
            "without words: 1",
        ):
            assert part in str(report)
    (tmp_path / "r/data/train-00000-of-00001.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(VcemoError, match="parquet file is damaged"):
        read("csemotions", tmp_path / "r")


def test_without_pyarrow_parquet_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow.lib", None)
    (tmp_path / "train-0.parquet").write_bytes(b"PAR1")
    with pytest.raises(VcemoError, match="read with pyarrow, which is not installed.*pip install pyarrow"):
        read("csemotions", tmp_path)


def test_a_corpus_that_is_not_here_is_told_with_the_steps(capsys) -> None:
    assert main(["corpora"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in CORPORA) and "here: " not in listed
    for command in (["prepare", "iemocap"], ["corpora", "iemocap"], ["prepare", "iemocap", "nowhere"]):
        assert main(command) == 2
        told = capsys.readouterr().err
        assert "sail.usc.edu" in told or "no such folder" in told
    with pytest.raises(VcemoError, match="aishell has no emotions"):
        vc.load_corpus("aishell")


def test_a_real_release_is_read() -> None:
    """Eight actors of RAVDESS, where they lie beside the project."""
    root = Path(os.environ.get("VCEMO_REAL_DATA", vc.paths.repo_data().parents[1] / "shared" / "data"))
    if not (root / "ravdess16k").is_dir():
        pytest.skip(f"no recordings of people in {root}")
    table, report = read("ravdess", root / "ravdess16k")
    assert len(table) == 8 * (4 + 5 * 8) and table["speaker"].nunique() == 8
    assert not report.missing and not report.unknown and not report.extra
    assert "480 of 1,440 clips" in str(report) and "left out: 64 calm, 64 disgust" in str(report)
