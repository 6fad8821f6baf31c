"""Releases of dialogues, with a file of their own for labels: IEMOCAP, EmotionTalk, M3ED."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from vcemo_lib.corpora.readers.facts import Facts
from vcemo_lib.corpora.readers.tree import Report, Row, Tree

TURN = re.compile(r"\[[\d.]+ - [\d.]+\]\s+(Ses\d\d[FM]_\w+)\s+(\w+)\s+\[")
RATER = re.compile(r"C-E\d+:\s*([^(]*)")  # C-F and C-M are the actors' own views
SPOKEN = re.compile(r"(Ses\d\d[FM]_\w+)\s*\[[^\]]*\]:\s*(.*)")
HEARD = ("audio", "multimodal", "text")  # which of EmotionTalk's labels, in this order; not what was seen


def iemocap(tree: Tree, facts: Facts, report: Report) -> Iterator[Row]:
    """Labels and raters' votes from dialog/EmoEvaluation/*.txt, words from dialog/transcriptions."""
    words = dict[str, str]()
    for _, file in tree.find(r"dialog/transcriptions/[^/]+\.txt"):
        words |= {m[1]: m[2].strip() for line in tree.text(file).splitlines() if (m := SPOKEN.match(line))}
    turns: dict[str, tuple[str, Counter[str]]] = {}
    for _, file in tree.find(r"dialog/EmoEvaluation/[^/]+\.txt"):
        votes, before = Counter[str](), len(turns)
        for line in tree.text(file).splitlines():
            if match := TURN.match(line):
                votes = Counter()
                turns[match[1]] = match[2], votes
            elif match := RATER.match(line):
                votes.update(re.findall(r"\w+", match[1]))
        if len(turns) == before:
            report.unknown.append(f"{file} holds no turn")
    for utt_id, (emotion, votes) in turns.items():
        session, speaker = utt_id[:5], utt_id[:5] + utt_id.rpartition("_")[2][:1]
        clip = tree.clip(utt_id, r"sentences/wav/")
        yield Row(utt_id, clip, emotion, speaker, words.get(utt_id, ""), session, votes=votes)


def emotiontalk(tree: Tree, facts: Facts, report: Report) -> Iterator[Row]:
    """A JSON file an utterance; the label of those who heard it, each annotator's own kept as votes."""
    best: dict[str, tuple[int, str]] = {}
    for match, file in tree.find(r"([^/]+)\.json"):
        parts = [part.lower() for part in PurePosixPath(file).parts[:-1]]
        rank = next((i for i, kind in enumerate(HEARD) if any(kind in part for part in parts)), len(HEARD))
        if not any("video" in part for part in parts):
            best[match[1]] = min(best.get(match[1], (rank, file)), (rank, file))
    for utt_id, (_, file) in sorted(best.items()):
        found = _json(tree, file, report)
        if not isinstance(found, dict) or "emotion_result" not in found:
            report.unknown.append(f"{file} holds no emotion_result") if found is not None else None
            continue
        clip = tree.clip(PurePosixPath(str(found.get("file_name", "")).replace("\\", "/")).stem)
        votes = Counter(_labels(found.get("data"), facts))
        speaker = str(found.get("speaker_id") or "unknown")
        text, dialogue = str(found.get("content") or "").strip(), PurePosixPath(file).parent.name
        emotion = str(found["emotion_result"])
        yield Row(utt_id, clip or tree.clip(utt_id), emotion, speaker, text, dialogue, votes=votes)


def m3ed(tree: Tree, facts: Facts, report: Report) -> Iterator[Row]:
    """Series -> dialogue -> Dialog -> utterance; the split of a series from splitInfo/movie_list_*.txt."""
    part_of = dict[str, str]()
    for match, file in tree.find(r"movie_list_(train|val|test)\.txt"):
        part_of |= dict.fromkeys(map(str.strip, tree.text(file).splitlines()), match[1].lower())
    for _, file in tree.find(r"[^/]+\.json"):
        whole = _json(tree, file, report)
        for series, dialogues in whole.items() if isinstance(whole, dict) else ():
            for dialogue, scene in dialogues.items() if isinstance(dialogues, dict) else ():
                if not isinstance(scene, dict) or not isinstance(scene.get("Dialog"), dict):
                    continue  # another of the release's JSON files
                people = scene.get("SpeakerInfo") or {}
                for utt_id, said in scene["Dialog"].items():
                    raters, who = said.get("EmoAnnotation") or {}, str(said.get("Speaker", ""))
                    own = {name: raters[name] for name in raters if name.startswith("EmoAnnotator")}
                    name = (people.get(who) or {}).get("Name") or f"{dialogue}_{who}"
                    clip = tree.clip(f"{who}_{utt_id}") or tree.clip(utt_id)
                    emotion, votes = str(raters.get("final_main_emo", "")), Counter(_labels(own, facts))
                    text, part = str(said.get("Text") or "").strip(), part_of.get(series, "")
                    speaker = f"{series}_{name}"
                    yield Row(utt_id, clip, emotion, speaker, text, dialogue, part, votes=votes)


def _json(tree: Tree, file: str, report: Report) -> Any:
    """What a JSON file holds, None where it is damaged, which is reported."""
    try:
        return json.loads(tree.text(file))
    except (ValueError, RecursionError):
        report.unknown.append(f"{file} is no JSON")
        return None


def _labels(given: Any, facts: Facts) -> Iterator[str]:
    """Every known label within what annotators gave, however it is nested."""
    if isinstance(given, dict | list):
        for inner in given.values() if isinstance(given, dict) else given:
            yield from _labels(inner, facts)
    elif isinstance(given, str):
        yield from (word for word in re.findall(r"\w+", given.lower()) if word in facts.labels)
