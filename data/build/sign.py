"""Write data/models/SHA256SUMS, which `weights.bundled` checks: `python data/build/sign.py`."""

from __future__ import annotations

from pathlib import Path

from vcemo_lib.paths import write_atomically
from vcemo_lib.weights import sha256

MODELS = Path(__file__).resolve().parents[1] / "models"


def main() -> None:
    files = sorted(path for path in MODELS.rglob("*") if path.is_file() and path.parent != MODELS)
    lines = [f"{sha256(path)}  {path.relative_to(MODELS).as_posix()}" for path in files]
    write_atomically(MODELS / "SHA256SUMS", "\n".join(lines) + "\n")
    print(*lines, sep="\n")


if __name__ == "__main__":
    main()
