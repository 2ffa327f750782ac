"""To what size images are brought: their own if it is small, else as large as the time allows."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from jumok.data.images.reading import image_size
from jumok.tasks.preprocessing import SIDE_MULTIPLE, SIZED_IMAGES, has_few_patches

__all__ = ["choose_size", "measure_seconds"]

Size = tuple[int, int]
Cost = Callable[[Size], float]
"""Seconds that training takes for an image of this size."""

SMALL_SIDE = 64
"""Images of one size up to this side are taken as they are, whatever the time."""
SIDES = (224, 192, 160, 128, 96, 64)
"""Pixels of the shorter side that larger images may be brought to, beside their own."""
UNKNOWN_SIZE = (224, 224)
"""Taken for the size of images none of which tells its own."""
WANTED_PASSES = 40
"""The size is chosen so that the time allows so many images to be seen for each there is, whichever these are."""
SAME_COST = 1.1
"""Sizes that take up to so many times as long as the quickest one take no longer."""
PROBE_PIXELS, PROBE_STEPS = 8 * 96**2, 3
"""Pixels of all images of a step by which the speed is measured, and how often; the fastest counts."""
WIDEST_SHAPE = 2.0
"""Images longer than this, for their width, are stretched to it."""


def choose_size(paths: Sequence[Path], cost: Cost, seconds: float) -> tuple[Size, str]:
    """Decide the size that images are brought to.

    Larger images do not always take longer: networks have other stems, and other patches, for other sizes. So each
    size is timed, from the largest on.

    Args:
        paths: of the training images.
        cost: times an image of a size.
        seconds: that training may take.
    Returns:
        (height, width), and why.
    """
    step = max(len(paths) // SIZED_IMAGES, 1)
    found = [size for path in paths[::step] if (size := image_size(path))] or [UNKNOWN_SIZE]
    height, width = (round(statistics.median(sides)) for sides in zip(*found, strict=True))
    alike = len(set(found)) == 1
    if alike and max(height, width) <= SMALL_SIDE:
        return (height, width), "as the images are"
    largest = min(height, width, SIDES[0])
    sizes = [_shape_size(side, height / width) for side in (largest, *(side for side in SIDES if side < largest))]
    if alike and largest == min(height, width) and has_few_patches(height, width):
        sizes[0] = (height, width)
    size = _choose_affordable(sizes, cost, seconds / (WANTED_PASSES * len(paths)))
    return size, _explain(size, found, (height, width), limited=size != sizes[0])


def _shape_size(side: int, shape: float) -> Size:
    """The size with this shorter side and about the shape, height to width."""
    shape = min(max(shape, 1 / WIDEST_SHAPE), WIDEST_SHAPE)
    return _round_to_multiple(side * max(shape, 1.0)), _round_to_multiple(side * max(1 / shape, 1.0))


def _choose_affordable(sizes: Sequence[Size], cost: Cost, limit: float) -> Size:
    """The first that costs no more than the limit; else the first of those that cost as little as the cheapest."""
    costs: dict[Size, float] = {}
    for size in sizes[: len(sizes) if len(sizes) > 1 else 0]:
        costs[size] = cost(size)
        if costs[size] <= limit:
            return size
    return next((size for size in costs if costs[size] <= SAME_COST * min(costs.values())), sizes[0])


def _explain(size: Size, sizes: Sequence[Size], middle: Size, *, limited: bool) -> str:
    if len(set(sizes)) == 1:
        found = "as the images are" if size == middle else f"the images are {middle[0]} x {middle[1]}"
    else:
        found = f"the images have several sizes, {middle[0]} x {middle[1]} in the middle; all are stretched to one"
    return found + ("; larger ones would be seen too seldom in the time" if limited else "")


def measure_seconds(system: nn.Module, size: Size) -> float:
    """Seconds that training takes for an image of a size, by a few steps on noise."""
    images = torch.rand(max(PROBE_PIXELS // math.prod(size), 2), 3, *size)
    times = []
    for _ in range(PROBE_STEPS):
        began = time.perf_counter()
        system(images).float().logsumexp(-1).sum().backward()
        times.append(time.perf_counter() - began)
    return min(times) / len(images)


def _round_to_multiple(side: float) -> int:
    return max(int(side) // SIDE_MULTIPLE, 1) * SIDE_MULTIPLE
