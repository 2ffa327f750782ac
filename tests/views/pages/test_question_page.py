"""The page of questions as a file: what it holds, how exactly, and that nothing gets out of it."""

import base64
import re
import zlib

import numpy as np
import pytest
import torch
from page_text import block, data_of
from synthetic_questions import GRID, KOREAN, a_question, relevance, shapes

from jumok.attention import AttentionMap, One, Patches, Pixels, Tokens
from jumok.errors import JumokError
from jumok.views.pages.html_file import PAGE_BYTES
from jumok.views.pages.question_page import QuestionPage
from jumok.views.pictures.question_picture import Asked

HOSTILE = "</script><script>alert(1)</script><!--"


def text_of(tmp_path, *images, title="T", **options):
    """The page of (image, questions, name)s, or of one image with the questions given."""
    page = QuestionPage(title, **options)
    for image, questions, name in images:
        page.add(image, questions, name=name)
    page.write(tmp_path / "page.html")
    return (tmp_path / "page.html").read_text("utf-8")


def rows_of(text, name, about):
    """(rows, places), by the description at the head of packing.py."""
    raw = zlib.decompress(base64.b64decode(block(text, name)), -15)
    rows, places, special = (
        about["queries"]["rows"],
        about["keys"]["rows"] * about["keys"]["columns"],
        about["keys"]["special"],
    )
    peaks = np.frombuffer(raw, "<f4", rows).reshape(rows, 1)
    spreads = rows if about["spread"] else 0
    offset = peaks.nbytes + 4 * rows * len(special) + 2 * spreads
    return np.frombuffer(raw, "u1", offset=offset).reshape(rows, places) / 255 * peaks


def test_all_looks_and_where_each_word_looked_are_held_within_half_a_step(tmp_path):
    question = a_question()
    text = text_of(tmp_path, (shapes(), [question], ""))
    (held,) = data_of(text)["images"][0]["questions"]
    assert held["names"] == ["hop 1", "hop 2"]
    for kind, abouts, maps in (("look", held["looks"], question.looks), ("words", held["byWord"], question.by_word)):
        for number, each in enumerate(maps.values()):
            about = abouts[number] if kind == "look" else abouts[str(number)]
            difference = np.abs(rows_of(text, f"{kind}-0-0-{number}", about) - each.weights.double().numpy())
            assert (difference <= each.weights.amax(-1, keepdim=True).numpy() / 510 * (1 + 1e-6)).all()
            assert difference.max() <= held["error"] * (1 + 1e-9)


def test_words_answers_weights_and_truth_are_held_as_given(tmp_path):
    question = a_question(**{**KOREAN, "words": ("\u1112\u1161\u11ab", *KOREAN["words"][1:])}, note="a note")
    (held,) = data_of(text_of(tmp_path, (shapes(), [question], "a.png")))["images"][0]["questions"]
    assert held["words"] == ["한", *KOREAN["words"][1:]], "Korean in whole syllables"
    assert held["answers"] == [["사각형", 0.61, False], ["삼각형", 0.33, True], ["원", 0.06, False]]
    assert held["weights"] == pytest.approx(question.weights.weights[0].tolist())
    assert (held["truth"], held["note"], held["mattered"]) == ("삼각형", "a note", "relevance")
    assert held["lost"] == {"looks": 0, "words": 0}


def test_words_may_look_by_some_of_the_looks_alone(tmp_path):
    question = a_question(by_word={"hop 2": a_question().by_word["hop 2"]})
    (held,) = data_of(text_of(tmp_path, (shapes(), [question], "")))["images"][0]["questions"]
    assert list(held["byWord"]) == ["1"]


def test_pixels_finer_than_a_page_can_show_are_averaged(tmp_path):
    pixels = Pixels(512, 512)
    whole = AttentionMap(torch.rand(1, len(pixels)), One("q"), pixels)
    words = AttentionMap(torch.rand(2, len(pixels)), Tokens(("a", "b")), pixels)
    question = Asked("a b", ("a", "b"), [("yes", 1.0)], {"saliency": whole}, {"saliency": words})
    text = text_of(tmp_path, (shapes(), [question], ""))
    (held,) = data_of(text)["images"][0]["questions"]
    for name, about, given in (("look", held["looks"][0], whole), ("words", held["byWord"]["0"], words)):
        mean = given.weights.view(-1, 256, 2, 256, 2).mean((2, 4)).flatten(1).numpy()
        assert rows_of(text, f"{name}-0-0-0", about) == pytest.approx(mean, abs=1 / 500)


def test_a_system_that_sees_no_image_and_knows_no_weights_is_held(tmp_path):
    question = Asked("", ("",), [("yes", 0.5)])
    (held,) = data_of(text_of(tmp_path, (shapes(), [question], "")))["images"][0]["questions"]
    assert (held["looks"], held["byWord"], held["weights"], held["error"]) == ([], {}, None, 0)


def test_hostile_text_stays_text(tmp_path):
    looks = {HOSTILE: AttentionMap(relevance().weights, One(HOSTILE), Patches(*GRID), source=HOSTILE)}
    weights = AttentionMap(torch.ones(1, 2), One("a"), Tokens((HOSTILE, "")), source=HOSTILE)
    question = Asked(HOSTILE, [HOSTILE, "\udcff"], [(HOSTILE, 1.0)], looks, {}, weights, HOSTILE, HOSTILE)
    text = text_of(tmp_path, (shapes(), [question], HOSTILE), title=HOSTILE)
    assert "<script>alert" not in text
    assert text.count("</script>") == text.count("<script")
    assert data_of(text)["images"][0]["questions"][0]["words"] == [HOSTILE, "?"]


def test_the_file_asks_for_nothing_outside_and_runs_its_own_script_alone(tmp_path):
    text = text_of(tmp_path, (shapes(), [a_question()], ""))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    outside = [url for url in re.findall(r"https?://[^\s\"'<>)]+", text) if url != "http://www.w3.org/2000/svg"]
    assert outside == []
    assert "<noscript>" in text


def noise(side=300, seed=0):
    return torch.randint(0, 256, (3, side, side), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def noisy(seed):
    """A question whose maps deflation cannot make small."""
    generator = torch.Generator().manual_seed(seed)
    words = ("a", "b", "c", "d")
    looks, by_word = {}, {}
    for name in ("hop 1", "hop 2"):
        looks[name] = AttentionMap(torch.rand(1, 400, generator=generator), One("q"), Patches(20, 20))
        by_word[name] = AttentionMap(torch.rand(4, 400, generator=generator), Tokens(words), Patches(20, 20))
    return Asked("a b c d", words, [("yes", 1.0)], looks, by_word)


def test_a_large_page_keeps_the_budget_and_what_gave_way_is_told(tmp_path):
    budget = PAGE_BYTES + 1_200_000
    images = [(noise(seed=number), [noisy(9 * number + place) for place in range(9)], "") for number in range(8)]
    text = text_of(tmp_path, *images, budget=budget)
    assert len(text.encode()) <= budget
    lost = [question["lost"] for image in data_of(text)["images"] for question in image["questions"]]
    assert lost[0] == {"looks": 0, "words": 0}, "the first keep all"
    assert lost[-1]["words"] == 2, "the last keep no words"
    assert [each["words"] for each in lost] == sorted(each["words"] for each in lost)
    first = rows_of(text, "look-7-8-0", data_of(text)["images"][7]["questions"][8]["looks"][0])
    assert np.abs(first - noisy(71).looks["hop 1"].weights.numpy()).max() < 1 / 500


def test_thumbnails_and_first_looks_are_kept_in_any_case(tmp_path):
    text = text_of(tmp_path, (noise(), [noisy(0)], ""), budget=1)
    (image,) = data_of(text)["images"]
    assert image["smaller"] is True
    assert block(text, "thumb-0").startswith("data:image/")
    assert block(text, "image-0") == ""
    assert image["questions"][0]["lost"] == {"looks": 1, "words": 2}
    assert len(image["questions"][0]["looks"]) == 1


def test_what_cannot_be_added_is_said_with_the_images_name(tmp_path):
    page = QuestionPage("T")
    page.add(shapes(), [a_question()])
    with pytest.raises(JumokError, match="image 2: a page shows a sequence of one question or more, got list"):
        page.add(shapes(), [])
    with pytest.raises(JumokError, match=r"a\.png: .* got Asked"):
        page.add(shapes(), a_question(), name="a.png")
    with pytest.raises(JumokError, match=r"a\.png: an image is uint8"):
        page.add(torch.zeros(3, 8, 8), [a_question()], name="a.png")
    assert len(page) == 1


def test_an_empty_page_and_an_empty_budget_are_refused(tmp_path):
    with pytest.raises(JumokError, match="at least one image"):
        QuestionPage("T").write(tmp_path / "page.html")
    with pytest.raises(JumokError, match="budget"):
        QuestionPage("T", budget=0)
