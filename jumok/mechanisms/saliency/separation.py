"""What is salient apart from the background: a threshold, a mask, and a box around each object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from jumok.attention import AttentionMap, Pixels, Scale
from jumok.errors import JumokError, suggest

__all__ = ["DEFAULT_THRESHOLD", "THRESHOLDS", "SalientObjects", "separate"]

Box = tuple[int, int, int, int]
HISTOGRAM_BINS = 256
ROWS_AT_ONCE = 256
"""Of a map whose values are counted together."""
MOST_OBJECTS = 100_000
DEFAULT_THRESHOLD = "otsu"


@dataclass(frozen=True)
class SalientObjects:
    """The salient objects of one image.

    Args:
        mask: 1 on objects and 0 on the background, over the pixels of the map that it comes from.
        boxes: (top, left, bottom, right) of each object in pixels, the last two just outside; the one that holds most
            saliency first.
        threshold: what a pixel's saliency is above on an object.
    """

    mask: AttentionMap
    boxes: tuple[Box, ...]
    threshold: float


def separate(found: AttentionMap, how: str = DEFAULT_THRESHOLD, *, smallest: float = 0.001) -> SalientObjects:
    """Cut a map at a threshold that it gives itself.

    Args:
        found: one row over `Pixels`, 0 or more, no leading axes.
        how: a name in `THRESHOLDS`.
        smallest: an object of less than this share of the image counts as noise and is left out.
    Raises:
        JumokError: another kind of map, no such threshold, or a share outside 0 to 1.

    >>> from jumok.attention import One
    >>> heat = AttentionMap(torch.tensor([[0.1, 0.9, 0.1, 0.0, 0.8, 0.1]]), One("image"), Pixels(2, 3))
    >>> separate(heat).boxes
    ((0, 1, 2, 2),)
    """
    if how not in THRESHOLDS:
        raise JumokError(f"no threshold {how!r}: {suggest(how, THRESHOLDS)}")
    if not 0 <= smallest <= 1:
        raise JumokError(f"the smallest object is a share of the image from 0 to 1, got {smallest}")
    if found.lead or len(found.queries) != 1 or not isinstance(found.keys, Pixels):
        raise JumokError(f"objects are separated in one row over Pixels, got {found!r}: choose with .at and .row")
    heat = found.image(found.keys.height, found.keys.width)[0].detach().cpu()
    threshold = THRESHOLDS[how](heat)
    mask, boxes = _find_objects(heat, heat > threshold, smallest)
    weights = mask.float().reshape(1, -1)
    kept = AttentionMap(weights, found.queries, found.keys, (), Scale.MASK, f"{found.source}, cut by {how}")
    return SalientObjects(kept, boxes, threshold)


def find_otsu_threshold(heat: Tensor) -> float:
    """The threshold that leaves the least variance within the two classes, over a histogram of 256 bins.

    Args:
        heat: (height, width), finite.
    Returns:
        the largest value of the lower class; where all are the same, that value.
    Source: Otsu 1979, A Threshold Selection Method from Gray-Level Histograms, eq. 12-18.
    """
    low, high = (float(end) for end in heat.aminmax())
    if low == high:
        return high
    parts = [part.numpy() for part in heat.split(ROWS_AT_ONCE)]  # in float64, a large map would be held several times
    edges = np.histogram_bin_edges(np.array([low, high]), HISTOGRAM_BINS)
    counts = np.sum([np.histogram(part.astype(np.float64), edges)[0] for part in parts], 0)
    centres = (edges[:-1] + edges[1:]) / 2
    below, above = counts.cumsum(), counts[::-1].cumsum()[::-1]
    mean_below = (counts * centres).cumsum() / below.clip(1)
    mean_above = (counts * centres)[::-1].cumsum()[::-1] / above.clip(1)
    between = below[:-1].astype(float) * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    edge = edges[int(between.argmax()) + 1]
    return float(max(part[part < edge].max(initial=low) for part in parts))


def find_adaptive_threshold(heat: Tensor) -> float:
    """Twice the mean saliency. Source: Achanta, Hemami, Estrada & Susstrunk 2009, eq. 8."""
    return 2 * float(heat.double().mean())


THRESHOLDS: dict[str, Callable[[Tensor], float]] = {"otsu": find_otsu_threshold, "adaptive": find_adaptive_threshold}
"""Ways to find the threshold in a map, (height, width)."""


def _find_objects(heat: Tensor, above: Tensor, smallest: float) -> tuple[Tensor, tuple[Box, ...]]:
    """The regions whose pixels touch by a side or a corner, without those that are too small."""
    from scipy import ndimage

    labels, count = ndimage.label(above.numpy(), np.ones((3, 3)))
    parts = np.split(labels, range(ROWS_AT_ONCE, len(labels), ROWS_AT_ONCE))
    sizes, held = np.zeros(count + 1, np.int64), np.zeros(count + 1)
    for rows, values in zip(parts, heat.split(ROWS_AT_ONCE), strict=True):
        sizes += np.bincount(rows.ravel(), minlength=count + 1)
        held += np.bincount(rows.ravel(), values.numpy().ravel(), minlength=count + 1)
    kept = 1 + np.flatnonzero(sizes[1:] >= smallest * heat.numel())
    if len(kept) > MOST_OBJECTS:
        raise JumokError(
            f"the map falls into {len(kept)} objects, more than the {MOST_OBJECTS} allowed: leave out small ones, such "
            "as with smallest=0.001"
        )
    ordered = kept[np.argsort(-held[kept], kind="stable")]
    numbers = np.zeros(count + 1, labels.dtype)
    numbers[ordered] = 1 + np.arange(len(ordered))
    for rows in parts:
        rows[:] = numbers[rows]
    boxes = tuple(
        (down.start, across.start, down.stop, across.stop) for down, across in ndimage.find_objects(labels)[: len(kept)]
    )
    return torch.from_numpy(labels > 0), boxes
