"""Whether a file is a table of images and their labels, by the names of its columns alone."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

__all__ = ["COLUMNS", "TABLE_SUFFIXES", "column_for", "looks_like_labels", "read_column_names", "separator_for"]

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
COLUMNS = {
    "image": ("image", "file_name", "filename", "file", "path", "image_path", "img"),
    "label": ("label", "labels", "class", "category", "target"),
    "split": ("split", "part", "subset"),
    "mask": ("mask", "mask_path", "mask_file"),
}
"""What each column of a table of labels may be called, the usual name first."""
OF_QUESTIONS = "question"
HEAD_BYTES = 1 << 16
SEPARATORS = (",", ";", "\t", "|")


def looks_like_labels(paths: Sequence[Path]) -> bool:
    """Whether data is one table of images and labels, or a folder with such tables for its parts."""
    if len(paths) != 1:
        return False
    if not paths[0].is_dir():
        return is_label_table(paths[0])
    try:
        return any(is_label_table(path) for path in paths[0].iterdir())
    except OSError:
        return False


def is_label_table(path: Path) -> bool:
    """Whether a file is a table with columns for images and labels, and none for questions."""
    if path.suffix.lower() not in TABLE_SUFFIXES:
        return False
    names = read_column_names(path)
    return OF_QUESTIONS not in names and all(column_for(role, names) is not None for role in ("image", "label"))


def column_for(role: str, names: Sequence[str]) -> str | None:
    """The column of a table that plays a role; None where it has none."""
    return next((name for name in COLUMNS[role] if name in names), None)


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
