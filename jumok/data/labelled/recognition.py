"""Whether a file is a table of texts and their labels, by the names of its columns alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jumok.data.splits import split_named
from jumok.data.table_heads import TABLE_SUFFIXES, read_column_names
from jumok.files import list_visible

__all__ = ["COLUMNS", "column_for", "find_part_tables", "looks_like_labelled_texts"]

COLUMNS = {
    "text": ("text", "sentence", "review", "comment", "content", "document"),
    "label": ("label", "labels", "class", "category"),
    "split": ("split", "part", "subset"),
}
"""What each column may be called, the usual name first."""
OF_QUESTIONS = "question"


def looks_like_labelled_texts(paths: Sequence[Path]) -> bool:
    """Whether data is one table of texts and labels, or a folder with such tables for its parts."""
    if len(paths) != 1:
        return False
    tables = list(find_part_tables(paths[0]).values()) if paths[0].is_dir() else paths
    return bool(tables) and all(map(_is_labelled, tables))


def _is_labelled(path: Path) -> bool:
    if path.suffix.lower() not in TABLE_SUFFIXES:
        return False
    names = read_column_names(path)
    return OF_QUESTIONS not in names and all(column_for(role, names) is not None for role in ("text", "label"))


def find_part_tables(folder: Path) -> dict[str, Path]:
    """The tables in a folder that are named after train, val and test, by part; none where train lacks."""
    try:
        files = [path for path in list_visible(folder) if path.suffix.lower() in TABLE_SUFFIXES]
    except OSError:
        return {}
    found = {part: path for path in files if (part := split_named(path.stem)) is not None}
    return found if "train" in found else {}


def column_for(role: str, names: Sequence[str]) -> str | None:
    """The column of a table that plays a role; None where it has none."""
    return next((name for name in COLUMNS[role] if name in names), None)
