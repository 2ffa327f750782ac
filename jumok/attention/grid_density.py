"""How densely a bent grid of places covers the pixels that it lies over."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

MOST_PARTS = 1 << 21
"""All pieces of a grid are laid out in at most so many parts, or one each: far larger than the image, it gets gaps."""

WIDEST_GAP_PIXELS = 0.25


def corners(grid: Tensor) -> Tensor:
    """Where the pieces of neighbouring places meet, and the outer border.

    Args:
        grid: (rows, columns, 2), 2 of each or more; a place's piece goes half the way to its neighbours.
    Returns:
        (rows + 1, columns + 1, 2).
    """
    wide = _extend_grid(grid)
    return (wide[:-1, :-1] + wide[:-1, 1:] + wide[1:, :-1] + wide[1:, 1:]) / 4


def density(grid: Tensor, weights: Tensor, height: int, width: int) -> Tensor:
    """Lay each weight over its place's piece of the grid, and add up what comes to lie on each pixel.

    Args:
        grid: (rows, columns, 2) float64, (y, x) in [-1, 1]; what lies beyond is left out.
        weights: (..., rows * columns).
        height, width: of the image, in pixels.
    Returns:
        (..., height, width), that add up to the weights inside, but for what a pixel at the border may be off.
    """
    parts = _count_parts(grid, height, width)
    places = _refine_grid(grid, parts).reshape(-1, 2).to(weights.device)
    shares = torch.cat(
        [weights.reshape(-1, grid.shape[0] * grid.shape[1]), _measure_pieces(grid, height, width).to(weights)]
    )
    shares = (shares.double() / parts**2).unflatten(-1, grid.shape[:2])
    shares = shares.repeat_interleave(parts, -2).repeat_interleave(parts, -1).flatten(-2)
    laid = _lay_shares(places, shares, height, width)
    image, covered = laid[:-1], laid[-1]
    # The parts fall on pixels unevenly, and weights and areas alike: so a pixel that is covered as good as once (or
    # twice, where the grid is folded) is taken to be, and an even density stays even.
    whole = covered.round()
    near = (covered - whole).abs() < WIDEST_GAP_PIXELS
    image = torch.where(near & (whole > 0), image / covered.clamp(min=WIDEST_GAP_PIXELS) * whole, image)
    return image.to(weights.dtype).reshape(*weights.shape[:-1], height, width)


def _lay_shares(places: Tensor, shares: Tensor, height: int, width: int) -> Tensor:
    """Give each pixel its part of the shares next to it: (n, places) to (n, height, width)."""
    shares = shares * (places.abs().amax(-1) <= 1)
    size = places.new_tensor([height, width])
    places = ((places + 1) / 2 * size - 0.5).clamp(places.new_zeros(2), size - 1)  # in pixels, from the first's centre
    corner = places.floor()
    image: Tensor = shares.new_zeros(len(shares), height * width)
    for step in places.new_tensor([[0, 0], [0, 1], [1, 0], [1, 1]]):
        near = (1 - (places - corner - step).abs()).prod(-1)
        y, x = torch.minimum(corner + step, size - 1).long().unbind(-1)
        image.index_add_(-1, y * width + x, shares * near)
    return image.reshape(-1, height, width)


def _measure_pieces(grid: Tensor, height: int, width: int) -> Tensor:
    """The area of each place's piece, in pixels: (1, rows * columns)."""
    edges = corners(grid) * grid.new_tensor([height, width]) / 2
    down, up = edges[1:, 1:] - edges[:-1, :-1], edges[:-1, 1:] - edges[1:, :-1]  # the piece's two diagonals
    return (down[..., 0] * up[..., 1] - down[..., 1] * up[..., 0]).abs().reshape(1, -1) / 2


def _extend_grid(grid: Tensor) -> Tensor:
    """A grid with one more place in line on every side: (rows + 2, columns + 2, 2)."""
    for dim in (0, 1):
        count = grid.shape[dim]
        first, second, before, last = (grid.narrow(dim, at, 1) for at in (0, 1, count - 2, count - 1))
        grid = torch.cat([2 * first - second, grid, 2 * last - before], dim)
    return grid


def _count_parts(grid: Tensor, height: int, width: int) -> int:
    """How often each piece is to be parted along a side so that no pixel is left out between two parts."""
    pixels = grid.new_tensor([height, width]) / 2
    longest = max(float((grid.diff(dim=dim).abs() * pixels).max()) for dim in (0, 1))
    most = math.isqrt(MOST_PARTS // (grid.shape[0] * grid.shape[1]))
    return max(min(math.ceil(2 * longest), most), 1)


def _refine_grid(grid: Tensor, parts: int) -> Tensor:
    """The centres of each piece's parts: (rows * parts, columns * parts, 2)."""
    wide = _extend_grid(grid).permute(2, 0, 1)[None]
    fine = F.interpolate(wide, scale_factor=parts, mode="bilinear", align_corners=False)[0].permute(1, 2, 0)
    return fine[parts:-parts, parts:-parts]
