"""Small words for people."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["describe_names", "join_names", "write_count"]

MOST_NAMES = 4


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
    return f"{write_count(len(names), noun, plural)}: {', '.join(names[:MOST_NAMES])}{more}"


def join_names(names: Sequence[str], last: str, most: int = 20) -> str:
    """Names in a sentence, the first so many.

    Args:
        names: one at least.
        last: the word before the last of them.
        most: names that are written out.

    >>> join_names(["a", "b", "c"], "or"), join_names(["a", "b", "c"], "and", most=1)
    ('a, b or c', 'a and 2 more')
    """
    shown = list(names[:most]) + ([f"{len(names) - most} more"] if len(names) > most else [])
    return f" {last} ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
