"""The alignment page as a visitor has it: a real browser, from file://, with the network off."""

import re
from dataclasses import dataclass

import pytest
import torch
from browser_visit import HOSTILE, Visit, check_light_and_dark, check_old_browser, needs_browser

from jumok.attention import AttentionMap, Scale, Tokens
from jumok.views.pages.alignment_page import AlignmentEntry, AlignmentPage

pytestmark = needs_browser

GERMAN = ["Zwei", "junge", "Männer", "sind", "im", "Freien", "."]
ENGLISH = ["Two", "young", "men", "are", "outside", "."]
KOREAN = ["나는", "어제", "도서관에서", "책을", "읽었습니다", "."]
ERROR = 1 / 510 * 1.001


@dataclass(frozen=True)
class Drawn:
    sure: frozenset = frozenset()
    possible: frozenset = frozenset()


def an_alignment(target, source, seed=0, scale=Scale.DISTRIBUTION, factor=1.0):
    scores = 3 * torch.randn(len(target), len(source), generator=torch.Generator().manual_seed(seed))
    return AttentionMap(scores.softmax(-1) * factor, Tokens(tuple(target)), Tokens(tuple(source)), (), scale, "cross")


def an_entry(source=GERMAN, target=ENGLISH, names=("mean", "layer 0", "layer 0, next step"), **changes):
    maps = {name: an_alignment(target, source, seed) for seed, name in enumerate(names)}
    return AlignmentEntry(source, target, changes.pop("maps", maps), **changes)


class AlignmentVisit(Visit):
    """A visit to an alignment page."""

    def word(self, side, index):
        return self.page.locator(f".word[data-side={side}][data-index='{index}']")

    def view(self, name):
        self.page.locator("#views label", has_text=name).click()

    def lines(self):
        """(thickness, opacity) of each line, thickest last."""
        return self.page.evaluate(
            "[...document.querySelectorAll('.plane path:not(.gold)')].map((p) =>"
            " [Number(p.getAttribute('stroke-width')), Number(p.getAttribute('stroke-opacity'))])"
        )


@pytest.fixture
def visit(open_file):
    def open_page(*entries, title="주목", score="AER", budget=30_000_000, **options):
        page = AlignmentPage(title, score=score, budget=budget)
        for each in entries or (an_entry(),):
            page.add(each)
        return open_file(AlignmentVisit, page, **options)

    return open_page


def test_it_opens_with_the_first_map_and_all_lines_from_the_least_weight_on(visit):
    page = visit()
    seen = page.until("s.way === 'across'")
    weights = an_alignment(ENGLISH, GERMAN).weights
    assert seen["map"] == "mean"
    assert torch.tensor(seen["weights"]) == pytest.approx(weights, abs=ERROR)
    assert seen["lines"] == int((torch.tensor(seen["weights"]) >= 0.05).sum()) == len(page.lines())
    widths = [width for width, _ in page.lines()]
    assert widths == sorted(widths)
    assert widths[-1] == pytest.approx(9 * float(weights.max()), abs=0.05)


def test_thickness_and_opacity_grow_linearly_with_the_weight(visit):
    weights = torch.tensor([[0.2, 0.4, 0.8]])
    map_ = AttentionMap(weights, Tokens(("t",)), Tokens(("a", "b", "c")), (), Scale.GATE)
    page = visit(AlignmentEntry(["a", "b", "c"], ["t"], {"m": map_}))
    page.until()
    (w1, o1), (w2, o2), (w3, o3) = page.lines()
    assert (w2 / w1, w3 / w1) == pytest.approx((2, 4), rel=0.02)
    assert (o3 - o1) / (o2 - o1) == pytest.approx(3, rel=0.03)


@pytest.mark.parametrize(("side", "index"), [("target", 2), ("source", 3)])
def test_hovering_a_word_shows_its_lines_alone_with_the_weights_as_numbers(visit, side, index):
    page = visit()
    page.until()
    page.word(side, index).hover()
    seen = page.until(f"s.word && s.word.side === '{side}' && s.word.index === {index}")
    weights = torch.tensor(seen["weights"])
    given = weights[index] if side == "target" else weights[:, index]
    assert seen["lines"] == len(page.lines()) == int((given >= 0.005).sum())
    other = "source" if side == "target" else "target"
    for number, weight in enumerate(given.tolist()):
        shown = page.word(other, number).locator("small").inner_text()
        assert shown == ("" if weight < 0.005 else f"{weight:.2f}")
    word = (ENGLISH if side == "target" else GERMAN)[index]
    assert page.text("#caption") == f"“{word}” {'looks at' if side == 'target' else 'is looked at by'}"
    assert f"In all {given.sum():.2f}." in page.text("#rest")
    assert page.page.locator("#bars li output").first.inner_text() == f"{given.max():.2f}"
    page.page.mouse.move(2, 2)
    page.until("!s.word")


def test_hovering_moves_no_word(visit):
    page = visit()
    page.until()
    boxes = [page.word("target", index).bounding_box() for index in range(len(ENGLISH))]
    page.word("target", 2).hover()
    page.until("s.word")
    assert [page.word("target", index).bounding_box() for index in range(len(ENGLISH))] == boxes


def test_a_click_pins_a_second_one_frees_and_so_does_escape(visit):
    page = visit()
    page.until()
    page.word("source", 1).click()
    page.page.mouse.move(2, 2)
    page.until("s.pinned && s.word.index === 1")
    assert page.word("source", 1).get_attribute("aria-pressed") == "true"
    page.word("target", 0).hover()
    page.until("!s.pinned && s.word.side === 'target'")
    page.page.mouse.move(2, 2)
    page.until("s.pinned")
    page.word("source", 1).click()
    page.until("!s.word")
    page.word("source", 1).click()
    page.until("s.pinned")
    page.page.keyboard.press("Escape")
    page.until("!s.word")


@pytest.mark.parametrize(
    ("view", "along", "over"), [("Across", "ArrowRight", "ArrowDown"), ("Down", "ArrowDown", "ArrowRight")]
)
def test_every_word_is_reached_with_the_keyboard(visit, view, along, over):
    page = visit()
    page.view(view)
    page.until(f"s.way === '{view.lower()}'")
    page.word("source", 0).focus()
    page.page.keyboard.press(along)
    page.page.keyboard.press(along)
    seen = page.until("s.word && s.word.side === 'source' && s.word.index === 2")
    best = int(torch.tensor(seen["weights"])[:, 2].argmax())
    page.page.keyboard.press(over)
    page.until(f"s.word.side === 'target' && s.word.index === {best}")
    assert ENGLISH[best] in page.text("#live")
    page.page.keyboard.press("Enter")
    page.until("s.pinned")
    tab_stops = page.page.locator(".word[tabindex='0']")
    assert tab_stops.count() == 2, "one of each sentence"


@pytest.mark.parametrize("name", ["layer 0", "layer 0, next step"])
def test_a_map_is_chosen_by_its_name_and_stays_chosen_in_other_sentences(visit, name):
    page = visit(an_entry(), an_entry(KOREAN, ["I", "read", "."]))
    page.until()
    page.page.select_option("#map", label=name)
    seed = ["mean", "layer 0", "layer 0, next step"].index(name)
    seen = page.until(f"s.map === '{name}'")
    assert torch.tensor(seen["weights"]) == pytest.approx(an_alignment(ENGLISH, GERMAN, seed).weights, abs=ERROR)
    page.page.locator("#list button").nth(1).click()
    seen = page.until(f"s.entry === 1 && s.map === '{name}'")
    wanted = an_alignment(["I", "read", "."], KOREAN, seed).weights
    assert torch.tensor(seen["weights"]) == pytest.approx(wanted, abs=ERROR)


def test_the_heat_map_has_every_weight(visit):
    page = visit()
    page.view("Heat map")
    seen = page.until("s.way === 'heat'")
    cells = page.page.evaluate(
        "[...document.querySelectorAll('.heat tbody tr')].map((row) => [...row.querySelectorAll('td')].map((cell) =>"
        " [cell.textContent, Number(getComputedStyle(cell, '::before').opacity)]))"
    )
    for row, weights in zip(cells, seen["weights"], strict=True):
        for (text, opacity), weight in zip(row, weights, strict=True):
            assert text == ("" if weight < 0.005 else f"{weight:.2f}")
            assert opacity == pytest.approx(weight, abs=0.001)
    page.page.locator(".heat tbody tr").nth(1).locator("td").nth(3).hover()
    page.until("s.word && s.word.side === 'target' && s.word.index === 1")
    page.page.select_option("#map", label="layer 0")
    page.until("s.map === 'layer 0'")
    page.page.wait_for_function(
        "(text) => document.querySelector('.heat tbody td').textContent === text",
        arg=f"{an_alignment(ENGLISH, GERMAN, 1).weights[0, 0]:.2f}",
    )


def test_gold_links_are_marked_in_both_views_and_can_be_hidden(visit):
    gold = Drawn(frozenset({(0, 0), (1, 1)}), frozenset({(4, 4)}))
    page = visit(an_entry(gold=gold))
    page.until()
    assert page.page.locator("path.gold.sure").count() == 2
    assert page.page.locator("path.gold.possible").count() == 1
    page.view("Heat map")
    page.until("s.way === 'heat'")
    assert page.page.locator("td.sure").count() == 2
    assert page.page.locator("td.possible").evaluate("cell => [cell.dataset.source, cell.dataset.target]") == ["4", "4"]
    page.page.locator("#gold").uncheck()
    page.page.wait_for_function("() => !document.querySelector('td.sure, td.possible')")


def test_without_gold_there_is_no_switch_for_it(visit):
    page = visit()
    page.until()
    assert page.page.locator("#golden").is_hidden()


def test_the_least_weight_of_a_line_can_be_chosen(visit):
    page = visit()
    page.until()
    page.page.locator("#least").fill("40")
    seen = page.until("s.lines < 10")
    assert seen["lines"] == int((torch.tensor(seen["weights"]) >= 0.4).sum())
    assert page.text("#least-value") == "0.40"


def test_a_long_sentence_runs_down_by_itself_and_scrolls_across_when_asked(visit):
    source, target = [f"Wort{number}" for number in range(60)], [f"word{number}" for number in range(55)]
    page = visit(an_entry(source, target), an_entry())
    page.until("s.way === 'down'")
    board = "document.querySelector('#stage')"
    assert page.page.evaluate(f"{board}.scrollWidth <= {board}.clientWidth"), "nothing to scroll sideways"
    page.view("Across")
    page.until("s.way === 'across'")
    assert page.page.evaluate(f"{board}.scrollWidth > {board}.clientWidth")
    page.word("target", 54).focus()
    page.page.wait_for_function("() => document.querySelector('#stage').scrollLeft > 500")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 1280, "only the board scrolls"


def test_lines_end_at_their_words(visit):
    """In the plane's own coordinates, wherever the page is scrolled."""
    map_ = AttentionMap(torch.eye(3).flip(0), Tokens(tuple("xyz")), Tokens(tuple("abc")))
    page = visit(AlignmentEntry(list("abc"), list("xyz"), {"m": map_}))
    page.until("s.lines === 3")
    plane = page.page.locator(".plane").bounding_box()
    starts = sorted(
        tuple(map(float, re.match(r"M([\d.]+) ([\d.]+)C", path).groups()))
        for path in page.page.evaluate("[...document.querySelectorAll('.plane path')].map((p) => p.getAttribute('d'))")
    )
    for index, (x, y) in enumerate(starts):
        box = page.word("source", index).bounding_box()
        assert x == pytest.approx(box["x"] + box["width"] / 2 - plane["x"], abs=1)
        assert y == pytest.approx(box["y"] + box["height"] - plane["y"], abs=1)


def test_printed_lines_end_at_their_words_whatever_the_window_s_width(visit):
    page = visit(an_entry(), width=1900)
    page.until()
    gaps = """() => {
      const all = (found) => [...document.querySelectorAll(found)];
      const plane = all(".plane")[0].getBoundingClientRect();
      const boxes = all(".from .word").map((word) => word.getBoundingClientRect());
      const words = boxes.map((box) => (box.left + box.right) / 2 - plane.left);
      const ends = all(".plane path").map((path) => parseFloat(path.getAttribute("d").slice(1)));
      return [plane.width, Math.max(...ends.map((end) => Math.min(...words.map((word) => Math.abs(word - end)))))];
    }"""
    before = page.page.evaluate(gaps)
    printed = page.page.evaluate(f"() => {{ dispatchEvent(new Event('beforeprint')); return ({gaps})(); }}")
    assert printed[0] < 670 < before[0]  # as wide as it is on a sheet
    assert printed[1] < 1
    page.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.page.evaluate(gaps) == pytest.approx(before, abs=0.5)


def test_sentences_are_listed_found_and_sorted_by_their_score(visit):
    entries = [an_entry(KOREAN, ["I", "read", "."], score=0.3), an_entry(score=0.1), an_entry(["Hund"], ["dog"])]
    page = visit(*entries)
    page.until()
    texts = page.page.locator("#list button").all_text_contents()
    assert " ".join(KOREAN) in texts[0]
    assert "I read ." in texts[0]
    assert "0.300" in texts[0]
    page.page.select_option("#order", "least")
    order = [int(each.get_attribute("data-entry")) for each in page.page.locator("#list button").all()]
    assert order == [1, 0, 2], "the one without a score comes last"
    page.page.locator("#find").fill("HUND")
    assert page.page.locator("#list button").count() == 1
    page.page.locator("#list button").click()
    page.until("s.entry === 2")
    page.page.locator("#find").fill("\u1103\u1169\u1109\u1165")  # as some keyboards send it: letter by letter
    assert page.page.locator("#list button").count() == 1
    page.page.locator("#find").fill("nowhere")
    assert page.page.locator("#none").is_visible()


def test_one_sentence_has_no_list(visit):
    page = visit()
    page.until()
    assert page.page.locator("#choose").is_hidden()


def test_hostile_text_is_shown_and_nothing_else(visit):
    entry = an_entry([HOSTILE, "b"], [HOSTILE], names=(HOSTILE,), note=HOSTILE)
    page = visit(entry, entry, title=HOSTILE, score=HOSTILE)
    page.until()
    assert page.text("#title") == page.text("#note") == HOSTILE
    assert page.word("source", 0).locator("bdi").text_content() == HOSTILE
    page.word("source", 0).hover()
    page.until("s.word")
    assert HOSTILE in page.text("#caption")
    page.view("Heat map")
    page.until("s.way === 'heat'")
    assert page.page.locator("img[src=x]").count() == 0


def test_weights_beyond_one_have_their_own_end_and_say_it(visit):
    maps = {"relevance": an_alignment(ENGLISH, GERMAN, scale=Scale.RELEVANCE, factor=5.0)}
    page = visit(an_entry(maps=maps))
    top = float(maps["relevance"].weights.max())
    page.until()
    assert f"from 0 to the largest, {top:.2f}" in page.text("#scaled")
    assert max(width for width, _ in page.lines()) == pytest.approx(9, abs=0.01)


def test_a_sentence_that_gave_way_to_the_budget_says_so(visit):
    page = visit(budget=1)
    page.until()
    assert "holds only the first of this sentence's 3 maps" in page.text("#lost")
    assert page.page.locator("#map").is_disabled()


def test_the_stated_error_is_never_less_than_the_real_one(visit):
    page = visit()
    seen = page.until()
    stated = page.stated_error()
    real = (torch.tensor(seen["weights"]) - an_alignment(ENGLISH, GERMAN).weights).abs().max()
    assert 0 < real <= stated <= ERROR


def test_light_and_dark_follow_the_visitor(visit):
    check_light_and_dark(visit)


def test_a_phone_shows_words_down_and_taps_pin(visit):
    page = visit(
        an_entry(), an_entry(KOREAN, ["I", "read", "."]), width=390, height=844, has_touch=True, is_mobile=True
    )
    page.until("s.way === 'down'")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    page.word("target", 1).tap()
    page.until("s.pinned && s.word.index === 1")
    page.word("target", 1).tap()
    page.until("!s.word")


def test_a_browser_that_is_too_old_is_told(visit):
    check_old_browser(visit)


@pytest.mark.parametrize("way", ["across", "down", "heat"])
@pytest.mark.parametrize("width", [390, 1280])
def test_long_words_are_whole_beside_their_links(visit, way, width):
    words = ("다뉴브증기선운항회사선장님께서는", "출항하지않으시겠다고하셨습니다")
    page = visit(AlignmentEntry(words, words, {"mean": an_alignment(words, words)}), width=width, height=844)
    page.until()
    page.page.locator(f"[name=view][value={way}]").evaluate("input => input.click()")
    page.until(f"s.way === '{way}'")
    cut = page.page.evaluate(
        "[...document.querySelectorAll('.word bdi')].filter((word) => word.scrollWidth > word.clientWidth + 1"
        " || word.scrollHeight > word.clientHeight + 1 || getComputedStyle(word).textOverflow === 'ellipsis')"
        ".map((word) => word.textContent)"
    )
    assert cut == []
    assert page.page.locator(".word bdi").first.get_attribute("lang") == "ko"
