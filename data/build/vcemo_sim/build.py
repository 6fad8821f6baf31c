"""Rebuild VCEMO-Sim with one command: `python data/build/vcemo_sim/build.py` (from the course's environment).

The voice needs an older TensorFlow, so stages 1 to 4 run in an environment of their own, made here. Every
stage goes on where it was stopped; the result depends on design.toml, sentences.tsv, ../../vcemo_sim/human/
and calibration.json alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent


def own_python(work: Path) -> Path:
    """The build environment's interpreter; the environment is made on first use."""
    folder = work / "venv"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    done = folder / "installed.txt"
    wanted = (HERE / "requirements.txt").read_text(encoding="utf-8")
    if not done.exists() or done.read_text(encoding="utf-8") != wanted:
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-r", HERE / "requirements.txt"], check=True)
        done.write_text(wanted, encoding="utf-8")
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path("build/vcemo_sim"), help="intermediate files (2 GB)"
    )
    parser.add_argument("--calibrate", action="store_true", help="move the commanded means (calibrate.py)")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    python = own_python(arguments.work)
    own = Path(sys.executable)
    stages = [(python, script) for script in ("speak.py", "revoice.py", "finish.py")]
    stages += [(own, script) for script in ("listen.py", "sift.py", "datasheet.py")]
    if arguments.calibrate:
        stages.insert(1, (python, "calibrate.py"))
    for interpreter, script in stages:
        print(f"== {script}", flush=True)
        options = ["--work", str(arguments.work.resolve())] if interpreter == python else []
        subprocess.run([str(interpreter), str(HERE / script), *options], check=True)


if __name__ == "__main__":
    main()
