"""The page as a visitor has it: a real browser, from file://, with the network off."""

import re

import pytest
import torch
from browser_visit import HOSTILE, Visit, check_light_and_dark, check_old_browser, needs_browser
from synthetic_maps import attention, photograph, rollout
from torch.nn import functional as F

from jumok.attention import AttentionMap, Glimpses, One, Patches, Pixels, Sampled, Scale
from jumok.views.pages.look_page import Entry, Page
from jumok.views.pages.packed_maps import pack

pytestmark = needs_browser

GRID = (6, 8)
LAYERS = attention(photograph(), GRID, layers=3, heads=4, special=("cls", "reg1"))
SUMMARY = rollout(LAYERS)
ERROR = max(float(layer.weights[..., 2:].amax()) for layer in LAYERS) / 510 * 1.001


def entry(name="flower.jpg", **changes):
    given = {
        "image": photograph(),
        "prediction": [("꽃", 0.875), (HOSTILE, 0.125)],
    }
    return Entry(name, **{**given, "summary": SUMMARY, "layers": LAYERS, **changes})


class LookVisit(Visit):
    """A visit to a page of images."""

    def point(self, row, column, grid=GRID):
        box = self.page.locator("#stage").bounding_box()
        return (
            box["x"] + (column + 0.5) / grid[1] * box["width"],
            box["y"] + (row + 0.5) / grid[0] * box["height"],
        )

    def hover(self, row, column):
        self.page.mouse.move(*self.point(row, column))

    def click(self, row, column):
        self.page.mouse.click(*self.point(row, column))

    def pixels(self, selector="#heat"):
        """(rows, columns, 4) of a canvas."""
        size, data = self.page.evaluate(
            "s => { const c = document.querySelector(s);"
            " return [[c.height, c.width], [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]; }",
            selector,
        )
        return torch.tensor(data).view(*size, 4)


@pytest.fixture
def visit(open_file):
    def open_page(*entries, budget=30_000_000, **options):
        page = Page("주목 " + HOSTILE, budget=budget)
        for each in entries or (entry(),):
            page.add(each)
        return open_file(LookVisit, page, **options)

    return open_page


def near(row, wanted, error=ERROR):
    assert torch.tensor(row) == pytest.approx(wanted, abs=error)


def test_it_opens_with_the_summary(visit):
    seen = visit().until("s.summary")
    near(seen["row"], SUMMARY.weights[0])


@pytest.mark.parametrize("place", [(0, 0), (2, 3), (5, 7)])
def test_hovering_a_patch_draws_where_that_patch_looks(visit, place):
    page = visit()
    page.until("s.summary")
    page.hover(*place)
    query = LAYERS[0].queries.index(place)
    seen = page.until(f"s.query === {query} && !s.summary")
    wanted = LAYERS[2].weights.mean(0)[query]
    near(seen["row"], wanted)
    assert seen["limit"] == pytest.approx(float(wanted[2:].max()), abs=ERROR)
    assert f"Where patch {place[0]},{place[1]} looks" in page.text("#caption")


def test_the_canvas_has_the_colours_of_the_row(visit):
    from matplotlib import colormaps

    page = visit()
    page.hover(2, 3)
    row = torch.tensor(page.until("s.query === 21")["row"])[2:].view(GRID)
    shares = (row / row.max()).numpy()
    wanted = torch.from_numpy(colormaps["inferno"](shares, bytes=True)[..., :3].copy()).int()
    drawn = page.pixels("#head label:first-child canvas")
    assert (drawn[..., :3] - wanted).abs().max() <= 3, "a step of the table, at most"
    over = page.pixels("#heat")
    assert over[..., 3].flatten().argmax() == row.flatten().argmax()
    opacity = torch.from_numpy(255 * 0.9 * shares**1.5)
    assert (over[..., 3] - opacity).abs().max() <= 1, "none where the weight is 0"
    assert over[..., 3].max() == round(255 * 0.9)


def test_leaving_the_picture_goes_back_to_the_summary(visit):
    page = visit()
    page.hover(1, 1)
    page.until("!s.summary")
    page.page.mouse.move(2, 2)
    page.until("s.summary")


def test_a_click_pins_and_the_cursor_then_reads(visit):
    page = visit()
    page.click(2, 3)
    page.until("s.pinned && s.query === 21")
    page.hover(4, 6)
    page.page.wait_for_function("() => document.querySelector('#readout').textContent.includes('patch 4,6')")
    near(page.until("s.pinned && s.query === 21")["row"], LAYERS[2].weights.mean(0)[21])
    value = float(re.search(r"patch 4,6: (?:≈ )?([\d.e-]+)", page.text("#readout"))[1])
    assert value == pytest.approx(float(LAYERS[2].weights.mean(0)[21, LAYERS[0].keys.index((4, 6))]), abs=ERROR + 1e-4)


def test_a_second_click_frees(visit):
    page = visit()
    page.click(2, 3)
    page.until("s.pinned")
    page.click(2, 3)
    page.until("!s.pinned")
    page.page.mouse.move(2, 2)
    page.until("s.summary")


def test_a_click_elsewhere_moves_the_pin_and_escape_frees(visit):
    page = visit()
    page.click(2, 3)
    page.until("s.pinned && s.query === 21")
    page.click(4, 4)
    page.until("s.pinned && s.query === 38")
    page.hover(0, 0)
    page.page.keyboard.press("Escape")
    page.until("!s.pinned && s.query === 2")


@pytest.mark.parametrize(("layer", "head"), [(0, 0), (1, 3)])
def test_layer_and_head_change_what_is_drawn(visit, layer, head):
    page = visit()
    page.click(3, 3)
    page.page.locator("#layer label").nth(layer).click()
    page.page.locator("#head label").nth(head + 1).click()
    seen = page.until(f"s.layer === {layer} && s.head === {head} && s.about.source === 'blocks.{layer}.attn'")
    near(seen["row"], LAYERS[layer].weights[head, LAYERS[0].queries.index((3, 3))])
    assert f"layer {layer}, head {head}" in page.text("#caption")


def test_choosing_the_layer_that_is_chosen_shows_who_stands_for_the_image(visit):
    page = visit()
    page.until("s.summary")
    page.page.locator("#layer label").nth(2).click()
    near(page.until("!s.summary")["row"], LAYERS[2].weights.mean(0)[0])
    assert "Where cls looks" in page.text("#caption")


def test_special_tokens_are_chips_that_look_too(visit):
    page = visit()
    chip = page.page.locator(".chip", has_text="reg1")
    chip.hover()
    near(page.until("s.query === 1")["row"], LAYERS[2].weights.mean(0)[1])
    chip.click()
    page.page.mouse.move(2, 2)
    page.until("s.pinned && s.query === 1")
    assert chip.get_attribute("aria-pressed") == "true"
    wanted = float(LAYERS[2].weights.mean(0)[1, 1])
    assert float(chip.locator("output").inner_text()) == pytest.approx(wanted, rel=0.01)


def test_arrow_keys_move_and_enter_pins(visit):
    page = visit()
    page.page.locator("#stage").focus()
    page.page.keyboard.press("ArrowRight")
    page.until(f"s.query === {LAYERS[0].queries.index((3, 4))}")
    for key in ("ArrowUp", "ArrowLeft", "ArrowLeft", "Enter"):
        page.page.keyboard.press(key)
    page.until(f"s.pinned && s.query === {LAYERS[0].queries.index((2, 2))}")
    for _ in range(9):
        page.page.keyboard.press("ArrowUp")
    page.page.wait_for_function("() => document.querySelector('#readout').textContent.includes('patch 0,2')")
    assert "patch 2,2" in page.text("#live")
    page.page.keyboard.press("Escape")
    page.until(f"!s.pinned && s.query === {LAYERS[0].queries.index((0, 2))}")


def test_a_tap_pins_and_a_second_one_frees(visit):
    page = visit(has_touch=True, is_mobile=True)
    page.page.set_viewport_size({"width": 390, "height": 844})
    page.page.touchscreen.tap(*page.point(2, 3))
    page.until("s.pinned && s.query === 21")
    page.page.touchscreen.tap(*page.point(2, 3))
    page.until("s.summary && !s.pinned")
    width = page.page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390, "nothing sticks out of a phone's screen"


def test_the_readout_states_largest_and_entropy(visit):
    page = visit()
    page.page.locator("#head label").nth(2).click()
    page.click(1, 5)
    page.until("s.pinned && s.head === 1")
    row = LAYERS[2].at(head=1).row((1, 5))
    text = page.text("#readout")
    assert f"{float(row.entropy()):.2f} nats" in text
    name, weight = row.top(1)[0]
    assert re.search(rf"{name}: {weight:.2g}", text)


def test_the_readout_uses_words_and_the_term(visit):
    page = visit()
    page.page.locator("#head label").nth(2).click()
    page.click(1, 5)
    page.until("s.pinned && s.head === 1")
    entropy = float(LAYERS[2].at(head=1).row((1, 5)).entropy())
    text = page.text("#readout")
    assert "Effective number of patches (exp of entropy)" in text
    assert re.search(rf"{torch.tensor(entropy).exp():.1f} of 50 patches and tokens", text)
    assert page.page.locator("#meaning").is_visible()


@pytest.mark.parametrize("touch", [False, True])
def test_a_finger_and_a_mouse_are_told_differently(visit, touch):
    page = visit(has_touch=touch, is_mobile=touch)
    page.until("s.summary")
    assert ("Under your finger" if touch else "Under the cursor") in page.text("#readout")
    assert page.text("#how").startswith("Tap a patch" if touch else "Hover a patch")


def test_image_only_shows_the_photograph_as_it_is(visit):
    small = photograph()[:, 100:164, 200:264]
    page = visit(entry(image=small))
    page.until("s.heat")
    assert page.page.locator("#photo").evaluate("photo => getComputedStyle(photo).filter") == "none", "under heat too"
    for turn in (lambda: page.page.locator("#alone").click(), lambda: page.page.keyboard.press("i")):
        turn()
        page.page.wait_for_function("() => document.querySelector('#stage').classList.contains('alone')")
        for selector in ("#heat", "#over", "#from", "#at"):
            assert page.page.locator(selector).is_hidden()
        turn()
        page.page.wait_for_function("() => !document.querySelector('#stage').classList.contains('alone')")
        assert page.page.locator("#heat").is_visible()
    pixels = page.page.evaluate(
        "() => { const photo = document.querySelector('#photo'), canvas = document.createElement('canvas');"
        " canvas.width = photo.naturalWidth; canvas.height = photo.naturalHeight;"
        " const brush = canvas.getContext('2d'); brush.drawImage(photo, 0, 0);"
        " return [...brush.getImageData(0, 0, canvas.width, canvas.height).data]; }"
    )
    shown = torch.tensor(pixels, dtype=torch.uint8).view(64, 64, 4)[..., :3].permute(2, 0, 1)
    assert torch.equal(shown, small)


def test_typing_an_i_into_the_search_is_no_key(visit):
    page = visit(entry("i.png"), entry("j.png"))
    page.until("s.heat")
    page.page.locator("#find").press("i")
    assert page.text("#found") == "1 of 2 images"
    assert page.page.locator("#alone").get_attribute("aria-pressed") == "false"


def test_a_nearly_even_map_is_pale_and_says_so(visit):
    weights = torch.full((1, 48), 1 / 48) * (1 + 0.05 * torch.rand(1, 48))
    even = AttentionMap(weights, One("image"), Patches(6, 8), (), Scale.RELEVANCE, "even")
    page = visit(entry(summary=even, layers=None))
    seen = page.until("s.summary && s.heat")
    assert seen["limit"] == pytest.approx(2 * float(weights.mean()), rel=0.01)
    assert "nearly even" in page.text("#scaled")
    assert page.pixels()[..., 3].max() < 100


def test_gates_end_at_one(visit):
    gate = AttentionMap(torch.tensor([[0.1, 0.2, 0.4, 0.5]]), One("image"), Patches(2, 2), (), Scale.GATE, "gate")
    page = visit(entry(summary=gate, layers=None))
    assert page.until("s.summary")["limit"] == 1
    assert "from 0 to 1." in page.text("#scaled")


def test_objects_are_boxed_and_numbered(visit):
    heat = AttentionMap(torch.rand(1, 16), One("image"), Patches(4, 4), (), Scale.RELEVANCE, "saliency/x")
    page = visit(entry(layers=None, summary=heat, prediction=[], boxes=((0, 0, 427, 320), (100, 320, 200, 640))))
    page.until("s.heat && s.marks === 2")
    assert page.page.locator("#over text").all_text_contents() == ["1", "2"]
    assert page.page.locator("#over polyline").count() == 0
    box = page.page.evaluate(
        "() => ['x', 'y', 'width', 'height'].map("
        "(name) => Number(document.querySelector('#over rect').getAttribute(name)))"
    )
    assert box == pytest.approx([0, 0, 500, 1000 * 427 / 640], abs=0.1)
    assert page.page.locator("#drawing label", has_text="Boxes").is_visible()


def test_the_common_scale_is_the_layers_and_said(visit):
    page = visit()
    page.click(1, 5)
    assert "the row's largest" in page.text("#scaled")
    page.page.locator("#scaling label", has_text="Whole layer").click()
    top = float(LAYERS[2].weights[..., 2:].max())
    assert page.until("s.limit === s.about.top")["limit"] == pytest.approx(top)
    assert "all of layer 2" in page.text("#scaled")
    page.page.locator("#scaling label", has_text="This row").click()
    page.until("s.limit < s.about.top")


def test_special_tokens_beyond_the_scale_are_named(visit):
    page = visit()
    page.page.locator("#layer label").nth(2).click()
    page.until("!s.summary")
    assert "Beyond the scale: cls, reg1" in page.text("#scaled")


def test_strength_and_smoothing(visit):
    page = visit()
    page.until("s.summary")
    assert "hard" not in (page.page.locator("#heat").get_attribute("class") or "")
    page.page.locator("#smooth").uncheck()
    page.page.wait_for_function("() => document.querySelector('#heat').classList.contains('hard')")
    page.page.locator("#strength").fill("0")
    page.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.pixels()[..., 3].max() == 0


def test_hostile_names_are_shown_and_nothing_else(visit):
    page = visit(entry(HOSTILE, note=HOSTILE), entry("둘"))
    page.until("s.summary")
    for selector in ("#title", "#name", "#note"):
        assert HOSTILE in page.text(selector)
    assert page.text("#best") == "꽃 87.5 %"
    assert page.page.locator("#bars li").nth(1).inner_text().split("\n")[0] == HOSTILE
    assert page.page.locator("img[src=x]").count() == 0


def test_an_image_is_unpacked_when_it_is_chosen_and_not_before(visit):
    count = "const Native = DecompressionStream; window.inflated = 0;"
    count += (
        "window.DecompressionStream = class extends Native { constructor(kind) { super(kind); window.inflated++; } };"
    )
    other = rollout(attention(photograph("china.jpg"), GRID, layers=2, special=("cls", "reg1")))
    page = visit(entry(), *(entry(f"{i}.jpg", summary=other) for i in range(24)), before=count)
    page.until("s.summary")
    assert page.page.evaluate("window.inflated") == 2, "a summary and one layer"
    page.page.locator("#film button").nth(7).click()
    near(page.until("s.entry === 7")["row"], other.weights[0])
    assert page.page.evaluate("window.inflated") == 4
    assert page.text("#name") == "6.jpg"
    assert page.page.locator("#film [aria-selected=true]").count() == 1
    assert page.text("#found") == "25 images"


def test_an_entry_without_layers_shows_and_reads_its_summary(visit):
    page = visit(entry(layers=None))
    page.click(1, 1)
    page.page.wait_for_function("() => document.querySelector('#readout').textContent.includes('patch 1,1')")
    assert not page.until("s.summary")["pinned"]
    assert page.page.locator("#layers").is_hidden()
    assert page.text("#how") == "Hover the image to read its weights."


def test_an_entry_that_gave_way_to_the_budget_says_so(visit):
    page = visit(entry(), budget=60_000)
    page.hover(2, 3)
    page.until("s.summary")
    assert (
        page.text("#lost")
        == "To stay within 0.06 MB, this page holds only the summary and a smaller copy of this image."
    )


def test_scores_have_colours_on_both_sides_of_zero(visit):
    axis = Patches(2, 2)
    row = torch.tensor([[-3.0, 0.0, 1.0, 3.0]])
    scores = AttentionMap(row, One("x"), axis, (), Scale.SCORE, "scores")
    page = visit(entry(summary=scores, layers=None))
    seen = page.until("s.summary")
    assert seen["row"] == pytest.approx([-3, 0, 1, 3], abs=3 / 254)
    (minus, zero), (_, plus) = page.pixels().tolist()
    assert minus[2] > minus[0], "blue"
    assert plus[0] > plus[2], "red"
    assert zero[3] == 0, "nothing hides the image"
    assert (page.text("#low"), page.text("#high")) == ("-3", "3")


def test_layers_may_differ_in_their_grids(visit):
    fine, coarse = Patches(4, 4), Patches(2, 2)
    generator = torch.Generator().manual_seed(1)
    maps = [
        AttentionMap(torch.randn(2, 16, 4, generator=generator).softmax(-1), fine, coarse, ("head",), source="a"),
        AttentionMap(torch.randn(4, 4, generator=generator).softmax(-1), coarse, coarse, source="b"),
    ]
    pixels = AttentionMap(torch.rand(1, 64, generator=generator), One("image"), Pixels(8, 8), (), Scale.RELEVANCE)
    page = visit(entry(layers=maps, summary=pixels))
    page.page.mouse.click(*page.point(3, 2, grid=(4, 4)))
    near(page.until("s.layer === 1 && s.query === 3")["row"], maps[1].weights[3], 1 / 510)
    assert page.page.locator("#head").is_hidden()
    page.page.locator("#layer label").nth(0).click()
    near(page.until("s.layer === 0 && s.query === 14")["row"], maps[0].weights.mean(0)[14], 1 / 510)
    assert page.page.locator("#head label").count() == 3


def test_the_stated_error_is_never_less_than_the_real_one(visit):
    page = visit()
    page.until("s.summary")
    stated = page.stated_error()
    worst = max(pack(each).error for each in [SUMMARY, *LAYERS])
    assert worst <= stated <= 1.01 * worst


def test_light_and_dark_follow_the_visitor(visit):
    check_light_and_dark(visit)


def test_a_browser_that_is_too_old_is_told(visit):
    check_old_browser(visit)


def test_a_small_image_keeps_its_pixels(visit):
    tiny = F.interpolate(photograph()[None].float(), (32, 32))[0].to(torch.uint8)
    page = visit(entry(image=tiny))
    page.until("s.summary")
    assert "hard" in page.page.locator("#photo").get_attribute("class")
    assert page.page.evaluate("document.querySelector('#photo').naturalWidth") == 32


# -- lines, boxes and outlines --------------------------------------------------------------------


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
    assert f"hold {100 * share:.1f} % of the weight on patches" in page.text("#lined")


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
