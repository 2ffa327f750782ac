"""Which images of Parquet files are read together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from jumok.data.neighbours import Neighbours
from jumok.data.packed.members import find_member
from jumok.data.packed.parquet_images import WINDOW_BYTES, index_parquet, locate
from jumok.data.packed.stamps import stamp_of

__all__ = ["find_neighbours"]


def find_neighbours(paths: Sequence[Path], window: int = WINDOW_BYTES) -> Neighbours | None:
    """What is read together, of a set of images; None where each is read by itself, or all can be held together.

    Args:
        paths: of the images; all lie in Parquet files, or none does.
        window: bytes that are shuffled among each other.
    Raises:
        JumokError: a file that is damaged.
    """
    first = find_member(paths[0])
    if first is None or first[0].suffix.lower() != ".parquet":
        return None
    files = {path.parent: None for path in paths}  # in their order: rows lie directly in their file
    known = {file: images for file in files if (images := index_parquet(stamp_of(file))) is not None}
    if sum(images.bytes for images in known.values()) <= window:
        return None
    begins: dict[Path, int] = {}
    sizes: list[int] = []
    for file, images in known.items():
        begins[file] = len(sizes)
        sizes += [group.bytes for group in images.groups]
    blocks = [begins[path.parent] + locate(known[path.parent], int(path.name)) for path in paths]
    return Neighbours(torch.tensor(blocks), torch.tensor(sizes), window)
