"""The command `vcemo`: reads arguments, calls the library and prints what it gives.

A user's mistake gives one line and exit code 2; a check that fails ends with 1.
"""

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


def _say(text: str, **options: Any) -> None:
    """Print, but no control characters of a file's or a speaker's name."""
    print(printable(text), **options)


def corpora(chosen: Chosen) -> None:
    """List the corpora that are known and which are here; or describe one: its classes, what parts share."""
    import pandas as pd

    if chosen.name is None:
        return releases.listing()
    chosen.corpus = chosen.name
    corpus, parts = _data(chosen)
    _say(f"{corpus!r}, fingerprint {corpus.fingerprint()}")
    counts = {name: part.table["emotion"].value_counts() for name, part in parts.items()}
    _say(pd.DataFrame(counts).fillna(0).astype(int).sort_index().to_string())
    leaks = vc.splits.audit(parts)
    _say(f"\n{len(leaks)} speakers, sentences or clips are in two parts", end="")
    _say(f"; the first ten:\n{leaks.head(10).to_string(index=False)}" if len(leaks) else ".")


def prepare(chosen: Chosen) -> None:
    """Check a corpus and write its manifest with --out: a release's, or a manifest with Whisper's words."""
    from tqdm import tqdm

    if chosen.corpus in readers.READABLE:
        return releases.manifest(chosen.corpus, chosen.root, chosen.out)
    corpus = vc.load_corpus(chosen.corpus, chosen.root)
    if chosen.out:
        _writable(chosen.out.parent)
    vc.weights.whisper(chosen.whisper)
    for utt_id in tqdm(corpus.ids, desc="decoding", unit="clip"):
        vc.audio.load(corpus.path(utt_id))
    _say(f"{corpus!r}: every clip can be decoded")
    if chosen.out:
        heard = corpus.with_column("asr", vc.asr.transcribe(corpus, chosen.whisper)["text"])
        vc.paths.write_atomically(chosen.out, heard.to_csv())
        _say(f"transcripts written: use {chosen.out} with --root {corpus.root} and --text asr")


def features(chosen: Chosen) -> None:
    """Compute features and keep them: a second call, or a killed one called again, does only what is left."""
    corpus = vc.load_corpus(chosen.corpus, chosen.root)
    store = vc.features.compute(corpus, kinds=tuple(chosen.kinds), text=chosen.text)
    for kind in store.kinds:
        _say(f"{kind:<12} {len(corpus)} utterances, {store.width(kind)} wide")


def train(chosen: Chosen) -> None:
    """Train one model, keep it in a folder, and score it on the test part."""
    corpus, parts = _data(chosen, chosen.seed)
    if leaks := len(vc.splits.audit(parts)):
        _say(f"warning: the parts share {leaks} speakers, sentences or clips", file=sys.stderr)
    settings = vc.models.settings_for(chosen.model, chosen.size, len(corpus.labels), **dict(chosen.set))
    store = _store(corpus, settings, chosen.text, chosen.model)
    widths = {kind: store.width(kind) for kind in store.kinds}
    model = vc.models.build(chosen.model, settings, seed=chosen.seed, widths=widths)
    run = vc.training.fit(model, store, parts, seed=chosen.seed, out=chosen.out)
    _say(f"{vc.models.parameters(model):,} parameters, best epoch {run.best_epoch}, {run.seconds:.0f} s")
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
    predictions = vc.predict.EmotionRecognizer.load(chosen.run, chosen.whisper).predict(chosen.clips)
    for clip, found in zip(chosen.clips, predictions, strict=True):
        if chosen.json:
            print(json.dumps({"clip": clip, **found.as_dict()}, ensure_ascii=False))
            continue
        ranked = sorted(found.probabilities.items(), key=lambda pair: -pair[1])
        shares = ", ".join(f"{emotion} {share:.0%}" for emotion, share in ranked)
        words = f" “{found.transcript}”" if found.transcript else ""
        _say(f"{Path(clip).name}: {found.emotion} ({shares}){words}")
        for warning in found.warnings:
            _say(f"  {warning}", file=sys.stderr)


def _writable(folder: Path) -> None:
    """Make a folder and try to write to it: better now than after the first epoch."""
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()


def _data(chosen: Chosen, seed: int = 0) -> tuple[Corpus, dict[str, Corpus]]:
    """The corpus and its parts."""
    corpus = _corpus(chosen)
    return corpus, _parts(corpus, chosen, seed)


def _corpus(chosen: Chosen) -> Corpus:
    """The corpus, once --out is known to be writable."""
    if getattr(chosen, "out", None):
        _writable(chosen.out)
    return vc.load_corpus(chosen.corpus, chosen.root)


def _parts(corpus: Corpus, chosen: Chosen, seed: int) -> dict[str, Corpus]:
    """Its parts by --split: its own by default, or by speaker where it has none."""
    split = chosen.split or ("given" if "split" in corpus.table else "by_speaker")
    return getattr(vc.splits, split)(corpus, **({} if split == "given" else {"seed": seed}))


def _part_of(run: Run, chosen: Chosen) -> tuple[Corpus, Corpus]:
    """The corpus, and the part to score on: the run's own where it was trained on this corpus."""
    corpus = _corpus(chosen)
    if chosen.part == "all":
        return corpus, corpus
    if run.recipe is None or not run.recipe.knows(corpus):
        return corpus, _parts(corpus, chosen, run.seed)[chosen.part]
    own = run.recipe.part(corpus, chosen.part)
    if chosen.split and set(_parts(corpus, chosen, run.seed)[chosen.part].ids) != set(own.ids):
        raise VcemoError(f"the run's split is not {chosen.split}", chosen.run, "leave out --split")
    return corpus, own


def _store(corpus: Corpus, settings: Any, text: str, model: str) -> Any:
    """The features that a model of these settings reads."""
    return vc.features.compute(corpus, kinds=vc.models.kinds_read(model, settings), text=text)


def _sweep(configs: Any, corpus: Corpus, store: Any, parts: dict[str, Corpus], chosen: Chosen) -> None:
    """Train all configs on all seeds and print the summary."""
    table = vc.experiments.run(configs, store, parts, chosen.out, chosen.seeds, chosen.workers)
    _say(f"{corpus!r}; means over {len(chosen.seeds)} seed(s), 95 % intervals over speakers and seeds")
    _say(vc.comparison.summary(table).to_string(float_format="{:.3f}".format))
    _say(f"kept in {chosen.out}")


def _report(run: Run, found: Predictions, corpus: Corpus, store: Any, chosen: Chosen, part: str) -> None:
    """Print scores with intervals and the confusion matrix; with --out write results.json there."""
    table = found.intervals()
    _say(f"{len(found.ids)} utterances of {corpus!r}; 95 % intervals over speakers, for one seed")
    _say(table.to_string(float_format="{:.3f}".format))
    _say(vc.evaluation.confusion(found.y_true, found.y_pred, found.classes).to_string())
    if chosen.out:
        metrics = table.astype(object).where(table.notna(), None).to_dict("index")  # JSON knows no NaN
        results = {
            "metrics": metrics, "seed": run.seed, "best_epoch": run.best_epoch, "part": part,
            "split": chosen.split, "seconds": run.seconds, "settings": run.settings.as_dict(),
            **vc.provenance.stamp(corpus, store),
        }  # fmt: skip
        text = json.dumps(results, indent=1, ensure_ascii=False, default=str)
        vc.paths.write_atomically(chosen.out / "results.json", text + "\n")
        _say(f"kept in {chosen.out}")


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
    "--json": {"action": "store_true", "help": "one JSON object a clip"},
    "--kinds": {"nargs": "+", "default": ("mel", "words", "bert"), "metavar": "KIND"},
    "--model": {"default": "vcemo", "help": "vcemo, or a baseline: xu, yoon, mdre, umons, cme"},
    "--models": {"nargs": "+", "metavar": "NAME", "help": "rows of the tables, such as 'Xu 2019'"},
    "--out": {"type": Path, "help": "the folder to write; for prepare, the manifest with transcripts"},
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
    "evaluate --text": {"choices": ("gold", "asr"), "help": "whose words: as in training"},
    "--to": {"type": Path, "help": "a new or empty folder, or one that was begun; the cache's without it"},
    "--yes": {"action": "store_true", "help": "the licence is agreed to"},
    "--whisper": {"default": "base", "help": "the Whisper that transcribes"},
    "--word-times": {"default": "voice", "help": "for CME: 'voice' (voiced frames), or a Whisper: base"},
    "--workers": {"type": _whole, "default": 1, "help": "runs at once, each with one thread"},
}  # fmt: skip
DATA = "corpus --root --split --text --out"
SWEEP = f"{DATA} --size --set --seeds --workers"
COMMANDS: dict[str, tuple[Any, str]] = {  # name -> what it calls, its arguments
    "doctor": (commands.doctor, ""),
    "corpora": (corpora, "name --root --split"),
    "fetch": (releases.fetch, "name --to --yes"),
    "prepare": (prepare, "corpus root --root --whisper --out"),
    "features": (features, "corpus --root --text --kinds"),
    "train": (train, f"{DATA} --size --set --model --seed"),
    "evaluate": (evaluate, f"run {DATA} --part"),
    "ablate": (ablate, SWEEP),
    "compare": (compare, f"{SWEEP} --models --word-times"),
    "predict": (predict, "clips --run --whisper --json"),
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
                added.add_argument(argument, **ARGUMENTS.get(f"{name} {argument}") or ARGUMENTS[argument])
            added.set_defaults(command=command, **({"out": OUT[name]} if name in OUT else {}))
    return parser
