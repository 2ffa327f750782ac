from __future__ import annotations

import unicodedata
import warnings

import pytest

from jumok.views.pictures import fonts
from jumok.views.pictures.fonts import PLAIN_FONT, choose_families, compose


def test_plain_names_need_no_other_font():
    assert choose_families(["scratch", "Blëch", "naïve α → β", ""]) == [PLAIN_FONT]
    assert choose_families([]) == [PLAIN_FONT]


def test_korean_gets_a_font_that_has_its_letters():
    if fonts._find_family(frozenset(map(ord, "긁힘똠방"))) is None:
        pytest.skip("no Korean font is installed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = choose_families(["긁힘", "똠방 각하"])
    assert first == PLAIN_FONT
    assert frozenset(map(ord, "긁힘똠방각하")) <= fonts._list_glyphs(second)


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
    with pytest.warns(UserWarning, match=advice) as caught:
        assert choose_families([name]) == [PLAIN_FONT]
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)


def test_a_family_that_is_gone_has_no_glyphs():
    assert fonts._list_glyphs("No Such Family At All") == frozenset()


class _Font:
    def __init__(self, name: str) -> None:
        self.name = name
