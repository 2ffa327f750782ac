"""Tables from CSV and Parquet files, checked before they are believed."""

from __future__ import annotations

import codecs
import csv
import itertools
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO

import pandas as pd  # type: ignore[import-untyped]
from pandas.api import types  # type: ignore[import-untyped]

from jumok.data.arrow import import_parquet, reading_parquet
from jumok.data.table_heads import explain_csv, find_named_separator, is_quoted, separator_for, unquote
from jumok.data.texts.normal_form import GZIP, RETURN, refuse_returns
from jumok.errors import JumokError, suggest
from jumok.files import replacing
from jumok.wording import write_count

__all__ = ["read_table", "separator_of", "write_table"]

MOST_BYTES = 8 * 1024**3
"""So large a file is read, for Parquet after unpacking."""
MOST_CELLS = 1 << 29
MOST_COLUMNS = 100_000
HEAD = 1 << 16
ZIP = b"PK\x03\x04"
"""With which archives begin, and spreadsheets."""
LONGEST_CELL = 1 << 24
NO_TARGET_NAME = re.compile(r"__index_level_\d+__")


def read_table(path: Path, *, encoding: str = "utf-8", as_text: bool = False) -> pd.DataFrame:
    """Read a table with a name for each column.

    CSV: the first line holds the names, or the second after one such as `sep=;`; commas, semicolons, tabs or bars part
    the cells, whichever is most frequent in that line; empty cells are missing, and no others: 'NA' or 'None' may be a
    value (see `column_types`). First columns without a name, as row numbers are written, are called "Unnamed: 0" and so
    on. Parquet: as it is, without pandas' index if it has no name.

    Args:
        path: a .csv, .tsv or .parquet file.
        encoding: of text, such as utf-8 or cp949.
        as_text: of CSV: numbers stay text, where they are written in a way of their own. Of Parquet: whole numbers stay
            whole where some are missing.
    Raises:
        JumokError: no such file, another kind, a damaged or empty one, no rows, two columns of one name, or too large.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        if path.is_file():
            _refuse_no_text(path, _read_head(path))
        raise JumokError(f"tables are .csv, .tsv or .parquet files, got {path.name!r}: {suggest(path.suffix, READERS)}")
    if not path.is_file():
        raise JumokError(_explain_no_file(path))
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


def _explain_no_file(path: Path) -> str:
    if path.is_dir():
        return f"{path} is a folder: give a table in it"
    return f"{path} is not a plain file but a pipe or device: give a file" if path.exists() else f"no such file: {path}"


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
    head = _read_head(path)
    if not wide:
        _refuse_no_text(path, head)
        refuse_returns(head, path)
    separator, quoting = _judge_form(path, encoding)
    with _open_text(path, encoding) as (text, _):
        names = next(csv.reader(text, delimiter=separator, skipinitialspace=True, quoting=quoting), [])
    named = _name_ends(names)
    _check_names(path, named)
    most = MOST_CELLS // len(names)
    try:
        with _open_text(path, encoding) as (text, _):
            table = pd.read_csv(
                text, sep=separator, index_col=False, skipinitialspace=True, float_precision="round_trip",
                low_memory=False, nrows=most + 1, keep_default_na=False, na_values=[""], quoting=quoting,
                dtype=str if as_text else None,
            )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.ParserWarning):
        _check_rows(path, encoding, separator, quoting, names)
        raise
    if table.iloc[:, -1].isna().any():  # pandas fills up rows that are too short
        _check_rows(path, encoding, separator, quoting, names)
    if len(table) > most:
        raise JumokError(f"{path} has more than {MOST_CELLS:,} cells: give a part of its rows or columns")
    if quoting == csv.QUOTE_NONE:
        table = _take_off_quotes(table)
    return _drop_empty_end(path, table.set_axis(named, axis=1), names)


def _check_rows(path: Path, encoding: str, separator: str, quoting: Literal[0, 3], names: Sequence[str]) -> None:
    """Refuse a row of fewer or more cells than there are names; empty ones after the last name do no harm.

    Raises:
        JumokError: there is such a row, or a quote that nothing closes.
    """
    csv.field_size_limit(LONGEST_CELL)
    wanted, least = len(names), max(number for number, name in enumerate(names, 1) if name.strip())
    with _open_text(path, encoding) as (text, before):
        rows = csv.reader(text, delimiter=separator, skipinitialspace=True, quoting=quoting, strict=True)
        line = 1 + before
        try:
            for cells in rows:
                if cells and not (least <= len(cells) and not any(map(str.strip, cells[wanted:]))):
                    raise JumokError(
                        f"{path}, line {line}: {write_count(len(cells), 'cell')} for {write_count(wanted, 'column')}; "
                        "the first line must hold the names, each row a cell for each; quotes hold text with "
                        f"{separator!r}"
                    )
                line = rows.line_num + 1 + before
        except csv.Error as error:
            raise JumokError(f"{path}, line {line}: {explain_csv(error)}") from None


def _judge_form(path: Path, encoding: str) -> tuple[str, Literal[0, 3]]:
    """What parts the cells of a CSV file, and how csv is told whether quotes may hold them together."""
    separator = separator_of(path, encoding)
    with _open_text(path, encoding) as (text, _):
        first = text.read_first()
    return separator, csv.QUOTE_MINIMAL if is_quoted(first, separator) else csv.QUOTE_NONE


@contextmanager
def _open_text(path: Path, encoding: str) -> Iterator[tuple[_Text, int]]:
    """The lines from that of the names on, and how many come before it: one that says what parts the cells."""
    with path.open(encoding=encoding, newline="") as file:
        before = int(bool(find_named_separator(file.readline(HEAD))))
        if not before:
            file.seek(0)
        yield _Text(file), before


def _read_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def _refuse_no_text(path: Path, head: bytes) -> None:
    """Refuse what is packed, in UTF-16, or no text at all, with what to do."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise JumokError(f"{path} is text in UTF-16: give --encoding utf-16, or save it as UTF-8")
    if head.startswith((GZIP, ZIP)):
        raise JumokError(f"{path} is packed, or a spreadsheet: unpack it, or save the sheet as CSV")
    if b"\0" in head:
        raise JumokError(f"{path} holds zero bytes, so this is not CSV text: save the table as CSV in UTF-8")


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

    def read_first(self) -> str:
        """The beginning of the first line."""
        return next(iter(self), "")[:HEAD]

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
    encoding = _check_known(encoding)
    with path.open(encoding=encoding, newline="") as file:
        named = find_named_separator(file.readline(HEAD))
    with _open_text(path, encoding) as (text, _):
        return named or separator_for(re.sub(r'"[^"]*"', "", text.read_first()))


def _read_parquet(path: Path, encoding: str, as_text: bool) -> pd.DataFrame:
    parquet = import_parquet()
    with reading_parquet(path), parquet.ParquetFile(path) as file:
        about = file.metadata
        names = [name for name in file.schema_arrow.names if not NO_TARGET_NAME.fullmatch(name)]
        _check_names(path, names)
        unpacked = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
        if about.num_rows * len(names) > MOST_CELLS or unpacked > MOST_BYTES:
            raise JumokError(f"{path} has {about.num_rows:,} rows of {len(names):,} columns: give a part of it")
        read = file.read(columns=names, use_threads=False)
        table: pd.DataFrame = read.to_pandas(ignore_metadata=True, integer_object_nulls=as_text)
        return table


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
        names_twice = write_count(len(twice), "duplicate column name")
        raise JumokError(f"{path} has {names_twice}, such as {twice[0]!r}: give each column its own")


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
