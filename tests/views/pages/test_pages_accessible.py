"""Every page against axe-core's rules, and what else all pages have: landmarks, headings, a form for paper."""

import itertools
import re

import pytest
import torch
from browser_visit import HOSTILE, needs_browser
from faithful_entries import SECTION
from faithful_entries import entry as faithful_entry
from PIL import Image
from synthetic_maps import attention, photograph, rollout

from jumok.attention import AttentionMap, One, Patches, Scale, Tokens
from jumok.data.pairs.alignment_files import Links
from jumok.views.pages.alignment_page import AlignmentEntry, AlignmentPage
from jumok.views.pages.comparison_page import QUESTIONS, Cell, Column, ComparisonPage, Measure
from jumok.views.pages.faithful_page import FaithfulPage
from jumok.views.pages.inspect_page import Sheet, Thumb, write_inspect_page
from jumok.views.pages.look_page import Entry, Page
from jumok.views.pages.question_page import QuestionPage
from jumok.views.pages.reading_page import ReadingEntry, ReadingPage, ReadingSheet, Shown, Told
from jumok.views.pages.report_page import Figure, Section, write_report
from jumok.views.pages.text_page import ShadedText, write_text_page
from jumok.views.pictures.question_picture import Asked

pytestmark = needs_browser


def write_look(path):
    maps = attention(photograph(), (4, 6), layers=2, heads=3)
    page = Page("주목")
    for number in range(3):
        best = [("긁힘", 0.75), (HOSTILE, 0.25)]
        page.add(Entry(f"긁힘/{number}.jpg", photograph(), best, rollout(maps), maps, "chefer", truth="긁힘" * number))
    page.write(path)


def write_saliency(path):
    heat = AttentionMap(torch.rand(1, 64), One("image"), Patches(8, 8), (), Scale.RELEVANCE, "saliency/x")
    page = Page("What stands out")
    page.add(Entry("a.jpg", photograph(), (), heat, note="1 object", boxes=((10, 20, 200, 300),)))
    page.write(path)


def write_alignment(path):
    source, target = ("the", "white", "cat"), ("하얀", "고양이가")
    weights = AttentionMap(torch.rand(2, 3).softmax(-1), Tokens(target), Tokens(source))
    page = AlignmentPage("Who looks at whom", score="AER")
    gold = Links(sure=frozenset({(1, 0)}), possible=frozenset({(2, 1)}))
    for score in (0.25, 0.5):
        page.add(AlignmentEntry(source, target, {"mean": weights}, gold=gold, score=score))
    page.write(path)


def write_questions(path):
    words = ("빨간", "물체는", "무엇인가요", "?")
    look = AttentionMap(torch.rand(1, 9).softmax(-1), One("question"), Patches(3, 3), source="hop 1")
    answers = [("별", 0.75), ("원", 0.25)]
    page = QuestionPage("Questions")
    for number in range(2):
        asked = Asked("빨간 물체는 무엇인가요?", words, answers, {"hop 1": look}, truth="별")
        page.add(photograph(), [asked, asked], name=f"{number}.png")
    page.write(path)


def write_comparison(path):
    figures = {"accuracy": Measure("80%", 0.8, 0.7, 0.9), "weights": Measure("100", 100)}
    columns = [
        Column("vit-tiny", "patches", figures),
        Column("긁힘", "places", figures),
        Column("ram", error="cannot be trained"),
        Column("centre", "a map without a model", {"accuracy": Measure("90%", 0.9)}, baseline=True),
    ]
    page = ComparisonPage("Side by side", "All of it.", {"accuracy": "most", "weights": "least"}, columns, QUESTIONS)
    heat = AttentionMap(torch.rand(1, 4), One("image"), Patches(2, 2), (), Scale.RELEVANCE)
    cells = [Cell(heat, "별 90%", True, method="chefer"), Cell(None, "원 50%", False)]
    page.add("a.png", "별", Image.new("RGB", (48, 48), "teal"), torch.eye(48).bool(), cells, question="무엇인가요?")
    page.write(path)


def write_faithful(path):
    page = FaithfulPage("Measured")
    page.add(faithful_entry())
    page.report([SECTION], first="rollout")
    page.write(path)


def write_texts(path):
    words = ("이", "영화는", "좋다")
    relevance = AttentionMap(torch.tensor([[0.25, -0.5, 1.0]]), One("긍정"), Tokens(words), (), Scale.SCORE)
    given = [("긍정", 0.875), ("부정", 0.125)]
    texts = [ShadedText(" ".join(words), relevance, given, truth, "1") for truth in ("긍정", "부정", "")]
    write_text_page(path, "Which words spoke", "chefer", texts)


def write_reading(path):
    words = ("[CLS]", "이", "영화는", "좋다", "[SEP]")
    tokens = [Shown(word, special=word.startswith("[")) for word in words]
    maps = [AttentionMap(torch.rand(2, 5, 5).softmax(-1), Tokens(words), Tokens(words), ("head",)) for _ in range(2)]
    sheet = ReadingSheet("Self-attention", tokens, tokens, ["layer.0", "layer.1"], maps, maps[0].mean("head"))
    told = [Told("긍정", 0.75, [("긍정", 0.75), (HOSTILE, 0.25)], [0.0, 0.5, -0.25, 1.0, 0.0])]
    page = ReadingPage("What it reads")
    for _ in range(2):
        page.add(
            ReadingEntry("이 영화는 좋다", tokens, [sheet], "Predicted class", told, method="libra", note="A note.")
        )
    page.write(path)


def write_inspect(path):
    thumbs = [Thumb(Image.new("RGB", (40, 30), "teal"), "긁힘/1.png", "40 x 30")]
    sheets = [Sheet("긁힘", "3 images", thumbs, 0.5), Sheet("Near duplicates", "2 groups", thumbs)]
    write_inspect_page(path, "Images", [("6", "images")], ["1 image is blank"], sheets)


def write_demo_report(path):
    picture = path.parent / "picture.png"
    Image.new("RGB", (40, 30), "teal").save(picture)
    figures = [Figure("accuracy", "97%", "guessing: 50%")]
    write_report(path, "Demo", "All of it.", [Section("Look", "It looks.", "jumok look", figures, [(picture, "긁힘")])])


def write_growing_report(path):
    write_report(path, "Demo", "All of it.", [Section("Look", "It looks.")], waiting=["measure", "compare"])


WRITERS = {
    "look": write_look,
    "saliency": write_saliency,
    "alignment": write_alignment,
    "questions": write_questions,
    "comparison": write_comparison,
    "faithful": write_faithful,
    "texts": write_texts,
    "reading": write_reading,
    "inspect": write_inspect,
    "report": write_demo_report,
    "growing report": write_growing_report,
}


@pytest.fixture(scope="module", params=WRITERS)
def written(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "page.html"
    WRITERS[request.param](path)
    return path


@pytest.fixture
def visit(contexts, written):
    """A page of every kind, when it has drawn."""
    opened = []

    def open_page(**options):
        page = contexts(**options).new_page()
        opened.append(page)
        page.goto(written.as_uri())
        if page.evaluate("'jumok' in window"):
            page.wait_for_function("() => window.jumok.shown")
        return page

    yield open_page
    for page in opened:
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(visit, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python (dev)").Axe()
    page = visit(color_scheme=scheme)
    for details in page.locator("details").all():
        details.evaluate("each => { each.open = true; }")
    page.evaluate("document.getAnimations().forEach((each) => each.finish())")
    found = axe.run(page).response["violations"]
    told = [f"{rule['id']}: {node['html'][:160]}: {node['failureSummary']}" for rule in found for node in rule["nodes"]]
    assert told == []


def test_one_main_and_headings_that_skip_no_level(visit):
    page = visit()
    assert page.locator("main").count() == 1
    assert page.locator("html").get_attribute("lang") == "en"
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3, h4')].filter((each) => each.checkVisibility())"
        ".map((each) => Number(each.tagName[1]))"
    )
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


@pytest.mark.parametrize("written", ["look", "alignment", "questions", "reading"], indirect=True)
def test_the_map_is_few_tabs_away_however_many_there_are_to_choose_among(visit):
    page = visit()
    seen = "[...document.querySelectorAll('.skip')].every((each) => each.getBoundingClientRect().bottom <= 0)"
    assert page.evaluate(seen), "out of sight until it is reached"
    for _ in range(5):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.skip')"):
            page.keyboard.press("Enter")
        if page.evaluate("document.activeElement.closest('#stage, #words') !== null"):
            return
    pytest.fail("not within 5 Tabs")


def test_korean_is_marked_as_such(visit, written):
    page = visit()
    without = page.evaluate(
        "() => { const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); const found = [];"
        " while (walker.nextNode()) { const element = walker.currentNode.parentElement;"
        "  if (/[가-힣]/.test(walker.currentNode.data) && !element.closest('[lang=ko], script, option')"
        "      && element.checkVisibility()) found.push(element.outerHTML.slice(0, 200)); }"
        " return found; }"
    )
    assert without == []


def test_on_paper_nothing_is_cut_off_and_no_control_is_left(visit):
    page = visit(width=720, height=1000)
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") in ("light", "light dark", "normal")
    shown = page.evaluate(
        "[...document.querySelectorAll('input[type=search], input[type=range], .skip, .press')]"
        ".filter((each) => each.checkVisibility()).map((each) => each.id || each.className)"
    )
    assert shown == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 720


@pytest.mark.parametrize("written", ["look", "saliency", "faithful", "texts", "reading", "report"], indirect=True)
def test_a_few_lines_at_the_end_take_no_sheet_of_their_own(visit):
    sheets = re.findall(rb"/Type\s*/Page\b", visit().pdf(format="A4", prefer_css_page_size=True))
    assert len(sheets) == 1


def test_on_paper_a_table_of_many_figures_has_all_its_columns(contexts, tmp_path):
    figures = {f"figure {number}, images/s": Measure("1,590,020", 1, 0.5, 2) for number in range(10)}
    page = ComparisonPage("Side by side", "", dict.fromkeys(figures, "most"), [Column("non-local", "places", figures)])
    page.write(tmp_path / "page.html")
    opened = contexts(width=700).new_page()
    opened.goto((tmp_path / "page.html").as_uri())
    opened.emulate_media(media="print")
    right = "Math.max(...[...document.querySelectorAll('.figures th')].map((e) => e.getBoundingClientRect().right))"
    assert opened.evaluate(right) <= 700
    opened.close()


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_nothing_but_a_wide_table_sticks_out(visit, written, width):
    page = visit(width=width)
    if "comparison" not in str(written):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
