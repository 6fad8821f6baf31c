"""Clips that are judged before, under every choice of muted modalities, for pages that have no Python.

`living.js` runs the widgets' own scripts on them: on the course's site, its first page, and in the app.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcemo_lib import audio, paths
from vcemo_lib.course.listening import PreparedClip, listen
from vcemo_lib.course.widgets.browser import judged, page
from vcemo_lib.course.widgets.game import CLIPS, about, draw
from vcemo_lib.course.widgets.living import HERE, examples, living, recogniser_digest
from vcemo_lib.course.widgets.player import STEPS, corpus_facts, facts, judgement
from vcemo_lib.predict import EmotionRecognizer

if TYPE_CHECKING:
    from vcemo_lib.corpora import Corpus

GAMES = 20  # that a page without Python can draw


def stored(clip: PreparedClip, along: bool = True, **own: Any) -> dict[str, Any]:
    """A clip as JSON: what a player shows of it, bytes in base64; judgements by what is muted ("audio+bert").

    `along`: also how the answer moves while the clip goes on, which takes most of the time.
    """
    names = clip.recogniser.modalities
    answers = {
        "+".join(mute): judgement(clip.predict(mute), clip.along(STEPS, mute) if along else None)
        for count in range(len(names) + 1)
        for mute in combinations(names, count)
    }
    told = facts(clip, **{"label": "", "utt_id": "", "truth": "", "votes": {}, **own})
    coded = {k: base64.b64encode(v).decode("ascii") if isinstance(v, bytes) else v for k, v in told.items()}
    return {"clip": coded, "judgements": answers}


def utterance(corpus: Corpus, utt_id: str, recogniser: EmotionRecognizer, along: bool = True) -> dict:
    """A corpus' utterance, stored; the model reads what Whisper once heard, where the corpus keeps that."""
    row = corpus.table.loc[utt_id]
    clip = listen(recogniser, audio.utterance(corpus, utt_id), row.get("asr", row["text"]))
    return stored(clip, along, **corpus_facts(corpus, utt_id))


def write(out: Path, players: Iterable[str] = (), part: Corpus | None = None) -> None:
    """What a folder's pages need into `out`: scripts, the examples, and of a part browser, games and clips.

    `players`: clips of the part whose answer moves along. What was judged once is kept in the cache.
    """
    (out / "clips").mkdir(parents=True)
    clips = {utt_id: json.dumps(one, ensure_ascii=False) for utt_id, one in examples().items()}
    (out / "living.js").write_text(living(clips), "utf-8")
    shutil.copy(HERE / "widgets.css", out)
    if part is not None:
        given = page(part, judged(part)) | {"game": about(part, part.labels)}
        given["games"] = [draw(part, CLIPS, seed) for seed in range(GAMES)]
        (out / "part.js").write_text(f"vcemo.part={json.dumps(given, ensure_ascii=False)}", "utf-8")
        clips = _judged_before(part, set(players)) | clips
    for utt_id, one in clips.items():
        (out / "clips" / f"{utt_id}.js").write_text(f"vcemo.clips['{utt_id}']={one}", "utf-8")


def _judged_before(part: Corpus, along: set[str]) -> dict[str, str]:
    kept, recogniser = paths.cache_dir() / "stored" / f"{recogniser_digest()}-{part.fingerprint()}", None
    clips = {}
    for utt_id in part.ids:
        file = kept / f"{utt_id}{'-along' * (utt_id in along)}.json"
        if not file.is_file():
            recogniser = recogniser or EmotionRecognizer.load()
            one = utterance(part, utt_id, recogniser, utt_id in along)
            paths.write_atomically(file, json.dumps(one, ensure_ascii=False, separators=(",", ":")))
        clips[utt_id] = file.read_text("utf-8")
    return clips
