"""Write the results of README.md and README.zh.md from the result files: `python data/build/results.py`."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from vcemo_lib import comparison, experiments
from vcemo_lib.paths import repo_data, write_atomically

ROOT = Path(__file__).resolve().parent.parent.parent
PHRASES = Path(__file__).with_name("results_zh.json")  # English -> Chinese, in the order of replacement
START, END = "<!-- results: written by data/build/results.py -->\n", "<!-- end of results -->"


def stored(name: str) -> pd.DataFrame:
    """The bundled runs of an experiment, one row each, in the order of the paper's Table 3."""
    folder = repo_data() / "expected" / "results" / name
    table = comparison.read(folder)
    orders = {"ablation": list(experiments.TABLE3), "compare": list(experiments.BASELINES)}
    order = orders.get(name, sorted(set(table.config)))
    return table.sort_values("config", key=lambda config: config.map(order.index), kind="stable")


def scores(row: pd.Series, metrics: tuple[str, ...]) -> str:
    """Cells of a table: a config's mean scores with their intervals, from a row of `comparison.summary`."""
    cell = "{mean:.1%} ({low:.1%} to {high:.1%})".format
    return " | ".join(cell(**row[m]) for m in metrics)


def difference(runs: pd.DataFrame, a: str, b: str) -> str:
    """Cells of a table: by how much config a is better than b, paired, in WA and UA."""
    paired = 100 * comparison.compare(runs, a, b).loc[["wa", "ua"], ["difference", "low", "high"]]
    cell = "{difference:+.1f} points ({low:+.1f} to {high:+.1f})".format
    return " | ".join(cell(**row) for row in paired.to_dict("records"))


def baselines() -> list[str]:
    """The paper's baselines beside VCEMO, and what its step over them is made of."""
    runs = stored("compare")
    lines = [
        "The baselines of the paper's Tables 1 and 2, all small and trained alike (notebook 07; "
        "docs/readings.md says what is equal):",
        "",
        "| model | WA | UA | parameters |",
        "|---|---|---|---|",
    ]
    for config, row in comparison.summary(runs).iterrows():
        lines.append(f"| {config} | {scores(row, ('wa', 'ua'))} | {row['runs', 'parameters']:,.0f} |")
    lines += ["", "| step | difference in WA | in UA |", "|---|---|---|"]
    *others, same, whole, con = experiments.BASELINES
    steps = {f"architecture: over {name}": (same, name) for name in others}
    steps |= {"inputs: BERT as well": (whole, same), "loss: SupCon as well": (con, whole)}
    for step, (a, b) in steps.items():
        lines.append(f"| {step} | {difference(runs, a, b)} |")
    return [*lines, ""]


def benchmarks() -> dict[str, dict]:
    """What `make bench` wrote: name -> figures."""
    files = sorted((repo_data() / "expected" / "bench").glob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def machine_of(benchmark: dict) -> str:
    """The machine of a benchmark, whatever its load was."""
    machine = benchmark["machine"]
    cores = f"{machine['cores']} cores, {machine['threads']} threads, torch {machine['torch']}"
    return ", ".join(filter(None, [machine["gpu"], machine["processor"], cores]))


def speeds() -> list[str]:
    """What `make bench` found to be how much faster than the plain way: a table for each machine."""
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
    if not (found := benchmarks().get("encoders")):
        return []
    return [f"Measured again by `make bench` on {machine_of(found)}: at most {found['moved']:.3f} away.", ""]


def section() -> str:
    """The section's text."""
    data = repo_data()
    about = json.loads((data / "vcemo_sim" / "about.json").read_text(encoding="utf-8"))
    prosody = about["prosody_within_human_spread"]
    encoders = json.loads((data / "models" / "encoders.json").read_text(encoding="utf-8"))["encoders"]
    runs = stored("ablation")
    rows = comparison.summary(runs)
    whole = list(experiments.TABLE3)[-1]
    lines = [
        f"On VCEMO-Sim (*simulated*; six classes; test part: {about['split_counts']['test']} utterances by 20"
        " speakers whom the model never heard, saying sentences it never read), tutorial-size model, "
        f"{int(rows['runs', 'seeds'].min())} seeds, without SupCon; 95 % intervals over speakers and seeds "
        "(docs/statistics.md):",
        "",
        "| modalities | WA | UA | weighted F1 |",
        "|---|---|---|---|",
    ]
    for config, row in rows.iterrows():
        lines.append(f"| {config} | {scores(row, ('wa', 'ua', 'f1_weighted'))} |")
    lines += ["", "All three modalities against each single one, paired:", ""]
    lines += ["| against | difference in WA | in UA |", "|---|---|---|"]
    for single in list(experiments.TABLE3)[:3]:
        lines.append(f"| {single} | {difference(runs, whole, single)} |")
    both = pd.concat([runs[runs.config == whole], stored("supcon")])
    lines += ["", "Supervised contrastive learning (weight alpha) against none, same seeds:", ""]
    lines += ["| alpha | difference in WA | in UA |", "|---|---|---|"]
    for config in sorted(set(both.config) - {whole}):
        lines.append(f"| {config.removeprefix('alpha ')} | {difference(both, config, whole)} |")
    lines += [
        "",
        *baselines(),
        f"Whisper base on it: CER {about['cer_whisper_base']['all']:.1%} (after sifting; "
        f"{about['sifted']['cer_before']:.1%} before). Prosody of the finished sound: {prosody['inside']} of "
        f"{prosody['of']} shifts within one human between-speaker spread.",
        "",
        "Bundled text encoders on real Weibo posts (SMP2020, six emotions, 200 labelled posts, ten draws,"
        " frozen, macro-F1):",
        "",
        "| encoder | macro-F1 |",
        "|---|---|",
        *[f"| {name} | {f['macro_f1']:.3f} ± {f['spread']:.3f} |" for name, f in encoders.items()],
        "",
        *again_lines(),
        *speeds(),
    ]
    return "\n".join(lines)


def in_chinese(text: str) -> str:
    """The section for README.zh.md: numbers stay, every phrase of PHRASES is replaced, in its order."""
    for english, chinese in json.loads(PHRASES.read_text(encoding="utf-8")).items():
        if english not in text:
            raise SystemExit(f"{PHRASES.name}: the section no longer says {english!r}")
        text = text.replace(english, chinese)
    return text


def main() -> None:
    english = section()
    for page, text in {"README.md": english, "README.zh.md": in_chinese(english)}.items():
        before, rest = (ROOT / page).read_text(encoding="utf-8").split(START)
        write_atomically(ROOT / page, before + START + text + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
