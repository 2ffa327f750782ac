"""Whether paths look like sentence pairs, by their names alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["looks_like_pairs"]

TEXT_SUFFIXES = (".tsv", ".txt", ".gz")
"""Endings by which a file of sentences is known where it cannot be looked at."""


def looks_like_pairs(paths: Sequence[Path]) -> bool:
    """Whether these are files, one or several, or a folder whose parts are files."""
    several = len(paths) > 1 and not all(path.is_dir() for path in paths)
    return several or any(path.is_file() or _is_named_as_text(path) or _holds_text(path) for path in paths)


def _is_named_as_text(path: Path) -> bool:
    """Whether what is not there would have been a file of sentences."""
    return not path.exists() and path.suffix.lower() in TEXT_SUFFIXES


def _holds_text(folder: Path) -> bool:
    named = [path for path in folder.glob("train*") if path.is_dir() or path.suffix]
    return bool(named) and all(path.is_file() for path in named)
