"""Tables from CSV and Parquet files, checked before they are believed, and made ready for what takes numbers only."""

from __future__ import annotations

import codecs
import csv
import itertools
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from numpy.typing import NDArray
from pandas.api import types  # type: ignore[import-untyped]

from jumok.data.column_types import KINDS, Column, Corrections, describe_cells, recognise_columns
from jumok.data.table_heads import is_quoted, separator_for, unquote
from jumok.data.texts.normal_form import RETURN, refuse_returns
from jumok.errors import JumokError, suggest
from jumok.extras import install_extra
from jumok.files import replacing

__all__ = ["MISSING", "ReadyTable", "describe_types", "make_ready", "read_table", "separator_of", "write_table"]

MOST_BYTES = 8 * 1024**3
"""So large a file is read, for Parquet after unpacking."""
MOST_CELLS = 1 << 29
MOST_COLUMNS = 100_000
HEAD = 1 << 16
MISSING = ("median", "rows", "stop")
"""What to do about missing values: fill them, leave out the rows, or say so and stop."""
NO_TARGET_NAME = re.compile(r"__index_level_\d+__")


# -- reading ------------------------------------------------------------------------------------


def read_table(path: Path, *, encoding: str = "utf-8", as_text: bool = False) -> pd.DataFrame:
    """Read a table with a name for each column.

    CSV: the first line holds the names; commas, semicolons, tabs or bars part the cells, whichever is most frequent in
    that line; empty cells are missing, and no others: 'NA' or 'None' may be a value (see `column_types`). First columns
    without a name, as row numbers are written, are called "Unnamed: 0" and so on. Parquet: as it is, without pandas'
    index if it has no name.

    Args:
        path: a .csv, .tsv or .parquet file.
        encoding: of text, such as utf-8 or cp949.
        as_text: of CSV: numbers stay text, where they are written in a way of their own.
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
        table = reader(path, encoding, as_text)
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


def _read_csv(path: Path, encoding: str, as_text: bool) -> pd.DataFrame:
    encoding = _check_known(encoding)
    wide = encoding.lower().startswith(("utf-16", "utf-32"))
    with path.open("rb") as file:
        head = file.read(HEAD)
        if b"\0" in head and not wide:
            raise JumokError(f"{path} holds zero bytes, so this is not CSV text: save the table as CSV in UTF-8")
    if not wide:
        refuse_returns(head, path)
    separator, quoting = _judge_form(path, encoding)
    with path.open(encoding=encoding, newline="") as file:
        names = next(csv.reader(_Text(file), delimiter=separator, skipinitialspace=True, quoting=quoting), [])
    named = _name_ends(names)
    _check_names(path, named)
    most = MOST_CELLS // len(names)
    with path.open(encoding=encoding, newline="") as file:
        table = pd.read_csv(
            _Text(file), sep=separator, index_col=False, skipinitialspace=True, float_precision="round_trip",
            low_memory=False, nrows=most + 1, keep_default_na=False, na_values=[""], quoting=quoting,
            dtype=str if as_text else None,
        )  # fmt: skip
    if len(table) > most:
        raise JumokError(f"{path} has more than {MOST_CELLS:,} cells: give a part of its rows or columns")
    if quoting == csv.QUOTE_NONE:
        table = _take_off_quotes(table)
    return _drop_empty_end(path, table.set_axis(named, axis=1), names)


def _judge_form(path: Path, encoding: str) -> tuple[str, Literal[0, 3]]:
    """What parts the cells of a CSV file, and how csv is told whether quotes may hold them together."""
    first, separator = _read_first(path, encoding), separator_of(path, encoding)
    return separator, csv.QUOTE_MINIMAL if is_quoted(first, separator) else csv.QUOTE_NONE


def _read_first(path: Path, encoding: str) -> str:
    """The beginning of the first line."""
    with path.open(encoding=encoding, newline="") as file:
        return next(iter(_Text(file)), "")[:HEAD]


def _take_off_quotes(table: pd.DataFrame) -> pd.DataFrame:
    """Without the quotes that a program put around cells of a table with tabs."""
    texts = [name for name in table.columns if not types.is_numeric_dtype(table[name])]
    return table.assign(**{name: table[name].map(unquote, na_action="ignore") for name in texts}) if texts else table


class _Text:
    """The text of a file, in which a carriage return that ends no line is a space, as in `normal_form.read_lines`."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> str:
        """So many characters, or a few more."""
        text = self._file.read(size)
        while text.endswith("\r") and (more := self._file.read(1)):
            text += more
        return RETURN.sub(" ", text)

    def __iter__(self) -> Iterator[str]:
        rest = ""
        while piece := self.read(HEAD):
            *lines, rest = (rest + piece).split("\n")
            yield from (line + "\n" for line in lines)
        if rest:
            yield rest


def _name_ends(names: Sequence[str]) -> list[str]:
    """Names, with one for each of the first columns that has none (row numbers) and of the last (a comma too many)."""
    filled = [number for number, name in enumerate(names) if name.strip()]
    if not filled:
        return list(names)
    fresh = (name for number in itertools.count() if (name := f"Unnamed: {number}") not in names)
    inner = range(filled[0], filled[-1] + 1)
    return [name if number in inner else next(fresh) for number, name in enumerate(names)]


def _drop_empty_end(path: Path, table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Without the columns after the last name, if nothing is in them."""
    last = max(number for number, name in enumerate(names, 1) if name.strip())
    if table.iloc[:, last:].notna().to_numpy().any():
        raise JumokError(f"{path}: column {last + 1} has no name: give each column one in the first line")
    return table.iloc[:, :last]


def _check_known(encoding: str) -> str:
    """Its proper name; a byte order mark is passed over."""
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise JumokError(f"no encoding {encoding!r}: known are utf-8 and cp949, among others") from None
    return "utf-8-sig" if name == "utf-8" else name


def separator_of(path: Path, encoding: str = "utf-8") -> str:
    """What parts the cells of a CSV file, judged by its first line."""
    return separator_for(re.sub(r'"[^"]*"', "", _read_first(path, _check_known(encoding))))


def _read_parquet(path: Path, encoding: str, as_text: bool) -> pd.DataFrame:
    try:
        from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        raise JumokError(f"{path}: Parquet needs pyarrow, which is not installed: {install_extra('parquet')}") from None
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


READERS: dict[str, Callable[[Path, str, bool], pd.DataFrame]] = {
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
    notes = [*describe_cells(found), *(f"{name}: {column.doubt}" for name, column in found.items() if column.doubt)]
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
    notes.extend(f"left out, {why}: {_list_names(names)}" for why, names in left_out.items())
    return {name: column for name, column in columns.items() if not any(name in names for names in left_out.values())}


def _explain_left_out(column: Column, categories: bool) -> str:
    if column.kind == "category" and not categories:
        return "text, which this method cannot use"
    reasons = {"id": f"identifier ({column.about})", "text": f"text of {column.about}", "empty": "nothing in them",
               "other": "neither numbers, dates nor text"}  # fmt: skip
    return reasons.get(column.kind, "")


def describe_types(ready: ReadyTable, target: str) -> Iterator[str]:
    """A line for each type that is used, with its columns, and one for the target."""
    for kind in KINDS:
        columns = [ready.types[name] for name in ready.sources if ready.types[name].kind == kind]
        plain = [column.name for column in columns if not column.about]
        told = [f"{column.name} ({column.about})" for column in columns if column.about]
        if columns:
            yield f"{kind}: {_list_names([*told, *plain])}"
    goal = ready.types[target]
    yield f"target: {target} ({', '.join(filter(None, (goal.kind, goal.about)))})"


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
    """A few names, and how many more there are."""
    shown, more = ", ".join(map(str, names[:6])), len(names) - 6
    return f"{shown} and {more:,} more" if more > 0 else shown
