"""Which texts a command judges: those that were given, or a part of the run's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from jumok.errors import JumokError
from jumok.tasks.running.config import Strict

if TYPE_CHECKING:
    from jumok.data.labelled.text_set import TextSet
    from jumok.tasks.label.run import TextRun

__all__ = ["ChosenTexts", "TextOptions", "choose_texts", "stream_inputs"]


class TextOptions(Strict):
    """Options of commands that read texts."""

    text_column: str | None = Field(default=None, description="Column of the texts (left out: as in training).")
    label_column: str | None = Field(default=None, description="Column of the classes (left out: as in training).")


class ChosenTexts(NamedTuple):
    """Texts to judge.

    Args:
        texts: with their classes.
        part: of the run's own that they are, or "all".
        files: that hold them.
        remarks: what the user should know.
    """

    texts: TextSet
    part: str
    files: Sequence[Path]
    remarks: Sequence[str]


def choose_texts(run: TextRun, data: Sequence[Path], options: TextOptions, split: str) -> ChosenTexts:
    """Choose the texts: of the tables given, or else of the run's own.

    Args:
        run: a text classifier.
        data: tables; none for the run's own.
        options: names of columns.
        split: the part, or "auto" or "all".
    Raises:
        JumokError: texts that cannot be read, of a class that the run does not have, or none in that part.
    """
    from jumok.data.labelled.text_set import read_texts
    from jumok.tasks.label.prepare import columns_of, find_parts

    own = run.config.data
    chosen = own.model_copy(update=options.model_dump(exclude_none=True, include=set(TextOptions.model_fields)))
    if data and [str(path.resolve()) for path in data] != [own.texts]:
        if split not in ("auto", "all"):
            raise JumokError("tables other than the run's own are judged whole: leave out --split")
        found = read_texts(data, run.classes, columns_of(chosen))
        return ChosenTexts(found, "all", data, [*found.notes, *_describe_known(run, found)])
    if split == "all":
        raise JumokError("--split all is not offered here: choose test, val or train, or give a table")
    part = "test" if split == "auto" else split
    parts = find_parts(chosen, run.config.training.seed)
    if parts["train"].classes != run.classes:
        raise JumokError(f"{own.texts} has other classes than when this run began: give a table")
    if not len(parts[part]):
        raise JumokError(f"there are no {part} texts: choose another --split, or give a table")
    seen = _describe_known(run, parts[part]) if part == "test" else []
    return ChosenTexts(parts[part], part, [Path(own.texts or "")], list(seen))


def _describe_known(run: TextRun, texts: TextSet) -> list[str]:
    """How many of the texts the run was trained on."""
    from jumok.data.labelled.text_set import hash_text
    from jumok.tasks.running.trained_on import describe_learnt

    return describe_learnt(run.folder, list(map(hash_text, texts.texts)), "texts")


def stream_inputs(paths: Sequence[Path], run: TextRun, options: TextOptions) -> Iterator[tuple[Path, int, str]]:
    """Give the texts of files one by one, with file and number: tables, and text files with a text per line.

    Raises:
        JumokError: a file that cannot be read.
    """
    from jumok.data.labelled.text_set import Columns, stream_texts
    from jumok.data.table_heads import TABLE_SUFFIXES
    from jumok.data.texts.normal_form import read_lines

    columns = Columns(options.text_column or run.config.data.text_column)
    for path in paths:
        texts = stream_texts(path, columns) if path.suffix.lower() in TABLE_SUFFIXES else read_lines(path)
        for number, text in enumerate(texts, 1):
            yield path, number, text
