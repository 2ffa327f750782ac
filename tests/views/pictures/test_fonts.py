from __future__ import annotations

import unicodedata
import warnings

import pytest

from jumok.views.pictures import fonts
from jumok.views.pictures.fonts import PLAIN_FONT, choose_families, compose


def test_plain_names_need_no_other_font():
    assert choose_families(["scratch", "Blëch", "naïve α → β", ""]) == [PLAIN_FONT]
    assert choose_families([]) == [PLAIN_FONT]


def test_korean_gets_a_font_that_has_its_letters_on_any_machine():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = choose_families(["긁힘", "똠방 각하"])
    assert first == PLAIN_FONT
    assert frozenset(map(ord, "긁힘똠방각하")) <= fonts._list_glyphs(second)


def test_a_font_that_matplotlibs_list_does_not_know_yet_is_found(monkeypatch):
    """A fresh list has those of the machine; a stale one was made before any Korean font was there."""
    stale = [font for font in fonts.fontManager.ttflist if font.name == PLAIN_FONT]
    monkeypatch.setattr(fonts.fontManager, "ttflist", stale)
    fonts._add_fonts.cache_clear()
    fonts._list_glyphs.cache_clear()
    fonts.fontManager._findfont_cached.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(choose_families(["긁힘"])) == 2
    monkeypatch.undo()
    for cached in (fonts._add_fonts, fonts._list_glyphs, fonts.fontManager._findfont_cached):
        cached.cache_clear()


def test_the_font_of_boxes_is_never_chosen():
    assert any(font.name.startswith(fonts.OF_BOXES) for font in fonts.fontManager.ttflist), "it comes with matplotlib"
    assert fonts._find_family(frozenset([0x12000])) is None, "cuneiform, which it alone would have"


def test_a_font_file_that_is_damaged_is_passed_over(tmp_path):
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    assert not fonts._add_font(str(tmp_path / "broken.ttf"), frozenset([0xAC00]))


def test_decomposed_korean_is_composed():
    name = unicodedata.normalize("NFD", "찍힘")
    assert compose(name) == "찍힘"
    assert choose_families([name]) == choose_families(["찍힘"])


def test_the_preferred_family_comes_first(monkeypatch):
    families = {"A Serif": "가", "Noto Sans KR": "가", "Zed": "가나"}
    monkeypatch.setattr(fonts, "fontManager", type("Fonts", (), {"ttflist": [_Font(name) for name in families]}))
    monkeypatch.setattr(fonts, "_list_glyphs", lambda name: frozenset(map(ord, families.get(name, "abc"))))
    assert choose_families(["a가"]) == [PLAIN_FONT, "Noto Sans KR"]
    assert choose_families(["a나"]) == [PLAIN_FONT, "Zed"]


@pytest.mark.parametrize(("name", "advice"), [("긁힘", "fonts-nanum"), ("傷", "fonts-noto-cjk")])
def test_without_a_font_one_line_says_what_to_install(monkeypatch, name, advice):
    monkeypatch.setattr(fonts, "_find_family", lambda _codes: None)
    monkeypatch.setattr(fonts, "_add_fonts", lambda codes: False)
    with pytest.warns(UserWarning, match=advice) as caught:
        assert choose_families([name]) == [PLAIN_FONT]
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)


def test_a_family_that_is_gone_has_no_glyphs():
    assert fonts._list_glyphs("No Such Family At All") == frozenset()


class _Font:
    def __init__(self, name: str) -> None:
        self.name = name
