"""Whether paths look like files of questions, by their names alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jumok.data.splits import split_named
from jumok.files import list_visible

__all__ = ["QUESTION_SUFFIXES", "looks_like_questions"]

QUESTION_SUFFIXES = (".csv", ".jsonl", ".json", ".tsv")
"""Endings of files of questions; in a folder, the first that train has is taken for all parts."""
AMBIGUOUS = ".tsv"
"""Sentence pairs have it too, so it tells nothing."""


def looks_like_questions(paths: Sequence[Path]) -> bool:
    """Whether there is a file of questions, or a folder that has one to train on."""
    names = [each for path in paths for each in (_list_training_files(path) if path.is_dir() else [path])]
    return any(each.suffix.lower() in QUESTION_SUFFIXES and each.suffix.lower() != AMBIGUOUS for each in names)


def _list_training_files(folder: Path) -> list[Path]:
    return [path for path in list_visible(folder) if path.is_file() and split_named(path.stem) == "train"]
