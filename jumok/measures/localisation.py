"""Does a map mark the right place? Scores against masks, always beside what a map with no knowledge would get."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jumok.attention import AttentionMap, Patches
from jumok.errors import JumokError
from jumok.measures.baselines import GRID, centre_heat, edge_heat, patch_numbers
from jumok.measures.intervals import Bootstrap
from jumok.measures.report import BASELINES, Difference, Localisation, Report

__all__ = ["Heat", "LocalisationMeter", "Scores", "compare", "score"]

Heat = AttentionMap | Tensor
"""A map of one row with keys in an image, or its values (height, width)."""

DRAWS = 32  # random maps for each image
FLAT = 1e-6  # values this close together, relative to the largest, differ by rounding only


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
    truth = _truth(mask)
    if truth.all() or not truth.any():
        raise JumokError("this mask is empty or covers the whole image: there is nothing to point at")
    _need_tolerance(tolerance)
    return _scores(_values(heat, mask.shape[0], mask.shape[1]), truth, _grown(mask, tolerance))


def compare(
    images: Sequence[Tensor],
    masks: Sequence[Tensor | None],
    heats: Mapping[str, Sequence[Heat]],
    *,
    tolerance: int = 0,
    seed: int = 0,
) -> Report:
    """Measure the maps of one or several methods, and the baselines, over images that are all at hand.

    For a folder too large for that, feed a `LocalisationMeter`.

    Args:
        images: each (3, height, width) uint8.
        masks: each (height, width) bool, or None where there is nothing to find.
        heats: for each method its maps, in the order of the images.
        tolerance, seed: as for `LocalisationMeter`.
    Raises:
        JumokError: as `LocalisationMeter.add` and `.report`, or sequences of different lengths.
    """
    counts = {"masks": len(masks), **{method: len(maps) for method, maps in heats.items()}}
    for what, count in counts.items():
        if count != len(images):
            raise JumokError(f"got {len(images)} images and {count} of {what}: wanted one for each image")
    meter = LocalisationMeter(tolerance=tolerance, seed=seed)
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        meter.add(image, mask, {method: maps[number] for method, maps in heats.items()}, name=f"image {number}")
    return meter.report()


class LocalisationMeter:
    """Scores images one by one; only their scores are kept.

    Args:
        tolerance: of the pointing game, in pixels.
        seed: of the random baseline and of the bootstrap.
        blank_is_chance: a map whose values are all equal marks every place alike and is scored so; `blank` counts
            them by method. Otherwise it is an error.
    Raises:
        JumokError: a tolerance below 0.
    """

    def __init__(self, *, tolerance: int = 0, seed: int = 0, blank_is_chance: bool = False) -> None:
        _need_tolerance(tolerance)
        self.blank: Counter[str] = Counter()
        self._blank_is_chance = blank_is_chance
        self._tolerance, self._seed = tolerance, seed
        self._random = np.random.default_rng(seed)
        self._methods: tuple[str, ...] = ()
        self._scores: list[list[Scores]] = []
        self._areas: list[tuple[float, float]] = []
        self._empty = self._full = 0

    def add(
        self, image: Tensor, mask: Tensor | None, heats: Mapping[str, Heat], *, name: str = ""
    ) -> dict[str, Scores] | None:
        """Score one image: every method's map, and the baselines.

        An image whose mask is empty (or None) or full is counted and left out, and its maps are not looked at.
        After an error nothing has been added, and the next image may follow.

        Args:
            image: (3, height, width), uint8, for the edge baseline.
            mask: (height, width), bool, True where a map should look.
            heats: by method, the same methods for every image.
            name: of the image, for errors.
        Returns:
            The scores by method, baselines included; None for an image that is left out.
        Raises:
            JumokError: as `score`, an image of another size than its mask, or methods that changed.
        """
        try:
            return self._add(image, mask, heats)
        except JumokError as error:
            if not name:
                raise
            raise JumokError(f"{name}: {error}") from error

    def _add(self, image: Tensor, mask: Tensor | None, heats: Mapping[str, Heat]) -> dict[str, Scores] | None:
        truth = None if mask is None else _truth(mask)
        if truth is None or not truth.any():
            self._empty += 1
            return None
        if truth.all():
            self._full += 1
            return None
        assert mask is not None
        height, width = mask.shape
        if image.shape[-2:] != mask.shape:
            raise JumokError(f"an image of {_size(image)} pixels has a mask of {_size(mask)}: wanted the same size")
        self._need_methods(tuple(heats))
        values = {method: self._values(method, heat, height, width) for method, heat in heats.items()}
        values["edges"] = edge_heat(image).numpy()
        values["centre"] = centre_heat(height, width).numpy()
        near = _grown(mask, self._tolerance)
        scores = {method: _scores(heat, truth, near) for method, heat in values.items()}
        scores["random"] = _random_scores(_coarsest(heats.values()), truth, near, self._random)
        scores = {method: scores[method] for method in (*heats, *BASELINES)}
        self._methods = tuple(heats)
        self._areas.append((float(truth.mean()), float(near.mean())))
        self._scores.append(list(scores.values()))
        return scores

    def _values(self, method: str, heat: Heat, height: int, width: int) -> NDArray[np.floating]:
        try:
            return _values(heat, height, width)
        except BlankError as error:
            if not self._blank_is_chance:
                raise JumokError(f"the map of {method}: {error}") from error
            self.blank[method] += 1
            return np.ones((height, width))
        except JumokError as error:
            raise JumokError(f"the map of {method}: {error}") from error

    def _need_methods(self, methods: tuple[str, ...]) -> None:
        if not methods:
            raise JumokError("no map to measure: give at least one method's")
        if taken := set(methods) & set(BASELINES):
            raise JumokError(f"{min(taken)!r} is the name of a baseline: give the method another")
        if self._methods and methods != self._methods:
            raise JumokError(f"the methods changed from {self._methods} to {methods}: wanted the same for every image")

    def report(self, *, resamples: int = 2000, level: float = 0.95) -> Report:
        """The means over all images so far, with bootstrap intervals over the images.

        Args:
            resamples: of the bootstrap.
            level: the share of resampled means that each interval holds.
        Raises:
            JumokError: no image with a mask was added.
        """
        if not self._scores:
            raise JumokError(
                f"no image to measure: of {self._empty + self._full}, {self._empty} have an empty mask or none and "
                f"{self._full} one that covers everything; give masks that mark a part of the image"
            )
        table = np.array(self._scores, dtype=np.float64)  # (images, methods, scores)
        bootstrap = Bootstrap(table.reshape(len(table), -1), resamples=resamples, level=level, seed=self._seed)
        names = (*self._methods, *BASELINES)
        results = {name: _localisation(bootstrap, row, name) for row, name in enumerate(names)}
        area, near = np.mean(self._areas, axis=0).tolist()
        return Report(
            methods=tuple(results[name] for name in self._methods),
            baselines=tuple(results[name] for name in BASELINES),
            differences=tuple(
                _difference(bootstrap, names, method, baseline) for method in self._methods for baseline in BASELINES
            ),
            area=area,
            chance={"pointing": near, "energy_inside": area, "auprc": area},
            images=len(table),
            empty=self._empty,
            full=self._full,
            tolerance=self._tolerance,
            level=level,
            resamples=resamples,
            seed=self._seed,
        )


def _localisation(bootstrap: Bootstrap, row: int, name: str) -> Localisation:
    columns = enumerate(Scores._fields, row * len(Scores._fields))
    return Localisation(name, {title: bootstrap.mean(column) for column, title in columns}, bootstrap.samples)


def _difference(bootstrap: Bootstrap, names: Sequence[str], method: str, baseline: str) -> Difference:
    step = len(Scores._fields)
    ours, theirs = names.index(method) * step, names.index(baseline) * step
    gains = {title: bootstrap.difference(ours + i, theirs + i) for i, title in enumerate(Scores._fields)}
    return Difference(method, baseline, gains)


# -- scores of one image, on plain arrays ---------------------------------------------------------


def _scores(heat: NDArray[np.floating], truth: NDArray[np.bool_], near: NDArray[np.bool_]) -> Scores:
    exact = heat.astype(np.float64)
    positive = exact.clip(min=0)
    total = positive.sum()
    peak = heat == heat.max()
    above = exact > exact.mean()
    hit, union = np.count_nonzero(above & truth), np.count_nonzero(above | truth)
    iou_best, auprc = _ranked(heat, truth)
    return Scores(
        pointing=np.count_nonzero(peak & near) / np.count_nonzero(peak),
        energy_inside=float(positive[truth].sum() / total if total else truth.mean()),  # 0: an edgeless image
        iou_best=iou_best,
        iou_mean=hit / union,
        auprc=auprc,
    )


def _ranked(heat: NDArray[np.floating], truth: NDArray[np.bool_]) -> tuple[float, float]:
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


def _random_scores(
    grid: tuple[int, int], truth: NDArray[np.bool_], near: NDArray[np.bool_], random: np.random.Generator
) -> Scores:
    """The mean scores of `DRAWS` maps as `random_heat` draws them, so that a lucky one hardly counts.

    As such a map is the same all over a patch, the counts of pixels in each patch give its scores.
    """
    patches = patch_numbers(truth.shape[0], truth.shape[1], grid).numpy().ravel()
    total, on, close = (
        np.bincount(patches, pixels.ravel(), grid[0] * grid[1]) for pixels in (np.ones_like(truth), truth, near)
    )
    values = random.random((DRAWS, len(total)), dtype=np.float32).astype(np.float64)
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


def _grown(mask: Tensor, tolerance: int) -> NDArray[np.bool_]:
    """The pixels whose distance to the mask is at most `tolerance` pixels."""
    truth = mask.cpu().numpy()
    near: NDArray[np.bool_] = truth.copy()
    height, width = truth.shape
    for down in range(-tolerance, tolerance + 1):
        if abs(down) >= height:
            continue
        reach = math.isqrt(tolerance**2 - down**2)
        wide = _widened(truth, min(reach, width - 1))
        near[max(down, 0) : height + min(down, 0)] |= wide[max(-down, 0) : height - max(down, 0)]
    return near


def _widened(truth: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """The pixels with a pixel of the mask at most `reach` to their left or right."""
    padded = np.pad(truth, ((0, 0), (reach + 1, reach)))
    counts = padded.cumsum(1, dtype=np.int32)
    return counts[:, 2 * reach + 1 :] > counts[:, : truth.shape[1]]


# -- checking what came in ------------------------------------------------------------------------


def _truth(mask: Tensor) -> NDArray[np.bool_]:
    if mask.dtype != torch.bool or mask.dim() != 2 or mask.numel() == 0:
        raise JumokError(f"wanted a mask of shape (height, width), bool, got {mask.dtype} {tuple(mask.shape)}")
    truth: NDArray[np.bool_] = mask.cpu().numpy()
    return truth


class BlankError(JumokError):
    """A map that gives every place the same, as Grad-CAM does where nothing speaks for a class."""


def _values(heat: Heat, height: int, width: int) -> NDArray[np.floating]:
    """The map as an array (height, width), checked."""
    if isinstance(heat, AttentionMap):
        if heat.weights.numel() != len(heat.keys):
            shape = tuple(heat.weights.shape)
            raise JumokError(f"wanted one row of weights, got {shape}: choose with .at, .mean and .row")
        heat = heat.image(height, width, smooth=True).reshape(height, width)
    if tuple(heat.shape) != (height, width):
        raise JumokError(f"got values of shape {tuple(heat.shape)}, wanted the mask's ({height}, {width})")
    values: NDArray[np.floating] = heat.detach().cpu().to(_float_of(heat)).numpy()
    if not np.isfinite(values).all():
        raise JumokError("values hold NaN or infinity: check the model's values")
    if np.ptp(values) <= FLAT * np.abs(values).max():
        raise BlankError("all values are equal: no place is marked")
    if values.max() <= 0:
        raise JumokError("no value is above 0: energy inside a mask needs weights, not negative scores")
    return values


def _float_of(heat: Tensor) -> torch.dtype:
    return torch.float64 if heat.dtype in (torch.float64, torch.int64, torch.int32) else torch.float32


def _coarsest(heats: Iterable[Heat]) -> tuple[int, int]:
    """The smallest grid of patches among the maps, so that the random baseline is no finer than they are."""
    grids = [
        (heat.keys.rows, heat.keys.columns)
        for heat in heats
        if isinstance(heat, AttentionMap) and isinstance(heat.keys, Patches)
    ]
    return min(grids, key=lambda grid: grid[0] * grid[1], default=GRID)


def _need_tolerance(tolerance: int) -> None:
    if tolerance < 0:
        raise JumokError(f"a tolerance is 0 pixels or more, got {tolerance}")


def _size(image: Tensor) -> str:
    return "{} x {}".format(*image.shape[-2:])
