"""Copy the finished encoders from the work folder to data/models/, and write the checksums of all that is there."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from corpus import arguments

MODELS = Path(__file__).resolve().parents[2] / "models"


def main() -> None:
    options = arguments(__doc__).parse_args()
    for name in ("bert-mini-zh", "vectors-zh"):
        (MODELS / name).mkdir(parents=True, exist_ok=True)
        for file in sorted((options.work / name).iterdir()):
            shutil.copyfile(file, MODELS / name / f".{file.name}.tmp")
            os.replace(MODELS / name / f".{file.name}.tmp", MODELS / name / file.name)
    files = sorted(path for path in MODELS.rglob("*") if path.is_file() and path.parent != MODELS)
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(MODELS).as_posix()}" for path in files]
    (MODELS / "SHA256SUMS").write_text("\n".join(sums) + "\n", encoding="utf-8")
    print(*sums, sep="\n")


if __name__ == "__main__":
    main()
