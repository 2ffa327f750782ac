"""What a source of inputs is: shards that never change, each read by itself, in order."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from jumok.data.images.listing import compose, list_subfolders
from jumok.errors import JumokError

__all__ = ["ClassFolders", "Item", "PathShard", "Paths", "Shard", "Source", "WholeFiles"]

BETWEEN = b"\0"


class Item(NamedTuple):
    """An input.

    Args:
        name: of it.
        content: an image, or a `JumokError` that says what is wrong with it.
        label: what is true of it, where the source knows.
    """

    name: str
    content: Any
    label: str | None = None


class Shard(Protocol):
    """Inputs that are looked at together, in plain values: it is read where they are looked at."""

    @property
    def begin(self) -> int:
        """The number of its first input among all."""

    @property
    def count(self) -> int:
        """Its inputs."""

    @property
    def labelled(self) -> bool:
        """Whether the source knows what is true of its inputs."""

    def items(self) -> Iterator[Item]:
        """Each of them, in order."""


class Source(Protocol):
    """All inputs."""

    @property
    def total(self) -> int:
        """Inputs there are."""

    @property
    def digest(self) -> str:
        """Of their names and their order."""

    @property
    def labels(self) -> set[str]:
        """What may be true of them; empty where the source does not know it."""

    def __len__(self) -> int:
        """Shards there are."""

    def shard(self, number: int) -> Shard:
        """One of them."""


# -- files of one image each --------------------------------------------------------------------


@dataclass(frozen=True)
class ClassFolders:
    """Folders whose folders are classes."""

    places: tuple[str, ...]

    def names(self) -> set[str]:
        """The classes."""
        return {compose(name) for place in self.places for name in list_subfolders(Path(place))}

    def label(self, path: str) -> str | None:
        """The class of an image below them; None where it lies in no class folder."""
        parts = Path(path).parts
        for place in self.places:
            above = Path(place).parts
            if parts[: len(above)] == above and len(parts) > len(above) + 1:
                return compose(parts[len(above)])
        return None


@dataclass(frozen=True)
class PathShard:
    """Some image files."""

    begin: int
    paths: tuple[str, ...]
    classes: ClassFolders | None = None

    @property
    def labelled(self) -> bool:
        return self.classes is not None

    @property
    def count(self) -> int:
        return len(self.paths)

    def items(self) -> Iterator[Item]:
        from jumok.app.engine.addresses import is_address, read_address

        for path in self.paths:
            label = None if self.classes is None else self.classes.label(path)
            try:
                yield Item(path, read_address(path) if is_address(path) else path, label)
            except JumokError as error:
                yield Item(path, error, label)


class Paths:
    """The names of image files, held as one block of bytes: a million take about as much memory as their list on disk.

    Args:
        names: in their order.
        size: of a shard.
        classes: the folders that say what is true of them; None: nothing says it.
    """

    def __init__(self, names: Iterable[str], size: int, classes: ClassFolders | None = None) -> None:
        self._size, self._classes, self.total = size, classes, 0
        self._names, self._begins = bytearray(), array("Q")
        for name in names:
            if self.total % size == 0:
                self._begins.append(len(self._names))
            self._names += name.encode("utf-8", "surrogateescape") + BETWEEN
            self.total += 1

    @property
    def labels(self) -> set[str]:
        """The class folders."""
        return set() if self._classes is None else self._classes.names()

    @property
    def digest(self) -> str:
        """Of the names."""
        return hashlib.sha256(self._names).hexdigest()

    def __len__(self) -> int:
        return len(self._begins)

    def shard(self, number: int) -> PathShard:
        """Some of them."""
        end = self._begins[number + 1] if number + 1 < len(self) else len(self._names)
        names = bytes(self._names[self._begins[number] : end]).split(BETWEEN)[:-1]
        paths = tuple(name.decode("utf-8", "surrogateescape") for name in names)
        return PathShard(number * self._size, paths, self._classes)


# -- files of many images each ------------------------------------------------------------------


class WholeFiles:
    """Files that hold many inputs each; no shard crosses from one to the next.

    Args:
        files: their names, in order.
        counts: inputs in each.
        size: of a shard.
        make: a shard, of a file, the place of its first input there and among all, and how many there are.
        labels: what may be true of the inputs; None: that is not known.
    """

    def __init__(
        self,
        files: Sequence[str],
        counts: Sequence[int],
        size: int,
        make: Callable[[str, int, int, int], Shard],
        labels: set[str] | None = None,
    ) -> None:
        self.labels = labels or set()
        self._files, self._counts, self._size, self._make = files, counts, size, make
        self._shards = list(accumulate((-(-count // size) for count in counts), initial=0))
        self._inputs = list(accumulate(counts, initial=0))

    @property
    def total(self) -> int:
        """Inputs there are."""
        return self._inputs[-1]

    @property
    def digest(self) -> str:
        """Of the names and sizes."""
        return hashlib.sha256(repr([*zip(self._files, self._counts, strict=True)]).encode()).hexdigest()

    def __len__(self) -> int:
        return self._shards[-1]

    def shard(self, number: int) -> Shard:
        """Some of them."""
        file = bisect_right(self._shards, number) - 1
        inside = (number - self._shards[file]) * self._size
        count = min(self._size, self._counts[file] - inside)
        return self._make(self._files[file], inside, self._inputs[file] + inside, count)
