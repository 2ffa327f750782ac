"""The page of questions as a visitor has it: a real browser, from file://, with the network off."""

from dataclasses import replace

import pytest
import torch
from browser_visit import HOSTILE, Visit, check_light_and_dark, check_old_browser, needs_browser
from synthetic_questions import GRID, KOREAN, a_question, relevance, shapes

from jumok.attention import AttentionMap, One, Patches, Regions, Scale, Tokens
from jumok.views.pages.question_page import QuestionPage
from jumok.views.palette import HEAT_POWER, STRONGEST_HEAT
from jumok.views.pictures.question_picture import Asked

pytestmark = needs_browser

ENGLISH = a_question()
HANGUL = a_question(**KOREAN)
BLIND = a_question(names=(), truth="")
ERROR = 1 / 510 * 1.001


class QuestionVisit(Visit):
    """A visit to a page of questions."""

    def word(self, index):
        return self.page.locator(f".word[data-index='{index}']")

    def ask(self, index):
        self.page.locator("#questions button").nth(index).click()

    def look(self, name):
        self.page.locator("#looks label", has_text=name).click()

    def readout(self):
        names, values = (self.page.locator(f"#readout {tag}").all_inner_texts() for tag in ("dt", "dd"))
        return dict(zip(names, values, strict=True))

    def pixels(self, selector="#heat"):
        """What is drawn on a canvas, without loss."""
        return self.page.locator(selector).evaluate("canvas => canvas.toDataURL()")

    def fits(self, width):
        return self.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.fixture
def visit(open_file):
    def open_page(*questions, image=None, others=(), title="주목", budget=30_000_000, **options):
        page = QuestionPage(title, budget=budget)
        page.add(image or shapes(), questions or [ENGLISH, HANGUL], name="shapes/1.png")
        for each in others:
            page.add(shapes(200), [each], name="another.png")
        return open_file(QuestionVisit, page, **options)

    return open_page


def wanted(map_, row=0):
    return pytest.approx(map_.weights[row].tolist(), abs=ERROR)


def test_it_opens_with_where_the_whole_first_question_looked(visit):
    page = visit()
    seen = page.until("s.row")
    assert (seen["question"], seen["look"], seen["word"], seen["own"]) == (0, "hop 1", None, False)
    assert seen["row"] == wanted(ENGLISH.looks["hop 1"])
    assert page.text("#caption") == "Where the whole question looked · hop 1"
    assert page.text("#best") == "triangle 87.5%"
    assert page.text("#verdict") == "✓ right"
    assert [each.split("\n")[0] for each in page.page.locator(".word").all_inner_texts()] == list(ENGLISH.words)
    assert page.page.locator(".word small").all_inner_texts() == ENGLISH.weight_labels()


@pytest.mark.parametrize("index", [1, 6])
def test_hovering_a_word_shows_its_own_look_and_leaving_restores(visit, index):
    page = visit()
    page.until("s.row")
    before, tile = page.pixels(), page.pixels("#looks label:nth-child(2) canvas")
    page.word(index).hover()
    seen = page.until(f"s.word === {index} && s.own")
    assert seen["row"] == wanted(ENGLISH.by_word["hop 1"], index)
    assert page.text("#caption") == f"Where “{ENGLISH.words[index]}” looked · hop 1"
    assert page.pixels() != before
    assert page.pixels("#looks label:nth-child(2) canvas") != tile, "the other looks follow in small"
    assert page.readout()["The word mattered"] == ENGLISH.weight_labels()[index]
    page.page.mouse.move(2, 2)
    page.until("s.word === null")
    assert page.pixels() == before
    assert page.text("#caption") == "Where the whole question looked · hop 1"


def test_hovering_moves_no_word_and_nothing_below(visit):
    page = visit()
    page.until("s.row")
    ids = [".word >> nth=2", ".word >> nth=7", "#stage", "#display", "footer"]
    boxes = [page.page.locator(each).bounding_box() for each in ids]
    page.word(2).hover()
    page.until("s.word === 2")
    assert [page.page.locator(each).bounding_box() for each in ids] == boxes


def test_words_are_shaded_linearly_in_their_weights(visit):
    page = visit()
    page.until()
    opacities = page.page.locator(".word bdi").evaluate_all(
        "all => all.map((each) => Number(getComputedStyle(each, '::before').opacity))"
    )
    assert opacities == pytest.approx([0.55 * share for share in ENGLISH.shares()], abs=0.001)
    assert f"(relevance), linear from 0 to the largest, {float(ENGLISH.weights.weights.max()):.3g}" in page.text(
        "#mattered"
    )


def test_words_are_reached_with_the_keyboard(visit):
    page = visit(ENGLISH)
    page.until("s.row")
    page.page.keyboard.press("Tab")
    page.until("s.word === 0 && s.own")
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        page.page.keyboard.press(key)
    seen = page.until("s.word === 1")
    assert seen["row"] == wanted(ENGLISH.by_word["hop 1"], 1)
    page.page.wait_for_function("() => document.querySelector('#live').textContent.includes('“shape” looked')")
    assert "most at place" in page.text("#live")
    page.page.keyboard.press("End")
    page.until(f"s.word === {len(ENGLISH.words) - 1}")
    assert page.page.locator(".word[tabindex='0']").count() == 1, "the words are one stop"
    page.page.keyboard.press("Enter")
    page.until("s.pinned")
    page.page.keyboard.press("Tab")
    page.until(f"s.pinned && s.word === {len(ENGLISH.words) - 1}")
    page.page.keyboard.press("Escape")
    page.until("s.word === null")


def test_focus_that_leaves_the_words_goes_back_to_the_whole_question(visit):
    page = visit(ENGLISH)
    page.until("s.row")
    page.page.keyboard.press("Tab")
    page.until("s.word === 0")
    page.page.keyboard.press("Tab")
    page.until("s.word === null")


def test_a_click_pins_and_a_second_one_frees(visit):
    page = visit()
    page.until("s.row")
    page.word(5).click()
    page.page.mouse.move(2, 2)
    page.until("s.pinned && s.word === 5")
    assert page.word(5).get_attribute("aria-pressed") == "true"
    page.word(1).hover()
    page.until("!s.pinned && s.word === 1")
    page.word(5).click()
    page.page.mouse.move(2, 2)
    page.until("s.word === null")


def test_a_look_is_chosen_and_stays_chosen_for_other_questions(visit):
    page = visit()
    page.until("s.row")
    page.look("hop 2")
    assert page.until("s.look === 'hop 2'")["row"] == wanted(ENGLISH.looks["hop 2"])
    page.ask(1)
    seen = page.until("s.question === 1")
    assert seen["look"] == "hop 2"
    page.word(0).hover()
    assert page.until("s.word === 0 && s.own")["row"] == wanted(HANGUL.by_word["hop 2"], 0)
    assert page.text("#caption") == "Where “빨간” looked · hop 2"


def test_questions_are_listed_with_answers_and_whether_they_are_right(visit):
    page = visit(ENGLISH, HANGUL, BLIND)
    page.until()
    listed = [" ".join(text.split()) for text in page.page.locator("#questions button").all_inner_texts()]
    assert listed[0] == f"{ENGLISH.question} triangle ✓ right 87.5%"
    assert listed[1] == f"{HANGUL.question} 사각형 ✗ wrong 61.0%"
    assert listed[2] == f"{BLIND.question} triangle 87.5%"
    page.ask(1)
    page.until("s.question === 1")
    bars = [" ".join(text.split()) for text in page.page.locator("#bars li").all_inner_texts()]
    assert bars == ["사각형 61.0%", "삼각형 ✓ right answer 33.0%", "원 6.0%"]
    widths = page.page.locator("#bars .bar i").evaluate_all("all => all.map((i) => parseFloat(i.style.width))")
    assert widths == pytest.approx([61, 33, 6])


def test_no_share_but_all_is_written_as_all(visit):
    page = visit(replace(ENGLISH, answers=[("yellow", 0.99998), ("red", 0.00002)]))
    page.until()
    assert page.page.locator("#bars output").all_inner_texts() == ["99.9%", "<0.1%"]


def test_a_right_answer_that_is_not_among_them_is_told(visit):
    page = visit(a_question(truth="ring"))
    page.until()
    assert page.text("#truth") == "Right answer: ring, not among these."
    assert page.page.locator("#choose").is_hidden(), "one question needs no list"


def test_without_a_look_the_image_stands_alone_and_that_is_said(visit):
    page = visit(BLIND, ENGLISH)
    page.until("s.row === null")
    assert page.text("#caption") == "This system attends to no part of the image."
    for each in ("#heat", "#ramp-row", "#looks", "#display", "#how"):
        assert page.page.locator(each).is_hidden()
    page.word(1).hover()
    page.until("s.word === 1")
    assert page.text("#caption").endswith(f"“shape” mattered {BLIND.weight_labels()[1]}.")
    page.ask(1)
    page.until("s.row")
    assert page.page.locator("#heat").is_visible()


def test_a_look_without_words_of_its_own_says_so(visit):
    looks = {"relevance": relevance(), **ENGLISH.looks}
    page = visit(a_question(looks=looks, by_word=ENGLISH.by_word))
    page.until("s.row")
    assert page.text("#how") == "Where each word looked on its own is not known here."
    page.word(5).hover()
    seen = page.until("s.word === 5")
    assert seen["own"] is False
    assert seen["row"] == pytest.approx(looks["relevance"].weights[0].tolist(), abs=3 * ERROR)
    assert "that of “red” alone is not known here" in page.text("#caption")
    page.look("hop 1")
    page.until("s.look === 'hop 1'")
    assert "Hover a word" in page.text("#how")


def test_the_place_under_the_pointer_is_read_out(visit):
    page = visit()
    page.until("s.row")
    box = page.page.locator("#stage").bounding_box()
    page.page.mouse.move(box["x"] + box["width"] * 2.5 / 8, box["y"] + box["height"] * 6.5 / 8)
    page.page.wait_for_function("() => document.querySelector('#readout').textContent.includes('place 6,2')")
    weight = float(ENGLISH.looks["hop 1"].weights[0, 6 * 8 + 2])
    label, value = page.readout()["Under the cursor"].split(": ")
    assert label == "place 6,2"
    assert float(value) == pytest.approx(weight, abs=ERROR)
    page.page.mouse.move(2, 2)
    page.page.wait_for_function("() => !document.querySelector('#readout').textContent.includes('place 6,2')")
    page.page.locator("#stage").focus()
    page.page.keyboard.press("ArrowDown")
    page.page.keyboard.press("ArrowDown")
    page.page.wait_for_function("() => document.querySelector('#live').textContent.startsWith('place 5,4')")


@pytest.mark.parametrize(("grid", "ground", "end"), [(Patches(1, 50), 1.0, 2.02), (Patches(40, 40), 0.0, 1.5)])
def test_places_that_are_no_single_pixels_are_drawn_by_the_scale_that_is_stated(visit, grid, ground, end):
    weights = torch.full((1, len(grid)), ground)
    weights[0, len(grid) // 2] = 1.5
    look = AttentionMap(weights, One("question"), grid, (), Scale.RELEVANCE)
    page = visit(a_question(names=(), looks={"look": look}, by_word={}))
    page.until("s.row")
    stated = float(page.text("#high"))
    assert stated == pytest.approx(end, rel=0.01)
    data = "heat.getContext('2d').getImageData(0, 0, heat.width, heat.height).data"
    drawn = page.page.locator("#heat").evaluate(f"heat => [...{data}].filter((_, at) => at % 4 === 3)")
    expected = (255 * STRONGEST_HEAT * (weights[0] / stated) ** HEAT_POWER).tolist()
    assert drawn == pytest.approx(expected, abs=2)


def test_colours_can_go_up_to_the_largest_of_all_words(visit):
    page = visit()
    page.until("s.row")
    page.word(0).click()
    own = page.until("s.word === 0")["limit"]
    assert "nearly even" in page.text("#scaled")
    page.page.locator("#scaling label", has_text="All words").click()
    page.page.mouse.move(2, 2)
    words = ENGLISH.by_word["hop 1"].weights
    assert own == pytest.approx(2 * float(words[0].mean()), abs=ERROR), "it looks at everything alike"
    assert page.until("s.limit > 0.05")["limit"] == pytest.approx(float(words.max()), abs=ERROR)
    assert "the largest weight of all words' looks here" in page.text("#scaled")


def test_signed_scores_and_special_tokens_are_shown_for_what_they_are(visit):
    weights = torch.randn(1, 65, generator=torch.Generator().manual_seed(0))
    scores = AttentionMap(weights, One("q"), Patches(*GRID, ("cls",)), (), Scale.SCORE)
    page = visit(a_question(looks={"scores": scores}, by_word={}))
    page.until("s.row")
    assert page.text("#low").startswith("-")
    assert "linear around 0" in page.text("#scaled")
    assert float(page.readout()["On cls (no place)"]) == pytest.approx(float(weights[0, 0]), rel=0.01)


def test_one_question_about_several_images_is_not_counted_as_several(visit):
    assert visit(ENGLISH, others=[ENGLISH]).text("#count") == "2 images"


def test_sounds_are_called_so_and_their_last_mark_of_time_stands_on_the_page(visit):
    heard = replace(ENGLISH, seconds=1.0)
    page = visit(heard, others=[heard], width=390)
    assert page.text("#count") == "2 sounds"
    assert page.page.locator("#images").get_attribute("aria-label") == "Sounds"
    assert page.page.locator("#ruler span").last.bounding_box()["x"] > 300
    assert page.fits(390)
    edge = "[...document.querySelectorAll('#ruler span')].at(-1).getBoundingClientRect().right"
    assert page.page.evaluate(f"{edge} <= document.querySelector('#stage').getBoundingClientRect().right + 1")


def test_images_are_chosen_from_the_film(visit):
    page = visit(others=[HANGUL])
    page.until("s.row")
    assert page.text("#count") == "2 images, 3 questions"
    page.page.locator("#film button").nth(1).click()
    seen = page.until("s.image === 1")
    assert seen["row"] == wanted(HANGUL.looks["hop 1"])
    assert page.page.locator("#choose").is_hidden()
    assert page.text("#name") == "another.png"


def test_hostile_text_is_shown_and_nothing_else(visit):
    words = (HOSTILE, "", " ")
    looks = {HOSTILE: AttentionMap(relevance().weights, One(HOSTILE), Patches(*GRID), source=HOSTILE)}
    weights = AttentionMap(torch.ones(1, 3), One("a"), Tokens(words), source=HOSTILE)
    question = Asked(HOSTILE, words, [(HOSTILE, 1.0)], looks, {}, weights, HOSTILE, HOSTILE)
    page = visit(question, question, title=HOSTILE)
    page.until()
    assert page.text("#title") == page.text("#note") == HOSTILE
    assert page.page.locator(".word bdi").all_inner_texts() == [HOSTILE, "␣", "␣"]
    page.word(0).hover()
    page.until("s.word === 0")
    assert HOSTILE in page.text("#caption")
    assert page.page.locator("img[src=x]").count() == 0


def test_what_gave_way_to_the_budget_is_said(visit):
    page = visit(ENGLISH, image=shapes(300), budget=1)
    seen = page.until("s.row")
    assert seen["row"] == wanted(ENGLISH.looks["hop 1"])
    said = page.text("#lost")
    for part in ("only the first of this question's 2 looks", "not where each word looked", "a smaller copy"):
        assert part in said
    page.word(1).hover()
    assert page.until("s.word === 1")["own"] is False


def test_the_stated_error_is_never_less_than_the_real_one(visit):
    page = visit()
    seen = page.until("s.row")
    stated = page.stated_error()
    real = (torch.tensor(seen["row"]) - ENGLISH.looks["hop 1"].weights[0]).abs().max()
    assert 0 < real <= stated <= ERROR


def test_light_and_dark_follow_the_visitor(visit):
    check_light_and_dark(visit)


def test_a_phone_has_no_scrolling_sideways_and_taps_pin(visit):
    words = [f"word{number}" if number % 9 else "a" * 40 for number in range(60)]
    long = a_question(words, ["red"] * 60, names=[f"layer {number}" for number in range(6)])
    page = visit(ENGLISH, HANGUL, long, width=390, height=844, has_touch=True, is_mobile=True)
    page.until("s.row")
    assert page.fits(390)
    page.word(1).tap()
    page.until("s.pinned && s.word === 1 && s.own")
    page.word(1).tap()
    page.until("s.word === null")
    page.ask(2)
    page.until("s.question === 2")
    assert page.fits(390)


def test_a_browser_that_is_too_old_is_told(visit):
    check_old_browser(visit)


def test_regions_are_named_by_pixels_of_the_image_and_not_smoothed(visit):
    boxes = ((0, 0, 16, 16), (16, 32, 32, 48))
    look = AttentionMap(torch.tensor([[0.25, 0.75]]), One("question"), Regions(boxes, ("a", "b"), 48, 64))
    asked = Asked("?", ("?",), [("yes", 1.0)], {"look": look})
    page = visit(asked, image=shapes(48).resize((64, 48)))
    page.until("s.row")
    where, _ = page.readout()["Looks most at"].split(": ")
    row, column = map(int, where.removeprefix("place ").split(","))
    assert (16 <= row < 32, 32 <= column < 48) == (True, True)
    assert not page.page.locator("#smooth").is_visible()
