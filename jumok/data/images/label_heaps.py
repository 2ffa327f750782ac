"""Images in heaps by their labels, to be counted and shown: by class, by label, or by range of numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

from jumok.data.images.image_set import ImageSet

__all__ = ["NO_LABEL", "Heaps", "make_heaps"]

Heaps: TypeAlias = dict[str, Callable[[Any], bool]]
"""By name, whether a label belongs there; of several labels an image may lie in several heaps."""
RANGES = 5
"""Of numbers, all equally wide."""
NO_LABEL = "no label"


def make_heaps(sets: Sequence[ImageSet]) -> Heaps:
    """The heaps of a data set.

    Args:
        sets: its parts, of the same classes and kind.
    """
    return MAKERS[sets[0].kind](sets)


def _by_class(sets: Sequence[ImageSet]) -> Heaps:
    return {name: number.__eq__ for number, name in enumerate(sets[0].classes)}


def _by_label(sets: Sequence[ImageSet]) -> Heaps:
    heaps: Heaps = {name: _has(number) for number, name in enumerate(sets[0].classes)}
    if any(not label for images in sets for label in images.labels):
        heaps[NO_LABEL] = lambda labels: not labels
    return heaps


def _has(number: int) -> Callable[[Any], bool]:
    return lambda labels: number in labels


def _by_range(sets: Sequence[ImageSet]) -> Heaps:
    """The last range holds its end."""
    every = [label for images in sets for label in images.labels]
    low, high = min(every), max(every)
    if low == high:
        return {f"{low:.4g}": low.__eq__}
    edges = [low + (high - low) * step / RANGES for step in range(RANGES + 1)]
    return {f"{one:.4g} to {other:.4g}": _between(one, other, other == edges[-1]) for one, other in pairwise(edges)}


def _between(low: float, high: float, last: bool) -> Callable[[Any], bool]:
    return lambda number: low <= number and (number < high or last)


MAKERS: dict[str, Callable[[Sequence[ImageSet]], Heaps]] = {
    "class": _by_class,
    "multi": _by_label,
    "number": _by_range,
}
