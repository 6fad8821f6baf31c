"""The executed course as a site by Sphinx that opens from a folder, without network: `vcemo course site`."""

from __future__ import annotations

import html
import io
import re
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vcemo_lib.course.plan import Course, Notebook, read_notebook
from vcemo_lib.course.report import code_digest, named_path, still
from vcemo_lib.errors import VcemoError

NEEDED = ("sphinx", "myst_nb", "sphinx_book_theme", "sphinx-mathjax-offline")
MARK = ".vcemo-site"  # lists what a site holds, by which a later one knows what it may replace
LITTER = (MARK, ".DS_Store", "Thumbs.db", "desktop.ini")  # the others are left by file managers
UNUSED = ("_sources", "*.map", "sre", "a11y", "adaptors", "ui", "svg", "mml*", "*-svg*", "*-full*")
PLUMBING = re.compile(r"^lane = |^import vcemo_lib|\brecord\(\s*\"\d\d\"", re.M)  # folded without a tag
TAG_OR_CODE = re.compile(r"""<(?:script|style)\b.*?</|<(?!a\b)\w(?:"[^"]*"|'[^']*'|[^>"'])*>""", re.I | re.S)
ADDRESS = r"((?:(?:http|ws)s?:)?//(?!www\.w3\.org/)\w[^\s\"'`)>]*)"  # of anything but an XML namespace
FETCHED = re.compile(rf"(?:[\"'`=]|url\(|@import|srcset=[^>]*,)\s*[\"']?{ADDRESS}", re.I)
PAGE = re.compile(r"\[([^\[\]]+)\]\(\s*\.\./docs/(glossary|straight_line)\.md(#[\w-]*)?\s*\)")  # HTML anchors
DOCUMENT = re.compile(r"\]\((?:\.\./)?(?:docs|notebooks)/")  # links lie in one folder here
ALIVE = {  # what a cell's plain text must begin with, so that the page shows the widget itself
    "player": re.compile(r"Player\('(?:\d+\. )?(\w+), simulated'"),
    "browser": re.compile(r"Browser of (sim/test): "),
    "game": re.compile(r"Game: \d+ clips of sim/test, seed (\d+)"),
    "playground": re.compile(r"(Playground)$"),
}
FIRST_PAGE = """# What do you hear?
<div class="text_html" data-vcemo="guess">{sound}</div>

**A course in multimodal speech emotion recognition**, as it ran. It plays, mutes, browses and scores here;
to change it or to record your own voice, run `make lab`. All speech is *simulated*.

{paths}

| Notebook | Minutes | Afterwards you can |
| --- | --- | --- |
{rows}

```{{toctree}}
:hidden:
{names}
```
"""


def build(course: Course | None = None, out: Path | None = None, lane: str = "cpu") -> Path:
    """Write the site into `out` (build/site by default), with the outputs of `lane`; gives its first page."""
    course = course or Course()
    out = (out or course.build / "site").resolve()
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise VcemoError(f"not installed: {', '.join(missing)}", do="pip install 'vcemo-lib[site]'")
    ours = (out / MARK).read_text(encoding="utf-8").splitlines() if (out / MARK).is_file() else []
    for path in [out] if out.is_file() else out.rglob("*"):
        if path.name not in LITTER and path.relative_to(out).as_posix() not in ours:
            raise VcemoError(f"{path} is not of a site made here", do="choose an empty folder with --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".site-", dir=out.parent) as name:
        folder = Path(name)
        _write_sources(course, lane, folder / "source")
        _make_pages(folder, (course.root, folder, Path.home()))
        if out.exists():
            out.rename(folder / "before")
        (folder / "site").rename(out)
    return out / "index.html"


def executed(course: Course, notebook: Notebook, lane: str = "cpu") -> Any:
    """The notebook fit for a page, with the stored outputs or those of a good run of its code in `lane`."""
    content = read_notebook(notebook.path)
    digest, copy = code_digest(content), course.build / lane / notebook.path.name
    stale = content.metadata.get("vcemo", {}).get("code", digest) != digest
    if copy.is_file() and (lane != "cpu" or copy.stat().st_mtime > notebook.path.stat().st_mtime):
        run = read_notebook(copy)
        if code_digest(run) == digest and not run.metadata.get("papermill", {}).get("exception"):
            content, stale = run, False
    if stale:
        print(f"warning: {notebook.name} was changed after its outputs were stored", file=sys.stderr)
    content.metadata = {"language_info": {"name": "python"}}
    code = [cell for cell in content.cells if cell.cell_type == "code"]
    if not any(cell.outputs for cell in code):
        raise VcemoError("the notebook has no outputs to show", where=notebook.name, do="vcemo course run")
    for cell in code:
        if PLUMBING.search(cell.source):
            cell.metadata["tags"] = sorted({*cell.metadata.get("tags", []), "hide-input"})
        cell.outputs = [kept for output in cell.outputs if (kept := still(output))]
        for output in cell.outputs:
            if png := output.get("data", {}).get("image/png"):  # as HTML: myst-nb drops the alternative text
                words = html.escape(output.metadata.get("image/png", {}).get("alt", ""))
                output.data = {"text/html": f'<img alt="{words}" src="data:image/png;base64,{png.strip()}">'}
    return content


def _write_sources(course: Course, lane: str, source: Path) -> None:
    """Write what Sphinx reads: the notebooks, and a first page with a sound and the table of the course."""
    import nbformat

    import vcemo_lib as vc
    from vcemo_lib.course.widgets import stored

    source.mkdir()
    rows, sounds, alive = [], [], set()
    for notebook in course.select():
        content = executed(course, notebook, lane)
        told = [o.data for cell in content.cells for o in cell.get("outputs", []) if "data" in o]
        written = [(cell, "source") for cell in content.cells if cell.cell_type == "markdown"]
        for place, name in written + [(data, "text/markdown") for data in told if "text/markdown" in data]:
            place[name] = PAGE.sub(r'<a href="\2.html\3">\1</a>', place[name])
        sounds += [data["text/html"] for data in told if "<audio" in data.get("text/html", "")]
        for data in (data for data in told if "<svg" in data.get("text/html", "")):
            data["text/html"] = re.sub(r'(href="\d\d_\w+)\.ipynb"', r'\1.html"', data["text/html"])
        alive |= {wish for data in told if (wish := _wake(data))}
        nbformat.write(content, source / notebook.path.name)
        promise = content.cells[0].source.partition("**Afterwards you can**")[2].strip().partition("\n\n")[0]
        goals = " ".join(re.findall(r"^(?:-|\d+\.) (.*)", promise.replace("|", r"\|"), re.M))
        title = f"[{notebook.number} · {notebook.title}]({notebook.path.name})"
        rows.append(f"| {title} | {notebook.minutes:g} | {goals} |")
    part = vc.splits.given(vc.load_corpus("sim"))["test"] if alive else None
    stored.write(source / "extra" / "vcemo", {of for name, of in alive if name == "player"}, part)
    names = "\n".join(notebook.name for notebook in course.notebooks)
    for name in ("glossary", "straight_line", "teachers"):
        if (file := course.root / "docs" / f"{name}.md").is_file():
            text = DOCUMENT.sub("](", file.read_text(encoding="utf-8"))
            (source / file.name).write_text(text, encoding="utf-8")
            names += f"\n{name}"
    readme = course.root / "README.md"
    told = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    paths = DOCUMENT.sub("](", "".join(re.findall(r"^## Three paths$.*?(?=^## )", told, re.M | re.S)))
    parts = {"sound": "".join(sounds[:1]), "rows": "\n".join(rows), "names": names, "paths": paths}
    page = FIRST_PAGE.format(**parts)
    (source / "index.md").write_text(page, encoding="utf-8")


def _wake(data: Any) -> tuple[str, str] | None:
    """Let an output's widget live on the page, its still twin standing in for it; which widget, of what."""
    for name, pattern in ALIVE.items():
        if found := pattern.match(data.get("text/plain", "")):
            data["text/html"] = f'<div data-vcemo="{name} {found[1]}">{data["text/html"]}</div>'
            return name, found[1]
    return None


def _make_pages(folder: Path, private: tuple[Path, ...]) -> None:
    """Make `folder`/site of `folder`/source; refuses what a reader would find broken or private."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace

    source, made, told = folder / "source", folder / "html", io.StringIO()
    own = {"html_extra_path": [str(source / "extra")]}
    with docutils_namespace():
        Sphinx(source, Path(__file__).parent, made, folder / "read", "html", own, None, told).build()
    if fault := re.sub(r"\x1b\[[\d;]*m|\S*[/\\]source[/\\]", "", told.getvalue()).strip():
        raise VcemoError(fault.splitlines()[0], do="mend the notebook")
    site = Path(shutil.copytree(made, folder / "site", ignore=shutil.ignore_patterns(*UNUSED)))
    (site / MARK).write_text("\n".join(own.relative_to(site).as_posix() for own in site.rglob("*")), "utf-8")
    for path in site.glob("*.html"):
        page = path.read_text(encoding="utf-8")
        if fetched := FETCHED.search(" ".join(TAG_OR_CODE.findall(page))):  # links aside: readers follow them
            raise VcemoError(f"the page would fetch {fetched[1]}", where=path.name, do="mend the notebook")
        if named := named_path(page, private):
            raise VcemoError(f"the page names the path {named}", where=path.name, do="mend the notebook")
