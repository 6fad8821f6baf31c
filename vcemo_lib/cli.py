"""The command `vcemo`: a thin layer that reads arguments, calls the library and prints what it gives.

A mistake of the user's is told in one line and ends with exit code 2; a check that fails ends with 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcemo_lib import __version__
from vcemo_lib.errors import VcemoError

if TYPE_CHECKING:
    import pandas as pd

    from vcemo_lib.corpora import Corpus
    from vcemo_lib.training.runs import Predictions, Run

SPLITS = ("given", "by_speaker", "by_text", "random")
MODALITIES = ("audio", "words", "bert")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code: 0 done, 1 a check failed, 2 the user's mistake, 130 interrupted."""
    chosen = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):  # a console of another encoding prints Chinese as ?, not as a traceback
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        return chosen.command(chosen) or 0
    except VcemoError as error:
        print(f"vcemo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("vcemo: interrupted; what was finished is kept", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, say `head`, has gone
        sys.stderr.close()
        return 0


# ---------------------------------------------------------------------------------------------- commands


def doctor(chosen: argparse.Namespace) -> int:
    """Say what this machine has and what is missing."""
    from vcemo_lib.course.doctor import examine, report

    findings = examine()
    print(report(findings))
    return int(any(finding.state == "missing" for finding in findings))


def corpora(chosen: argparse.Namespace) -> int:
    """List the corpora that can be read, or describe one: sizes, classes, and what its parts share."""
    from vcemo_lib.corpora import READERS, load_corpus, splits

    if chosen.corpus is None:
        for name in READERS:
            try:
                print(f"{name:<10} {load_corpus(name)!r}")
            except VcemoError as error:
                print(f"{name:<10} {str(error).splitlines()[0]}")
        print("A CSV manifest with utt_id, audio, text, emotion, speaker is read by its path.")
        return 0
    corpus = load_corpus(chosen.corpus, chosen.root)
    print(f"{corpus!r}, fingerprint {corpus.fingerprint()}")
    parts = _parts(corpus, chosen.split, seed=0)
    table = corpus.table.assign(part="")
    for name, part in parts.items():
        table.loc[part.ids, "part"] = name
    print(table.pivot_table(index="emotion", columns="part", values="speaker", aggfunc="size", fill_value=0).to_string())
    leaks = splits.audit(parts)
    if leaks.empty:
        print("\nNothing leaks between the parts.")
    else:
        print(f"\nThe parts share {', '.join(f'{n} {kind}(s)' for kind, n in leaks['leak'].value_counts().items())}; the first ten:")
        print(leaks.head(10).to_string(index=False))
    return 0


def prepare(chosen: argparse.Namespace) -> int:
    """Fetch the weights, decode every clip, and with --out transcribe them all into a manifest with a column `asr`."""
    from tqdm import tqdm

    from vcemo_lib import audio, text, weights
    from vcemo_lib.corpora import load_corpus

    corpus = load_corpus(chosen.corpus, chosen.root)
    weights.whisper(chosen.model)
    text.load_words()
    text.load_bert()
    seconds, bad = 0.0, []
    for utt_id in tqdm(corpus.ids, desc="decoding", unit="clip"):
        try:
            seconds += len(audio.load(corpus.path(utt_id))) / audio.SAMPLE_RATE
        except VcemoError as error:
            bad.append(f"{utt_id}: {error}")
    if bad:
        raise VcemoError(f"{len(bad)} clip(s) cannot be used:\n  " + "\n  ".join(bad[:20]) + "\nmend or remove them")
    print(f"{corpus!r}: every clip can be decoded, {seconds / 3600:.2f} h")
    if chosen.out:
        _write_manifest(_with_asr(corpus, chosen.model), chosen.out)
        print(f"transcripts written: use {chosen.out} with --root {corpus.root} and --text asr")
    for used in weights.used():
        print(f"weights: {used['name']} from {used['source']}, SHA-256 {used['sha256'][:12]}")
    return 0


def features(chosen: argparse.Namespace) -> int:
    """Compute features and keep them: a second call, or a killed one called again, does only what is left."""
    from vcemo_lib import features
    from vcemo_lib.corpora import load_corpus

    corpus = load_corpus(chosen.corpus, chosen.root)
    store = features.compute(corpus, kinds=tuple(chosen.kinds), text=chosen.text, cache=chosen.cache)
    for kind in store.kinds:
        print(f"{kind:<12} {len(corpus)} utterances, {store.width(kind)} wide")
    return 0


def train(chosen: argparse.Namespace) -> int:
    """Train one model, keep it in a folder, and score it on the test part."""
    from vcemo_lib import models, training
    from vcemo_lib.corpora import load_corpus, splits

    corpus = load_corpus(chosen.corpus, chosen.root)
    parts = _parts(corpus, chosen.split, chosen.seed)
    leaks = splits.audit(parts)
    if not leaks.empty:
        print(f"warning: the parts share {len(leaks)} speakers, sentences or clips; see `vcemo corpora`", file=sys.stderr)
    wanted = {name: getattr(chosen, name) for name in ("epochs", "batch_size", "lr", "alpha", "acoustic", "speaker_norm", "modalities")}
    changes = {name: tuple(value) if name == "modalities" else value for name, value in wanted.items() if value is not None}
    settings = models.settings_for(chosen.model, chosen.size, len(corpus.labels), **changes)
    store = _store(corpus, settings, chosen.text, chosen.model)
    model = models.build(chosen.model, settings, seed=chosen.seed, widths=_widths(store))
    run = training.fit(model, store, parts, seed=chosen.seed, out=chosen.out)
    print(f"{models.parameters(model):,} parameters, best epoch {run.best_epoch}, {run.seconds:.0f} s")
    _report(run, run.predict(parts["test"]), corpus, store, chosen.out, part="test", split=chosen.split)
    return 0


def evaluate(chosen: argparse.Namespace) -> int:
    """Score a trained model on one part of a corpus."""
    from vcemo_lib import training
    from vcemo_lib.corpora import load_corpus

    run = training.Run.load(chosen.run)
    corpus = load_corpus(chosen.corpus, chosen.root)
    part = corpus if chosen.part == "all" else _parts(corpus, chosen.split, run.seed)[chosen.part]
    store = _store(corpus, run.settings, chosen.text, run.model.name)
    _report(run, run.predict(part, store), corpus, store, chosen.out, part=chosen.part, split=chosen.split)
    return 0


def ablate(chosen: argparse.Namespace) -> int:
    """Train the seven rows of the paper's Table 3 (each choice of modalities) on several seeds; a killed call goes on."""
    from vcemo_lib import experiments, models
    from vcemo_lib.corpora import load_corpus

    corpus = load_corpus(chosen.corpus, chosen.root)
    parts = _parts(corpus, chosen.split, seed=0)
    settings = models.settings_for("vcemo", chosen.size, len(corpus.labels), alpha=0.0)  # the table is without SupCon
    store = _store(corpus, settings, chosen.text)
    changes = {} if chosen.epochs is None else {"epochs": chosen.epochs}
    settings = settings.but(bert_width=store.width("bert"), **changes)
    table = experiments.ablate(store, parts, chosen.out, chosen.seeds, settings, chosen.workers, dask=chosen.dask)
    _show(table, corpus, chosen)
    return 0


def compare(chosen: argparse.Namespace) -> int:
    """Train the models of the paper's Tables 1 and 2 (the rivals and VCEMO) on several seeds; a killed call goes on."""
    from vcemo_lib import experiments, features
    from vcemo_lib.corpora import load_corpus

    corpus = load_corpus(chosen.corpus, chosen.root)
    parts = _parts(corpus, chosen.split, seed=0)
    store = features.compute(corpus, ("mel", "words", "bert", "word_spans"), chosen.text, times=chosen.word_times)
    changes = {} if chosen.epochs is None else {"epochs": chosen.epochs}
    table = experiments.peers(store, parts, chosen.out, chosen.seeds, chosen.workers, chosen.size, chosen.models, dask=chosen.dask, **changes)
    _show(table, corpus, chosen)
    return 0


def predict(chosen: argparse.Namespace) -> int:
    """Say which emotion the recogniser hears in each clip; Whisper transcribes them first if it reads words."""
    from vcemo_lib.predict import EmotionRecognizer

    said = EmotionRecognizer.load(chosen.run, chosen.whisper).predict(chosen.clips)
    for clip, one in zip(chosen.clips, said, strict=True):
        if chosen.json:
            print(json.dumps({"clip": clip, **one.as_dict()}, ensure_ascii=False))
            continue
        ranked = sorted(one.probabilities.items(), key=lambda pair: -pair[1])
        chances = ", ".join(f"{emotion} {share:.0%}" for emotion, share in ranked)
        print(f"{Path(clip).name}: {one.emotion} ({chances})" + (f" “{one.transcript}”" if one.transcript else ""))
        for warning in one.warnings:
            print(f"  {warning}", file=sys.stderr)
    return 0


def course_run(chosen: argparse.Namespace) -> int:
    """Run the notebooks and compare what they measure with what is expected."""
    from vcemo_lib import course

    results = course.run(chosen.lane, chosen.only, chosen.jobs, chosen.update_expected)
    return int(any(not result.ok for result in results))


def course_list(chosen: argparse.Namespace) -> int:
    """List the notebooks: a reader's minutes, and what a run takes in each lane on two cores."""
    from vcemo_lib.course import Course

    notebooks = Course().notebooks
    for notebook in notebooks:
        runs = ", ".join(f"{lane} {seconds:g} s" for lane, seconds in notebook.seconds.items())
        print(f"{notebook.number}  {notebook.minutes:>4g} min  {notebook.title}" + (f"  ({runs})" if runs else ""))
    print(f"    {sum(notebook.minutes for notebook in notebooks):>4g} min to read and try it all")
    return 0


def course_store(chosen: argparse.Namespace) -> int:
    """Make the last `cpu` run's outputs those that notebooks/ shows."""
    from vcemo_lib import course

    for path in course.store(only=chosen.only):
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
    return 0


def course_site(chosen: argparse.Namespace) -> int:
    """Write the executed course as one HTML site that works from a folder, offline, sound included."""
    from vcemo_lib.course import site

    print(f"open {site.build(out=chosen.out, lane=chosen.lane)}")
    return 0


# ---------------------------------------------------------------------------------------------- shared steps


def _parts(corpus: Corpus, split: str | None, seed: int) -> dict[str, Corpus]:
    """The parts by the named rule; by default the corpus' own, or by speaker where it has none."""
    from vcemo_lib.corpora import splits

    split = split or ("given" if "split" in corpus.table else "by_speaker")
    return splits.given(corpus) if split == "given" else getattr(splits, split)(corpus, seed=seed)


def _store(corpus: Corpus, settings: Any, text: str, model: str = "vcemo") -> Any:
    """The features that a model of these settings reads."""
    from vcemo_lib import features, models

    kinds = (*(kind for modality in settings.modalities for kind in settings.kinds[modality]), *getattr(models.model_class(model), "also_reads", ()))
    return features.compute(corpus, kinds=kinds, text=text)


def _widths(store: Any) -> dict[str, int]:
    return {kind: store.width(kind) for kind in store.kinds}


def _with_asr(corpus: Corpus, model: str) -> Corpus:
    from vcemo_lib import asr

    return corpus.with_column("asr", asr.transcribe(corpus, model)["text"])


def _write_manifest(corpus: Corpus, path: Path) -> None:
    """A corpus as the CSV that `load_corpus` reads back."""
    from vcemo_lib.paths import write_atomically

    table = corpus.table.copy()
    if "votes" in table:
        table["votes"] = [" ".join(f"{label}:{count}" for label, count in votes.items()) for votes in table["votes"]]
    write_atomically(path, table.to_csv(lineterminator="\n"))


def _show(table: pd.DataFrame, corpus: Corpus, chosen: argparse.Namespace) -> None:
    """Print the summary of a sweep."""
    from vcemo_lib import experiments

    print(f"{corpus!r}; means over {len(chosen.seeds)} seed(s), 95 % intervals from resampled speakers")
    print(experiments.summary(table).to_string(float_format="{:.3f}".format))
    print(f"kept in {chosen.out}")


def _report(run: Run, said: Predictions, corpus: Corpus, store: Any, out: Path | None, **about: Any) -> None:
    """Print scores with intervals and the confusion matrix; with `out` write results.json there."""
    from vcemo_lib.course import stamp
    from vcemo_lib.evaluation import confusion
    from vcemo_lib.paths import write_atomically

    table = said.intervals()
    print(f"{len(said.ids)} utterances of {corpus!r}; 95 % intervals from resampled speakers")
    print(table.to_string(float_format="{:.3f}".format))
    print(confusion(said.y_true, said.y_pred, said.classes).to_string())
    if out:
        results = {
            "metrics": table.to_dict("index"), "seed": run.seed, "best_epoch": run.best_epoch, "seconds": run.seconds,
            "corpus": corpus.name, "simulated": corpus.simulated, "fingerprint": corpus.fingerprint(),
            "features": store.describe(), "settings": run.settings.as_dict(), **about, **stamp(),
        }  # fmt: skip
        write_atomically(Path(out) / "results.json", json.dumps(results, indent=1, ensure_ascii=False, default=str) + "\n")
        print(f"kept in {out}")


# ---------------------------------------------------------------------------------------------- arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vcemo", description="Multimodal speech emotion recognition: course and library.")
    parser.add_argument("--version", action="version", version=f"vcemo {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(where: Any, name: str, command: Any) -> argparse.ArgumentParser:
        added = where.add_parser(name, help=command.__doc__, description=command.__doc__)
        added.set_defaults(command=command)
        return added

    def with_corpus(added: argparse.ArgumentParser, default: str | None = "sim") -> argparse.ArgumentParser:
        added.add_argument("corpus", nargs="?", default=default, help="sim, vcemo, or the path of a CSV manifest")
        added.add_argument("--root", type=Path, help="the folder that the clips lie in")
        return added

    def with_split(added: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added.add_argument("--split", choices=SPLITS, help="the corpus' own by default, else by speaker")
        return added

    def with_text(added: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added.add_argument("--text", choices=("gold", "asr"), default="gold", help="the manifest's words, or Whisper's")
        return added

    def with_size(added: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added.add_argument("--size", choices=("tutorial", "paper"), default="tutorial", help="small, or as published")
        added.add_argument("--epochs", type=int)
        return added

    def with_seeds(added: argparse.ArgumentParser, out: str) -> argparse.ArgumentParser:
        added.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
        added.add_argument("--workers", type=int, default=1, help="runs at once, each with one thread")
        added.add_argument("--dask", metavar="ADDRESS", help="train on this Dask scheduler's workers (docs/cluster.md), tcp://host:8786 say")
        added.add_argument("--out", type=Path, default=Path(out), help="the folder for the runs' results")
        return added

    add(commands, "doctor", doctor)
    with_split(with_corpus(add(commands, "corpora", corpora), default=None))

    one = with_corpus(add(commands, "prepare", prepare))
    one.add_argument("--model", default="base", help="the Whisper to fetch and use")
    one.add_argument("--out", type=Path, help="the manifest to write, with transcripts")

    one = with_text(with_corpus(add(commands, "features", features)))
    one.add_argument("--kinds", nargs="+", default=["mel", "words", "bert"], metavar="KIND")
    one.add_argument("--cache", type=Path, help="the folder to keep them in")

    one = with_size(with_text(with_split(with_corpus(add(commands, "train", train)))))
    one.add_argument("--model", default="vcemo", help="vcemo, or a rival: xu, yoon, mdre, umons, cme")
    one.add_argument("--modalities", nargs="+", choices=MODALITIES, metavar="MODALITY", help="all that the model reads by default")
    one.add_argument("--batch-size", type=int)
    one.add_argument("--lr", type=float)
    one.add_argument("--alpha", type=float, help="the weight of SupCon; 0 for cross-entropy alone")
    one.add_argument("--acoustic", choices=("mel", "whisper", "both"), help="what the audio branch hears: log-mel, Whisper's frames, or both")
    one.add_argument("--speaker-norm", action=argparse.BooleanOptionalAction)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--out", type=Path, default=Path("run"), help="the folder for model, checkpoint and results")

    one = add(commands, "evaluate", evaluate)
    one.add_argument("run", type=Path, help="the folder that train wrote")
    with_text(with_split(with_corpus(one)))
    one.add_argument("--part", choices=("train", "val", "test", "all"), default="test")
    one.add_argument("--out", type=Path, help="the folder for results.json")

    with_seeds(with_size(with_text(with_split(with_corpus(add(commands, "ablate", ablate))))), "run/ablation")

    one = with_seeds(with_size(with_text(with_split(with_corpus(add(commands, "compare", compare))))), "run/compare")
    one.add_argument("--models", nargs="+", metavar="NAME", help="rows of the tables, such as 'Xu 2019'; all by default")
    one.add_argument("--word-times", default="voice", help="for CME: 'voice' (laid over the voiced frames) or a Whisper, such as base")

    one = add(commands, "predict", predict)
    one.add_argument("clips", nargs="+", help="audio files")
    one.add_argument("--run", help="the folder that train wrote; the bundled recogniser without it")
    one.add_argument("--whisper", default="base", help="the Whisper that transcribes")
    one.add_argument("--json", action="store_true", help="one JSON object a clip")

    whole = commands.add_parser("course", help="Run, list or store the notebooks, or make a site of them.")
    notebooks = whole.add_subparsers(required=True, metavar="action")
    one = add(notebooks, "run", course_run)
    one.add_argument("--lane", default="cpu", help="smoke, cpu or gpu")
    one.add_argument("--only", nargs="+", metavar="NN", help="these notebooks, by number or name")
    one.add_argument("--jobs", type=int, help="notebooks at once")
    one.add_argument("--update-expected", action="store_true", help="take what is measured as what is expected")
    add(notebooks, "list", course_list)
    one = add(notebooks, "store", course_store)
    one.add_argument("--only", nargs="+", metavar="NN", help="these notebooks, by number or name")
    one = add(notebooks, "site", course_site)
    one.add_argument("--out", type=Path, help="the folder to write; build/site by default")
    one.add_argument("--lane", default="cpu", choices=("smoke", "cpu", "gpu"), help="the run that is shown")
    return parser
