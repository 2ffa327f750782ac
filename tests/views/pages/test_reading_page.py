"""The page of texts: what it keeps of short and long ones, and what a visitor sees of it."""

import math

import pytest
import torch
from browser_visit import HOSTILE, Visit, check_light_and_dark, check_old_browser, needs_browser

from jumok.attention import AttentionMap, Scale, Tokens
from jumok.attention.colour_range import EVEN
from jumok.errors import JumokError
from jumok.views.pages import packed_rows
from jumok.views.pages.packed_rows import choose_form
from jumok.views.pages.reading_page import ReadingEntry, ReadingPage, ReadingSheet, Shown, Told

WORDS = ("[CLS]", "the", "oven", "was", "good", "[SEP]")
WRITTEN = ("그리고", " ", "뜨거웠다")


def tokens(words=WORDS):
    return [Shown(word, special=word.startswith("[")) for word in words]


def attention(rows, columns, heads=3, seed=0):
    scores = 3 * torch.randn(heads, len(rows), len(columns), generator=torch.Generator().manual_seed(seed))
    axes = Tokens(tuple(each.text for each in rows)), Tokens(tuple(each.text for each in columns))
    return AttentionMap(scores.softmax(-1), *axes, ("head",), Scale.DISTRIBUTION, f"layer {seed}")


def sheet(rows=None, columns=None, layers=2, rollout=True, **changes):
    rows, columns = rows or tokens(), columns or tokens()
    maps = [attention(rows, columns, seed=seed) for seed in range(layers)]
    rolled = maps[0].mean("head") if rollout else None
    return ReadingSheet("Self-attention", rows, columns, [each.source for each in maps], maps, rolled, **changes)


def classified(**changes):
    told = [Told("good", 0.75, [("good", 0.75), ("bad", 0.25)], [0.0, 0.1, 0.5, -0.2, 1.0, 0.0])]
    return ReadingEntry("the oven was good", tokens(), [sheet()], "Predicted class", told, method="libra", **changes)


def written():
    rows, count = tokens(WRITTEN), len(WORDS) + len(WRITTEN)
    told = [
        Told(word, 0.5, [(word, 0.5)], torch.linspace(-1, number, count).tolist())
        for number, word in enumerate(WRITTEN)
    ]
    read = [*tokens(), *rows[:-1]]
    return ReadingEntry("한국어", tokens(), [sheet(rows, read), sheet(rollout=False)], "Written", told, rows, "libra")


def met():
    scores = AttentionMap(torch.tensor([[0.5, -0.25]]), Tokens(("고양이",)), Tokens(("cat", "mat")), (), Scale.SCORE)
    pair = ReadingSheet(
        "Words that met", tokens(["고양이"]), tokens(["cat", "mat"]), ["Words that met"], [scores], scores=True
    )
    return ReadingEntry("고양이 ↔ cat mat", pair.queries, [pair], note="Cosine similarity 0.250.")


def test_the_form_follows_the_size():
    assert choose_form(12, 12, 128, 128).name == "all"
    assert choose_form(12, 12, 512, 512) == packed_rows.Form("top", 24)
    assert choose_form(12, 12, 2048, 2048) == packed_rows.Form("means", 64)
    assert choose_form(32, 32, 64, 2048).name == "top"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": []}, "1 to 2,048 tokens a side, got 0"),
        ({"text": tokens(["a"] * 2049)}, "1 to 2,048 tokens a side, got 2,049"),
        ({"sheets": []}, "no sheet to show"),
        ({"told": [Told("good", 1.0, (), [1.0])]}, "has 1 values for 6 tokens"),
        ({"sheets": [sheet(columns=tokens(["a"]))]}, None),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    page, entry = ReadingPage("주목"), classified()
    values = {name: getattr(entry, name) for name in entry.__dataclass_fields__} | change
    if message is None:
        page.add(ReadingEntry(**values))
        return
    with pytest.raises(JumokError, match=message):
        page.add(ReadingEntry(**values))


class ReadingVisit(Visit):
    """A visit to a page of texts."""

    def word(self, side, index):
        return self.page.locator(f"#stage [data-side={side}][data-index='{index}']")

    def choose(self, name, label):
        self.page.locator(f"#{name}").select_option(label=label)

    def view(self, name):
        self.page.locator("#views label", has_text=name).click()


@pytest.fixture
def visit(open_file):
    def open_page(*entries, **options):
        page = ReadingPage(HOSTILE)
        for each in entries or (classified(),):
            page.add(each)
        return open_file(ReadingVisit, page, **options)

    return open_page


@needs_browser
def test_a_word_shows_the_weights_of_its_row_in_the_chosen_layer_and_head(visit):
    page = visit()
    assert page.until("s.view === 'lines'")["layer"] == 1
    weights = attention(tokens(), tokens(), seed=1).weights
    page.word("query", 2).hover()
    seen = page.until("s.word && s.word.index === 2")
    assert seen["row"] == pytest.approx(weights.mean(0)[2].tolist(), abs=1 / 255)
    page.choose("head", "Head 3")
    page.word("query", 4).hover()
    seen = page.until("s.head === 2 && s.word && s.word.index === 4")
    assert seen["row"] == pytest.approx(weights[2, 4].tolist(), abs=1 / 255)
    page.word("key", 1).hover()
    seen = page.until("s.word && s.word.side === 'key'")
    assert seen["row"] == pytest.approx(weights[2, :, 1].tolist(), abs=1 / 255)
    page.choose("layer", "1 · layer 0")
    page.word("query", 0).click()
    seen = page.until("s.layer === 0 && s.pinned")
    assert seen["row"] == pytest.approx(attention(tokens(), tokens()).weights[2, 0].tolist(), abs=1 / 255)
    page.choose("layer", "Rollout over all layers")
    assert page.until("s.layer === 'rollout'")["head"] == 2
    assert "off by" in page.text("#stored")


@needs_browser
def test_two_texts_side_by_side_are_counted_once(visit):
    pair = ReadingEntry("one ↔ other", tokens(), [sheet()], note="Cosine similarity 0.9.", pair=True)
    assert visit(pair, classified(), classified()).text("#count") == "2 texts"
    assert visit(classified()).text("#count") == ""


@needs_browser
def test_nearly_even_weights_look_pale_and_the_page_says_so(visit):
    weights = torch.full((1, 6, 6), 1 / 6)
    weights[0, 2, 2] = 0.2
    axes = Tokens(WORDS), Tokens(WORDS)
    even = AttentionMap(weights, *axes, ("head",), Scale.DISTRIBUTION, "layer 0")
    page = visit(
        ReadingEntry("the", tokens(), [ReadingSheet("Self-attention", tokens(), tokens(), ["0"], [even], None)])
    )
    assert page.until()["top"] == pytest.approx(EVEN * float(weights.mean()), rel=0.02)
    assert "nearly even: the strongest shade stands for twice their mean, 0.34" in page.text("#scaled")
    page.view("Matrix")
    page.until("s.view === 'matrix'")
    assert "Who reads stands on the left" in page.text("#scaled")
    page.view("Lines")
    page.until("s.view === 'lines'")
    page.word("query", 2).hover()
    assert page.until("s.word")["top"] == pytest.approx(0.2, abs=0.01), "one word's own weights reach their largest"


@needs_browser
def test_keys_move_pin_and_free(visit):
    page = visit()
    page.until()
    page.word("query", 0).focus()
    page.page.keyboard.press("ArrowDown")
    assert page.until("s.word && s.word.index === 1")["word"]["side"] == "query"
    page.page.keyboard.press("ArrowRight")
    best = attention(tokens(), tokens(), seed=1).weights.mean(0)[1].argmax()
    assert page.until("s.word && s.word.side === 'key'")["word"]["index"] == int(best)
    page.page.keyboard.press("Enter")
    page.until("s.pinned")
    page.page.keyboard.press("Escape")
    assert page.until("!s.pinned")["word"] is None
    page.view("Matrix")
    page.page.locator("canvas").focus()
    page.page.keyboard.press("ArrowDown")
    assert page.until("s.view === 'matrix' && s.word")["word"] == {"side": "query", "index": 1}


@needs_browser
def test_special_tokens_are_set_aside(visit):
    page = visit()
    page.until()
    page.page.locator("#aside").check()
    page.word("query", 3).hover()
    row = attention(tokens(), tokens(), seed=1).weights.mean(0)[3]
    seen = page.until("s.word && s.word.index === 3")
    assert seen["top"] == pytest.approx(float(row[1:5].max()), abs=1 / 255)
    assert "set aside" in page.text("#rest")


@needs_browser
def test_a_word_that_was_written_shows_what_it_was_written_for(visit):
    page = visit(written())
    assert page.until()["word"] == {"side": "query", "index": 0}
    page.page.locator(".wrote").nth(2).click()
    seen = page.until("s.answer === 2")
    assert seen["word"] == {"side": "query", "index": 2}
    assert "뜨거웠다" in page.text("#asked")
    assert page.page.locator(".wrote").nth(1).inner_text() == "␣"
    page.view("Text")
    page.word("query", 1).click()
    assert page.until("s.view === 'text' && s.answer === 1")["pinned"]


@needs_browser
def test_two_sentences_have_signs(visit):
    page = visit(met(), classified())
    page.until("s.sheet === 'Words that met'")
    page.word("query", 0).hover()
    assert page.until("s.word")["row"] == pytest.approx([0.5, -0.25], abs=0.005)
    assert page.page.locator("path.minus").count() == 1
    assert "0.250" in page.text("#note")
    page.page.locator("#find").fill("oven")
    page.page.locator("#list button").click()
    page.until("s.entry === 1")


@needs_browser
@pytest.mark.parametrize("form", ["top", "means"])
def test_long_texts_keep_the_largest_weights_and_say_so(visit, monkeypatch, form):
    monkeypatch.setattr(packed_rows, "DENSE_WEIGHTS", 0)
    monkeypatch.setattr(packed_rows, "SPARSE_WEIGHTS", math.inf if form == "top" else 0)
    monkeypatch.setattr(packed_rows, "KEPT", 3)
    monkeypatch.setattr(packed_rows, "KEPT_OF_MEANS", 3)
    page = visit()
    page.until()
    weights = attention(tokens(), tokens(), seed=1).weights
    page.word("query", 2).hover()
    seen = page.until("s.word")
    kept, places = weights.mean(0)[2].topk(3)
    assert seen["row"] == pytest.approx(torch.zeros(6).scatter(0, places, kept).tolist(), abs=1 / 255)
    assert "of each row the 3 largest weights" in page.text("#kept")
    assert page.page.locator("#head").is_disabled() == (form == "means")
    if form == "top":
        page.choose("head", "Head 2")
        page.word("query", 4).hover()
        kept, places = weights[1, 4].topk(3)
        seen = page.until("s.head === 1 && s.word && s.word.index === 4")
        assert seen["row"] == pytest.approx(torch.zeros(6).scatter(0, places, kept).tolist(), abs=1 / 255)


@needs_browser
def test_light_dark_and_old_browsers(visit):
    check_light_and_dark(visit)
    check_old_browser(visit)
