"""The command `vcemo`: reads arguments, calls the library and prints what it gives."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import vcemo_lib as vc
from vcemo_lib.corpora import readers, releases
from vcemo_lib.course import commands
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


def corpora(chosen: Chosen) -> None:
    """List the corpora that are known and which are here; or describe one: its classes, what parts share."""
    import pandas as pd

    if chosen.name is None:
        return releases.listing()
    chosen.corpus = chosen.name
    corpus, parts = _data(chosen)
    print(f"{corpus!r}, fingerprint {corpus.fingerprint()}")
    counts = {name: part.table["emotion"].value_counts() for name, part in parts.items()}
    print(pd.DataFrame(counts).fillna(0).astype(int).sort_index().to_string())
    leaks = vc.splits.audit(parts)
    print(f"\n{len(leaks)} speakers, sentences or clips are in two parts", end="")
    print(printable(f"; the first ten:\n{leaks.head(10).to_string(index=False)}") if len(leaks) else ".")


def prepare(chosen: Chosen) -> None:
    """Check a corpus and write its manifest to --out: a release's, or one with Whisper's words."""
    out = chosen.out and (chosen.out if chosen.out.suffix == ".csv" else chosen.out / "manifest.csv")
    if chosen.corpus in readers.READABLE:
        return releases.manifest(chosen.corpus, chosen.root, out)
    chosen.out = out and out.parent
    corpus = _corpus(chosen)
    print(f"{corpus!r}; weights: {vc.weights.whisper(chosen.whisper)}")
    if out:
        heard = corpus.with_column("asr", vc.asr.transcribe(corpus, chosen.whisper)["text"])
        vc.paths.write_atomically(out, heard.to_csv())
        print(f"transcripts written: use {out} with --root {corpus.root} and --text asr")


def features(chosen: Chosen) -> None:
    """Compute features and keep them: a second call, or a killed one called again, does only what is left."""
    corpus = vc.load_corpus(chosen.corpus, chosen.root)
    store = vc.features.compute(corpus, kinds=tuple(chosen.kinds), text=chosen.text)
    for kind in store.kinds:
        print(f"{kind:<12} {len(corpus)} utterances, {store.width(kind)} wide")


def train(chosen: Chosen) -> None:
    """Train one model, keep it in a folder, and score it on the test part."""
    corpus, parts = _data(chosen, chosen.seed)
    if leaks := len(vc.splits.audit(parts)):
        print(f"warning: the parts share {leaks} speakers, sentences or clips", file=sys.stderr)
    settings = vc.models.settings_for(chosen.model, chosen.size, len(corpus.labels), **dict(chosen.set))
    store = vc.features.compute(corpus, vc.models.kinds_read(chosen.model, settings), chosen.text)
    widths = {kind: store.width(kind) for kind in store.kinds}
    model = vc.models.build(chosen.model, settings, seed=chosen.seed, widths=widths)
    run = vc.training.fit(model, store, parts, seed=chosen.seed, out=chosen.out)
    print(f"{vc.models.parameters(model):,} parameters, best epoch {run.best_epoch}, {run.seconds:.0f} s")
    _report(run, run.predict(parts["test"]), corpus, store, chosen)


def evaluate(chosen: Chosen) -> None:
    """Score a trained model: on its own part of the corpus it was trained on, or on one of another corpus."""
    run, corpus = vc.training.Run.load(chosen.run), _corpus(chosen)
    made, part = run.recipe.features if run.recipe else {"text": "gold"}, corpus
    if chosen.part != "all":
        own = run.recipe if run.recipe and run.recipe.knows(corpus) else None
        part = own.part(corpus, chosen.part) if own else _parts(corpus, None, run.seed)[chosen.part]
    kinds = vc.training.kinds_of(run.model)
    settings = {name: value for kind in kinds for name, value in run.made_by(kind).items()}
    store = vc.features.compute(corpus, kinds, made["text"], **settings)
    _report(run, run.predict(part, store), corpus, store, chosen)


def ablate(chosen: Chosen) -> None:
    """Train the seven rows of the paper's Table 3 (each choice of modalities) on several seeds, resumable."""
    corpus, parts = _data(chosen)
    store = vc.features.compute(corpus, text=chosen.text)
    changes = {"alpha": 0.0, "bert_width": store.width("bert"), **dict(chosen.set)}  # no SupCon in Table 3
    settings = vc.models.settings_for("vcemo", chosen.size, len(corpus.labels), **changes)
    _sweep(vc.experiments.ablation_configs(settings), corpus, store, parts, chosen)


def compare(chosen: Chosen) -> None:
    """Train the models of the paper's Tables 1 and 2 (baselines and VCEMO) on several seeds, resumable."""
    corpus, parts = _data(chosen)
    kinds = ("mel", "words", "bert", "word_spans")
    store = vc.features.compute(corpus, kinds, chosen.text, times=chosen.word_times)
    named = chosen.size, chosen.models
    configs = vc.experiments.baseline_configs(store, len(corpus.labels), *named, **dict(chosen.set))
    _sweep(configs, corpus, store, parts, chosen)


def predict(chosen: Chosen) -> None:
    """Predict the emotion of each clip; Whisper transcribes them first if the model reads words."""
    recogniser = vc.predict.EmotionRecognizer.load(chosen.run, chosen.whisper)
    predictions = recogniser.predict(chosen.clips, enrol=chosen.enrol)
    for clip, found in zip(chosen.clips, predictions, strict=True):
        if chosen.json:
            print(json.dumps({"clip": clip, **found.as_dict()}, ensure_ascii=False))
            continue
        ranked = sorted(found.probabilities.items(), key=lambda pair: -pair[1])
        shares = ", ".join(f"{emotion} {share:.0%}" for emotion, share in ranked)
        words = f" “{found.transcript}”" if found.transcript else ""
        print(printable(f"{Path(clip).name}: {found.emotion} ({shares}){words}"))
        for warning in found.warnings:
            print(f"  {warning}", file=sys.stderr)


def _corpus(chosen: Chosen) -> Corpus:
    """The corpus, once --out can be written to: better known now than after the first epoch."""
    if chosen.out:
        chosen.out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=chosen.out).close()
    return vc.load_corpus(chosen.corpus, chosen.root)


def _data(chosen: Chosen, seed: int = 0) -> tuple[Corpus, dict[str, Corpus]]:
    """The corpus and its parts."""
    corpus = _corpus(chosen)
    return corpus, _parts(corpus, chosen.split, seed)


def _parts(corpus: Corpus, split: str | None, seed: int) -> dict[str, Corpus]:
    """Its parts by --split: its own by default, or by speaker where it has none."""
    split = split or ("given" if "split" in corpus.table else "by_speaker")
    return getattr(vc.splits, split)(corpus, **({} if split == "given" else {"seed": seed}))


def _sweep(configs: Any, corpus: Corpus, store: Any, parts: dict[str, Corpus], chosen: Chosen) -> None:
    """Train all configs on all seeds and print the summary."""
    table = vc.experiments.run(configs, store, parts, chosen.out, chosen.seeds, chosen.workers)
    print(f"{corpus!r}; means over {len(chosen.seeds)} seed(s), 95 % intervals over speakers and seeds")
    print(vc.comparison.summary(table).to_string(float_format="{:.3f}".format))
    print(f"kept in {chosen.out}")


def _report(run: Run, found: Predictions, corpus: Corpus, store: Any, chosen: Chosen) -> None:
    """Print scores with intervals and the confusion matrix; with --out write results.json there."""
    table = found.intervals()
    print(f"{len(found.ids)} utterances of {corpus!r}; 95 % intervals over speakers, for one seed")
    print(table.to_string(float_format="{:.3f}".format))
    print(vc.evaluation.confusion(found.y_true, found.y_pred, found.classes).to_string())
    if chosen.out:
        metrics = table.astype(object).where(table.notna(), None).to_dict("index")  # JSON knows no NaN
        made = {name: getattr(run, name) for name in ("seed", "best_epoch", "seconds")}
        made |= {"settings": run.settings.as_dict()} | vc.provenance.stamp(corpus, store)
        text = json.dumps({"metrics": metrics, "part": chosen.part, **made}, indent=1, ensure_ascii=False)
        vc.paths.write_atomically(chosen.out / "results.json", text + "\n")
        print(f"kept in {chosen.out}")


def _whole(text: str) -> int:
    """A converter for argparse: a whole number that fits a seed."""
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0 to 2^63 - 1")
    return int(text)


def _setting(text: str) -> tuple[str, Any]:
    """A converter for argparse: name=value, a value as in JSON or a word; modalities with commas between."""
    name, _, value = text.partition("=")
    if name not in vc.models.tutorial().as_dict() or name == "classes":  # the corpus gives these
        raise argparse.ArgumentTypeError(f"no setting is called {name!r}")
    try:
        return name, tuple(value.split(",")) if name == "modalities" else json.loads(value)
    except ValueError:
        return name, value


ARGUMENTS: dict[str, dict[str, Any]] = {  # what `add_argument` takes
    **commands.ARGUMENTS,
    "corpus": {"nargs": "?", "default": "sim", "help": "a name of `vcemo corpora`, or a CSV manifest's path"},
    "name": {"nargs": "?", "help": "a name of `vcemo corpora`, or a CSV manifest's path"},
    "root": {"nargs": "?", "default": argparse.SUPPRESS, "help": "the folder of the release"},
    "run": {"type": Path, "help": "the folder that train wrote"},
    "clips": {"nargs": "+", "help": "audio files"},
    "--enrol": {"nargs": "+", "default": (), "metavar": "CLIP", "help": "other clips of the same voice"},
    "--json": {"action": "store_true", "help": "one JSON object a clip"},
    "--kinds": {"nargs": "+", "default": ("mel", "words", "bert"), "metavar": "KIND"},
    "--model": {"default": "vcemo", "help": "vcemo, or a baseline: xu, yoon, mdre, umons, cme"},
    "--models": {"nargs": "+", "metavar": "NAME", "help": "rows of the tables, such as 'Xu 2019'"},
    "--out": {"type": Path, "help": "the folder to write"},
    "--part": {"choices": ("train", "val", "test", "all"), "default": "test"},
    "--root": {"type": Path, "help": "the folder that the clips lie in"},
    "--run": {"help": "the folder that train wrote; the bundled recogniser without it"},
    "--seed": {"type": _whole, "default": 0},
    "--seeds": {"type": _whole, "nargs": "+", "default": [0, 1, 2]},
    "--set": {"type": _setting, "nargs": "+", "default": (), "metavar": "NAME=VALUE",
              "help": "settings of the model and its training: epochs=20 alpha=1 modalities=audio,words"},
    "--size": {"choices": ("tutorial", "paper"), "default": "tutorial", "help": "small, or as published"},
    "--split": {"choices": ("given", "by_speaker", "by_text", "random"),
                "help": "the corpus' own by default, else by speaker"},
    "--text": {"choices": ("gold", "asr"), "default": "gold", "help": "the manifest's words, or Whisper's"},
    "--to": {"type": Path, "help": "a new or empty folder, or one that was begun; the cache's without it"},
    "--yes": {"action": "store_true", "help": "the licence is agreed to"},
    "--whisper": {"default": "base", "help": "the Whisper that transcribes"},
    "--word-times": {"default": "voice", "help": "for CME: 'voice' (voiced frames), or a Whisper: base"},
    "--workers": {"type": _whole, "default": 1, "help": "runs at once, each with one thread"},
}  # fmt: skip
TRAINED = "corpus --root --split --text --out --size --set"
SWEEP = f"{TRAINED} --seeds --workers"
COMMANDS: dict[str, tuple[Any, str]] = {  # name -> what it calls, its arguments
    "doctor": (commands.doctor, ""),
    "corpora": (corpora, "name --root --split"),
    "fetch": (releases.fetch, "name --to --yes"),
    "prepare": (prepare, "corpus root --root --whisper --out"),
    "features": (features, "corpus --root --text --kinds"),
    "train": (train, f"{TRAINED} --model --seed"),
    "evaluate": (evaluate, "run corpus --root --out --part"),
    "ablate": (ablate, SWEEP),
    "compare": (compare, f"{SWEEP} --models --word-times"),
    "predict": (predict, "clips --run --whisper --enrol --json"),
    "results": (commands.results, ""),
}
OUT = {"train": Path("run"), "ablate": Path("run/ablation"), "compare": Path("run/compare")}  # by default


class _Parser(argparse.ArgumentParser):
    """argparse, but a mistake is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, printable(f"vcemo: {message}; see {self.prog} --help\n"))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="vcemo", description="Multimodal speech emotion recognition: course and library.")
    parser.add_argument("--version", action="version", version=f"vcemo {vc.__version__}")
    actions = parser.add_subparsers(required=True, metavar="command")
    course = actions.add_parser("course", help="Run, list or store the notebooks, or make a site of them.")
    notebooks = course.add_subparsers(required=True, metavar="action")
    for where, table in ((actions, COMMANDS), (notebooks, commands.COMMANDS)):
        for name, (command, arguments) in table.items():
            added = where.add_parser(name, help=command.__doc__, description=command.__doc__)
            for argument in arguments.split():
                added.add_argument(argument, **ARGUMENTS[argument])
            added.set_defaults(command=command, out=OUT.get(name))
    parser.set_defaults(part="test")
    return parser
