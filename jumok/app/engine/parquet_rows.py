"""Images in the rows of Parquet files: bytes, paths, or both as data sets of Hugging Face keep them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from jumok.app.engine.addresses import is_address, open_bytes, read_address
from jumok.app.engine.looker import IMAGE_COLUMNS
from jumok.app.engine.shards import Item, WholeFiles
from jumok.errors import JumokError, first_line, foreign

__all__ = ["ParquetShard", "find_parquet_inputs"]

NAME = "path"
"""The column that names a row, where it holds text."""
LABEL = "label"
"""The column that says what is true of a row, where it holds texts or numbers whose names are in the schema."""
TEXT_COLUMNS = ("text", "source", "sentence")
ROWS_AT_A_TIME = 64
MOST_LABELS = 1 << 16
"""That are listed."""


@dataclass(frozen=True)
class ParquetShard:
    """Some rows of a file."""

    column: str
    file: str
    inside: int
    begin: int
    count: int
    classes: tuple[str, ...] | None = None
    texts: bool = False

    @property
    def labelled(self) -> bool:
        return self.classes is not None

    def items(self) -> Iterator[Item]:
        """Each of them; of a row group that cannot be read, each of its rows with the reason."""
        from pyarrow import parquet  # type: ignore[import-untyped]

        number = self.inside
        with open_bytes(self.file) as file, parquet.ParquetFile(file) as table:
            for group, skipped, count in _find_groups(table.metadata, self.inside, self.count):
                yield from self._read_group(table, group, skipped, number, count)
                number += count

    def _read_group(self, table: Any, group: int, skipped: int, first: int, count: int) -> Iterator[Item]:
        """Some rows of a row group; what cannot be read of them has the reason."""
        done = 0
        try:
            for row in self._read_rows(table, group, skipped, count):
                yield self._to_item(row, first + done)
                done += 1
        except Exception as error:  # a damaged file makes the library raise nearly anything
            wrong = JumokError(f"cannot read {self.file} from row {first + done} ({first_line(error)}): replace it")
            yield from (Item(f"{self.file}#{first + place}", wrong) for place in range(done, count))

    def _read_rows(self, table: Any, group: int, skipped: int, count: int) -> Iterator[dict[str, Any]]:
        """The rows as plain values, a few at a time."""
        wanted = (self.column, NAME, *([LABEL] if self.labelled else []))
        names = sorted({name for name in wanted if name in table.schema_arrow.names})
        for batch in table.iter_batches(ROWS_AT_A_TIME, [group], names, use_threads=False):
            rows = batch.slice(min(skipped, batch.num_rows), count).to_pylist()
            skipped = max(skipped - batch.num_rows, 0)
            count -= len(rows)
            yield from rows

    def _to_item(self, row: Mapping[str, Any], number: int) -> Item:
        image = row[self.column]
        if self.texts:
            missing = JumokError("no text in this row")
            return Item(f"{self.file}#{number}", missing if image is None else image, self._read_label(row.get(LABEL)))
        wrapped = image.get("path") if isinstance(image, Mapping) else image
        named = [name for name in (row.get(NAME), wrapped) if isinstance(name, str) and name]
        name, label = named[0] if named else f"{self.file}#{number}", self._read_label(row.get(LABEL))
        if isinstance(image, str) and is_address(image):
            try:
                return Item(name, read_address(image), label)
            except JumokError as error:
                return Item(name, error, label)
        return Item(name, JumokError("no image in this row") if image is None else image, label)

    def _read_label(self, value: Any) -> str | None:
        if isinstance(value, int) and self.classes and 0 <= value < len(self.classes):
            return self.classes[value]
        return value if isinstance(value, str) else None


def _find_groups(about: Any, inside: int, count: int) -> Iterator[tuple[int, int, int]]:
    """The row groups that rows lie in: which, how many of its rows come before them, and how many of them it has."""
    first = 0
    for number in range(about.num_row_groups):
        end = first + about.row_group(number).num_rows
        begin, last = max(first, inside), min(end, inside + count)
        if begin < last:
            yield number, begin - first, last - begin
        first = end


def find_parquet_inputs(files: Sequence[str], column: str | None, size: int, *, texts: bool = False) -> WholeFiles:
    """The rows of Parquet files, counted from the files' ends.

    Args:
        files: in order.
        column: that holds images; None: the first of image, bytes and path; of texts, of text, source and sentence.
        size: of a shard.
        texts: the column holds texts, and not images.
    Raises:
        JumokError: a file that is no Parquet file, or without such a column; or no row in any.
    """
    from pyarrow import parquet

    counts, chosen, classes = [], None, None
    for name in files:
        with (
            foreign(f"{name} is damaged or not a Parquet file", "replace it"),
            open_bytes(name) as file,
            parquet.ParquetFile(file) as table,
        ):
            counts.append(table.metadata.num_rows)
            schema = table.schema_arrow
        chosen = chosen or column or _choose_column(name, schema, TEXT_COLUMNS if texts else IMAGE_COLUMNS)
        classes = _find_classes(schema) if len(counts) == 1 else classes
        _check_column(name, schema, chosen, texts)
    if chosen is None or not sum(counts):
        raise JumokError(f"no row in {files[0]}{' and the other Parquet files' if len(files) > 1 else ''}")
    labels = _list_labels(files) if classes == () else set(classes or ())
    return WholeFiles(files, counts, size, partial(ParquetShard, chosen, classes=classes, texts=texts), labels)


def _list_labels(files: Sequence[str]) -> set[str]:
    """The texts in a column of labels, a row group at a time; of far more than classes are, the first."""
    from pyarrow import compute, parquet

    found: set[str] = set()
    for name in files:
        with (
            foreign(f"{name} is damaged or not a Parquet file", "replace it"),
            open_bytes(name) as file,
            parquet.ParquetFile(file) as table,
        ):
            for group in range(table.num_row_groups if LABEL in table.schema_arrow.names else 0):
                column = table.read_row_group(group, [LABEL]).column(0)
                found |= {each for each in compute.unique(column).to_pylist() if isinstance(each, str)}
                if len(found) > MOST_LABELS:
                    return found
    return found


def _find_classes(schema: Any) -> tuple[str, ...] | None:
    """The names of the numbers in a column of labels, as Hugging Face keeps them; none of texts; None: no column."""
    import pyarrow as pa

    if LABEL not in schema.names:
        return None
    kind = schema.field(LABEL).type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return ()
    try:
        names = json.loads(schema.metadata[b"huggingface"])["info"]["features"][LABEL]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    return tuple(map(str, names)) if pa.types.is_integer(kind) else None


def _choose_column(file: str, schema: Any, usual: Sequence[str]) -> str:
    found = next((name for name in usual if name in schema.names), None)
    if found is None:
        raise JumokError(
            f"{file} has the columns {', '.join(schema.names)}, and none is called {', '.join(usual)}: name the one "
            "that is meant with --column"
        )
    return found


def _check_column(file: str, schema: Any, column: str, texts: bool) -> None:
    """Refuse a column that is not there, or holds neither bytes nor paths; of texts, one that holds none."""
    import pyarrow as pa

    if column not in schema.names:
        raise JumokError(f"{file} has no column {column!r}: it has {', '.join(schema.names)}")
    kind, types = schema.field(column).type, pa.types
    if texts and not (types.is_string(kind) or types.is_large_string(kind)):
        raise JumokError(f"{file}: column {column!r} holds {kind}, wanted texts")
    wrapped = types.is_struct(kind) and {"bytes", "path"} & {kind.field(place).name for place in range(len(kind))}
    paths = types.is_string(kind) or types.is_large_string(kind)
    if not (paths or wrapped or types.is_binary(kind) or types.is_large_binary(kind)):
        raise JumokError(f"{file}: column {column!r} holds {kind}, wanted bytes of image files or paths of them")
