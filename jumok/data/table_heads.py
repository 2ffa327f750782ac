"""The head of a table: the names of its columns and what parts its cells, read without reading the rest."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from pathlib import Path

from jumok.data.arrow import import_parquet, reading_parquet
from jumok.data.texts.normal_form import RETURN
from jumok.errors import JumokError

__all__ = ["TABLE_SUFFIXES", "explain_csv", "find_named_separator", "is_quoted", "read_column_names",
           "separator_for", "unquote"]  # fmt: skip

PARQUET = ".parquet"
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", PARQUET)
HEAD_BYTES = 1 << 16
QUOTE, TAB = '"', "\t"
SEPARATORS = (",", ";", TAB, "|")
NAMED_SEPARATOR = re.compile(r"\ufeff?\"?sep=([,;\t|])\"?[ \r\n]*", re.IGNORECASE)
"""A line before the names that tells Excel what parts the cells."""


def read_column_names(path: Path) -> list[str]:
    """The names of a table's columns, in lower case; none of text where they cannot be read.

    Raises:
        JumokError: a Parquet file that is damaged, or pyarrow is not installed.
    """
    try:
        if not path.is_file():
            return []
        return _read_parquet_names(path) if path.suffix.lower() == PARQUET else _read_text_names(path)
    except JumokError:  # a ValueError as well
        raise
    except (OSError, ValueError, csv.Error, RecursionError):
        return []


def _read_text_names(path: Path) -> list[str]:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    wide = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # whoever reads the rows says what to do
    lines = io.StringIO(RETURN.sub(" ", head.decode("utf-16" if wide else "utf-8-sig", "replace")), newline="")
    if path.suffix.lower() == ".jsonl":
        row = json.loads(lines.readline())
        return [str(name).strip().lower() for name in row] if isinstance(row, dict) else []
    first = lines.readline()
    named = find_named_separator(first)
    if not named:
        lines.seek(0)
    names = next(csv.reader(lines, delimiter=named or separator_for(first)), [])
    return [name.strip().lower() for name in names]


def separator_for(line: str) -> str:
    """What parts the cells of a table, judged by its first line.

    >>> separator_for("image;label")
    ';'
    """
    return max(SEPARATORS, key=line.count)


def find_named_separator(line: str) -> str:
    """What parts the cells by a first line that says so and holds no names; nothing where it says nothing of the kind.

    >>> find_named_separator("sep=;"), find_named_separator("image;label")
    (';', '')
    """
    found = NAMED_SEPARATOR.fullmatch(line)
    return found[1] if found else ""


def is_quoted(head: str, separator: str) -> bool:
    """Whether quotes may hold a table's cells together: with tabs only if they do so in its head."""
    return separator != TAB or head.startswith(QUOTE)


def explain_csv(error: csv.Error) -> str:
    """What is wrong with a row, and what to do, by what the strict reader raised."""
    if str(error) == "unexpected end of data":
        return "a quote that begins in this row is never closed: close it, or remove it"
    if "expected after" in str(error):
        return "text follows a quote that closes a cell: write quotes within a cell twice"
    return f"not a proper table ({error})"


def unquote(cell: str) -> str:
    """A cell without the quotes that a program put around it: then those inside are doubled, and there is one at least.

    >>> [unquote(cell) for cell in ('"is 5"" tall?"', '"STOP" is where?', '"STOP"')]
    ['is 5" tall?', '"STOP" is where?', '"STOP"']
    """
    inner = cell[1:-1]
    written = len(cell) > 1 and cell[0] == cell[-1] == QUOTE and QUOTE in inner
    return inner.replace(QUOTE * 2, QUOTE) if written and QUOTE not in inner.replace(QUOTE * 2, "") else cell


def _read_parquet_names(path: Path) -> list[str]:
    parquet = import_parquet()
    with reading_parquet(path):
        return [str(name).lower() for name in parquet.read_schema(path).names]
