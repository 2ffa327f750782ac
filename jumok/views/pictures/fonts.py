"""Fonts for the names that users give: matplotlib's own has no Korean."""

from __future__ import annotations

import logging
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from matplotlib.font_manager import FontEntry, findSystemFonts, fontManager, get_font, weight_dict

PLAIN_FONT = "DejaVu Sans"  # comes with matplotlib
PREFERRED_FONTS = (
    "NanumGothic",
    "NanumBarunGothic",
    "Noto Sans CJK KR",
    "Noto Sans KR",
    "Malgun Gothic",
    "Apple SD Gothic Neo",
    "AppleGothic",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
)
PACKAGE, PACKAGED_FONT = "koreanize_matplotlib", "fonts/NanumGothic.ttf"
"""A font under the SIL Open Font License 1.1 for machines that have none; the package itself is not imported."""
REGULAR = 400
OF_BOXES = "Last Resort"
"""Comes with matplotlib, and has a box for every character."""


def _is_worth_saying(record: logging.LogRecord) -> bool:
    """Whether a line of matplotlib's search for fonts is for readers: not that a family has one weight only."""
    return "Failed to find font weight" not in str(record.msg)


logging.getLogger("matplotlib.font_manager").addFilter(_is_worth_saying)


def compose(text: str) -> str:
    r"""A text as it can be drawn: Korean from file names may be spelt letter by letter, which no font joins.

    >>> len(compose("\u1112\u1161\u11ab"))
    1
    """
    return unicodedata.normalize("NFC", text)


def choose_families(texts: Iterable[str]) -> list[str]:
    """The font families to draw these texts with, best first; glyphs that one lacks come from the next.

    Warns, in one line, when no installed font has the glyphs, and says what to install.
    """
    needed = frozenset(ord(char) for text in texts for char in compose(text) if not char.isspace())
    missing = needed - _list_glyphs(PLAIN_FONT)
    if not missing:
        return [PLAIN_FONT]
    family = _look_for_family(missing)
    if family is not None:
        return [PLAIN_FONT, family]
    letters = "".join(map(chr, sorted(missing)[:8]))
    advice = "fonts-nanum" if any(_is_hangul(code) for code in missing) else "one that does, such as fonts-noto-cjk"
    warnings.warn(f"no installed font has the letters {letters}: install {advice}", stacklevel=2)
    return [PLAIN_FONT]


def have_letters(text: str) -> bool:
    """Whether fonts that are there, or come with the packages that are, have the letters of a text."""
    missing = frozenset(ord(char) for char in compose(text) if not char.isspace()) - _list_glyphs(PLAIN_FONT)
    return not missing or _look_for_family(missing) is not None


def _look_for_family(codes: frozenset[int]) -> str | None:
    """A family that has all of these characters, of those that matplotlib lists or could list."""
    _forget_removed_fonts()
    family = _find_family(codes)
    return _find_family(codes) if family is None and _add_fonts(codes) else family


def _is_hangul(code: int) -> bool:
    return 0xAC00 <= code <= 0xD7A3 or 0x1100 <= code <= 0x11FF or 0x3130 <= code <= 0x318F


def _find_family(codes: frozenset[int]) -> str | None:
    """The first family, of the preferred and then of all, whose regular face has all of these characters."""
    installed = {font.name for font in fontManager.ttflist if not font.name.startswith(OF_BOXES)}
    ranked = [name for name in PREFERRED_FONTS if name in installed]
    ranked += sorted(installed.difference(PREFERRED_FONTS))
    return next((name for name in ranked if codes <= _list_glyphs(name)), None)


@cache
def _forget_removed_fonts() -> None:
    """Take fonts whose files are gone from matplotlib's list, which outlives a run: another may have the glyphs."""
    fontManager.ttflist[:] = [font for font in fontManager.ttflist if Path(font.fname).is_file()]


@cache
def _add_fonts(codes: frozenset[int]) -> bool:
    """Tell matplotlib of fonts with these characters that its list lacks: newly installed ones, or the packaged one.

    All that are installed, since the first that is met may be the bold face of a family, or one that is not preferred.

    Returns:
        whether there was one.
    """
    known = {font.fname for font in fontManager.ttflist}
    installed = [_add_font(path, codes) for path in findSystemFonts() if path not in known]
    return any(installed) or any(_add_font(path, codes) for path in _list_packaged_fonts())


def _list_packaged_fonts() -> Iterator[str]:
    package = find_spec(PACKAGE)
    if package is not None and package.origin is not None:
        yield str(Path(package.origin).parent / PACKAGED_FONT)


def _add_font(path: str, codes: frozenset[int]) -> bool:
    try:
        fits = codes <= frozenset(get_font(path).get_charmap())
        if fits:
            fontManager.addfont(path)
    except (OSError, RuntimeError, ValueError):  # damaged, or of a kind that matplotlib cannot read
        return False
    return fits


@cache
def _list_glyphs(family: str) -> frozenset[int]:
    """The characters that a family's plainest face has; none where its file cannot be read."""
    faces = [font for font in fontManager.ttflist if font.name == family]
    try:
        plainest = min(faces, key=_measure_plainness)
        return frozenset(get_font(plainest.fname).get_charmap())
    except (OSError, RuntimeError, ValueError):  # no such family, or a font that was removed or is damaged
        return frozenset()


def _measure_plainness(font: FontEntry) -> tuple[bool, int]:
    weight = font.weight if isinstance(font.weight, int) else weight_dict.get(font.weight, REGULAR)
    return font.style != "normal", abs(weight - REGULAR)
