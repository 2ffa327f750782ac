"""Whether a file is a table of images and their labels, by the names of its columns alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jumok.data.table_heads import TABLE_SUFFIXES, read_column_names
from jumok.files import list_visible

__all__ = ["COLUMNS", "column_for", "is_label_table", "looks_like_labels"]

COLUMNS = {
    "image": ("image", "file_name", "filename", "file", "path", "image_path", "img"),
    "label": ("label", "labels", "class", "category", "target"),
    "split": ("split", "part", "subset"),
    "mask": ("mask", "mask_path", "mask_file"),
}
"""What each column of a table of labels may be called, the usual name first."""
OF_QUESTIONS = "question"
TAR = ".tar"
"""How files of images end that say of each what is true of it."""


def looks_like_labels(paths: Sequence[Path]) -> bool:
    """Whether data is one table of images and labels, a tar file, or a folder with such tables for its parts."""
    if len(paths) != 1:
        return False
    if paths[0].suffix.lower() == TAR:
        return paths[0].is_file()
    if not paths[0].is_dir():
        return is_label_table(paths[0])
    try:
        return any(is_label_table(path) for path in list_visible(paths[0]))
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
