"""README's results, number by number, from the bundled result files: `vcemo results` prints them.

The text around them is `results.md`; `data/build/results.py` writes both into README.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from vcemo_lib import comparison, experiments
from vcemo_lib.course.sweeps import beside_line
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import repo_data


def section() -> str:
    """The results as Markdown. Raises VcemoError where a bundled file is missing or damaged."""
    try:
        text = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")
        return text.format(**_cells())
    except (LookupError, TypeError, ValueError, AttributeError, OSError) as error:
        what = f"a result file is missing or damaged ({type(error).__name__}: {' '.join(str(error).split())})"
        raise VcemoError(what, where=repo_data(), do="restore it with git checkout") from error


def stored(name: str) -> pd.DataFrame:
    """The bundled runs of an experiment, one row each, in the order of the paper's Table 3."""
    table = comparison.read(repo_data() / "expected" / "results" / name)
    table3 = list(experiments.TABLE3)
    orders = {"ablation": table3, "line": table3, "compare": list(experiments.BASELINES)}
    order = orders.get(name, sorted(set(table.config)))
    return table.sort_values("config", key=lambda config: config.map(order.index), kind="stable")


def benchmarks() -> dict[str, dict[str, Any]]:
    """What `make bench` wrote: name -> figures."""
    files = sorted((repo_data() / "expected" / "bench").glob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def _cells() -> dict[str, Any]:
    """What stands in the gaps of `results.md`."""
    ablation, supcon, compared = (stored(name) for name in ("ablation", "supcon", "compare"))
    summary, bench = comparison.summary(ablation), benchmarks()
    about = json.loads((repo_data() / "vcemo_sim" / "about.json").read_text(encoding="utf-8"))
    encoders = json.loads((repo_data() / "models" / "encoders.json").read_text(encoding="utf-8"))["encoders"]
    *singles, whole = [*experiments.TABLE3][:3] + [*experiments.TABLE3][-1:]
    supcon = pd.concat([ablation[ablation.config == whole], supcon])
    beside = beside_line(ablation, stored("line"))
    found = comparison.summary(beside[beside.config.str.startswith("line: ")])
    return {
        "test": about["split_counts"]["test"], "seeds": int(summary["runs", "seeds"].min()),
        "modalities": _rows((c, *_scores(row, "wa", "ua", "f1_weighted")) for c, row in summary.iterrows()),
        "singles": _rows((single, *_difference(ablation, whole, single)) for single in singles),
        "verdict": verdict([comparison.compare(beside, c, f"line: {c}").loc["ua"] for c in summary.index]),
        "line": _rows((c, *_scores(row, "wa", "ua"), *_difference(beside, c, f"line: {c}"))
                      for c, row in found.rename(index=lambda c: c.removeprefix("line: ")).iterrows()),
        "supcon": _rows((c.removeprefix("alpha "), *_difference(supcon, c, whole))
                        for c in sorted({*supcon.config} - {whole})),
        "baselines": _rows((c, *_scores(row, "wa", "ua"), f"{row['runs', 'parameters']:,.0f}")
                           for c, row in comparison.summary(compared).iterrows()),
        "steps": _rows((step, *_difference(compared, *pair)) for step, pair in one_change().items()),
        "cer": about["cer_whisper_base"]["all"], "cer_before": about["sifted"]["cer_before"],
        **about["prosody_within_human_spread"],
        "encoders": _rows((n, f"{f['macro_f1']:.3f} ± {f['spread']:.3f}") for n, f in encoders.items()),
        "machine": _machine(bench["encoders"]), "moved": bench["encoders"]["moved"],
        "speeds": _speeds([one for one in bench.values() if "ratio" in one]),
    }  # fmt: skip


def _rows(rows: Any) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _scores(row: pd.Series, *metrics: str) -> list[str]:
    """A config's mean scores with their intervals, from a row of `comparison.summary`."""
    return ["{mean:.1%} ({low:.1%} to {high:.1%})".format(**row[metric]) for metric in metrics]


def _difference(runs: pd.DataFrame, a: str, b: str) -> list[str]:
    """By how much config a is better than config b, paired, in WA and UA."""
    paired = 100 * comparison.compare(runs, a, b).loc[["wa", "ua"], ["difference", "low", "high"]]
    cell = "{difference:+.1f} points ({low:+.1f} to {high:+.1f})".format
    return [cell(**row) for row in paired.to_dict("records")]


def one_change() -> dict[str, tuple[str, str]]:
    """What differs between two of the runs in "compare", one thing at a time: question -> the two configs."""
    rivals = [name for name, (model, _) in experiments.BASELINES.items() if model != "vcemo"]
    two, with_statistics = "VCEMO, audio and words", "VCEMO, with statistics"
    return {f"architecture: over {name}": (two, name) for name in rivals} | {
        "guide: final over same depth, in VCEMO": (two, "VCEMO, same-depth guide"),
        "guide: final over same depth, in UMONS": ("UMONS, final guide", "UMONS 2020"),
        "length: 32 steps over 8": ("VCEMO, 32 steps", two),
        "statistics of the clip as well": (with_statistics, two),
        "inputs: BERT as well": ("VCEMO", with_statistics),
        "loss: SupCon as well": ("VCEMO + SupCon", "VCEMO"),
    }


def verdict(tests: list[pd.Series]) -> str:
    """For how many inputs the network is shown to be better or worse than the line."""
    better, worse = sum(row.low > 0 for row in tests), sum(row.high < 0 for row in tests)
    told = f"Of {len(tests)} choices of inputs the network is shown to be better in UA for {better}, "
    return f"{told}worse for {worse}; for {len(tests) - better - worse} neither is shown."


def _machine(benchmark: dict[str, Any]) -> str:
    machine = benchmark["machine"]
    cores = f"{machine['cores']} cores, {machine['threads']} threads, torch {machine['torch']}"
    return ", ".join(filter(None, [machine["gpu"], machine["processor"], cores]))


def _speeds(found: list[dict[str, Any]]) -> str:
    """A table for each machine."""
    head, tables = "| what | against | times as fast | |\n|---|---|---|---|\n", []
    for machine in dict.fromkeys(map(_machine, found)):
        own = [one for one in found if _machine(one) == machine]
        rows = _rows((one["what"], one["against"], f"{one['ratio']:.1f}", one["note"]) for one in own)
        tables.append(f"Speed by `make bench`, as a ratio in one run, on {machine}:\n\n{head}{rows}")
    return "\n\n".join(tables)
