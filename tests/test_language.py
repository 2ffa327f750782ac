"""Which language texts are shown in, and how they are looked up."""

import io

import pytest
from babel.messages.pofile import read_po

from jumok.errors import JumokError
from jumok.language import find_language, language, later, read_catalogue, speaking, translate, translate_count
from jumok.locale.__main__ import find_catalogue


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "ko"}, "ko"),
        ({"LANG": "en_GB.UTF-8", "LC_MESSAGES": "ko_KR"}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": ""}, "ko"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "kok_IN"}, "en"),
        ({}, "en"),
    ],
)
def test_the_locale_tells_the_language(environment, code):
    assert find_language(environment) == code


def test_texts_are_shown_in_the_language_asked_for_and_in_english_after_that():
    with speaking("ko"):
        assert (language(), translate("Options")) == ("ko", "옵션")
        with speaking(None):
            assert translate("Options") == "옵션"
        with speaking("en"):
            assert translate("Options") == "Options"
    assert translate("Options") == "Options"


def test_a_language_without_texts_is_refused():
    with pytest.raises(JumokError, match=r"'fr': choose en \(English\) or ko"), speaking("fr"):
        pass


def test_a_text_that_is_not_in_the_catalogue_stays_as_it_is():
    with speaking("ko"):
        assert translate("nowhere {to} be found", to="ever") == "nowhere ever be found"
        assert translate_count(2, "{count} nowhere", "{count} nowheres") == "2 nowheres"


def test_what_is_made_of_several_texts_is_translated_part_by_part():
    made = later("{value} for {kind}", value=later("off"), kind=later("images"))
    plain = later("default {value}", value="auto")
    assert (made, plain) == ("off for images", "default auto")
    with speaking("ko"):
        assert translate(made) == "이미지: 끔"
        assert (
            translate(later("{value} for {kind}", value="off", kind="images")) == "images: off"
        )  # names of the user's
        assert translate(plain) == "기본값 auto"  # a value that is typed, though a page calls something "auto", too


def test_the_catalogue_is_read_as_babel_reads_it():
    text = find_catalogue("ko").read_text("utf-8")
    texts = {}
    for message in read_po(io.StringIO(text), "ko"):
        several = isinstance(message.id, tuple)
        if message.id and message.string and not message.fuzzy:
            texts[message.id[0] if several else message.id] = message.string[0] if several else message.string
    assert len(texts) > 300
    assert read_catalogue(text) == texts


def test_signs_plurals_and_unfinished_entries():
    text = (
        'msgid ""\nmsgstr "Language: ko\\n"\n\n#. x\nmsgid "a \\"b\\"\\n"\nmsgstr ""\n"가 \\"나\\"\\n"\n\n'
        'msgid "{count} map"\nmsgid_plural "{count} maps"\nmsgstr[0] "맵 {count}개"\n\n'
        '#, fuzzy\nmsgid "guessed"\nmsgstr "어림"\n\nmsgid "open"\nmsgstr ""\n\n#~ msgid "gone"\n#~ msgstr "없음"\n'
    )
    assert read_catalogue(text) == {'a "b"\n': '가 "나"\n', "{count} map": "맵 {count}개"}
