"""Stage 4: write the manifest, the sentences, the speakers and what was drawn, beside the finished sound."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile
from common import FRAME_MS, HERE, sentence_file
from plan import Utterance, design, plan

RARE = ("fear", "surprise")


def write_csv(path: Path, rows: list[dict]) -> None:
    """Write rows whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text.getvalue(), encoding="utf-8")
    os.replace(temporary, path)


def paper_mix(utterances: list[Utterance], share: float, rng: np.random.Generator) -> set[str]:
    """The subset in which fear and surprise together are as rare as in the paper, in every part."""
    kept = set()
    for part in ("train", "val", "test"):
        here = [u for u in utterances if u.split == part]
        rare = [u.utt_id for u in here if u.emotion in RARE]
        kept |= {u.utt_id for u in here if u.emotion not in RARE}
        count = max(2, round((len(here) - len(rare)) * share / (1 - share)))
        kept |= set(rng.permutation(rare)[:count].tolist())
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE.parent.parent / "vcemo_sim")
    arguments = parser.parse_args()
    settings = design()
    speakers, utterances, report = plan(json.loads((HERE / "calibration.json").read_text(encoding="utf-8")))
    kind = {s.speaker: s.kind for s in speakers}
    rng = np.random.default_rng(settings["seed"])
    mixed = paper_mix(utterances, settings["sets"]["paper_mix_rare_share"], rng)
    rows, plain = [], {}
    for u in utterances:
        clip = f"audio/{u.speaker}/{u.utt_id}.ogg"
        votes = Counter(u.votes)
        if u.text not in plain:
            with np.load(sentence_file(arguments.work, u.text)) as kept:
                plain[u.text] = len(kept["f0"]) * FRAME_MS / 1000
        rows.append(
            {
                "utt_id": u.utt_id, "audio": clip, "text": u.text, "emotion": u.emotion,
                "speaker": u.speaker,
                "votes": " ".join(f"{label}:{votes[label]}" for label in sorted(votes)),
                "split": u.split, "language": "zh", "voice": kind[u.speaker],
                "seconds": round(soundfile.info(arguments.out / clip).duration, 3),
                "plain_seconds": round(plain[u.text], 3), "main_emotion": u.main_emotion,
                "second_emotion": u.second_emotion, "second_weight": u.second_weight,
                "words_cue": u.words_cue, "voice_cue": u.voice_cue, "paper_mix": int(u.utt_id in mixed),
            }
        )  # fmt: skip
    write_csv(arguments.out / "manifest.csv", rows)
    # Clips of an earlier plan must not linger beside those of this one.
    planned = {arguments.out / row["audio"] for row in rows}
    for stray in set((arguments.out / "audio").rglob("*.ogg")) - planned:
        stray.unlink()
    without_shift = [{k: v for k, v in vars(s).items() if k != "shift"} for s in speakers]
    write_csv(arguments.out / "speakers.csv", without_shift)
    size = sum((arguments.out / row["audio"]).stat().st_size for row in rows)
    about = {
        **report,
        "hours": round(sum(row["seconds"] for row in rows) / 3600, 3),
        "megabytes": round(size / 1e6, 2),
        "label_counts": dict(sorted(Counter(row["emotion"] for row in rows).items())),
        "split_counts": dict(Counter(row["split"] for row in rows)),
        "voices": dict(Counter(kind.values())),
        "paper_mix_utterances": len(mixed),
        "spread": settings["spread"],
        "licence": "CC BY-NC-SA 4.0",
    }
    text = json.dumps(about, indent=1, ensure_ascii=False)
    (arguments.out / "about.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
