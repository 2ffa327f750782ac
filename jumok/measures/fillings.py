"""What stands in an image where patches were taken away: a mean, a blur, the neighbourhood, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jumok.errors import JumokError, suggest

__all__ = ["FILLINGS", "Filling", "find_fillings", "is_patchwork"]

Filling: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""From one image (channels, height, width) and kept pixels (inputs, height, width) bool to images (inputs, ...)."""

BLUR = 0.1  # standard deviation, as a fraction of the shorter side: wider than a patch of a 14 x 14 grid
NOISE = 0.01  # standard deviation of ROAD's noise, in the unit of the prepared pixels
BESIDE, ACROSS = 1 / 6, 1 / 12  # weights of ROAD's neighbours
NEIGHBOURS = (((0, 1), BESIDE), ((1, 0), BESIDE), ((1, 1), ACROSS), ((1, -1), ACROSS))
"""(down, right) of half of a pixel's neighbours; the others are their opposites."""


def fill_zeros(pixels: Tensor, kept: Tensor) -> Tensor:
    """Put 0 where nothing is kept: the data's mean, where pixels are prepared to have a mean of 0."""
    return pixels * kept[:, None]


def fill_mean(pixels: Tensor, kept: Tensor, *, mean: Tensor | None = None) -> Tensor:
    """Put each channel's mean where nothing is kept.

    Args:
        pixels, kept: see `Filling`.
        mean: (channels,), of the data, prepared as the pixels are; None: of the image.
    """
    value = pixels.mean((1, 2)) if mean is None else mean.to(pixels)
    return torch.where(kept[:, None], pixels, value[:, None, None])


def fill_blur(pixels: Tensor, kept: Tensor) -> Tensor:
    """Put a blurred image where nothing is kept: colours and coarse shapes stay, detail goes."""
    from kornia.filters import gaussian_blur2d

    sigma = max(1.0, BLUR * min(pixels.shape[1:]))
    size = 2 * round(3 * sigma) + 1
    blurred = gaussian_blur2d(pixels[None], (size, size), (sigma, sigma), border_type="replicate")
    return torch.where(kept[:, None], pixels, blurred)


def fill_noisy_linear(pixels: Tensor, kept: Tensor, *, noise: float = NOISE) -> Tensor:
    """Make each pixel taken away the weighted mean of its neighbours, plus a little noise.

    The outline of what is gone can then hardly be seen, which else tells the model the answer. One sparse symmetric
    system per input, factored once for all channels. The noise is the same on every call.

    Args:
        pixels, kept: see `Filling`.
        noise: standard deviation.
    Source: Rong, Leemann, Borisov, Kasneci & Kasneci 2022, arXiv 2202.00449, section 4.2 (noisy linear imputation).
        Differs: where nothing is kept there is no neighbour to begin with, and the channel's mean is taken.
    """
    values = pixels.detach().cpu().double().flatten(1).numpy()
    filled = np.stack([_solve(values, mask) for mask in kept.cpu().numpy()])
    images = torch.from_numpy(filled).to(pixels).unflatten(2, pixels.shape[1:])
    drawn = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0)).to(pixels)
    return torch.where(kept[:, None], pixels, images + noise * drawn)


def _solve(values: NDArray[np.float64], kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(channels, pixels), those that are not kept solved for: D x = W x + what kept neighbours give."""
    from scipy.sparse.linalg import splu

    gone = ~kept.ravel()
    filled = values.copy()
    if not gone.any():
        return filled
    if gone.all():
        filled[:] = values.mean(1, keepdims=True)
        return filled
    weights = _link_neighbours(*kept.shape)
    rows = weights[gone]
    degrees = np.asarray(rows.sum(1)).ravel()
    given = rows[:, ~gone] @ values[:, ~gone].T
    system = -rows[:, gone]
    system.setdiag(degrees)
    options = {"SymmetricMode": True}
    factors = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
    filled[:, gone] = factors.solve(np.ascontiguousarray(given)).T
    return filled


@lru_cache(maxsize=4)
def _link_neighbours(height: int, width: int) -> Any:
    """(pixels, pixels) sparse and symmetric: the weight of each neighbour, without those beyond the border."""
    from scipy.sparse import coo_array

    number = np.arange(height * width).reshape(height, width)
    pairs = [(*_pair(number, down, right), weight) for (down, right), weight in NEIGHBOURS]
    one = np.concatenate([first for first, _, _ in pairs])
    other = np.concatenate([second for _, second, _ in pairs])
    weight = np.concatenate([np.full(len(first), each) for first, _, each in pairs])
    both = np.concatenate([weight, weight])
    places = np.concatenate([one, other]), np.concatenate([other, one])
    return coo_array((both, places), shape=(number.size, number.size)).tocsr()


def _pair(number: NDArray[np.int64], down: int, right: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels and their neighbours down and right (or left), where both lie in the image."""
    height, width = number.shape
    left, shift = max(0, -right), max(0, right)
    first = number[: height - down, left : width - shift]
    second = number[down:, left + right : width - shift + right]
    return first.ravel(), second.ravel()


FILLINGS: Mapping[str, Filling] = {
    "mean": fill_mean,
    "blur": fill_blur,
    "noisy-linear": fill_noisy_linear,
    "zeros": fill_zeros,
}


def is_patchwork(name: str) -> bool:
    """Whether what stands in a patch's place is the same whichever other patches are gone."""
    return name != "noisy-linear"


def find_fillings(names: Sequence[str], *, mean: Tensor | None = None) -> dict[str, Filling]:
    """Look fillings up by name.

    Args:
        names: of `FILLINGS`.
        mean: (channels,), of the data, for "mean"; None: of each image.
    Raises:
        JumokError: no name, or an unknown one.
    """
    if isinstance(names, str) or not names:
        raise JumokError(f"fillings are a sequence of names, such as ('mean', 'blur'), got {names!r}")
    for name in names:
        if name not in FILLINGS:
            raise JumokError(f"unknown filling {name!r}: {suggest(name, FILLINGS)}")
    chosen = {name: FILLINGS[name] for name in names}
    return chosen | ({"mean": partial(fill_mean, mean=mean)} if "mean" in chosen else {})
