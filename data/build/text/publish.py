"""Copy the finished encoders from the work folder to data/models/, and sign all that is there."""

from __future__ import annotations

import os
import runpy
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
    runpy.run_path(str(MODELS.parent / "build" / "sign.py"), run_name="__main__")


if __name__ == "__main__":
    main()
