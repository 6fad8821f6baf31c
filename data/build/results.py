"""Write README's results section from the result files: `python data/build/results.py`."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from vcemo_lib import experiments
from vcemo_lib.paths import repo_data, write_atomically

README = Path(__file__).resolve().parent.parent.parent / "README.md"
START, END = "<!-- results: written by data/build/results.py -->\n", "<!-- end of results -->"


def stored(name: str) -> pd.DataFrame:
    """The bundled runs of an experiment, one row each, in the order of the paper's Table 3."""
    folder = repo_data() / "expected" / "results" / name
    table = experiments.read(folder)
    order = {config: i for i, config in enumerate(experiments.TABLE3)}
    return table.sort_values(
        ["config", "seed"], key=lambda c: c.map(order) if c.name == "config" and name == "ablation" else c
    )


def scores(row: pd.Series, metrics: tuple[str, ...]) -> str:
    """Cells of a table: a config's mean scores with their intervals, from a row of `experiments.summary`."""
    return " | ".join(f"{row[m, 'mean']:.1%} ({row[m, 'low']:.1%} to {row[m, 'high']:.1%})" for m in metrics)


def difference(runs: pd.DataFrame, a: str, b: str) -> str:
    """Cells of a table: by how much config a is better than b, paired, in WA and UA."""
    paired = experiments.compare(runs, a, b)
    return " | ".join(
        f"{paired.difference[m] * 100:+.1f} points ({paired.low[m] * 100:+.1f} to {paired.high[m] * 100:+.1f})"
        for m in ("wa", "ua")
    )


def rivals() -> list[str]:
    """The paper's baselines beside VCEMO, and what its step over them is made of; nothing before they have run."""
    if not any((repo_data() / "expected" / "results" / "compare").glob("*.json")):
        return []
    runs = stored("compare").sort_values(
        "config", key=lambda c: c.map(list(experiments.PEERS).index), kind="stable"
    )
    lines = [
        "The rivals of the paper's Tables 1 and 2, all small and trained alike (notebook 07; docs/readings.md says what is equal):",
        "",
        "| model | WA | UA | parameters |",
        "|---|---|---|---|",
    ]
    for config, row in experiments.summary(runs).iterrows():
        lines.append(f"| {config} | {scores(row, ('wa', 'ua'))} | {row['runs', 'parameters']:,.0f} |")
    lines += ["", "| step | difference in WA | in UA |", "|---|---|---|"]
    same, whole, con = list(experiments.PEERS)[-3:]
    steps = {
        f"architecture: over {name}": (same, name)
        for name, (model, _) in experiments.PEERS.items()
        if model != "vcemo"
    }
    for step, (a, b) in (
        steps | {"inputs: BERT as well": (whole, same), "loss: SupCon as well": (con, whole)}
    ).items():
        lines.append(f"| {step} | {difference(runs, a, b)} |")
    return [*lines, ""]


def benchmarks() -> dict[str, dict]:
    """What `make bench` wrote: name -> figures."""
    files = sorted((repo_data() / "expected" / "bench").glob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def machine_of(one: dict) -> str:
    """The machine of a benchmark, whatever its load was."""
    machine = one["machine"]
    parts = [
        machine["gpu"],
        machine["processor"],
        f"{machine['cores']} cores, {machine['threads']} threads, torch {machine['torch']}",
    ]
    return ", ".join(filter(None, parts))


def speeds() -> list[str]:
    """How much faster than the plain way, by `make bench`: a table for each machine that it ran on."""
    tables: dict[str, list[str]] = {}
    for one in benchmarks().values():
        if "ratio" in one:
            row = f"| {one['what']} | {one['against']} | {one['ratio']:.1f} | {one['note']} |"
            tables.setdefault(machine_of(one), []).append(row)
    lines: list[str] = []
    for machine, rows in tables.items():
        lines += [f"Speed by `make bench`, as a ratio in one run, on {machine}:", ""]
        lines += ["| what | against | times as fast | |", "|---|---|---|---|", *rows, ""]
    return lines


def again_lines() -> list[str]:
    """Whether the encoders' figures came out again in `make bench`."""
    one = benchmarks().get("encoders")
    return (
        [f"Measured again by `make bench` on {machine_of(one)}: at most {one['moved']:.3f} away.", ""]
        if one
        else []
    )


def section() -> str:
    """The section's text."""
    data = repo_data()
    about = json.loads((data / "vcemo_sim" / "about.json").read_text(encoding="utf-8"))
    encoders = json.loads((data / "models" / "encoders.json").read_text(encoding="utf-8"))
    runs = stored("ablation")
    rows = experiments.summary(runs)
    whole = list(experiments.TABLE3)[-1]
    lines = [
        f"On VCEMO-Sim (*simulated*; six classes; test part: {about['split_counts']['test']} utterances by 20 speakers whom the model never "
        f"heard, saying sentences it never read), tutorial-size model, {int(rows['runs', 'seeds'].min())} seeds, without SupCon; "
        "95 % intervals from resampled speakers:",
        "",
        "| modalities | WA | UA | weighted F1 |",
        "|---|---|---|---|",
    ]
    for config, row in rows.iterrows():
        lines.append(f"| {config} | {scores(row, ('wa', 'ua', 'f1_weighted'))} |")
    lines += [
        "",
        "All three modalities against each single one, paired:",
        "",
        "| against | difference in WA | in UA |",
        "|---|---|---|",
    ]
    for single in list(experiments.TABLE3)[:3]:
        lines.append(f"| {single} | {difference(runs, whole, single)} |")
    both = pd.concat([runs[runs.config == whole], stored("supcon")])
    lines += [
        "",
        "Supervised contrastive learning (weight alpha) against none, same seeds:",
        "",
        "| alpha | difference in WA | in UA |",
        "|---|---|---|",
    ]
    for config in sorted(set(both.config) - {whole}):
        lines.append(f"| {config.removeprefix('alpha ')} | {difference(both, config, whole)} |")
    lines += [
        "",
        *rivals(),
        f"Whisper base on it: CER {about['cer_whisper_base']['all']:.1%} (after sifting; {about['sifted']['cer_before']:.1%} before). Prosody of the "
        f"finished sound: {about['prosody_within_human_spread']['inside']} of {about['prosody_within_human_spread']['of']} shifts within one human "
        "between-speaker spread.",
        "",
        "Bundled text encoders on real Weibo posts (SMP2020, six emotions, 200 labelled posts, ten draws, frozen, macro-F1):",
        "",
        "| encoder | macro-F1 |",
        "|---|---|",
        *[
            f"| {name} | {value['macro_f1']:.3f} ± {value['spread']:.3f} |"
            for name, value in encoders["encoders"].items()
        ],
        "",
        *again_lines(),
        *speeds(),
    ]
    return "\n".join(lines)


def main() -> None:
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(START)
    write_atomically(README, before + START + section() + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
