"""The command `vcemo`: reads arguments, calls the library and prints what it gives.

A user's mistake gives one line and exit code 2; a check that fails ends with 1.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from vcemo_lib import __version__
from vcemo_lib.errors import VcemoError, printable

if TYPE_CHECKING:
    import pandas as pd

    from vcemo_lib.corpora import Corpus
    from vcemo_lib.training.runs import Predictions, Run

Chosen = argparse.Namespace


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code: 0 done, 1 a check failed, 2 a user's mistake, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):  # a console of another encoding prints Chinese as ?
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    chosen = _parser().parse_args(arguments)
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


# ---- commands ------------------------------------------------------------------------------------------


def doctor(chosen: Chosen) -> int:
    """Say what this machine has and what is missing."""
    from vcemo_lib.course.doctor import examine, report

    findings = examine()
    print(report(findings))
    return int(any(finding.state == "missing" for finding in findings))


def corpora(chosen: Chosen) -> None:
    """List the corpora that can be read, or describe one: sizes, classes, and what its parts share."""
    import pandas as pd

    from vcemo_lib.corpora import READERS, load_corpus, splits

    if chosen.corpus is None:
        for name in READERS:
            try:
                print(f"{name:<10} {load_corpus(name)!r}")
            except VcemoError as error:
                print(f"{name:<10} {error}")
        print("A CSV manifest with utt_id, audio, text, emotion, speaker is read by its path.")
        return
    corpus, parts = _data(chosen)
    print(f"{corpus!r}, fingerprint {corpus.fingerprint()}")
    counts = {name: part.table["emotion"].value_counts() for name, part in parts.items()}
    print(pd.DataFrame(counts).fillna(0).astype(int).sort_index().to_string())
    leaks = splits.audit(parts)
    if leaks.empty:
        print("\nNothing leaks between the parts.")
    else:
        kinds = ", ".join(f"{count} {kind}(s)" for kind, count in leaks["leak"].value_counts().items())
        print(f"\nThe parts share {kinds}; the first ten:\n{leaks.head(10).to_string(index=False)}")


def prepare(chosen: Chosen) -> None:
    """Fetch the weights, decode every clip, and with --out write a manifest with Whisper's transcripts."""
    from tqdm import tqdm

    from vcemo_lib import asr, audio, text, weights
    from vcemo_lib.corpora import load_corpus
    from vcemo_lib.paths import write_atomically

    corpus = load_corpus(chosen.corpus, chosen.root)
    if chosen.out:
        _writable(chosen.out.parent)
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
        listed = "\n  ".join(bad[:20])
        raise VcemoError(f"{len(bad)} clip(s) cannot be used:\n  {listed}\nmend or remove them")
    print(f"{corpus!r}: every clip can be decoded, {seconds / 3600:.2f} h")
    if chosen.out:
        heard = corpus.with_column("asr", asr.transcribe(corpus, chosen.model)["text"])
        write_atomically(chosen.out, heard.to_csv())
        print(f"transcripts written: use {chosen.out} with --root {corpus.root} and --text asr")
    for used in weights.used():
        print(f"weights: {used['name']} from {used['source']}, SHA-256 {used['sha256'][:12]}")


def features(chosen: Chosen) -> None:
    """Compute features and keep them: a second call, or a killed one called again, does only what is left."""
    from vcemo_lib import features
    from vcemo_lib.corpora import load_corpus

    corpus = load_corpus(chosen.corpus, chosen.root)
    store = features.compute(corpus, kinds=tuple(chosen.kinds), text=chosen.text, cache=chosen.cache)
    for kind in store.kinds:
        print(f"{kind:<12} {len(corpus)} utterances, {store.width(kind)} wide")


def train(chosen: Chosen) -> None:
    """Train one model, keep it in a folder, and score it on the test part."""
    from vcemo_lib import models, training
    from vcemo_lib.corpora import splits

    corpus, parts = _data(chosen, chosen.seed)
    if leaks := len(splits.audit(parts)):
        print(f"warning: the parts share {leaks} speakers, sentences or clips", file=sys.stderr)
    names = ("epochs", "batch_size", "lr", "alpha", "acoustic", "speaker_norm", "modalities")
    given = {name: getattr(chosen, name) for name in names if getattr(chosen, name) is not None}
    changes = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    settings = models.settings_for(chosen.model, chosen.size, len(corpus.labels), **changes)
    store = _store(corpus, settings, chosen.text, chosen.model)
    widths = {kind: store.width(kind) for kind in store.kinds}
    model = models.build(chosen.model, settings, seed=chosen.seed, widths=widths)
    run = training.fit(model, store, parts, seed=chosen.seed, out=chosen.out)
    print(f"{models.parameters(model):,} parameters, best epoch {run.best_epoch}, {run.seconds:.0f} s")
    _report(run, run.predict(parts["test"]), corpus, store, chosen.out, part="test", split=chosen.split)


def evaluate(chosen: Chosen) -> None:
    """Score a trained model on one part of a corpus."""
    from vcemo_lib import training

    run = training.Run.load(chosen.run)
    corpus, parts = _data(chosen, run.seed)
    part = corpus if chosen.part == "all" else parts[chosen.part]
    store = _store(corpus, run.settings, chosen.text, run.model.name)
    about = {"part": chosen.part, "split": chosen.split}
    _report(run, run.predict(part, store), corpus, store, chosen.out, **about)


def ablate(chosen: Chosen) -> None:
    """Train the seven rows of the paper's Table 3 (each choice of modalities) on several seeds, resumable."""
    from vcemo_lib import experiments, models

    corpus, parts = _data(chosen)
    settings = models.settings_for("vcemo", chosen.size, len(corpus.labels), alpha=0.0)  # as in the table
    store = _store(corpus, settings, chosen.text)
    settings = settings.but(bert_width=store.width("bert"), epochs=chosen.epochs or settings.epochs)
    options = {"workers": chosen.workers, "dask": chosen.dask}
    _show(experiments.ablate(store, parts, chosen.out, chosen.seeds, settings, **options), corpus, chosen)


def compare(chosen: Chosen) -> None:
    """Train the models of the paper's Tables 1 and 2 (baselines and VCEMO) on several seeds, resumable."""
    from vcemo_lib import experiments, features

    corpus, parts = _data(chosen)
    kinds = ("mel", "words", "bert", "word_spans")
    store = features.compute(corpus, kinds, chosen.text, times=chosen.word_times)
    options = {name: getattr(chosen, name) for name in ("workers", "dask", "size")} | {"names": chosen.models}
    if chosen.epochs:
        options["epochs"] = chosen.epochs
    table = experiments.baselines(store, parts, chosen.out, chosen.seeds, **options)
    _show(table, corpus, chosen)


def predict(chosen: Chosen) -> None:
    """Predict the emotion of each clip; Whisper transcribes them first if the model reads words."""
    from vcemo_lib.predict import EmotionRecognizer

    predictions = EmotionRecognizer.load(chosen.run, chosen.whisper).predict(chosen.clips)
    for clip, prediction in zip(chosen.clips, predictions, strict=True):
        if chosen.json:
            print(json.dumps({"clip": clip, **prediction.as_dict()}, ensure_ascii=False))
            continue
        ranked = sorted(prediction.probabilities.items(), key=lambda pair: -pair[1])
        shares = ", ".join(f"{emotion} {share:.0%}" for emotion, share in ranked)
        words = f" “{prediction.transcript}”" if prediction.transcript else ""
        print(f"{printable(Path(clip).name)}: {prediction.emotion} ({shares}){words}")
        for warning in prediction.warnings:
            print(f"  {warning}", file=sys.stderr)


def course_run(chosen: Chosen) -> int:
    """Run the notebooks and compare what they measure with what is expected."""
    from vcemo_lib import course

    results = course.run(chosen.lane, chosen.only, chosen.jobs, chosen.update_expected)
    return int(any(not result.ok for result in results))


def course_list(chosen: Chosen) -> None:
    """List the notebooks: a reader's minutes, and what a run takes in each lane on two cores."""
    from vcemo_lib.course import Course

    notebooks = Course().notebooks
    for notebook in notebooks:
        runs = ", ".join(f"{lane} {seconds:g} s" for lane, seconds in notebook.seconds.items())
        minutes = f"{notebook.minutes:>4g} min"
        print(f"{notebook.number}  {minutes}  {notebook.title}" + (f"  ({runs})" if runs else ""))
    print(f"    {sum(notebook.minutes for notebook in notebooks):>4g} min to read and try it all")


def course_store(chosen: Chosen) -> None:
    """Make the last `cpu` run's outputs those that notebooks/ shows."""
    from vcemo_lib import course

    for path in course.store(only=chosen.only):
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def course_site(chosen: Chosen) -> None:
    """Write the executed course as one HTML site that works from a folder, offline, sound included."""
    from vcemo_lib.course import site

    print(f"open {site.build(out=chosen.out, lane=chosen.lane)}")


# ---- shared steps --------------------------------------------------------------------------------------


def _writable(folder: Path) -> None:
    """Make a folder and try to write to it: better now than after the first epoch."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        do = "choose another one with --out"
        raise VcemoError(f"cannot write to this folder: {error.strerror}", where=folder, do=do) from error


def _data(chosen: Chosen, seed: int = 0) -> tuple[Corpus, dict[str, Corpus]]:
    """The corpus and its parts by --split: its own by default, or by speaker where it has none."""
    from vcemo_lib.corpora import load_corpus, splits

    if getattr(chosen, "out", None):
        _writable(chosen.out)
    corpus = load_corpus(chosen.corpus, chosen.root)
    split = chosen.split or ("given" if "split" in corpus.table else "by_speaker")
    return corpus, splits.given(corpus) if split == "given" else getattr(splits, split)(corpus, seed=seed)


def _store(corpus: Corpus, settings: Any, text: str, model: str = "vcemo") -> Any:
    """The features that a model of these settings reads."""
    from vcemo_lib import features, models

    kinds = [kind for modality in settings.modalities for kind in settings.kinds[modality]]
    kinds += getattr(models.model_class(model), "also_reads", ())
    return features.compute(corpus, kinds=tuple(kinds), text=text)


def _show(table: pd.DataFrame, corpus: Corpus, chosen: Chosen) -> None:
    """Print the summary of a sweep."""
    from vcemo_lib import comparison

    print(f"{corpus!r}; means over {len(chosen.seeds)} seed(s), 95 % intervals from resampled speakers")
    print(comparison.summary(table).to_string(float_format="{:.3f}".format))
    print(f"kept in {chosen.out}")


def _report(
    run: Run, predictions: Predictions, corpus: Corpus, store: Any, out: Path | None, **about: str
) -> None:
    """Print scores with intervals and the confusion matrix; with `out` write results.json there."""
    from vcemo_lib import provenance
    from vcemo_lib.evaluation import confusion
    from vcemo_lib.paths import write_atomically

    table = predictions.intervals()
    print(f"{len(predictions.ids)} utterances of {corpus!r}; 95 % intervals from resampled speakers")
    print(table.to_string(float_format="{:.3f}".format))
    print(confusion(predictions.y_true, predictions.y_pred, predictions.classes).to_string())
    if out:
        results = {
            "metrics": table.to_dict("index"), "seed": run.seed, "best_epoch": run.best_epoch, **about,
            "seconds": run.seconds, "settings": run.settings.as_dict(), **provenance.stamp(corpus, store),
        }  # fmt: skip
        text = json.dumps(results, indent=1, ensure_ascii=False, default=str)
        write_atomically(out / "results.json", text + "\n")
        print(f"kept in {out}")


# ---- arguments -----------------------------------------------------------------------------------------


def _number(kind: type, least: float, most: float = math.inf) -> Callable[[str], float]:
    """A converter for argparse: a finite number of a kind, from `least` to `most`."""

    def convert(text: str) -> float:
        value = kind(text)
        if not (math.isfinite(value) and least <= value <= most):
            raise argparse.ArgumentTypeError(f"{text} is not from {least:g} to {most:g}")
        return value

    convert.__name__ = "number" if kind is float else "whole number"  # in argparse's message
    return convert


def _arg(*names: str, **options: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """What `add_argument` takes."""
    return names, options


WHOLE, SEED, RATE = _number(int, 1, 10**9), _number(int, 0, 2**63 - 1), _number(float, 0, 1e6)
CORPUS = _arg("corpus", nargs="?", default="sim", help="sim, vcemo, or the path of a CSV manifest")
ROOT = _arg("--root", type=Path, help="the folder that the clips lie in")
SPLITS = ("given", "by_speaker", "by_text", "random")
SPLIT = _arg("--split", choices=SPLITS, help="the corpus' own by default, else by speaker")
TEXT = _arg("--text", choices=("gold", "asr"), default="gold", help="the manifest's words, or Whisper's")
SIZE = _arg("--size", choices=("tutorial", "paper"), default="tutorial", help="small, or as published")
EPOCHS = _arg("--epochs", type=WHOLE)
SWEEP = (
    *(CORPUS, ROOT, SPLIT, TEXT, SIZE, EPOCHS),
    _arg("--seeds", type=SEED, nargs="+", default=[0, 1, 2]),
    _arg("--workers", type=WHOLE, default=1, help="runs at once, each with one thread"),
    _arg("--dask", metavar="ADDRESS", help="train on this Dask scheduler's workers, tcp://host:8786 say"),
)
ONLY = _arg("--only", nargs="+", metavar="NN", help="these notebooks, by number or name")

# The subcommands: name -> what it calls, and the arguments it takes.
COMMANDS: dict[str, tuple[Callable[[Chosen], int | None], tuple]] = {
    "doctor": (doctor, ()),
    "corpora": (corpora, (_arg("corpus", nargs="?", help=CORPUS[1]["help"]), ROOT, SPLIT)),
    "prepare": (prepare, (
        CORPUS, ROOT, _arg("--model", default="base", help="the Whisper to fetch and use"),
        _arg("--out", type=Path, help="the manifest to write, with transcripts"),
    )),
    "features": (features, (
        CORPUS, ROOT, TEXT,
        _arg("--kinds", nargs="+", default=["mel", "words", "bert"], metavar="KIND"),
        _arg("--cache", type=Path, help="the folder to keep them in"),
    )),
    "train": (train, (
        CORPUS, ROOT, SPLIT, TEXT, SIZE, EPOCHS,
        _arg("--model", default="vcemo", help="vcemo, or a baseline: xu, yoon, mdre, umons, cme"),
        _arg("--modalities", nargs="+", choices=("audio", "words", "bert"), metavar="MODALITY",
             help="all that the model reads by default"),
        _arg("--batch-size", type=WHOLE), _arg("--lr", type=RATE),
        _arg("--alpha", type=RATE, help="the weight of SupCon; 0 for cross-entropy alone"),
        _arg("--acoustic", choices=("mel", "whisper", "both"), help="log-mel, Whisper's frames, or both"),
        _arg("--speaker-norm", action=argparse.BooleanOptionalAction), _arg("--seed", type=SEED, default=0),
        _arg("--out", type=Path, default=Path("run"), help="the folder for model, checkpoint and results"),
    )),
    "evaluate": (evaluate, (
        _arg("run", type=Path, help="the folder that train wrote"), CORPUS, ROOT, SPLIT, TEXT,
        _arg("--part", choices=("train", "val", "test", "all"), default="test"),
        _arg("--out", type=Path, help="the folder for results.json"),
    )),
    "ablate": (ablate, (*SWEEP, _arg("--out", type=Path, default=Path("run/ablation")))),
    "compare": (compare, (
        *SWEEP, _arg("--out", type=Path, default=Path("run/compare")),
        _arg("--models", nargs="+", metavar="NAME", help="rows of the tables, such as 'Xu 2019'"),
        _arg("--word-times", default="voice", help="for CME: 'voice' (voiced frames), or a Whisper: base"),
    )),
    "predict": (predict, (
        _arg("clips", nargs="+", help="audio files"),
        _arg("--run", help="the folder that train wrote; the bundled recogniser without it"),
        _arg("--whisper", default="base", help="the Whisper that transcribes"),
        _arg("--json", action="store_true", help="one JSON object a clip"),
    )),
}  # fmt: skip
COURSE: dict[str, tuple[Callable[[Chosen], int | None], tuple]] = {
    "run": (course_run, (
        _arg("--lane", default="cpu", help="smoke, cpu or gpu"), ONLY,
        _arg("--jobs", type=WHOLE, help="notebooks at once"),
        _arg("--update-expected", action="store_true", help="take what is measured as what is expected"),
    )),
    "list": (course_list, ()),
    "store": (course_store, (ONLY,)),
    "site": (
        course_site,
        (
            _arg("--out", type=Path, help="the folder to write; build/site by default"),
            _arg("--lane", default="cpu", choices=("smoke", "cpu", "gpu"), help="the run that is shown"),
        ),
    ),
}  # fmt: skip


class _Parser(argparse.ArgumentParser):
    """argparse, but a mistake is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, printable(f"vcemo: {message}; see {self.prog} --help\n"))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="vcemo", description="Multimodal speech emotion recognition: course and library.")
    parser.add_argument("--version", action="version", version=f"vcemo {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    course = commands.add_parser("course", help="Run, list or store the notebooks, or make a site of them.")
    actions = course.add_subparsers(required=True, metavar="action")
    for where, table in ((commands, COMMANDS), (actions, COURSE)):
        for name, (command, arguments) in table.items():
            added = where.add_parser(name, help=command.__doc__, description=command.__doc__)
            added.set_defaults(command=command)
            for names, options in arguments:
                added.add_argument(*names, **options)
    return parser
