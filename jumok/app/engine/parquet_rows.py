"""Images in the rows of Parquet files: bytes, paths, or both as data sets of Hugging Face keep them."""

from __future__ import annotations

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
ROWS_AT_A_TIME = 64


@dataclass(frozen=True)
class ParquetShard:
    """Some rows of a file."""

    column: str
    file: str
    inside: int
    begin: int
    count: int

    def items(self) -> Iterator[Item]:
        """Each of them; where the file cannot be read, each of the rest with the reason."""
        done = 0
        try:
            for row in self._rows():
                yield self._to_item(row, self.inside + done)
                done += 1
        except Exception as error:  # a damaged file makes the library raise nearly anything
            wrong = JumokError(f"cannot read {self.file} from row {self.inside + done} ({first_line(error)})")
            yield from ((f"{self.file}#{self.inside + number}", wrong) for number in range(done, self.count))

    def _rows(self) -> Iterator[dict[str, Any]]:
        """The rows as plain values, out of the row groups that hold them."""
        from pyarrow import parquet  # type: ignore[import-untyped]

        with open_bytes(self.file) as file, parquet.ParquetFile(file) as table:
            names = {name for name in (self.column, NAME) if name in table.schema_arrow.names}
            groups, skipped = _find_groups(table.metadata, self.inside, self.count)
            left = self.count
            for batch in table.iter_batches(ROWS_AT_A_TIME, groups, sorted(names), use_threads=False):
                rows = batch.slice(min(skipped, batch.num_rows), left).to_pylist()
                skipped = max(skipped - batch.num_rows, 0)
                left -= len(rows)
                yield from rows
                if not left:
                    return

    def _to_item(self, row: Mapping[str, Any], number: int) -> Item:
        image = row[self.column]
        wrapped = image.get("path") if isinstance(image, Mapping) else image
        named = [name for name in (row.get(NAME), wrapped) if isinstance(name, str) and name]
        name = named[0] if named else f"{self.file}#{number}"
        if isinstance(image, str) and is_address(image):
            try:
                return name, read_address(image)
            except JumokError as error:
                return name, error
        return name, JumokError("no image in this row") if image is None else image


def _find_groups(about: Any, inside: int, count: int) -> tuple[list[int], int]:
    """The row groups that rows lie in, and how many rows of these come before them."""
    groups, first, skipped = [], 0, 0
    for number in range(about.num_row_groups):
        rows = about.row_group(number).num_rows
        if first < inside + count and first + rows > inside:
            skipped = skipped if groups else inside - first
            groups.append(number)
        first += rows
    return groups, skipped


def find_parquet_inputs(files: Sequence[str], column: str | None, size: int) -> WholeFiles:
    """The rows of Parquet files, counted from the files' ends.

    Args:
        files: in order.
        column: that holds images; None: the first of image, bytes and path.
        size: of a shard.
    Raises:
        JumokError: a file that is no Parquet file, or without such a column; or no row in any.
    """
    from pyarrow import parquet

    counts, chosen = [], None
    for name in files:
        with (
            foreign(f"{name} is damaged or not a Parquet file", "replace it"),
            open_bytes(name) as file,
            parquet.ParquetFile(file) as table,
        ):
            counts.append(table.metadata.num_rows)
            schema = table.schema_arrow
        chosen = chosen or _choose_column(name, schema, column)
        _check_column(name, schema, chosen)
    if chosen is None or not sum(counts):
        raise JumokError(f"no row in {files[0]}{' and the other Parquet files' if len(files) > 1 else ''}")
    return WholeFiles(files, counts, size, partial(ParquetShard, chosen))


def _choose_column(file: str, schema: Any, wanted: str | None) -> str:
    if wanted is not None:
        return wanted
    found = next((name for name in IMAGE_COLUMNS if name in schema.names), None)
    if found is None:
        raise JumokError(
            f"{file} has the columns {', '.join(schema.names)}, and none is called {', '.join(IMAGE_COLUMNS)}: name "
            "the one of bytes or paths with --column"
        )
    return found


def _check_column(file: str, schema: Any, column: str) -> None:
    """Refuse a column that is not there, or holds neither bytes nor paths."""
    import pyarrow as pa  # type: ignore[import-untyped]

    if column not in schema.names:
        raise JumokError(f"{file} has no column {column!r}: it has {', '.join(schema.names)}")
    kind, types = schema.field(column).type, pa.types
    wrapped = types.is_struct(kind) and {"bytes", "path"} & {kind.field(place).name for place in range(len(kind))}
    texts = types.is_string(kind) or types.is_large_string(kind)
    if not (texts or wrapped or types.is_binary(kind) or types.is_large_binary(kind)):
        raise JumokError(f"{file}: column {column!r} holds {kind}, wanted bytes of image files or paths of them")
