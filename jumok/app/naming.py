"""Naming, in one line, what a person gave: words that are not known, numbers of lines, names of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jumok.language import later

MOST_NAMED = 20
"""Words or numbers that are named before it is said how many more there are."""
LONGEST_NAME = 40
"""Characters of a word that are named, its ellipsis counted."""


def name_some(items: Sequence[object]) -> str:
    """The first items as they may be written to a terminal, and how many more there are.

    >>> name_some(["犬", "a" * 50])
    '犬, aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…'
    """
    more = f" and {len(items) - MOST_NAMED:,} more" if len(items) > MOST_NAMED else ""
    return ", ".join(_make_printable(str(item)) for item in items[:MOST_NAMED]) + more


def say_pictures(pictures: Sequence[Path]) -> str:
    """A line on the pictures that were written, which are numbered.

    >>> say_pictures([Path("ask/1.png")]), say_pictures([Path("ask/1.png"), Path("ask/2.png")])
    ('pictures: ask/1.png', 'pictures: ask/1.png to ask/2.png')
    """
    if len(pictures) == 1:
        return later("pictures: {first}", first=str(pictures[0]))
    return later("pictures: {first} to {last}", first=str(pictures[0]), last=str(pictures[-1]))


def _make_printable(name: str) -> str:
    """Without signs that a terminal obeys, and cut where it is very long."""
    shown = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"
    return "".join(sign if sign.isprintable() else f"U+{ord(sign):04X}" for sign in shown)
