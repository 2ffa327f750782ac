"""Numbers as people write them in a cell: with a unit or a sign, groups of thousands, a decimal comma."""

from __future__ import annotations

import math
import re
import unicodedata

__all__ = ["COMMA_NUMBER", "GROUP_SPACES", "SIGNS", "THOUSANDS_NUMBER", "UNIT", "is_finite", "spell_plainly", "undress"]

SIGNS = "%$€£¥₩"
"""What may stand before or behind each number of a column."""
UNIT = re.compile(r"(?<=[\d.])\s*([°µ]?[^\W\d_][^\d\s,;]{0,9})$")
"""What may stand behind each number: mm, kg, °C."""
GROUP_SPACES = re.compile("(?<=\\d)[ '\u00a0\u202f](?=\\d{3}(?!\\d))")
COMMA_NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+|(?=,))(?:,\d+)?(?:[eE][+-]?\d+)?")
THOUSANDS_NUMBER = re.compile(r"[+-]?(?:[1-9]\d{0,2}(?:,\d{3})+|\d+)(?:\.\d*)?(?:[eE][+-]?\d+)?")


MARKS = {0x2212: "-", 0xFE63: "-", **{0xFEE0 + ord(mark): mark for mark in "+-.,%"}}
"""The minus of typesetting, and signs in full width, as the keyboard writes them."""


def spell_plainly(text: str) -> str:
    """A text with the digits and signs of a keyboard, where it has those of typesetting or of another script.

    >>> spell_plainly("\u22121.5"), spell_plainly("\uff11\uff0e\uff15"), spell_plainly("10\u00b2 m")
    ('-1.5', '1.5', '10² m')
    """
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(sign, sign)) for sign in text.translate(MARKS))


def is_finite(text: str) -> bool:
    """Whether a text is a number, neither NaN nor infinite."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def undress(text: str) -> tuple[str, ...]:
    """The plain numbers that a text may stand for: one, or two where a comma can be read in two ways; none of words.

    >>> undress("87kg"), undress("12 %"), undress("1,5"), undress("1,200"), undress("v1.5")
    (('87',), ('12',), ('1.5',), ('1200', '1.200'), ())
    """
    bare = GROUP_SPACES.sub("", spell_plainly(text.strip())).strip(SIGNS).strip()
    bare = UNIT.sub("", bare)
    if is_finite(bare):
        return (bare,)
    found = [bare.replace(",", "")] if THOUSANDS_NUMBER.fullmatch(bare) else []
    if COMMA_NUMBER.fullmatch(bare):
        found.append(bare.replace(".", "").replace(",", "."))
    return tuple(each for each in found if is_finite(each))
