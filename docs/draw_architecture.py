"""Draw docs/architecture.svg from the imports of vcemo_lib: `python docs/draw_architecture.py`.

A room is a file or a folder of the library or of its course wing; it stands above all that it imports. Arrows
that follow from others are left out (the transitive reduction). Rooms stand on their floors so that few of
the arrows cross or pass behind a room.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "vcemo_lib"
PICTURE = ROOT / "docs" / "architecture.svg"
WINGS = {  # name -> title, fill, edge
    "library": ("vcemo_lib: the library", "#e8f0f7", "#0072b2"),
    "course": ("vcemo_lib/course: the course's wing", "#fbeee0", "#d55e00"),
}
EVERYWHERE = {"errors", "paths"}  # imported by nearly all: their arrows would hide the others
COUNTED = {".py", ".js", ".css", ".html", ".j2"}
WIDTH, HEIGHT, COLUMN, FLOOR = 1.6, 0.56, 1.88, 1.15  # of a room; from column to column, floor to floor
BETWEEN = 0.7  # the wings

Arrows = dict[str, set[str]]  # room -> the rooms that it imports
Point = tuple[float, float]


def room_of(module: str) -> str:
    """vcemo_lib.asr.decoding -> asr; vcemo_lib.course.widgets.player -> course/widgets."""
    parts = module.split(".")[1:]
    return "/".join(parts[:2] if parts[:1] == ["course"] else parts[:1])


def module_of(file: Path) -> str:
    """The dotted name of a file of the package."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def wing_of(room: str) -> str:
    """`course` for what lies in its folder, else `library`."""
    return "course" if room.startswith("course") else "library"


def imported(file: Path) -> set[str]:
    """All modules of vcemo_lib that a file imports, on top or inside its functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "vc":  # import vcemo_lib as vc
            names.add(f"vcemo_lib.{node.attr}")
    return {name for name in names if name.startswith("vcemo_lib.")}


def rooms() -> tuple[dict[str, int], Arrows]:
    """Lines of each room, and which rooms each one imports."""
    lines: dict[str, int] = defaultdict(int)
    arrows: Arrows = defaultdict(set)
    for file in sorted(PACKAGE.rglob("*")):
        room = room_of(module_of(file)) if file.suffix in COUNTED else ""
        if not room or room.startswith("_"):
            continue
        lines[room] += len(file.read_text(encoding="utf-8").splitlines())
        if file.suffix == ".py":
            arrows[room] |= {room_of(name) for name in imported(file)}
    known = set(lines) - EVERYWHERE
    return dict(lines), {room: (arrows[room] & known) - {room} for room in sorted(lines)}


def told(lines: dict[str, int], arrows: Arrows) -> str:
    """What the picture shows, in words; it is stored in the picture, where a test finds it."""
    imports = {room: ", ".join(sorted(arrows[room])) for room in sorted(lines)}
    return "; ".join(f"{room} ({lines[room]} lines): {others}" for room, others in imports.items())


def floors(arrows: Arrows) -> dict[str, int]:
    """The floor of each room: one above the highest of those that it imports."""
    found: dict[str, int] = {}

    def floor(room: str, above: tuple[str, ...] = ()) -> int:
        if room in above:
            raise SystemExit(f"a circle of imports: {' -> '.join((*above, room))}")
        if room not in found:
            found[room] = 1 + max((floor(other, (*above, room)) for other in arrows[room]), default=0)
        return found[room]

    for room in arrows:
        floor(room)
    return found


def reduced(arrows: Arrows) -> Arrows:
    """The arrows that do not follow from others."""

    def below(room: str) -> set[str]:
        return set().union(*({other} | below(other) for other in arrows[room]))

    return {room: {o for o in to if not any(o in below(p) for p in to - {o})} for room, to in arrows.items()}


def meets(p: Point, q: Point, r: Point, s: Point) -> bool:
    """Whether the lines p-q and r-s cross, their ends apart."""

    def side(a: Point, b: Point, c: Point) -> float:
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    return side(p, q, r) * side(p, q, s) < 0 and side(r, s, p) * side(r, s, q) < 0


def disorder(drawn: Arrows, level: dict[str, int], column: dict[str, float]) -> float:
    """Arrows that cross, those that pass behind a room (twice as bad), and a little for their length."""
    lines = [((column[a], level[a]), (column[b], level[b])) for a, to in drawn.items() for b in to]
    crossed = sum(meets(*p, *q) for i, p in enumerate(lines) for q in lines[:i])
    hidden = 0
    for (x, top), (to_x, bottom) in lines:
        for room, at in level.items():
            if bottom < at < top:
                hidden += abs(to_x + (x - to_x) * (at - bottom) / (top - bottom) - column[room]) < 0.5
    return crossed + 2 * hidden + 0.02 * sum(abs(a[0] - b[0]) for a, b in lines)


def columns(drawn: Arrows, level: dict[str, int]) -> tuple[dict[str, float], dict[str, tuple[int, int]]]:
    """The column of each room, and the first and last column of each wing.

    A room goes to the mean column of what it imports, if that is free; then rooms of a floor move and change
    places as long as that lessens the disorder.
    """
    rows: dict[tuple[str, int], list[str]] = defaultdict(list)
    for room in sorted(level, key=lambda room: (level[room], room)):
        rows[wing_of(room), level[room]].append(room)
    spans, start = {}, 0
    for wing in WINGS:
        most = max(len(row) for (of, _), row in rows.items() if of == wing)
        spans[wing] = (start, start + most - 1)
        start += most
    column: dict[str, float] = {}
    for (wing, _), row in rows.items():
        free = set(range(spans[wing][0], spans[wing][1] + 1))
        for room in row:
            below = [column[other] for other in drawn[room]] or [min(free)]
            column[room] = min(sorted(free), key=lambda x: abs(x - sum(below) / len(below)))
            free.remove(int(column[room]))

    least, before = disorder(drawn, level, column), float("inf")
    while least < before:
        before = least
        for (wing, _), row in rows.items():
            for room in row:
                for x in range(spans[wing][0], spans[wing][1] + 1):
                    tried = column | {other: column[room] for other in row if column[other] == x} | {room: x}
                    if (found := disorder(drawn, level, tried)) < least:
                        column, least = tried, found
    return column, spans


def draw(path: Path = PICTURE) -> Path:
    """Write the picture."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "vcemo"  # the same picture has the same bytes
    import matplotlib.pyplot as plt
    from matplotlib.patches import FancyBboxPatch

    lines, arrows = rooms()
    level, drawn = floors(arrows), reduced(arrows)
    column, spans = columns(drawn, level)
    place = {room: x * COLUMN + BETWEEN * (wing_of(room) == "course") for room, x in column.items()}
    top, right = max(level.values()) * FLOOR, (spans["course"][1] + 1) * COLUMN + BETWEEN
    figure, axes = plt.subplots(figsize=(right * 0.82, max(level.values()) * 0.95), layout="constrained")
    centred = {"ha": "center", "va": "center", "zorder": 4}
    for room, x in place.items():
        _, fill, edge = WINGS[wing_of(room)]
        y, shape = level[room] * FLOOR, "round,pad=0,rounding_size=0.1"
        axes.add_patch(FancyBboxPatch((x, y), WIDTH, HEIGHT, shape, fc=fill, ec=edge, lw=1.2, zorder=3))
        middle = x + WIDTH / 2
        axes.text(middle, y + 0.34, room.removeprefix("course/"), fontsize=10, **centred)
        axes.text(middle, y + 0.14, f"{lines[room]:,} lines", fontsize=7, **centred)
        style = {"arrowstyle": "-|>", "color": edge, "alpha": 0.55, "lw": 0.9}
        for other in sorted(drawn[room]):
            end = (place[other] + WIDTH / 2, level[other] * FLOOR + HEIGHT)
            axes.annotate("", end, (middle, y), arrowprops=style, zorder=2)
    for wing, (title, *_) in WINGS.items():
        total = sum(count for room, count in lines.items() if wing_of(room) == wing)
        middle = sum(spans[wing]) / 2 * COLUMN + WIDTH / 2 + BETWEEN * (wing == "course")
        axes.text(middle, top + 1, f"{title}, {total:,} lines", ha="center", fontsize=12)
    axes.set(xlim=(-0.3, right + 0.1), ylim=(0.8, top + 1.4))
    axes.axis("off")
    about = {"Date": None, "Description": told(lines, drawn)}
    figure.savefig(path, metadata=about, facecolor="white")
    plt.close(figure)
    return path


if __name__ == "__main__":
    print(draw().relative_to(ROOT))
