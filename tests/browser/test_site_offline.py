"""The course as a site, opened from its folder in a browser that has no network."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import bars, faults, look, mute, played, reached, use_player

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
    """The page with the network blocked; `asked`: what it wanted there; `failed`: what it did not get."""
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
    names = [*(notebook.name for notebook in Course().notebooks), "glossary", "straight_line", "teachers"]
    return [index, *(index.parent / f"{name}.html" for name in names)]


def awake(page: Any) -> None:
    """Wait until the widgets of a page live."""
    page.wait_for_function(
        "[...document.querySelectorAll('[data-vcemo]')].every(e => e.querySelector('.vcemo'))"
    )


def test_the_first_page_plays_asks_and_tells(offline: Any, index: Path) -> None:
    offline.goto(index.as_uri())
    offline.get_by_test_id("guess-play").click()
    played(offline, offline.get_by_test_id("guess-audio"))
    offline.get_by_test_id("guess-sad").click()
    told = offline.locator(".vcemo-guess [role=status]").inner_text()
    assert told.startswith("You say ◆ sad") and "The model says" in told and "simulated" in told
    assert sum(bars(offline.get_by_test_id("player")).values()) == pytest.approx(1, abs=0.01)
    assert "simulated" in offline.locator(".vcemo-guess").inner_text()
    offline.get_by_test_id("guess-next").click()
    offline.locator(".vcemo-guess button:has-text('sad')").filter(visible=True).wait_for()
    assert offline.get_by_test_id("player").count() == 0


def test_the_site_lives(offline: Any, index: Path) -> None:
    offline.goto(pages(index)[1].as_uri())
    awake(offline)
    player = offline.get_by_test_id("player").first
    use_player(offline, player)
    before = offline.get_by_test_id("vcemo-found").inner_text()
    cell = offline.locator(".vcemo-cell:not([disabled]):not(.vcemo-diagonal)").first
    count = cell.inner_text()
    cell.click()
    assert offline.get_by_test_id("vcemo-found").inner_text().startswith(f"{count} of ") and before
    row = offline.locator(".vcemo-row").first
    row.click()
    shown = offline.get_by_test_id("player").nth(1)
    shown.get_by_text(row.get_attribute("data-testid").removeprefix("vcemo-row-")).wait_for()
    played(offline, shown.get_by_test_id("player-audio"))
    mute(offline, shown, "bert", True)
    assert "without BERT" in shown.inner_text()
    offline.get_by_test_id("vcemo-game-play").click()
    for done in range(1, 11):
        offline.wait_for_function(
            "document.querySelector('[data-testid=vcemo-game-sad]').ariaDisabled === 'false'"
        )
        offline.get_by_test_id("vcemo-game-sad").click()
        offline.get_by_test_id("vcemo-game-status").filter(has_text=f"lip {done}: you said sad").wait_for()
    offline.get_by_test_id("vcemo-game-reveal").click()
    report = offline.get_by_test_id("vcemo-game-report")
    report.get_by_text("(McNemar)").wait_for()
    assert report.locator("tbody tr").count() == 13 and "raters" in report.inner_text()
    offline.get_by_test_id("vcemo-game-again").click()
    offline.get_by_test_id("vcemo-game-status").filter(has_text="Clip 1 of 10").wait_for()
    offline.goto((index.parent / "09_playground.html").as_uri())
    awake(offline)
    offline.get_by_test_id("voice-example-5").click()
    offline.get_by_test_id("player").last.get_by_text("true: ★ surprise").wait_for()
    assert "make app" in offline.get_by_test_id("voice").inner_text()


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
    offline.goto(pages(index)[1].as_uri())
    first, second = offline.locator("audio[controls]").nth(0), offline.locator("audio[controls]").nth(1)
    first.evaluate("e => { e.loop = true; e.play() }")
    played(offline, first)
    second.evaluate("e => e.play()")
    played(offline, second)
    assert first.evaluate("e => e.paused")
    for page in pages(index):
        offline.goto(page.as_uri())
        awake(offline)
        broken = offline.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).length")
        silent = offline.evaluate("""async () => {
            const heard = [...document.querySelectorAll('audio')].filter(a => a.currentSrc || a.src);
            const tested = heard.map(async audio => {
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
        awake(offline)
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
