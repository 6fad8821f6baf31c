"""The bundled text encoders: what they know of the feeling in a text when labels are few.

Prints the table of data/models/encoders.json, and where the posts that it was measured on are at hand
(`--texts`, or ../shared/data/text beside the repository) measures it again, by data/build/text/evaluate.py.
The table that README shows is evaluate.py's; this one fails where what is measured again has moved by more
than 0.01.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from machine import arguments, describe, keep, timed

from vcemo_lib.paths import repo_data

ROOT = Path(__file__).resolve().parents[2]


def measured_again(texts: Path) -> dict[str, float]:
    """Macro-F1 of each feature, with evaluate.py's own draws and classifier."""
    sys.path.insert(0, str(repo_data() / "build" / "text"))
    from evaluate import features_of, macro_f1, posts_of

    posts, labels = posts_of(texts)
    return {name: float(macro_f1(values, labels).mean()) for name, values in features_of(posts).items()}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--texts", type=Path, default=ROOT.parent / "shared" / "data" / "text")
    options = parser.parse_args()
    texts = options.texts
    kept = json.loads((repo_data() / "models" / "encoders.json").read_text(encoding="utf-8"))
    again: dict[str, float] = {}
    print(f"{kept['measure']}; {describe()}")
    if (texts / "smp2020_usual_eval.json").is_file():
        with timed() as taken:
            again = measured_again(texts)
        print(f"measured again in {taken.cpu:.0f} s of processor time")
    else:
        print(f"not measured again: no posts in {texts}")
    print(f"{'feature':28s} {'kept':>6s} {'spread':>7s} {'again':>6s} {'wanted':>7s} {'MB':>6s}")
    for name, row in kept["encoders"].items():
        wanted, size = kept["wanted"].get(name), kept["megabytes"].get(name)
        print(
            f"{name:28s} {row['macro_f1']:6.3f} {row['spread']:7.3f}"
            f" {f'{again[name]:.3f}' if name in again else '-':>6s} {wanted or '-':>7} {size or '-':>6}"
        )
    if again and options.write:
        keep(
            "encoders",
            measured_again=again,
            moved=max(abs(value - kept["encoders"][name]["macro_f1"]) for name, value in again.items()),
        )
    if moved := [
        name for name, value in again.items() if abs(value - kept["encoders"][name]["macro_f1"]) > 0.01
    ]:
        sys.exit(f"measured again, these moved by more than 0.01: {', '.join(moved)}")


if __name__ == "__main__":
    main()
