"""Evaluation protocols by name: `folds("speakers", corpus)` says who trains, who chooses, who is tested."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from vcemo_lib.corpora import splits
from vcemo_lib.corpora.corpus import Corpus
from vcemo_lib.errors import VcemoError

if TYPE_CHECKING:
    import numpy as np

FEW = 4  # groups beside the test fold's, below which validation is made of training's own clips
OPTIMISTIC = "optimistic: the epoch is chosen on the fold that is reported"


@dataclass(frozen=True)
class Protocol:
    """How a corpus is evaluated: fold -> {"train", "val", "test"}; `note` must stand beside the scores."""

    name: str
    folds: dict[str, splits.Parts]
    note: str = ""


def folds(name: str, corpus: Corpus, seed: int = 0, **options: Any) -> Protocol:
    """A protocol by its name; together its folds test each utterance at most once.

    "8/1/1"            the paper's random split (section 4.3)
    "random"           `k` folds of clips dealt at random: to be set beside others, not to be reported
    "sessions"         each session (column `group`) once the test part, another one for validation
    "sessions, paper"  as the paper does on IEMOCAP (section 4.1): the test fold chooses the epoch, too
    "speakers"         each speaker once the test part, or `k` bundles of speakers
    "text"             `k` bundles of sentences, whoever says them
    "cross-corpus"     trained on this corpus, tested on `other`, on the labels that both have
    "emobox"           EmoBox' lists in its folder of this corpus: files="EmoBox/data/casia"
    """
    if name not in PROTOCOLS:
        raise VcemoError(f"no protocol is called {name!r}", do=f"choose among {', '.join(PROTOCOLS)}")
    made, note = PROTOCOLS[name](corpus, seed, **options)
    return Protocol(name, made, note)


Made = tuple[dict[str, splits.Parts], str]


def _leave_out(corpus: Corpus, seed: int, column: str, k: int | None = None, note: str = "") -> Made:
    """Folds whose test parts are single groups of a column, or `k` bundles of them with like emotions."""
    import numpy as np

    if column not in corpus.table.reset_index():
        raise VcemoError(f"this corpus has no column {column!r}", corpus.name, "use the protocol 'speakers'")
    groups = corpus.table.reset_index()[column].map(splits.bare if column == "text" else str).to_numpy(str)
    if (count := len(names := np.unique(groups))) < 2:
        raise VcemoError(f"leaving one out needs two groups, here is {count} {column}", where=corpus.name)
    tests: Iterator[tuple[str, np.ndarray]] = ((str(name), groups == name) for name in names)
    if k is not None and k < count:
        tests = ((f"{i} of {k}", test) for i, test in enumerate(_dealt(corpus, groups, k, seed), 1))
    made = {}
    for name, test in tests:
        rest, left = corpus.subset(~test), len(set(groups[~test]))
        val = _validation(rest, groups[~test], seed)
        made[name] = _named(corpus, rest.subset(~val), rest.subset(val), corpus.subset(test))
    few = "" if left >= FEW else "validation is a part of the training groups' clips"
    return made, "; ".join(filter(None, [note, few]))


def _paper_sessions(corpus: Corpus, seed: int, k: int | None = None) -> Made:
    made, _ = _leave_out(corpus, seed, "group", k)
    for name, of in made.items():
        train = corpus.subset([*of["train"].ids, *of["val"].ids])
        made[name] = _named(corpus, train, of["test"], of["test"])
    return made, OPTIMISTIC


def _cross(corpus: Corpus, seed: int, other: Corpus) -> Made:
    have = set(corpus.table["emotion"]) & set(other.table["emotion"])
    if len(labels := tuple(label for label in corpus.labels if label in have)) < 2:
        raise VcemoError(f"{corpus.name} and {other.name} share {len(labels)} labels", do="map their labels")
    own, test = (replace(c, table=c.table[c.table["emotion"].isin(labels)], labels=labels)
                 for c in (corpus, other))  # fmt: skip
    val = _validation(own, own.table["speaker"].to_numpy(str), seed)
    parts = _named(own, own.subset(~val), own.subset(val), own) | {"test": test}
    return {f"{corpus.name} to {other.name}": parts}, f"labels: {', '.join(labels)}"


def _emobox(corpus: Corpus, seed: int, files: Path | str) -> Made:
    """fold_N/*_{train,valid,test}_fold_N.jsonl (Ma et al. 2024); without `valid` a fifth of the training."""
    made, missing, whose = {}, 0, _by_end_of_path(corpus)
    for folder in sorted(Path(files).glob("fold_*"), key=lambda path: int(path.name[5:])):
        found: dict[str, Corpus] = {}
        for part in ("train", "valid", "test"):
            for file in sorted(folder.glob(f"*_{part}_fold*.jsonl"))[:1]:
                lines = filter(str.strip, file.read_text(encoding="utf-8").splitlines())
                ids = [whose(json.loads(line)["wav"]) for line in lines]
                found[part] = corpus.subset([utt_id for utt_id in ids if utt_id])
                missing += ids.count(None)
        if not all(len(found.get(part, ())) for part in ("train", "test")):
            raise VcemoError("no clip of this corpus in these lists", folder, "give its own folder")
        if "valid" not in found:
            val, train = _some(found["train"], seed), found["train"]
            found |= {"train": train.subset(~val), "valid": train.subset(val)}
        made[folder.name] = _named(corpus, found["train"], found["valid"], found["test"])
    if not made:
        raise VcemoError("no folder fold_1 with lists", files, "give EmoBox/data/<corpus>")
    return made, f"{missing} clips of the lists are not in this corpus" if missing else ""


PROTOCOLS: dict[str, Callable[..., Made]] = {
    "8/1/1": lambda corpus, seed: (
        {"8/1/1": splits.random(corpus, seed=seed)},
        "speakers and sentences leak",
    ),
    "random": partial(_leave_out, column="utt_id", k=5, note="speakers and sentences leak"),
    "sessions": partial(_leave_out, column="group"),
    "sessions, paper": _paper_sessions,
    "speakers": partial(_leave_out, column="speaker"),
    "text": partial(_leave_out, column="text", k=5, note="speakers leak"),
    "cross-corpus": _cross,
    "emobox": _emobox,
}


def _named(corpus: Corpus, *parts: Corpus) -> splits.Parts:
    names = zip(("train", "val", "test"), parts, strict=True)
    return {name: replace(part, name=f"{corpus.name}/{name}") for name, part in names}


def _validation(rest: Corpus, groups: np.ndarray, seed: int) -> np.ndarray:
    """Which clips (N,) choose the epoch: those of a seventh of the groups; of few, some of all clips."""
    import numpy as np
    from sklearn.model_selection import GroupShuffleSplit

    if not FEW <= (count := len(set(groups))) < len(groups):
        return _some(rest, seed, 7 if count >= FEW else 5)
    some = GroupShuffleSplit(1, test_size=-(-count // 7), random_state=seed)
    return np.isin(np.arange(len(groups)), next(some.split(groups, None, groups))[1])


def _some(rest: Corpus, seed: int, k: int = 5) -> np.ndarray:
    """One of `k` parts of the clips (N,), alike in emotions."""
    return next(_dealt(rest, rest.table.index.to_numpy(str), k, seed))


def _dealt(corpus: Corpus, groups: np.ndarray, k: int, seed: int) -> Iterator[np.ndarray]:
    """Masks (N,) of k folds with whole groups in each and like shares of emotions."""
    import warnings

    import numpy as np
    from sklearn.model_selection import StratifiedGroupKFold

    y = corpus.y()
    if len(set(groups)) == len(groups):  # clips: shuffled, sorted by emotion, dealt in turn
        order = np.random.default_rng(seed).permutation(len(y))
        turn = np.empty(len(y), int)
        turn[order[np.argsort(y[order], kind="stable")]] = np.arange(len(y)) % k
        yield from (turn == fold for fold in range(k))
        return
    if k > np.bincount(y).max():
        raise VcemoError(f"too few clips for {k} folds", corpus.name, "give fewer")
    with warnings.catch_warnings(action="ignore"):  # an emotion with fewer clips than folds
        for _, test in StratifiedGroupKFold(k, shuffle=True, random_state=seed).split(groups, y, groups):
            yield np.isin(np.arange(len(groups)), test)


def _by_end_of_path(corpus: Corpus) -> Callable[[str], str | None]:
    """From a path of another machine to the utterance whose path ends alike, as far as is needed to tell."""
    paths = {utt_id: PurePosixPath(file).parts for utt_id, file in corpus.table["audio"].items()}
    for length in range(1, 1 + max(map(len, paths.values()))):
        if len(ends := {path[-length:]: utt_id for utt_id, path in paths.items()}) == len(paths):
            return lambda path: ends.get(PurePosixPath(path).parts[-length:])
    raise VcemoError("several utterances lie in one file; EmoBox' lists cannot tell them", corpus.name)
