"""What pictures say beside names and numbers: in the language of now, where a font has its letters."""

from __future__ import annotations

import textwrap

from jumok import language
from jumok.wording import count_columns

__all__ = ["translate", "wrap"]


def translate(text: str, **values: object) -> str:
    """A text in the language of now; in English where no font could draw it.

    Args:
        text: in English, as it stands in the catalogue; with {names} where there are values.
        values: what takes the places of the names.
    """
    shown = language.translate(text, **values)
    if language.language() == "en" or _can_be_drawn(shown):
        return shown
    return text.format(**values) if values else text


def _can_be_drawn(text: str) -> bool:
    from jumok.views.pictures.fonts import have_letters

    return have_letters(text)


def wrap(text: str, width: int) -> str:
    r"""A text in lines of at most so many letters' widths.

    >>> wrap("one two three", 8), wrap("하나 둘 셋", 8)
    ('one two\nthree', '하나 둘\n셋')
    """
    if count_columns(text) == len(text):
        return textwrap.fill(text, width)
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and count_columns(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)
