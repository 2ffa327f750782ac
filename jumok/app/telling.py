"""What is printed, in the user's language: finished English texts are translated as they leave the program.

Code that computes writes plain f-strings. The catalogue holds each of them with {names} in place of its values, so a
finished text is recognised, its values are taken out, and both are put together anew. A text that could be read in two
ways, or is in no entry, stays in English.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from jumok.language import Later, language, read_printed, translate
from jumok.wording import one_line

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["as_cell", "tell", "tell_all"]

FIELD = re.compile(r"\{(\w+)\}")
TEXT = re.compile(r"text\d*")
"""Names of values that are texts themselves; others are names and numbers of the user's, which stay."""
VALUES = (r"\S", ".")
"""What values are made of that are no texts: as a rule they are one word; names of files may be several.

A text is first looked for among all forms with the rule, so that none takes the beginning of another text for a name.
"""
FIRST = r"(?:(?!: ).)"
"""What a value of several words is made of that begins a text: "remark: " begins another text, not a name."""
NUMBER, JOINED = r"[\d,]", r"(?:[^\s,;(]*[^\s,;(:.])?"
"""What a {count} is made of; and a value that a text follows at once."""
ONE = {"count": "1"}
"""What a {count} stands for of which there is one: English may say it in words."""
SIGNS = ("", " ", " ,;:")
"""What may stand before and behind a text within another."""
LISTED = ("; ", ", ")
"""What stands between texts that are listed in one value."""
LEAST_WORDS = 4
"""Letters that a text has beside its names, to be known by them alone; one with fewer is known by the texts in it."""

Known = dict[str, str | None]
"""Texts that were met within one, and what they are in the other language: each may be read in a great many ways."""


@dataclass(frozen=True)
class Pattern:
    """A text with {names}, and how it is said in another language."""

    english: str
    translated: str

    @property
    def words(self) -> list[str]:
        """What stands between the names."""
        return [_unescape(part) for part in _split(self.english)[::2]]

    def tell(self, text: str, value: str, known: Known) -> str | None:
        """A finished text in the other language; None where it is not of this form, or may be read in several ways.

        Args:
            text: that is finished.
            value: one of `VALUES`.
            known: texts met before.
        """
        found = (_compile(self.english, value, most).fullmatch(text) for most in ("*?", "*"))
        readings = [self._read(each.groupdict(), known) for each in found if each]
        told = {text for text, whole in readings if whole} or {text for text, _ in readings if not self._is_weak}
        return told.pop() if len(told) == 1 else None

    @property
    def _is_weak(self) -> bool:
        return sum(map(str.isalpha, "".join(self.words))) < LEAST_WORDS

    def _read(self, values: dict[str, str], known: Known) -> tuple[str, bool]:
        """One way of reading a text, told; and whether it holds texts, all of which are known."""
        texts = {name: _tell_value(value, known) for name, value in values.items() if TEXT.fullmatch(name) and value}
        told = {**ONE, **values, **{name: text for name, text in texts.items() if text is not None}}
        return self.translated.format(**told), None not in texts.values() and not (self._is_weak and not texts)


def tell(text: str) -> str:
    """A finished text in the language of now; as it is where no entry fits."""
    if language() == "en":
        return text
    indent = text[: len(text) - len(text.lstrip())]
    found = _tell(" ".join(text.split()), {})
    return text if found is None else f"{indent}{found}"


def tell_all(shown: RenderableType) -> RenderableType:
    """What is printed in the language of now: a line, or a table's texts, those of a cell on one line.

    In a table, cells are names and figures unless they are `Later`; headings are texts unless they are rich's `Text`.
    """
    from rich.table import Table
    from rich.text import Text

    if isinstance(shown, str):
        return tell(shown)
    if isinstance(shown, Text) and not shown.spans:
        return Text(tell(shown.plain), style=shown.style)
    if isinstance(shown, Table):
        shown.title, shown.caption = (each and tell_all(each) for each in (shown.title, shown.caption))  # type: ignore[assignment]
        for column in shown.columns:
            if not isinstance(column.header, Text):  # which is a name, such as that of a class
                column.header = tell_all(column.header)
            cells = (translate(cell) if isinstance(cell, Later) else cell for cell in column.cells)
            column.header, column.footer = map(_keep_to_one_line, (column.header, tell_all(column.footer)))
            column._cells = list(map(_keep_to_one_line, cells))
    return shown


def as_cell(text: str) -> RenderableType:
    """What stands in a table: `Later` is told in the language of now, anything else is a name or a figure and stays."""
    from rich.text import Text

    return text if isinstance(text, Later) else Text(text)


def _keep_to_one_line(cell: RenderableType) -> RenderableType:
    """A cell of a table whose name may hold line ends and tabs."""
    from rich.text import Text

    if isinstance(cell, str):
        return one_line(cell)
    return Text(one_line(cell.plain), style=cell.style) if isinstance(cell, Text) and not cell.spans else cell


def _tell(text: str, known: Known) -> str | None:
    """A text in another language; None where no entry fits."""
    if text not in known:
        known[text] = None  # while it is looked for, it is no part of itself
        known[text] = _look_up(text, known)
    return known[text]


def _look_up(text: str, known: Known) -> str | None:
    if (made := translate(text)) != text:
        return made
    candidates = [pattern for pattern in _patterns(language()) if all(word in text for word in pattern.words)]
    read = (pattern.tell(text, value, known) for value in VALUES for pattern in candidates)
    return next((told for told in read if told is not None), None)


def _tell_value(value: str, known: Known) -> str | None:
    """A text within another, or several of them in a list; None where it is not known."""
    for sign in LISTED:  # before the whole, of which a form may take all but the last of a list for one name
        parts = [_tell(part, known) for part in value.split(sign)]
        if len(parts) > 1 and None not in parts:
            return sign.join(filter(None, parts))
    for signs in SIGNS:
        before, text = value[: len(value) - len(value.lstrip(signs))], value.strip(signs)
        if text and (told := _tell(text, known)) is not None:
            return f"{before}{told}{value[len(before) + len(text) :]}"
    return None


@cache
def _patterns(_: str) -> tuple[Pattern, ...]:
    """All of a language, those with the most words first, as they fit the fewest texts."""
    made = [Pattern(" ".join(english.split()), translated) for english, translated in read_printed().items()]
    return tuple(sorted(made, key=lambda pattern: -sum(map(len, pattern.words))))


@cache
def _compile(english: str, value: str, most: str) -> re.Pattern[str]:
    """What a finished text of this form looks like.

    Args:
        english: the text with its {names}.
        value: what values that are no texts are made of; one that another text follows at once ends where that begins.
        most: whether each takes as little as it can, "*?", or as much, "*".
    """
    parts, seen, written = _split(english), set[str](), ""
    for number, part in enumerate(parts):
        if number % 2 == 0:
            written += re.escape(_unescape(part))
        elif part in seen:
            written += f"(?P={part})"
        else:
            followed = parts[number + 1] == "" and number + 2 < len(parts)
            several = FIRST if value == "." and not written else value
            signs = NUMBER if part == "count" else "." if TEXT.fullmatch(part) else several
            written += f"(?P<{part}>{JOINED if followed and signs == value else signs + most})"
            seen.add(part)
    return re.compile(written, re.DOTALL)


def _split(english: str) -> list[str]:
    """The words and, between them, the names of a text; doubled braces are words."""
    return FIELD.split(english.replace("{{", "\0").replace("}}", "\1"))


def _unescape(part: str) -> str:
    return part.replace("\0", "{").replace("\1", "}")
