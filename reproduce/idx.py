"""Images and labels in IDX files, as those of MNIST: plain or .gz, checked before they are believed."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jumok.errors import JumokError

PARTS = {"train": "train", "test": "t10k"}
UINT8 = 8
"""IDX's code for the type of the numbers."""
MOST_ITEMS, MOST_SIDE = 1_000_000, 1024
MOST_BYTES = 1 << 30
"""A file that says it holds more is refused."""


def read_digits(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """Read the images and labels of a part out of MNIST's four files.

    Args:
        folder: holds train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
            t10k-labels-idx1-ubyte, each plain or with .gz.
        part: "train" or "test".
    Returns:
        images: (count, rows, columns) uint8.
        labels: (count,) int64, 0 to 9.
    Raises:
        JumokError: a file is missing or is no IDX file, or images and labels do not fit each other.
    """
    images = read_idx(_find(folder, f"{PARTS[part]}-images-idx3-ubyte"), axes=3)
    labels = read_idx(_find(folder, f"{PARTS[part]}-labels-idx1-ubyte"), axes=1).long()
    if len(images) != len(labels) or not len(images):
        raise JumokError(f"{folder} has {len(images)} {part} images and {len(labels)} labels: wanted as many, and some")
    if int(labels.max()) > 9:
        raise JumokError(f"{folder} has the {part} label {int(labels.max())}: wanted digits, 0 to 9")
    return images, labels


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise JumokError(f"{folder} holds neither {name} nor {name}.gz: give the folder that holds MNIST's four files")


def read_idx(path: Path, *, axes: int) -> Tensor:
    """Read one IDX file of bytes.

    Two zeros, the type's code, the number of axes; each axis' length in four bytes, the highest first; the numbers.

    Args:
        path: a plain file, or a .gz.
        axes: how many it must have.
    Returns:
        uint8, one dimension per axis.
    Raises:
        JumokError: not an IDX file of bytes, another number of axes, lengths beyond reason, or a file that is longer
            or shorter than its head says.
    Source: http://yann.lecun.com/exdb/mnist/, "the IDX file format".
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            shape = _shape(path, file.read(4 + 4 * axes), axes)
            wanted = math.prod(shape)
            numbers = file.read(wanted + 1)  # one more, to see that there is none
    except (OSError, EOFError, zlib.error) as error:
        raise JumokError(f"{path} cannot be read ({error}): fetch or copy it again") from error
    if len(numbers) != wanted:
        got = "more" if len(numbers) > wanted else f"only {len(numbers)}"
        raise JumokError(f"{path} says {_times(shape)} = {wanted} bytes and holds {got}: fetch or copy it again")
    return torch.from_numpy(np.frombuffer(numbers, np.uint8).reshape(shape).copy())


def _shape(path: Path, head: bytes, axes: int) -> tuple[int, ...]:
    """The lengths of the axes, as the file's head has them."""
    if len(head) < 4 + 4 * axes or head[:2] != b"\0\0" or head[2] != UINT8 or head[3] != axes:
        wanted = bytes([0, 0, UINT8, axes]).hex(" ")
        raise JumokError(
            f"{path} begins with {head[:4].hex(' ') or 'nothing'}, wanted {wanted}, then {axes} lengths "
            f"(an IDX file of bytes with {axes} axes): give another file"
        )
    shape = tuple(int.from_bytes(head[at : at + 4], "big") for at in range(4, 4 + 4 * axes, 4))
    if shape[0] > MOST_ITEMS or max(shape[1:], default=1) > MOST_SIDE or math.prod(shape) > MOST_BYTES:
        raise JumokError(
            f"{path} says it holds {_times(shape)} bytes, and at most {MOST_ITEMS:,} images of "
            f"{MOST_SIDE} x {MOST_SIDE}, {MOST_BYTES:,} bytes in all, are read: give a smaller one"
        )
    return shape


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(length) for length in shape)
