"""The site that `vcemo course site` writes: every link leads somewhere, and nothing is fetched from the network."""

from __future__ import annotations

import html.parser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import yaml

from vcemo_lib.course import Course, code_digest, site
from vcemo_lib.errors import VcemoError

PLAYER = '<audio controls aria-label="clip" src="data:audio/mpeg;base64,AAAA"></audio>'
WIDGET = {"application/vnd.jupyter.widget-view+json": {"model_id": "1", "version_major": 2, "version_minor": 0}}


class Addresses(html.parser.HTMLParser):
    """What a page's elements point to, its ids, and the words for its pictures."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.resources: list[str] = []
        self.ids: set[str] = set()
        self.words: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name == "alt":
                self.words.append(value or "")
            elif name == "id":
                self.ids.add(value or "")
            elif name in ("href", "xlink:href") and tag == "a":
                self.links.append(value or "")
            elif name in ("src", "href", "xlink:href", "srcset", "poster", "data", "action"):
                self.resources.append(value or "")


def course(root: Path, *cells: object, **files: str) -> Course:
    """A course of one notebook, 01, that is held to have run."""
    (root / "notebooks").mkdir(parents=True)
    plan = root / "data" / "expected" / "course.yaml"
    plan.parent.mkdir(parents=True)
    plan.write_text(yaml.safe_dump({"notebooks": [{"name": "01_first", "title": "First & best", "minutes": 5}]}), encoding="utf-8")
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), root / "notebooks" / "01_first.ipynb")
    for name, text in files.items():
        (root / name).write_text(text, encoding="utf-8")
    return Course(root)


def text(source: str) -> object:
    return nbformat.v4.new_markdown_cell(source)


def ran(source: str = "1", **data: object) -> object:
    output = nbformat.v4.new_output("display_data", data={name.replace("_", "/", 1): value for name, value in data.items()})
    return nbformat.v4.new_code_cell(source, outputs=[output], execution_count=1)


def page_of(made: Course) -> str:
    return (site.build(made).parent / "01_first.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site.build(out=tmp_path_factory.mktemp("real") / "site").parent


def test_every_link_of_the_real_course_leads_somewhere_and_nothing_is_fetched(real: Path) -> None:
    pages = {path.name: Addresses(path) for path in real.glob("*.html")}
    assert set(pages) == {"index.html"} | {f"{notebook.name}.html" for notebook in Course().notebooks}
    for name, page in pages.items():
        for address in page.links:
            parts = urlsplit(address)
            if parts.scheme in ("http", "https", "mailto"):
                continue  # further reading, followed by a reader who is online
            target = pages[parts.path or name] if (parts.path or name) in pages else None
            assert target or (real / unquote(parts.path)).is_file(), f"{name}: {address}"
            assert not parts.fragment or target and unquote(parts.fragment) in target.ids, f"{name}: {address}"
        for address in page.resources:
            assert address.startswith(("data:", "#")) or (real / address).is_file(), f"{name}: {address[:80]}"
    for path in real.glob("*.css"):
        assert "url(" not in path.read_text(encoding="utf-8") and "@import" not in path.read_text(encoding="utf-8")


def test_formulas_of_the_real_course_are_mathml(real: Path) -> None:
    page = (real / "05_supcon_training.html").read_text(encoding="utf-8")
    assert page.count("<math") > 10 and "<mfrac>" in page and "$$" not in page
    for path in real.glob("*.html"):
        assert "linebreak" not in path.read_text(encoding="utf-8"), f"{path.name}: a formula with a doubled backslash"


def test_sound_pictures_and_their_words_are_in_the_page(tmp_path: Path) -> None:
    picture = ran(image_png="iVBORw0KGgo=")
    picture.outputs[0].metadata["image/png"] = {"alt": 'A "curve" that rises'}
    made = course(tmp_path, ran(text_html=PLAYER), picture)
    assert "First &amp; best" in page_of(made)
    page = Addresses(made.build / "site" / "01_first.html")
    assert {"data:audio/mpeg;base64,AAAA", "data:image/png;base64,iVBORw0KGgo="} <= set(page.resources)
    assert page.words == ['A "curve" that rises']


def test_a_live_widget_gives_way_to_its_twin(tmp_path: Path) -> None:
    with_twin, alone = ran(text_html=PLAYER, text_plain="Player()"), ran(text_plain="VBox()")
    for cell in (with_twin, alone):
        cell.outputs[0].data.update(WIDGET)
    page = page_of(course(tmp_path, with_twin, alone))
    assert page.count("data:audio/mpeg;base64,AAAA") == 1 and "VBox()" not in page and "widget-view" not in page


def test_links_between_notebooks_and_to_files_lead_inside_the_site(tmp_path: Path) -> None:
    made = course(tmp_path, text("# One\n\n[self](01_first.ipynb#one) [notes](../notes.txt)"), ran(text_plain="1"), **{"notes.txt": "kept"})
    page = page_of(made)
    assert 'href="01_first.html#one"' in page and 'href="files/notes.txt"' in page
    assert (made.build / "site" / "files" / "notes.txt").read_text(encoding="utf-8") == "kept"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (text("[gone](../gone.md)"), "not there"),
        (text("[outside](../../../outside.md)"), "not there"),
        (text("![far](https://example.org/a.png)"), "fetch"),
        (ran(text_html='<script async src="//example.org/a.js"></script>'), "fetch"),
    ],
)
def test_dead_links_and_what_needs_the_network_are_refused(tmp_path: Path, cell: object, said: str) -> None:
    with pytest.raises(VcemoError, match=said):
        site.build(course(tmp_path, cell, ran(text_plain="1")))


def test_a_notebook_that_never_ran_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VcemoError, match="no outputs"):
        site.build(course(tmp_path, nbformat.v4.new_code_cell("1")))


def test_outputs_of_a_later_run_of_the_same_code_are_taken(tmp_path: Path) -> None:
    made = course(tmp_path, ran("1", text_plain="stored"))
    later = nbformat.v4.new_notebook(cells=[ran("1", text_plain="later")])
    path = made.build / "cpu" / "01_first.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(later, path)
    assert "later" in page_of(made)
    later.cells[0].source = "2"
    nbformat.write(later, path)
    assert code_digest(later) != code_digest(nbformat.read(made.notebooks[0].path, as_version=4)) and "stored" in page_of(made)


def test_only_a_site_is_replaced(tmp_path: Path) -> None:
    made = course(tmp_path / "course", ran(text_plain="1"))
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(VcemoError, match="something else"):
        site.build(made, folder)
    assert (folder / "letter.txt").is_file()
    site.build(made, tmp_path / "new")
    site.build(made, tmp_path / "new")
