"""Notebooks 00 and 09 in JupyterLab, from the first cell to the last, and then by hand."""

import json
from collections.abc import Iterator
from typing import Any

import nbformat
import pytest
from pages import PATIENCE_MS, ROOT, look, played, reached, serving, speak, use_player

SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "@jupyterlab/notebook-extension:tracker": {
        "windowingMode": "none"
    },  # cells off the screen are there all the same
}
CELLS = (
    "[...jupyterapp.shell.currentWidget.content.widgets].filter(c => c.model.type === 'code' &&"
    " c.model.sharedModel.source.trim())"
)


@pytest.fixture(scope="module")
def lab(page: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """JupyterLab over copies of the notebooks in the smoke lane, without outputs."""
    folder = tmp_path_factory.mktemp("lab")
    for number in ("00", "09"):
        (path,) = ROOT.glob(f"notebooks/{number}_*.ipynb")
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
            if "parameters" in cell.metadata.get("tags", []):
                assert 'lane = "cpu"' in cell.source
                cell.source = cell.source.replace('"cpu"', '"smoke"', 1)
        nbformat.write(notebook, folder / f"{number}.ipynb")
    overrides = folder / "config" / "labconfig" / "default_setting_overrides.json"
    overrides.parent.mkdir(parents=True)
    overrides.write_text(json.dumps(SETTINGS), encoding="utf-8")
    arguments = [
        "jupyterlab",
        "--no-browser",
        "--port={port}",
        "--ip=127.0.0.1",
        "--IdentityProvider.token=",
        "--allow-root",
    ]
    with serving(
        [*arguments, "--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={folder}"], folder
    ) as address:
        page.address = address
        yield page


def run(page: Any, name: str) -> None:
    """Open a notebook and run all its cells; none may fail."""
    page.goto(f"{page.address}/lab/tree/{name}.ipynb?reset")
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.context?.isReady")
    page.wait_for_function(
        "jupyterapp.shell.currentWidget.context.sessionContext.session?.kernel?.status === 'idle'"
    )
    page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
    done = (
        f"{CELLS}.every(c => c.model.executionCount) &&"
        " jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.status === 'idle'"
    )
    failed = f"{CELLS}.some(c => c.model.outputs.toJSON().some(o => o.output_type === 'error'))"
    page.wait_for_function(f"({failed}) || ({done})", timeout=3 * PATIENCE_MS, polling=500)
    errors = page.evaluate(
        f"{CELLS}.flatMap(c => c.model.outputs.toJSON().filter(o => o.output_type === 'error').map(o =>"
        " o.evalue))"
    )
    assert errors == []


def set_dark(page: Any, dark: bool) -> None:
    page.evaluate(
        "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})",
        "JupyterLab Dark" if dark else "JupyterLab Light",
    )
    page.wait_for_function("light => document.body.dataset.jpThemeLight === light", arg=str(not dark).lower())
    page.wait_for_timeout(500)


def looked_at(page: Any, name: str, *widgets: str) -> dict[str, list[str]]:
    """Pictures of these widgets, and what is wrong in them."""
    page.evaluate("jupyterapp.shell.collapseLeft()")
    wrong = {}
    for widget in widgets:
        part = page.get_by_test_id(widget).first
        wrong |= look(
            page, f"lab-{name}-{widget}", lambda dark: set_dark(page, dark), f"[data-testid={widget}]", part
        )
    return wrong


def test_start_here_runs_and_plays(lab: Any) -> None:
    run(lab, "00")
    sound = lab.locator(".jp-OutputArea audio[controls]").first
    sound.evaluate("e => e.play()")
    played(lab, sound)
    use_player(lab, lab.get_by_test_id("player").first)


def test_the_browser_lists_and_plays(lab: Any) -> None:
    browser = lab.get_by_test_id("vcemo-browser").first
    before = browser.get_by_test_id("vcemo-found").inner_text()
    browser.locator(".vcemo-cell:not([disabled]):not(.vcemo-diagonal)").first.click()
    lab.wait_for_function(
        "([e, t]) => e.innerText !== t", arg=[browser.get_by_test_id("vcemo-found").element_handle(), before]
    )
    browser.locator(".vcemo-row").first.click()
    played(lab, lab.get_by_test_id("player-audio").nth(1))  # the sound is that of the player beside it


def test_a_game_is_played_to_its_end(lab: Any) -> None:
    game = lab.get_by_test_id("vcemo-game").first
    game.scroll_into_view_if_needed()
    report = game.get_by_test_id("vcemo-game-report")
    game.get_by_test_id("vcemo-game-play").click()
    for _ in range(10):
        status = game.get_by_test_id("vcemo-game-status").inner_text()
        game.get_by_test_id("vcemo-game-sad").click()
        lab.wait_for_function(
            "([s, r, t]) => s.innerText !== t || r.innerText",
            arg=[game.get_by_test_id("vcemo-game-status").element_handle(), report.element_handle(), status],
        )
    game.get_by_test_id("vcemo-game-reveal").click()
    report.get_by_text("model", exact=True).wait_for()
    assert "kappa" in report.inner_text().lower()


def test_start_here_is_readable(lab: Any) -> None:
    assert looked_at(lab, "00", "player", "vcemo-browser", "vcemo-game") == {}


def test_start_here_by_keyboard(lab: Any) -> None:
    for widget in (".vcemo-player", ".vcemo-browser", ".vcemo-game"):
        lab.evaluate(
            "document.querySelectorAll('[data-walk]').forEach(e => delete e.dataset.walk)"
        )  # of the last
        there, found = reached(lab, widget)
        assert there and there == found, (widget, there - found)


def test_playground_runs_plays_and_hears(lab: Any) -> None:
    run(lab, "09")
    use_player(lab, lab.get_by_test_id("player").first)
    assert speak(lab, 4).startswith("Done: ")
    assert looked_at(lab, "09", "voice", "player") == {}
    assert lab.complaints == []
