"""What all readers share: a release's files and their encodings, and the report of what does not fit."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from vcemo_lib.corpora.readers.facts import Facts
from vcemo_lib.errors import VcemoError

SOUNDS = {".wav", ".flac", ".ogg", ".opus", ".mp3"}
VIDEOS = {".mp4", ".avi", ".mkv", ".flv"}
STRAY = {"__macosx", "thumbs.db", "desktop.ini"}
MOST_TOLD = 8  # of a kind
LFS = b"version https://git-lfs"


@dataclass(frozen=True)
class Row:
    """One utterance as its release tells it: own label and votes, clip as a path below the root, or None."""

    utt_id: str
    audio: str | None
    emotion: str
    speaker: str
    text: str = ""
    group: str = ""
    split: str = ""
    language: str = ""
    votes: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Report:
    """What does not fit, by kind; `str` is what a user reads."""

    about: list[str] = field(default_factory=list)  # what was read, and what a reader took for granted
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)  # that are not those of a complete copy

    def faults(self) -> list[str]:
        """The lines that say what is wrong; none for a complete copy."""
        found = [f"not as a complete copy: {', '.join(self.counts)}"] if self.counts else []
        for kind in ("missing", "unknown", "extra"):
            if listed := getattr(self, kind):
                found.append(f"{kind}, {len(listed):,}: {'; '.join(listed[:MOST_TOLD])}")
                found[-1] += "; ..." if len(listed) > MOST_TOLD else ""
        return found

    def __str__(self) -> str:
        return "\n  ".join([*self.about, *self.faults()])


def decode(raw: bytes) -> str:
    """A text file of unknown encoding: by its mark, else UTF-16 where it has zeros, UTF-8, GBK (GB 18030)."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", errors="replace")
    if b"\0" in raw[:200]:
        return raw.decode("utf-16-le" if raw[1:2] == b"\0" else "utf-16-be", errors="replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("gb18030", errors="replace")


def ending(file: str) -> str:
    """ ".wav" of a/b.WAV; pathlib takes ten times as long, and there are a hundred thousand files."""
    return os.path.splitext(file)[1].lower()


def stem(file: str) -> str:
    """The name "b" of a/b.wav."""
    return os.path.splitext(file)[0].rpartition("/")[2]


class Tree:
    """The files below a release's folder, hidden ones and those of systems left out; / between names."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise VcemoError("no such folder", root, "give the folder that the release was unpacked to")
        self.root, self.sizes = root, dict[str, int]()
        folders, walked = [""], {os.path.realpath(root)}
        while folders:
            with os.scandir(root / (inside := folders.pop())) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.name.startswith(".") or entry.name.lower() in STRAY:
                        continue
                    if entry.is_symlink() and (real := os.path.realpath(entry.path)) not in walked:
                        walked.add(real)
                    elif entry.is_symlink():
                        continue  # a circle of links
                    if entry.is_dir():
                        folders.append(f"{inside}{entry.name}/")
                    elif entry.is_file():
                        self.sizes[f"{inside}{entry.name}"] = entry.stat().st_size

    @cached_property
    def sounds(self) -> list[str]:
        """Every file that is a sound by its name, WAV before the copies of it in other formats."""
        found = [file for file in self.sizes if ending(file) in SOUNDS]
        return sorted(found, key=lambda file: (not file.lower().endswith(".wav"), file))

    @cached_property
    def sounds_set(self) -> frozenset[str]:
        """The same, to look one up."""
        return frozenset(self.sounds)

    @cached_property
    def stems(self) -> dict[str, list[str]]:
        """A sound's name without its ending, in lower case -> the sounds so called."""
        found: dict[str, list[str]] = {}
        for file in self.sounds:
            found.setdefault(stem(file).lower(), []).append(file)
        return found

    def clip(self, name: str, under: str = "") -> str | None:
        """The sound so called, whatever its ending, in a folder whose path the pattern `under` finds."""
        listed = self.stems.get(name.lower(), ())
        return next((file for file in listed if re.search(under, file, re.IGNORECASE)), None)

    def find(self, pattern: str) -> Iterator[tuple[re.Match[str], str]]:
        """The files whose path ends so, with what matched."""
        wanted = re.compile(rf"(?:^|/){pattern}$", re.IGNORECASE)
        for file in list(self.sizes):
            if match := wanted.search(file):
                yield match, file

    def text(self, file: str) -> str:
        """A text file, whatever its encoding and its ends of lines."""
        return decode((self.root / file).read_bytes()).replace("\r\n", "\n").replace("\r", "\n")

    def wrong(self, file: str) -> str:
        """Why a clip cannot be one; "" where nothing speaks against it. It is not decoded."""
        if self.sizes[file] >= 200:
            return ""
        pointer = (self.root / file).read_bytes().startswith(LFS)
        return "a pointer of Git LFS: git lfs pull" if pointer else "" if self.sizes[file] else "empty"


def gather(facts: Facts, tree: Tree, rows: Iterator[Row], report: Report) -> list[Row]:
    """The rows that can be used, with our labels; all else goes into the report. Refuses another tree."""
    kept: dict[str, Row] = {}
    named, left_out, seen = set[str](), Counter[str](), set[str]()
    for row in rows:
        named.add(row.audio or "")
        if row.utt_id in seen:
            report.extra.append(f"a second {row.utt_id}")
            continue
        seen.add(row.utt_id)
        own = row.emotion.strip().lower()
        if own not in facts.labels:
            report.unknown.append(f"label {row.emotion!r} of {row.utt_id}")
        elif row.audio is None or (why := tree.wrong(row.audio)):
            report.missing.append(row.utt_id if row.audio is None else f"{row.audio} is {why}")
        elif (label := facts.labels[own]) not in facts.classes:
            left_out[label] += 1
        else:
            votes = Counter[str]()
            for vote, count in row.votes.items():
                voted = facts.labels.get(vote.strip().lower(), "")
                votes[voted if voted in facts.classes else "other"] += count
            language, speaker = row.language or facts.language, row.speaker.strip() or "unknown"
            kept[row.utt_id] = replace(row, emotion=label, speaker=speaker, language=language, votes=votes)
    report.extra += [file for file in tree.sounds if file not in named]
    _tell(facts, tree, list(kept.values()), left_out, len(seen), report)
    wrong = len(report.extra) + len(report.unknown)
    if not kept or wrong > max(len(kept), 8) + sum(left_out.values()):
        what = f"this is not {facts.title}" if kept or not seen else f"no clip of {facts.title} can be used"
        raise VcemoError(what, tree.root, f"its layout is {facts.layout}\n  {report}")
    return list(kept.values())


def _tell(
    facts: Facts, tree: Tree, kept: list[Row], left_out: Counter[str], found: int, report: Report
) -> None:
    """What was read, beside a complete copy."""
    classes, speakers = Counter(row.emotion for row in kept), {row.speaker for row in kept}
    counted = ", ".join(f"{label} {classes[label]:,}" for label in facts.classes if classes[label])
    line = f"{facts.title}: {len(kept):,} utterances by {len(speakers)} speakers ({counted})"
    report.about.insert(0, line)
    if left_out:
        report.about.append("left out: " + ", ".join(f"{n:,} {own}" for own, n in left_out.most_common()))
    if silent := sum(not row.text.strip() for row in kept):
        report.about.append(
            f"without words: {silent:,} (Whisper writes them: vcemo prepare MANIFEST --out ...)"
        )
    whole = {"clips": (found, facts.clips), "speakers": (len(speakers), facts.speakers)}
    groups = Counter(row.group for row in kept)
    whole |= {label: (classes[label], number) for label, number in facts.counts.items()}
    whole |= {group: (groups[group], number) for group, number in facts.groups.items()}
    for what, (here, complete) in whole.items():
        if complete and here != complete:
            report.counts.append(f"{here:,} of {complete:,} {what}")
    films = sum(ending(file) in VIDEOS for file in tree.sizes)
    if report.missing and films > len(tree.sounds):
        report.about.append("its clips are video: ffmpeg -i X.mp4 -ac 1 -ar 16000 X.wav makes sound of each")
