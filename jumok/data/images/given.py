"""Images as people hold them in Python: one or several, as paths, Pillow images, arrays or tensors."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from jumok.data.images.reading import ImageLike, open_image
from jumok.errors import JumokError

__all__ = ["GivenImage", "GivenImages", "open_given", "read_opened", "split_given"]

GivenImage: TypeAlias = "Tensor | ImageLike"
"""One image: a path, a file's bytes, a file opened for reading them, a Pillow image, an array (height, width[,
channels]), or a tensor (channels, height, width); numbers are uint8, or fractions from 0 to 1."""
GivenImages: TypeAlias = "GivenImage | Iterable[GivenImage]"
MOST_CHANNELS = 4


def split_given(images: GivenImages) -> tuple[list[GivenImage], bool]:
    """One image or several as a list, and whether it was one.

    An array or tensor with an axis more than an image is a batch of them.

    Raises:
        JumokError: an array or tensor that is neither.

    >>> split_given("a.png"), split_given(["a.png"]), split_given(np.zeros((2, 4, 4, 3)))[1]
    ((['a.png'], True), (['a.png'], False), False)
    """
    if isinstance(images, np.ndarray) and images.dtype.kind in "UO":  # paths, as a column of a table gives them
        return images.ravel().tolist(), images.ndim == 0
    if isinstance(images, Tensor | np.ndarray):
        if images.ndim not in (2, 3, 4):
            kind = "a tensor (3, height, width)" if isinstance(images, Tensor) else "an array (height, width, 3)"
            raise JumokError(f"an image is {kind}, and several have an axis in front: got {tuple(images.shape)}")
        return (list(images), False) if images.ndim == 4 else ([images], True)
    if hasattr(images, "read"):
        return [read_opened(images)], True
    if isinstance(images, str | bytes | os.PathLike | Image.Image):
        return [images], True
    if not isinstance(images, Iterable):
        raise JumokError(
            f"wanted a path, a Pillow image, an array, a tensor, or a list of these, got {type(images).__name__}"
        )
    return list(images), False


def open_given(image: GivenImage, *, bits: int | None = None) -> Image.Image:
    """One image as RGB, as `open_image` reads it.

    Raises:
        JumokError: one that cannot be read, or numbers that are no image's.

    >>> open_given(np.full((4, 6), 0.5)).size
    (6, 4)
    """
    if isinstance(image, Tensor):
        return open_image(_round(_put_channels_last(image)), bits=bits)
    return open_image(_round(image) if isinstance(image, np.ndarray) else read_opened(image), bits=bits)


def read_opened(image: Any) -> Any:
    """The bytes of a file that was opened for reading them; anything else as it is."""
    return image.read() if hasattr(image, "read") else image


def _put_channels_last(image: Tensor) -> NDArray[Any]:
    """(channels, height, width) or (height, width) as an array (height, width[, channels])."""
    if image.ndim == 3 and image.shape[0] > MOST_CHANNELS and image.shape[-1] <= MOST_CHANNELS:
        raise JumokError(
            f"a tensor image is (3, height, width), got {tuple(image.shape)}: call .permute(2, 0, 1), or give an array"
        )
    values: NDArray[Any] = image.detach().cpu().numpy()
    return np.moveaxis(values, 0, -1) if values.ndim == 3 else values


def _round(values: NDArray[Any]) -> NDArray[Any]:
    """Fractions from 0 to 1 as uint8; others as they are."""
    if not np.issubdtype(values.dtype, np.floating) or values.size == 0:
        return values
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # NaN is neither
        way = (
            "divide it by 255, or give uint8"
            if low >= 0 and high <= 255
            else "give it as it was before it was normalised"
        )
        raise JumokError(f"an image of floats holds fractions from 0 to 1, got {low:.3g} to {high:.3g}: {way}")
    return np.asarray((values * 255).round().astype(np.uint8))
