"""Experiments as data: many settings, many seeds, one tidy table. Every finished run is one JSON file.

A sweep that is killed goes on with the runs that have no file yet. Runs are independent, so they may share
the machine's cores, or a Dask cluster (docs/cluster.md): joblib hands them out.

>>> table = ablate(store, parts, out="build/ablation", seeds=range(3), workers=2)
>>> summary(table)
>>> compare(table, "Embeddings + Acoustic", "Acoustic")
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vcemo_lib.errors import VcemoError
from vcemo_lib.evaluation import METRICS, bootstrap, from_counts, interval, paired_bootstrap
from vcemo_lib.models.settings import Settings, tutorial
from vcemo_lib.paths import write_atomically

if TYPE_CHECKING:
    import pandas as pd

Config = Settings | tuple[str, Settings]  # settings of the paper's model, or (model name, settings)

TABLE3: dict[str, tuple[str, ...]] = {  # the paper's Table 3, in its order and words
    "Embeddings": ("words",),
    "BERT": ("bert",),
    "Acoustic": ("audio",),
    "Embeddings + BERT": ("words", "bert"),
    "Embeddings + Acoustic": ("audio", "words"),
    "BERT + Acoustic": ("audio", "bert"),
    "Embeddings + BERT + Acoustic": ("audio", "words", "bert"),
}

PEERS: dict[str, tuple[str, dict[str, Any]]] = {  # the paper's Tables 1 and 2: name -> model, and what differs from its settings
    "Xu 2019": ("xu", {}),
    "Yoon 2018 (MDRE)": ("mdre", {}),
    "Yoon 2019 (MHA-2)": ("yoon", {}),
    "UMONS 2020": ("umons", {}),
    "CME 2021": ("cme", {}),
    "VCEMO, audio and words": ("vcemo", {"modalities": ("audio", "words"), "alpha": 0.0}),  # reads what the others read
    "VCEMO": ("vcemo", {"alpha": 0.0}),
    "VCEMO + SupCon": ("vcemo", {}),
}

SUPCON: dict[str, dict[str, Any]] = {  # training without SupCon and with it: name -> what differs from the settings (sections 3.4, 3.5)
    "alpha 0": {"alpha": 0.0},
    "alpha 0.1": {"alpha": 0.1},  # the paper's on VCEMO
    "alpha 1": {"alpha": 1.0},
    "alpha 0.1, queue": {"alpha": 0.1, "queue": 1024, "momentum": 0.99},  # at 0.999 a short run would leave the slow copy at its random start
    "alpha 0.1, two views": {"alpha": 0.1, "views": 2},
}
DIALLED = ("alpha 0", "alpha 1")  # of SUPCON, compared on each of `corpora.sim.dials`: SupCon with as much weight as cross-entropy


def run(
    configs: Mapping[str, Config],
    store: Any,
    parts: Mapping[str, Any],
    out: Path | str,
    seeds: Iterable[int] = (0, 1, 2),
    workers: int | None = 1,
    keep_models: bool = False,
    progress: bool = True,
    dask: str | None = None,
) -> pd.DataFrame:
    """Train every config with every seed and score it on the test part, or read what an earlier call left in `out`.

    workers      1: one after the other, each with all cores. More: that many processes with one thread each, which
                 for small models is faster. None: whatever `joblib.parallel_config` says.
    keep_models  keep each run's checkpoint too (`out/<file name>/run.safetensors`), and resume within a run
    dask         the address of a Dask scheduler, "tcp://host:8786": its workers train, one run each at a time, and a
                 run whose worker dies is done again by another. Features and checkpoints are read and written where
                 the worker is, so cache and `out` must be on a disk that all see; results come back by the network.

    One row a run: config, model, seed, wa, ua, f1_weighted, f1_macro, val_... of the same, best_epoch, epochs,
    seconds, parameters, file. A run is known by its model, settings, seed, data and features: change any, and it is
    another run.
    """
    import pandas as pd
    from joblib import Parallel, delayed
    from tqdm.auto import tqdm

    if "test" not in parts:
        raise VcemoError("no test part to score on", where="experiments.run", do="give parts with 'train', 'val' and 'test'")
    about = {"parts": {name: part.fingerprint() for name, part in parts.items()},
             "features": _described(store)}  # fmt: skip
    jobs = []
    for config, given in configs.items():
        model, settings = given if isinstance(given, tuple) else ("vcemo", given)
        for seed in seeds:
            fact = {"config": config, "model": model, "seed": int(seed), "settings": settings.as_dict(), **about}
            jobs.append((fact, Path(out) / f"{_file_name(fact)}.json"))
    waiting = [(fact, path) for fact, path in jobs if not path.exists()]
    apart = bool(dask) or workers != 1
    tasks = [delayed(_one)(fact, path.absolute(), store, parts, keep_models, apart) for fact, path in waiting]
    with _workers(workers, dask) if tasks else nullcontext():
        if apart and tasks:
            done: Iterable = Parallel(return_as="generator_unordered", batch_size=1)(tasks)
        else:
            done = (function(*args) for function, args, _ in tasks)
        for path, result in tqdm(done, "runs", len(jobs), initial=len(jobs) - len(waiting), leave=False, disable=not progress):
            write_atomically(path, json.dumps(result, ensure_ascii=False))  # at once: a killed sweep keeps what is done
    return pd.DataFrame([_row(path) for _, path in jobs])


def ablate(
    store: Any,
    parts: Mapping[str, Any],
    out: Path | str,
    seeds: Iterable[int] = (0, 1, 2),
    settings: Settings | None = None,
    workers: int | None = 1,
    progress: bool = True,
    dask: str | None = None,
) -> pd.DataFrame:
    """Re-run the paper's Table 3: seven choices of modalities, without SupCon as there (section 4.4)."""
    settings = settings or tutorial(classes=len(parts["train"].labels), alpha=0.0, bert_width=store.width("bert"))
    configs = {name: settings.but(modalities=modalities) for name, modalities in TABLE3.items()}
    return run(configs, store, parts, out, seeds, workers, progress=progress, dask=dask)


def peers(
    store: Any,
    parts: Mapping[str, Any],
    out: Path | str,
    seeds: Iterable[int] = (0, 1, 2),
    workers: int | None = 1,
    size: str = "tutorial",
    names: Iterable[str] | None = None,
    progress: bool = True,
    dask: str | None = None,
    **changes: Any,
) -> pd.DataFrame:
    """Re-run the paper's Tables 1 and 2 (section 4.3): every rival and VCEMO, on the same parts, features and loop.

    store    with the kinds "mel", "words", "bert" and "word_spans"
    size     "tutorial": all small and trained alike, so that only the architectures differ; "paper": VCEMO as in `paper()`
             and each rival as its authors published it
    names    some of `PEERS`; all by default
    changes  settings that all get, epochs for one
    """
    configs = peer_configs(store, len(parts["train"].labels), size, names, **changes)
    return run(configs, store, parts, out, seeds, workers, progress=progress, dask=dask)


def peer_configs(store: Any, classes: int, size: str = "tutorial", names: Iterable[str] | None = None, **changes: Any) -> dict[str, Config]:
    """Name -> (model, settings) of each of `PEERS`, as `run` wants them."""
    from vcemo_lib.models import settings_for

    chosen = {name: PEERS[name] for name in names or PEERS if name in PEERS}
    if unknown := set(names or ()) - set(chosen):
        raise VcemoError(f"no peer is called {', '.join(sorted(unknown))}", do=f"choose among {', '.join(PEERS)}")
    common = {"bert_width": store.width("bert"), "acoustic": "mel"} | changes  # the paper's input, and the one that all can read
    return {name: (model, settings_for(model, size, classes, **different | common)) for name, (model, different) in chosen.items()}


def over_dials(
    store: Any,
    dials: Mapping[str, Mapping[str, Any]],
    out: Path | str,
    seeds: Iterable[int] = (0, 1, 2),
    settings: Settings | None = None,
    workers: int | None = 1,
    progress: bool = True,
) -> pd.DataFrame:
    """Train without and with SupCon (`DIALLED`) on every setting of the dials (`corpora.sim.dials`): configs "setting, alpha".

    These training parts are small, so by default each run goes through its part twice as often as `tutorial()` does.
    """
    import pandas as pd

    if settings is None:
        settings = tutorial(bert_width=store.width("bert"))
        settings = settings.but(epochs=2 * settings.epochs, patience=2 * settings.patience)
    seeds = tuple(seeds)
    tables = []
    for name, parts in dials.items():
        configs = {f"{name}, {of}": settings.but(**SUPCON[of]) for of in DIALLED}
        tables.append(run(configs, store, parts, out, seeds, workers, progress=progress))
    return pd.concat(tables, ignore_index=True)


def summary(table: pd.DataFrame, metrics: Sequence[str] = ("wa", "ua", "f1_weighted"), n: int = 2000) -> pd.DataFrame:
    """One row a config, in the table's order: for each metric the mean over seeds and a 95 % interval.

    The interval is of resampled test speakers, all seeds of a speaker together: what another test set of as many
    speakers would give. `sd` is the spread between seeds alone, what another start of training would give.
    Columns: (metric, mean | low | high | sd), seeds, parameters, seconds (mean of a run).
    """
    import pandas as pd

    rows = {}
    for config, runs in table.groupby("config", sort=False):
        y, said, groups, classes = _pooled(runs)
        interval = bootstrap(y, said, groups, n, classes=classes)
        row: dict[tuple[str, str], float] = {}
        for m in metrics:
            row[m, "mean"], row[m, "low"], row[m, "high"] = runs[m].mean(), interval.low[m], interval.high[m]
            row[m, "sd"] = runs[m].std()
        row |= {("runs", "seeds"): len(runs), ("runs", "parameters"): runs.parameters.iloc[0], ("runs", "seconds"): runs.seconds.mean()}
        rows[config] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("config")


def compare(table: pd.DataFrame, a: str, b: str, n: int = 2000) -> pd.DataFrame:
    """Is config a better than config b? Paired bootstrap over speakers, their common seeds pooled.

    Rows: metrics; columns: a, b, difference, low, high, p (see `evaluation.paired_bootstrap`).
    """
    y, (said_a, said_b), groups, classes = _side_by_side(table, (a, b))
    return paired_bootstrap(y, said_a, said_b, groups, n, classes=classes)


def compare_gains(table: pd.DataFrame, first: tuple[str, str], second: tuple[str, str], metric: str = "ua", n: int = 1000) -> dict[str, float]:
    """Is the gain of one pair of configs (a over b) larger than that of another? {"value", "low", "high"} of gain minus gain.

    All four are scored on the same resampled speakers, the seeds that all have pooled.
    """
    y, answers, speakers, classes = _side_by_side(table, (*first, *second))
    cells = [y * classes + said for said in answers]  # (N,) each

    def gain_over_gain(rows: np.ndarray) -> float:
        a, b, c, d = (from_counts(np.bincount(one[rows], minlength=classes**2).reshape(classes, classes))[metric] for one in cells)
        return float((a - b) - (c - d))

    return interval(gain_over_gain, speakers, n)


def all_pairs(table: pd.DataFrame, metric: str = "ua", n: int = 2000) -> pd.DataFrame:
    """Every config against every other by `compare`, best first: a, b, difference, low, high, p and p_holm.

    Of many tests some come out small by chance; `p_holm` (Holm 1979) is what p must be judged by when all are looked at.
    """
    import pandas as pd

    order = table.groupby("config")[metric].mean().sort_values(ascending=False).index
    pairs = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :]]
    found = pd.DataFrame([{"a": a, "b": b, **compare(table, a, b, n).loc[metric, ["difference", "low", "high", "p"]]} for a, b in pairs])
    by_p = found.p.sort_values(kind="stable")
    holm = (by_p * np.arange(len(by_p), 0, -1)).cummax().clip(upper=1.0)  # the smallest p pays for all tests, the next for one less
    return found.assign(p_holm=holm)


def read(folder: Path | str) -> pd.DataFrame:
    """The table of the runs that lie in a folder, whoever made them: by config in the order of their files, by seed."""
    import pandas as pd

    if not (files := sorted(Path(folder).glob("*.json"))):
        raise VcemoError("no results of runs", where=Path(folder), do="run the experiment, or name another folder")
    return pd.DataFrame([_row(file) for file in files]).sort_values(["config", "seed"], ignore_index=True)


def facts(file: Path | str) -> dict[str, Any]:
    """All that is known of one run: settings, data, features, scores, machine, predictions."""
    return json.loads(Path(file).read_text(encoding="utf-8"))


def predictions(file: Path | str) -> dict[str, Any]:
    """What one run said about the test part: ids, speakers, classes, y_true, y_pred."""
    return facts(file)["predictions"]


def answers(table: pd.DataFrame) -> pd.DataFrame:
    """Every answer of every run, a row each: config, seed, utt_id, speaker, emotion, predicted, right."""
    import pandas as pd

    rows = []
    for config, seed, file in zip(table.config, table.seed, table.file, strict=True):
        said = predictions(file)
        name = np.asarray(said["classes"])
        one = {"utt_id": said["ids"], "speaker": said["speakers"], "emotion": name[said["y_true"]], "predicted": name[said["y_pred"]]}
        rows.append(pd.DataFrame({"config": config, "seed": seed} | one))
    return pd.concat(rows, ignore_index=True).assign(right=lambda said: said.emotion == said.predicted)


def paired(said: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """The answers of two configs beside each other: utt_id, seed, speaker, a and b (right or not), difference (a - b)."""
    keys = ["utt_id", "seed"]
    of_a, of_b = (said[said.config == name].set_index(keys) for name in (a, b))
    both = of_a[["speaker", "right"]].rename(columns={"right": "a"}).join(of_b.right.rename("b"), how="inner")
    return both.assign(difference=both.a.astype(float) - both.b).reset_index()


def gain_by(said: pd.DataFrame, a: str, b: str, kinds: pd.Series, n: int = 1000) -> pd.DataFrame:
    """Where is config a better than b? The share of right answers of both on each kind of utterance.

    said   what `answers` gives; seeds that both have are pooled
    kinds  utt_id -> kind; utterances without one are left out
    One row a kind: utterances, a, b, difference, and its 95 % interval low, high from resampled speakers.
    """
    import pandas as pd

    both = paired(said, a, b).assign(kind=lambda one: one.utt_id.map(kinds)).dropna(subset="kind")
    rows = {}
    for kind, part in both.groupby("kind"):
        difference = part.difference.to_numpy()
        found = interval(lambda rows, d=difference: d[rows].mean(), part.speaker, n)
        rows[kind] = {"utterances": part.utt_id.nunique(), "a": part.a.mean(), "b": part.b.mean(),
                      "difference": found["value"], "low": found["low"], "high": found["high"]}  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(kinds.name)


def agreement(live: pd.DataFrame, stored: pd.DataFrame, metrics: Sequence[str] = ("wa", "ua")) -> pd.DataFrame:
    """Do runs made here land where runs of the same configs, made earlier, say they should?

    Both have columns config, seed and the metrics. One row a live run and metric: live, stored (the same seed's),
    and low, high: where one further run falls 95 times in 100, if seeds scatter as the stored ones do (Student's
    prediction interval; with few seeds it is wide). inside: whether the live one does.
    """
    import pandas as pd
    from scipy.stats import t

    rows = []
    for run in live.to_dict("records"):
        others = stored[stored.config == run["config"]]
        if len(others) < 2:
            raise VcemoError(f"{len(others)} stored run(s) of {run['config']!r}", do="store two at least")
        for m in metrics:
            values, same = others[m].to_numpy(), others[m][others.seed == run["seed"]]
            half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) * (1 + 1 / len(values)) ** 0.5
            low, high = values.mean() - half, values.mean() + half
            rows.append({"config": run["config"], "seed": run["seed"], "metric": m, "live": run[m],
                         "stored": same.iloc[0] if len(same) else float("nan"), "low": low, "high": high,
                         "inside": bool(low <= run[m] <= high)})  # fmt: skip
    return pd.DataFrame(rows)


@contextmanager
def _workers(count: int | None, dask: str | None) -> Iterator[None]:
    """Inside it, joblib's `Parallel` uses so many processes, or the workers of a Dask cluster."""
    from joblib import parallel_config

    if not dask:
        with nullcontext() if count in (1, None) else parallel_config(backend="loky", n_jobs=count, inner_max_num_threads=1):
            yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise VcemoError("Dask is not installed", do="pip install 'vcemo-lib[cluster]'") from error
    try:
        client = Client(dask, timeout=30, set_as_default=False)
    except (OSError, ValueError) as error:
        raise VcemoError(f"no Dask scheduler answers: {error}", where=dask, do="start one, or correct the address") from error
    with client:
        if crowded := {threads for threads in client.nthreads().values() if threads > 1}:
            # Runs in threads of one process would share torch's random numbers, and no result could be had again.
            raise VcemoError(f"Dask workers with {max(crowded)} threads", where=dask, do="start them with --nthreads 1, as many as there are cores or GPUs")
        with parallel_config(backend="dask", client=client, wait_for_workers_timeout=3600):  # a queue may let one wait
            yield


def _one(
    fact: dict[str, Any], path: Path, store: Any, parts: Mapping[str, Any], keep: bool, alone: bool
) -> tuple[Path, dict[str, Any]]:
    """Train and score one run, for the file at `path`. In a process of its own it keeps to one thread."""
    import torch

    from vcemo_lib import __version__
    from vcemo_lib.models import build, parameters
    from vcemo_lib.training import device, fit

    if alone:
        torch.set_num_threads(1)
    settings = Settings.from_dict(fact["settings"])
    model = build(fact["model"], settings, seed=fact["seed"])
    result = fit(model, store, parts, seed=fact["seed"], out=path.with_suffix("") if keep else None, progress=False)
    test, val = result.predict(parts["test"]), result.history.loc[result.best_epoch]
    done = fact | {
        "scores": test.scores(),
        "val": {m: float(val[f"val_{m}"]) for m in METRICS},
        "best_epoch": result.best_epoch,
        "epochs": len(result.history),
        "seconds": result.seconds,
        "parameters": parameters(model),
        "machine": {"device": _device_name(device()), "processor": platform.machine(), "cores": os.cpu_count(),
                    "threads": torch.get_num_threads(), "torch": torch.__version__,
                    "python": platform.python_version(), "numpy": np.__version__, "vcemo_lib": __version__,
                    "date": datetime.now(UTC).isoformat(timespec="seconds")},
        "predictions": {
            "ids": test.ids, "speakers": test.speakers.tolist(), "classes": list(test.classes),
            "y_true": test.y_true.tolist(), "y_pred": test.y_pred.tolist(),
        },  # fmt: skip
    }
    return path, done


def _described(store: Any) -> dict[str, Any] | None:
    """How the features were made. Weights lose their path: where they lie differs between machines."""
    if not hasattr(store, "describe"):
        return None
    about = store.describe()
    return about | {"weights": [{k: v for k, v in one.items() if k != "path"} for one in about.get("weights", ())]}


def _device_name(where: Any) -> str:
    import torch

    return torch.cuda.get_device_name(where) if where.type == "cuda" else str(where)


def _file_name(fact: Mapping[str, Any]) -> str:
    """Readable, and different for different runs: config, seed and a digest of all that decides the result.

    The list of loaded weights is left out: features that are read from the cache load none, yet are the same.
    """
    if fact.get("features"):
        fact = {**fact, "features": {k: v for k, v in fact["features"].items() if k != "weights"}}
    digest = hashlib.sha256(json.dumps(fact, sort_keys=True, default=str).encode("utf-8")).hexdigest()[:12]
    return f"{re.sub(r'[^a-z0-9]+', '-', fact['config'].lower()).strip('-')}-seed{fact['seed']}-{digest}"


def _row(path: Path) -> dict[str, Any]:
    """One run's file as a row of the tidy table."""
    try:
        r = json.loads(path.read_text(encoding="utf-8"))
        plain = {k: r[k] for k in ("best_epoch", "epochs", "seconds", "parameters")}
        val = {f"val_{m}": v for m, v in r["val"].items()}
        return {"config": r["config"], "model": r["model"], "seed": r["seed"], **r["scores"], **val, **plain, "file": str(path)}
    except (json.JSONDecodeError, KeyError) as error:
        raise VcemoError("this is not the whole result of a run", where=path, do="delete it and run again") from error


def _side_by_side(table: pd.DataFrame, names: Sequence[str]) -> tuple[np.ndarray, list[np.ndarray], np.ndarray, int]:
    """Labels, each config's predictions, and speakers, all (N,), of the seeds that the configs have in common; and the number of classes."""
    for name in names:
        if name not in set(table.config):
            raise VcemoError(f"no config is called {name!r}", do=f"choose among {', '.join(table.config.unique())}")
    common, told = set.intersection(*(set(table.seed[table.config == name]) for name in names)), " and ".join(map(repr, names))
    if not common:
        raise VcemoError(f"{told} have no seed in common", do="run all with the same seeds")
    pooled = [_pooled(table[(table.config == name) & table.seed.isin(common)].sort_values("seed")) for name in names]
    y, _, speakers, classes = pooled[0]
    if any(not np.array_equal(y, other) for other, *_ in pooled):
        raise VcemoError(f"{told} were scored on different utterances", do="run all on the same parts")
    return y, [said for _, said, _, _ in pooled], speakers, classes


def _pooled(runs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Labels, predictions and speakers of several runs, end to end."""
    said = [predictions(file) for file in runs.file]
    together = (np.concatenate([np.asarray(s[key]) for s in said]) for key in ("y_true", "y_pred", "speakers"))
    return *together, len(said[0]["classes"])

