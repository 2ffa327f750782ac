import pytest

from jumok.data.texts import survey as surveying
from jumok.data.texts.survey import survey


def test_words_signs_and_characters_are_counted():
    found = survey(["Well, well!", "no"], ["well, oh"])
    assert (found.characters, found.alphabet) == (6.5, 9)
    assert (found.words, found.types) == (5, 5)
    assert found.new == pytest.approx(1 / 3)  # the comma of "Well," joins on one side, and so it does here
    assert found.repeats == 1


def test_text_that_comes_again_is_not_new():
    texts = ["그는 집에 갔다."] * 3
    found = survey(texts, texts)
    assert (found.new, found.repeats) == (0, 3)


def test_a_large_text_is_looked_at_in_part(monkeypatch):
    monkeypatch.setattr(surveying, "MOST_SENTENCES", 2)
    assert survey(["a", "b", "c", "d"], ["a", "a", "b", "b"]).types == 2


def test_nothing_is_surveyed_too():
    assert survey([], []).new == 0
