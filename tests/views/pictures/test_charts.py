from __future__ import annotations

import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from jumok.errors import JumokError
from jumok.measures.localisation_meter import LocalisationMeter
from jumok.views.palette import CHART_BLUE, CHART_ORANGE, METHOD_COLOURS
from jumok.views.pictures import charts, fonts
from jumok.views.pictures.charts import draw_confusion, draw_scores
from jumok.wording import write_percent

COUNTS = [[98, 1, 1], [3, 94, 3], [0, 2, 98]]
NAMES = ["normal", "scratch", "dent"]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def share(path: Path, colour: str) -> float:
    """The share of pixels that have a colour."""
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return float((np.abs(pixels(path).astype(int) - wanted).max(-1) <= 2).mean())


def report(methods=("rollout",)):
    random = np.random.default_rng(0)
    meter = LocalisationMeter()
    for _ in range(12):
        mask = torch.zeros(16, 16, dtype=torch.bool)
        top, left = random.integers(0, 12, 2)
        mask[top : top + 4, left : left + 4] = True
        heats = {name: mask + torch.from_numpy(random.random((16, 16))) for name in methods}
        meter.add(torch.from_numpy(random.integers(0, 256, (3, 16, 16), dtype=np.uint8)), mask, heats)
    return meter.report(resamples=50)


def test_localisation_shows_methods_in_their_colours_and_chance_in_orange(tmp_path):
    draw_scores(report(("rollout", "relevance")), tmp_path / "a.png")
    assert all(share(tmp_path / "a.png", colour) > 1e-4 for colour in (*METHOD_COLOURS[:2], CHART_ORANGE))
    assert share(tmp_path / "a.png", METHOD_COLOURS[2]) == 0
    height, width, _ = pixels(tmp_path / "a.png").shape
    assert 1000 < width < 1800
    assert 1000 < height < 2000


def test_without_a_figure_for_chance_the_legend_names_none(tmp_path):
    values = report().to_dict() | {"chance": {}}
    draw_scores(SimpleNamespace(to_dict=lambda: values), tmp_path / "a.png")
    assert share(tmp_path / "a.png", CHART_ORANGE) == 0


def test_every_baseline_has_its_own_grey_and_dot(tmp_path):
    values = report().to_dict()
    values["baselines"]["question-blind"] = values["baselines"]["centre"]
    lines = [line for line in charts._list_lines(values, "pointing", 0) if not line.ours]
    assert [line.name for line in lines] == ["random", "centre", "edges", "question-blind"]
    assert len({line.colour for line in lines}) == len({line.dot for line in lines}) == 4


def test_only_figures_that_no_baseline_reaches_are_bold():
    def scores(**values):
        return {name: {"aer": {"value": value}, "hits": {"value": value}} for name, value in values.items()}

    values = {
        "titles": {"aer": "AER (lower is better)", "hits": "hits"},
        "methods": scores(low=0.101, middle=0.304, high=0.6),
        "baselines": scores(random=0.2, edges=0.301),
    }
    for score, bold in {"hits": ["high"], "aer": ["low"]}.items():
        assert [line.name for line in charts._list_lines(values, score, 0) if line.leads] == bold


def test_localisation_grows_with_the_methods(tmp_path):
    draw_scores(report(("one",)), tmp_path / "a.png")
    draw_scores(report(("one", "two", "three")), tmp_path / "b.png")
    assert pixels(tmp_path / "b.png").shape[0] > pixels(tmp_path / "a.png").shape[0] + 200


def test_localisation_moves_its_points_with_the_scores(tmp_path):
    class Changed:
        def __init__(self, value: float) -> None:
            self.values = report().to_dict()
            interval = {"value": value, "low": value - 0.01, "high": value + 0.01}
            self.values["methods"]["rollout"] = dict.fromkeys(self.values["titles"], interval)

        def to_dict(self):
            return self.values

    places = []
    for value in (0.1, 0.4, 0.7):
        draw_scores(Changed(value), tmp_path / "a.png")
        blue = np.abs(pixels(tmp_path / "a.png").astype(int) - (0x1F, 0x3A, 0x8A)).max(-1) <= 2
        blue[:, : blue.shape[1] // 4] = blue[:, 4 * blue.shape[1] // 5 :] = False  # leave out the names and figures
        places.append(np.nonzero(blue)[1].mean())
    first, second = np.diff(places)
    assert first == pytest.approx(second, rel=0.02)
    assert first == pytest.approx(0.3 * 5.2 * charts.DPI, rel=0.05)


def test_confusion_is_blue_where_right_and_orange_where_wrong(tmp_path):
    draw_confusion(np.diag([9, 9]), ["a", "b"], tmp_path / "right.png")
    draw_confusion([[0, 9], [9, 0]], ["a", "b"], tmp_path / "wrong.png")
    tones = {}
    for name in ("right", "wrong"):
        image = pixels(tmp_path / f"{name}.png").astype(int)
        tones[name] = [(image[..., c] - image[..., 2 - c] > 60).mean() for c in (2, 0)]  # bluish, reddish
    assert tones["right"][0] > 0.1
    assert tones["right"][1] < 0.01
    assert tones["wrong"][1] > 0.1
    assert tones["wrong"][0] < 0.01


@pytest.mark.parametrize("matrix", [COUNTS, np.array(COUNTS), torch.tensor(COUNTS)])
def test_confusion_takes_any_table_of_counts(tmp_path, matrix):
    draw_confusion(COUNTS, NAMES, tmp_path / "a.png")
    draw_confusion(matrix, NAMES, tmp_path / "b.png")
    assert np.array_equal(pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png"))


@pytest.mark.parametrize("classes", [1, 20, 60, 150])
def test_confusion_of_any_number_of_classes_stays_on_a_page(tmp_path, classes):
    matrix = np.random.default_rng(0).integers(0, 9, (classes, classes))
    draw_confusion(matrix, [f"class {i}" for i in range(classes)], tmp_path / "a.png")
    height, width, _ = pixels(tmp_path / "a.png").shape
    assert 150 < height < 3400
    assert 150 < width < 3400


def test_confusion_of_no_images_says_so(tmp_path):
    draw_confusion(np.zeros((2, 2), dtype=int), ["a", "b"], tmp_path / "a.png")
    assert charts._write_verdict(np.zeros((2, 2), dtype=np.int64)) == "no images"


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (0, 0, "0%"),
        (1, 0, "100%"),
        (0.004, 0, "<1%"),
        (0.0099, 0, "<1%"),
        (0.996, 0, "99%"),
        (0.594, 0, "59%"),
        (0.9996, 1, "99.9%"),
        (0.9725, 1, "97.2%"),
        (1, 1, "100.0%"),
    ],
)
def test_only_all_is_written_as_100_percent_and_only_nothing_as_0(share, digits, text):
    assert write_percent(share, digits) == text


def test_korean_names_are_drawn_with_their_own_letters(tmp_path):
    if fonts._find_family(frozenset(map(ord, "긁힘찍"))) is None:
        pytest.skip("no Korean font is installed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_confusion(COUNTS, ["정상", "긁힘", "찍힘"], tmp_path / "a.png")
    draw_confusion(COUNTS, ["정상", "찍힘", "긁힘"], tmp_path / "b.png")
    assert not np.array_equal(pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png")), "boxes would look the same"


def test_without_a_font_there_is_one_warning_and_still_a_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(fonts, "_find_family", lambda _codes: None)
    with pytest.warns(UserWarning, match="install fonts-nanum") as caught:
        draw_confusion(COUNTS, ["정상", "긁힘", "찍힘"], tmp_path / "a.png")
    assert len(caught) == 1
    assert share(tmp_path / "a.png", "#ffffff") > 0.2


def test_a_dollar_in_a_name_is_no_formula(tmp_path):
    draw_confusion(COUNTS, [r"$\frac$", "a$b", "$"], tmp_path / "a.png")
    draw_scores(report((r"$\frac$",)), tmp_path / "b.png")
    assert share(tmp_path / "b.png", CHART_BLUE) > 1e-4


def test_a_long_name_is_cut(tmp_path):
    assert charts._shorten("x" * 200) == "x" * (charts.LONGEST_NAME - 1) + "…"
    draw_confusion(COUNTS, ["normal", "scratch", "x" * 200], tmp_path / "a.png")
    assert pixels(tmp_path / "a.png").shape[1] < 1500


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1, 2], [3, 4]], "3 classes is 3 x 3"),
        ([[1, 2, 3]], "3 classes is 3 x 3"),
        ([[0.5, 0, 0]] * 3, "whole numbers"),
        ([[-1, 0, 0]] * 3, "0 or more"),
    ],
)
def test_a_matrix_that_does_not_fit_is_an_error(tmp_path, matrix, message):
    with pytest.raises(JumokError, match=message):
        draw_confusion(matrix, NAMES, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_no_classes_are_an_error(tmp_path):
    with pytest.raises(JumokError, match="0 classes"):
        draw_confusion(np.zeros((0, 0), dtype=int), [], tmp_path / "a.png")


def test_where_it_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(JumokError, match="cannot make the folder"):
        draw_confusion(COUNTS, NAMES, tmp_path / "file" / "a.png")


def test_pictures_are_the_same_in_threads(tmp_path):
    draw_confusion(COUNTS, NAMES, tmp_path / "alone.png")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: draw_confusion(COUNTS, NAMES, tmp_path / f"{i}.png"), range(4)))
    for i in range(4):
        assert (tmp_path / f"{i}.png").read_bytes() == (tmp_path / "alone.png").read_bytes()


def test_pyplot_with_its_shared_state_is_not_used(tmp_path):
    code = (
        "import sys, pathlib; from jumok.views.pictures.charts import draw_confusion\n"
        "assert 'matplotlib' not in sys.modules;"
        f"draw_confusion([[1]], ['a'], pathlib.Path({str(tmp_path)!r}) / 'a.png');"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "a.png").exists()


def test_long_classes_that_begin_alike_are_told_apart(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(charts, "_save", lambda figure, path: drawn.append(figure))
    names = [f"surface of the left housing, batch {number}" for number in (1, 2)]
    draw_confusion(np.eye(2, dtype=int), names, tmp_path / "confusion.png")
    (axes,) = drawn[0].axes
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        shown = [label.get_text() for label in labels]
        assert len(set(shown)) == 2
        assert max(map(len, shown)) <= charts.LONGEST_NAME
