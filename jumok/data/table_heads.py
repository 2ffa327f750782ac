"""The head of a table: the names of its columns and what parts its cells, read without reading the rest."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

__all__ = ["TABLE_SUFFIXES", "read_column_names", "separator_for"]

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
HEAD_BYTES = 1 << 16
SEPARATORS = (",", ";", "\t", "|")


def read_column_names(path: Path) -> list[str]:
    """The names of a table's columns, in lower case; none where they cannot be read."""
    try:
        if not path.is_file():
            return []
        if path.suffix.lower() == ".parquet":
            return _read_parquet_names(path)
        with path.open("rb") as file:
            lines = io.StringIO(file.read(HEAD_BYTES).decode("utf-8-sig", "replace"), newline="")
        if path.suffix.lower() == ".jsonl":
            row = json.loads(lines.readline())
            return [str(name).strip().lower() for name in row] if isinstance(row, dict) else []
        first = lines.getvalue().partition("\n")[0]
        names = next(csv.reader(lines, delimiter=separator_for(first)), [])
        return [name.strip().lower() for name in names]
    except (OSError, ValueError, csv.Error, RecursionError):
        return []


def separator_for(line: str) -> str:
    """What parts the cells of a table, judged by its first line.

    >>> separator_for("image;label")
    ';'
    """
    return max(SEPARATORS, key=line.count)


def _read_parquet_names(path: Path) -> list[str]:
    try:
        from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        return []
    try:
        return [str(name).lower() for name in parquet.read_schema(path).names]
    except ArrowException:
        return []
