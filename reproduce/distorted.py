"""Digits that are turned, scaled and moved, drawn anew each time they are asked for.

Source: Jaderberg et al. 2015, arXiv 1506.02025, 4.1 and the appendix on distorted MNIST: R turns a digit by -90 to 90
degrees; RTS turns it by -45 to 45 degrees, scales it by 0.7 to 1.2 and puts it at a random place of a 42 x 42 image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from jumok.mechanisms.spatial_transformer import affine_grid, sample

QUARTER = math.pi / 2
CANVAS = 42
SCALES = (0.7, 1.2)


def turned(pixels: Tensor, draw: torch.Generator) -> Tensor:
    """Each digit turned about its image's centre by -90 to 90 degrees, all alike likely.

    Args:
        pixels: (batch, 1, side, side) float in [0, 1], 0 around the digit.
        draw: of the angles.
    Returns:
        as `pixels`.
    """
    angles = _between(-QUARTER, QUARTER, len(pixels), draw)
    return _placed(pixels, angles, torch.ones_like(angles), torch.zeros(len(pixels), 2), pixels.shape[-1])


def turned_scaled_moved(pixels: Tensor, draw: torch.Generator) -> Tensor:
    """Each digit turned by -45 to 45 degrees, scaled by 0.7 to 1.2, and put at a random place of a 42 x 42 image.

    Every place at which the digit's scaled image lies in the larger one whole is as likely.

    Args:
        pixels: (batch, 1, side, side) float in [0, 1], 0 around the digit, side at most 35.
        draw: of angles, scales and places.
    Returns:
        (batch, 1, 42, 42).
    """
    angles = _between(-QUARTER / 2, QUARTER / 2, len(pixels), draw)
    scales = _between(*SCALES, len(pixels), draw)
    room = (CANVAS - pixels.shape[-1] * scales) / 2
    places = (2 * torch.rand(len(pixels), 2, generator=draw) - 1) * room[:, None]
    return _placed(pixels, angles, scales, places, CANVAS)


DISTORTIONS: Mapping[str, Callable[[Tensor, torch.Generator], Tensor]] = {"R": turned, "RTS": turned_scaled_moved}


def _between(low: float, high: float, count: int, draw: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=draw)


def _placed(pixels: Tensor, angles: Tensor, scales: Tensor, places: Tensor, side: int) -> Tensor:
    """Turn and scale each image about its centre, and put that so many pixels (x, y) from the centre of a new one."""
    # A place p of the new image shows the place R (p - c) / s of the old one; both in pixels from their centres.
    cos, sin = angles.cos() / scales, angles.sin() / scales
    matrix = torch.stack([cos, sin, -sin, cos], 1).unflatten(1, (2, 2))
    moved = -(matrix @ places[..., None])
    units = pixels.new_tensor([side, side, 2]) / pixels.shape[-1]
    numbers = torch.cat([matrix, moved], 2) * units
    return sample(pixels, affine_grid(numbers.flatten(1), side, side))
