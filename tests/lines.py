"""How large the library is: `python tests/lines.py` prints a table of its rooms and checks the limits.

Counted are plain lines, blank ones and comments included. `--write` puts the table into docs/architecture.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "vcemo_lib"
PAGE = ROOT / "docs" / "architecture.md"
START, END = "<!-- lines: written by tests/lines.py -->\n", "<!-- end of lines -->"
KINDS = {".py", ".js", ".css", ".html", ".j2"}
# The aims of library and course are 5,500 and 5,000. Until they are reached these only go down.
MOST_LINES = {"library": 5_650, "real corpora": 1_390, "course": 6_140}
REAL = (
    "corpora/readers/", "corpora/fetch.py", "corpora/releases.py", "corpora/protocols.py",
    "crossval.py", "audit.py",
)  # fmt: skip
LONGEST_LINE, LONGEST_FILE = 110, 400


def files(library: Path = LIBRARY) -> dict[str, list[str]]:
    """Path from `vcemo_lib` -> the lines of each file that counts."""
    found = sorted(path for path in library.rglob("*") if path.suffix in KINDS)
    return {p.relative_to(library).as_posix(): p.read_text(encoding="utf-8").splitlines() for p in found}


def wing(path: str) -> str:
    """`course` for what lies in its folder, `real corpora` for what reads releases of them, or `library`."""
    return "course" if path.startswith("course/") else "real corpora" if path.startswith(REAL) else "library"


def room(path: str) -> str:
    """The folder that a file is counted with, or the file where it stands alone."""
    parts = path.split("/")
    depth = 3 if wing(path) == "course" else 2
    return "/".join(parts[: min(depth, len(parts)) - 1]) + "/" if len(parts) >= depth else path


def totals(lines: dict[str, list[str]]) -> dict[str, int]:
    """Lines of each wing."""
    return {name: sum(len(text) for path, text in lines.items() if wing(path) == name) for name in MOST_LINES}


def table(lines: dict[str, list[str]]) -> str:
    """A Markdown table: a row a room, a total for each wing."""
    rows = ["| room | files | lines |", "|---|--:|--:|"]
    for name, total in totals(lines).items():
        rooms: dict[str, list[int]] = {}
        for path, text in lines.items():
            if wing(path) == name:
                rooms.setdefault(room(path), []).append(len(text))
        rows += [f"| `{key}` | {len(sizes)} | {sum(sizes):,} |" for key, sizes in sorted(rooms.items())]
        count = sum(map(len, rooms.values()))
        rows.append(f"| **{name}** (at most {MOST_LINES[name]:,}) | {count} | **{total:,}** |")
    return "\n".join(rows) + "\n"


def faults(lines: dict[str, list[str]]) -> list[str]:
    """What is beyond a limit, a line each."""
    found = [f"the {name} has {total:,} lines, {total - MOST_LINES[name]:,} too many"
             for name, total in totals(lines).items() if total > MOST_LINES[name]]  # fmt: skip
    for path, text in lines.items():
        if len(text) > LONGEST_FILE:
            found.append(f"{path} has {len(text)} lines, at most {LONGEST_FILE}")
        if wide := [i for i, line in enumerate(text, 1) if len(line) > LONGEST_LINE]:
            longest = max(map(len, text))
            where = f"first {wide[0]}, longest {longest}"
            found.append(f"{path}: {len(wide)} line(s) above {LONGEST_LINE}, {where}")
    return found


def write(text: str, page: Path = PAGE) -> None:
    """Put the table between the two marks of the page; a page without them gets them at its end."""
    whole = page.read_text(encoding="utf-8") if page.is_file() else "# Architecture\n"
    before, _, rest = whole.partition(START) if START in whole else (whole.rstrip() + "\n\n", "", "")
    after = rest.partition(END)[2] or "\n"
    page.write_text(before + START + "\n" + text + "\n" + END + after, encoding="utf-8")


def main() -> int:
    """Print the table and what is wrong; 1 where something is."""
    lines = files()
    print(table(lines))
    if "--write" in sys.argv[1:]:
        write(table(lines))
    print("\n".join(wrong := faults(lines)))
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
