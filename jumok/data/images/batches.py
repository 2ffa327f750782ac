"""Images as batches: decoded once where they fit, or again each time they are wanted."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from jumok.data.images.reading import image_size, read_image
from jumok.data.neighbours import Neighbours
from jumok.data.sharded_batches import BatchPlan, ShardedBatches, check_options, open_pool
from jumok.errors import JumokError
from jumok.machine import cores
from jumok.wording import write_count

IMAGES_PER_TASK = 16
"""So many images a thread decodes at a stretch."""
PIXELS_PER_TURN = 50_000_000
"""Of all full-size images that are held together; one larger image is held alone."""
MOST_MEMORY = 4 * 1024**3


class Batch(NamedTuple):
    """Some images: pixels (n, 3, height, width) uint8, labels (n, ...), and which of the set they are (n,) int64."""

    images: Tensor
    labels: Tensor
    indices: Tensor


class Source(Protocol):
    """What `Batches` draws from: a number of images, any of which can be had by their indices."""

    def __len__(self) -> int: ...

    def get(self, indices: Tensor) -> Tensor:
        """The images of these indices (n,): (n, 3, height, width) uint8."""


class PixelStore:
    """The pixels of a set of images at one size, in memory where they fit, else read again each time they are wanted.

    What fits is decoded once, by `load` or by the first `get`, into one block of uint8; the constructor reads nothing.
    What does not fit is decoded by as many threads as there are cores, and nothing of it is kept. The pixels are the
    same bytes either way: `read_image(path, (height, width), bits=bits)`, or what `fit` makes of the whole image.

    Args:
        paths: of the images.
        height, width: in pixels, to which every image is stretched, or brought by `fit`.
        bits: that 16-bit images use, as for `read_image`.
        memory_limit: in bytes; None: a quarter of the memory that is free, at most 4 GiB (see `memory_to_use`).
        progress: called with (images decoded, images in all) while they are decoded into memory.
        threads: that decode; None: one per core that this process may use.
        fit: makes (3, height, width) uint8 of an image at its own size, (3, any, any) uint8.
    Raises:
        JumokError: no image, or a size, limit or number of threads that is too small.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        height: int,
        width: int,
        *,
        bits: int | None = None,
        memory_limit: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        threads: int | None = None,
        fit: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        limit = memory_to_use() if memory_limit is None else memory_limit
        threads = cores() if threads is None else threads
        check_options(1, images=len(paths), height=height, width=width, threads=threads)
        check_options(0, memory_limit=limit)
        self.paths = tuple(paths)
        self.height, self.width, self.bits = height, width, bits
        self.in_memory = self.bytes <= limit
        self._progress = progress or _ignore_progress
        self._threads = threads
        self._fit = fit
        self._pixels: npt.NDArray[np.uint8] | None = None
        self._loading = threading.Lock()

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def bytes(self) -> int:
        """What all images together take when decoded."""
        return len(self.paths) * 3 * self.height * self.width

    def load(self) -> PixelStore:
        """Decode what fits in memory now rather than at the first `get`; where it does not fit, do nothing.

        Raises:
            JumokError: images that cannot be read, by name.
        """
        if self.in_memory:
            self._kept()
        return self

    def get(self, indices: Tensor) -> Tensor:
        """Give the images of these indices.

        Args:
            indices: (n,) int64.
        Returns:
            (n, 3, height, width) uint8, the caller's own.
        Raises:
            JumokError: images that cannot be read, by name.
            IndexError: an index outside the set.
        """
        if not self.in_memory:
            return torch.from_numpy(self._decode(indices.tolist(), _ignore_progress))
        # numpy copies on this thread alone; torch would wake a second team of threads beside the model's
        return torch.from_numpy(np.take(self._kept(), indices.numpy(), axis=0))

    def _kept(self) -> npt.NDArray[np.uint8]:
        """All pixels, decoded by whoever asks first while the others wait."""
        with self._loading:
            if self._pixels is None:
                self._pixels = self._decode(range(len(self)), self._progress)
            return self._pixels

    def _decode(self, indices: Sequence[int], progress: Callable[[int, int], None]) -> npt.NDArray[np.uint8]:
        """Read images by a pool of threads: (n, 3, height, width)."""
        pixels = np.empty((len(indices), 3, self.height, self.width), np.uint8)

        def decode(begin: int) -> list[str]:
            return self._decode_some(indices[begin : begin + IMAGES_PER_TASK], pixels[begin : begin + IMAGES_PER_TASK])

        problems: list[str] = []
        begins = range(0, len(indices), IMAGES_PER_TASK)
        with open_pool("decode", min(self._threads, max(len(begins), 1))) as pool:
            for begin, found in zip(begins, pool.map(decode, begins), strict=True):
                problems += found
                progress(min(begin + IMAGES_PER_TASK, len(indices)), len(indices))
        if problems:
            more = write_count(len(problems) - 1, "more image", "more images")
            others = f" (and {more} cannot be read)" if len(problems) > 1 else ""
            raise JumokError(problems[0] + others)
        return pixels

    def _decode_some(self, indices: Sequence[int], pixels: npt.NDArray[np.uint8]) -> list[str]:
        """Fill `pixels`; return what is wrong with the images that cannot be read."""
        problems = []
        for index, place in zip(indices, pixels, strict=True):
            try:
                place[:] = self._read(self.paths[index]).numpy()
            except JumokError as error:  # one bad image does not hide the others
                problems.append(str(error))
        return problems

    def _read(self, path: Path) -> Tensor:
        if self._fit is None:
            return read_image(path, (self.height, self.width), bits=self.bits)
        return self._fit(read_image(path, bits=self.bits))


class Batches(ShardedBatches[Batch]):
    """Batches of a set of images; see `ShardedBatches`.

    Args:
        source: the images, such as a `PixelStore`.
        labels: (n,) or (n, classes), one row per image.
        batch_size, seed, shuffle, drop_last, rank, world_size, neighbours: as for `BatchPlan`.
    Raises:
        JumokError: arguments that do not fit together.
    """

    def __init__(
        self,
        source: Source,
        labels: Tensor,
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool,
        drop_last: bool,
        rank: int = 0,
        world_size: int = 1,
        neighbours: Neighbours | None = None,
    ) -> None:
        if not labels.ndim or len(labels) != len(source):
            raise JumokError(f"wanted one label for each of the {len(source)} images, got shape {tuple(labels.shape)}")
        self.source, self.labels = source, labels
        plan = BatchPlan(len(source), batch_size, seed, shuffle, drop_last, rank, world_size, neighbours)
        super().__init__(plan, noun="images")

    def _read(self, indices: Tensor) -> Batch:
        return Batch(self.source.get(indices), self.labels[indices], indices)

    def _checksum(self) -> dict[str, int]:
        return {"labels": zlib.crc32(self.labels.numpy().tobytes())}


def take_turns(paths: Sequence[Path], most: int) -> Iterator[list[Path]]:
    """So many images at a time, or fewer where they are large: all of a turn lie in memory at their full size.

    Args:
        paths: of the images.
        most: images of a turn.
    """
    turn: list[Path] = []
    pixels = 0
    for path in paths:
        height, width = image_size(path) or (0, 0)
        if turn and (len(turn) == most or pixels + height * width > PIXELS_PER_TURN):
            yield turn
            turn, pixels = [], 0
        turn.append(path)
        pixels += height * width
    if turn:
        yield turn


def memory_to_use() -> int:
    """Bytes that decoded images may take by default: a quarter of what is free, at most 4 GiB."""
    return min(MOST_MEMORY, _free_memory() // 4)


def _free_memory() -> int:
    """What the machine has to spare, but no more than this process's container allows."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # not Linux
        free = MOST_MEMORY
    try:
        return min(free, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no container, or one that sets no bound
        return free


def _ignore_progress(done: int, total: int) -> None:
    """Progress that nobody asked for."""
