"""The house's rules, read from the imports: which file may know which."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import lines
import pytest

ROOT, LIBRARY = lines.ROOT, lines.LIBRARY
DRAWING = {"matplotlib", "seaborn", "plotly"}


@dataclass(frozen=True)
class Import:
    """One name that a file imports: the module, the name within it ("" for the module itself), and when."""

    module: str
    name: str
    bound: str  # what it is called in the file
    line: int
    late: bool  # in a function: when it is called
    typing: bool  # under TYPE_CHECKING: never


@cache
def trees() -> dict[str, ast.Module]:
    """Module -> its syntax tree, for every file of the library."""
    found = {}
    for path in sorted(LIBRARY.rglob("*.py")):
        parts = path.relative_to(LIBRARY.parent).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[module] = ast.parse(path.read_text(encoding="utf-8"))
    return found


@cache
def imports(module: str) -> tuple[Import, ...]:
    """All that a file imports, wherever it stands in it."""
    return tuple(_imports(trees()[module], late=False, typing=False))


def _imports(node: ast.AST, late: bool, typing: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        inside = late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        checked = typing or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        if isinstance(child, ast.Import):
            for alias in child.names:
                bound = alias.asname or alias.name.partition(".")[0]
                yield Import(alias.name, "", bound, child.lineno, inside, checked)
        elif isinstance(child, ast.ImportFrom):
            assert not child.level, "imports name the whole path"
            for alias in child.names:
                whole = f"{child.module}.{alias.name}"
                module, name = (whole, "") if whole in trees() else (child.module or "", alias.name)
                yield Import(module, name, alias.asname or alias.name, child.lineno, inside, checked)
        else:
            yield from _imports(child, inside, checked)


def private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def test_the_imports_are_read() -> None:
    """The reader sees what it must, or every test below would pass."""
    known = {(i.module, i.name, i.late, i.typing) for i in imports("vcemo_lib.asr.decoding")}
    assert {("vcemo_lib.errors", "VcemoError", False, False), ("whisper", "Whisper", False, True)} <= known
    late = {i.module for i in imports("vcemo_lib.audio") if i.late}
    assert "soundfile" in late


def test_the_library_does_not_know_the_course() -> None:
    entrances = ("vcemo_lib.cli", "vcemo_lib.__main__")
    assert not [
        f"{module}:{i.line} imports {i.module}"
        for module in trees()
        if not within(module, "vcemo_lib.course", *entrances)
        for i in imports(module)
        if within(i.module, "vcemo_lib.course")
    ]


def test_no_private_name_crosses_a_file() -> None:
    """A name is its file's own; a private module, `_torchaudio`, is its package's own."""
    found = []
    for module, tree in trees().items():
        ours = [i for i in imports(module) if within(i.module, "vcemo_lib")]
        for i in ours:
            package, _, file = i.module.rpartition(".")
            if private(i.name) or private(file) and not within(module, package):
                found.append(f"{module}:{i.line} imports {i.module} {i.name}")
        modules = {i.bound: i.module for i in ours if not i.name}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and private(node.attr):
                if node.value.id in modules:
                    found.append(f"{module}:{node.lineno} uses {modules[node.value.id]}.{node.attr}")
    assert not found


def test_no_circle_between_files() -> None:
    """Types included: two files that need each other's are one thing."""
    ours = {m: {i.module for i in imports(m) if not i.late and i.module in trees()} - {m} for m in trees()}
    try:
        TopologicalSorter(ours).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_corpora_import_no_torch() -> None:
    users = [m for m in trees() if within(m, "vcemo_lib.corpora")]
    assert not [m for m in users for i in imports(m) if within(i.module, "torch", "torchaudio")]
    used = "import sys, vcemo_lib as vc; vc.splits.given(vc.load_corpus('sim'))"
    code = f"{used}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_models_know_no_corpus() -> None:
    users = [m for m in trees() if within(m, "vcemo_lib.models", "vcemo_lib.losses")]
    assert users and not [m for m in users for i in imports(m) if within(i.module, "vcemo_lib.corpora")]


def test_nothing_below_plots_draws() -> None:
    users = [m for m in trees() if not within(m, "vcemo_lib.course", "vcemo_lib.plots")]
    early = [(m, i) for m in users for i in imports(m) if not (i.late or i.typing)]
    assert not [f"{m}:{i.line}" for m, i in early if within(i.module, *DRAWING, "vcemo_lib.plots")]


def test_nothing_of_data_build_is_read_at_run_time() -> None:
    """No path is put together from the data folder and `build`; texts may name its scripts."""
    found = []
    for module, tree in trees().items():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.BinOp) and "repo_data()" in ast.unparse(node.left)):
                continue
            if isinstance(node.right, ast.Constant) and str(node.right.value).split("/")[0] == "build":
                found.append(f"{module}:{node.lineno}")
    assert not found


def test_the_library_is_imported_in_a_blink() -> None:
    code = "from time import perf_counter as now; t = now(); import vcemo_lib; print(now() - t)"
    took = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(3)]
    assert min(took) < 0.2


def test_the_house_is_small() -> None:
    assert not lines.faults(lines.files())


def test_the_table_of_lines_is_up_to_date() -> None:
    page = lines.PAGE.read_text(encoding="utf-8")
    written = page.partition(lines.START)[2].partition(lines.END)[0]
    assert written.strip() == lines.table(lines.files()).strip(), "run `python tests/lines.py --write`"


def test_the_picture_of_the_rooms_is_up_to_date() -> None:
    file = ROOT / "docs" / "draw_architecture.py"
    spec = importlib.util.spec_from_file_location("draw_architecture", file)
    assert spec and spec.loader
    drawing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawing)
    count, arrows = drawing.rooms()
    shown = drawing.told(count, drawing.reduced(arrows))
    assert shown in drawing.PICTURE.read_text(encoding="utf-8"), "run `python docs/draw_architecture.py`"


def test_the_table_of_lines_counts_every_line_once(tmp_path: Path) -> None:
    (tmp_path / "course" / "widgets").mkdir(parents=True)
    (tmp_path / "corpora").mkdir()
    sizes = {"cli.py": 3, "corpora/a.py": 5, "corpora/b.py": 7, "course/widgets/x.js": 401}
    for name, count in sizes.items():
        (tmp_path / name).write_text("\n" * (count - 1) + "#" * 111 + "\n", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("not counted\n", encoding="utf-8")
    found = lines.files(tmp_path)
    assert lines.totals(found) == {"library": 15, "real corpora": 0, "course": 401}
    table = lines.table(found).splitlines()
    assert {"| `corpora/` | 2 | 12 |", "| `course/widgets/` | 1 | 401 |"} <= set(table)
    wrong = lines.faults(found)
    assert "course/widgets/x.js has 401 lines, at most 400" in wrong and len(wrong) == 5
    page = tmp_path / "page.md"
    for text in ("one\n", "two\n"):
        lines.write(text, page)
    assert page.read_text(encoding="utf-8") == f"# Architecture\n\n{lines.START}\ntwo\n\n{lines.END}\n"
