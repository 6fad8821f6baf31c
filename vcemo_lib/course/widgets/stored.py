"""Clips that are judged before, under every choice of muted modalities, for pages that have no Python.

`living.js` runs the widgets' own scripts on them: on the course's site, its first page, and in the app.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcemo_lib import audio, paths
from vcemo_lib.course.listening import PreparedClip, listen
from vcemo_lib.course.widgets.base import HERE, script
from vcemo_lib.course.widgets.player import STEPS, corpus_facts, facts, judgement
from vcemo_lib.predict import EmotionRecognizer

if TYPE_CHECKING:
    from vcemo_lib.corpora import Corpus

WIDGETS = ("player", "browser", "game", "voice")


def living() -> str:
    """All widgets' scripts, and where their answers come from, as one classic script for a folder's pages."""
    parts = [(HERE / "living.js").read_text(encoding="utf-8")]
    for name in WIDGETS:
        own = script(f"{name}.js").replace("export default", "return")
        parts.append(f"vcemo.{name} = (() => {{\n{own}}})();")
    return "\n".join(parts)


def stored(clip: PreparedClip, along: bool = True, **own: Any) -> dict[str, Any]:
    """A clip as JSON: what a player shows of it, bytes in base64; judgements by what is muted ("audio+bert").

    `along`: also how the answer moves while the clip goes on, which takes most of the time.
    """
    names = clip.recogniser.modalities
    judged = {
        "+".join(mute): judgement(clip.predict(mute), clip.along(STEPS, mute) if along else None)
        for count in range(len(names) + 1)
        for mute in combinations(names, count)
    }
    told = facts(clip, **{"label": "", "utt_id": "", "truth": "", "votes": {}, **own})
    coded = {k: base64.b64encode(v).decode("ascii") if isinstance(v, bytes) else v for k, v in told.items()}
    return {"clip": coded, "judgements": judged}


def utterance(corpus: Corpus, utt_id: str, recogniser: EmotionRecognizer, along: bool = True) -> dict:
    """A corpus' utterance, stored; the model reads what Whisper once heard, where the corpus keeps that."""
    row = corpus.table.loc[utt_id]
    clip = listen(recogniser, audio.utterance(corpus, utt_id), row.get("asr", row["text"]))
    return stored(clip, along, **corpus_facts(corpus, utt_id))


def version() -> str:
    """Which bundled recogniser judges: 12 hex digits of its file."""
    file = paths.repo_data() / "models" / "recogniser" / "run.safetensors"
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


def write(corpus: Corpus, whole: Iterable[str], out: Path) -> None:
    """A script for each clip of a corpus into `out`, for `living.js`; `whole`: those whose answer moves along.

    What was judged once is kept in the cache, by recogniser and corpus.
    """
    kept = paths.cache_dir() / "stored" / f"{version()}-{corpus.fingerprint()}"
    recogniser, whole = None, set(whole)
    out.mkdir(parents=True, exist_ok=True)
    for utt_id in corpus.ids:
        file = kept / f"{utt_id}{'-along' * (utt_id in whole)}.json"
        if not file.is_file():
            recogniser = recogniser or EmotionRecognizer.load()
            made = utterance(corpus, utt_id, recogniser, utt_id in whole)
            paths.write_atomically(file, json.dumps(made, ensure_ascii=False, separators=(",", ":")))
        (out / f"{utt_id}.js").write_text(f"vcemo.clips['{utt_id}']={file.read_text('utf-8')}", "utf-8")


def examples() -> dict[str, Any]:
    """The six bundled clips, stored, by utt_id; `data/build/front.py` makes them."""
    file = paths.repo_data() / "models" / "examples.json"
    return json.loads(file.read_text(encoding="utf-8"))["clips"]
