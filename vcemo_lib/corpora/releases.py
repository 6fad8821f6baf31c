"""The commands on releases of real speech: `vcemo corpora`, `prepare` and `fetch`."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path

from vcemo_lib.corpora.fetch import fetch as fetch_corpus
from vcemo_lib.corpora.readers import CORPORA, place, read, remember
from vcemo_lib.corpora.readers.facts import Facts
from vcemo_lib.errors import VcemoError, printable
from vcemo_lib.paths import write_atomically


def listing() -> None:
    """Every corpus that is known, how it is had, and where it lies on this machine."""
    for name, facts in CORPORA.items():
        here = place(name)
        clips = f", {facts.clips:,} clips" if facts.clips else ""
        print(f"{name:<12}{facts.title} ({facts.language or 'any language'}{clips}; {facts.licence})")
        print(printable(f"{'':<12}{f'here: {here}' if here else 'to get it: ' + facts.get}"))


def manifest(name: str, root: Path | str | None, out: Path | None) -> None:
    """Print the report on a release and write its manifest, with paths from there; nothing is copied."""
    if (folder := Path(root) if root else place(name)) is None:
        raise VcemoError(f"{name} is not on this machine", do=f"{CORPORA[name].get}, then give its folder")
    table, report = read(name, folder)
    print(printable(str(report)))
    remember(name, folder)
    if out is None:
        return
    file = out if out.suffix.lower() in (".csv", ".tsv") else out / "manifest.csv"
    inside, above = folder.resolve(), file.resolve().parent
    if inside.is_relative_to(above):
        below = inside.relative_to(above)
        table["audio"] = [(below / audio).as_posix() for audio in table["audio"]]
    else:
        table["root"] = str(inside)
    separator = "\t" if file.suffix.lower() == ".tsv" else ","
    write_atomically(file, table.to_csv(index=False, sep=separator, lineterminator="\n"))
    emotions = Counter(table["emotion"])
    print(printable(f"{len(table):,} utterances, {len(emotions)} classes: vc.load_corpus({str(file)!r})"))


def fetch(chosen: Namespace) -> None:
    """Fetch a corpus that is open: its licence is shown and agreed to once; a broken transfer goes on."""

    def agree(facts: Facts) -> bool:
        print(f"{facts.title}\nlicence: {facts.licence}")
        if chosen.yes:
            return True
        if not sys.stdin.isatty():
            raise VcemoError("its licence must be agreed to", do="add --yes, if you do")
        return input("Do you agree to it? [y/N] ").strip().lower() in ("y", "yes")

    if chosen.name not in CORPORA:
        raise VcemoError(f"unknown corpus {chosen.name!r}", do="vcemo corpora lists them")
    folder = fetch_corpus(chosen.name, chosen.to, agree)
    print(printable(f"in {folder}: vcemo prepare {chosen.name}"))
