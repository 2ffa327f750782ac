"""Tables from CSV and Parquet files, checked before they are believed, and made ready for what takes numbers only."""

from __future__ import annotations

import codecs
import csv
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from numpy.typing import NDArray
from pandas.api import types  # type: ignore[import-untyped]

from jumok.errors import JumokError, suggest
from jumok.files import replacing

__all__ = ["MISSING", "ReadyTable", "make_ready", "read_table", "separator_of", "write_table"]

MOST_BYTES = 8 * 1024**3
"""So large a file is read, for Parquet after unpacking."""
MOST_CELLS = 1 << 29
MOST_COLUMNS = 100_000
MOST_CATEGORIES = 256
"""Text with more different values does not count as categories."""
HEAD = 1 << 16
SEPARATORS = (",", ";", "\t", "|")
MISSING = ("median", "rows", "stop")
"""What to do about missing values: fill them, leave out the rows, or say so and stop."""
NO_TARGET_NAME = re.compile(r"__index_level_\d+__")


# -- reading ------------------------------------------------------------------------------------


def read_table(path: Path, *, encoding: str = "utf-8") -> pd.DataFrame:
    """Read a table with a name for each column.

    CSV: the first line holds the names; commas, semicolons, tabs or bars part the cells, whichever is most frequent in
    that line; empty cells, NA, NaN and null are missing. Parquet: as it is, without pandas' index if it has no name.

    Args:
        path: a .csv, .tsv or .parquet file.
        encoding: of text, such as utf-8 or cp949.
    Raises:
        JumokError: no such file, another kind, a damaged or empty one, no rows, two columns of one name, or too large.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise JumokError(f"tables are .csv, .tsv or .parquet files, got {path.name!r}: {suggest(path.suffix, READERS)}")
    if not path.is_file():
        raise JumokError(f"{path} is a folder: give a table in it" if path.is_dir() else f"no such file: {path}")
    size = path.stat().st_size
    if size == 0:
        raise JumokError(f"{path} is empty: wanted a line of names and a line for each row")
    if size > MOST_BYTES:
        raise JumokError(f"{path} has {size / 1024**3:.1f} GiB, wanted at most {MOST_BYTES >> 30}: give a part of it")
    with _name_table(path):
        table = reader(path, encoding)
    if not len(table):
        raise JumokError(f"{path} has names of columns and no rows: nothing can be learned from it")
    return table


@contextmanager
def _name_table(path: Path) -> Iterator[None]:
    """Say in one line what is wrong with a file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            warnings.simplefilter("ignore", pd.errors.PerformanceWarning)
            yield
    except UnicodeError as error:
        why = f"is not text of that encoding ({error})"
        raise JumokError(f"{path} {why}: give another --encoding, or save it as UTF-8") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, csv.Error) as error:
        what = str(error).removeprefix("Error tokenizing data. ").strip()
        raise JumokError(f"{path} is not a proper CSV file ({what}): each row needs a cell for each name") from None
    except OSError as error:
        raise JumokError(f"cannot read {path}: {error.strerror or error}") from None


def _read_csv(path: Path, encoding: str) -> pd.DataFrame:
    encoding = _check_known(encoding)
    with path.open("rb") as file:
        if b"\0" in file.read(HEAD) and not encoding.lower().startswith(("utf-16", "utf-32")):
            raise JumokError(f"{path} holds zero bytes, so this is not CSV text: save the table as CSV in UTF-8")
    separator = separator_of(path, encoding)
    with path.open(encoding=encoding, newline="") as file:
        names = next(csv.reader(file, delimiter=separator, skipinitialspace=True), [])
    _check_names(path, names)
    most = MOST_CELLS // len(names)
    table = pd.read_csv(
        path, sep=separator, encoding=encoding, index_col=False, skipinitialspace=True, compression=None,
        float_precision="round_trip", low_memory=False, nrows=most + 1,
    )  # fmt: skip
    if len(table) > most:
        raise JumokError(f"{path} has more than {MOST_CELLS:,} cells: give a part of its rows or columns")
    return table


def _check_known(encoding: str) -> str:
    """Its proper name; a byte order mark is passed over."""
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise JumokError(f"no encoding {encoding!r}: known are utf-8 and cp949, among others") from None
    return "utf-8-sig" if name == "utf-8" else name


def separator_of(path: Path, encoding: str = "utf-8") -> str:
    """What parts the cells of a CSV file, judged by its first line."""
    with path.open(encoding=_check_known(encoding), newline="") as file:
        line = re.sub(r'"[^"]*"', "", file.readline(HEAD))
    return max(SEPARATORS, key=line.count)


def _read_parquet(path: Path, encoding: str) -> pd.DataFrame:
    try:
        from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        raise JumokError(
            f"{path}: Parquet needs pyarrow, which is not installed: pip install 'jumok[parquet]'"
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            about = file.metadata
            names = [name for name in file.schema_arrow.names if not NO_TARGET_NAME.fullmatch(name)]
            _check_names(path, names)
            unpacked = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
            if about.num_rows * len(names) > MOST_CELLS or unpacked > MOST_BYTES:
                raise JumokError(f"{path} has {about.num_rows:,} rows of {len(names):,} columns: give a part of it")
            return file.read(columns=names, use_threads=False).to_pandas(ignore_metadata=True)
    except ArrowException as error:
        raise JumokError(f"{path} is damaged or not a Parquet file ({str(error).splitlines()[0]})") from None


READERS: dict[str, Callable[[Path, str], pd.DataFrame]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
}


def _check_names(path: Path, names: Sequence[str]) -> None:
    if len(names) > MOST_COLUMNS:
        raise JumokError(f"{path} has {len(names):,} columns, wanted at most {MOST_COLUMNS:,}")
    empty = [number for number, name in enumerate(names, 1) if not name.strip()]
    if empty or not names:
        raise JumokError(
            f"{path}: column {empty[0] if empty else 1} has no name: give each column one in the first line"
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise JumokError(
            f"{path} has {len(twice)} duplicate column names, such as {twice[0]!r}: give each column its own"
        )


def write_table(table: pd.DataFrame, path: Path, *, separator: str = ",") -> None:
    """Write a table as .parquet or as text in UTF-8, whole or not at all.

    Raises:
        JumokError: it cannot be written.
    """
    with replacing(path) as fresh:
        if path.suffix.lower() == ".parquet":
            table.to_parquet(fresh, index=False)
        else:
            table.to_csv(fresh, index=False, sep=separator, lineterminator="\n")


# -- making ready -------------------------------------------------------------------------------


@dataclass
class ReadyTable:
    """A table of numbers and its target.

    Args:
        table: float64, finite; categories by their numbers.
        discrete: which columns are categories, (columns,).
        constant: which have one value only, (columns,).
        target: numbers, or text for classes.
        notes: what was done to get there, a line each.
    """

    table: pd.DataFrame
    discrete: NDArray[np.bool_]
    constant: NDArray[np.bool_]
    target: NDArray[Any]
    notes: list[str] = field(default_factory=list)


def make_ready(table: pd.DataFrame, target: str, *, missing: str = "median", categories: bool = False) -> ReadyTable:
    """Part the target from the columns, and make numbers of these.

    Rows without a target are left out; so are dates, columns that hold nothing, and text, unless `categories` and it
    has at most 256 different values and fewer than half as many as rows. True and False are 1 and 0.

    Args:
        table: as read.
        target: the name of its column.
        missing: "median": fill by a column's median, in categories by one more; "rows": leave out rows where anything
            is missing; "stop": raise.
        categories: take text for categories.
    Raises:
        JumokError: no such column, dates or nothing as target, an infinite value, nothing left, or missing values that
            are to stop it.
    """
    if missing not in MISSING:
        raise JumokError(f"no way {missing!r} of treating missing values: {suggest(missing, MISSING)}")
    notes: list[str] = []
    table = _split_target(table, target, notes)
    columns = table.drop(columns=target)
    left_out = _describe_left_out(columns, categories)
    for why, names in left_out.items():
        notes.append(f"left out, {why}: {_list_names(names)}")
    columns = columns.drop(columns=[name for names in left_out.values() for name in names])
    if not columns.shape[1]:
        raise JumokError(f"no column but {target!r} is left to choose from{'; ' * bool(notes)}{'; '.join(notes)}")
    columns = _drop_missing(columns, missing, notes)
    discrete = np.array([not _is_number(columns[name]) for name in columns])
    numbers = pd.DataFrame({name: _to_numbers(columns[name]) for name in columns}, index=columns.index)
    _check_finite(numbers)
    numbers = numbers.fillna(numbers.median())
    values = numbers.to_numpy()
    constant = values.min(axis=0) == values.max(axis=0)
    if constant.any():
        notes.append(f"never chosen, for they have one value only: {_list_names(numbers.columns[constant])}")
    return ReadyTable(numbers, discrete, constant, _read_target(table.loc[columns.index, target]), notes)


def _split_target(table: pd.DataFrame, target: str, notes: list[str]) -> pd.DataFrame:
    """The rows that have a target."""
    if target not in table.columns:
        raise JumokError(f"no column {target!r}: {suggest(target, list(table.columns)[:30])}")
    column = table[target]
    if not _is_number(column) and not _is_text(column):
        raise JumokError(f"the target {target!r} holds {column.dtype}: wanted numbers or text")
    there = column.notna()
    if not there.any():
        raise JumokError(f"the target {target!r} is missing in every row")
    if not there.all():
        notes.append(f"left out, without a target: {int((~there).sum()):,} of {len(table):,} rows")
    return table[there]


def _describe_left_out(columns: pd.DataFrame, categories: bool) -> dict[str, list[str]]:
    """Columns that cannot be used, by the reason."""
    found: dict[str, list[str]] = {}
    for name in columns:
        why = _explain_left_out(columns[name], categories)
        if why:
            found.setdefault(why, []).append(name)
    return found


def _explain_left_out(column: pd.Series, categories: bool) -> str:
    if column.isna().all():
        return "nothing in them"
    if _is_number(column):
        return ""
    if not _is_text(column):
        return "neither numbers nor text"
    if not categories:
        return "text, which this method cannot use"
    most = min(MOST_CATEGORIES, len(column) // 2)
    return "" if column.nunique() <= most else f"text of more than {most} different values"


def _drop_missing(columns: pd.DataFrame, missing: str, notes: list[str]) -> pd.DataFrame:
    """Rows left out where that was asked for; what else was asked for is said."""
    gaps = columns.isna().sum()
    gaps = gaps[gaps > 0]
    if gaps.empty:
        return columns
    where = f"{int(gaps.sum()):,} missing values in {_list_names(gaps.index)}"
    if missing == "stop":
        raise JumokError(f"{where}: fill them by the median or leave out the rows, with --missing median or rows")
    if missing == "median":
        notes.append(f"{where}: filled by the median, in text by a category of their own")
        return columns
    kept = columns.dropna()
    if kept.empty:
        raise JumokError(f"{where}: every row has some; fill them instead, with --missing median")
    notes.append(f"{where}: {len(columns) - len(kept):,} of {len(columns):,} rows left out")
    return kept


def _is_number(column: pd.Series) -> bool:
    return bool(types.is_numeric_dtype(column) and not types.is_complex_dtype(column))  # True and False are numbers


def _is_text(column: pd.Series) -> bool:
    if isinstance(column.dtype, pd.CategoricalDtype) or types.is_string_dtype(column):
        return True
    return column.dtype == object and bool(column.dropna().map(lambda cell: isinstance(cell, str | bool | int)).all())


def _to_numbers(column: pd.Series) -> NDArray[np.float64]:
    """Numbers with NaN where they are missing; categories counted by first sight, what is missing last."""
    if _is_number(column):
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
    if _is_number(column) and not types.is_bool_dtype(column):
        numbers: NDArray[Any] = column.to_numpy(dtype=np.float64)
        if np.isinf(numbers).any():
            raise JumokError(f"the target {column.name!r} holds infinite values: make them missing or finite")
        return numbers
    return column.astype(str).to_numpy(dtype=object)  # type: ignore[no-any-return]


def _list_names(names: Sequence[str]) -> str:
    """A few names, and how many more there are."""
    shown, more = ", ".join(map(str, names[:6])), len(names) - 6
    return f"{shown} and {more:,} more" if more > 0 else shown
