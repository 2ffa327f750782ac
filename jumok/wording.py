"""Small words for people."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = [
    "count_columns",
    "defuse",
    "describe_names",
    "join_names",
    "one_line",
    "printable",
    "readable",
    "shorten_names",
    "typed",
    "write_count",
    "write_counts",
    "write_percent",
]

MOST_NAMES = 4
OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal obeys instead of showing it: control signs, changes of direction; and halves of signs."""
FORMULA = tuple("=+-@＝＋－＠")
"""With which a spreadsheet's formulas begin, the wide forms that some take for them too."""
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
HALVES = re.compile(r"[\ud800-\udfff]")
BYTE = 0xDC00
"""Added to a byte of a name that is no UTF-8; see `os.fsdecode`."""


def count_columns(text: str) -> int:
    """How many letters' widths a text takes: those of East Asia are twice as wide.

    >>> count_columns("dog"), count_columns("개")
    (3, 2)
    """
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def printable(text: str) -> str:
    r"""Text as it may be written to a terminal, to any: what would be obeyed is spelt out; lines and tabs stay.

    >>> printable("a\x1b[2Jb"), printable("\udcb0.png"), printable("two\nlines")
    ('a\\x1b[2Jb', '\\xb0.png', 'two\nlines')
    """
    return OBEYED.sub(lambda found: _spell(ord(found[0])), text)


def one_line(name: str) -> str:
    r"""A name as it may be written to a terminal, on one line: line ends and tabs are spelt out, too.

    >>> one_line("two\nlines"), one_line("a\tb\x1b[2J")
    ('two\\nlines', 'a\\tb\\x1b[2J')
    """
    return printable(name).replace("\n", "\\n").replace("\t", "\\t")


def typed(path: str | Path) -> str:
    """A path as a shell takes it, in a command that can be copied.

    >>> typed("runs/first"), typed("my run"), typed("-o")
    ('runs/first', "'my run'", './-o')
    """
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def _spell(sign: int) -> str:
    code = sign - BYTE if BYTE <= sign < BYTE + 0x100 else sign
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def readable(name: str) -> str:
    r"""A name as text; what is no UTF-8, as in names from old archives, becomes a replacement sign.

    >>> readable("a.png"), readable("\udcb0.png")
    ('a.png', '\ufffd.png')
    """
    return HALVES.sub("\N{REPLACEMENT CHARACTER}", name)


def defuse(cell: object) -> object:
    """A cell of a table of results that no spreadsheet takes for a formula: a quotation mark before = + - @ hides it.

    Numbers stay, also as text.

    >>> [defuse(cell) for cell in ("=1+1", "-0.5", "-a", -1, "a-b", None)]
    ["'=1+1", '-0.5', "'-a", -1, 'a-b', None]
    """
    if not isinstance(cell, str) or not cell.lstrip().startswith(FORMULA) or NUMBER.fullmatch(cell):
        return cell
    return f"'{cell}"


def write_count(number: int, noun: str, plural: str = "") -> str:
    """A number of things.

    Args:
        number: how many.
        noun: what one of them is called.
        plural: what several are called, where an s more is not enough.

    >>> write_count(1, "epoch"), write_count(30_000, "epoch"), write_count(0, "image has", "images have")
    ('1 epoch', '30,000 epochs', '0 images have')
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def describe_names(names: Sequence[str], noun: str, plural: str = "") -> str:
    """How many things there are, and what they are called.

    >>> describe_names(("dent", "fine"), "class", "classes")
    '2 classes: dent, fine'
    >>> describe_names("abcdefg", "answer")
    '7 answers: a, b, c, d, ...'
    """
    more = ", ..." if len(names) > MOST_NAMES else ""
    return f"{write_count(len(names), noun, plural)}: {', '.join(map(one_line, names[:MOST_NAMES]))}{more}"


def write_counts(counts: Mapping[str, int]) -> str:
    """How many there are of each.

    >>> write_counts({"train": 1200, "val": 30})
    '1,200 train, 30 val'
    """
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def write_percent(share: float, digits: int = 0) -> str:
    """A share, rounded; one that is not all or nothing is not written so.

    >>> write_percent(0.4), write_percent(1e-9, 1), write_percent(0.99999), write_percent(1)
    ('40%', '<0.1%', '99%', '100%')
    """
    least = 10.0**-digits
    if 0 < share < least / 100:
        return f"<{least:g}%"
    if 1 - least / 200 <= share < 1:
        return f"{100 - least:.{digits}f}%"
    return f"{100 * share:.{digits}f}%"


def shorten_names(names: Sequence[str], longest: int) -> list[str]:
    """Names of so many letters at most: their beginnings; where several begin alike, also where they begin to differ.

    >>> shorten_names(["scratch", "surface, all normal"], 12)
    ['scratch', 'surface, al…']
    >>> shorten_names(["temperature_in_celsius_1", "temperature_in_celsius_2"], 12)
    ['temp…lsius_1', 'temp…lsius_2']
    """
    cut = [name if len(name) <= longest else f"{name[: longest - 1]}…" for name in names]
    alike = {short: [name for name, each in zip(names, cut, strict=True) if each == short] for short in cut}
    return [
        short
        if short == name or len(alike[short]) == 1
        else _show_difference(name, _count_shared(alike[short]), longest)
        for name, short in zip(names, cut, strict=True)
    ]


def _count_shared(names: Sequence[str]) -> int:
    """With how many letters all of them begin."""
    differ = (place for place, letters in enumerate(zip(*names, strict=False)) if len(set(letters)) > 1)
    return next(differ, min(map(len, names)))


def _show_difference(name: str, shared: int, longest: int) -> str:
    """The beginning of a name, and what stands where it begins to differ from others."""
    begin = longest // 3
    room = longest - begin - 1
    start = min(max(begin, shared - room // 3), len(name) - room)
    end = name[start : start + room]
    return f"{name[:begin]}…{end if start + room >= len(name) else f'{end[:-1]}…'}"


def join_names(names: Sequence[str], last: str, most: int = 20) -> str:
    """Names in a sentence, the first so many.

    Args:
        names: one at least.
        last: the word before the last of them.
        most: names that are written out.

    >>> join_names(["a", "b", "c"], "or"), join_names(["a", "b", "c"], "and", most=1)
    ('a, b or c', 'a and 2 more')
    """
    shown = list(map(one_line, names[:most])) + ([f"{len(names) - most} more"] if len(names) > most else [])
    return f" {last} ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
