"""Images in rows of Parquet files: read a row group at a time, of which some are held."""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jumok.data.arrow import import_parquet, reading_parquet
from jumok.data.images.recognition import COLUMNS, column_for
from jumok.data.packed.stamps import Stamp
from jumok.data.table_rows import cell_text
from jumok.errors import JumokError, first_line

__all__ = ["WINDOW_BYTES", "Group", "ParquetImages", "index_parquet", "locate", "name_row", "read_parquet_image",
           "read_told"]  # fmt: skip

WINDOW_BYTES = 256 << 20
"""Of images that are shuffled among each other: so much is read together, and at most twice as much held."""
DIGITS = 9
ROLES = ("label", "split")


@dataclass(frozen=True)
class Group:
    """A row group.

    Args:
        first: its first row.
        rows: how many it has.
        bytes: of their images, decompressed.
    """

    first: int
    rows: int
    bytes: int


@dataclass(frozen=True)
class ParquetImages:
    """A Parquet file with images in it.

    Args:
        column: that holds them.
        groups: of rows.
        about: its metadata, which readers need.
        names: of the columns, as they are spelt.
        classes: names of the classes that a column of whole numbers stands for, by column.
    """

    column: str
    groups: tuple[Group, ...]
    about: Any
    names: tuple[str, ...]
    classes: dict[str, tuple[str, ...]]

    @property
    def rows(self) -> int:
        """All of them."""
        return sum(group.rows for group in self.groups)

    @property
    def bytes(self) -> int:
        """Of all images."""
        return sum(group.bytes for group in self.groups)


@cache
def index_parquet(stamp: Stamp) -> ParquetImages | None:
    """What is known of a file without reading its rows; None of one that holds no bytes of images.

    Raises:
        JumokError: it is damaged, or pyarrow is not installed.
    """
    parquet = import_parquet()
    with reading_parquet(Path(stamp.path)):
        about = parquet.read_metadata(stamp.path)
        schema = about.schema.to_arrow_schema()
    column = _find_column(schema)
    if column is None:
        return None
    groups, first = [], 0
    for number in range(about.num_row_groups):
        group = about.row_group(number)
        size = sum(
            group.column(place).total_uncompressed_size
            for place in range(group.num_columns)
            if group.column(place).path_in_schema.split(".")[0] == column
        )
        groups.append(Group(first, group.num_rows, size))
        first += group.num_rows
    return ParquetImages(column, tuple(groups), about, tuple(schema.names), _find_classes(schema))


def _find_column(schema: Any) -> str | None:
    """The column that holds bytes of images: one of a usual name, else the only one of bytes."""
    fits = [field.name for field in schema if _holds_bytes(field.type)]
    usual = [name for name in fits if name.lower() in COLUMNS["image"]]
    return usual[0] if usual else fits[0] if len(fits) == 1 else None


def _holds_bytes(kind: Any) -> bool:
    import pyarrow as pa  # type: ignore[import-untyped]

    if pa.types.is_struct(kind):
        return any(kind.field(place).name == "bytes" and _holds_bytes(kind.field(place).type) for place in
                   range(kind.num_fields))  # fmt: skip
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _find_classes(schema: Any) -> dict[str, tuple[str, ...]]:
    """The names of classes that `datasets` of Hugging Face writes down, by column."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return {
            name: tuple(map(str, each["names"]))
            for name, each in features.items()
            if isinstance(each, dict) and each.get("_type") == "ClassLabel" and each.get("names")
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


# -- what is true of rows -----------------------------------------------------------------------


def read_told(stamp: Stamp, split_by: str | None) -> Iterator[tuple[str, str, str]]:
    """The label, the part and the group of each row; empty where there is no such column.

    Raises:
        JumokError: the file is damaged, or has no column of labels or of the group's name.
    """
    images = index_parquet(stamp)
    assert images is not None
    spelt = {name.lower(): name for name in images.names if name != images.column}
    found = {role: column_for(role, list(spelt)) for role in ROLES}
    if found["label"] is None:
        raise JumokError(
            f"{stamp.path} has images in the column {images.column!r} and no column 'label': got "
            f"{', '.join(images.names)}"
        )
    group = None if split_by is None else split_by.strip().lower()
    if group is not None and group not in spelt:
        raise JumokError(f"{stamp.path} has no column {split_by!r}: it has {', '.join(images.names)}")
    wanted = [spelt[name] if name else None for name in (found["label"], found["split"], group)]
    with reading_parquet(Path(stamp.path)):
        file = import_parquet().ParquetFile(stamp.path, metadata=images.about)
        for batch in file.iter_batches(columns=sorted({name for name in wanted if name})):
            columns = [_spell(batch, name, images) for name in wanted]
            yield from zip(*columns, strict=True)


def _spell(batch: Any, name: str | None, images: ParquetImages) -> list[str]:
    """A column's cells as text."""
    if name is None:
        return [""] * batch.num_rows
    values, classes = batch.column(name).to_pylist(), images.classes.get(name)
    if classes is None:
        return [cell_text(value).strip() for value in values]
    return ["" if value is None or not 0 <= value < len(classes) else classes[value] for value in values]


# -- images -------------------------------------------------------------------------------------


def name_row(number: int) -> str:
    """What the image of a row is called; names sort as rows follow each other."""
    return f"{number:0{DIGITS}}"


def locate(images: ParquetImages, row: int) -> int:
    """The row group that a row lies in."""
    return bisect_right(images.groups, row, key=lambda group: group.first) - 1


def read_parquet_image(stamp: Stamp, name: str) -> bytes:
    """The bytes of a row's image.

    Raises:
        FileNotFoundError: there is no such row.
        JumokError: the row has no image, or the file is damaged.
    """
    images = index_parquet(stamp)
    if images is None or not name.isdecimal() or int(name) >= images.rows:
        raise FileNotFoundError(f"no row {name} in {stamp.path}")
    number = locate(images, int(name))
    value = HELD.get(stamp, images, number)[int(name) - images.groups[number].first].as_py()
    content = value.get("bytes") if isinstance(value, dict) else value
    if content is None:
        raise JumokError("there is no image in this row; remove it")
    return bytes(content)


class HeldGroups:
    """Row groups that were read last, of so many bytes in all, and one at least.

    Args:
        most: bytes.
    """

    def __init__(self, most: int) -> None:
        self._most, self._held = most, OrderedDict[tuple[Stamp, int], Any]()
        self._lock, self._locks = threading.Lock(), dict[tuple[Stamp, int], threading.Lock]()
        self.reads = 0

    def get(self, stamp: Stamp, images: ParquetImages, number: int) -> Any:
        """The images of a row group, a `pyarrow.ChunkedArray`; of threads that want the same one, one reads it."""
        key = (stamp, number)
        with self._lock:
            own = self._locks.setdefault(key, threading.Lock())
        with own:
            with self._lock:
                if key in self._held:
                    self._held.move_to_end(key)
                    return self._held[key]
            read = _read_group(stamp, images, number)
            with self._lock:
                self.reads += 1
                self._held[key] = read
                while len(self._held) > 1 and sum(each.nbytes for each in self._held.values()) > self._most:
                    self._locks.pop(self._held.popitem(last=False)[0], None)
            return read


HELD = HeldGroups(2 * WINDOW_BYTES)


def _read_group(stamp: Stamp, images: ParquetImages, number: int) -> Any:
    try:
        file = import_parquet().ParquetFile(Path(stamp.path), metadata=images.about)
        return file.read_row_group(number, columns=[images.column], use_threads=False).column(0)
    except Exception as error:  # a damaged file makes the library raise nearly anything
        first = images.groups[number].first
        raise JumokError(f"{stamp.path} is damaged from row {first} on ({first_line(error)}); replace it") from error
