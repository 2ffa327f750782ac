"""What pictures and pages share: one form for images, and one look for heat over them."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from jumok.attention import AttentionMap, Axis, Patches, Pixels, Scale
from jumok.errors import JumokError
from jumok.views.palette import GRAIN, HEAT_POWER, STRONGEST_HEAT

ImageLike: TypeAlias = "Tensor | Image.Image"
"""An image as users hold it: a uint8 tensor (3, height, width), or one of Pillow's."""

ROWS_AT_ONCE = 256
"""Of an image that are brought to another form together."""

Numbers: TypeAlias = "NDArray[np.floating[Any]]"


def as_pillow(image: ImageLike) -> Image.Image:
    """Bring an image to Pillow's RGB.

    Raises:
        JumokError: not a Pillow image, nor a uint8 tensor (3, height, width).
    """
    if isinstance(image, Image.Image):
        return image.convert("RGB")
    if not isinstance(image, Tensor):
        raise JumokError(f"an image is a uint8 tensor (3, height, width) or a Pillow image, got {type(image).__name__}")
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
        raise JumokError(f"an image is uint8 of shape (3, height, width), got {image.dtype} of {tuple(image.shape)}")
    pixels = image.detach().cpu()
    found = Image.new("RGB", (pixels.shape[2], pixels.shape[1]))
    for top in range(0, found.height, ROWS_AT_ONCE):  # all at once, a large image would be held once more
        rows = pixels[:, top : top + ROWS_AT_ONCE].permute(1, 2, 0)
        found.paste(Image.fromarray(rows.contiguous().numpy()), (0, top))
    return found


def fit(image: Image.Image, *, smallest: int, largest: int) -> Image.Image:
    """Scale so that the longer side lies within the bounds; the aspect ratio stays, small images keep hard pixels."""
    longer = max(image.size)
    wanted = min(max(longer, smallest), largest)
    if wanted == longer:
        return image
    width, height = (max(1, round(side * wanted / longer)) for side in image.size)
    return image.resize((width, height), Image.Resampling.NEAREST if wanted > longer else Image.Resampling.LANCZOS)


def find_cells(keys: Axis) -> tuple[int, int] | None:
    """Rows and columns of the grid that the keys make in an image; None if they make none."""
    if isinstance(keys, Patches):
        return keys.rows, keys.columns
    return (keys.height, keys.width) if isinstance(keys, Pixels) else None


def find_whole_cells(keys: Axis) -> tuple[int, int] | None:
    """As `find_cells`, as many as there would be if the grid covered the whole image."""
    cells, frame = find_cells(keys), getattr(keys, "frame", None)
    if cells is None or frame is None:
        return cells
    top, left, bottom, right = frame
    return max(round(cells[0] / (bottom - top)), 1), max(round(cells[1] / (right - left)), 1)


def is_signed(attention: AttentionMap) -> bool:
    """Whether the map's weights lie on both sides of 0, so that its colours must, too."""
    return attention.scale is Scale.SCORE or bool(attention.weights.amin() < 0)


def find_grain(heat: Numbers) -> Numbers | None:
    """Blur heat of single pixels, which cannot be seen over an image; None where it can be seen as it is.

    Args:
        heat: (height, width), any sign.
    Returns:
        the same blurred by `GRAIN` of its longer side, where that takes away more than half of its largest.
    """
    blurred = _blur(heat, GRAIN * max(heat.shape))
    return blurred if 2 * np.abs(blurred).max() < np.abs(heat).max() else None


def _blur(heat: Numbers, width: float) -> Numbers:
    """By a bell of a standard deviation in pixels, cut off at four of these; what lies outside counts as 0.

    Written out, as scipy's gaussian_filter is no part of what drawing needs.
    """
    reach = int(4 * width + 0.5)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    bell /= bell.sum()
    for axis, size in enumerate(heat.shape):
        spread = np.apply_along_axis(np.convolve, axis, heat, bell)
        heat = spread.take(np.arange(reach, reach + size), axis)
    return heat


def find_opacity(share: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much of the image the heat hides, for weights as shares of the largest, in [-1, 1]."""
    return np.float32(STRONGEST_HEAT) * np.minimum(np.abs(share), 1) ** np.float32(HEAT_POWER)
