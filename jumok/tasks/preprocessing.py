"""What all tasks with images share: the size that images are brought to, their statistics, and their normal form."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from jumok.data.images.batches import PixelStore
from jumok.data.images.bit_depths import find_bits
from jumok.data.images.given import GivenImage as ImageLike
from jumok.data.images.given import open_given, read_opened
from jumok.data.images.reading import image_size, read_image, resize
from jumok.errors import JumokError
from jumok.tasks.image_settings import ImageSettings

__all__ = [
    "Fit",
    "ImageLike",
    "Preprocessing",
    "channel_statistics",
    "choose_size",
    "has_few_patches",
    "normalise",
    "one_or_two",
    "stores",
    "to_three",
    "to_unit",
]

LARGEST_OWN_SIDE = 224
"""Images of one size up to this side are taken as they are; others are brought to a square of it."""
SIZED_IMAGES = 256
"""So many images are asked for their size."""
SIDE_MULTIPLE = 8
"""Sides that no patch divides into few enough patches are brought to a multiple of this."""
SMALL_PATCHES = (16, 8, 4, 2)
MOST_PATCHES = 1024
"""Patches along an own size that is kept: what attends to all of them stays quick."""
STATISTICS_IMAGES = 2048
"""So many images give the channels' mean and spread."""

Three = tuple[float, float, float]
Fit = Callable[[Tensor], Tensor]
"""From an image, (3, any, any) uint8, to one of a model's size, (3, height, width) uint8."""


@dataclass(frozen=True)
class Preprocessing:
    """What is done to an image before a model sees it.

    Args:
        size: (height, width) that images are stretched to: every pixel stays in view, so that maps lie on the image.
        mean, std: per channel, for values in [0, 1].
        bits: that 16-bit images use; None: what each image's values need.
        fit: brings an image to that size in another way than by stretching.
    """

    size: tuple[int, int]
    mean: Sequence[float]
    std: Sequence[float]
    bits: int | None = None
    fit: Fit | None = None

    def __call__(self, images: Iterable[ImageLike], device: torch.device) -> Tensor:
        """Bring pictures to the model's size and range, one by one: no two are held whole if they come one by one.

        Args:
            images: paths, files' bytes, Pillow images, arrays (height, width, 3) or tensors (3, height, width), of
                uint8 or fractions from 0 to 1.
            device: to put them on.
        Returns:
            (n, 3, height, width) float32.
        Raises:
            JumokError: no image, or one that cannot be read.
        """
        one = isinstance(images, str | bytes | os.PathLike | Image.Image | np.ndarray)
        resized = [] if one else [self._resize(image) for image in images]
        if not resized:
            raise JumokError(
                "prepare needs a list of at least one image: paths, Pillow images, arrays or uint8 tensors"
            )
        return self.normalise(torch.stack(resized), device)

    def normalise(self, images: Tensor, device: torch.device) -> Tensor:
        """(n, 3, height, width) uint8 to float32 of about zero mean and unit spread."""
        mean, std = (torch.tensor(values, device=device).reshape(3, 1, 1) for values in (self.mean, self.std))
        return normalise(to_unit(images.to(device)), mean, std)

    def undo(self, pixels: Tensor) -> Tensor:
        """(..., 3, height, width) of about zero mean back to uint8, rounded, on the CPU."""
        mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (self.mean, self.std))
        return ((pixels.detach().float().cpu() * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)

    def _resize(self, image: ImageLike) -> Tensor:
        if isinstance(image, Tensor) and image.dtype == torch.uint8 and image.ndim == 3 and image.shape[0] == 3:
            return resize(image, *self.size) if self.fit is None else self.fit(image)
        opened = open_given(image, bits=self.bits) if isinstance(image, Tensor | np.ndarray) else read_opened(image)
        if self.fit is None:
            return read_image(opened, self.size, bits=self.bits)
        return self.fit(read_image(opened, bits=self.bits))


def to_unit(images: Tensor) -> Tensor:
    """Pixels of uint8 as float32 in [0, 1]."""
    return images.to(torch.float32) / 255


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Bring pixels to about zero mean and unit spread.

    Args:
        images: (n, 3, height, width) float, in [0, 1].
        mean, std: (3, 1, 1) each, of the channels.
    """
    return (images - mean) / std


def choose_size(data: ImageSettings, paths: Sequence[Path]) -> tuple[tuple[int, int], str]:
    """Decide the size that images are brought to.

    Returns:
        (height, width), and why.
    """
    if data.image_size is not None:
        return data.size, "as asked"
    step = max(len(paths) // SIZED_IMAGES, 1)
    sizes = {image_size(path) for path in paths[::step]}
    height, width = next(iter(sizes)) or (0, 0)
    if len(sizes) == 1 and min(height, width) > 0 and max(height, width) <= LARGEST_OWN_SIDE:
        size = (height, width) if has_few_patches(height, width) else (_round_side(height), _round_side(width))
        return size, "as the images are" if size == (height, width) else f"the images are {height} x {width}"
    return (LARGEST_OWN_SIDE, LARGEST_OWN_SIDE), "the images have several sizes" if len(
        sizes
    ) > 1 else "the images are larger"


def one_or_two(size: tuple[int, int]) -> int | tuple[int, int]:
    """One side of a square, or (height, width)."""
    return size[0] if size[0] == size[1] else size


def channel_statistics(store: PixelStore) -> tuple[Three, Three]:
    """Mean and standard deviation of red, green and blue in [0, 1], over evenly spaced images."""
    step = max(len(store) // STATISTICS_IMAGES, 1)
    total, squares, count = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64), 0
    for indices in torch.arange(0, len(store), step).split(64):
        pixels = store.get(indices).to(torch.float64) / 255
        total += pixels.sum((0, 2, 3))
        squares += pixels.square().sum((0, 2, 3))
        count += pixels[:, 0].numel()
    mean = total / count
    std = (squares / count - mean.square()).clamp_min(0).sqrt().clamp_min(1 / 255)
    return _round_three(mean), _round_three(std)


def stores(
    data: ImageSettings,
    train: Sequence[Path],
    val: Sequence[Path],
    size: tuple[int, int],
    progress: Callable[[int, int], None] | None = None,
    fit: Fit | None = None,
) -> tuple[PixelStore, PixelStore]:
    """The pixels of the training and the validation images, which share the memory allowed.

    Images that fit in memory are read now, so that a bad one is found before anything is written. They are stretched to
    the size, unless `fit` brings them to it.

    Raises:
        JumokError: images that cannot be read, by name.
    """
    bits = find_bits([*train, *val]) if data.bits is None else data.bits
    first = PixelStore(train, *size, bits=bits, memory_limit=data.bytes, progress=progress, fit=fit)
    left = None if data.bytes is None else max(data.bytes, first.bytes) - first.bytes
    second = PixelStore(val, *size, bits=bits, memory_limit=left, fit=fit)
    return first.load(), second.load()


def has_few_patches(height: int, width: int) -> bool:
    """Whether a usual patch divides both sides, into not too many patches."""
    patch = next((patch for patch in SMALL_PATCHES if height % patch == 0 == width % patch), None)
    return patch is not None and (height // patch) * (width // patch) <= MOST_PATCHES


def _round_side(side: int) -> int:
    return max(side // SIDE_MULTIPLE, 1) * SIDE_MULTIPLE


def _round_three(values: Tensor) -> Three:
    return to_three([round(value, 6) for value in values.tolist()])


def to_three(values: Sequence[float]) -> Three:
    """One number for each of red, green and blue.

    Raises:
        JumokError: another number of them.
    """
    if len(values) != 3:
        raise JumokError(f"wanted a number for each of red, green and blue, got {len(values)}")
    first, second, third = map(float, values)
    return first, second, third
