"""Small words for people."""

from __future__ import annotations

__all__ = ["write_count"]


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
