"""Fine-grained saliency: each pixel against the mean of its surround, at the image's full size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from torch import Tensor

from jumok.mechanisms.kernels.compiled import NUMBA_OPTIONS, compile_when_called, fill_each, share_tasks
from jumok.mechanisms.saliency.pixels import Band, cut_bands, lay_upright

__all__ = ["SURROUNDS", "fine_grained"]

SURROUNDS = (12, 24, 48, 28, 56, 112)
"""How far each surround reaches from its centre, in pixels."""
BLUR_REACH = 2
"""Pixels to either side that smoothing goes by."""
COLUMNS_PER_TASK = 64  # columns whose sums one task takes down the image
LEAST_CONTRAST = np.float32(1e-4)  # contrast, of brightness from 0 to 1, below which there is none but rounding errors

Array = np.ndarray[Any, np.dtype[Any]]


def fine_grained(images: Tensor) -> Tensor:
    """Compare each pixel with six surrounds, brighter and darker by themselves.

    on(x) = sum_s max(0, I(x) - mean_s(x)), off(x) = sum_s max(0, mean_s(x) - I(x)), where mean_s is over the square of
    2 s + 1 pixels around x without x itself, cut at the image's border; S = on / max(on) + off / max(off).

    Args:
        images: (batch, 1 or 3, height, width), uint8, or float from 0 to 1, contiguous, on the CPU.
    Returns:
        (batch, height, width) float32, from 0 to 2; all 0 for an image of one brightness.
    Source: Montabone & Soto 2010, Human detection using a mobile platform and novel features derived from a visual
        saliency mechanism, section 3, eq. 1-5. As in OpenCV's: brightness alone, smoothed twice by 3 x 3, and on and
        off each divided by their largest. Differs from OpenCV's: nothing is rounded to whole numbers on the way, and
        surrounds are centred.
    """
    return lay_upright(images, lambda upright: fill_each(upright, _fill))


def _fill(image: Array, saliency: Array) -> None:
    height, width = image.shape[2:]
    off, peaks = np.empty((1, height, width), np.float32), np.empty((1, height, 2), np.float32)
    bands = cut_bands(height, width, max(SURROUNDS) + BLUR_REACH)
    if len(bands) == 1:
        _contrast(image, saliency, off, peaks)
    else:
        _contrast_bands(image, bands, saliency, off, peaks)
    share_tasks(_join, height, off.size / 6, saliency, off, peaks.max(1))


def _contrast_bands(image: Array, bands: Sequence[Band], on: Array, off: Array, peaks: Array) -> None:
    """As `_contrast`, some rows of a large image at a time, with those around them that they are compared with."""
    for band in bands:
        part = np.ascontiguousarray(image[:, :, band.wide])
        shape = (1, *part.shape[2:])
        brighter, darker = np.empty(shape, np.float32), np.empty(shape, np.float32)
        highest = np.empty((1, shape[1], 2), np.float32)
        _contrast(part, brighter, darker, highest)
        for whole, found in ((on, brighter), (off, darker), (peaks, highest)):
            whole[:, band.top : band.end] = found[:, band.core]


def _contrast(image: Array, on: Array, off: Array, peaks: Array) -> None:
    """How much brighter and darker each pixel is than its surrounds, and the largest of each row."""
    height, width = image.shape[2:]
    grey, sums = np.empty((1, height, width), np.float32), np.empty((1, height + 1, width + 1))
    pixels = grey.size
    share_tasks(_sum_brightness, height, pixels / 6, image, on)
    share_tasks(_blur, height, pixels / 2, on, grey)
    share_tasks(_add_rows, height, pixels / 3, grey, sums)
    share_tasks(_add_columns, -(-(width + 1) // COLUMNS_PER_TASK), pixels / 2, sums, COLUMNS_PER_TASK)
    share_tasks(_compare, height, 5 * pixels, grey, sums, np.array(SURROUNDS), on, off, peaks)


# -- the loops ------------------------------------------------------------------------------------


@compile_when_called
def _sum_brightness(first, last, images, grey):  # type: ignore[no-untyped-def]
    height, width = grey.shape[1:]
    unit = np.float32(1 / 255) if images.itemsize == 1 else np.float32(1)
    r, g, b = np.float32(0.299) * unit, np.float32(0.587) * unit, np.float32(0.114) * unit
    for task in range(first, last):
        n, y = task // height, task % height
        result = grey[n, y]
        if images.shape[1] == 1:
            only = images[n, 0, y]
            for x in range(width):
                result[x] = unit * np.float32(only[x])
        else:
            red, green, blue = images[n, 0, y], images[n, 1, y], images[n, 2, y]
            for x in range(width):
                result[x] = r * np.float32(red[x]) + g * np.float32(green[x]) + b * np.float32(blue[x])


@compile_when_called
def _blur(first, last, grey, blurred):  # type: ignore[no-untyped-def]
    """[1 2 1] / 4 twice along both sides; beyond the edge the image is mirrored, without repeating the edge."""
    height, width = grey.shape[1:]
    down = np.empty(width + 4, np.float32)
    four, six, sixteenth = np.float32(4), np.float32(6), np.float32(1 / 16)
    period_y, period_x = max(1, 2 * height - 2), max(1, 2 * width - 2)
    for task in range(first, last):
        n, y = task // height, task % height
        places = np.empty(5, np.int64)
        for k in range(5):
            place = (y + k - 2) % period_y
            places[k] = min(place, period_y - place) if height > 1 else 0
        a, b, c, d, e = grey[n, places[0]], grey[n, places[1]], grey[n, y], grey[n, places[3]], grey[n, places[4]]
        for x in range(width):
            down[x + 2] = sixteenth * (a[x] + e[x] + four * (b[x] + d[x]) + six * c[x])
        for k in (-2, -1, width, width + 1):
            place = k % period_x
            down[k + 2] = down[2 + (min(place, period_x - place) if width > 1 else 0)]
        result = blurred[n, y]
        for x in range(width):
            result[x] = sixteenth * (down[x] + down[x + 4] + four * (down[x + 1] + down[x + 3]) + six * down[x + 2])


@compile_when_called
def _add_rows(first, last, grey, sums):  # type: ignore[no-untyped-def]
    """Sums from the left, four rows at a time: an addition must wait for the one before, but not for other rows'."""
    height, width = grey.shape[1:]
    for task in range(first, last, 4):
        p, q, r, s = task, min(task + 1, last - 1), min(task + 2, last - 1), min(task + 3, last - 1)
        a, b = grey[p // height, p % height], grey[q // height, q % height]
        c, d = grey[r // height, r % height], grey[s // height, s % height]
        e, f = sums[p // height, p % height + 1], sums[q // height, q % height + 1]
        g, h = sums[r // height, r % height + 1], sums[s // height, s % height + 1]
        e[0], f[0], g[0], h[0] = 0.0, 0.0, 0.0, 0.0
        i, j, k, m = 0.0, 0.0, 0.0, 0.0
        for x in range(width):
            i += a[x]
            j += b[x]
            k += c[x]
            m += d[x]
            e[x + 1], f[x + 1], g[x + 1], h[x + 1] = i, j, k, m


@compile_when_called
def _add_columns(first, last, sums, block):  # type: ignore[no-untyped-def]
    height, width = sums.shape[1:]
    blocks = (width + block - 1) // block
    for task in range(first, last):
        n, left = task // blocks, task % blocks * block
        right = min(left + block, width)
        sums[n, 0, left:right] = 0
        for y in range(2, height):
            above, result = sums[n, y - 1], sums[n, y]
            for x in range(left, right):
                result[x] += above[x]


@numba.njit(**NUMBA_OPTIONS)
def _add_contrast(row, behind, ahead, part, signed, size):  # type: ignore[no-untyped-def]
    """Add I - mean and |I - mean|, for surrounds that are whole; slices from 0 on are what lets it be vectorised."""
    for x in range(len(row)):
        above = row[x] - (ahead[x] - behind[x] - row[x]) * part
        signed[x] += above
        size[x] += abs(above)


@numba.njit(**NUMBA_OPTIONS)
def _add_contrast_at_edge(row, column, tall, reach, first, last, signed, size):  # type: ignore[no-untyped-def]
    for x in range(first, last):
        left, right = max(x - reach, 0), min(x + reach + 1, len(row))
        above = row[x] - (column[right] - column[left] - row[x]) / np.float32(max(tall * (right - left) - 1, 1))
        signed[x] += above
        size[x] += abs(above)


@compile_when_called
def _compare(first, last, grey, sums, surrounds, on, off, peaks):  # type: ignore[no-untyped-def]
    """Six surrounds for one row of pixels after the other."""
    height, width = grey.shape[1:]
    column, half = np.empty(width + 1, np.float32), np.float32(0.5)
    for task in range(first, last):
        n, y = task // height, task % height
        row, signed, size = grey[n, y], on[n, y], off[n, y]
        signed[:] = 0
        size[:] = 0
        for reach in surrounds:
            top, bottom = max(y - reach, 0), min(y + reach + 1, height)
            upper, lower = sums[n, top], sums[n, bottom]
            for x in range(width + 1):
                column[x] = np.float32(lower[x] - upper[x])
            left, right = min(reach, width), max(width - reach - 1, min(reach, width))
            _add_contrast_at_edge(row, column, bottom - top, reach, 0, left, signed, size)
            if right > left:
                behind, ahead = column[: right - left], column[2 * reach + 1 : right + reach + 1]
                part = np.float32(1 / ((bottom - top) * (2 * reach + 1) - 1))
                _add_contrast(row[left:right], behind, ahead, part, signed[left:right], size[left:right])
            _add_contrast_at_edge(row, column, bottom - top, reach, right, width, signed, size)
        brightest, darkest = np.float32(0), np.float32(0)
        for x in range(width):
            brighter, darker = half * (size[x] + signed[x]), half * (size[x] - signed[x])
            signed[x], size[x] = brighter, darker
            brightest, darkest = max(brightest, brighter), max(darkest, darker)
        peaks[n, y, 0], peaks[n, y, 1] = brightest, darkest


@compile_when_called
def _join(first, last, on, off, peaks):  # type: ignore[no-untyped-def]
    """Divide both by their largest and add them, in place of `on`."""
    height, width = on.shape[1:]
    for task in range(first, last):
        n, y = task // height, task % height
        brighter, darker = on[n, y], off[n, y]
        p = np.float32(1) / peaks[n, 0] if peaks[n, 0] > LEAST_CONTRAST else np.float32(0)
        q = np.float32(1) / peaks[n, 1] if peaks[n, 1] > LEAST_CONTRAST else np.float32(0)
        for x in range(width):
            brighter[x] = p * brighter[x] + q * darker[x]
