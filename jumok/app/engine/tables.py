"""Rows of looks as Parquet files of plain types, which any reader opens; the rest is in the schema's metadata."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jumok.errors import JumokError
from jumok.extras import install_extra
from jumok.files import replacing
from jumok.wording import readable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jumok.app.engine.looker import Row
    from jumok.app.engine.opened import About

__all__ = ["METADATA", "check_arrow", "count_rows", "make_schema", "make_table", "write_table"]

METADATA = b"jumok"
"""The key of the schema's metadata whose value says, as JSON, what `About` holds."""
REPEATED = ["prediction", "target", "method", "error"]
"""Columns whose values come again and again."""


def check_arrow() -> None:
    """Make sure that Parquet can be read and written.

    Raises:
        JumokError: pyarrow is not installed.
    """
    try:
        import pyarrow  # type: ignore[import-untyped]  # noqa: F401
    except ModuleNotFoundError:
        raise JumokError(f"data sets need pyarrow, which is not installed: {install_extra('parquet')}") from None


def make_schema(about: About) -> Any:
    """The columns of a data set, a `pyarrow.Schema`."""
    import pyarrow as pa

    fields = [("index", pa.int64()), ("path", pa.string())]
    if about.classes:
        fields += [("prediction", pa.string()), ("probability", pa.float32())]
        fields += [("probabilities", pa.list_(pa.float32(), len(about.classes)))]
    else:
        fields += [("prediction", pa.float64())]
    if about.places:
        kind = pa.float16() if about.map_type == "float16" else pa.float32()
        fields += [("target", pa.string()), ("method", pa.string())]
        fields += [("frame", pa.list_(pa.float32(), 4)), ("map", pa.list_(kind, about.places))]
    return pa.schema([*fields, ("error", pa.string())], {METADATA: json.dumps(about.to_dict(), ensure_ascii=False)})


def make_table(begin: int, names: Sequence[str], rows: Sequence[Row], about: About) -> Any:
    """Rows as a `pyarrow.Table`.

    Args:
        begin: the number of the first input among all.
        names: of the inputs.
        rows: as many.
        about: what they have in common.
    """
    import pyarrow as pa

    schema = make_schema(about)
    own: dict[str, Any] = {"index": np.arange(begin, begin + len(rows)), "path": [readable(name) for name in names]}
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
