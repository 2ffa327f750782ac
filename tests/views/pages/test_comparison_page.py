"""The page that sets models beside each other."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from kornia.color import rgb_to_lab
from PIL import Image

from jumok.attention import AttentionMap, Glimpses, One, Patches, Pixels, Sampled, Scale, Tokens
from jumok.errors import JumokError
from jumok.views.pages.comparison_page import QUESTIONS, Cell, Column, ComparisonPage, Measure, heat_layer
from jumok.views.palette import STRONGEST_HEAT

HOSTILE = "</script><script>alert(1)</script>"
HEADINGS = {"accuracy": "most", "weights": "least", "epochs": ""}


def one(keys, weights, scale=Scale.RELEVANCE):
    return AttentionMap(torch.as_tensor(weights, dtype=torch.float32).reshape(1, -1), One("image"), keys, (), scale)


def column(name, accuracy, weights, **more):
    figures = {"accuracy": Measure(f"{accuracy:.0%}", accuracy, accuracy - 0.1, accuracy + 0.1)}
    return Column(name, "places", {**figures, "weights": Measure(str(weights), weights)}, **more)


@pytest.fixture
def page():
    columns = [
        column("cnn", 0.8, 100),
        column(HOSTILE, 0.9, 300),
        Column("ram", "places", error="it cannot be trained on these images"),
        column("centre", 0.99, 1, baseline=True),
    ]
    return ComparisonPage("Side by side", "All of it.", HEADINGS, columns)


def photo(side=48):
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8))


def cells():
    return [Cell(one(Patches(2, 2), [0, 1, 2, 3]), "dent 90%", True), Cell(one(Pixels(4, 4), range(16)), "ok", False)]


def test_figures_bars_and_the_best_of_each(page, tmp_path):
    page.write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    rows = re.findall(r"<tr.*?</tr>", text.partition("<tbody>")[2], flags=re.S)
    assert "<td>80%" in rows[0]
    assert "<td>100" in rows[0]
    assert "<td>90%" in rows[1]
    assert "<td>300" in rows[1]
    assert "it cannot be trained on these images" in rows[2]
    assert 'class="baseline"' in rows[3]
    assert "best" not in "".join(rows), "a baseline is better in both columns"
    assert text.count("no better than a baseline: centre") == 2
    widths = [float(found) for row in rows[:2] for found in re.findall(r'<rect width="([\d.]+)"', row)]
    assert widths == pytest.approx([100 * 0.8 / 1.09, 100 / 3, 100 * 0.9 / 1.09, 100], abs=0.01)
    assert all(0 <= width <= 100 for width in widths)


def test_the_best_figure_is_bold_where_no_baseline_is_better(tmp_path):
    columns = [
        column("cnn", 0.8, 100),
        column("vit", 0.9, 300),
        column("centre", 0.9, 200, baseline=True),
        Column("ram", "places", error="it cannot be trained on these images"),
    ]
    ComparisonPage("Side by side", "All of it.", HEADINGS, columns).write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert re.findall(r'<td class="best">([^<]*)', text) == ["100", "90%"], "as good as a baseline is not beaten by it"
    assert "no better than a baseline" not in text


def test_a_figure_that_a_baseline_outside_the_table_beats_is_not_bold(tmp_path):
    columns = [
        Column(name, figures={"SRG": Measure(f"{srg}", srg, beaten_by=by)})
        for name, srg, by in (("cnn", 0.2, ""), ("vit", 0.3, "edges"))
    ]
    ComparisonPage("Side by side", "All of it.", {"SRG": "most"}, columns).write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert 'class="best"' not in text
    assert "no better than a baseline: edges" in text


def test_right_and_wrong_have_signs_and_columns_their_methods(page, tmp_path):
    drawn = [
        Cell(one(Patches(2, 2), [0, 1, 2, 3]), "dent 90%", True, method="chefer"),
        Cell(None, "ok", False),
    ]
    page.add("a.png", "긁힘", photo(), None, drawn)
    page.write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert re.search(r'class="said right"[^>]*><i role="img" aria-label="right">✓</i> <span>dent 90%', text)
    assert re.search(r'class="said wrong"[^>]*><i role="img" aria-label="wrong">✗</i> <span>ok', text)
    assert re.findall(r'class="about method">([^<]*)', text) == ["map: chefer", "no map"]
    assert '<p class="label" lang="ko">긁힘' in text


def test_a_nearly_even_map_is_pale_all_over():
    even = np.asarray(heat_layer(one(Patches(4, 4), [0.25, 0.25, 0.24, 0.26] * 4), 40, 40))
    assert even[..., 3].max() < 150
    assert np.ptp(even[..., 3].astype(int)) < 15


def test_any_text_stays_text(page, tmp_path):
    page.add(HOSTILE, HOSTILE, photo(), None, cells())
    page.write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "<script>alert(1)" not in text
    assert text.count("<script>") == 1


def test_each_photograph_is_in_the_file_once(page, tmp_path):
    for number in range(3):
        page.add(f"{number}.png", "dent", photo(40 + number), torch.eye(40 + number).bool(), cells())
    page.write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert len(re.findall(r'data-photo="data:image/webp', text)) == 3
    assert len(re.findall(r'class="truth"', text)) == 3 + 1  # and once in the key
    assert len(re.findall(r'class="heat"', text)) == 6
    assert "http" not in text.replace("http-equiv", "")


def test_a_model_that_tells_nothing_of_places_is_shown_as_such(page, tmp_path):
    page.add("a.png", "dent", photo(), None, [Cell(None, "dent 90%", True), cells()[1]])
    page.write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert text.count("no place to show") == 1
    assert text.count('class="heat"') == 1
    assert "dent 90%" in text


def test_cells_and_models_are_equally_many(page):
    with pytest.raises(JumokError, match="got 1 maps for 2 models"):
        page.add("a.png", "dent", photo(), None, cells()[:1])


@pytest.mark.parametrize(
    ("keys", "weights", "words"),
    [
        (Tokens(("a", "b")), [1, 2], "do not lie in an image"),
        (Patches(2, 2), [[1, 2, 3, 4]] * 2, "one row over the image"),
    ],
)
def test_maps_that_cannot_be_laid_over_an_image_are_refused(page, keys, weights, words):
    weights = torch.tensor(weights, dtype=torch.float32).reshape(-1, len(keys))
    queries = One("image") if len(weights) == 1 else Tokens(("x", "y"))
    wrong = Cell(AttentionMap(weights, queries, keys, (), Scale.RELEVANCE), "x", True)
    with pytest.raises(JumokError, match=words):
        page.add("a.png", "dent", photo(), None, [wrong, wrong])


def test_heat_is_strongest_where_the_weight_is_and_nothing_where_there_is_none():
    layer = np.asarray(heat_layer(one(Patches(2, 2), [0, 0, 0, 5]), 80, 80))
    opacity = layer[..., 3].astype(int)
    assert opacity[:20, :20].max() == 0
    assert opacity.argmax() // 80 >= 50
    assert opacity.argmax() % 80 >= 50
    assert opacity.max() == pytest.approx(255 * STRONGEST_HEAT, abs=2)
    nothing = np.asarray(heat_layer(one(Patches(2, 2), [-1, 0, 0, -2], Scale.SCORE), 20, 20))
    assert nothing[..., 3].max() == 0


def test_a_photograph_keeps_its_colours_under_the_heat_and_signed_maps_are_owned_to(page, tmp_path):
    chance = np.random.default_rng(0)
    shown = Image.fromarray(chance.integers(40, 255, (12, 12, 3), dtype=np.uint8)).resize((160, 160))
    weights = chance.gamma(0.4, size=14 * 14)
    layer = heat_layer(one(Patches(14, 14), weights.tolist()), 160, 160)
    over = Image.alpha_composite(shown.convert("RGBA"), layer).convert("RGB")
    pair = torch.from_numpy(np.stack([np.asarray(each, dtype=np.float32) / 255 for each in (shown, over)]))
    labs = rgb_to_lab(pair.movedim(-1, 1))
    difference = (labs[0] - labs[1]).norm(dim=0).numpy()
    heat = np.asarray(Image.fromarray(weights.reshape(14, 14).astype(np.float32)).resize((160, 160)))
    assert difference[heat < np.quantile(heat, 0.8)].mean() < 8
    page.add("a.png", "dent", photo(), None, cells())
    page.write(tmp_path / "page.html")
    assert "Weights below 0 are not shown." not in (tmp_path / "page.html").read_text()
    page.add(
        "b.png", "dent", photo(), None, [cells()[0], Cell(one(Patches(2, 2), [1, 0, -1, 0], Scale.SCORE), "ok", True)]
    )
    page.write(tmp_path / "page.html")
    assert "Weights below 0 are not shown." in (tmp_path / "page.html").read_text()


def test_fine_maps_are_averaged_down_and_not_skipped():
    fine = torch.zeros(100, 100)
    fine[10, 10] = 1  # one pixel of a map that is finer than the picture
    layer = np.asarray(heat_layer(one(Pixels(100, 100), fine), 20, 20))
    assert layer[2, 2, 3] > 200


def test_glimpses_and_windows_are_outlined(page, tmp_path):
    glimpses = one(Glimpses(((0.0, 0.0), (0.5, -0.5)), ((0.5, 0.5), (0.5, 0.5))), [0.5, 0.5], Scale.DISTRIBUTION)
    window = one(Sampled(2, 2, ((-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5))), [0.25] * 4, Scale.DISTRIBUTION)
    page.add("a.png", "dent", photo(), None, [Cell(glimpses, "a", True), Cell(window, "b", True)])
    page.write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    marks = re.findall(r'<svg class="marks".*?</svg>', text, flags=re.S)
    assert len(marks) == 2
    assert marks[0].count("<rect") == 2
    assert [found[1] for found in re.findall(r"(<text[^>]*>)(\d)", marks[0])] == ["1", "2"]
    x, y, wide, tall = map(int, re.search(r'<rect x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"', marks[0]).groups())
    assert (x, y, wide, tall) == (40, 40, 80, 80)
    assert "<polygon" in marks[1]


def test_the_outline_of_the_true_place_lies_around_it(page, tmp_path):
    mask = torch.zeros(48, 48, dtype=torch.bool)
    mask[12:24, 24:36] = True
    page.add("a.png", "dent", photo(), mask, cells())
    page.write(tmp_path / "page.html")
    data = re.search(r'class="truth" alt="" src="data:image/png;base64,([^"]+)"', (tmp_path / "page.html").read_text())[
        1
    ]
    edge = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))[..., 3] > 0
    rows, columns = np.nonzero(edge)
    scale = 160 / 48
    assert not edge[int(14 * scale) : int(22 * scale), int(26 * scale) : int(34 * scale)].any(), "the inside stays free"
    assert (rows.min(), columns.min()) == pytest.approx((12 * scale, 24 * scale), abs=4)
    assert (rows.max(), columns.max()) == pytest.approx((24 * scale, 36 * scale), abs=4)


def test_questions_stand_beside_their_image_with_the_right_answer(tmp_path):
    parts = [{"colour": Measure("80%", 0.8), HOSTILE: Measure("20%", 0.2)}, {"colour": Measure("90%", 0.9)}]
    columns = [column(name, 0.8, 1, parts=own) for name, own in zip(("vqa-image", "vqa-concat"), parts, strict=True)]
    page = ComparisonPage("Side by side", "All of it.", HEADINGS, columns, QUESTIONS)
    page.add("a.png", "별", photo(), None, cells(), question=f"빨간 물체는 무슨 모양인가요? {HOSTILE}")
    page.write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    head = re.search(r'<th scope="row"><div class="asked">.*?</th>', text, flags=re.S)[0]
    assert re.search(r'class="question"[^>]*>빨간 물체는 무슨 모양인가요\?', head)
    assert re.search(r'right answer</span><span lang="ko">별', head)
    assert "<script>alert" not in text
    assert "answered wrongly" in text
    kinds = re.search(r'<section class="parts".*?</section>', text, flags=re.S)[0]
    rows = re.findall(r"<tr.*?</tr>", kinds.partition("<tbody>")[2], flags=re.S)
    assert '<td class="best">90%' in rows[1]
    assert 'class="none"' in rows[1], "a kind that was not asked of it"


def test_images_have_no_table_of_kinds(page, tmp_path):
    page.add("a.png", "dent", photo(), None, cells())
    page.write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert '<section class="parts"' not in text
    assert "right answer" not in text
    assert "classified wrongly" in text
