"""Labels of examples as a table has them: one class for each, in a fixed order."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from jumok.data.dressed_numbers import undress
from jumok.data.table_rows import BETWEEN
from jumok.errors import JumokError
from jumok.language import later, later_count
from jumok.wording import write_count

__all__ = [
    "check_classes",
    "describe_alike",
    "describe_dates",
    "describe_doubtful",
    "describe_joined",
    "order_classes",
    "unite_whole",
]

WHOLE_NUMBER = re.compile(r"[+-]?\d+(\.0*)?")
JOINS = re.compile(r"[,;/+&]")
"""Signs that people put between several labels."""
DATE = re.compile(r"(\d{4}([-./])\d{1,2}\2\d{1,2}|\d{1,2}([-./])\d{1,2}\3\d{4})([T ].*)?")
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
    """What to say of classes whose names look the same: but for upper case, spaces, widths, invisible signs, zeros."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        alike[_look_of(name)].append(name)
    for names in alike.values():
        if len(names) > 1:
            them = " and ".join(map(repr, names))
            yield f"{them} are taken for different classes: spell them alike if they are one"


def _look_of(name: str) -> str:
    """What a name looks like: two of the same look are hard to tell apart."""
    shown = "".join(sign for sign in unicodedata.normalize("NFKC", name) if unicodedata.category(sign) != "Cf")
    plain = " ".join(shown.casefold().split())
    return plain.lstrip("0") or "0" if plain.isdecimal() else plain


def describe_joined(classes: Collection[str]) -> Iterator[str]:
    """What to say of classes that are made of the names of others: they may be several labels of one example.

    >>> list(describe_joined(["dent", "scratch", "scratch, dent"]))[0][:58]
    "1 class is made of the names of others ('scratch, dent') a"
    """
    known = set(classes)
    joined = [
        name for name in classes if len(names := JOINS.split(name)) > 1 and all(each.strip() in known for each in names)
    ]
    if joined:
        yield later_count(
            len(joined),
            "{count} class is made of the names of others ({name}) and is learned as one of its own: write {several} "
            "if an example can have several labels",
            "{count} classes are made of the names of others (such as {name}) and are learned as ones of their own: "
            "write {several} if an example can have several labels",
            name=repr(joined[0]),
            several=BETWEEN.join(each.strip() for each in JOINS.split(joined[0])),
        )


def describe_dates(classes: Collection[str]) -> list[str]:
    """What to say of classes that are all dates."""
    if not classes or not all(DATE.fullmatch(name) for name in classes):
        return []
    name = repr(min(classes))
    return [later("the labels look like dates ({name}), and each is learned as a class of its own", name=name)]


def _is_fraction(text: str) -> bool:
    """Whether a text is a number that is not whole, as plain or as people write it."""
    return any(not float(number).is_integer() for number in undress(text))
