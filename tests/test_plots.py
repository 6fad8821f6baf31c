"""Figures: what they draw is what they were given; colours can be told apart; no empty boxes for Chinese."""

import gc
import importlib.util
import io
import warnings
import weakref
from itertools import combinations
from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image

from vcemo_lib import plots
from vcemo_lib.corpora.labels import LABELS
from vcemo_lib.course import pictures
from vcemo_lib.course import plots as teaching
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import repo_data

FONT = repo_data() / "fonts" / "NotoSansSC-subset.ttf"
RNG = np.random.default_rng(0)
TONE = np.sin(np.arange(16_000) * 0.2).astype(np.float32)
CIRCLE = np.stack([np.cos(np.arange(5)), np.sin(np.arange(5))], axis=1)
SCORES = {"Xu 2019": 0.50, "MDRE": 0.52, "MHA-2": 0.55, "UMONS": 0.58, "VCEMO": 0.66, "VCEMO + SupCon": 0.67}
MEL = np.zeros((80, 100, 3))  # as a picture: rows, columns, colours
TIMED = [{"text": "hello", "start": 0.1, "end": 0.4}, {"text": "you", "start": 0.5, "end": 0.9}]
BOXES = {"mel": (0.1, 0.2, "log-mel\n(T, F)"), "lstm": (0.5, 0.2, "LSTM"), "out": (0.9, 0.8, "Linear")}


def rows(names, **more):
    """A table of values with intervals."""
    value = np.linspace(0.3, 0.7, len(names))
    return pd.DataFrame({"value": value, "low": value - 0.1, "high": value + 0.06, **more}, list(names))


def differences(scores):
    names = list(scores)
    return pd.DataFrame([{"a": a, "b": b, "p_holm": 0.01 if abs(scores[a] - scores[b]) > 0.04 else 0.4}
                         for i, a in enumerate(names) for b in names[:i]])  # fmt: skip


# name of the function, and behind a comma what is special -> the figure
CASES = {
    "waveform_and_mel": lambda: plots.waveform_and_mel(
        TONE, title="a tone", words=[SimpleNamespace(**word) for word in TIMED]),
    "timeline": lambda: pictures.timeline(np.ones(50), MEL, 1.0, [0.5, 1.0], np.eye(6)[:2], words=TIMED),
    "timeline, no prediction": lambda: pictures.timeline(np.ones(50), MEL, 1.0),
    "confusion": lambda: plots.confusion(RNG.integers(0, 90, (6, 6)), title="simulated test part"),
    "embedding": lambda: pictures.embedding(
        {"a": RNG.normal(size=(30, 5)), "b": CIRCLE.repeat(6, 0)}, [*LABELS] * 5),
    "intervals": lambda: plots.intervals(rows("abc"), reference=0.2, reference_label="one label for all"),
    "intervals, groups": lambda: plots.intervals(
        pd.concat([rows(LABELS, who="human"), rows(LABELS, who="simulated")]), group="who", xlabel="share"),
    "spread": lambda: teaching.spread(
        pd.DataFrame({"s": RNG.gamma(3, size=60), "e": [*LABELS] * 10}), "s", "e"),
    "spread, no emotions": lambda: teaching.spread(
        pd.DataFrame({"s": [1.0, 2.0, 4.0], "e": [*"aab"]}), "s", "e"),
    "spectrograms": lambda: teaching.spectrograms(
        {name: RNG.normal(size=(50, 80)) for name in ("plain", "noisy", "fast", "low")}),
    "curves": lambda: teaching.curves(
        {"a": {e: (np.arange(9), np.arange(9) * i) for i, e in enumerate(LABELS)},
         "b": {"": (np.arange(9), np.arange(9))}}, ["ms", "Hz"], ["dB", "weight"]),
    "word_map": lambda: teaching.word_map(np.eye(6), [f"word-{i}" for i in range(6)], ["angry", "sad"] * 3),
    "diagram": lambda: teaching.diagram(BOXES, [("mel", "lstm"), ("lstm", "out")], bold=["out"]),
    "critical_difference": lambda: teaching.critical_difference(
        SCORES, differences(SCORES), xlabel="mean UA"),
    "trade_off": lambda: teaching.trade_off(rows(SCORES, ms=np.arange(3.0, 21.0, 3.0)), "ms", ylabel="UA"),
}  # fmt: skip

# Machado, Oliveira and Fernandes (2009): linear RGB as seen without one of the three cones
BLINDNESS = {
    "none": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def to_lab(colour: str, seen: np.ndarray) -> np.ndarray:
    """A hex colour as CIELAB (D65), seen through one of the matrices above."""
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.asarray(seen) @ linear, 0, 1)
    to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    f = np.array(to_xyz) @ linear / [0.95047, 1.0, 1.08883]
    f = np.where(f > 216 / 24389, np.cbrt(f), (24389 / 27 * f + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", BLINDNESS)
def test_emotions_can_be_told_apart_by_colour(kind):
    labs = [to_lab(colour, BLINDNESS[kind]) for colour in plots.palette().values()]
    distances = [np.linalg.norm(a - b) for i, a in enumerate(labs) for b in labs[:i]]
    assert len(distances) == 15 and min(distances) > 10, f"{min(distances):.1f}"


def test_an_emotion_has_its_colour_in_every_label_set():
    four = plots.palette(("angry", "happy", "neutral", "sad"))
    assert four.items() <= plots.palette().items()
    assert len(set(plots.palette((*LABELS, "disgust", "calm")).values())) == 8


def functions(module):
    """The names of a module's own plots: what returns a Figure."""
    own = {
        name: found
        for name, found in vars(module).items()
        if getattr(found, "__module__", "") == module.__name__
    }
    return {
        name for name, found in own.items() if getattr(found, "__annotations__", {}).get("return") == "Figure"
    }


def test_every_plot_has_a_case():
    own = [functions(module) for module in (plots, teaching, pictures)]
    assert set().union(*own) == {name.partition(",")[0] for name in CASES}
    assert sum(map(len, own)) == len(set().union(*own))


def drawn_texts(figure, monkeypatch):
    """The texts that are really drawn, each with its box in pixels."""
    drawn, draw = [], Text.draw
    monkeypatch.setattr(Text, "draw", lambda self, renderer: (drawn.append(self), draw(self, renderer))[1])
    plots.png(figure)
    monkeypatch.undo()
    once = {id(text): text for text in drawn if text.get_text().strip()}.values()  # laying out draws, too
    return [(text.get_text(), Text.get_window_extent(text)) for text in once]


def colours(figure):
    """The colours of lines, dots, bars and boxes (pictures have colour scales of their own)."""
    for line in figure.findobj(Line2D):
        yield line.get_color()
    for bars in (bar for axis in figure.axes for bar in axis.patches):
        yield bars.get_facecolor()
    for dots in figure.findobj(PathCollection):
        yield from dots.get_facecolors()


@pytest.mark.parametrize("name", CASES)
def test_every_plot_is_whole_readable_colour_safe_and_leaves_nothing_open(name, monkeypatch):
    figure = CASES[name]()
    texts = drawn_texts(figure, monkeypatch)
    for text, box in texts:
        inside = min(box.x0, box.y0) >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1
        assert inside, f"{text!r} is cut off"
    for (text, box), (other, beside) in combinations(texts, 2):
        wide, high = (
            min(box.x1, beside.x1) - max(box.x0, beside.x0),
            min(box.y1, beside.y1) - max(box.y0, beside.y0),
        )
        assert wide < 1.5 or high < 1.5, f"{text!r} lies on {other!r}"
    for red, green, blue in ([*to_rgb(colour)] for colour in colours(figure)):
        assert red == green == blue or to_hex((red, green, blue)).upper() in plots.COLOURS
    bundle, metadata, _ = shown(monkeypatch, figure, "what it shows")
    assert metadata == {"image/png": {"alt": "what it shows"}} and len(bundle["image/png"]) > 500
    reference = weakref.ref(figure)
    del figure, texts, text, box, other, beside, bundle
    CASES[name]()  # seaborn keeps the latest one
    gc.collect()
    assert reference() is None and plt.get_fignums() == []


def test_waveform_and_mel_share_the_seconds():
    wave = np.sin(np.arange(16_000)).astype(np.float32)
    words = [SimpleNamespace(text="hello", start=0.1, end=0.4)]
    figure = plots.waveform_and_mel(wave, title="a tone", words=words)
    top, bottom = figure.axes[:2]
    assert top.get_xlim() == bottom.get_xlim() == (0, 1)
    assert bottom.images[0].get_array().shape == (80, 101)
    assert [text.get_text() for text in top.texts] == ["hello"]


def test_confusion_shows_row_shares_and_counts():
    table = pd.DataFrame([[3, 1], [0, 0]], index=["happy", "sad"], columns=["happy", "sad"])
    figure = plots.confusion(table)
    assert [text.get_text() for text in figure.axes[0].texts] == ["75%\n3", "25%\n1", "0%\n0", "0%\n0"]
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["happy", "sad"]


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_embedding_brings_vectors_to_two_dimensions(method):
    emotions = ["angry", "happy", "sad"] * 10
    figure = pictures.embedding(
        {"before": RNG.normal(size=(30, 5)), "after": RNG.normal(size=(30, 5))}, emotions, method
    )
    for axis in figure.axes:
        dots = np.concatenate([one.get_offsets() for one in axis.collections])
        assert dots.shape == (30, 2) and np.isfinite(dots).all()
    assert [text.get_text() for text in figure.legends[0].texts] == ["angry", "happy", "sad"]


def test_embedding_draws_two_dimensions_as_they_are():
    points = RNG.normal(size=(4, 2))
    figure = pictures.embedding(points, ["sad", "sad", "fear", "sad"], labels=["fear", "sad"])
    fear, sad = figure.axes[0].collections
    assert np.allclose(fear.get_offsets(), points[[2]]) and len(sad.get_offsets()) == 3


def test_intervals_reach_from_low_to_high():
    table = pd.DataFrame(
        {"value": [0.5, 0.6], "low": [0.4, 0.55], "high": [0.7, 0.62]}, index=["voice", "words"]
    )
    figure = plots.intervals(table, reference=0.3, reference_label="majority")
    axis = figure.axes[0]
    (whiskers,) = [found for found in axis.collections if hasattr(found, "get_segments")]
    assert np.allclose([segment[:, 0] for segment in whiskers.get_segments()], [[0.4, 0.7], [0.55, 0.62]])
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["voice", "words"]
    with pytest.raises(VcemoError, match="the table lacks low, high"):
        plots.intervals(table[["value"]])


def test_spectrograms_share_one_scale_of_colours_and_of_seconds():
    figure = teaching.spectrograms(
        {"loud": np.ones((50, 8)), "long": np.zeros((100, 8)), "soft": np.zeros((50, 8))},
        step=0.02,
        columns=2,
    )
    loud, long, soft, spare = figure.axes[:4]
    assert [axis.get_title() for axis in (loud, long, soft)] == ["loud", "long", "soft"] and not spare.axison
    assert loud.images[0].get_clim() == long.images[0].get_clim() == (0, 1)
    assert loud.get_xlim() == (0, 2) and loud.images[0].get_extent()[1] == 1.0
    assert loud.images[0].get_array().shape == (8, 50)


def test_curves_draw_what_they_are_given():
    x = np.arange(3)
    figure = teaching.curves(
        {"a": {"sad": (x, x), "angry": (x, 2 * x)}, "b": {"window": (x, 3 * x)}}, ["s", "Hz"], ["level"]
    )
    first, second = figure.axes
    assert [list(line.get_ydata()) for line in first.lines] == [[0, 1, 2], [0, 2, 4]]
    assert first.lines[0].get_color() == plots.palette()["sad"]
    assert (first.get_ylabel(), second.get_xlabel(), second.get_ylabel()) == ("level", "Hz", "")


def test_a_word_map_writes_every_word_beside_its_dot():
    figure = teaching.word_map(
        RNG.normal(size=(4, 6)), ["cross", "irate", "glad", "merry"], ["angry"] * 2 + ["happy"] * 2
    )
    axis = figure.axes[0]
    dots = np.concatenate([found.get_offsets() for found in axis.collections])
    assert [text.get_text() for text in axis.texts] == ["cross", "irate", "glad", "merry"]
    assert np.allclose([text.xy for text in axis.texts], dots) and len(axis.collections) == 2


def test_a_diagram_has_its_boxes_and_arrows():
    figure = teaching.diagram({"a": (0.2, 0.5, "audio"), "b": (0.8, 0.5, "LSTM")}, [("a", "b")])
    axis = figure.axes[0]
    assert [text.get_text() for text in axis.texts] == ["audio", "LSTM", ""]
    assert axis.texts[2].arrow_patch is not None
    with pytest.raises(KeyError):
        teaching.diagram({"a": (0.2, 0.5, "audio")}, [("a", "nowhere")])


# ---------------------------------------------------------------------------------------------- showing


def shown(monkeypatch, figure, alt="two bars"):
    """What `show` displays: the picture's bundle with its metadata, and the HTML below."""
    seen = []
    monkeypatch.setattr("IPython.display.display", lambda *data, **options: seen.append((data[0], options)))
    plots.show(figure, alt)
    (bundle, options), (below, _) = seen
    return bundle, options["metadata"], below.data


def test_show_gives_a_small_png_with_its_alternative_text(monkeypatch):
    bundle, metadata, below = shown(monkeypatch, plots.intervals(rows(LABELS)), "six bars & no more")
    image = Image.open(io.BytesIO(bundle["image/png"]))
    assert image.mode == "P" and len(bundle["image/png"]) < 30_000
    assert (
        metadata == {"image/png": {"alt": "six bars & no more"}}
        and bundle["text/plain"] == "six bars & no more"
    )
    assert "six bars &amp; no more" in below and "<table>" not in below
    with pytest.raises(VcemoError, match="alternative text"):
        plots.show(plots.intervals(rows("a")), alt=" ")


def ink(text):
    """The pixels (rows, columns) of a text in the plots' style, by Matplotlib's font and the bundled one."""
    bundled = {"font.family": ["DejaVu Sans", "Noto Sans SC VCEMO"]}
    with matplotlib.rc_context(plots.STYLE | bundled), warnings.catch_warnings(action="error"):
        figure = Figure(figsize=(1, 1), dpi=100)
        figure.text(0.5, 0.5, text, fontsize=40, ha="center", va="center")
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # warns "Glyph 40863 missing from font(s) ..." where neither has it
        return 255 - np.asarray(canvas.buffer_rgba())[..., 0]


def test_the_bundled_font_draws_chinese_and_not_the_box_of_a_missing_glyph():
    fonts = plots.cjk_fonts()
    assert fonts[0] == "Noto Sans SC VCEMO", "no installed font is needed"
    drawn = {character: ink(character) for character in "你好气惊，？"}
    assert all(pixels.any() for pixels in drawn.values())
    assert len({pixels.tobytes() for pixels in drawn.values()}) == len(drawn), "each its own, no common box"
    font = FT2Font(str(FONT))
    assert all(font.get_char_index(ord(character)) for character in drawn), "index 0 is the box"
    with pytest.raises(UserWarning, match="missing from font"):
        ink("\U00020000")


def test_the_bundled_font_has_every_character_of_the_course():
    spec = importlib.util.spec_from_file_location("font", repo_data() / "build" / "font.py")
    font = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(font)
    missing = font.shown() - set(map(chr, FT2Font(str(FONT)).get_charmap()))
    assert not missing, f"run `python data/build/font.py` for {''.join(sorted(missing))}"
    assert FONT.stat().st_size < 1.5e6 and (FONT.parent / "OFL.txt").is_file()


def test_figures_of_a_notebooks_own_have_chinese_too():
    assert "Noto Sans SC VCEMO" in matplotlib.rcParams["font.family"]


def test_plots_need_no_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("VCEMO_DATA", str(tmp_path / "nowhere"))
    plots.cjk_fonts()


def test_spread_draws_a_box_a_group_with_its_median_and_count() -> None:
    table = pd.DataFrame(
        {"seconds": [1.0, 2.0, 3.0, 8.0, 9.0, np.nan], "emotion": ["sad"] * 3 + ["angry"] * 3}
    )
    figure = teaching.spread(table, "seconds", "emotion", order=["sad", "fear", "angry"])
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["sad (3)", "angry (2)"]
    medians = [
        line.get_xdata()[0]
        for line in axis.lines
        if len(set(line.get_xdata())) == 1 and line.get_color() == "black"
    ]
    assert {2.0, 8.5} <= set(medians)
    assert len(plots.png(figure)) > 500
    with pytest.raises(VcemoError):
        teaching.spread(table, "seconds", "emotion", order=["fear"])


def test_intervals_of_one_name_share_a_line() -> None:
    table = pd.DataFrame(
        {"value": [1.0, 2.0, 3.0, 4.0], "low": 0.0, "high": 5.0, "source": ["a", "a", "b", "b"]},
        ["sad", "fear"] * 2,
    )
    axis = plots.intervals(table, group="source").axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["sad", "fear"]
    heights = {round(y) for line in axis.lines for y in line.get_ydata()}
    assert heights == {0, 1}


def test_confusion_says_what_its_rows_and_columns_are() -> None:
    table = pd.DataFrame(np.eye(2), pd.Index(["a", "b"], name="label"), pd.Index(["a", "b"], name="vote"))
    axis = plots.confusion(table).axes[0]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("vote", "label")
    assert plots.confusion(np.eye(6)).axes[0].get_xlabel() == "predicted"


def test_critical_difference_joins_what_is_not_shown_to_differ() -> None:
    scores = {"a": 0.50, "b": 0.52, "c": 0.55, "d": 0.70}
    differ = {frozenset("ac"): 0.01, frozenset("ad"): 0.01, frozenset("bd"): 0.01, frozenset("cd"): 0.01}
    rows = [
        {"a": x, "b": y, "p_holm": differ.get(frozenset((x, y)), 0.4)}
        for x, y in ("ab", "ac", "ad", "bc", "bd", "cd")
    ]
    axis = teaching.critical_difference(scores, pd.DataFrame(rows)).axes[0]
    bars = [line.get_xdata().round(2).tolist() for line in axis.lines if line.get_linewidth() == 4]
    assert bars == [[0.50, 0.52], [0.52, 0.55]]
    assert [label.get_text().split()[0] for label in axis.get_yticklabels()] == list("abcd")


def test_a_bold_box_of_a_diagram_stands_out() -> None:
    plain, bold = (
        teaching.diagram({"a": (0.2, 0.5, "audio")}, [], bold=names).axes[0].texts[0].get_bbox_patch()
        for names in ((), ("a",))
    )
    assert bold.get_linewidth() > plain.get_linewidth() and bold.get_facecolor() != plain.get_facecolor()


def test_trade_off_puts_a_marker_at_each_cost_and_score() -> None:
    table = pd.DataFrame(
        {"parameters": [1e5, 4e5], "value": [0.5, 0.6], "low": [0.45, 0.55], "high": [0.56, 0.7]}, ["a", "b"]
    )
    axis = teaching.trade_off(table, "parameters").axes[0]
    found = [(line.lines[0].get_xdata()[0], line.lines[0].get_ydata()[0]) for line in axis.containers]
    assert found == [(1e5, 0.5), (4e5, 0.6)] and axis.get_xscale() == "log"
    assert axis.get_legend_handles_labels()[1] == ["a", "b"]
