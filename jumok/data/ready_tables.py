"""Tables made ready for what takes numbers only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from numpy.typing import NDArray
from pandas.api import types  # type: ignore[import-untyped]

from jumok.data.column_types import KINDS, Column, Corrections, describe_cells, recognise_columns
from jumok.errors import JumokError, suggest
from jumok.language import Later, join_later, later, later_count
from jumok.wording import one_line

__all__ = ["MISSING", "ReadyTable", "describe_types", "make_ready"]

MISSING = ("median", "rows", "stop")
"""What to do about missing values: fill them, leave out the rows, or say so and stop."""


@dataclass
class ReadyTable:
    """A table of numbers and its target.

    Args:
        table: float64, finite; categories by their numbers, dates as days, with " (days)" after their name.
        sources: the column of the table as read that each comes from.
        discrete: which columns are categories, (columns,).
        constant: which have one value only, (columns,).
        target: numbers, or text for classes.
        types: what each column was taken for, the target's too.
        notes: what was done to get there, a line each.
    """

    table: pd.DataFrame
    sources: list[str]
    discrete: NDArray[np.bool_]
    constant: NDArray[np.bool_]
    target: NDArray[Any]
    types: dict[str, Column]
    notes: list[str] = field(default_factory=list)


def make_ready(
    table: pd.DataFrame,
    target: str,
    *,
    missing: str = "median",
    categories: bool = False,
    corrections: Corrections | None = None,
) -> ReadyTable:
    """Part the target from the columns, and make numbers of these.

    Rows without a target are left out; so are identifiers, free text, columns that hold nothing, and categories unless
    `categories`. True and False are 1 and 0. Dates are days since the first one.

    Args:
        table: as read.
        target: the name of its column.
        missing: "median": fill by a column's median, in categories by one more; "rows": leave out rows where anything
            is missing; "stop": raise.
        categories: the method can use categories.
        corrections: of what columns are taken for.
    Raises:
        JumokError: no such column, dates or nothing as target, an infinite value, nothing left, a correction that does
            not fit, or missing values that are to stop it.
    """
    if missing not in MISSING:
        raise JumokError(f"no way {missing!r} of treating missing values: {suggest(missing, MISSING)}")
    corrections = corrections or Corrections()
    found = recognise_columns(table, target, corrections)
    notes = [
        *describe_cells(found),
        *(f"{one_line(name)}: {column.doubt}" for name, column in found.items() if column.doubt),
    ]
    there = _find_target(found[target], notes)
    others = {name: column for name, column in found.items() if name != target}
    usable = _choose_usable(others, categories, corrections, notes)
    if not usable:
        raise JumokError(f"no column but {target!r} is left to choose from{'; ' * bool(notes)}{'; '.join(notes)}")
    columns = pd.DataFrame({_name_ready(column): column.values for column in usable.values()})[there]
    columns = _drop_missing(columns, missing, notes)
    discrete = np.array([column.kind == "category" for column in usable.values()])
    numbers = pd.DataFrame({name: _to_numbers(columns[name]) for name in columns}, index=columns.index)
    _check_finite(numbers)
    numbers = numbers.fillna(numbers.median())
    values = numbers.to_numpy()
    constant = values.min(axis=0) == values.max(axis=0)
    if constant.any():
        notes.append(f"never chosen, for they have one value only: {_list_names(numbers.columns[constant])}")
    goal = _read_target(found[target].values[columns.index])
    return ReadyTable(numbers, list(usable), discrete, constant, goal, found, notes)


def _name_ready(column: Column) -> str:
    return f"{column.name} (days)" if column.kind == "date" else column.name


def _find_target(target: Column, notes: list[str]) -> pd.Series:
    """Which rows have a target, (rows,) bool."""
    if target.kind in ("date", "other"):
        raise JumokError(
            f"the target {target.name!r} holds {'dates' if target.kind == 'date' else target.values.dtype}: wanted "
            "numbers or text (--categorical takes it as classes)"
        )
    there = target.values.notna() if target.kind != "empty" else pd.Series(False, target.values.index)
    if not there.any():
        raise JumokError(f"the target {target.name!r} is missing in every row")
    if not there.all():
        notes.append(f"left out, without a target: {int((~there).sum()):,} of {len(there):,} rows")
    return there


def _choose_usable(
    columns: Mapping[str, Column], categories: bool, corrections: Corrections, notes: list[str]
) -> dict[str, Column]:
    """The columns that can be used; of the others it is said why they cannot."""
    left_out: dict[str, list[str]] = {}
    for name, column in columns.items():
        if why := _explain_left_out(column, categories):
            if name in corrections.categorical:
                raise JumokError(f"--categorical {name}: this method takes numbers only; choose another --method")
            left_out.setdefault(why, []).append(name)
    notes.extend(
        later("left out, {why}: {names}", why=why, names=_list_names(names)) for why, names in left_out.items()
    )
    return {name: column for name, column in columns.items() if not any(name in names for names in left_out.values())}


def _explain_left_out(column: Column, categories: bool) -> str:
    if column.kind == "category" and not categories:
        return later("text, which this method cannot use")
    reasons = {
        "id": later("identifier ({about})", about=column.about),
        "text": later("text of {about}", about=column.about),
        "empty": later("nothing in them"),
        "other": later("neither numbers, dates nor text"),
    }
    return reasons.get(column.kind, "")


def describe_types(ready: ReadyTable, target: str) -> Iterator[str]:
    """A line for each type that is used, with its columns, and one for the target."""
    for kind, word in KINDS.items():
        columns = [ready.types[name] for name in ready.sources if ready.types[name].kind == kind]
        plain = [one_line(column.name) for column in columns if not column.about]
        told = [_name_with(column, column.about) for column in columns if column.about]
        if columns:
            yield later("{kind}: {names}", kind=word, names=_list_names([*told, *plain]))
    goal = ready.types[target]
    about = join_later(", ", list(filter(None, (KINDS[goal.kind], goal.about))))
    yield later("target: {target}", target=_name_with(goal, about))


def _name_with(column: Column, about: str) -> str:
    return later("{name} ({about})", name=one_line(column.name), about=about)


def _drop_missing(columns: pd.DataFrame, missing: str, notes: list[str]) -> pd.DataFrame:
    """Rows left out where that was asked for; what else was asked for is said."""
    gaps = columns.isna().sum()
    gaps = gaps[gaps > 0]
    if gaps.empty:
        return columns
    where = later_count(
        int(gaps.sum()),
        "{count} missing value in {names}",
        "{count} missing values in {names}",
        names=_list_names(list(gaps.index)),
    )
    if missing == "stop":
        raise JumokError(f"{where}: fill them by the median or leave out the rows, with --missing median or rows")
    if missing == "median":
        notes.append(later("{where}: filled by the median, in text by a category of their own", where=where))
        return columns
    kept = columns.dropna()
    if kept.empty:
        raise JumokError(f"{where}: every row has some; fill them instead, with --missing median")
    some, every = f"{len(columns) - len(kept):,}", f"{len(columns):,}"
    notes.append(later("{where}: {some} of {all} rows left out", where=where, some=some, all=every))
    return kept


def _to_numbers(column: pd.Series) -> NDArray[np.float64]:
    """Numbers with NaN where they are missing; categories counted by first sight, what is missing last."""
    if types.is_numeric_dtype(column):
        numbers: NDArray[np.float64] = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return numbers
    codes = pd.factorize(column)[0]
    levels: NDArray[np.float64] = np.where(codes < 0, codes.max() + 1, codes).astype(np.float64)
    return levels


def _check_finite(numbers: pd.DataFrame) -> None:
    infinite = np.isinf(numbers.to_numpy()).sum(axis=0)
    if infinite.any():
        first = int(np.flatnonzero(infinite)[0])
        raise JumokError(
            f"column {numbers.columns[first]!r} holds {infinite[first]} infinite values: make them missing or finite"
        )


def _read_target(column: pd.Series) -> NDArray[Any]:
    if types.is_numeric_dtype(column):
        numbers: NDArray[Any] = column.to_numpy(dtype=np.float64)
        if np.isinf(numbers).any():
            raise JumokError(f"the target {column.name!r} holds infinite values: make them missing or finite")
        return numbers
    return column.astype(str).to_numpy(dtype=object)  # type: ignore[no-any-return]


def _list_names(names: Sequence[str]) -> str:
    """A few names, on one line, and how many more there are."""
    shown, more = join_later(", ", [_on_one_line(name) for name in names[:6]]), len(names) - 6
    return later("{names} and {count} more", names=shown, count=f"{more:,}") if more > 0 else shown


def _on_one_line(name: str) -> str:
    return name if isinstance(name, Later) else one_line(str(name))
