"""Labels of examples as a table has them: one class for each, in a fixed order."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from jumok.data.table_rows import BETWEEN
from jumok.errors import JumokError

__all__ = ["check_classes", "is_finite", "order_classes"]


def check_classes(labels: Sequence[tuple[str, str]], noun: str) -> None:
    """Refuse several labels of one example, and measurements: each has one class.

    Args:
        labels: where each stands, and what it is.
        noun: what has a label.
    Raises:
        JumokError: there are such labels.
    """
    several = next(((where, label) for where, label in labels if BETWEEN in label), None)
    if several is not None:
        where, label = several
        raise JumokError(
            f"{where}: {label!r} names several classes, and a classifier learns one for each {noun}: "
            f"give one, or spell the class without {BETWEEN!r}"
        )
    values = {label for _, label in labels}
    measured = next((value for value in sorted(values) if _is_fraction(value)), None)
    if measured is not None and all(map(is_finite, values)):
        raise JumokError(
            f"the labels are measurements such as {measured}, and a classifier learns classes: give each {noun} a "
            "class, such as a range of values"
        )


def order_classes(names: Collection[str]) -> list[str]:
    """Alphabetical, or by size where all are whole numbers.

    >>> order_classes({"10", "9"})
    ['9', '10']
    """
    return sorted(names, key=int) if all(name.isdecimal() for name in names) else sorted(names)


def is_finite(text: str) -> bool:
    """Whether a text is a number, neither NaN nor infinite."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _is_fraction(text: str) -> bool:
    """Whether a text is a number that is not whole."""
    return is_finite(text) and not float(text).is_integer()
