"""Stage 7: fill the datasheet's template with the numbers of about.json."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template

from vcemo_lib.paths import write_atomically

HERE = Path(__file__).resolve().parent
OUT = HERE.parent.parent / "vcemo_sim"


def listed(counts: dict[str, int]) -> str:
    """`{"man": 54}` as `man 54`."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def fill() -> str:
    """The datasheet as it follows from about.json."""
    about = json.loads((OUT / "about.json").read_text(encoding="utf-8"))
    rows = about["vote_given_majority"].items()
    votes = [f"| {e} | {v['human']:.3f} | {v['simulated']:.3f} |" for e, v in rows]
    shares = ("label_is_main_emotion", "second_emotion_share", "unanimous_share")
    heard = about["cer_whisper_base"]
    between, within = about["spread"]["between_speakers"], about["spread"]["within_speaker"]
    values = {
        **{k: f"{about[k]:.1%}" for k in shares},
        **{k: f"{about[k]:,}" for k in ("utterances", "speakers", "sentences_used", "paper_mix_utterances")},
        **{k: listed(about[k]) for k in ("voices", "label_counts", "split_counts")},
        "hours": about["hours"],
        "megabytes": about["megabytes"],
        "cer_all": f"{heard['all']:.1%}",
        "cer_tenth": f"{heard['every_tenth_sentence']:.1%}",
        "prosody_inside": "{inside} of {of}".format(**about["prosody_within_human_spread"]),
        "dropped": about["sifted"]["dropped"],
        "worst_cer": f"{about['sifted']['above_cer']:.0%}",
        "cer_before": f"{about['sifted']['cer_before']:.1%}",
        "votes": "\n".join(votes),
        "spread": f"{between:.0%} of the spread between and {within:.0%} of that within speakers are "
        "simulated; the rest is the sentence and the measuring.",
    }
    return Template((HERE / "datasheet.md").read_text(encoding="utf-8")).substitute(values)


if __name__ == "__main__":
    write_atomically(OUT / "DATASHEET.md", fill())
