"""Draw docs/architecture.svg from the imports of vcemo_lib: `python docs/draw_architecture.py`.

A room is a file or a folder of the library or of its course wing. A room stands above all that it imports. Of
the arrows only those are drawn that do not follow from others (the transitive reduction).
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "vcemo_lib"
WINGS = {"library": ("#e8f0f7", "#0072b2"), "course": ("#fbeee0", "#d55e00")}  # fill, edge
EVERYWHERE = {"errors", "paths"}  # imported by nearly all: their arrows would hide the others
COUNTED = {".py", ".js", ".css", ".html", ".j2"}


def room_of(module: str) -> str:
    """vcemo_lib.asr.decoding -> asr; vcemo_lib.course.widgets.player -> course/widgets."""
    parts = module.split(".")[1:]
    if parts and parts[0] == "course":
        return "/".join(parts[:2]) if len(parts) > 1 else "course"
    return parts[0] if parts else ""


def module_of(file: Path) -> str:
    """The dotted name of a file of the package."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(file: Path) -> set[str]:
    """All modules of vcemo_lib that a file imports, on top or inside its functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.startswith("vcemo_lib.")}


def rooms() -> tuple[dict[str, int], dict[str, set[str]]]:
    """Lines of each room, and which rooms each one imports."""
    lines: dict[str, int] = defaultdict(int)
    arrows: dict[str, set[str]] = defaultdict(set)
    for file in sorted(PACKAGE.rglob("*")):
        if file.suffix not in COUNTED:
            continue
        room = room_of(module_of(file)) if file.suffix == ".py" else room_of(module_of(file.with_suffix("")))
        if not room or room.startswith("_"):
            continue
        lines[room] += len(file.read_text(encoding="utf-8").splitlines())
        if file.suffix == ".py":
            arrows[room] |= {room_of(name) for name in imported(file)}
    known = set(lines)
    return dict(lines), {room: (arrows[room] & known) - {room} - EVERYWHERE for room in known}


def floors(arrows: dict[str, set[str]]) -> dict[str, int]:
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


def reduced(arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that do not follow from others."""

    def below(room: str) -> set[str]:
        return set().union(*({other} | below(other) for other in arrows[room]))

    return {room: {o for o in to if not any(o in below(p) for p in to - {o})} for room, to in arrows.items()}


def draw() -> Path:
    """Write docs/architecture.svg."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "vcemo"  # the same picture has the same bytes
    import matplotlib.pyplot as plt
    from matplotlib.patches import FancyBboxPatch

    lines, arrows = rooms()
    level = floors(arrows)
    wing = {room: "course" if room.startswith("course") else "library" for room in lines}
    place: dict[str, tuple[float, float]] = {}
    width, height, gap = 1.6, 0.56, 0.28
    span = {
        name: max(sum(wing[r] == name and level[r] == f for r in lines) for f in level.values())
        for name in WINGS
    }
    start = {"library": 0.0, "course": span["library"] * (width + gap) + 0.7}
    for name in WINGS:
        for floor in set(level.values()):
            row = sorted(r for r in lines if wing[r] == name and level[r] == floor)
            left = start[name] + (span[name] - len(row)) * (width + gap) / 2
            for i, room in enumerate(row):
                place[room] = (left + i * (width + gap), floor * 1.05)
    right = start["course"] + span["course"] * (width + gap)
    figure, axes = plt.subplots(figsize=(right * 0.82, max(level.values()) * 0.9), layout="constrained")
    for room, (x, y) in place.items():
        fill, edge = WINGS[wing[room]]
        box = FancyBboxPatch(
            (x, y), width, height, "round,pad=0,rounding_size=0.1", fc=fill, ec=edge, lw=1.2, zorder=3
        )
        axes.add_patch(box)
        axes.text(
            x + width / 2,
            y + 0.34,
            room.removeprefix("course/"),
            ha="center",
            va="center",
            fontsize=10,
            zorder=4,
        )
        axes.text(
            x + width / 2, y + 0.14, f"{lines[room]:,} lines", ha="center", va="center", fontsize=7, zorder=4
        )
    for room, others in reduced(arrows).items():
        x, y = place[room]
        for other in others:
            to_x, to_y = place[other]
            arrow = {"arrowstyle": "-|>", "color": WINGS[wing[room]][1], "alpha": 0.55, "lw": 0.9}
            ends = (to_x + width / 2, to_y + height), (x + width / 2, y)
            axes.annotate("", *ends, arrowprops=arrow, zorder=2)
    for name, title in (
        ("library", "vcemo_lib: the library"),
        ("course", "vcemo_lib/course: the course's wing"),
    ):
        middle = start[name] + span[name] * (width + gap) / 2
        total = sum(count for room, count in lines.items() if wing[room] == name)
        axes.text(
            middle, max(level.values()) * 1.05 + 1.0, f"{title}, {total:,} lines", ha="center", fontsize=12
        )
    axes.set(xlim=(-0.3, right + 0.1), ylim=(0.8, max(level.values()) * 1.05 + 1.4))
    axes.axis("off")
    path = ROOT / "docs" / "architecture.svg"
    figure.savefig(path, metadata={"Date": None}, facecolor="white")
    return path


if __name__ == "__main__":
    print(draw().relative_to(ROOT))
