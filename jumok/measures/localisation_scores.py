"""How well one map marks one mask: pointing game, energy, intersection over union, precision and recall."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jumok.attention import AttentionMap, Patches
from jumok.errors import JumokError
from jumok.measures.baselines import DEFAULT_GRID, number_patches

Heat = AttentionMap | Tensor
"""A map of one row with keys in an image, or its values (height, width)."""

RANDOM_MAPS_PER_IMAGE = 32  # random maps for each image
FLAT_TOLERANCE = 1e-6  # values this close together, relative to the largest, differ by rounding only


class Scores(NamedTuple):
    """How well one map marks one mask; each in [0, 1], 1 is best. `score` says how each is taken."""

    pointing: float
    energy_inside: float
    iou_best: float
    iou_mean: float
    auprc: float


def score(heat: Heat, mask: Tensor, *, tolerance: int = 0) -> Scores:
    """Score one map against the mask of one image.

    - pointing: is the place of the largest value on the mask, or within `tolerance` pixels of it? Where several
      pixels share the largest value, the share of them that hit: a flat map would score the area, not its luck.
    - energy_inside: the share of the map's sum that lies on the mask. Values below 0 count as 0: they speak
      against a place, and a negative sum has no share.
    - iou_best: intersection over union of the mask and the pixels at or above the threshold that suits this image
      best. An upper bound, as it needs the mask to choose; marking everything gets the mask's area.
    - iou_mean: the same for the pixels above the map's mean, which needs no mask to choose.
    - auprc: area under the precision-recall curve over pixels, as average precision (no interpolation).

    Only the order of the values matters to pointing, iou_best and auprc.

    Args:
        heat: (height, width), or a map of one row that is laid smoothly over the mask's pixels.
        mask: (height, width) bool, True where the map should look; neither empty nor full.
        tolerance: in pixels; 0 is strict, and then the area is what chance scores.
    Raises:
        JumokError: shapes that do not fit, values that are not finite, all equal, or nowhere above 0, a mask
            that is empty or full, or a tolerance below 0.
    Source: pointing: Zhang et al. 2016, arXiv 1608.00507, section 4.1 (there 15 pixels of tolerance, and one
        largest pixel). energy_inside: Wang et al. 2020 (Score-CAM), arXiv 1910.01279, section 4.3 (there boxes).
        iou_mean: Chefer, Gur & Wolf 2021, arXiv 2012.09838, section 4 (segmentation).

    >>> mask = torch.tensor([[True, False], [False, False]])
    >>> score(torch.tensor([[3.0, 1.0], [0.0, 0.0]]), mask).energy_inside
    0.75
    """
    truth = mask_to_array(mask)
    if truth.all() or not truth.any():
        raise JumokError("this mask is empty or covers the whole image: there is nothing to point at")
    check_tolerance(tolerance)
    return scores_of(heat_to_array(heat, mask.shape[0], mask.shape[1]), truth, grow_mask(mask, tolerance))


# -- scores of one image, on plain arrays ---------------------------------------------------------


def scores_of(heat: NDArray[np.floating], truth: NDArray[np.bool_], near: NDArray[np.bool_]) -> Scores:
    """All scores of a map, where the largest value hits if it lies on `near`; each (height, width)."""
    exact = heat.astype(np.float64)
    positive = exact.clip(min=0)
    total = positive.sum()
    peak = heat == heat.max()
    above = exact > exact.mean()
    hit, union = np.count_nonzero(above & truth), np.count_nonzero(above | truth)
    iou_best, auprc = _score_ranking(heat, truth)
    return Scores(
        pointing=np.count_nonzero(peak & near) / np.count_nonzero(peak),
        energy_inside=float(positive[truth].sum() / total if total else truth.mean()),  # 0: an edgeless image
        iou_best=iou_best,
        iou_mean=hit / union,
        auprc=auprc,
    )


def _score_ranking(heat: NDArray[np.floating], truth: NDArray[np.bool_]) -> tuple[float, float]:
    """IoU at the best threshold, and average precision.

    Recall grows, and the best threshold lies, only at values that the mask's own pixels have. So it is enough to
    count, for each of these, the pixels on and off the mask that are at least as large: two sorts of values and
    two searches, and equal values need no special care.
    """
    on = np.sort(heat[truth])
    off = heat[~truth]
    off = np.sort(off[off >= on[0]])
    true_positive = len(on) - np.searchsorted(on, on)
    marked = true_positive + len(off) - np.searchsorted(off, on)
    best = (true_positive / (len(on) + marked - true_positive)).max()
    return float(best), float((true_positive / marked).mean())


def random_scores(
    grid: tuple[int, int], truth: NDArray[np.bool_], near: NDArray[np.bool_], random: np.random.Generator
) -> Scores:
    """The mean scores of `RANDOM_MAPS_PER_IMAGE` maps as `random_heat` draws them, so that a lucky one hardly counts.

    As such a map is the same all over a patch, the counts of pixels in each patch give its scores.
    """
    patches = number_patches(truth.shape[0], truth.shape[1], grid).numpy().ravel()
    total, on, close = (
        np.bincount(patches, pixels.ravel(), grid[0] * grid[1]) for pixels in (np.ones_like(truth), truth, near)
    )
    values = random.random((RANDOM_MAPS_PER_IMAGE, len(total)), dtype=np.float32).astype(np.float64)
    seen = total > 0  # on a tiny image some patches cover no pixel
    values, total, on, close = values[:, seen], total[seen], on[seen], close[seen]
    order = (-values).argsort(1)
    hit, marked = on[order].cumsum(1), total[order].cumsum(1)
    above = values > (values @ total / total.sum())[:, None]
    pointing = (close / total)[order[:, 0]]
    energy_inside = (values @ on) / (values @ total)
    iou_best = (hit / (on.sum() + marked - hit)).max(1)
    iou_mean = (above @ on) / (on.sum() + above @ (total - on))
    auprc = (on[order] * hit / marked).sum(1) / on.sum()
    return Scores(*(float(each.mean()) for each in (pointing, energy_inside, iou_best, iou_mean, auprc)))


def grow_mask(mask: Tensor, tolerance: int) -> NDArray[np.bool_]:
    """The pixels whose distance to the mask is at most `tolerance` pixels."""
    truth = mask.cpu().numpy()
    near: NDArray[np.bool_] = truth.copy()
    height, width = truth.shape
    for down in range(-tolerance, tolerance + 1):
        if abs(down) >= height:
            continue
        reach = math.isqrt(tolerance**2 - down**2)
        wide = _widen_rows(truth, min(reach, width - 1))
        near[max(down, 0) : height + min(down, 0)] |= wide[max(-down, 0) : height - max(down, 0)]
    return near


def _widen_rows(truth: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """The pixels with a pixel of the mask at most `reach` to their left or right."""
    padded = np.pad(truth, ((0, 0), (reach + 1, reach)))
    counts = padded.cumsum(1, dtype=np.int32)
    return counts[:, 2 * reach + 1 :] > counts[:, : truth.shape[1]]


# -- checking what came in ------------------------------------------------------------------------


def mask_to_array(mask: Tensor) -> NDArray[np.bool_]:
    """The mask as an array, checked."""
    if mask.dtype != torch.bool or mask.dim() != 2 or mask.numel() == 0:
        raise JumokError(f"wanted a mask of shape (height, width), bool, got {mask.dtype} {tuple(mask.shape)}")
    truth: NDArray[np.bool_] = mask.cpu().numpy()
    return truth


class BlankError(JumokError):
    """A map that gives every place the same, as Grad-CAM does where there is no evidence for a class."""


def heat_to_array(heat: Heat, height: int, width: int) -> NDArray[np.floating]:
    """The map as an array (height, width), checked."""
    if isinstance(heat, AttentionMap):
        if heat.weights.numel() != len(heat.keys):
            shape = tuple(heat.weights.shape)
            raise JumokError(f"wanted one row of weights, got {shape}: choose with .at, .mean and .row")
        heat = heat.image(height, width, smooth=True).reshape(height, width)
    if tuple(heat.shape) != (height, width):
        raise JumokError(f"got values of shape {tuple(heat.shape)}, wanted the mask's ({height}, {width})")
    values: NDArray[np.floating] = heat.detach().cpu().to(choose_float(heat)).numpy()
    if not np.isfinite(values).all():
        raise JumokError("values hold NaN or infinity: check the model's values")
    if np.ptp(values) <= FLAT_TOLERANCE * np.abs(values).max():
        raise BlankError("all values are equal: no place is marked")
    if values.max() <= 0:
        raise JumokError("no value is above 0: energy inside a mask needs weights, not negative scores")
    return values


def choose_float(heat: Tensor) -> torch.dtype:
    """The kind of number that keeps a map's values apart."""
    return torch.float64 if heat.dtype in (torch.float64, torch.int64, torch.int32) else torch.float32


def find_coarsest_grid(heats: Iterable[Heat]) -> tuple[int, int]:
    """The smallest grid of patches among the maps, so that the random baseline is no finer than they are."""
    grids = [
        (heat.keys.rows, heat.keys.columns)
        for heat in heats
        if isinstance(heat, AttentionMap) and isinstance(heat.keys, Patches)
    ]
    return min(grids, key=lambda grid: grid[0] * grid[1], default=DEFAULT_GRID)


def check_tolerance(tolerance: int) -> None:
    """Raise if it is none."""
    if tolerance < 0:
        raise JumokError(f"a tolerance is 0 pixels or more, got {tolerance}")
