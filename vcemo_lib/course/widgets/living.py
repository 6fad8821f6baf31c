"""The widgets' scripts as pages without Jupyter run them, and the examples; nothing heavy is imported."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from vcemo_lib import paths

HERE = Path(__file__).parent
WIDGETS = ("player", "browser", "game", "voice")
WAKE = "document.readyState === 'loading' ? addEventListener('DOMContentLoaded', vcemo.wake) : vcemo.wake();"


def script(name: str) -> str:
    """A widget's script with the shared ones before it: in the page it is one text and can import nothing."""
    return "\n".join((HERE / part).read_text(encoding="utf-8") for part in ("dom.js", "transport.js", name))


def living(examples: Any) -> str:
    """All widgets' scripts, and where their answers come from, as one classic script for a folder's pages."""
    parts = [(HERE / "living.js").read_text(encoding="utf-8")]
    for name in WIDGETS:
        own = script(f"{name}.js").replace("export default", "return")
        parts.append(f"vcemo.{name} = (() => {{\n{own}}})();")
    return "\n".join([*parts, f"vcemo.examples = {json.dumps([*examples])};", WAKE])


def examples() -> dict[str, Any]:
    """The six bundled clips, judged by `data/build/front.py`, by utt_id."""
    file = paths.repo_data() / "models" / "examples.json"
    return json.loads(file.read_text(encoding="utf-8"))["clips"]


def recogniser_digest() -> str:
    """Which bundled recogniser judges: 12 hex digits of its file."""
    file = paths.repo_data() / "models" / "recogniser" / "run.safetensors"
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]
