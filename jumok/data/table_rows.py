"""The rows of a table, one by one with their place in the file: CSV, TSV, JSON lines and Parquet."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jumok.data.table_heads import separator_for
from jumok.errors import JumokError, suggest

__all__ = ["BETWEEN", "AsTheyStand", "read_rows", "unquote"]

BETWEEN = "|"
"""Parts several values in one cell."""
LONGEST_CELL_CHARACTERS = 1 << 20
QUOTE, TAB = '"', "\t"
Rows = Iterator[tuple[str, dict[str, str]]]


def read_rows(path: Path, what: str = "tables") -> Rows:
    """Give each row: where it stands, for errors, and its cells as text, by the names of columns in lower case.

    In a table with tabs no cell can hold a tab or a line end, and quotes stand for themselves unless a program put them
    around a cell.

    Args:
        path: a .csv, .tsv, .jsonl or .parquet file.
        what: such files are called, for errors.
    Raises:
        JumokError: no such file, one of another kind, or a damaged one.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        wanted = ", ".join(READERS)
        raise JumokError(f"{what} are {wanted} files, got {path.name}: {suggest(path.suffix, READERS)}")
    return reader(path)


class AsTheyStand(csv.excel):
    """Quotes are letters like others."""

    quoting = csv.QUOTE_NONE


def unquote(cell: str) -> str:
    """A cell without the quotes that a program put around it: then those inside are doubled, and there is one at least.

    >>> [unquote(cell) for cell in ('"is 5"" tall?"', '"STOP" is where?', '"STOP"')]
    ['is 5" tall?', '"STOP" is where?', '"STOP"']
    """
    inner = cell[1:-1]
    written = len(cell) > 1 and cell[0] == cell[-1] == QUOTE and QUOTE in inner
    return inner.replace(QUOTE * 2, QUOTE) if written and QUOTE not in inner.replace(QUOTE * 2, "") else cell


def _read_delimited(path: Path) -> Rows:
    csv.field_size_limit(LONGEST_CELL_CHARACTERS)
    text = _read_text(path)
    first = text.partition("\n")[0]
    separator = separator_for(first)
    quoted = separator != TAB or first.startswith(QUOTE)
    kind: type[csv.Dialect] = csv.excel if quoted else AsTheyStand
    reader = csv.reader(io.StringIO(text, newline=""), kind, delimiter=separator, strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise JumokError(f"{path} has two columns {twice[0]!r}: give each its own name")
        for cells in (cells for cells in reader if cells):
            where = f"{path}, line {reader.line_num}"
            if len(cells) != len(names):
                hint = "quote text with separators" if quoted else "no cell can hold a tab"
                raise JumokError(f"{where}: {len(cells)} cells for {len(names)} columns; {hint}")
            yield where, dict(zip(names, cells if quoted else map(unquote, cells), strict=True))
    except csv.Error as error:
        raise JumokError(f"{path}, line {reader.line_num}: not a proper table ({error})") from None


def _read_jsonl(path: Path) -> Rows:
    for number, line in enumerate(_read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise JumokError(f"{where}: not JSON ({error})") from None
        if not isinstance(row, dict):
            raise JumokError(f"{where}: wanted keys and values, such as {{'image': 'a.png', 'label': 'dent'}}")
        yield where, {str(key).strip().lower(): _to_text(value) for key, value in row.items()}


def _read_parquet(path: Path) -> Rows:
    from jumok.data.tables import read_table

    table = read_table(path)
    names = [str(name).strip().lower() for name in table.columns]
    for number, values in enumerate(table.itertuples(index=False), 1):
        cells = {name: _to_text(value) for name, value in zip(names, values, strict=True)}
        yield f"{path}, row {number}", cells


def _to_text(value: Any) -> str:
    """A cell as text; several labels with bars between them."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, list | tuple):
        return BETWEEN.join(map(str, value))
    if isinstance(value, float):
        return "" if math.isnan(value) else str(int(value)) if value.is_integer() else str(value)
    return "" if value is None else str(value)


def _read_text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return file.read()
    except FileNotFoundError:
        raise JumokError(f"no such file: {path}") from None
    except OSError as error:
        raise JumokError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeError as error:
        raise JumokError(f"{path} is not UTF-8 ({error}): save it as UTF-8") from None


READERS: dict[str, Callable[[Path], Rows]] = {
    ".csv": _read_delimited,
    ".tsv": _read_delimited,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
