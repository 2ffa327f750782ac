"""Rows of looks as Parquet files of plain types, which any reader opens; the rest is in the schema's metadata."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jumok.app.engine.verb import Column
from jumok.errors import JumokError
from jumok.files import replacing
from jumok.wording import readable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jumok.app.engine.verb import About, Row

__all__ = ["METADATA", "count_rows", "make_schema", "make_table", "write_table"]

METADATA = b"jumok"
"""The key of the schema's metadata whose value says, as JSON, what all rows have in common."""
REPEATED = ["label", "prediction", "target", "method", "verdict", "error"]
"""Columns whose values come again and again."""


def make_schema(about: About, *, labelled: bool = False) -> Any:
    """The columns of a data set, a `pyarrow.Schema`.

    Args:
        about: what its rows have in common.
        labelled: whether the source knows what is true of its inputs.
    """
    import pyarrow as pa  # type: ignore[import-untyped]

    own = {"index": Column("int64"), "path": Column("text"), **({"label": Column("text")} if labelled else {})}
    columns = {**own, **about.columns(), "error": Column("text")}
    metadata = {METADATA: json.dumps(about.to_dict(), ensure_ascii=False)}
    return pa.schema([(name, _to_arrow(column)) for name, column in columns.items()], metadata)


def _to_arrow(column: Column) -> Any:
    import pyarrow as pa

    kind = pa.string() if column.kind == "text" else getattr(pa, column.kind)()
    one = pa.list_(kind, column.size) if column.size else kind
    return pa.list_(one) if column.many else one


def make_table(
    begin: int, names: Sequence[str], rows: Sequence[Row], about: About, labels: Sequence[str | None] | None = None
) -> Any:
    """Rows as a `pyarrow.Table`.

    Args:
        begin: the number of the first input among all.
        names: of the inputs.
        rows: as many.
        about: what they have in common.
        labels: as many; None: the source knows none.
    """
    import pyarrow as pa

    schema = make_schema(about, labelled=labels is not None)
    own: dict[str, Any] = {"index": np.arange(begin, begin + len(rows)), "path": [readable(name) for name in names]}
    own["label"] = labels and [None if label is None else readable(label) for label in labels]
    columns = []
    for field in schema:
        values = own.get(field.name)
        if values is None:
            values = [getattr(row, field.name) for row in rows]
        fixed = pa.types.is_fixed_size_list(field.type)
        columns.append(_to_lists(values, field.type) if fixed else pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _to_lists(values: Sequence[NDArray[Any] | None], kind: Any) -> Any:
    """Rows of numbers as an array of lists; what is None is null."""
    import pyarrow as pa

    size = kind.list_size
    flat = np.zeros((len(values), size), kind.value_type.to_pandas_dtype())
    for place, value in zip(flat, values, strict=True):
        if value is not None:
            place[:] = value
    missing = pa.array([value is None for value in values])
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1), kind.value_type), type=kind, mask=missing)


def write_table(table: Any, path: Path, workshop: Path) -> None:
    """Write a table, whole or not at all: it is made in a folder where no reader looks, and takes its name at the end.

    Args:
        table: to write.
        path: of the file.
        workshop: a folder of the same file system.
    Raises:
        JumokError: it cannot be written.
    """
    from pyarrow import parquet

    made = workshop / path.name
    for left in workshop.glob(f".{path.stem}.*{path.suffix}"):  # by a process that died while it wrote this table
        left.unlink(missing_ok=True)
    with replacing(made) as fresh:
        parquet.write_table(table, fresh, compression="zstd", use_dictionary=_find_repeated(table))
    try:
        made.replace(path)
    except OSError as error:
        raise JumokError(f"cannot write {path}: {error.strerror or error}") from error


def _find_repeated(table: Any) -> list[str]:
    return [name for name in REPEATED if name in table.schema.names and str(table.schema.field(name).type) == "string"]


def count_rows(path: Path) -> tuple[int, int] | None:
    """The rows of a file and how many of them have an error, from the file's end; None of a file that is damaged."""
    from pyarrow import parquet

    try:
        about = parquet.read_metadata(path)
        place = about.schema.names.index("error")  # lists have one column each, so places are those of the schema
        fine = sum(
            about.row_group(number).column(place).statistics.null_count for number in range(about.num_row_groups)
        )
    except Exception:  # on damaged files the library raises nearly anything
        return None
    return about.num_rows, about.num_rows - fine
