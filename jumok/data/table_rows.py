"""The rows of a table, one by one with their place in the file: CSV, TSV, JSON lines and Parquet."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.data.table_heads import explain_csv, find_named_separator, is_quoted, separator_for, unquote
from jumok.data.texts.normal_form import RETURN, read_lines
from jumok.errors import JumokError, suggest
from jumok.files import regular_file, shorten

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

__all__ = ["BETWEEN", "Nested", "cell_text", "find_odd", "load_json", "read_delimited", "read_rows", "refuse_nested"]

BETWEEN = "|"
"""Parts several values in one cell."""
SHORT_FLOATS = ("float16", "float32")
"""Types of numpy that are spelt by their own digits."""
LONGEST_CELL_CHARACTERS = 1 << 20
Rows = Iterator[tuple[str, dict[str, str]]]
Split = Iterator[tuple[str, list[str]]]
"""Where each row stands, and its cells."""


class Nested(str):
    """A cell that is no text, number or list of such but a boolean, NaN or an object, as JSON spells it."""


class NoNumber(str):
    """What Python writes for a number that is none: NaN, Infinity or -Infinity."""


def refuse_nested(where: str, cells: Mapping[str, str], names: Iterable[str | None]) -> None:
    """Refuse what stands for nothing in cells that are read.

    An object, a list within a list, an empty place in one; in JSON lines a boolean, NaN or Infinity, too.

    Args:
        where: the row stands.
        cells: of it, by the names of columns.
        names: of the columns that are read; None is passed over.
    Raises:
        JumokError: there is such a cell.
    """
    odd = next((name for name in names if name and isinstance(cells.get(name), Nested)), None)
    if odd is not None:
        raise JumokError(f"{where}: {odd!r} is {shorten(cells[odd])}: wanted a text, a number, or a list of such")


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


def read_delimited(path: Path, *, folded: bool = False) -> Split:
    """Give the names of a table's columns, in lower case, then the cells of each row; each with where it stands.

    A line ends with a line feed, also after a carriage return; a carriage return alone is a space. Empty lines are
    passed over; of a single column, a cell may be blank.

    Args:
        path: a table in UTF-8, plain or gzipped; its first line says what parts its cells, or one before it does
            (`sep=;`).
        folded: whether characters are composed (see `normal_form.fold`).
    Raises:
        JumokError: two columns of one name, a row with more or fewer cells, or a file that cannot be read.
    """
    lines = read_lines(path, folded=folded)
    first = next(lines, "")
    named = find_named_separator(first)
    first = next(lines, "") if named else first
    separator, before = named or separator_for(first), int(bool(named))
    quoted = is_quoted(first, separator)
    whole = (RETURN.sub(" ", line + "\n") for line in chain((first,), lines))
    rows = (_split_quoted if quoted else _split_plain)(path, whole, separator, before)
    where, names = next(rows, (str(path), []))
    names = [name.strip().lower() for name in names]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise JumokError(f"{path} has two columns {twice[0]!r}: give each its own name")
    yield where, names
    for where, cells in rows:
        if len(names) > 1 == len(cells) and not cells[0].strip():
            continue
        if len(cells) != len(names):
            hint = f"put quotes around text that holds {separator!r}" if quoted else "no cell can hold a tab"
            raise JumokError(f"{where}: {len(cells)} cells for {len(names)} columns; {hint}")
        yield where, cells


def _split_quoted(path: Path, lines: Iterable[str], separator: str, before: int) -> Split:
    csv.field_size_limit(LONGEST_CELL_CHARACTERS)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    first = 1 + before
    try:
        for cells in reader:
            if cells:
                yield f"{path}, line {reader.line_num + before}", cells
            first = reader.line_num + 1 + before
    except csv.Error as error:
        raise JumokError(f"{path}, line {first}: {explain_csv(error)}") from None


def _split_plain(path: Path, lines: Iterable[str], separator: str, before: int) -> Split:
    for number, line in enumerate(lines, 1 + before):
        cells = line.rstrip("\r\n").split(separator)
        if line.rstrip("\r\n"):
            yield f"{path}, line {number}", [unquote(cell) for cell in cells]


def _read_delimited(path: Path) -> Rows:
    rows = read_delimited(path)
    _, names = next(rows)
    for where, cells in rows:
        yield where, dict(zip(names, cells, strict=True))


def _read_jsonl(path: Path) -> Rows:
    for number, line in enumerate(_read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = load_json(line, object_pairs_hook=_take_once)
        except (ValueError, RecursionError) as error:
            raise JumokError(f"{where}: not JSON ({error})") from None
        if not isinstance(row, dict):
            raise JumokError(f"{where}: wanted keys and values, such as {{'image': 'a.png', 'label': 'dent'}}")
        yield where, {str(key).strip().lower(): _from_json(value) for key, value in row.items()}


def load_json(line: str, **hooks: Any) -> Any:
    """A line of JSON whose numbers are texts, spelt as they are there; NaN and Infinity are a `NoNumber`.

    Raises:
        ValueError, RecursionError: it is none.
    """
    return json.loads(line, parse_int=_keep_whole, parse_float=str, parse_constant=NoNumber, **hooks)


def _keep_whole(text: str) -> str:
    """A whole number as it is spelt; one with thousands of digits is none."""
    int(text)
    return text


def find_odd(value: Any) -> str:
    """How JSON spells what stands for no text within a value: a boolean, NaN or Infinity; empty where there is none."""
    each = value if isinstance(value, list) else [value]
    odd = next((one for one in each if isinstance(one, bool | NoNumber)), None)
    return "" if odd is None else str(odd) if isinstance(odd, NoNumber) else json.dumps(odd)


def _from_json(value: Any) -> str:
    odd = find_odd(value)
    return Nested(odd) if odd else cell_text(value)


def _read_parquet(path: Path) -> Rows:
    from jumok.data.tables import read_table

    table = read_table(path, as_text=True)
    names = [str(name).strip().lower() for name in table.columns]
    columns = [_spell(column) if column.dtype.name in SHORT_FLOATS else column for _, column in table.items()]
    for number, values in enumerate(zip(*columns, strict=True), 1):
        cells = {name: cell_text(value) for name, value in zip(names, values, strict=True)}
        yield f"{path}, row {number}", cells


def _spell(column: pd.Series) -> list[str]:
    """Numbers by their own digits: 0.1 has 64 bits that are spelt 0.10000000149011612."""
    return ["" if math.isnan(value) else str(value) for value in column.to_numpy()]


def _take_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, none of whose keys stands twice: which of them is meant cannot be known."""
    row = dict(pairs)
    if len(row) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice!r} stands twice in it")
    return row


def cell_text(value: Any) -> str:
    """A cell as text, spelt as pandas writes it to a CSV file; several labels with bars between them."""
    if isinstance(value, bytes):
        return _decode(value)
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, dict) or (isinstance(value, list | tuple) and not all(map(_is_plain, value))):
        return Nested(json.dumps(value, ensure_ascii=False, default=str))
    if isinstance(value, list | tuple):
        return BETWEEN.join(map(cell_text, value))
    if isinstance(value, float):
        return "" if math.isnan(value) else str(value)
    return "" if value is None else str(value)


def _decode(value: bytes) -> str:
    """The text that some programs keep as bytes; what is none stands for nothing."""
    try:
        return value.decode()
    except UnicodeError:
        return Nested(f"{len(value):,} bytes")


def _is_plain(value: Any) -> bool:
    """Whether a value in a list can be a label."""
    return not isinstance(value, dict | list | tuple) and cell_text(value) != ""


def _read_text(path: Path) -> str:
    try:
        with regular_file(path).open(encoding="utf-8-sig", newline="") as file:
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
