"""Lines, boxes and outlines on the page of what a model looked at."""

from functools import partial

import pytest
import torch
from browser_visit import needs_browser
from look_visits import GRID, LAYERS, entry, near, open_page

from jumok.attention import AttentionMap, Glimpses, One, Patches, Pixels, Sampled, Scale

pytestmark = needs_browser


@pytest.fixture
def visit(open_file):
    return partial(open_page, open_file)


def drawn_lines(page):
    """(weight's width, end) of each line in the drawing, without their dark edges, in shares of the image."""
    return page.page.evaluate(
        "() => { const [,, wide, tall] = document.querySelector('#over').getAttribute('viewBox').split(' ');"
        " return [...document.querySelectorAll('#over line')].filter((_, index) => index % 2).map((line) => ["
        " Number(line.getAttribute('stroke-width')), line.getAttribute('y1') / tall, line.getAttribute('x1') / wide,"
        " line.getAttribute('y2') / tall, line.getAttribute('x2') / wide]); }"
    )


def test_lines_go_from_the_place_to_where_it_looks_and_are_as_thick_as_the_weights(visit):
    page = visit()
    page.click(2, 3)
    seen = page.until("s.pinned && s.lines.length")
    row, own = torch.tensor(seen["row"]), LAYERS[0].keys.index((2, 3))
    others = row.clone()
    others[:2], others[own] = 0, 0
    order = others.argsort(descending=True).tolist()
    assert [line["key"] for line in seen["lines"]] == order[: len(seen["lines"])]
    drawn = drawn_lines(page)
    assert len(drawn) == len(seen["lines"])
    for (width, y1, x1, y2, x2), key in zip(drawn, order, strict=False):
        assert width / drawn[0][0] == pytest.approx(float(others[key] / others.max()), rel=1e-4)
        cell, column = divmod(key - 2, GRID[1])
        assert (y1, x1) == pytest.approx((2.5 / 6, 3.5 / 8), abs=1e-3)
        assert (y2, x2) == pytest.approx(((cell + 0.5) / 6, (column + 0.5) / 8), abs=1e-3)
    assert float(page.text("#thick")) == pytest.approx(float(others.max()), rel=0.01)
    share = float(sum(line["weight"] for line in seen["lines"]) / row[2:].sum())
    assert f"hold {100 * share:.1f}% of the weight on patches" in page.text("#lined")


def test_as_many_lines_as_hold_half_of_the_weight_or_as_many_as_are_wanted(visit):
    page = visit()
    page.click(2, 3)
    seen = page.until("s.pinned && s.lines.length")
    others = torch.tensor(seen["row"])[2:].clone()
    others[2 * 8 + 3] = 0
    held = others.sort(descending=True).values.cumsum(0) / others.sum()
    assert len(seen["lines"]) == min(max(int((held < 0.5).sum()) + 1, 3), 16)
    assert page.text("#counted") == "auto"
    page.page.locator("#count-lines").fill("20")
    assert len(page.until("s.lines.length === 20")["lines"]) == 20
    assert page.text("#counted") == "20"
    page.page.locator("#count-lines").fill("1")
    page.until("s.lines.length === 1")
    assert "The thickest line holds" in page.text("#lined")


def test_the_switch_draws_heat_or_lines_or_both_and_tells_only_what_is_drawn(visit):
    page = visit()
    page.click(2, 3)
    assert page.until("s.pinned && s.heat && s.lines.length")
    choices = page.page.locator("#drawing label")
    choices.nth(1).click()
    page.until("!s.heat && s.lines.length")
    assert page.page.locator("#heat").is_hidden()
    assert page.page.locator("#ramp-row").is_hidden()
    choices.nth(0).click()
    page.until("s.heat && !s.lines.length")
    assert page.page.locator("#over *").count() == 0
    assert page.page.locator("#legend").is_hidden()


def test_who_has_no_place_in_the_image_is_shown_as_heat(visit):
    page = visit()
    page.until("s.summary && s.heat && !s.lines.length")
    page.page.locator("#drawing label").nth(1).click()
    page.page.locator(".chip", has_text="cls").click()
    page.until("s.query === 0 && s.heat && !s.lines.length")
    assert page.page.locator("#heat").is_visible()
    assert "No line starts from cls" in page.text("#lined")


def test_lines_follow_the_layers_scale(visit):
    page = visit()
    page.click(2, 3)
    page.page.locator("#scaling label", has_text="Whole layer").click()
    seen = page.until("s.pinned && s.limit === s.about.top")
    assert seen["thickest"] == seen["limit"]
    assert max(line["width"] for line in seen["lines"]) <= 24


def test_lines_of_places_that_look_at_a_coarser_grid(visit):
    fine, coarse = Patches(8, 8), Patches(4, 4)
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(64, 16, generator=generator)
    maps = [
        AttentionMap((3 * scores).softmax(-1), fine, coarse, source="stages.1.2"),
        AttentionMap(torch.randn(16, 4, generator=generator), coarse, Patches(2, 2), (), Scale.SCORE, "stages.2.2"),
    ]
    mean = AttentionMap(maps[0].weights.mean(0, keepdim=True), One("mean"), coarse, source="stages.1.2")
    page = visit(entry(layers=maps, summary=mean))
    page.page.locator("#layer label").nth(0).click()
    page.page.mouse.click(*page.point(5, 2, grid=(8, 8)))
    seen = page.until("s.pinned && s.layer === 0 && s.lines.length")
    assert seen["query"] == 42
    near(seen["row"], maps[0].weights[42], 1 / 510)
    assert seen["own"] == 2 * 4 + 1
    others = maps[0].weights[42].clone()
    others[9] = 0
    (_, y1, x1, y2, x2), key = drawn_lines(page)[0], int(others.argmax())
    assert (y1, x1) == pytest.approx((5.5 / 8, 2.5 / 8), abs=1e-3)
    assert (y2, x2) == pytest.approx((((key // 4) + 0.5) / 4, ((key % 4) + 0.5) / 4), abs=1e-3)
    assert page.text("#call") == "stages.1.2: 8 × 8 places look at 4 × 4"
    page.page.locator("#layer label").nth(1).click()
    seen = page.until("s.layer === 1 && s.lines.length")
    assert {line["weight"] < 0 for line in seen["lines"]} == {True, False}
    assert page.text("#thin").startswith("-")
    colours = page.page.evaluate(
        "() => new Set([...document.querySelectorAll('#over circle')].map((end) => end.getAttribute('fill'))).size"
    )
    assert colours == 2


def test_glimpses_are_numbered_boxes_with_their_path_over_the_heat(visit):
    keys = Glimpses(((-0.5, -0.5), (0.5, 0.0), (0.0, 0.5)), ((0.25, 0.25), (0.5, 0.5), (0.25, 0.25)))
    ram = AttentionMap(torch.full((1, 3), 1 / 3), One("image"), keys, (), Scale.DISTRIBUTION, "ram")
    page = visit(entry(layers=None, summary=ram))
    page.until("s.summary && s.heat && s.marks === 3")
    assert page.page.locator("#over text").all_text_contents() == ["0", "1", "2"]
    box = page.page.evaluate(
        "() => { const [,, wide, tall] = document.querySelector('#over').getAttribute('viewBox').split(' ');"
        " const at = (name) => Number(document.querySelectorAll('#over rect')[2].getAttribute(name));"
        " return [at('y') / tall, at('x') / wide, at('height') / tall, at('width') / wide]; }"
    )
    assert box == pytest.approx([0.5, 0.25, 0.5, 0.5], abs=1e-3)
    path = page.page.locator("#over polyline").last.get_attribute("points").split()
    assert len(path) == 3
    page.page.locator("#drawing label", has_text="Path").click()
    page.until("!s.heat && s.marks === 3")
    page.page.locator("#drawing label", has_text="Heat").click()
    page.until("s.heat && !s.marks")
    assert page.page.locator("#over *").count() == 0


def test_a_region_is_outlined(visit):
    places = [-0.4, 0.0, 0.4]
    keys = Sampled(3, 3, tuple((y, x) for y in places for x in places))
    stn = AttentionMap(torch.full((1, 9), 1 / 9), One("image"), keys, (), Scale.DISTRIBUTION, "stn")
    page = visit(entry(layers=None, summary=stn))
    page.until("s.summary && s.marks === 1")
    assert len(page.page.locator("#over polygon").last.get_attribute("points").split()) == 8
    assert page.page.locator("#drawing label", has_text="Outline").is_visible()


def test_saliency_of_an_image_that_no_model_saw(visit):
    weights = torch.rand(1, 300 * 400, generator=torch.Generator().manual_seed(0))
    map_ = AttentionMap(weights, One("image"), Pixels(300, 400), (), Scale.RELEVANCE, "saliency/spectral-residual")
    page = visit(entry(layers=None, summary=map_, prediction=[]))
    seen = page.until("s.summary && s.heat")
    assert seen["about"]["keys"]["rows"] <= 256
    for part in ("#predictions", "#layers", "#drawing", "#counting", "#best", "#legend"):
        assert page.page.locator(part).is_hidden(), part
    page.hover(1, 1)
    page.page.wait_for_function(
        "() => /Under the cursorplace \\d+,\\d+: /.test(document.querySelector('#readout').textContent)"
    )
    assert page.text("#caption") == "Summary: saliency/spectral-residual"


def test_entries_of_all_kinds_on_one_page(visit):
    keys = Glimpses(((0.0, 0.0),), ((0.5, 0.5),))
    ram = AttentionMap(torch.ones(1, 1), One("image"), keys, (), Scale.DISTRIBUTION, "ram")
    page = visit(entry("vit"), entry("ram", layers=None, summary=ram), entry("last", layers=None, prediction=[]))
    page.click(2, 3)
    page.until("s.entry === 0 && s.lines.length")
    page.page.locator("#film button").nth(1).click()
    page.until("s.entry === 1 && s.marks === 1 && !s.lines.length")
    page.page.locator("#film button").nth(2).click()
    page.until("s.entry === 2 && s.marks === 0 && s.heat")
    assert page.page.locator("#over *").count() == 0
