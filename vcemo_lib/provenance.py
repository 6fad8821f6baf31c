"""What made a number: the recipe of a run; when, on what, and with which versions and weights it was made."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcemo_lib.errors import VcemoError

if TYPE_CHECKING:
    from vcemo_lib.corpora import Corpus

PACKAGES = ("vcemo-lib", "torch", "numpy", "librosa", "transformers", "openai-whisper", "spacy")
CONTENT = ("text", "asr", "emotion", "speaker", "start", "end")  # of an utterance, where a manifest has it
BY_MACHINE = ("precision", "torchaudio", "jieba")  # of a feature: may be others where a run is used


@dataclass(frozen=True)
class Recipe:
    """Everything that made a run: equal recipes, equal runs."""

    model: str
    settings: dict[str, Any]  # scaling included
    seed: int
    parts: dict[str, dict[str, str]]  # the split: of each part its `contents`
    features: dict[str, Any]  # see `data`
    versions: dict[str, str]

    @classmethod
    def of(cls, model: str, settings: Any, seed: int, given: dict[str, Any]) -> Recipe:
        """From a model's name, its Settings, and the `data` it is given."""
        own = {name: found for name, found in versions().items() if name in PACKAGES[:3]}
        return cls(model, settings.as_dict(), int(seed), versions=own, **given)

    @property
    def key(self) -> str:
        return digest(asdict(self))

    def plain(self) -> dict[str, Any]:
        """All of it for a result file, each part by its digest alone."""
        parts = {name: digest(part) for name, part in self.parts.items()}
        return json.loads(json.dumps(asdict(self) | {"parts": parts, "recipe": self.key}))

    def require(self, found: Recipe | None, folder: Path) -> None:
        """Raise VcemoError where what a folder holds was made otherwise."""
        if found is None or found.key != self.key:
            told = difference(found.plain(), self.plain()) if found else "of an earlier version"
            raise VcemoError(f"this folder holds another run ({told})", folder, "choose another folder")

    def require_features(self, store: Any) -> None:
        """Raise VcemoError, naming the difference, where a store's features are made otherwise."""
        told = store.describe()["kinds"] if hasattr(store, "describe") else {}
        for kind, made in self.features["kinds"].items():
            both = made, told.get(kind, made)
            ours, theirs = ({k: v for k, v in of.items() if k not in BY_MACHINE} for of in both)
            if digest(ours) != digest(theirs):
                what = f"the run was trained on other {kind} features ({difference(theirs, ours)})"
                raise VcemoError(what, do="compute them as for training")

    def knows(self, part: Corpus) -> bool:
        """Is it of the corpus that the run was trained on? By content: names may be equal by chance."""
        known = {item for each in self.parts.values() for item in each.items()}
        return not known.isdisjoint(contents(part).items())

    def part(self, corpus: Corpus, name: str) -> Corpus:
        """The run's own "train", "val" or "test" part of the corpus that it was trained on."""
        if not (own := self.parts.get(name)) or not own.items() <= contents(corpus).items():
            raise VcemoError(f"this corpus lacks utterances of the run's {name} part", corpus.name)
        return corpus.subset(list(own), f"{corpus.name}/{name}")


def contents(part: Corpus) -> dict[str, str]:
    """Utterance -> digest of its words, label, speaker and place in its file."""
    table = part.table[[name for name in CONTENT if name in part.table]].astype(str)
    rows = zip(table.index, table.to_dict("records"), strict=True)
    return {utt_id: digest([part.labels, row]) for utt_id, row in rows}


def data(store: Any, kinds: Iterable[str], parts: Mapping[str, Corpus]) -> dict[str, Any]:
    """For a Recipe: the parts' contents; whose words, how features were made, digests of their content."""
    from vcemo_lib.features import KINDS
    from vcemo_lib.loading import gather

    told: dict[str, Any] = store.describe() if hasattr(store, "describe") else {"kinds": {}, "text": ""}
    content = {}
    for kind in sorted(kinds):
        if kind in told["kinds"]:
            keys = store.keys[KINDS[kind].of]
            content[kind] = digest([[keys.get(utt_id) for utt_id in part.ids] for part in parts.values()])
        else:
            rows = [gather(store, part, [kind]).sequences[kind] for part in parts.values()]
            content[kind] = digest([[r.on_cpu.tolist(), digest(r.rows.numpy().tobytes())] for r in rows])
    made = {kind: told["kinds"][kind] for kind in content if kind in told["kinds"]}
    features = {"text": told["text"], "kinds": made, "content": content}
    return {"parts": {name: contents(part) for name, part in parts.items()}, "features": features}


def digest(value: Any) -> str:
    """Twelve hex digits of bytes or plain values."""
    raw = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True).encode("utf-8")
    return hashlib.sha256(raw).hexdigest()[:12]


def difference(found: Any, wanted: Any, name: str = "") -> str:
    """The first place in which plain values differ, in words: "settings.lr is 0.1, not 0.2"."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        differ = [key for key in wanted if found.get(key) != wanted[key]] or [*found.keys() - wanted.keys()]
        return difference(found.get(differ[0]), wanted.get(differ[0]), f"{name}.{differ[0]}".strip("."))
    return f"{name} is {found!r}, not {wanted!r}"


def stamp(corpus: Corpus | None = None, store: Any = None) -> dict[str, Any]:
    """When, on what, with which versions and weights; of which corpus and features: plain values for JSON."""
    used = sys.modules["vcemo_lib.weights"].used() if "vcemo_lib.weights" in sys.modules else []
    weights = [{k: v for k, v in of.items() if k != "path"} for of in used]  # it differs by machine
    made: dict[str, Any] = {"date": now(), "versions": versions(), "hardware": hardware(), "weights": weights}
    if corpus is not None:
        made |= {"corpus": corpus.name, "simulated": corpus.simulated, "fingerprint": corpus.fingerprint()}
    return made | {"features": store.describe()} if hasattr(store, "describe") else made


def now() -> str:
    """This second, as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that decide a number."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def hardware() -> dict[str, Any]:
    """System, processor, cores that this process may use, torch's threads, and its GPU where it has one."""
    info = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*:\s*(.+?)\s*$", info.read_text("utf-8") if info.is_file() else "", re.M)
    found: dict[str, Any] = {"system": platform.system(), "machine": platform.machine()}
    found["processor"] = named[1] if named else platform.processor() or platform.machine()
    found["cores"] = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if (torch := sys.modules.get("torch")) is not None:
        found["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            found["gpu"] = torch.cuda.get_device_name()
    return found
