"""The course as a site, opened from its folder in a browser that has no network."""

from pathlib import Path
from typing import Any

import pytest
from pages import ROOT, faults, look, played, reached

from vcemo_lib.course import site


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site.build(out=tmp_path_factory.mktemp("course") / "site")


@pytest.fixture(scope="module")
def offline(page: Any) -> Any:
    """The page with the network blocked; `asked` is what it wanted from there, `failed` what it did not get."""
    page.asked, page.failed = [], []
    page.context.route("**/*", lambda route: route.continue_() if route.request.url.startswith(("file:", "data:", "blob:")) else route.abort())
    page.context.set_offline(True)
    page.on("request", lambda request: page.asked.append(request.url) if request.url.startswith(("http", "ws")) else None)
    page.on("requestfailed", lambda request: page.failed.append(request.url[:200]))
    return page


def test_the_index_leads_to_every_page(offline: Any, index: Path) -> None:
    offline.goto(index.as_uri())
    pages = offline.locator("main a").evaluate_all("links => links.map(a => a.href)")
    assert [Path(address).stem for address in pages] == [path.stem for path in sorted(ROOT.glob("notebooks/[0-9][0-9]_*.ipynb"))]
    offline.locator("main a").first.click()
    assert offline.title().startswith(Path(pages[0]).stem[:2])
    for address in pages[1:]:
        offline.locator("a[rel=next]").click()
        offline.wait_for_url(address)
    assert offline.locator("a[rel=next]").count() == 0


def test_sound_plays_and_pictures_are_there(offline: Any, index: Path) -> None:
    offline.goto((index.parent / "01_dataset_exploration.html").as_uri())
    played(offline, _started(offline))
    for page in sorted(index.parent.glob("[0-9]*.html")):
        offline.goto(page.as_uri())
        broken = offline.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).length")
        silent = offline.evaluate("""async () => {
            const tested = [...document.querySelectorAll('audio')].map(async audio => {
                audio.preload = 'auto'; audio.load();
                for (let i = 0; i < 100 && audio.readyState < 1 && !audio.error; i++) await new Promise(r => setTimeout(r, 50));
                return audio.error || !(audio.duration > 0.2);
            });
            return (await Promise.all(tested)).filter(Boolean).length;
        }""")
        assert (broken, silent) == (0, 0), page.name
    assert offline.asked == [] and offline.failed == [] and offline.complaints == []


def _started(page: Any) -> Any:
    audio = page.locator("audio").first
    audio.evaluate("e => e.play()")
    return audio


def test_formulas_are_drawn(offline: Any, index: Path) -> None:
    offline.goto((index.parent / "05_supcon_training.html").as_uri())
    formulas = offline.locator("math")
    assert formulas.count() > 5 and all(box["height"] > 8 for box in map(lambda i: formulas.nth(i).bounding_box(), range(5)))


def test_the_theme_button_is_remembered(offline: Any, index: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    offline.goto(index.as_uri())
    light = offline.evaluate(ground)
    offline.get_by_role("button", name="Dark theme").click()
    dark = offline.evaluate(ground)
    offline.reload()
    assert light != dark == offline.evaluate(ground)
    offline.get_by_role("button", name="Light theme").click()


def test_read_by_everyone_at_both_widths_in_both_themes(offline: Any, index: Path) -> None:
    wrong = {}
    offline.goto(index.as_uri())
    offline.evaluate("localStorage.clear()")
    for page in sorted(index.parent.glob("*.html")):
        offline.goto(page.as_uri())
        for scheme, width in (("light", 1280), ("dark", 800)):
            offline.emulate_media(color_scheme=scheme)
            offline.set_viewport_size({"width": width, "height": 900})
            if found := faults(offline, "body"):
                wrong[f"{page.stem} {scheme} {width}"] = found[:8]
    assert not wrong


def test_the_keyboard_reaches_every_control(offline: Any, index: Path) -> None:
    offline.emulate_media(color_scheme="light")
    offline.goto((index.parent / "01_dataset_exploration.html").as_uri())
    there, found = reached(offline, "body", 250)
    assert len(there) > 20 and there == found


def test_looked_at(offline: Any, index: Path) -> None:
    wrong = {}
    for page in ("index", "00_start_here", "05_supcon_training"):
        if (index.parent / f"{page}.html").is_file():
            offline.goto((index.parent / f"{page}.html").as_uri())
            wrong |= look(offline, f"site-{page[:2]}", lambda dark: offline.emulate_media(color_scheme="dark" if dark else "light"))
    assert wrong == {}
