"""README in Chinese has the parts of the English one; the glossary is in order and can be linked to."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ENGLISH, CHINESE = ((ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "README.zh.md"))
ROW = re.compile(r'^\| <a id="([a-z0-9-]+)"></a>(.+) \| (.+) \| (.+\.) \|$')


@pytest.mark.parametrize(
    "part",
    [
        pytest.param("^#+ ", id="headings"),
        pytest.param(r"^```\w*", id="blocks of code"),
        pytest.param(r"^vc\..*?\)|^\w+ = vc\..*?\)(?= |$)", id="lines of code"),
        pytest.param(r"notebooks/\d\d_\w+\.ipynb", id="notebooks"),
        pytest.param(r"^\| (?=`)", id="rows on modules and commands"),
    ],
)
def test_readme_in_chinese_is_of_one_build_with_readme(part: str) -> None:
    assert re.findall(part, CHINESE, re.MULTILINE) == re.findall(part, ENGLISH, re.MULTILINE)


def test_readme_in_chinese_tells_the_same_results() -> None:
    spec = importlib.util.spec_from_file_location("results", ROOT / "data" / "build" / "results.py")
    results = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(results)
    shown = [page.split(results.START)[1].split(results.END)[0] for page in (ENGLISH, CHINESE)]
    assert results.in_chinese(shown[0]) == shown[1], "run `python data/build/results.py`"
    numbers = [sorted(re.findall(r"\d+(?:[.,]\d+)*", text)) for text in shown]
    assert numbers[0] == numbers[1] and len(numbers[0]) > 200


@pytest.mark.parametrize("page", ["README.zh.md", "docs/glossary.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target


def test_the_glossary_is_alphabetical_whole_and_linkable() -> None:
    lines = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    rows = [ROW.match(line) for line in lines if line.startswith("| <a")]
    assert len(rows) >= 60 and all(rows), "term | 中文 | one sentence."
    anchors, terms, chinese, _ = zip(*(row.groups() for row in rows if row), strict=True)
    assert len(set(anchors)) == len(anchors) and len(set(chinese)) == len(chinese)
    assert list(terms) == sorted(terms, key=str.lower)
    assert all(re.search("[\u4e00-\u9fff]", word) for word in chinese)
