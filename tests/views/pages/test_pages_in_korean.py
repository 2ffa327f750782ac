"""Every kind of page in Korean: nothing that the page itself says is left in English."""

import re

import pytest
import torch
from browser_visit import HOSTILE, needs_browser
from test_pages_accessible import WRITERS

from jumok.attention import AttentionMap, Tokens
from jumok.language import speaking, translate
from jumok.views.pages.comparison_page import QUESTIONS, Column, ComparisonPage, Measure
from jumok.views.pages.page_texts import find_html_texts, find_script_texts, translate_html, translate_script
from jumok.views.pages.reading_page import ReadingEntry, ReadingPage, ReadingSheet, Shown, Told

pytestmark = needs_browser

GIVEN = {
    # whole lines and cells that the writers give: titles, headings, remarks
    *(
        "Who looks at whom",
        "Questions",
        "Side by side",
        "All of it.",
        "Measured",
        "Which words spoke",
        "Images",
        "Demo",
    ),
    *(
        "What stands out",
        "1 object",
        "vit-tiny",
        "ram",
        "cannot be trained",
        "patches",
        "places",
        "accuracy",
        "weights",
    ),
    *("a map without a model", "Near duplicates", "3 images", "2 groups", "images", "1 image is blank", "map"),
    *("Do the maps show what the model used?", "8 images", "true class: 꽃", "SRG, mean", "It looks.", "jumok look"),
    *("filling blur hardly changes the answer", "Look", "guessing: 50%", f"{HOSTILE}: beats an edge map", HOSTILE),
}
NAMES = re.compile(
    # files, methods, tokens, fillings, intervals, layers, commands, keys, units, and words of the sentence that is
    # translated
    r"[\w가-힣/.-]+\.(png|jpg)|\b(rollout|chefer|saliency/x|cls|hop 1|random|edges|centre|mean|blur|noisy-linear)\b"
    r"|\(\d\.\d\d to \d\.\d\d\)|blocks\.\d\.attn|jumok \d+\.\d+\.\d+"
    r"|\b(measure|compare|SRG|AER|nats|Esc|Enter|Tab|exp|kB|MB|I|the|white|cat)\b",
    re.ASCII,
)


def english_in(text):
    """The lines in which English is left when what was given, and names, are taken out."""
    left = {}
    for line in re.split(r"[\n\t]", text):
        rest = NAMES.sub(" ", line.strip())
        if line.strip() not in GIVEN and re.search("[A-Za-z]{2}", rest):
            left[line.strip()] = rest.strip()
    return left


SAID = """() => {
  const told = [document.body.innerText, document.title];
  const names = ["aria-label", "title", "placeholder", "aria-roledescription"];
  for (const each of document.querySelectorAll("*")) {
    told.push(...names.map((name) => each.getAttribute(name) ?? ""));
    if (each.tagName === "OPTION") told.push(each.textContent);
  }
  return told.join("\\n");
}"""


def write_reading(path):
    words = ("이", "영화는", "좋다")
    tokens, weights = [Shown(word) for word in words], torch.rand(2, 3, 3).softmax(-1)
    maps = [AttentionMap(weights, Tokens(words), Tokens(words), ("head",)) for _ in range(2)]
    sheet = ReadingSheet("셀프 어텐션", tokens, tokens, ["blocks.0.attn", "blocks.1.attn"], maps, maps[0].mean("head"))
    told = Told("긍정", 0.75, [("긍정", 0.75), ("부정", 0.25)], [0.5, -0.25, 1.0])
    page = ReadingPage("읽기")
    for number in range(2):
        page.add(ReadingEntry(f"글 {number}", tokens, [sheet], "예측 클래스", [told], method="chefer"))
    page.write(path)


ALL_WRITERS = {**WRITERS, "reading": write_reading}


@pytest.fixture(scope="module", params=ALL_WRITERS)
def written(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "page.html"
    with speaking("ko"):
        ALL_WRITERS[request.param](path)
    return path


@pytest.fixture
def page(contexts, written):
    opened = contexts().new_page()
    complaints = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(written.as_uri())
    if opened.evaluate("'jumok' in window"):
        opened.wait_for_function("() => window.jumok.shown")
    yield opened
    assert complaints == []
    opened.close()


def test_no_english_is_left(page):
    assert page.locator("html").get_attribute("lang") == "ko"
    for details in page.locator("details").all():
        details.evaluate("each => { each.open = true; }")
    assert english_in(page.evaluate(SAID)) == {}


def test_nothing_sticks_out_on_a_phone(contexts, written):
    widths = {}
    for language in ("ko", "en"):
        opened = contexts(width=390, height=844).new_page()
        opened.goto(written.as_uri())
        if language == "en":
            opened.evaluate("document.documentElement.lang = 'en'")
        widths[language] = opened.evaluate("document.documentElement.scrollWidth")
        opened.close()
    assert widths["ko"] <= max(390, widths["en"])


def test_names_that_users_give_stay_as_they_are(tmp_path):
    """A kind of question, a class or a file may be called as a text of the catalogue is."""
    figures = {"accuracy": Measure("80%", 0.8)}
    columns = [Column("Options", "patches", figures, parts={"image": Measure("80%", 0.8)}) for _ in range(2)]
    with speaking("ko"):
        page = ComparisonPage("Images", "Train", {"accuracy": "most"}, columns, QUESTIONS)
        page.write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "<h1>Images</h1>" in text
    assert '<p class="lead">Train</p>' in text
    assert '<th scope="col">image</th>' in text
    assert '<th scope="col">정확도' in text
    assert text.count("<b>Options</b>") == 6


def test_english_that_is_left_is_found():
    assert english_in("맵: rollout(cls)\nWhere cls looks · 레이어 1") == {
        "Where cls looks · 레이어 1": "Where   looks · 레이어 1"
    }


def test_texts_of_html_keep_their_surroundings():
    template = '<style>p { color: red }</style><p title="Key: I">\n  <b class="Layer">Layer</b> $name <i>Head</i>\n</p>'
    assert list(find_html_texts(template)) == ["Key: I", "Layer", "$name", "Head"]
    with speaking("ko"):
        assert translate_html(template) == template.replace("Key: I", "키: I").replace(">Layer<", ">레이어<").replace(
            "Head", "헤드"
        )
    assert translate_html(template) == template


def test_scripts_take_only_their_own_texts_with_them():
    script = 'say("x", translate("Summary"), translateCount(n, "{count} image shown", "{count} images shown"));'
    assert list(find_script_texts(script)) == [("Summary",), ("{count} image shown", "{count} images shown")]
    assert translate_script(script) == {}
    with speaking("ko"):
        assert translate_script(script) == {"Summary": "요약", "{count} image shown": translate("{count} image shown")}
