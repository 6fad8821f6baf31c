"""The executed course as one HTML site that works from a folder: offline, sound included, nothing fetched.

    vcemo course site                    # build/site/index.html

Formulas become MathML, which browsers draw by themselves; pictures and sounds are inside the pages; links between
notebooks become links between pages. A page that would need the network is refused.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from vcemo_lib.course import Course, Notebook, code_digest, still
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import write_atomically

HERE = Path(__file__).parent
_INTRO = """# Multimodal speech emotion recognition

The course as it ran: text, code, pictures and sound, in pages that need no network, no account and no Python. Recording your own voice and
changing the code need the notebooks themselves: `make lab`. Where a notebook has live controls, its page shows a player, a picture or a table instead.

The speech is **VCEMO-Sim**: *simulated* Mandarin by simulated speakers. Nobody felt anything in these clips.
"""


def build(course: Course | None = None, out: Path | None = None) -> Path:
    """Write the site into `out` (build/site by default) and give its index page.

    A notebook's outputs are the stored ones, or those of a later `cpu` run of the same code. Raises VcemoError for a
    notebook without outputs, a dead link, and anything that a page would fetch from the network.
    """
    import nbformat

    course = course or Course()
    out = out or course.build / "site"
    notebooks = course.select()
    opened = [executed(course, notebook) for notebook in notebooks]
    index = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(_map(notebooks, opened))])
    pages, files = {}, {}
    for at, (notebook, content) in enumerate(zip([None, *notebooks], [index, *opened], strict=True)):
        name = notebook.name if notebook else "index"
        before, after = notebooks[at - 2 : at - 1] if at > 1 else [], notebooks[at : at + 1]
        about = {"title": _titled(notebook), "before": before, "after": after, "titled": _titled, "index": notebook is None}
        pages[f"{name}.html"] = _local(_page(content, about), course, f"{name}.ipynb", files)
    for name in ("site.css", "site.js"):
        pages[name] = (HERE / name).read_text(encoding="utf-8")
    if out.is_dir() and any(out.iterdir()) and not (out / "site.css").is_file():
        raise VcemoError("the folder holds something else than a site", where=out, do="name another one, or empty it")
    shutil.rmtree(out, ignore_errors=True)  # nothing of an earlier site stays
    for name, text in pages.items():
        write_atomically(out / name, text)
    for name, source in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, out / name)
    return out / "index.html"


def executed(course: Course, notebook: Notebook) -> Any:
    """The notebook with outputs: the stored one, or the copy of a later `cpu` run of the same code."""
    import nbformat

    stored = nbformat.read(notebook.path, as_version=4)
    copy = course.build / "cpu" / notebook.path.name
    if copy.is_file() and copy.stat().st_mtime > notebook.path.stat().st_mtime:
        later = nbformat.read(copy, as_version=4)
        failed = any(output.output_type == "error" for cell in later.cells for output in cell.get("outputs", []))
        if code_digest(later) == code_digest(stored) and not failed:
            stored = later
    stored.cells = [cell for cell in stored.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    if not any(cell.outputs for cell in code):
        raise VcemoError("the notebook has no outputs to show", where=notebook.name, do="vcemo course run, then vcemo course store")
    for cell in code:  # a live widget is dead without Python: its static twin is shown, or nothing
        cell.outputs = [kept for output in cell.outputs if (kept := still(output))]
    return stored


def _titled(notebook: Notebook | None) -> str:
    return f"{notebook.number} {notebook.title}" if notebook else "The course"


def _map(notebooks: list[Notebook], opened: list[Any]) -> str:
    """The index page as Markdown: each notebook with its minutes and what one can do afterwards."""
    parts = [_INTRO]
    for notebook, content in zip(notebooks, opened, strict=True):
        goals = re.search(r"^\*\*Afterwards you can\*\*\s*\n((?:(?:-|\d+\.) .*\n(?:  .*\n)*)+)", content.cells[0].source + "\n", re.M)
        told = "\nAfterwards you can\n\n" + re.sub(r"^\d+\. ", "- ", goals[1], flags=re.M) if goals else ""
        parts.append(f"## [{_titled(notebook)}]({notebook.path.name})\n\n{notebook.minutes:g} minutes\n{told}")
    return "\n".join(parts)


# ---------------------------------------------------------------------------------------------- a page


def _page(content: Any, about: dict[str, Any]) -> str:
    """One notebook as HTML, with the list of its sections."""
    from nbconvert import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    renderer = _with_ids(IPythonRenderer)(escape=False)

    class Exporter(HTMLExporter):
        def default_filters(self) -> Any:
            yield from super().default_filters()
            yield "markdown2html", lambda source: MarkdownWithMath(renderer=renderer).render(source)

    exporter = Exporter(template_name="basic", template_file=str(HERE / "page.html.j2"))
    page, _ = exporter.from_notebook_node(content, resources={"about": about})
    sections = re.findall(r'<h2 id="([^"]+)">(.*?)</h2>', page)
    links = "".join(f'<li><a href="#{name}">{re.sub("<[^>]+>", "", text)}</a></li>' for name, text in sections)
    return page.replace("<!-- sections -->", links)


def _with_ids(base: type) -> type:
    """nbconvert's renderer of Markdown, with MathML for formulas and an id for each heading."""
    from latex2mathml.converter import convert

    class Renderer(base):
        taken: dict[str, int] = {}

        def heading(self, text: str, level: int, **attrs: Any) -> str:
            name = re.sub(r"[\W_]+", "-", re.sub("<[^>]+>|&[a-z]+;", "", text)).strip("-").lower() or "section"
            self.taken[name] = self.taken.get(name, 0) + 1
            suffix = f"-{self.taken[name]}" if self.taken[name] > 1 else ""
            return f'<h{level} id="{name}{suffix}">{text}</h{level}>\n'

        def inline_math(self, body: str) -> str:
            return convert(body)

        def block_math(self, body: str) -> str:
            return f'<div class="formula">{convert(body, display="block")}</div>\n'

        def latex_environment(self, name: str, body: str) -> str:
            return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")

    return Renderer


# ---------------------------------------------------------------------------------------------- links

_ADDRESS = re.compile(r"""(<(?P<tag>[a-z]+)\b[^<>]*?\s(?P<name>href|src)=)(?P<mark>["'])(?P<address>.*?)(?P=mark)""", re.S)


def _local(page: str, course: Course, name: str, files: dict[str, Path]) -> str:
    """The page with its addresses turned into ones inside the site; the files they need are added to `files`."""

    def change(found: re.Match[str]) -> str:
        address = _address(found["tag"], found["address"], course, name, files)
        return f"{found[1]}{found['mark']}{address}{found['mark']}"

    return _ADDRESS.sub(change, page)


def _address(tag: str, address: str, course: Course, name: str, files: dict[str, Path]) -> str:
    """Where an address in a notebook leads to in the site. Raises VcemoError for a dead one and a fetched resource."""
    parts = urlsplit(address)
    if tag == "a" and parts.scheme in ("http", "https", "mailto"):
        return address  # for a reader who follows it, not for the page
    if parts.scheme == "data" or not parts.scheme and not parts.netloc and not parts.path:
        return address
    if parts.scheme or parts.netloc:
        raise VcemoError(f"the page would fetch {address[:80]}", where=name, do="put it into the notebook")
    fragment = f"#{parts.fragment}" if parts.fragment else ""
    if parts.path in ("index.html", "site.css", "site.js") or parts.path in {f"{one.name}.html" for one in course.notebooks}:
        return address
    if Path(parts.path).name in {one.path.name for one in course.notebooks}:
        return f"{Path(parts.path).stem}.html{fragment}"
    target = (course.root / "notebooks" / unquote(parts.path)).resolve()
    if not target.is_file() or not target.is_relative_to(course.root.resolve()):
        raise VcemoError(f"a link to {address}, which is not there", where=name, do="mend the link")
    inside = f"files/{target.relative_to(course.root.resolve()).as_posix()}"
    files[inside] = target
    return inside + fragment
