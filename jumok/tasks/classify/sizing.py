"""To what size images are brought: their own if it is small, else as large as the time allows."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from jumok.data.images.reading import image_size
from jumok.tasks.preprocessing import SIDE_MULTIPLE, SIZED_IMAGES, has_few_patches

__all__ = ["PROBE_SIDE", "choose_size", "measure_pixel_seconds"]

Size = tuple[int, int]

SMALL_SIDE = 64
"""Images of one size up to this side are taken as they are, whatever the time."""
LARGEST_SIDE, LEAST_SIDE = 224, 64
"""Pixels of the shorter side that larger images keep, at the most and at the least."""
UNKNOWN_SIZE = (224, 224)
"""Taken for the size of images none of which tells its own."""
WANTED_PASSES = 25
"""The size is chosen so that the time allows so many passes over the training images."""
PROBE_SIDE, PROBE_STEPS = 96, 3
"""Square images on which the speed is measured, and how often; the fastest counts."""
PROBE_PIXELS = 16 * PROBE_SIDE**2
"""Of all images of such a step."""
WIDEST_SHAPE = 2.0
"""Images longer than this, for their width, are stretched to it."""


def choose_size(paths: Sequence[Path], affordable: float, per_pass: int | None = None) -> tuple[Size, str]:
    """Decide the size that images are brought to.

    Args:
        paths: of the training images.
        affordable: pixels that the time allows to be trained on, of all images, each counted as often as it is seen.
        per_pass: images that a pass shows, where rare ones come several times; None: each once.
    Returns:
        (height, width), and why.
    """
    step = max(len(paths) // SIZED_IMAGES, 1)
    sizes = [size for path in paths[::step] if (size := image_size(path))] or [UNKNOWN_SIZE]
    height, width = (round(statistics.median(sides)) for sides in zip(*sizes, strict=True))
    if len(set(sizes)) == 1 and max(height, width) <= SMALL_SIDE:
        return (height, width), "as the images are"
    shape = min(max(height / width, 1 / WIDEST_SHAPE), WIDEST_SHAPE)
    fitting = math.sqrt(affordable / (WANTED_PASSES * (per_pass or len(paths))) / max(shape, 1 / shape))
    side = min(height, width, LARGEST_SIDE, max(fitting, LEAST_SIDE))
    size = _round_to_multiple(side * max(shape, 1.0)), _round_to_multiple(side * max(1 / shape, 1.0))
    if len(set(sizes)) == 1 and side == min(height, width) and has_few_patches(height, width):
        size = (height, width)
    return size, _explain(size, sizes, (height, width), limited=side < min(height, width, LARGEST_SIDE))


def _explain(size: Size, sizes: Sequence[Size], middle: Size, *, limited: bool) -> str:
    if len(set(sizes)) == 1:
        found = "as the images are" if size == middle else f"the images are {middle[0]} x {middle[1]}"
    else:
        found = f"the images have several sizes, {middle[0]} x {middle[1]} in the middle; all are stretched to one"
    return found + ("; larger ones would be seen too seldom in the time" if limited else "")


def measure_pixel_seconds(system: nn.Module, size: Size) -> float:
    """Seconds that training takes for each pixel of each image of a size, by a few steps on noise."""
    images = torch.rand(max(PROBE_PIXELS // math.prod(size), 2), 3, *size)
    times = []
    for _ in range(PROBE_STEPS):
        began = time.perf_counter()
        system(images).float().logsumexp(-1).sum().backward()
        times.append(time.perf_counter() - began)
    return min(times) / images[:, 0].numel()


def _round_to_multiple(side: float) -> int:
    return max(int(side) // SIDE_MULTIPLE, 1) * SIDE_MULTIPLE
