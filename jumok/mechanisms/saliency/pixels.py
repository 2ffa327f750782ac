"""What every saliency map begins with: images of many kinds brought to one form."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.errors import JumokError

__all__ = [
    "Band",
    "blur_binomial",
    "cut_bands",
    "cut_chunks",
    "lay_upright",
    "resize_back",
    "shrink_to",
    "to_batch",
    "to_unit",
]

WANTED_IMAGES = (
    "wanted (batch, channels, height, width) or one image without batch, with 1 (grey), 3 (RGB) or 4 (RGBA) channels"
)
BAND_PIXELS, LEAST_ROWS = 1 << 22, 512
"""Larger images are worked on in bands of so many pixels, of at least these rows."""
CHUNK_PIXELS = 1 << 20
"""Pixels that are worked on at once, so that a large batch needs no more memory than a few images."""


def to_batch(images: Tensor) -> Tensor:
    """Check images and bring them to grey or RGB on the CPU; what is transparent is laid over white.

    Args:
        images: (batch, channels, height, width), (channels, height, width) or (height, width); channels 1 (grey),
            3 (RGB) or 4 (RGBA); uint8 from 0 to 255, or float from 0 to 1.
    Returns:
        (batch, 1 or 3, height, width), uint8 or float32, contiguous.
    Raises:
        JumokError: another shape or type, no pixels, or floats outside 0 to 1.
    """
    if not isinstance(images, Tensor):
        raise JumokError(f"images are a tensor, got {type(images).__name__}: {WANTED_IMAGES}")
    shape = tuple(images.shape)
    if images.dim() == 2:
        images = images[None]
    batch = images[None] if images.dim() == 3 else images
    if batch.dim() != 4 or batch.shape[1] not in (1, 3, 4):
        raise JumokError(f"images have shape {shape}, {WANTED_IMAGES}")
    if 0 in batch.shape:
        raise JumokError(f"images of shape {shape} hold no pixels: {WANTED_IMAGES}")
    batch = _check(batch.detach().cpu())
    return (_lay_over_white(batch) if batch.shape[1] == 4 else batch).contiguous()


def _check(images: Tensor) -> Tensor:
    """uint8 as it is, floats as float32 from 0 to 1."""
    if images.dtype == torch.uint8:
        return images
    if not images.is_floating_point():
        raise JumokError(f"images are {images.dtype}, wanted uint8 from 0 to 255 or float from 0 to 1")
    low, high = (float(end) for end in images.aminmax())
    if not (low >= 0 and high <= 1):  # so that NaN is caught too
        raise JumokError(
            f"images hold floats from {low:.4g} to {high:.4g}, wanted 0 to 1: undo the normalisation first"
        )
    return images.float()


def _lay_over_white(images: Tensor) -> Tensor:
    opaque = to_unit(images[:, 3:])
    return (to_unit(images[:, :3]) * opaque + (1 - opaque)).clamp(0, 1)


def to_unit(images: Tensor) -> Tensor:
    """Values from 0 to 1, float32."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images.float()


def cut_chunks(images: Tensor, method: Callable[[Tensor], Tensor]) -> Tensor:
    """Run a method that treats each image by itself over a few images at a time.

    Args:
        images: (batch, channels, height, width).
        method: gives (few, height, width) for (few, channels, height, width).
    Returns:
        (batch, height, width).
    """
    batch, _, height, width = images.shape
    few = max(1, CHUNK_PIXELS // (height * width))
    if batch <= few:
        return method(images)
    maps = torch.empty(batch, height, width)
    for start in range(0, batch, few):
        maps[start : start + few] = method(images[start : start + few])
    return maps


class Band(NamedTuple):
    """Some rows of an image, from `top` to `end`, within those that a method must see for them."""

    first: int
    top: int
    end: int
    last: int

    @property
    def wide(self) -> slice:
        """All rows that must be seen."""
        return slice(self.first, self.last)

    @property
    def core(self) -> slice:
        """The band's own rows, among those that must be seen."""
        return slice(self.top - self.first, self.end - self.first)


def cut_bands(height: int, width: int, reach: int) -> list[Band]:
    """Bands of a large image for a method that keeps much for each pixel; one of all rows where the image is small.

    Args:
        height, width: of the image; a band is small where the height is the longer side.
        reach: how far a pixel's surround goes.
    """
    rows = max(BAND_PIXELS // width, LEAST_ROWS)
    return [
        Band(max(top - reach, 0), top, min(top + rows, height), min(top + rows + reach, height))
        for top in range(0, height, rows)
    ]


def lay_upright(images: Tensor, method: Callable[[Tensor], Tensor]) -> Tensor:
    """Run a method over images, over large ones that are wide with their sides swapped, so that bands are small.

    Args:
        images: (batch, channels, height, width).
        method: the same for both sides; gives (batch, height, width).
    """
    height, width = images.shape[2:]
    if height >= width or height * width <= BAND_PIXELS:
        return method(images)
    return method(images.mT.contiguous()).mT.contiguous()


def shrink_to(images: Tensor, longest: int) -> Tensor:
    """Scale images so that the longer side has so many pixels, with no other aliasing than the eye's own.

    Args:
        images: (batch, channels, height, width), float.
    Returns:
        (batch, channels, height, width) of the new size; the sides' ratio is kept to a pixel.
    """
    height, width = images.shape[2:]
    scale = longest / max(height, width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return images if size == (height, width) else F.interpolate(images, size, mode="bilinear", antialias=True)


def resize_back(maps: Tensor, height: int, width: int) -> Tensor:
    """(batch, rows, columns) to (batch, height, width), interpolated; values that are 0 or more stay so."""
    return F.interpolate(maps[:, None], (height, width), mode="bilinear", antialias=True)[:, 0].clamp_min_(0)


def blur_binomial(images: Tensor, step: int = 1) -> Tensor:
    """Blur by [1 4 6 4 1] / 16 along both sides; the image's own edge goes on beyond it.

    Args:
        images: (batch, channels, height, width), float.
        step: keep every so manieth row and column, from the first.
    Returns:
        (batch, channels, height / step, width / step), both rounded up.
    """
    padded = F.pad(images, (2, 2, 2, 2), mode="replicate")
    return _add_five(_add_five(padded, 3, step), 2, step)


def _add_five(padded: Tensor, dim: int, step: int) -> Tensor:
    """Weighted sums of five neighbours along one side: added as they lie, which is quicker than a convolution."""
    size = padded.shape[dim] - 4
    neighbours = (padded.narrow(dim, first, size) for first in range(5))
    a, b, c, d, e = (each[:, :, ::step] if dim == 2 else each[..., ::step] for each in neighbours)
    return (b + d).mul_(4).add_(a).add_(e).add_(c, alpha=6).div_(16)
