"""What the label cells of a table say of each image: one class, several labels, or a number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from jumok.data.dressed_numbers import is_finite, undress
from jumok.data.labels import (
    describe_alike,
    describe_dates,
    describe_doubtful,
    describe_joined,
    order_classes,
    unite_whole,
)
from jumok.data.table_rows import BETWEEN
from jumok.errors import JumokError
from jumok.wording import write_count

__all__ = ["KINDS", "Cell", "Kind", "Labelled", "read_cells"]

Kind: TypeAlias = Literal["class", "multi", "number"]
"""What an image is labelled with: one class, any number of labels, or a number."""
KINDS: tuple[Kind, ...] = get_args(Kind)
MOST_CLASSES, LEAST_IMAGES = 20, 5
"""More different whole numbers, with fewer images for each on average, are numbers and no classes."""
NUMBER = "number"
"""What the one output of a model that gives numbers is called."""
CLASS_FLAG, NUMBER_FLAG = "--labels-are class", "--labels-are number"


class Cell(NamedTuple):
    """A label as the table has it, and the file and line where it stands, for errors."""

    where: str
    text: str


class Labelled(NamedTuple):
    """What the cells say.

    Args:
        kind: of all of them.
        classes: names of the classes or labels, in order; of numbers `NUMBER` alone.
        labels: for each cell, an index into the classes, a tuple of such indices, or a float; None: it says nothing.
        notes: what the user should know.
    """

    kind: Kind
    classes: tuple[str, ...]
    labels: list[Any]
    notes: tuple[str, ...]


def read_cells(cells: Sequence[Cell], kind: str = "auto") -> Labelled:
    """Read the labels of all images.

    An empty cell says nothing, and its image is left out; where images have several labels it says that the image has
    none of them.

    Args:
        cells: of all images.
        kind: one of `KINDS`, or "auto": several labels where a cell has a bar, numbers where all cells are numbers and
            not a few whole ones that come again and again, else classes.
    Raises:
        JumokError: numbers among text, a number that is not finite, or an empty label between two bars.
    """
    chosen = _choose_kind(cells) if kind == "auto" else kind
    labelled = READERS[chosen](cells)
    return labelled._replace(notes=(*labelled.notes, *_describe_choice(cells, labelled.kind, told=kind != "auto")))


# -- which kind ---------------------------------------------------------------------------------


def _choose_kind(cells: Sequence[Cell]) -> Kind:
    """What the cells look like.

    Raises:
        JumokError: most are numbers, and one is not, or has a unit, a sign or commas.
    """
    if any(BETWEEN in cell.text for cell in cells):
        return "multi"
    filled = [cell for cell in cells if cell.text]
    numbers = [found[0] for cell in filled if (found := undress(cell.text))]
    commas = any("," in cell.text for cell in filled) and len(numbers) == len(filled)
    if not commas and (2 * len(numbers) <= len(filled) or not _are_measured(numbers)):
        return "class"
    odd = next((cell for cell in filled if not is_finite(cell.text)), None)
    if odd is not None:
        raise JumokError(f"{_explain_odd(odd, filled)}, or add {CLASS_FLAG} to learn classes")
    return "number"


def _explain_odd(odd: Cell, filled: Sequence[Cell]) -> str:
    """What is wrong with a label among numbers, and how to write it."""
    if plain := undress(odd.text):
        as_numbers = " or ".join(plain)
        return (
            f"{odd.where}: the label {odd.text!r} may be a number with {_name_dress(odd.text, plain)}: write it as "
            f"{as_numbers} to learn numbers"
        )
    numbers = [cell.text for cell in filled if undress(cell.text)]
    return (
        f"{odd.where}: the label {odd.text!r} is not a finite number, and {len(numbers):,} of {len(filled):,} "
        f"labels are numbers such as {numbers[0]}: correct it, leave it empty"
    )


def _name_dress(text: str, plain: Sequence[str]) -> str:
    """What a number has that a plain one has not."""
    if "," not in text:
        return "a unit, a sign or a space"
    joined = text.replace(",", "")
    return " or ".join("commas between thousands" if each in joined else "a decimal comma" for each in plain)


def _are_measured(numbers: Sequence[str]) -> bool:
    """Whether numbers are no names of classes: some are not whole, or many differ and hardly come again."""
    if any(not float(number).is_integer() for number in numbers):
        return True
    different = len(set(numbers))
    return different > MOST_CLASSES and len(numbers) < LEAST_IMAGES * different


def _describe_choice(cells: Sequence[Cell], kind: Kind, *, told: bool) -> list[str]:
    """What to say where numbers could be meant in two ways."""
    filled = {cell.text for cell in cells if cell.text}
    if told or not filled or not all(map(is_finite, filled)):
        return []
    if kind == "number":
        return [f"the labels are numbers: the model learns to give a number; {CLASS_FLAG} takes each for a class"]
    return [f"the labels are whole numbers, taken for classes; {NUMBER_FLAG} learns to give a number"]


# -- reading ------------------------------------------------------------------------------------


def _read_classes(cells: Sequence[Cell]) -> Labelled:
    names = unite_whole([cell.text for cell in cells])
    counts = Counter(name for name in names if name)
    classes = tuple(order_classes(counts))
    numbers = {name: number for number, name in enumerate(classes)}
    odd = (*describe_doubtful(counts, "image"), *describe_joined(classes), *describe_dates(classes))
    notes = (*_describe_empty(cells), *odd)
    return Labelled("class", classes, [numbers.get(name) for name in names], notes)


def _read_several(cells: Sequence[Cell]) -> Labelled:
    split = [_split(cell) for cell in cells]
    classes = tuple(order_classes({name for names in split for name in names}))
    numbers = {name: number for number, name in enumerate(classes)}
    labels = [tuple(sorted({numbers[name] for name in names})) for names in split]
    each = sum(map(len, labels)) / max(len(labels), 1)
    notes = [f"an image may have several of {len(classes):,} labels, or none; they have {each:.2g} on average"]
    if empty := sum(not names for names in split):
        notes.append(
            f"{write_count(empty, 'line')} with an empty label: taken for images that have none of the "
            "labels; remove the lines of images whose labels are not known"
        )
    return Labelled("multi", classes, labels, (*notes, *describe_alike(classes)))


def _split(cell: Cell) -> list[str]:
    """The labels of a cell."""
    if not cell.text:
        return []
    names = [name.strip() for name in cell.text.split(BETWEEN)]
    if not all(names):
        raise JumokError(f"{cell.where}: {cell.text!r} has an empty label beside a bar: write labels as in a{BETWEEN}b")
    return names


def _read_numbers(cells: Sequence[Cell]) -> Labelled:
    odd = next((cell for cell in cells if cell.text and not is_finite(cell.text)), None)
    if odd is not None:
        how = " or ".join(undress(odd.text))
        fix = f"write it as {how}" if how else "correct it, such as 12.5, or leave it empty"
        raise JumokError(f"{odd.where}: the label {odd.text!r} is not a finite number: {fix}")
    labels = [float(cell.text) if cell.text else None for cell in cells]
    return Labelled("number", (NUMBER,), labels, _describe_empty(cells))


def _describe_empty(cells: Sequence[Cell]) -> tuple[str, ...]:
    empty = sum(not cell.text for cell in cells)
    return (f"left out: {write_count(empty, 'line')} without a label",) if empty else ()


READERS: dict[str, Callable[[Sequence[Cell]], Labelled]] = {
    "class": _read_classes,
    "multi": _read_several,
    "number": _read_numbers,
}
