"""Write README's results section from the result files: `python data/build/results.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from vcemo_lib import comparison
from vcemo_lib.experiments import BASELINES, TABLE3
from vcemo_lib.paths import repo_data, write_atomically

README = Path(__file__).resolve().parent.parent.parent / "README.md"
START, END = "<!-- results: written by data/build/results.py -->\n", "<!-- end of results -->"
ORDER = {"ablation": list(TABLE3), "compare": list(BASELINES)}  # of an experiment's configs


def stored(name: str) -> pd.DataFrame:
    """The bundled runs of an experiment, one row each, in the order of the paper's tables."""
    table = comparison.read(repo_data() / "expected" / "results" / name)
    if name not in ORDER:
        return table
    return table.sort_values("config", key=lambda configs: configs.map(ORDER[name].index), kind="stable")


def header(*columns: str) -> list[str]:
    """The two lines that open a Markdown table."""
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]


def scores(row: pd.Series, metrics: tuple[str, ...] = ("wa", "ua")) -> str:
    """Cells of a table: a config's mean scores with their intervals, from a row of `comparison.summary`."""
    return " | ".join(f"{row[m, 'mean']:.1%} ({row[m, 'low']:.1%} to {row[m, 'high']:.1%})" for m in metrics)


def difference(runs: pd.DataFrame, a: str, b: str) -> str:
    """Cells of a table: by how much config a is better than b, paired, in WA and UA."""
    points = comparison.compare(runs, a, b).loc[["wa", "ua"], ["difference", "low", "high"]] * 100
    return " | ".join(
        f"{row.difference:+.1f} points ({row.low:+.1f} to {row.high:+.1f})" for row in points.itertuples()
    )


def ablation() -> list[str]:
    """The paper's Table 3, and all modalities against each single one."""
    runs = stored("ablation")
    *_, whole = TABLE3
    lines = header("modalities", "WA", "UA", "weighted F1")
    for config, row in comparison.summary(runs).iterrows():
        lines.append(f"| {config} | {scores(row, ('wa', 'ua', 'f1_weighted'))} |")
    lines += ["", "All three modalities against each single one, paired:", ""]
    lines += header("against", "difference in WA", "in UA")
    lines += [f"| {single} | {difference(runs, whole, single)} |" for single in list(TABLE3)[:3]]
    return [*lines, ""]


def supcon() -> list[str]:
    """SupCon against the ablation's last row, which is without it."""
    *_, whole = TABLE3
    runs = stored("ablation")
    both = pd.concat([runs[runs.config == whole], stored("supcon")])
    lines = ["Supervised contrastive learning (weight alpha) against none, same seeds:", ""]
    lines += header("alpha", "difference in WA", "in UA")
    for config in sorted(set(both.config) - {whole}):
        lines.append(f"| {config.removeprefix('alpha ')} | {difference(both, config, whole)} |")
    return [*lines, ""]


def baselines() -> list[str]:
    """The paper's baselines beside VCEMO, and what its step over them is made of."""
    runs = stored("compare")
    lines = ["The rivals of the paper's Tables 1 and 2, all small and trained alike "
             "(notebook 07; docs/readings.md says what is equal):", ""]  # fmt: skip
    lines += header("model", "WA", "UA", "parameters")
    for config, row in comparison.summary(runs).iterrows():
        lines.append(f"| {config} | {scores(row)} | {row['runs', 'parameters']:,.0f} |")
    *others, same, whole, con = BASELINES
    steps = {f"architecture: over {name}": (same, name) for name in others}
    steps |= {"inputs: BERT as well": (whole, same), "loss: SupCon as well": (con, whole)}
    lines += ["", *header("step", "difference in WA", "in UA")]
    lines += [f"| {step} | {difference(runs, a, b)} |" for step, (a, b) in steps.items()]
    return [*lines, ""]


def benchmarks() -> dict[str, dict[str, Any]]:
    """What `make bench` wrote: name -> figures."""
    files = sorted((repo_data() / "expected" / "bench").glob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def machine_of(figures: dict[str, Any]) -> str:
    """The machine of a benchmark, whatever its load was."""
    machine = figures["machine"]
    size = f"{machine['cores']} cores, {machine['threads']} threads, torch {machine['torch']}"
    return ", ".join(filter(None, [machine["gpu"], machine["processor"], size]))


def speeds() -> list[str]:
    """How much faster than the plain way, by `make bench`: a table for each machine that it ran on."""
    tables: dict[str, list[str]] = {}
    for bench in benchmarks().values():
        if "ratio" in bench:
            row = f"| {bench['what']} | {bench['against']} | {bench['ratio']:.1f} | {bench['note']} |"
            tables.setdefault(machine_of(bench), []).append(row)
    lines: list[str] = []
    for machine, rows in tables.items():
        lines += [f"Speed by `make bench`, as a ratio in one run, on {machine}:", ""]
        lines += ["| what | against | times as fast | |", "|---|---|---|---|", *rows, ""]
    return lines


def encoders() -> list[str]:
    """The bundled text encoders' scores, and whether they came out again in `make bench`."""
    file = repo_data() / "models" / "encoders.json"
    measured = json.loads(file.read_text(encoding="utf-8"))["encoders"]
    lines = ["Bundled text encoders on real Weibo posts (SMP2020, six emotions, 200 labelled posts, ten "
             "draws, frozen, macro-F1):", ""]  # fmt: skip
    lines += header("encoder", "macro-F1")
    lines += [f"| {name} | {f1['macro_f1']:.3f} ± {f1['spread']:.3f} |" for name, f1 in measured.items()]
    lines.append("")
    if again := benchmarks().get("encoders"):
        where = f"Measured again by `make bench` on {machine_of(again)}"
        lines += [f"{where}: at most {again['moved']:.3f} away.", ""]
    return lines


def section() -> str:
    """The section's text."""
    about = json.loads((repo_data() / "vcemo_sim" / "about.json").read_text(encoding="utf-8"))
    prosody = about["prosody_within_human_spread"]
    lines = [
        f"On VCEMO-Sim (*simulated*; six classes; test part: {about['split_counts']['test']} utterances by "
        "20 speakers whom the model never heard, saying sentences it never read), tutorial-size model, "
        f"{stored('ablation').seed.nunique()} seeds, without SupCon; 95 % intervals from resampled speakers:",
        "",
        *ablation(),
        *supcon(),
        *baselines(),
        f"Whisper base on it: CER {about['cer_whisper_base']['all']:.1%} (after sifting; "
        f"{about['sifted']['cer_before']:.1%} before). Prosody of the finished sound: {prosody['inside']} of "
        f"{prosody['of']} shifts within one human between-speaker spread.",
        "",
        *encoders(),
        *speeds(),
    ]
    return "\n".join(lines)


def main() -> None:
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(START)
    write_atomically(README, before + START + section() + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
