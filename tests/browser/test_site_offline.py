"""The course as a site, opened from its folder in a browser that has no network."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import faults, look, played, reached

from vcemo_lib.course import Course, site

WIDE = """() => [...document.querySelectorAll('.bd-article *')].filter(e => e.checkVisibility()
    && getComputedStyle(e).overflowX !== 'visible' && e.scrollWidth > e.clientWidth + 1
    && !e.closest('pre, mjx-container') && !e.querySelector('pre, table')).map(e => e.outerHTML.slice(0,
    90))"""
CUT = """() => [...document.querySelectorAll('.cell_input pre')]
    .filter(e => e.scrollWidth > e.clientWidth + 1)
    .map(e => Math.max(...e.textContent.split('\\n').map(line => line.length)))"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site.build(out=tmp_path_factory.mktemp("course") / "site")


@pytest.fixture(scope="module")
def offline(page: Any) -> Any:
    """The page with the network blocked; `asked`: what it wanted there, `failed`: what it did not get."""
    page.asked, page.failed = [], []
    inside = ("file:", "data:", "blob:")
    page.context.route("**/*", lambda r: r.continue_() if r.request.url.startswith(inside) else r.abort())
    page.context.set_offline(True)
    page.on("request", lambda r: page.asked.append(r.url) if r.url.startswith(("http", "ws")) else None)
    page.on("requestfailed", lambda request: page.failed.append(request.url[:200]))
    return page


@pytest.fixture(autouse=True)
def as_found(offline: Any) -> Iterator[None]:
    """Leave each test's choice of theme and window behind."""
    yield
    offline.evaluate("localStorage.clear()")
    offline.emulate_media(color_scheme="light")
    offline.set_viewport_size({"width": 1280, "height": 900})


def pages(index: Path) -> list[Path]:
    names = [*(notebook.name for notebook in Course().notebooks), "glossary"]
    return [index, *(index.parent / f"{name}.html" for name in names)]


def test_next_leads_through_the_course(offline: Any, index: Path) -> None:
    offline.goto(index.as_uri())
    for page in pages(index)[1:]:
        offline.locator(".right-next").click()
        offline.wait_for_url(page.as_uri())
        assert offline.title().lower().startswith(page.stem[:2])
    assert offline.locator(".right-next").count() == 0
    links = offline.locator("#pst-primary-sidebar nav a").evaluate_all("links => links.map(a => a.href)")
    assert [address.partition("#")[0] for address in links] == [page.as_uri() for page in pages(index)[1:]]


def test_search_finds_a_word(offline: Any, index: Path) -> None:
    offline.goto(index.as_uri())
    offline.keyboard.press("Control+K")
    offline.keyboard.type("kappa")
    offline.keyboard.press("Enter")
    offline.wait_for_url("**/search.html?q=kappa")
    results = offline.locator("#search-results li a")
    results.first.wait_for()
    found = results.evaluate_all("links => links.map(a => a.href)")
    assert any("01_dataset_exploration.html" in address for address in found)


def test_a_folded_cell_unfolds_and_is_copied(offline: Any, index: Path) -> None:
    offline.context.grant_permissions(["clipboard-read", "clipboard-write"])
    offline.goto(pages(index)[1].as_uri())
    cell = offline.locator("details:has(.cell_input)").first
    assert not cell.locator("pre").is_visible()
    cell.locator("summary").click()
    cell.locator("pre").hover()
    cell.get_by_role("button", name="Copy").click()
    cell.get_by_role("button", name="Copied").wait_for()
    assert (
        offline.evaluate("navigator.clipboard.readText()").strip() == cell.locator("pre").inner_text().strip()
    )


def test_sound_plays_one_at_a_time_and_pictures_are_there(offline: Any, index: Path) -> None:
    offline.goto(index.as_uri())
    first, second = offline.locator("audio").nth(0), offline.locator("audio").nth(1)
    first.evaluate("e => { e.loop = true; e.play() }")
    played(offline, first)
    second.evaluate("e => e.play()")
    played(offline, second)
    assert first.evaluate("e => e.paused")
    for page in pages(index):
        offline.goto(page.as_uri())
        broken = offline.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).length")
        silent = offline.evaluate("""async () => {
            const tested = [...document.querySelectorAll('audio')].map(async audio => {
                audio.preload = 'auto'; audio.load();
                for (let i = 0; i < 100 && audio.readyState < 1 && !audio.error; i++)
                    await new Promise(r => setTimeout(r, 50));
                return audio.error || !(audio.duration > 0.2);
            });
            return (await Promise.all(tested)).filter(Boolean).length;
        }""")
        assert (broken, silent) == (0, 0), page.name


def test_formulas_are_drawn(offline: Any, index: Path) -> None:
    offline.goto((index.parent / "05_supcon_training.html").as_uri())
    formulas = offline.locator("mjx-container")
    formulas.first.wait_for()
    boxes = [formulas.nth(at).bounding_box() for at in range(5)]
    assert formulas.count() > 5 and all(box["height"] > 8 for box in boxes)
    assert offline.evaluate("[...document.fonts].some(f => /MJX/.test(f.family) && f.status === 'loaded')")
    assert offline.locator("mjx-merror").count() == 0


def test_the_theme_is_the_systems_or_the_one_chosen(offline: Any, index: Path) -> None:
    def is_dark(dark: bool) -> None:  # wait, as the colour fades over
        ground = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g)[0]"
        offline.wait_for_function(f"{ground} {'< 60' if dark else '> 200'}")

    offline.goto(index.as_uri())
    is_dark(False)
    offline.emulate_media(color_scheme="dark")
    is_dark(True)
    offline.emulate_media(color_scheme="light")
    is_dark(False)
    offline.get_by_role("button", name="Color mode").click()
    offline.get_by_role("button", name="Dark", exact=True).click()
    offline.reload()
    is_dark(True)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_read_it(offline: Any, index: Path, width: int, scheme: str) -> None:
    """Contrast, names and words on every page; a page as wide as its window; only code and tables scroll."""
    wrong = {}
    offline.emulate_media(color_scheme=scheme)
    offline.set_viewport_size({"width": width, "height": 900})
    for page in pages(index):
        offline.goto(page.as_uri())
        found = faults(offline, ".bd-main") + (offline.evaluate(WIDE) if width == 390 else [])
        if width == 1280:
            found += [f"cut at {length} columns" for length in offline.evaluate(CUT) if length <= 100]
        if found:
            wrong[page.stem] = found[:8]
    assert not wrong


def test_the_keyboard_reaches_every_control(offline: Any, index: Path) -> None:
    offline.goto((index.parent / "01_dataset_exploration.html").as_uri())
    there, found = reached(offline, ".bd-main", 250)
    assert len(there) > 20 and there == found


def test_looked_at(offline: Any, index: Path) -> None:
    def set_dark(dark: bool) -> None:
        offline.emulate_media(color_scheme="dark" if dark else "light")

    for page in ("index", "00_start_here", "05_supcon_training"):
        offline.goto((index.parent / f"{page}.html").as_uri())
        look(offline, f"site-{page[:2]}", set_dark, ".bd-main")


def test_nothing_was_asked_of_the_network_or_complained_of(offline: Any) -> None:
    assert (offline.asked, offline.failed, offline.complaints) == ([], [], [])
