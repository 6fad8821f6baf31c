"""The site that `vcemo course site` writes: every link leads somewhere, and nothing is fetched."""

from __future__ import annotations

import html
import html.parser
import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import yaml

from vcemo_lib.course import Course, site
from vcemo_lib.errors import VcemoError

pytest.importorskip("myst_nb", reason="pip install 'vcemo-lib[site]'")

SOUND = '<audio controls aria-label="clip" src="data:audio/mpeg;base64,AAAA"></audio>'
WIDGET = {"application/vnd.jupyter.widget-view+json": {"model_id": "1", "version_major": 2}}
LOADED = {"src", "srcset", "poster", "data", "background", "href", "xlink:href"}
CODED = re.compile(r"""(?:url\(|@import)\s*["']?([^"')\s]+)|["'`]((?:(?:http|ws)s?:)?//\w[^"'`\s]*)""", re.I)


class Page(html.parser.HTMLParser):
    """A page's links, what a browser loads for it, its ids, and the words for its pictures."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.resources: list[str] = []
        self.ids: set[str] = set()
        self.words: list[str] = []
        self.inside = ""
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        for name, value in attributes:
            if name == "alt":
                self.words.append(value or "")
            elif name == "id":
                self.ids.add(value or "")
            elif name == "style":
                self.handle_code(value or "")
            elif tag == "a" and name in ("href", "xlink:href"):
                self.links.append(value or "")
            elif name in LOADED:
                self.resources.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside in ("style", "script"):
            self.handle_code(data)

    def handle_code(self, code: str) -> None:
        self.resources += [next(filter(None, found)) for found in CODED.findall(code)]


def course(root: Path, *cells: object) -> Course:
    """A course of one notebook, 01, that is held to have run."""
    (root / "notebooks").mkdir(parents=True)
    plan = root / "data" / "expected" / "course.yaml"
    plan.parent.mkdir(parents=True)
    entry = {"name": "01_first", "title": "First & best", "minutes": 5}
    plan.write_text(yaml.safe_dump({"notebooks": [entry]}), encoding="utf-8")
    first = text("# First & best\n\n**Afterwards you can**\n1. hear a|b;\n2. see.\n\n- not this")
    nbformat.write(nbformat.v4.new_notebook(cells=[first, *cells]), root / "notebooks" / "01_first.ipynb")
    return Course(root)


def text(source: str) -> object:
    return nbformat.v4.new_markdown_cell(source)


def ran(source: str = "1", **data: object) -> object:
    """A code cell with one output, whose types are named like text_html."""
    bundle = {name.replace("_", "/", 1): value for name, value in data.items()}
    output = nbformat.v4.new_output("display_data", data=bundle)
    return nbformat.v4.new_code_cell(source, outputs=[output], execution_count=1)


def shown(made: Course, lane: str = "cpu") -> str:
    """The outputs that the first notebook of a course is shown with."""
    return str([cell.get("outputs") for cell in site.executed(made, made.notebooks[0], lane).cells])


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site.build(out=tmp_path_factory.mktemp("real") / "site").parent


@pytest.fixture(scope="module")
def pages(real: Path) -> dict[str, Page]:
    return {path.name: Page(path) for path in real.glob("*.html")}


# -------------------------------------------------------------------------------------------- the real course


def test_every_link_leads_somewhere(real: Path, pages: dict[str, Page]) -> None:
    own = {"glossary.html", "index.html", "search.html", "straight_line.html", "teachers.html"}
    assert set(pages) == own | {f"{one.name}.html" for one in Course().notebooks}
    for name, page in pages.items():
        for address in page.links:
            parts = urlsplit(address)
            if parts.scheme in ("http", "https", "mailto") or name == "search.html" and address == "#":
                continue  # further reading, followed by a reader who is online
            target = pages.get(parts.path or name)
            assert target or (real / unquote(parts.path)).is_file(), f"{name}: {address}"
            if parts.fragment:
                assert target and unquote(parts.fragment) in target.ids, f"{name}: {address}"


def test_nothing_is_fetched_from_a_network(real: Path, pages: dict[str, Page]) -> None:
    asked = [(real / name, address) for name, page in pages.items() for address in page.resources]
    styles = [*real.rglob("*.css"), real / "_static" / "site.js"]
    for path in styles:
        found = CODED.findall(path.read_text(encoding="utf-8"))
        asked += [(path, next(filter(None, address))) for address in found]
    assert len(asked) > 100
    for path, address in asked:
        parts = urlsplit(address)
        if parts.scheme == "data" or parts.netloc == "www.w3.org" or not parts.path:
            continue
        assert not parts.scheme and not parts.netloc, f"{path.name}: {address[:80]}"
        assert (path.parent / unquote(parts.path)).is_file(), f"{path.name}: {address[:80]}"


def test_it_fits_on_a_stick_and_tells_nothing_of_this_machine(real: Path, pages: dict[str, Page]) -> None:
    assert sum(path.stat().st_size for path in real.rglob("*")) < 40e6
    folders = (Course().root, real.parent, tempfile.gettempdir(), sys.prefix, Path.home())
    private = {str(folder) for folder in folders} - {"/"}
    host = {socket.gethostname()} - {"localhost"}
    for name, page in pages.items():
        bare = re.sub(r"base64,[\w+/=]*", "", page.text)
        for word in private | {word for word in host if len(word) > 5}:
            assert not re.search(re.escape(word) + r"(?![\w-])", bare), f"{name} names {word}"


def test_sounds_pictures_and_their_words_are_kept(pages: dict[str, Page]) -> None:
    for notebook in Course().notebooks:
        stored = str(nbformat.read(notebook.path, as_version=4).cells)
        page = pages[f"{notebook.name}.html"]
        assert page.text.count("<audio") == stored.count("<audio"), notebook.name
        assert len(page.words) == stored.count("'image/png': 'iVBOR") + stored.count("<img"), notebook.name
        assert all(page.words), notebook.name
    assert "<audio" in pages["index.html"].text


def test_the_first_page_holds_the_plan_and_the_pages_its_order(pages: dict[str, Page]) -> None:
    plan = re.findall(r"<tr.*?</tr>", pages["index.html"].text.rpartition("<thead>")[2], re.S)[1:]
    for notebook, row in zip(Course().notebooks, plan, strict=True):
        assert f'href="{notebook.name}.html"' in row and f"<p>{notebook.minutes:g}</p>" in row
        assert len(re.sub("<[^>]+>", "", row)) > 150, "a notebook without goals"
    names = [f"{notebook.name}.html" for notebook in Course().notebooks]
    for before, after in zip(names[:-1], names[1:], strict=True):
        assert re.search(rf'class="right-next"\s+href="{after}"', pages[before].text)
        assert re.search(rf'class="left-prev"\s+href="{before}"', pages[after].text)


def test_plumbing_is_folded_and_formulas_are_found(pages: dict[str, Page]) -> None:
    for notebook in Course().notebooks:
        folded = re.findall(r"<details class=.*?</details>", pages[f"{notebook.name}.html"].text, re.S)
        code = html.unescape(" ".join(re.sub("<[^>]+>", "", part) for part in folded))
        code = re.sub(r"\(\s+", "(", code)  # a call over several lines
        for part in ("lane = ", "import vcemo_lib as vc", f'record("{notebook.number}"'):
            assert part in code, f"{notebook.name}: {part}"
    formulas = re.findall(r'<(?:span|div) class="math[^>]*>', pages["05_supcon_training.html"].text)
    assert len(formulas) > 10 and "tex-chtml.js" in pages["05_supcon_training.html"].text


# -------------------------------------------------------------------------------------------- small courses


def test_what_a_notebook_shows_is_in_its_page(tmp_path: Path) -> None:
    picture, alone = ran(image_png="iVBORw0KGgo="), ran(text_plain="VBox()")
    picture.outputs[0].metadata["image/png"] = {"alt": 'A "curve" that rises'}
    twin = ran(text_html=SOUND, text_plain="Player()")
    for cell in (twin, alone):
        cell.outputs[0].data.update(WIDGET)
    metrics = ran('vc.course.record("01", {})', text_markdown="| a | b |\n| - | - |\n| $x$ | 2 |")
    made = course(tmp_path, twin, alone, picture, metrics, text("[out](https://example.org)"))
    index, page = Page(site.build(made)), Page(made.build / "site" / "01_first.html")
    assert page.words == ['A "curve" that rises']
    assert page.text.count(SOUND) == index.text.count(SOUND) == 1
    assert "VBox()" not in page.text and "widget-view" not in page.text and "<details" in page.text
    assert "<table" in page.text and "\\(x\\)" in page.text and "https://example.org" in page.links
    assert "First &amp; best" in index.text and "01_first.html" in index.links
    assert "hear a|b; see." in index.text and "not this" not in index.text


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (text("[gone](../gone.md)"), "01_first.*gone.md"),
        (text("![far](https://example.org/a.png)"), "fetch https://example.org/a.png"),
        (ran(text_html="<SCRIPT async SRC=//example.org/a.js></SCRIPT>"), "fetch //example.org/a.js"),
        (ran(text_plain=f"read {Path.home() / 'clip.wav'}"), "names the path"),
    ],
)
def test_what_a_reader_would_find_broken_is_refused(tmp_path: Path, cell: object, said: str) -> None:
    with pytest.raises(VcemoError, match=said):
        site.build(course(tmp_path, cell, ran(text_plain="1")))
    assert not (tmp_path / "build" / "site").exists() and list((tmp_path / "build").iterdir()) == []


@pytest.mark.parametrize(
    "part",
    [
        '<img src="https://a.org/b.png">',
        "<IMG SRC = 'HTTP://a.org/b.png'>",
        "<img src=//a.org/b.png>",
        '<img srcset="b.png 1x, https://a.org/b.png 2x">',
        "<style>@import 'https://a.org/b.css'</style>",
        "<style>@import url(//a.org/b.css)</style>",
        '<p style="background: URL( https://a.org/b.png )">',
        "<script>fetch(`https://a.org/b`)</script>",
        '<script>new WebSocket("wss://a.org/b")</script>',
        '<link rel="stylesheet" href="https://a.org/b.css">',
    ],
)
def test_an_address_that_a_browser_loads_is_found(part: str) -> None:
    assert "a.org/b" in " ".join(fetched(f'<p title="a > b">text</p>{part}'))


@pytest.mark.parametrize(
    "part",
    [
        '<svg xmlns="http://www.w3.org/2000/svg">',
        '<a class="x" href="https://a.org/b">there</a>',
        '<pre>url = <span>"https://a.org/b"</span></pre>',
        "<script>// a remark\nlet x = 1 // 2;</script>",
        '<img src="data:image/png;base64,//a.org/b">',
    ],
)
def test_what_no_browser_loads_is_let_be(part: str) -> None:
    assert not fetched(part)


def fetched(page: str) -> list[str]:
    return site.FETCHED.findall(" ".join(site.TAG_OR_CODE.findall(page)))


def test_a_notebook_that_never_ran_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VcemoError, match="no outputs"):
        site.build(course(tmp_path, nbformat.v4.new_code_cell("1")))


def test_outputs_of_a_later_run_of_the_same_code_are_taken(tmp_path: Path) -> None:
    made = course(tmp_path, ran("1", text_plain="stored"))

    def run(lane: str, says: str, source: str = "1", **metadata: object) -> None:
        path = made.build / lane / "01_first.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        cells = [ran(source, text_plain=says)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)

    run("cpu", "later")
    run("gpu", "elsewhere")
    assert "later" in shown(made) and "elsewhere" in shown(made, "gpu") and "stored" in shown(made, "smoke")
    stored = made.notebooks[0].path.stat().st_mtime
    os.utime(made.build / "cpu" / "01_first.ipynb", (stored - 1, stored - 1))
    assert "stored" in shown(made)
    run("cpu", "other code", source="2")
    assert "stored" in shown(made)
    run("cpu", "failed", papermill={"exception": True})
    assert "stored" in shown(made)


def test_outputs_older_than_the_code_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = course(tmp_path, ran(text_plain="1"))
    shown(made)
    assert capsys.readouterr().err == ""
    notebook = nbformat.read(made.notebooks[0].path, as_version=4)
    notebook.metadata["vcemo"] = {"code": "of another day"}
    nbformat.write(notebook, made.notebooks[0].path)
    shown(made)
    assert capsys.readouterr().err == "warning: 01_first was changed after its outputs were stored\n"


# -------------------------------------------------------------------------------------------- the folder


def test_only_a_site_made_here_is_replaced(tmp_path: Path) -> None:
    made, out = course(tmp_path / "course", ran(text_plain="old")), tmp_path / "out"
    site.build(made, out)
    (out / ".DS_Store").touch()  # a file manager looked
    again = nbformat.v4.new_notebook(cells=[text("# A"), ran(text_plain="new")])
    nbformat.write(again, made.notebooks[0].path)
    site.build(made, out)
    assert "new" in (out / "01_first.html").read_text(encoding="utf-8") and not (out / ".DS_Store").exists()
    (out / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(VcemoError, match=r"letter\.txt is not of a site.*--out"):
        site.build(made, out)
    assert (out / "letter.txt").is_file() and (out / "index.html").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["course", "out"]


@pytest.mark.parametrize("name", ["site.css", "index.html", ".buildinfo", "empty/"])
def test_nothing_of_a_users_is_deleted(tmp_path: Path, name: str) -> None:
    """A folder that looks like a site, but is the user's, is left as it is."""
    made, mine = course(tmp_path / "course", ran(text_plain="1")), tmp_path / "mine"
    mine.mkdir()
    (mine / name).mkdir() if name.endswith("/") else (mine / name).write_text("mine", encoding="utf-8")
    with pytest.raises(VcemoError, match="not of a site"):
        site.build(made, mine)
    assert [path.name for path in mine.iterdir()] == [name.rstrip("/")]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    made = course(tmp_path / "course", ran(text_plain="1"))
    (tmp_path / "file").touch()
    with pytest.raises(VcemoError, match="file is not of a site"):
        site.build(made, tmp_path / "file")


# -------------------------------------------------------------------------------------------- Sphinx


def test_sphinx_loads_late_and_is_missed_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = "import sys, vcemo_lib.course.site; print({'sphinx', 'docutils'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    monkeypatch.setattr(site, "NEEDED", ("sphinx", "no_such_theme"))
    with pytest.raises(VcemoError) as refused:
        site.build(course(tmp_path, ran(text_plain="1")))
    assert str(refused.value) == "not installed: no_such_theme: pip install 'vcemo-lib[site]'"
