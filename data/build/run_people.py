"""Run the experiments on people's speech: `python data/build/run_people.py --root FOLDER_OF_RAVDESS`.

RAVDESS (Livingstone & Russo 2018, CC BY-NC-SA 4.0), six emotions. "line" and "network": one actor left out at
a time, another one chooses; log-mel and Whisper's frames, as they are and scaled by speaker. "transfer":
trained on VCEMO-Sim alone, tried on these people, who are known by 0 to 20 clips. The results, without sound,
go to data/expected/results/people, the runs to build/people: a killed run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

import vcemo_lib as vc
from vcemo_lib import crossval
from vcemo_lib.corpora import Corpus, from_table
from vcemo_lib.corpora.protocols import Protocol
from vcemo_lib.models import Settings, tutorial
from vcemo_lib.paths import repo_data

SEEDS = (0, 1, 2)
WHAT = ("line", "network", "transfer")
INPUTS = {"Whisper": "whisper", "log-mel": "mel"}
SCALED = {"by speaker": True, "as is": False}
EPOCHS = 32  # twice tutorial()'s: 264 clips make 5 updates an epoch, where VCEMO-Sim makes 29
COUNTS = (0, 1, 2, 5, 10, 20)
EMOTIONS = {"01": "neutral", "03": "happy", "04": "sad", "05": "angry", "06": "fear", "08": "surprise"}
SENTENCES = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the folder with Actor_01, Actor_02, ...")
    parser.add_argument("--what", choices=WHAT, nargs="+", default=WHAT)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--out", type=Path, default=repo_data() / "expected" / "results" / "people")
    parser.add_argument("--keep", type=Path, default=repo_data().parent / "build" / "people")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="fewer epochs (to try this script)")
    given = parser.parse_args()
    people = ravdess(given.root)
    store = vc.features.compute(people, tuple(INPUTS.values()))
    for what in given.what:
        table = {"line": lines, "network": networks, "transfer": transfer}[what](people, store, given)
        summary = vc.comparison.summary(table, ("wa", "ua"))
        print(what, summary.to_string(float_format="{:.3f}".format), "", sep="\n")


def ravdess(root: Path) -> Corpus:
    """RAVDESS' clips `Actor_NN/03-01-EE-II-SS-RR-NN.wav` under the paper's labels; two more are left out."""
    columns = ["utt_id", "audio", "text", "emotion", "speaker", "language", "strength"]
    rows = []
    for path in sorted(root.glob("Actor_*/03-01-*.wav")):
        _, _, emotion, strength, sentence, _, actor = path.stem.split("-")
        said, file = SENTENCES[sentence], path.relative_to(root).as_posix()
        rows.append((path.stem, file, said, EMOTIONS.get(emotion, ""), f"ravdess{actor}", "en", strength))
    table = pd.DataFrame(rows, columns=columns)
    return from_table("ravdess", table[table["emotion"] != ""], root)


def configs(epochs: int) -> dict[str, Settings]:
    """The course's model on sound alone, without SupCon, as in its Table 3: name -> settings."""
    same = tutorial(modalities=("audio",), alpha=0.0, epochs=epochs, patience=epochs)
    return {
        f"{name}, {scaled}": same.but(acoustic=kind, speaker_norm=by)
        for scaled, by in SCALED.items()
        for name, kind in INPUTS.items()
    }


def networks(people: Corpus, store: Any, given: argparse.Namespace) -> pd.DataFrame:
    """The course's model, one actor left out at a time."""
    protocol = vc.protocols.folds("speakers", people)
    found = [
        crossval.run({name: settings}, store, protocol, given.out / "network", given.seeds, given.workers,
                     keep=given.keep / "network")
        for name, settings in configs(given.epochs).items()
    ]  # fmt: skip
    return pd.concat(found, ignore_index=True)


def lines(people: Corpus, store: Any, given: argparse.Namespace) -> pd.DataFrame:
    """Logistic regression on means and deviations over time, one actor left out at a time. It has no seed.

    Beside it the same on clips dealt at random, and on the sentence that was not trained on.
    """
    for name in ("random", "text"):
        protocol = vc.protocols.folds(name, people, k=8)
        list(straight_lines(store, protocol, given.out / f"line_{name}"))
    return pd.DataFrame(straight_lines(store, vc.protocols.folds("speakers", people), given.out / "line"))


def straight_lines(store: Any, protocol: Protocol, out: Path) -> Iterator[dict[str, Any]]:
    """One row a line, its file in `out`."""
    leaks = {fold: vc.audit.record(parts, store) for fold, parts in protocol.folds.items()}
    for scaled, by in SCALED.items():
        for name, kind in INPUTS.items():
            runs = {}
            for fold, parts in protocol.folds.items():
                start = time.perf_counter()
                found = vc.probe.linear(store, parts, kind, by_speaker=by, deviations=True)
                runs[fold] = {
                    "config": f"{name}, {scaled}", "model": "straight line", "seed": 0, "leaks": leaks[fold],
                    "settings": {"kinds": [kind], "by_speaker": by},
                    "features": vc.provenance.data(store, [kind], parts)["features"],
                    "parts": {part: corpus.fingerprint() for part, corpus in parts.items()},
                    "scores": found.scores(), "val": {}, "best_epoch": 0, "epochs": 0,
                    "seconds": time.perf_counter() - start,
                    "parameters": (found.features.shape[1] + 1) * len(found.classes),
                    "machine": vc.provenance.stamp()["hardware"] | vc.provenance.versions()
                    | {"date": vc.provenance.now()},
                    "predictions": found.as_dict(),
                }  # fmt: skip
            yield vc.comparison.row(crossval.write(crossval.whole(runs, protocol), out))


def transfer(people: Corpus, store: Any, given: argparse.Namespace) -> pd.DataFrame:
    """From simulated speech to people: the line with all clips of a speaker, the network with few as well."""
    sim = vc.load_corpus("sim")
    ours = vc.features.compute(sim, tuple(INPUTS.values()))
    both = replace(store, keys={of: ours.keys[of] | keys for of, keys in store.keys.items()})
    for cache in both.caches.values():
        cache.read()
    protocol = vc.protocols.folds("cross-corpus", sim, other=people)
    ((fold, parts),) = protocol.folds.items()
    rows = list(straight_lines(both, protocol, given.out / "transfer_line"))
    leaks = vc.audit.record(parts, both)
    chosen = {name: settings for name, settings in configs(16).items() if settings.speaker_norm}
    runs = vc.experiments.run(chosen, both, parts, given.keep / "transfer", given.seeds, given.workers, True)
    for file in runs.file:
        run, facts = vc.training.Run.load(Path(file).with_suffix(""), both), vc.comparison.facts(file)
        curve = vc.course.sweeps.enrolment(run, parts["test"], both, COUNTS)
        heard = {f"{count} clips": answers for count, answers in curve.items()}
        for known, answers in (heard | {"all clips": run.predict(parts["test"])}).items():
            told = {"config": f"{facts['config']}, {known}", "leaks": leaks}
            said = {"scores": answers.scores(), "predictions": answers.as_dict()}
            whole = crossval.whole({fold: facts | told | said}, protocol)
            rows.append(vc.comparison.row(crossval.write(whole, given.out / "transfer")))
    return pd.DataFrame(rows).assign(config=lambda t: t.config + (t.model == "straight line") * ", line")


if __name__ == "__main__":
    main()
