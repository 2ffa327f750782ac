"""A page of many images: what is listed, in which order, and how one gets to the map."""

import pytest
import torch
from browser_visit import HOSTILE, Visit, needs_browser

from jumok.attention import AttentionMap, One, Patches
from jumok.views.pages.look_page import Entry, Page

pytestmark = needs_browser

CLASSES = ("dent", "긁힘", HOSTILE)


def entry(number):
    """Image `number` is predicted as class number % 3 and is of class number % 2; 7 of 8 look alike."""
    weights = torch.zeros(1, 4)
    weights[0, number % 4] = 1
    image = torch.full((3, 24, 32), number % 256, dtype=torch.uint8)
    share = 0.5 + (number % 50) / 100
    return Entry(
        f"folder/{number}.png",
        image,
        [(CLASSES[number % 3], share)],
        AttentionMap(weights, One("cls"), Patches(2, 2), source="rollout"),
        truth=CLASSES[number % 2],
        group="faithful" if number % 8 else "no better than edges",
    )


@pytest.fixture
def visit(open_file):
    page = Page("Many")
    for number in range(300):
        page.add(entry(number))
    seen = open_file(Visit, page)
    seen.until("s.entry === 0")
    return seen


def test_the_map_is_five_tabs_from_the_start(visit):
    for _tabs in range(1, 6):
        visit.page.keyboard.press("Tab")
        if visit.page.evaluate("document.activeElement.id") == "stage":
            break
    assert visit.page.evaluate("document.activeElement.id") == "stage"


def test_the_first_tab_leads_past_the_thumbnails(visit):
    visit.page.keyboard.press("Tab")
    visit.page.keyboard.press("Enter")
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.querySelector('#stage').compareDocumentPosition(document.activeElement) & 4")


def test_only_thumbnails_in_view_are_made(visit):
    assert visit.page.locator("#film button").count() < 30
    film = visit.page.locator("#film")
    film.evaluate("film => { film.scrollLeft = film.scrollWidth; }")
    visit.page.wait_for_function("() => document.querySelector('#film [aria-posinset=\"300\"]')")
    assert visit.page.locator("#film button").count() < 30
    assert visit.page.locator("#film [aria-posinset='1'][tabindex='0']").count() == 1, "the open one stays"


def test_arrow_keys_move_among_thumbnails_and_open_them(visit):
    visit.page.locator("#film [tabindex='0']").focus()
    for key, wanted in [("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", 299), ("Home", 0)]:
        visit.page.keyboard.press(key)
        visit.until(f"s.entry === {wanted}")
        focused = visit.page.evaluate("document.activeElement.getAttribute('aria-posinset')")
        assert focused == str(wanted + 1)
    assert visit.page.locator("#film [tabindex='0']").count() == 1


def test_several_rows(visit):
    visit.page.locator("#filtering").click()
    visit.page.locator("#tiled").check()
    visit.page.locator("#film [tabindex='0']").focus()
    visit.page.keyboard.press("ArrowDown")
    below = visit.page.evaluate(
        "() => { const [one, two] = ['[aria-posinset=\"1\"]', '[aria-selected=true]'].map((each) =>"
        " document.querySelector(`#film ${each}`).getBoundingClientRect());"
        " return two.top > one.top && two.left === one.left; }"
    )
    assert below


def listed(visit):
    return visit.text("#found")


def test_words_find_names_and_classes(visit):
    visit.page.locator("#find").fill("긁힘")
    assert listed(visit) == "200 of 300 images", "a third is predicted as it, half of all are of it"
    visit.page.locator("#find").fill("folder/29")
    assert listed(visit) == "11 of 300 images"
    visit.page.keyboard.press("Enter")
    visit.until("s.entry === 29")
    visit.page.locator("#find").fill("nowhere")
    assert listed(visit) == "0 of 300 images"
    assert visit.page.locator("#none").is_visible()
    assert visit.page.locator("#film button").count() == 0


def test_filters_by_class_outcome_confidence_and_group(visit):
    visit.page.locator("#filtering").click()
    visit.page.locator("#outcome").select_option("=right")
    right = sum(number % 3 == number % 2 for number in range(300))
    assert listed(visit) == f"{right} of 300 images"
    visit.page.locator("#predicted").select_option("=긁힘")
    assert listed(visit) == "50 of 300 images"
    visit.page.locator("#truth").select_option("=dent")
    assert listed(visit) == "0 of 300 images"
    visit.page.locator("#clear").click()
    visit.page.locator("#least").fill("98")
    assert listed(visit) == "12 of 300 images"
    visit.page.locator("#clear").click()
    visit.page.locator("#group").select_option("=no better than edges")
    assert listed(visit) == "38 of 300 images"
    assert visit.text("#filtering") == "Filters (1)"
    visit.page.locator("#clear").click()
    assert listed(visit) == "300 images"


def test_the_least_confident_come_first(visit):
    visit.page.locator("#filtering").click()
    visit.page.locator("#order").select_option("unsure")
    shares = visit.page.locator("#film .said small").all_inner_texts()
    assert shares[:6] == ["50.0%"] * 6


def test_thumbnails_tell_right_from_wrong_by_a_sign_and_in_words(visit):
    first, second, third = (visit.page.locator(f"#film [aria-posinset='{place}']") for place in (1, 2, 3))
    assert first.inner_text().split() == ["✓", "dent", "50.0%", "true:", "dent", "folder/0.png"]
    assert first.get_attribute("aria-label") == "folder/0.png; predicted dent, 50.0%; true class dent; right"
    assert "✓" in second.inner_text()
    assert "✗" in third.inner_text()
    assert HOSTILE in third.get_attribute("aria-label")
    third.click()
    visit.until("s.entry === 2")
    assert visit.text("#judged") == "✗ wrong: the true class is dent"
    assert visit.page.locator("img[src=x]").count() == 0


def test_nothing_to_filter_by_is_not_offered(open_file):
    page = Page("No model")
    for number in range(3):
        each = entry(number)
        page.add(Entry(each.name, each.image, (), each.summary))
    seen = open_file(Visit, page)
    seen.until("s.entry === 0")
    seen.page.locator("#filtering").click()
    for part in ("#predicted", "#truth", "#outcome", "#group", "#confidence"):
        assert seen.page.locator(part).is_hidden(), part
    assert seen.page.locator("#order option").all_inner_texts() == ["as given", "by name"]
    assert seen.page.locator("#judged").is_hidden()
