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
from jumok.tasks.preprocessing import SIDE_MULTIPLE, SIZED_IMAGES

__all__ = ["PROBE_SIDE", "choose_size", "measure_pixel_seconds"]

SMALL_SIDE = 64
"""Images of one size up to this side are taken as they are, whatever the time."""
LARGEST_SIDE = 224
"""Pixels of the shorter side, at the most."""
LEAST_SIDE = 64
"""Pixels of the shorter side that larger images keep at the least."""
WANTED_PASSES = 25
"""The size is chosen so that the time allows so many passes over the training images."""
PROBE_SIDE, PROBE_BATCH, PROBE_STEPS = 96, 16, 3
"""Square images on which the speed is measured, how many at a time, and how often; the fastest counts."""
WIDEST_SHAPE = 2.0
"""Images longer than this, for their width, are stretched to it."""


def choose_size(system: nn.Module, paths: Sequence[Path], seconds: float) -> tuple[tuple[int, int], str]:
    """Decide the size that images are brought to.

    Args:
        system: a model of the kind to be trained, for any size of images.
        paths: of the training images.
        seconds: that training may take.
    Returns:
        (height, width), and why.
    """
    step = max(len(paths) // SIZED_IMAGES, 1)
    sizes = [size for path in paths[::step] if (size := image_size(path))]
    height, width = (int(statistics.median(side)) for side in zip(*sizes, strict=True)) if sizes else (224, 224)
    uniform = len(set(sizes)) == 1
    if uniform and max(height, width) <= SMALL_SIDE:
        return (height, width), "as the images are"
    ratio = min(max(height / width, 1 / WIDEST_SHAPE), WIDEST_SHAPE)
    own = min(height, width)
    affordable = math.sqrt(
        seconds / (WANTED_PASSES * len(paths) * measure_pixel_seconds(system)) / max(ratio, 1 / ratio)
    )
    side = min(own, LARGEST_SIDE, max(affordable, LEAST_SIDE))
    size = _round_to_multiple(side * max(ratio, 1.0)), _round_to_multiple(side * max(1 / ratio, 1.0))
    if uniform and size == (height, width):
        return size, "as the images are"
    their = (
        f"the images are {height} x {width}"
        if uniform
        else f"the images have several sizes, {height} x {width} in the middle"
    )
    why = "" if side == own else "; a larger size would be seen too seldom in the time" if side == affordable else ""
    shape = "" if uniform else "; all are stretched to one shape"
    return size, their + why + shape


def measure_pixel_seconds(system: nn.Module) -> float:
    """Seconds that training takes for each pixel of each image, by a few steps on noise."""
    images = torch.rand(PROBE_BATCH, 3, PROBE_SIDE, PROBE_SIDE)
    times = []
    for _ in range(PROBE_STEPS):
        began = time.perf_counter()
        system(images).float().logsumexp(-1).sum().backward()
        times.append(time.perf_counter() - began)
    return min(times) / images[:, 0].numel()


def _round_to_multiple(side: float) -> int:
    return max(int(side) // SIDE_MULTIPLE, 1) * SIDE_MULTIPLE
