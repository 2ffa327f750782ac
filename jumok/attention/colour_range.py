"""Where the colours of a map end, in pictures and in notebooks."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["EVEN", "ColourEnd", "find_colour_end"]

FEW = 16
"""A map of fewer weights is never taken for an even one: the largest of a handful is not far above their mean."""

EVEN = 2.0
"""A map whose largest weight is below so many times its mean is nearly even."""


class ColourEnd(NamedTuple):
    """The weight that has the strongest colour.

    Args:
        value: at least the largest weight.
        even: whether it lies beyond the largest weight, as the map is nearly even.
    """

    value: float
    even: bool


def find_colour_end(largest: float, mean: float, count: int) -> ColourEnd:
    """Choose the end of colours that begin at 0, so that a map that prefers nothing has no strong colour anywhere.

    Args:
        largest, mean: of the weights, 0 or more.
        count: of the weights.

    >>> find_colour_end(0.5, 0.1, 196), find_colour_end(0.11, 0.1, 196)
    (ColourEnd(value=0.5, even=False), ColourEnd(value=0.2, even=True))
    """
    even = count >= FEW and largest < EVEN * mean
    return ColourEnd(EVEN * mean if even else largest, even)
