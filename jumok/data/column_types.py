"""What each column of a table is: numbers, categories, dates, identifiers or text; judged by its cells, or as told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from numpy.typing import NDArray
from pandas.api import types  # type: ignore[import-untyped]

from jumok.data.cell_texts import (
    DecimalMark,
    Reading,
    count_days,
    describe_rounded,
    find_mixed_marks,
    find_sentinel,
    is_rounded,
    read_compact_dates,
    read_dates,
    read_numbers,
)
from jumok.data.distinct_cells import DistinctCells, find_distinct, find_missing_words, guess_decimal
from jumok.errors import JumokError, suggest
from jumok.language import later, later_count
from jumok.wording import one_line

__all__ = ["KINDS", "Column", "Corrections", "describe_cells", "recognise_columns"]

KINDS = {
    "number": later("number"),
    "category": later("category"),
    "date": later("date"),
    "id": later("id"),
    "text": later("text"),
    "empty": later("empty"),
    "other": later("other"),
}
"""What a column can be, and how that is called; the first three can be used."""
MOST_CATEGORIES = 256
"""Text with more different values does not count as categories."""
MOST_CLASSES = 20
"""A target of so few whole numbers holds classes."""
LEAST_ROWS_OF_AN_ID = 20
"""In a shorter column that all values differ says little."""
LEAST_WORDS_OF_TEXT = 3.0
NUMBER_LIKE = re.compile(r"[^\w.,+-]?\s*[+-]?[\d.,]*\d[\d.,]*(?:[eE][+-]?\d+)?\s*[^\d\s.,]{0,10}")
MOST_ODD_SHARE, MOST_ODD_WORDS, LEAST_NUMBERS = 0.1, 5, 10
"""Where nearly all cells hold one of many numbers, a few words that the others are spoilt by are missing values."""
NO_NAME = re.compile(r"Unnamed: \d+(_level_\d+)?")
"""What a column without a name is called when it is read."""
ID_NAME = re.compile(r"(?:^|[_\W])(?:id|uuid|guid|idx|index|serial)(?:[_\W]?n[or])?$|번호$", re.IGNORECASE)
CAMEL_ID = re.compile(r"[a-z]I[dD]$")


@dataclass(frozen=True)
class Corrections:
    """What a person knows better than the cells tell.

    Args:
        numeric, categorical: names of columns that are numbers or categories.
        drop: names of columns to leave out.
        decimal: "," or ".", the mark before decimals.
        na: cells that stand for what is missing.
    """

    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    decimal: DecimalMark = None
    na: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """A column and what it is.

    Args:
        name: as in the table.
        kind: one of `KINDS`.
        values: numbers and dates: float64 with NaN; otherwise the cells, what is missing as such.
        about: what else is known, such as the order of day, month and year.
        missing: cells that were taken for missing, and how many there are.
        kept: cells that might mean "missing" and were kept, and how many there are.
        doubt: what may be wrong with this, and what to do about it.
    """

    name: str
    kind: str
    values: pd.Series
    about: str = ""
    missing: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    doubt: str = ""


def recognise_columns(table: pd.DataFrame, target: str, corrections: Corrections) -> dict[str, Column]:
    """Say of each column what it is, but for those to drop.

    Args:
        table: as read.
        target: the name of the column to predict; in it, 'None' beside a few whole numbers is a class.
        corrections: of what the cells tell.
    Raises:
        JumokError: a correction names no column, or one twice; a column cannot be what it was said to be.
    """
    _check_names(table, target, corrections)
    columns = {str(name): table[name] for name in table if name not in corrections.drop}
    texts = {name: find_distinct(column, corrections.na) for name, column in columns.items()}
    decimal = corrections.decimal or guess_decimal(texts)
    read = partial(_recognise, target=target, corrections=corrections, decimal=decimal)
    return {name: read(column, texts[name]) for name, column in columns.items()}


def _check_names(table: pd.DataFrame, target: str, corrections: Corrections) -> None:
    names = [str(name) for name in table.columns]
    if target not in names:
        raise JumokError(f"no column {target!r}: {suggest(target, names[:30])}")
    if target in corrections.drop:
        raise JumokError(f"--drop {target} would leave out the target: name another --target, or keep it")
    if corrections.decimal not in (None, ",", "."):
        raise JumokError(f"--decimal is , or . and not {corrections.decimal!r}")
    flags = {"numeric": corrections.numeric, "categorical": corrections.categorical, "drop": corrections.drop}
    said: dict[str, str] = {}
    for flag, given in flags.items():
        for name in given:
            if name not in names:
                raise JumokError(f"--{flag} {name}: no such column; {suggest(name, names[:30])}")
            if said.setdefault(name, flag) != flag:
                raise JumokError(f"{name} was given to --{said[name]} and to --{flag}: choose one")


# -- what a column is ---------------------------------------------------------------------------


def _is_number(column: pd.Series) -> bool:
    return bool(types.is_numeric_dtype(column) and not types.is_complex_dtype(column))  # True and False are numbers


def _recognise(
    column: pd.Series, texts: DistinctCells | None, *, target: str, corrections: Corrections, decimal: DecimalMark
) -> Column:
    name = str(column.name)
    if name == target and types.is_bool_dtype(column):
        found = Column(name, "category", column.astype(object), later("True or False"))
    elif texts is None and _is_number(column):
        found = _recognise_numbers(column, corrections.na)
    elif texts is None:
        found = _recognise_objects(column)
    else:
        found = _recognise_texts(column, texts, decimal, target=name == target)
    if name in corrections.numeric:
        return found if found.kind in ("number", "date") else _force_numbers(found, column, texts, decimal)
    if name in corrections.categorical:
        return _force_categories(found, column, texts)
    return found if name == target else _find_id(found, column)


def _recognise_numbers(column: pd.Series, na: tuple[str, ...]) -> Column:
    name, values = str(column.name), column.to_numpy(dtype=np.float64, na_value=np.nan)
    missing: Counter[str] = Counter()
    for word in na:
        reading = read_numbers(np.array([word], dtype=object))
        if reading is not None and (hit := values == reading.values[0]).any():
            missing[word], values = int(hit.sum()), np.where(hit, np.nan, values)
    there = values[~np.isnan(values)]
    if not len(there):
        return Column(name, "empty", column, missing=missing)
    if not types.is_bool_dtype(column) and (dates := read_compact_dates(there)) is not None:
        days = np.full(len(values), np.nan)
        days[~np.isnan(values)] = dates.values
        return Column(name, "date", pd.Series(days, column.index, name=name), dates.how, missing)
    doubt = find_sentinel(there) or _find_rounded(column, values)
    return Column(name, "number", pd.Series(values, column.index, name=name), missing=missing, doubt=doubt)


def _find_rounded(column: pd.Series, values: NDArray[np.float64]) -> str:
    large = is_rounded(values) if types.is_integer_dtype(column) else np.zeros(0, bool)
    return describe_rounded(column[large].nunique(), values[large]) if large.any() else ""


def _recognise_objects(column: pd.Series) -> Column:
    """Neither numbers nor text: dates, durations, decimals, or what cannot be used."""
    name, there = str(column.name), column.notna()
    if not there.any():
        return Column(name, "empty", column)
    reading = _read_objects(column[there])
    if reading is None:
        return Column(name, "other", column)
    values = pd.Series(np.nan, column.index, name=name)
    values[there] = reading.values
    return Column(name, "date" if "days since" in reading.how else "number", values, reading.how)


def _read_objects(column: pd.Series) -> Reading | None:
    if types.is_timedelta64_dtype(column):
        return Reading(column.dt.total_seconds().to_numpy(dtype=np.float64), "seconds")
    try:
        if not types.is_datetime64_any_dtype(column):
            return Reading(column.map(_require_decimal).to_numpy(dtype=np.float64))
    except TypeError:
        pass
    try:
        return count_days(pd.DatetimeIndex(pd.to_datetime(column, utc=True)), later("dates"))
    except (TypeError, ValueError):
        return None


def _require_decimal(cell: Any) -> float:
    from numbers import Number

    if isinstance(cell, Number) and not isinstance(cell, complex):
        return float(cell)  # type: ignore[arg-type]
    raise TypeError(f"{type(cell).__name__} is no number")


def _recognise_texts(column: pd.Series, texts: DistinctCells, decimal: DecimalMark, *, target: bool) -> Column:
    """Numbers or dates, if all cells but those that may mean "missing" are; else categories or text."""
    name, words = str(column.name), find_missing_words(texts)
    if not len(texts.cells):
        return Column(name, "empty", column, missing=texts.missing)
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _count_categories(column, texts, words)
    for gone in (words, words | _find_odd(texts)):
        for kind, reading in _read_cells(texts.keep(~gone), decimal):
            if reading is not None and not (target and gone.any() and _may_be_classes(reading)):
                missing = texts.missing + _count(texts, gone)
                values = pd.Series(texts.spread(reading.values, ~gone), column.index, name=name)
                large = is_rounded(reading.values)
                rounded = describe_rounded(int(large.sum()), reading.values[large])
                doubt = reading.doubt or find_sentinel(reading.values) or rounded
                return Column(name, kind, values, reading.how, missing, doubt=doubt)
    return _count_categories(column, texts, words)


def _find_odd(texts: DistinctCells) -> NDArray[np.bool_]:
    """The few words in a column of numbers, whatever they are; none if there are many, or few numbers."""
    odd = np.array([not NUMBER_LIKE.fullmatch(cell) for cell in texts.cells], dtype=bool)
    few = odd.sum() <= MOST_ODD_WORDS and texts.counts[odd].sum() <= MOST_ODD_SHARE * texts.counts.sum()
    return odd if few and (~odd).sum() >= LEAST_NUMBERS else np.zeros_like(odd)


def _read_cells(cells: NDArray[Any], decimal: DecimalMark) -> Iterator[tuple[str, Reading | None]]:
    """As what cells can be read, the likeliest first."""
    numbers = read_numbers(cells, decimal)
    yield "date", None if numbers is None else read_compact_dates(numbers.values)
    yield "number", numbers
    yield "date", read_dates(cells)


def _may_be_classes(reading: Reading) -> bool:
    values = np.unique(reading.values)
    return len(values) <= MOST_CLASSES and bool((values == np.floor(values)).all())


def _count(texts: DistinctCells, which: NDArray[np.bool_]) -> Counter[str]:
    return Counter(dict(zip(texts.cells[which], map(int, texts.counts[which]), strict=True)))


def _count_categories(column: pd.Series, texts: DistinctCells, words: NDArray[np.bool_]) -> Column:
    name, different, most = str(column.name), len(texts.cells), min(MOST_CATEGORIES, len(column) // 2)
    values = pd.Series(texts.to_rows(), column.index, dtype=object, name=name)
    kind = "category" if different <= most else "text"
    about = (
        later_count(different, "{count} value", "{count} values")
        if kind == "category"
        else later("more than {most} different values", most=str(most))
    )
    doubt = find_mixed_marks(texts.keep(~words))
    return Column(name, kind, values, about, texts.missing, _count(texts, words), doubt)


# -- identifiers --------------------------------------------------------------------------------


def _find_id(found: Column, column: pd.Series) -> Column:
    """The same as an identifier, if it tells rows apart and nothing else."""
    why = later("no name, as row numbers are written") if NO_NAME.fullmatch(found.name) else _explain_id(found)
    return Column(found.name, "id", column, why) if why and found.kind != "empty" else found


def _explain_id(found: Column) -> str:
    values = found.values.dropna()
    if len(values) < LEAST_ROWS_OF_AN_ID or found.kind not in ("number", "text") or not values.is_unique:
        return ""
    if found.kind == "text":
        words = values.iloc[:1000].str.split().str.len().mean()
        return "" if words >= LEAST_WORDS_OF_TEXT else later("each value once")
    if not (values == np.floor(values)).all():
        return ""
    if np.ptp(values) == len(values) - 1:
        return later("each whole number once, as rows are counted")
    return later("each value once") if ID_NAME.search(found.name) or CAMEL_ID.search(found.name) else ""


# -- corrections --------------------------------------------------------------------------------


def _force_numbers(found: Column, column: pd.Series, texts: DistinctCells | None, decimal: DecimalMark) -> Column:
    """Read what can be read as numbers; the rest is missing."""
    if texts is None:
        raise JumokError(f"--numeric {found.name}: the column holds {column.dtype}, not numbers or text")
    one_by_one = [read_numbers(np.array([cell], dtype=object), decimal) for cell in texts.cells]
    readable = np.array([reading is not None for reading in one_by_one], dtype=bool)
    if not readable.any():
        example = f"such as {texts.cells[0]!r}" if len(texts.cells) else "for it is empty"
        raise JumokError(f"--numeric {found.name}: no cell of it is a number, {example}")
    values = texts.spread(np.array([reading.values[0] for reading in one_by_one if reading]), readable)
    missing = texts.missing + _count(texts, ~readable)
    return Column(found.name, "number", pd.Series(values, column.index, name=found.name), later("as told"), missing)


def _force_categories(found: Column, column: pd.Series, texts: DistinctCells | None) -> Column:
    if texts is not None:
        cells = texts.to_rows()
    elif found.kind in ("number", "date"):
        cells = column.where(found.values.notna()).to_numpy(dtype=object)
    else:
        raise JumokError(f"--categorical {found.name}: the column holds {column.dtype}, not numbers or text")
    values = pd.Series(cells, column.index, dtype=object, name=found.name)
    different = values.nunique()
    if different > MOST_CATEGORIES:
        raise JumokError(
            f"--categorical {found.name}: {different:,} different values, wanted at most {MOST_CATEGORIES}"
        )
    kept = found.kept if texts is None else _count(texts, find_missing_words(texts))
    about = later_count(different, "{count} value, as told", "{count} values, as told")
    return Column(found.name, "category", values, about, found.missing, kept)


# -- what to say --------------------------------------------------------------------------------


def describe_cells(columns: dict[str, Column]) -> Iterator[str]:
    """A line for each word that was taken for missing, or might have been."""
    for attribute, what in (
        ("missing", later("taken for missing")),
        ("kept", later("taken for a value; --na {word} if it means missing")),
    ):
        found: dict[str, dict[str, int]] = {}
        for column in columns.values():
            for word, count in getattr(column, attribute).items():
                found.setdefault(word, {})[one_line(column.name)] = count
        for word, counts in found.items():
            where = ", ".join(list(counts)[:6]) + (f" and {len(counts) - 6:,} more" if len(counts) > 6 else "")
            yield later(
                "{word} in {cells} of {where}: {what}",
                word=repr(word),
                cells=later_count(sum(counts.values()), "{count} cell", "{count} cells"),
                where=where,
                what=later(what, word=word),
            )
