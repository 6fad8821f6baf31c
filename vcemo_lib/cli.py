"""The command `vcemo`: reads arguments, calls the library and prints what it gives.

A user's mistake gives one line and exit code 2; a check that fails ends with 1.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import vcemo_lib as vc
from vcemo_lib.errors import VcemoError, printable

if TYPE_CHECKING:

    from vcemo_lib.corpora import Corpus
    from vcemo_lib.training.runs import Predictions, Run

Chosen = argparse.Namespace


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code: 0 done, 1 a check failed, 2 a user's mistake, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):  # a console of another encoding prints Chinese as ?
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    chosen = _parser().parse_args(arguments)
    warnings.formatwarning = lambda message, *_: f"vcemo: {message}\n"
    try:
        return chosen.command(chosen) or 0
    except KeyboardInterrupt:
        print("vcemo: interrupted; what was finished is kept", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, say `head`, has gone
        sys.stderr.close()
        return 0
    except VcemoError as error:
        print(f"vcemo: {error}", file=sys.stderr)
    except OSError as error:  # no permission, a full disk, a name that is too long
        where = f" ({error.filename})" if error.filename else ""
        print(printable(f"vcemo: {error.strerror or error}{where}"), file=sys.stderr)
    return 2


def doctor(chosen: Chosen) -> int:
    """Say what this machine has and what is missing."""
    print(vc.doctor.report(findings := vc.doctor.examine()))
    return int(any(finding.state == "missing" for finding in findings))


def corpora(chosen: Chosen) -> None:
    """List the corpora that can be read, or describe one: sizes, classes, and what its parts share."""
    import pandas as pd

    if chosen.corpus is None:
        for name in vc.corpora.READERS:
            try:
                print(f"{name:<10} {vc.load_corpus(name)!r}")
            except VcemoError as error:
                print(f"{name:<10} {error}")
        return print("A CSV manifest with utt_id, audio, text, emotion, speaker is read by its path.")
    corpus, parts = _data(chosen)
    print(f"{corpus!r}, fingerprint {corpus.fingerprint()}")
    counts = {name: part.table["emotion"].value_counts() for name, part in parts.items()}
    print(pd.DataFrame(counts).fillna(0).astype(int).sort_index().to_string())
    if (leaks := vc.splits.audit(parts)).empty:
        return print("\nNothing leaks between the parts.")
    kinds = ", ".join(f"{count} {kind}(s)" for kind, count in leaks["leak"].value_counts().items())
    print(f"\nThe parts share {kinds}; the first ten:\n{leaks.head(10).to_string(index=False)}")


def prepare(chosen: Chosen) -> None:
    """Fetch the weights, decode every clip, and with --out write a manifest with Whisper's transcripts."""
    from tqdm import tqdm

    corpus = vc.load_corpus(chosen.corpus, chosen.root)
    if chosen.out:
        _writable(chosen.out.parent)
    vc.weights.whisper(chosen.model)
    vc.text.load_words()
    vc.text.load_bert()
    seconds, bad = 0.0, []
    for utt_id in tqdm(corpus.ids, desc="decoding", unit="clip"):
        try:
            seconds += len(vc.audio.load(corpus.path(utt_id))) / vc.audio.SAMPLE_RATE
        except VcemoError as error:
            bad.append(f"{utt_id}: {error}")
    if bad:
        listed = "\n  ".join([f"{len(bad)} clip(s) cannot be used:", *bad[:20]])
        raise VcemoError(f"{listed}\nmend or remove them")
    print(f"{corpus!r}: every clip can be decoded, {seconds / 3600:.2f} h")
    if chosen.out:
        heard = corpus.with_column("asr", vc.asr.transcribe(corpus, chosen.model)["text"])
        vc.paths.write_atomically(chosen.out, heard.to_csv())
        print(f"transcripts written: use {chosen.out} with --root {corpus.root} and --text asr")
    for used in vc.weights.used():
        print(f"weights: {used['name']} from {used['source']}, SHA-256 {used['sha256'][:12]}")


def features(chosen: Chosen) -> None:
    """Compute features and keep them: a second call, or a killed one called again, does only what is left."""
    corpus = vc.load_corpus(chosen.corpus, chosen.root)
    store = vc.features.compute(corpus, kinds=tuple(chosen.kinds), text=chosen.text, cache=chosen.cache)
    for kind in store.kinds:
        print(f"{kind:<12} {len(corpus)} utterances, {store.width(kind)} wide")


def train(chosen: Chosen) -> None:
    """Train one model, keep it in a folder, and score it on the test part."""
    corpus, parts = _data(chosen, chosen.seed)
    if leaks := len(vc.splits.audit(parts)):
        print(f"warning: the parts share {leaks} speakers, sentences or clips", file=sys.stderr)
    names = ("epochs", "batch_size", "lr", "alpha", "acoustic", "speaker_norm", "modalities")
    given = {name: getattr(chosen, name) for name in names if getattr(chosen, name) is not None}
    changes = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    settings = vc.models.settings_for(chosen.model, chosen.size, len(corpus.labels), **changes)
    store = _store(corpus, settings, chosen.text, chosen.model)
    widths = {kind: store.width(kind) for kind in store.kinds}
    model = vc.models.build(chosen.model, settings, seed=chosen.seed, widths=widths)
    run = vc.training.fit(model, store, parts, seed=chosen.seed, out=chosen.out)
    print(f"{vc.models.parameters(model):,} parameters, best epoch {run.best_epoch}, {run.seconds:.0f} s")
    _report(run, run.predict(parts["test"]), corpus, store, chosen, "test")


def evaluate(chosen: Chosen) -> None:
    """Score a trained model on one part of a corpus."""
    run = vc.training.Run.load(chosen.run)
    corpus, part = _part_of(run, chosen)
    kinds, made = vc.training.kinds_of(run.model), run.recipe.features if run.recipe else {"text": "gold"}
    if chosen.text and run.recipe and chosen.text != made["text"]:
        raise VcemoError(f"the run was trained on {made['text']} text", chosen.run, "leave out --text")
    settings = {name: value for kind in kinds for name, value in run.made_by(kind).items()}
    store = vc.features.compute(corpus, kinds, chosen.text or made["text"], **settings)
    _report(run, run.predict(part, store), corpus, store, chosen, chosen.part)


def ablate(chosen: Chosen) -> None:
    """Train the seven rows of the paper's Table 3 (each choice of modalities) on several seeds, resumable."""
    corpus, parts = _data(chosen)
    settings = vc.models.settings_for("vcemo", chosen.size, len(corpus.labels), alpha=0.0)  # as in the table
    store = _store(corpus, settings, chosen.text)
    settings = settings.but(bert_width=store.width("bert"), epochs=chosen.epochs or settings.epochs)
    _sweep(vc.experiments.ablation_configs(settings), corpus, store, parts, chosen)


def compare(chosen: Chosen) -> None:
    """Train the models of the paper's Tables 1 and 2 (baselines and VCEMO) on several seeds, resumable."""
    corpus, parts = _data(chosen)
    kinds = ("mel", "words", "bert", "word_spans")
    store = vc.features.compute(corpus, kinds, chosen.text, times=chosen.word_times)
    fewer = {"epochs": chosen.epochs} if chosen.epochs else {}
    named = chosen.size, chosen.models
    configs = vc.experiments.baseline_configs(store, len(corpus.labels), *named, **fewer)
    _sweep(configs, corpus, store, parts, chosen)


def predict(chosen: Chosen) -> None:
    """Predict the emotion of each clip; Whisper transcribes them first if the model reads words."""
    predictions = vc.predict.EmotionRecognizer.load(chosen.run, chosen.whisper).predict(chosen.clips)
    for clip, found in zip(chosen.clips, predictions, strict=True):
        if chosen.json:
            print(json.dumps({"clip": clip, **found.as_dict()}, ensure_ascii=False))
            continue
        ranked = sorted(found.probabilities.items(), key=lambda pair: -pair[1])
        shares = ", ".join(f"{emotion} {share:.0%}" for emotion, share in ranked)
        words = f" “{found.transcript}”" if found.transcript else ""
        print(f"{printable(Path(clip).name)}: {found.emotion} ({shares}){words}")
        for warning in found.warnings:
            print(f"  {warning}", file=sys.stderr)


def course_run(chosen: Chosen) -> int:
    """Run the notebooks and compare what they measure with what is expected."""
    results = vc.course.run(chosen.lane, chosen.only, chosen.jobs, chosen.update_expected)
    return int(not all(result.ok for result in results))


def course_list(chosen: Chosen) -> None:
    """List the notebooks: a reader's minutes, and what a run takes in each lane on two cores."""
    for notebook in (notebooks := vc.course.Course().notebooks):
        runs = ", ".join(f"{lane} {seconds:g} s" for lane, seconds in notebook.seconds.items())
        print(f"{notebook.number}  {notebook.minutes:>4g} min  {notebook.title}" + f"  ({runs})" * bool(runs))
    print(f"    {sum(notebook.minutes for notebook in notebooks):>4g} min to read and try it all")


def course_store(chosen: Chosen) -> None:
    """Make the last `cpu` run's outputs those that notebooks/ shows."""
    for path in vc.course.store(only=chosen.only):
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def course_site(chosen: Chosen) -> None:
    """Write the executed course as one HTML site that works from a folder, offline, sound included."""
    print(f"open {vc.course.site.build(out=chosen.out, lane=chosen.lane)}")


def _writable(folder: Path) -> None:
    """Make a folder and try to write to it: better now than after the first epoch."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        what = f"cannot write to this folder: {error.strerror}"
        raise VcemoError(what, where=folder, do="choose another one with --out") from error


def _data(chosen: Chosen, seed: int = 0) -> tuple[Corpus, dict[str, Corpus]]:
    """The corpus and its parts by --split: its own by default, or by speaker where it has none."""
    if getattr(chosen, "out", None):
        _writable(chosen.out)
    corpus = vc.load_corpus(chosen.corpus, chosen.root)
    split = chosen.split or ("given" if "split" in corpus.table else "by_speaker")
    return corpus, getattr(vc.splits, split)(corpus, **({} if split == "given" else {"seed": seed}))


def _part_of(run: Run, chosen: Chosen) -> tuple[Corpus, Corpus]:
    """The corpus, and the part to score on: the run's own where it was trained on this corpus."""
    if chosen.out:
        _writable(chosen.out)
    corpus = vc.load_corpus(chosen.corpus, chosen.root)
    if chosen.part == "all":
        return corpus, corpus
    if run.recipe is None or not run.recipe.knows(corpus):
        corpus, parts = _data(chosen, run.seed)
        return corpus, parts[chosen.part]
    own = run.recipe.part(corpus, chosen.part)
    if chosen.split and set(_data(chosen, run.seed)[1][chosen.part].ids) != set(own.ids):
        raise VcemoError(f"the run's split is not {chosen.split}", chosen.run, "leave out --split")
    return corpus, own


def _store(corpus: Corpus, settings: Any, text: str, model: str = "vcemo") -> Any:
    """The features that a model of these settings reads."""
    kinds = [kind for modality in settings.modalities for kind in settings.kinds[modality]]
    kinds += getattr(vc.models.model_class(model), "also_reads", ())
    return vc.features.compute(corpus, kinds=tuple(kinds), text=text)


def _sweep(configs: Any, corpus: Corpus, store: Any, parts: dict[str, Corpus], chosen: Chosen) -> None:
    """Train all configs on all seeds and print the summary."""
    options = {"workers": chosen.workers, "dask": chosen.dask}
    table = vc.experiments.run(configs, store, parts, chosen.out, chosen.seeds, **options)
    print(f"{corpus!r}; means over {len(chosen.seeds)} seed(s), 95 % intervals over speakers and seeds")
    print(vc.comparison.summary(table).to_string(float_format="{:.3f}".format))
    print(f"kept in {chosen.out}")


def _report(run: Run, found: Predictions, corpus: Corpus, store: Any, chosen: Chosen, part: str) -> None:
    """Print scores with intervals and the confusion matrix; with --out write results.json there."""
    table = found.intervals()
    print(f"{len(found.ids)} utterances of {corpus!r}; 95 % intervals over speakers, for one seed")
    print(table.to_string(float_format="{:.3f}".format))
    print(vc.evaluation.confusion(found.y_true, found.y_pred, found.classes).to_string())
    if chosen.out:
        metrics = table.astype(object).where(table.notna(), None).to_dict("index")  # JSON knows no NaN
        results = {
            "metrics": metrics, "seed": run.seed, "best_epoch": run.best_epoch, "part": part,
            "split": chosen.split, "seconds": run.seconds, "settings": run.settings.as_dict(),
            **vc.provenance.stamp(corpus, store),
        }  # fmt: skip
        text = json.dumps(results, indent=1, ensure_ascii=False, default=str)
        vc.paths.write_atomically(chosen.out / "results.json", text + "\n")
        print(f"kept in {chosen.out}")


def _number(kind: type, least: float, most: float = math.inf) -> Callable[[str], float]:
    """A converter for argparse: a finite number of a kind, from `least` to `most`."""

    def convert(text: str) -> float:
        if not (math.isfinite(value := kind(text)) and least <= value <= most):
            raise argparse.ArgumentTypeError(f"{text} is not from {least:g} to {most:g}")
        return value

    convert.__name__ = "number" if kind is float else "whole number"  # in argparse's message
    return convert


WHOLE, SEED, RATE = _number(int, 1, 10**9), _number(int, 0, 2**63 - 1), _number(float, 0, 1e6)
ARGUMENTS: dict[str, dict[str, Any]] = {  # what `add_argument` takes; a command's own goes first
    "corpus": {"nargs": "?", "default": "sim", "help": "sim, vcemo, or the path of a CSV manifest"},
    "corpora corpus": {"nargs": "?", "help": "sim, vcemo, or the path of a CSV manifest"},
    "run": {"type": Path, "help": "the folder that train wrote"},
    "clips": {"nargs": "+", "help": "audio files"},
    "--acoustic": {"choices": ("mel", "whisper", "both"), "help": "log-mel, Whisper's frames, or both"},
    "--alpha": {"type": RATE, "help": "the weight of SupCon; 0 for cross-entropy alone"},
    "--batch-size": {"type": WHOLE},
    "--cache": {"type": Path, "help": "the folder to keep them in"},
    "--dask": {"metavar": "ADDRESS", "help": "train on this Dask scheduler's workers, tcp://host:8786 say"},
    "--epochs": {"type": WHOLE},
    "--jobs": {"type": WHOLE, "help": "notebooks at once"},
    "--json": {"action": "store_true", "help": "one JSON object a clip"},
    "--kinds": {"nargs": "+", "default": ("mel", "words", "bert"), "metavar": "KIND"},
    "--lane": {"default": "cpu", "help": "smoke, cpu or gpu"},
    "--lr": {"type": RATE},
    "--modalities": {"nargs": "+", "choices": ("audio", "words", "bert"), "help": "all by default"},
    "--model": {"default": "vcemo", "help": "vcemo, or a baseline: xu, yoon, mdre, umons, cme"},
    "prepare --model": {"default": "base", "help": "the Whisper to fetch and use"},
    "--models": {"nargs": "+", "metavar": "NAME", "help": "rows of the tables, such as 'Xu 2019'"},
    "--only": {"nargs": "+", "metavar": "NN", "help": "these notebooks, by number or name"},
    "--out": {"type": Path, "help": "the folder for results"},
    "prepare --out": {"type": Path, "help": "the manifest to write, with transcripts"},
    "train --out": {"type": Path, "default": Path("run"), "help": "the folder for model and results"},
    "ablate --out": {"type": Path, "default": Path("run/ablation"), "help": "the folder for results"},
    "compare --out": {"type": Path, "default": Path("run/compare"), "help": "the folder for results"},
    "site --out": {"type": Path, "help": "the folder to write; build/site by default"},
    "--part": {"choices": ("train", "val", "test", "all"), "default": "test"},
    "--root": {"type": Path, "help": "the folder that the clips lie in"},
    "--run": {"help": "the folder that train wrote; the bundled recogniser without it"},
    "--seed": {"type": SEED, "default": 0},
    "--seeds": {"type": SEED, "nargs": "+", "default": [0, 1, 2]},
    "--size": {"choices": ("tutorial", "paper"), "default": "tutorial", "help": "small, or as published"},
    "--speaker-norm": {"action": argparse.BooleanOptionalAction},
    "--split": {"choices": ("given", "by_speaker", "by_text", "random"),
                "help": "the corpus' own by default, else by speaker"},
    "--text": {"choices": ("gold", "asr"), "default": "gold", "help": "the manifest's words, or Whisper's"},
    "evaluate --text": {"choices": ("gold", "asr"), "help": "whose words: as in training"},
    "--update-expected": {"action": "store_true", "help": "take what is measured as what is expected"},
    "--whisper": {"default": "base", "help": "the Whisper that transcribes"},
    "--word-times": {"default": "voice", "help": "for CME: 'voice' (voiced frames), or a Whisper: base"},
    "--workers": {"type": WHOLE, "default": 1, "help": "runs at once, each with one thread"},
}  # fmt: skip
TRAIN = "corpus --root --split --text --size --epochs --out"
SWEEP = f"{TRAIN} --seeds --workers --dask"
SETTINGS = "--modalities --batch-size --lr --alpha --acoustic --speaker-norm"
COMMANDS: dict[str, tuple[Callable[[Chosen], int | None], str]] = {  # name -> what it calls, its arguments
    "doctor": (doctor, ""),
    "corpora": (corpora, "corpus --root --split"),
    "prepare": (prepare, "corpus --root --model --out"),
    "features": (features, "corpus --root --text --kinds --cache"),
    "train": (train, f"{TRAIN} {SETTINGS} --model --seed"),
    "evaluate": (evaluate, "run corpus --root --split --text --part --out"),
    "ablate": (ablate, SWEEP),
    "compare": (compare, f"{SWEEP} --models --word-times"),
    "predict": (predict, "clips --run --whisper --json"),
}
COURSE: dict[str, tuple[Callable[[Chosen], int | None], str]] = {
    "run": (course_run, "--lane --only --jobs --update-expected"),
    "list": (course_list, ""),
    "store": (course_store, "--only"),
    "site": (course_site, "--out --lane"),
}


class _Parser(argparse.ArgumentParser):
    """argparse, but a mistake is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, printable(f"vcemo: {message}; see {self.prog} --help\n"))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="vcemo", description="Multimodal speech emotion recognition: course and library.")
    parser.add_argument("--version", action="version", version=f"vcemo {vc.__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    course = commands.add_parser("course", help="Run, list or store the notebooks, or make a site of them.")
    actions = course.add_subparsers(required=True, metavar="action")
    for where, table in ((commands, COMMANDS), (actions, COURSE)):
        for name, (command, arguments) in table.items():
            added = where.add_parser(name, help=command.__doc__, description=command.__doc__)
            added.set_defaults(command=command)
            for argument in arguments.split():
                added.add_argument(argument, **ARGUMENTS.get(f"{name} {argument}") or ARGUMENTS[argument])
    return parser
