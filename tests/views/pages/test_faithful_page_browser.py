"""The page of faithfulness as a visitor has it: a real browser, from file://, with the network off."""

import numpy as np
import pytest
from browser_visit import HOSTILE, Visit, check_light_and_dark, needs_browser
from faithful_entries import SECTION, SIDE, colours, entry, steps

from jumok.views.pages.faithful_page import FaithfulPage

pytestmark = needs_browser

RED, GREEN, BLUE, YELLOW = (250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)
GREY = (100, 100, 100)


class FaithfulVisit(Visit):
    """A visit to a page of images that lose their answer."""

    def patches(self, number=0):
        """The colours of the picture's four patches."""
        data = self.page.evaluate(
            "n => { const c = document.querySelectorAll('.picture')[n];"
            " const copy = Object.assign(document.createElement('canvas'), { width: c.width, height: c.height });"
            " const brush = copy.getContext('2d', { willReadFrequently: true });"
            " brush.drawImage(c, 0, 0);"
            " return [...brush.getImageData(0, 0, c.width, c.height).data]; }",
            number,
        )
        return [tuple(each) for each in colours(np.reshape(data, (SIDE, SIDE, 4))).reshape(4, 3).tolist()]

    def choose(self, name, value):
        self.page.locator(f"[name={name}][value='{value}']").check(force=True)


@pytest.fixture
def visit(open_file):
    def open_page(*entries, **options):
        page = FaithfulPage(f"믿을 수 있는가 {HOSTILE}")
        for each in entries or (entry(), entry(HOSTILE)):
            page.add(each)
        page.report([SECTION], first="rollout")
        return open_file(FaithfulVisit, page, **options)

    return open_page


def test_it_opens_a_quarter_into_the_best_map(visit):
    page = visit()
    shown = page.until()
    assert (shown["name"], shown["gone"]) == ("rollout", 1)
    assert shown["entries"][0] == {"answer": "꽃: 40.0%; the answer is now 잎 (60.0%)", "turned": True}
    assert page.patches() == [RED, GREEN, BLUE, GREY]
    assert page.text("#gone") == "1 of 4 (25%)"


def test_srg_is_explained_and_never_minus_zero(visit):
    falls = steps([3, 0, 1, 2], [0.9, 0.4, 0.2, 0.1], [("꽃", 0.9)] * 4)
    maps = {"rollout": falls._replace(srg=-0.004), "random": falls._replace(srg=-0.006), "edges": falls}
    page = visit(entry(filled={"mean": None}, steps={"mean": maps}))
    page.until()
    assert page.page.locator(".maps small").all_inner_texts() == ["SRG 0.00", "SRG -0.01", "SRG 0.25"]
    assert "0 is chance" in page.text(".taking")
    assert "blue ones against it" in page.text(".taking")  # the map of edges has both signs


def test_colours_of_both_signs_are_explained_where_there_are_any(visit):
    baselines = {"random": [1, 0.75, 0.5, 0.25], "edges": [0.5, 0.5, 0.1, 0]}
    page = visit(entry(baselines=baselines))
    page.until()
    assert "against" not in page.text(".taking")


def test_the_cursor_over_the_curves_takes_patches_away(visit):
    page = visit()
    page.until()
    box = page.page.locator(".chart").first.bounding_box()
    page.page.mouse.move(box["x"] + 0.52 * box["width"], box["y"] + box["height"] / 2)
    shown = page.until("s.step === 2")
    assert page.patches() == page.patches(1) == [GREY, GREEN, BLUE, GREY]
    assert shown["entries"][0]["answer"] == "꽃: 20.0%; the answer is now 잎 (80.0%)"
    page.page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + box["height"] / 2)
    assert page.until("s.step === 0")["entries"][0] == {"answer": "꽃: 90.0%", "turned": False}
    assert page.patches() == [RED, GREEN, BLUE, YELLOW]


def test_keys_move_the_slider_and_choose_the_map(visit):
    page = visit()
    page.until()
    page.page.locator("#share").focus()
    page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("ArrowRight")
    page.until("s.step === 3")
    assert page.patches() == [GREY] * 4
    assert HOSTILE in page.text(".says >> nth=0")
    page.page.keyboard.press("ArrowLeft")
    page.page.locator("[name=map-0]").first.focus()
    page.page.keyboard.press("ArrowRight")
    page.until("s.name === 'random' && s.step === 2")
    assert page.patches() == [GREY, GREY, BLUE, YELLOW]
    assert page.page.locator("[name=map-1][value='1']").is_checked(), "all images show the same map"


def test_each_filling_is_what_replaces_patches(visit):
    page = visit()
    page.until()
    page.choose("filling", 1)
    page.until("s.filling === 1")
    assert page.patches()[3] == (200, 100, 100)
    page.choose("filling", 2)
    page.until("s.filling === 2")
    assert page.patches()[3] == (128, 128, 128)
    assert "noisy-linear" in page.text("#remark")
    page.choose("filling", 0)
    page.until("s.filling === 0")
    assert not page.page.locator("#remark").is_visible()


def test_what_was_measured_and_names_are_shown_as_text(visit):
    page = visit()
    page.until()
    assert f"{HOSTILE}: beats an edge map" in page.text(".measured")
    assert page.text(".entry h3 >> nth=1") == HOSTILE
    assert page.text("#title") == f"믿을 수 있는가 {HOSTILE}"


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_nothing_is_wider_than_the_window(visit, width):
    page = visit(width=width)
    page.until()
    assert page.page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_prints_without_controls(visit):
    page = visit()
    page.until()
    page.page.emulate_media(media="print")
    assert not page.page.locator("#share").is_visible()
    assert page.page.locator(".picture").first.is_visible()


def test_light_and_dark_follow_the_visitor(visit):
    check_light_and_dark(visit)
