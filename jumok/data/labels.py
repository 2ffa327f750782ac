"""Labels of examples as a table has them: one class for each, in a fixed order."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from jumok.data.dressed_numbers import undress
from jumok.data.table_rows import BETWEEN
from jumok.errors import JumokError
from jumok.wording import write_count

__all__ = ["check_classes", "describe_alike", "describe_doubtful", "order_classes", "unite_whole"]

WHOLE_NUMBER = re.compile(r"[+-]?\d+(\.0*)?")
WRITTEN_FOR_NOTHING = frozenset(("nan", "nat", "<na>", "#n/a", "n/a", "null"))
"""What programs put into a cell whose value is not known."""


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
    if measured is not None and all(map(undress, values)):
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


def unite_whole(labels: Sequence[str]) -> list[str]:
    """Give labels such as 1 and 1.0 one name, where all are whole numbers; tables with gaps are written with both.

    >>> unite_whole(["1", "1.0", ""]), unite_whole(["1.0", "beta"])
    (['1', '1', ''], ['1.0', 'beta'])
    """
    if not all(WHOLE_NUMBER.fullmatch(label) for label in labels if label):
        return list(labels)
    return [label.partition(".")[0] for label in labels]


def describe_doubtful(counts: Mapping[str, int], noun: str) -> Iterator[str]:
    """What to say of classes that may be none, or two names of one.

    Args:
        counts: how many examples each class has.
        noun: what one of them is called.
    """
    for name, count in counts.items():
        if name.casefold() in WRITTEN_FOR_NOTHING:
            yield (
                f"the label {name!r} of {write_count(count, noun)} often stands for a missing one: it is taken for a "
                "class; empty its cells to leave them out"
            )
    yield from describe_alike(counts)


def describe_alike(classes: Collection[str]) -> Iterator[str]:
    """What to say of classes whose names differ in upper and lower case or in spaces alone."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        alike[" ".join(name.casefold().split())].append(name)
    for names in alike.values():
        if len(names) > 1:
            them = " and ".join(map(repr, names))
            yield f"{them} are taken for different classes: spell them alike if they are one"


def _is_fraction(text: str) -> bool:
    """Whether a text is a number that is not whole, as plain or as people write it."""
    return any(not float(number).is_integer() for number in undress(text))
