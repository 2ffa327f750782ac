"""The page as a visitor has it: a real browser, from file://, with the network off."""

import re
from functools import partial

import pytest
import torch
from browser_visit import HOSTILE, check_light_and_dark, check_old_browser, needs_browser
from look_visits import ERROR, GRID, LAYERS, SUMMARY, entry, near, open_page
from synthetic_maps import attention, photograph, rollout
from torch.nn import functional as F

from jumok.attention import AttentionMap, One, Patches, Pixels, Scale
from jumok.views.pages.packed_maps import pack
from jumok.views.raster import find_grain

pytestmark = needs_browser


@pytest.fixture
def visit(open_file):
    return partial(open_page, open_file)


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
    assert page.text("#best") == "꽃 87.5%"
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


def pixel_map(*marked):
    weights = torch.zeros(1, 40, 40)
    for row, column in marked:
        weights[0, row, column] = -2.0
    return AttentionMap(weights.flatten(1), One("image"), Pixels(40, 40), (), Scale.SCORE)


def test_smoothing_between_patches_is_offered_where_there_are_patches_alone(visit):
    patches = visit()
    patches.until("s.summary")
    assert patches.page.locator("#smooth").is_visible()
    pixels = visit(entry(summary=pixel_map((3, 4)), layers=()))
    pixels.until("s.summary")
    assert not pixels.page.locator("#smooth").is_visible()
    assert "weight on a patch" not in pixels.text("#scaled")


def test_single_pixels_are_blurred_as_in_the_picture_and_the_page_says_so(visit):
    page = visit(entry(summary=pixel_map((3, 4), (20, 30)), layers=()))
    shown = page.until("s.summary")
    heat = torch.zeros(40, 40)
    heat[3, 4] = heat[20, 30] = -2.0
    blurred = find_grain(heat.numpy())
    assert shown["blurred"] == pytest.approx(abs(blurred).max(), rel=0.02)
    seen = page.pixels()[..., 3] > 0
    assert seen.sum() > 8
    assert "blurred by 2.0% of the image's longer side" in page.text("#scaled")
    page.hover(20, 30)
