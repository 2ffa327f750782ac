"""Boolean maps: what is salient is what is surrounded, whatever threshold the image is cut at."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.mechanisms.kernels.compiled import NUMBA_OPTIONS, compile_when_called, share_tasks
from jumok.mechanisms.saliency.lab import to_lab
from jumok.mechanisms.saliency.pixels import cut_chunks, resize_back, shrink_to, to_unit

__all__ = ["boolean_maps"]

LONGEST_SIDE = 400
"""Images are brought to so many pixels on the longer side; the widths below are in these pixels."""
THRESHOLD_STEP = 8.0
"""Between thresholds, for channels from 0 to 255."""
REGION_REACH = 2
"""How far a surrounded region is widened to either side before it is normalised."""
CLOSE, SIGMA = 3, 4.0
"""How far the mean of all maps is widened to either side, and the Gaussian that smooths it then."""

Array = np.ndarray[Any, np.dtype[Any]]


def boolean_maps(images: Tensor) -> Tensor:
    """Cut each channel of the image at many thresholds, and keep the regions that do not touch the image's border.

    S = mean over channels, thresholds and both sides of a threshold of A / |A|, with A = 1 where a pixel belongs to a
    surrounded region, which was opened by 3 x 3 and then widened by 5 x 5, and |.| the Euclidean norm: a small region
    counts for more than a large one.

    Args:
        images: (batch, 1 or 3, height, width), uint8, or float from 0 to 1.
    Returns:
        (batch, height, width) float32, 0 or more; all 0 where nothing is surrounded.
    Source: Zhang & Sclaroff 2013, Saliency Detection: A Boolean Map Approach, section 3, algorithm 1. Differs: images
        are brought to 400 pixels on the longer side (600 there), so the opening is of 3 x 3 (5 x 5 there), and after
        the choice of what is surrounded; the mean is widened and smoothed as befits objects, 7 x 7 and sigma 4 (there
        23 x 23 and sigma 20, for where eyes rest).
    """
    return cut_chunks(images, _fits_memory)


def _fits_memory(images: Tensor) -> Tensor:
    height, width = images.shape[2:]
    shrunk = [shrink_to(to_unit(colour), LONGEST_SIDE) for colour in images.split(1, 1)]  # fewer floats at a time
    channels = _list_channels(torch.cat(shrunk, 1).clamp(0, 1), images.shape[1])
    batch, count = channels.shape[:2]
    found = np.zeros(channels.shape, np.float32)
    share_tasks(
        _add_surrounded,
        batch * count,
        300 * found.size,
        channels.numpy(),
        np.float32(THRESHOLD_STEP),
        REGION_REACH,
        found,
    )
    mean = torch.from_numpy(found).sum(1, keepdim=True) / (2 * count * 255 / THRESHOLD_STEP)
    wide = F.max_pool2d(mean, 2 * CLOSE + 1, 1, CLOSE)
    return resize_back(_smooth(wide)[:, 0], height, width)


def _list_channels(pixels: Tensor, colours: int) -> Tensor:
    """L*, a* and b* from 0 to 255, or L* alone for grey images."""
    found = to_lab(pixels)[:, :colours] * pixels.new_tensor([2.55, 1, 1])[:colours, None, None]
    return (found + pixels.new_tensor([0, 128, 128])[:colours, None, None]).contiguous()


def _smooth(maps: Tensor) -> Tensor:
    reach = round(3 * SIGMA)
    taps = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * SIGMA**2))
    taps /= taps.sum()
    padded = F.pad(maps, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, taps.view(1, 1, 1, -1)), taps.view(1, 1, -1, 1))


# -- the loops ------------------------------------------------------------------------------------


# Places are numbered row by row in a frame one pixel wider on each side, so that every pixel has four neighbours.


@numba.njit(**NUMBA_OPTIONS)
def _flood(above, open_, stack, rows, columns):  # type: ignore[no-untyped-def]
    """Close every place that is reached from the image's border over neighbours on the same side of the threshold."""
    wide, filled = columns + 2, 0
    for i in range(1, rows + 1):
        for j in range(1, columns + 1, 1 if i in (1, rows) else max(columns - 1, 1)):
            open_[i * wide + j] = False
            stack[filled] = i * wide + j
            filled += 1
    while filled:
        filled -= 1
        place = stack[filled]
        for step in (-wide, -1, 1, wide):
            near = place + step
            if open_[near] and above[near] == above[place]:
                open_[near] = False
                stack[filled] = near
                filled += 1


@numba.njit(**NUMBA_OPTIONS)
def _narrow(open_, above, side, across, region):  # type: ignore[no-untyped-def]
    """The open places on one side of the threshold whose eight neighbours are such too; says whether there are any.

    What is open never touches the image's border, so that the frame around it is of no account.
    """
    rows, columns = region.shape
    for i in range(rows):
        start = (i + 1) * (columns + 2)
        near, over, result = open_[start : start + columns + 2], above[start : start + columns + 2], across[i]
        for j in range(columns):
            left, here, right = near[j] & (over[j] == side), near[j + 1] & (over[j + 1] == side), near[j + 2]
            result[j] = left & here & right & (over[j + 2] == side)
    region[0] = 0
    region[rows - 1] = 0
    found = False
    for i in range(1, rows - 1):
        a, b, c, result = across[i - 1], across[i], across[i + 1], region[i]
        for j in range(columns):
            result[j] = a[j] & b[j] & c[j]
            found |= result[j] > 0
    return found


@numba.njit(**NUMBA_OPTIONS)
def _join(row, result, fresh):  # type: ignore[no-untyped-def]
    """Add what is marked in one row to another, as far as both reach; `fresh`: the other held nothing."""
    for j in range(min(len(row), len(result))):
        result[j] = row[j] if fresh else result[j] | row[j]


@numba.njit(**NUMBA_OPTIONS)
def _widen_across(region, reach, across):  # type: ignore[no-untyped-def]
    """Each place with so many neighbours to the left and right."""
    for i in range(len(region)):
        _join(region[i], across[i], True)
        for k in range(1, min(reach, region.shape[1] - 1) + 1):
            _join(region[i], across[i, k:], False)
            _join(region[i, k:], across[i], False)


@numba.njit(**NUMBA_OPTIONS)
def _add_widened(region, reach, wider, total):  # type: ignore[no-untyped-def]
    """Widen a region up and down too, and add it over its Euclidean norm."""
    size = 0
    for i in range(len(region)):
        top, row = max(i - reach, 0), wider[i]
        for k in range(top, min(i + reach + 1, len(region))):
            _join(region[k], row, k == top)
        for j in range(len(row)):
            size += row[j]
    if size:
        part = np.float32(1 / np.sqrt(size))
        for i in range(len(region)):
            row, result = wider[i], total[i]
            for j in range(len(row)):
                result[j] += part * np.float32(row[j])


@compile_when_called
def _add_surrounded(first, last, channels, step, reach, found):  # type: ignore[no-untyped-def]
    """All thresholds of one channel of an image after the other."""
    count, rows, columns = channels.shape[1:]
    wide = columns + 2
    above, open_ = np.zeros((rows + 2) * wide, np.uint8), np.zeros((rows + 2) * wide, np.bool_)
    region, wider = np.empty((rows, columns), np.uint8), np.empty((rows, columns), np.uint8)
    across = np.empty((rows, columns), np.uint8)
    stack = np.empty(rows * columns, np.int64)
    for task in range(first, last):
        plane, total = channels[task // count, task % count], found[task // count, task % count]
        low, high = plane.min(), plane.max()
        for number in range(int(np.ceil((high - low) / step))):
            threshold = low + np.float32(number) * step
            for i in range(rows):
                start, row = (i + 1) * wide + 1, plane[i]
                sides, opened = above[start : start + columns], open_[start : start + columns]
                for j in range(columns):
                    sides[j], opened[j] = row[j] > threshold, True
            _flood(above, open_, stack, rows, columns)
            for side in (0, 1):
                if _narrow(open_, above, side, wider, region):
                    _widen_across(region, 1 + reach, across)
                    _add_widened(across, 1 + reach, wider, total)
