from __future__ import annotations

import unicodedata
import warnings
from pathlib import Path

import pytest
from matplotlib.font_manager import FontProperties

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


@pytest.fixture
def stale_list(monkeypatch):
    """matplotlib's list of fonts as it was before any Korean font was there."""
    caches = fonts._add_fonts, fonts._list_glyphs, fonts._forget_removed_fonts, fonts.fontManager._findfont_cached
    stale = [font for font in fonts.fontManager.ttflist if font.name == PLAIN_FONT]
    monkeypatch.setattr(fonts.fontManager, "ttflist", stale)
    for cached in caches:
        cached.cache_clear()
    yield stale
    monkeypatch.undo()
    for cached in caches:
        cached.cache_clear()


def test_a_font_that_matplotlibs_list_does_not_know_yet_is_found(stale_list):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(choose_families(["긁힘"])) == 2


def test_another_font_is_taken_where_the_listed_one_was_removed(stale_list, tmp_path):
    gone = fonts.FontEntry(fname=str(tmp_path / "gone.ttf"), name="NanumGothic", style="normal", weight=400)
    stale_list.append(gone)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(choose_families(["긁힘"])) == 2
    assert gone not in fonts.fontManager.ttflist


def test_a_family_without_the_weight_that_is_asked_for_is_used_without_a_word(stale_list, caplog):
    """One whose bold face alone is installed, or a variable font whose first weight is Thin."""
    path = next(fonts._list_packaged_fonts())
    stale_list.append(fonts.FontEntry(fname=path, name="NanumGothic", style="normal", weight=600))
    family = choose_families(["긁힘"])
    assert family == [PLAIN_FONT, "NanumGothic"]
    found = fonts.fontManager._find_fonts_by_props(FontProperties(family=family, weight="normal"))
    assert [Path(str(font)).name for font in found][1:] == [Path(path).name]
    assert not caplog.records


def test_of_new_fonts_the_plainest_of_the_preferred_family_is_taken(stale_list, monkeypatch):
    """The first file that is met may be another family's, or a bold face."""
    entries = {"serif.ttf": ("A Serif", 400), "bold.ttf": ("NanumGothic", 600), "plain.ttf": ("NanumGothic", 400)}

    def add(path, _codes):
        name, weight = entries[path]
        stale_list.append(fonts.FontEntry(fname=path, name=name, style="normal", weight=weight))
        return True

    monkeypatch.setattr(fonts, "findSystemFonts", lambda: list(entries))
    monkeypatch.setattr(fonts, "_add_font", add)
    glyphs = {"plain.ttf": "긁힘", "bold.ttf": "긁힘", "serif.ttf": "긁힘"}
    monkeypatch.setattr(fonts, "get_font", lambda path: _Face(glyphs.get(path, "abc")))
    assert choose_families(["긁힘"]) == [PLAIN_FONT, "NanumGothic"]
    assert min(font.weight for font in stale_list if font.name == "NanumGothic") == 400


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


class _Face:
    def __init__(self, letters: str) -> None:
        self.letters = letters

    def get_charmap(self) -> dict[int, int]:
        return {ord(letter): 1 for letter in self.letters}
