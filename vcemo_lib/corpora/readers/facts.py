"""What is known of each corpus before it is read: labels, licence, counts, how to get it. One table.

Read on dataset cards, papers and record pages, not in the data: a reader reports what does not fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vcemo_lib.corpora.labels import FOUR, LABELS

SENTIMENTS = ("negative", "neutral", "positive")  # CH-SIMS has no emotions

# The forms in which releases write an emotion, in lower case -> ours; None: known, and left out.
SPELLINGS: dict[str, str | None] = {
    form: label
    for label, forms in {
        "angry": "angry anger ang 生气 愤怒",
        "fear": "fear fearful fea scared anxiety 害怕 恐惧",
        "happy": "happy happiness hap joy 快乐 高兴 开心",
        "neutral": "neutral neu 中立 中性 平静",
        "sad": "sad sadness 伤心 悲伤 难过",
        "surprise": "surprise surprised sur 惊喜 惊讶 惊奇",
        None: "disgust disgusted dis contempt calm bored boredom playfulness playful worried worry"
        " frustration fru excited exc other oth xxx 厌恶 讨厌",
    }.items()
    for form in forms.split()
}


@dataclass(frozen=True)
class File:
    """A file of a release that may be fetched: its address (after the hub's for a path) and its checksum."""

    url: str
    known: str = ""  # "md5:..." or "sha256:..."
    only: str = ""  # of an archive: the members whose name this pattern finds; "": all
    each: str = ""  # of a table of clips: the address of one


@dataclass(frozen=True)
class Facts:
    """One corpus. `clips`, `speakers`, `counts` (by kept label): of a complete copy; 0, {}: not known."""

    title: str
    language: str  # of Whisper and the encoders; "": each row's own, or not known
    licence: str
    get: str  # the steps, one line each
    layout: str  # what a reader sees; told where a tree is refused
    clips: int = 0
    speakers: int = 0
    labels: Mapping[str, str | None] = field(default_factory=lambda: SPELLINGS)
    counts: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, int] = field(default_factory=dict)  # kept utterances of each session
    names: str = ""  # where the file's name tells all: its pattern (emotion, speaker, sentence)
    sentences: Mapping[str, str] = field(default_factory=dict)
    votes: str = ""  # whose
    classes: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    hub: tuple[str, ...] = ()  # its repositories on the Hugging Face hub
    size: float = 0  # bytes on disk while it is fetched and unpacked

    def kept(self) -> tuple[str, ...]:
        """The labels that a corpus of this release has, in our order."""
        return self.classes or tuple(label for label in LABELS if label in set(self.labels.values()))


CREMA_D = "https://media.githubusercontent.com/media/CheyneyComputerScience/CREMA-D/master/AudioWAV/{}.wav"
BY_REQUEST = "write to its owners for the licence form, sign it, and unpack what they send"

CORPORA: dict[str, Facts] = {
    "vcemo": Facts("VCEMO (Tang et al.)", "zh", "not released", "not released yet: ask its authors",
                   "manifest.csv beside its clips"),
    "csemotions": Facts(
        "CSEMOTIONS (2025), six voice actors in a studio", "zh",
        "Apache-2.0 by its card; read its NOTICE, parts may be for research only",
        "vcemo fetch csemotions (Hugging Face AIDC-AI/CSEMOTIONS, 3.1 GB)",
        "data/train-0000N-of-00008.parquet with the columns audio, text, emotion, speaker",
        clips=4_160, speakers=6, size=6.5e9, hub=("AIDC-AI/CSEMOTIONS", "ATH-MaaS/CSEMOTIONS"),
        files=tuple(File(f"data/train-{n:05d}-of-00008.parquet") for n in range(8))),
    "emotiontalk": Facts(
        "EmotionTalk (2025), dialogues of 19 actors", "zh", "CC BY-NC-SA 4.0, academic use",
        "log in at Hugging Face, open BAAI/Emotiontalk (or Kaggle, from NKU-HLT/EmotionTalk on GitHub),\n"
        "accept its conditions, download the audio archives and unpack them",
        "a JSON file an utterance under Audio/ (data, emotion_result, speaker_id, content), clips beside it",
        clips=19_250, speakers=19, votes="each annotator"),
    "iemocap": Facts(
        "IEMOCAP (2008), scripted and improvised dialogues; the usual four classes, excited counted as happy",
        "en", "research, by request", f"https://sail.usc.edu/iemocap: {BY_REQUEST}",
        "Session1 to Session5, each with dialog/EmoEvaluation, dialog/transcriptions and sentences/wav",
        clips=10_039, speakers=10, votes="three raters or more", classes=FOUR,
        labels={**SPELLINGS, **dict.fromkeys(("exc", "excited"), "happy"), **dict.fromkeys(("fea", "sur"))},
        counts={"angry": 1_103, "happy": 1_636, "neutral": 1_708, "sad": 1_084},
        groups={"Ses01": 1_085, "Ses02": 1_023, "Ses03": 1_151, "Ses04": 1_031, "Ses05": 1_241}),
    "casia": Facts(
        "CASIA, 50 sentences by four actors (its free part)", "zh", "research, by request",
        f"Chinese Academy of Sciences, Institute of Automation: {BY_REQUEST}",
        "<speaker>/<emotion>/<201 to 250>.wav; transcripts, if there, in text files of '201 ...' lines",
        clips=1_200, speakers=4, counts=dict.fromkeys(LABELS, 200)),
    "esd": Facts(
        "ESD (2021), parallel sentences, half Mandarin, half English", "", "research, by request",
        f"https://hltsingapore.github.io/ESD: {BY_REQUEST}",
        "NNNN/<Emotion>/NNNN_NNNNNN.wav and NNNN/NNNN.txt (id, text, label)", clips=35_000, speakers=20,
        classes=tuple(label for label in LABELS if label != "fear"),
        counts=dict.fromkeys(("angry", "happy", "neutral", "sad", "surprise"), 7_000)),
    "ravdess": Facts(
        "RAVDESS (2018), two sentences by 24 actors", "en", "CC BY-NC-SA 4.0",
        "vcemo fetch ravdess (Zenodo record 1188976, 208 MB)", "Actor_NN/03-01-EE-II-SS-RR-NN.wav",
        clips=1_440, speakers=24,
        labels={"01": "neutral", "02": None, "03": "happy", "04": "sad", "05": "angry", "06": "fear",
                "07": None, "08": "surprise"},
        counts=dict.fromkeys(LABELS, 192) | {"neutral": 96},
        names=r"03-01-(?P<emotion>\d\d)-\d\d-(?P<sentence>\d\d)-\d\d-(?P<speaker>\d\d)",
        sentences={"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."},
        files=(File("https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip",
                    "md5:bc696df654c87fed845eb13823edef8a"),), size=0.9e9),
    "crema-d": Facts(
        "CREMA-D (2014), twelve sentences by 91 actors", "en", "ODbL 1.0",
        "vcemo fetch crema-d (GitHub CheyneyComputerScience/CREMA-D, 0.6 GB)",
        "AudioWAV/1001_DFA_ANG_XX.wav, processedResults/tabulatedVotes.csv", clips=7_442, speakers=91,
        labels={"ang": "angry", "dis": None, "fea": "fear", "hap": "happy", "neu": "neutral", "sad": "sad"},
        counts=dict.fromkeys(("angry", "fear", "happy", "sad"), 1_271) | {"neutral": 1_087},
        names=r"(?P<speaker>1\d{3})_(?P<sentence>[a-z]{3})_(?P<emotion>[a-z]{3})_[a-z]{1,2}",
        sentences={
            "ieo": "It's eleven o'clock.", "tie": "That is exactly what happened.",
            "iom": "I'm on my way to the meeting.", "iww": "I wonder what this is about.",
            "tai": "The airplane is almost full.", "mti": "Maybe tomorrow it will be cold.",
            "iwl": "I would like a new alarm clock.", "ith": "I think I have a doctor's appointment.",
            "dfa": "Don't forget a jacket.", "its": "I think I've seen this before.",
            "tsi": "The surface is slick.", "wsi": "We'll stop in a couple of minutes.",
        }, votes="raters who heard the voice alone",
        files=(File("https://raw.githubusercontent.com/CheyneyComputerScience/CREMA-D/master/processedResults/"
                    "tabulatedVotes.csv", each=CREMA_D),), size=0.7e9),
    "emodb": Facts(
        "EmoDB (2005), ten sentences by ten actors", "de", "free to use (audb lists CC0 1.0)",
        "vcemo fetch emodb (emodb.bilderbar.info, 41 MB)", "wav/03a01Fa.wav", clips=535, speakers=10,
        labels={"w": "angry", "l": None, "e": None, "a": "fear", "f": "happy", "t": "sad", "n": "neutral"},
        counts={"angry": 127, "fear": 69, "happy": 71, "neutral": 79, "sad": 62},
        names=r"(?P<speaker>\d\d)(?P<sentence>[ab]\d\d)(?P<emotion>[wleaftn])[a-z]",
        sentences={
            "a01": "Der Lappen liegt auf dem Eisschrank.", "a02": "Das will sie am Mittwoch abgeben.",
            "a04": "Heute abend könnte ich es ihm sagen.",
            "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
            "a07": "In sieben Stunden wird es soweit sein.",
            "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
            "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
            "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
            "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
            "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
        }, files=(File("http://emodb.bilderbar.info/download/download.zip"),), size=0.2e9),
    "meld": Facts(
        "MELD (2019), the television series Friends", "en", "GPL-3.0",
        "GitHub declare-lab/MELD: download MELD.Raw, unpack it, and make sound of its videos with ffmpeg",
        "{train,dev,test}_sent_emo.csv, clips dia0_utt0.wav in folders of train, dev and test", clips=13_708),
    "m3ed": Facts(
        "M3ED (2022), 56 Chinese television series", "zh", "research, by request",
        f"GitHub AIM3-RUC/RUCM3ED: {BY_REQUEST}",
        "a JSON file of annotations (series, dialogue, Dialog), clips A_<utterance>.wav, splitInfo/",
        clips=24_449, votes="each annotator"),
    "mer2023": Facts(
        "MER2023, Chinese films and series; worried is left out", "zh", "research, by request",
        f"merchallenge.cn: {BY_REQUEST}", "train-label.csv (name, discrete, valence), clips <name>.wav"),
    "ch-sims": Facts(
        "CH-SIMS (2020), Chinese video; sentiment, no emotions", "zh", "research, by request",
        f"GitHub thuiar/MMSA: {BY_REQUEST}", "label.csv (video_id, clip_id, text, annotation, mode), "
        "clips <video_id>/<clip_id>.wav", clips=2_281, labels={name: name for name in SENTIMENTS},
        classes=SENTIMENTS),
    "folders": Facts("any tree with a folder an emotion", "", "its own", "any folder of yours",
                     "<speaker>/<emotion>/*.wav or <emotion>/<speaker>/*.wav, in English or Chinese"),
    "aishell": Facts(
        "AISHELL-1 (2017), test speakers: read Mandarin for speech recognition", "zh", "Apache-2.0",
        "vcemo fetch aishell (OpenSLR 33, 15 GB: there is no smaller part)",
        "data_aishell/wav, data_aishell/transcript; it has no emotions", labels={}, speakers=20,
        files=(File("https://www.openslr.org/resources/33/data_aishell.tgz",
                    "md5:2f494334227864a8a8fec932999db9d8",
                    r"transcript/|S0(76[4-9]|770|90[1-8]|91[2-6])(\.tar\.gz$|/)"),), size=18e9),
}  # fmt: skip
