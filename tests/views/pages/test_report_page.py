"""The report of several steps."""

import pytest
from browser_visit import needs_browser
from PIL import Image

from jumok.errors import JumokError
from jumok.views.pages.report_page import Figure, Section, write_report


@pytest.fixture
def picture(tmp_path):
    place = tmp_path / "report" / "steps" / "사진 1.png"
    place.parent.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(place)
    return place


def test_a_report_shows_its_steps_and_links_what_lies_beside_it(picture, tmp_path):
    page = tmp_path / "report" / "index.html"
    sections = [
        Section("Train", "Text & more.", "jumok train <x>", [Figure("accuracy", "97.5%", "of 400")]),
        Section("Look", pictures=[(picture, "a <b>scratch</b>")], links=[(picture, "the file")]),
    ]
    write_report(page, "Title <1>", "Lead", sections)
    text = page.read_text("utf-8")
    for wanted in (
        "Title &lt;1&gt;",
        "<span>jumok</span> <span>train</span> <span>&lt;x&gt;</span>",
        "97.5%",
        "a &lt;b&gt;scratch&lt;/b&gt;",
        "Text &amp; more.",
    ):
        assert wanted in text
    assert text.count("steps/%EC%82%AC%EC%A7%84%201.png") == 3
    assert "$" not in text
    assert "http" not in text.replace("http-equiv", "")


def test_a_picture_that_is_not_there_or_lies_outside_is_refused(picture, tmp_path):
    page = tmp_path / "report" / "index.html"
    with pytest.raises(JumokError, match="is not there"):
        write_report(page, "t", "l", [Section("s", pictures=[(picture.parent / "none.png", "c")])])
    outside = tmp_path / "outside.png"
    outside.write_bytes(picture.read_bytes())
    with pytest.raises(JumokError, match="lies outside"):
        write_report(page, "t", "l", [Section("s", pictures=[(outside, "c")])])
    assert not page.exists()


def test_a_figure_that_does_not_stand_out_is_marked_as_such(tmp_path):
    page = tmp_path / "index.html"
    figures = [Figure("libra", "0.45"), Figure("edges", "0.38", strong=False)]
    write_report(page, "Title", "Lead", [Section("Measure", figures=figures)])
    text = page.read_text("utf-8")
    assert "<div><dt>libra</dt>" in text
    assert "<div class='weak'><dt>edges</dt>" in text


@needs_browser
def test_a_command_breaks_between_its_words_and_the_waiting_line_is_as_wide_as_the_steps(contexts, tmp_path):
    page = tmp_path / "index.html"
    command = "jumok sample inspection demo/images/data --train 3000 --val 200 --test 400"
    write_report(page, "Title", "Lead", [Section("The data", command=command)], waiting=["train"])
    shown = contexts(width=390, height=844).new_page()
    shown.goto(page.as_uri())
    words = shown.locator("pre span")
    assert words.all_inner_texts() == command.split()
    assert {words.nth(number).evaluate("word => word.getClientRects().length") for number in range(words.count())} == {
        1
    }
    assert shown.locator("pre").inner_text().split() == command.split()
    assert shown.locator(".waiting").bounding_box()["width"] == shown.locator("section").bounding_box()["width"]
    shown.close()
