"""Maps that know nothing of the model: what any score must be judged against."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from jumok.attention import Patches
from jumok.errors import JumokError

DEFAULT_GRID = (14, 14)  # of a ViT with 16-pixel patches at 224x224


def random_heat(
    height: int, width: int, random: np.random.Generator, *, grid: tuple[int, int] = DEFAULT_GRID
) -> Tensor:
    """Draw a map by chance: a uniform value for each patch of a grid.

    Noise per patch, not per pixel, is the stricter baseline: its blobs are as coarse as a map that
    attention gives, and now and then one lies on the mask by luck. The patches keep their edges: smoothing would favour
    the peaks at the image's border, which have fewer neighbours to be averaged with, and then chance would not score
    the mask's area.

    Args:
        height, width: of the image, in pixels.
        random: where the values are drawn from.
        grid: rows and columns of the map that is to be judged.
    Returns:
        (height, width), float32 in [0, 1].
    """
    values = torch.from_numpy(random.random(len(Patches(*grid)), dtype=np.float32))
    return values[number_patches(height, width, grid)]


def number_patches(height: int, width: int, grid: tuple[int, int] = DEFAULT_GRID) -> Tensor:
    """The number of the patch that each pixel lies in, row by row.

    Returns:
        (height, width), int64.
    """
    patches = Patches(*grid)
    return patches.spread(torch.arange(len(patches), dtype=torch.float64), height, width).long()


def centre_heat(height: int, width: int, *, sigma: float = 0.25) -> Tensor:
    """Look at the middle, as people who take pictures do: a Gaussian over the image.

    Args:
        height, width: of the image, in pixels.
        sigma: standard deviation, as a fraction of each side.
    Returns:
        (height, width), float32 in (0, 1].
    Source: Judd, Ehinger, Durand & Torralba 2009, "Learning to predict where humans look", section 4 (centre prior).
    """
    rows, columns = (torch.exp(-0.5 * (_measure_offsets(side) / sigma) ** 2) for side in (height, width))
    return rows[:, None] * columns


def _measure_offsets(side: int) -> Tensor:
    """Each pixel centre's distance from the middle, as a fraction of the side."""
    return (torch.arange(side) + 0.5) / side - 0.5


def edge_heat(image: Tensor) -> Tensor:
    """Look at the edges: Sobel magnitude of the luminance, blurred by 1% of the shorter side (at least a pixel).

    Args:
        image: (3, height, width), uint8.
    Returns:
        (height, width), float32, 0 or more; all 0 where the image is of one shade.
    Raises:
        JumokError: not a uint8 image of three channels.
    Source: Adebayo et al. 2018, "Sanity Checks for Saliency Maps", arXiv 1810.03292, figure 1 (edge detector).
    """
    from kornia.filters import gaussian_blur2d, spatial_gradient

    if image.dtype != torch.uint8 or image.dim() != 3 or len(image) != 3:
        raise JumokError(f"wanted a uint8 image of shape (3, height, width), got {image.dtype} {tuple(image.shape)}")
    light = image.float().mul(torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0)  # ITU-R BT.601
    # Whole numbers: the differences of equal shades are then exactly 0, and no rounding noise is ranked as an edge.
    gradient = spatial_gradient(light.round()[None, None], mode="sobel", normalized=False)[0, 0]
    sigma = max(1.0, 0.01 * min(image.shape[1:]))
    size = 2 * round(3 * sigma) + 1
    edges = gradient.square().sum(0).sqrt()[None, None]
    blurred: Tensor = gaussian_blur2d(edges, (size, size), (sigma, sigma), border_type="replicate")[0, 0]
    return blurred
