"""Grids that cover a part of an image only, such as what a centre crop left of it, or more than it, with margins."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.language import translate

__all__ = ["Frame", "find_box", "lay_in_frame", "move_points", "place_frame", "tell_seen"]

Frame = tuple[float, float, float, float]
"""(top, left, bottom, right) of a part of an image, in shares of it; a part with margins around it goes beyond."""


def place_frame(inner: Frame | None, outer: Frame) -> Frame:
    """A part of a part, in shares of the whole.

    >>> place_frame((0.0, 0.0, 0.5, 1.0), (0.0, 0.5, 1.0, 1.0))
    (0.0, 0.5, 0.5, 1.0)
    """
    if inner is None:
        return outer
    top, left, tall, wide = outer[0], outer[1], outer[2] - outer[0], outer[3] - outer[1]
    return top + inner[0] * tall, left + inner[1] * wide, top + inner[2] * tall, left + inner[3] * wide


def move_points(points: Iterable[tuple[float, float]], frame: Frame) -> tuple[tuple[float, float], ...]:
    """Points (y, x) in [-1, 1] of a part of an image, in [-1, 1] of the whole."""
    top, left, bottom, right = frame
    return tuple((top + bottom - 1 + y * (bottom - top), left + right - 1 + x * (right - left)) for y, x in points)


def find_box(
    frame: Frame, cell: tuple[int, int], cells: tuple[int, int], height: int, width: int
) -> tuple[int, int, int, int]:
    """The pixels whose centres lie in a cell of a grid over a part of an image: (top, left, bottom, right)."""
    edges = []
    for axis, pixels in enumerate((height, width)):
        start, end = frame[axis], frame[axis + 2]
        shares = (start + (cell[axis] + step) / cells[axis] * (end - start) for step in (0, 1))
        edges.append([min(max(math.ceil(share * pixels - 0.5), 0), pixels) for share in shares])
    (top, bottom), (left, right) = edges
    return top, left, bottom, right


def lay_in_frame(grid: Tensor, frame: Frame, height: int, width: int, *, smooth: bool) -> Tensor:
    """Lay a grid over the part of an image that it covers; the rest is 0.

    Args:
        grid: (..., rows, columns).
        frame: that part.
        height, width: of the image, in pixels.
        smooth: interpolate between the centres of cells.
    Returns:
        (..., height, width).

    >>> lay_in_frame(torch.ones(1, 1), (0.0, 0.5, 1.0, 1.0), 1, 4, smooth=False)
    tensor([[0., 0., 1., 1.]])
    """
    top, left, bottom, right = frame
    down, across = _place_pixels(top, bottom, height, grid), _place_pixels(left, right, width, grid)
    inside = (((down >= 0) & (down < 1))[:, None] & ((across >= 0) & (across < 1))).to(grid.dtype)
    if smooth:
        return _interpolate(grid, down, across) * inside
    rows, columns = (
        (place * cells).floor().long().clamp(0, cells - 1)
        for place, cells in zip((down, across), grid.shape[-2:], strict=True)
    )
    return grid[..., rows, :][..., columns] * inside


def _place_pixels(start: float, end: float, pixels: int, grid: Tensor) -> Tensor:
    """(pixels,): the place of each pixel's centre along a frame, from 0 to 1 where it lies in it."""
    centres = (torch.arange(pixels, device=grid.device, dtype=torch.float64) + 0.5) / pixels
    return (centres - start) / (end - start)


def _interpolate(grid: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """(..., down, across): the grid between the centres of its cells; beyond the outermost ones as at these."""
    flat = grid.reshape(-1, 1, *grid.shape[-2:])
    places = torch.stack([each.to(grid.dtype) * 2 - 1 for each in torch.meshgrid(across, down, indexing="xy")], -1)
    found = F.grid_sample(
        flat, places.expand(len(flat), -1, -1, -1), mode="bilinear", padding_mode="border", align_corners=False
    )
    return found.reshape(*grid.shape[:-2], len(down), len(across))


def tell_seen(frame: Frame | None) -> str:
    """How much of an image a model was given, in words; empty where it was all of it.

    >>> tell_seen((0.0, 0.25, 1.0, 0.75)), tell_seen((-0.5, 0.0, 1.5, 1.0))
    ('the model saw 50% of the image; there is no heat where it saw nothing', '')
    """
    if frame is None:
        return ""
    top, left, bottom, right = (min(max(edge, 0.0), 1.0) for edge in frame)
    share = (bottom - top) * (right - left)
    if share >= 1:
        return ""
    return translate("the model saw {share} of the image; there is no heat where it saw nothing", share=f"{share:.0%}")
