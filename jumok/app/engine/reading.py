"""A data set that was written: what it is of, and some of its rows with their inputs."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jumok.app.engine.out_folder import read_key
from jumok.app.engine.query import to_expression
from jumok.app.engine.shards import Item
from jumok.app.engine.sources import open_source
from jumok.app.engine.tables import METADATA
from jumok.data.arrow import import_parquet
from jumok.errors import JumokError, foreign

__all__ = ["Looks", "is_data_set"]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2**64 over the golden ratio; and the multipliers of splitmix64 (Steele, Lea & Flood 2014)."""
MIXERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


def is_data_set(folder: Path) -> bool:
    """Whether a folder holds a data set of looks."""
    return read_key(folder) is not None


@dataclass(frozen=True)
class Looks:
    """A data set.

    Args:
        folder: that it lies in.
        key: what it depends on, see `OutFolder`.
        table: a `pyarrow.dataset.Dataset`.
        about: what its rows have in common.
    """

    folder: Path
    key: Mapping[str, Any]
    table: Any
    about: Mapping[str, Any]

    @staticmethod
    def open(folder: Path) -> Looks:
        """Open it.

        Raises:
            JumokError: it is damaged, or holds no row yet.
        """
        import_parquet()
        from pyarrow import dataset  # type: ignore[import-untyped]

        parts = sorted(map(str, folder.glob("part-*.parquet")))
        if not parts:
            raise JumokError(f"{folder} has no rows yet: run the command that writes it to its end")
        with foreign(f"cannot read {folder}", "write it again"):
            table = dataset.dataset(parts, format="parquet")
            about = json.loads(table.schema.metadata[METADATA])
        return Looks(folder, read_key(folder) or {}, table, about)

    def choose(self, where: str | None, most: int | None) -> tuple[list[int], int]:
        """Rows for which a query holds, by their numbers: at most so many, drawn by chance, and how many there are.

        With no bound it gives all of them.

        The draw depends on nothing but the numbers, and takes memory for those drawn alone.

        Raises:
            JumokError: a query that cannot be read, or that no row meets.
        """
        meant = None if where is None else to_expression(where, self.table.schema)
        drawn, count = np.empty(0, np.int64), 0
        for batch in self.table.to_batches(columns=["index"], filter=meant):
            drawn = np.concatenate([drawn, batch.column(0).to_numpy()])
            if most is not None:
                drawn = drawn[np.argsort(_shuffle(drawn))[:most]]
            count += batch.num_rows
        if not count:
            raise JumokError(f"no row of {self.folder} is such that {where}" if where else f"{self.folder} has no rows")
        return sorted(drawn.tolist()), count

    def rows(self, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Rows by their numbers, in their order."""
        from pyarrow import compute

        for batch in self.table.to_batches(filter=compute.field("index").isin(numbers)):
            yield from batch.to_pylist()

    def inputs(self, numbers: Sequence[int], tell: Callable[[str], None]) -> Iterator[Item]:
        """Inputs by their numbers, which rise, from where they came.

        Raises:
            JumokError: the source is not there, or has changed.
        """
        name, size = str(self.key["source"]), int(self.key["--shard-size"])
        source = open_source(name, size, self.key["column"], tell)
        if source.digest != self.key["names of the inputs"]:
            raise JumokError(f"{name} does not hold the inputs any more that {self.folder} was made of: write it again")
        for shard in map(source.shard, range(len(source))):
            first, last = (bisect_left(numbers, shard.begin + place) for place in (0, shard.count))
            inside = {number - shard.begin for number in numbers[first:last]}
            if inside:
                yield from (item for place, item in enumerate(shard.items()) if place in inside)


def _shuffle(numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Numbers that look drawn by chance, one for each and the same each time: splitmix64."""
    mixed = (numbers.astype(np.uint64) + np.uint64(1)) * GOLDEN
    for shift, factor in zip(SHIFTS, MIXERS, strict=False):
        mixed = (mixed ^ (mixed >> shift)) * factor
    return mixed ^ (mixed >> SHIFTS[-1])
