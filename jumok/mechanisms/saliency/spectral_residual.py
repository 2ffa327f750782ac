"""Spectral residual: what is salient is what the smoothed spectrum of the image does not foretell."""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np
from scipy import fft  # on one thread, which for so few numbers is quickest
from torch import Tensor

from jumok.mechanisms.kernels.compiled import NUMBA_OPTIONS, compile_when_called, fill_each, share_tasks

__all__ = ["spectral_residual"]

SHRUNK_SIDE = 64
"""The image is shrunk to so many pixels on each side."""
SIGMA, REACH = 8.0, 2
"""Of the Gaussian that smooths the result, in those pixels, and how far it is taken to either side."""
RED, GREEN, BLUE = 19595, 38470, 7471  # 0.299, 0.587 and 0.114 of 2^16
LEAST_AMPLITUDE = np.float32(1e-6)
"""Amplitudes below this share of the mean brightness are rounding errors and have no phase."""

Array = np.ndarray[Any, np.dtype[Any]]


def spectral_residual(images: Tensor) -> Tensor:
    """Let stand what is unexpected in the image's spectrum.

    S(x) = (g * |F^-1[exp(R(f) + i P(f))]|)^2 with R(f) = L(f) - h * L(f), for L the logarithm of the amplitude, P the
    phase, h the mean over 3 x 3 frequencies and g a Gaussian.

    Args:
        images: (batch, 1 or 3, height, width), uint8, or float from 0 to 1, contiguous, on the CPU.
    Returns:
        (batch, height, width) float32, 0 or more; all 0 for an image of one brightness.
    Source: Hou & Zhang 2007, Saliency Detection: A Spectral Residual Approach, eq. 10-13. Differs: the image is shrunk
        to 64 x 64 by bilinear interpolation whatever its shape, and the Gaussian is one of 5 x 5 with sigma 8 and comes
        before the square, as in OpenCV's.
    """
    return fill_each(images, _fill)


def _fill(image: Array, saliency: Array) -> None:
    height, width = image.shape[2:]
    small, residual = (np.empty((1, SHRUNK_SIDE, SHRUNK_SIDE), np.float32) for _ in range(2))
    _shrink(0, 1, image, *_make_taps(height), *_make_taps(width), small)
    spectrum = fft.rfft2(small)
    _keep_unexpected(0, 1, spectrum)
    _smooth(0, 1, fft.irfft2(spectrum, s=(SHRUNK_SIDE, SHRUNK_SIDE)), _make_gaussian(), residual)
    wide = np.empty((1, SHRUNK_SIDE, width), np.float32)
    _stretch_rows(0, SHRUNK_SIDE, residual, *_make_taps_back(width), wide)
    share_tasks(_stretch_columns, height, saliency.size / 10, wide, *_make_taps_back(height), saliency)


# -- bilinear interpolation, with pixels as squares whose centres lie at halves -------------------


def _interpolate_between(size: int, wanted: int) -> tuple[Array, Array, Array]:
    """For each wanted pixel the two that it lies between, and the share of the second."""
    place = np.clip((np.arange(wanted) + 0.5) * (size / wanted) - 0.5, 0, size - 1)
    low = np.floor(place).astype(np.uintp)  # unsigned, so that no loop asks whether an index counts from the end
    return low, np.minimum(low + 1, size - 1).astype(np.uintp), (place - low).astype(np.float32)


@functools.lru_cache(maxsize=32)
def _make_taps(size: int) -> tuple[Array, Array, Array]:
    return _interpolate_between(size, SHRUNK_SIDE)


@functools.lru_cache(maxsize=32)
def _make_taps_back(size: int) -> tuple[Array, Array, Array]:
    return _interpolate_between(SHRUNK_SIDE, size)


@functools.cache
def _make_gaussian() -> Array:
    taps: Array = np.exp(-(np.arange(-REACH, REACH + 1) ** 2) / (2 * SIGMA**2))
    normed: Array = (taps / taps.sum()).astype(np.float32)
    return normed


# -- the loops ------------------------------------------------------------------------------------


@numba.njit(**NUMBA_OPTIONS)
def _sum_row_brightness(images, b, y, left, right, across, row):  # type: ignore[no-untyped-def]
    """Brightness at the places across one row of pixels, times 2^16: whole numbers are quickest for bytes."""
    if images.shape[1] == 1:
        only = images[b, 0, y]
        for j in range(len(row)):
            here, next_ = np.float32(only[left[j]]), np.float32(only[right[j]])
            row[j] = np.float32(65536) * (here + across[j] * (next_ - here))
        return
    red, green, blue = images[b, 0, y], images[b, 1, y], images[b, 2, y]
    for j in range(len(row)):
        x, z = left[j], right[j]
        here = np.float32(RED * red[x] + GREEN * green[x] + BLUE * blue[x])
        next_ = np.float32(RED * red[z] + GREEN * green[z] + BLUE * blue[z])
        row[j] = here + across[j] * (next_ - here)


@compile_when_called
def _shrink(first, last, images, top, bottom, down, left, right, across, small):  # type: ignore[no-untyped-def]
    """Brightness at 64 x 64 places, each between four pixels."""
    unit = np.float32(1 / 255 / 65536) if images.itemsize == 1 else np.float32(1 / 65536)
    upper, lower = np.empty(SHRUNK_SIDE, np.float32), np.empty(SHRUNK_SIDE, np.float32)
    for b in range(first, last):
        for i in range(SHRUNK_SIDE):
            _sum_row_brightness(images, b, top[i], left, right, across, upper)
            _sum_row_brightness(images, b, bottom[i], left, right, across, lower)
            for j in range(SHRUNK_SIDE):
                small[b, i, j] = unit * (upper[j] + down[i] * (lower[j] - upper[j]))


@compile_when_called
def _keep_unexpected(first, last, spectrum):  # type: ignore[no-untyped-def]
    """exp(R + iP) in place of the spectrum, of which only the half is stored that the other mirrors."""
    rows, columns = spectrum.shape[1:]
    amplitude, log = np.empty((rows, columns), np.float32), np.empty((rows, columns + 2), np.float32)
    for b in range(first, last):
        faint = LEAST_AMPLITUDE * abs(spectrum[b, 0, 0])
        for i in range(rows):
            for j in range(columns):
                value = spectrum[b, i, j]
                amplitude[i, j] = np.sqrt(value.real * value.real + value.imag * value.imag)
                log[i, j + 1] = np.log(max(amplitude[i, j], faint, np.float32(1e-30)))
        for i in range(rows):  # |F(k, -1)| = |F(-k, 1)|, and the like at the other end
            log[i, 0], log[i, columns + 1] = log[-i % rows, 2], log[-i % rows, columns - 1]
        standing = 0
        for i in range(rows):
            above, same, below = log[i - 1], log[i], log[(i + 1) % rows]
            for j in range(columns):
                if amplitude[i, j] <= faint:
                    spectrum[b, i, j] = 0
                    continue
                standing += 1
                mean = np.float32(0)
                for k in range(j, j + 3):
                    mean += above[k] + same[k] + below[k]
                spectrum[b, i, j] *= np.exp(same[j + 1] - mean / np.float32(9)) / amplitude[i, j]
        if standing <= 1:  # nothing but the mean brightness
            spectrum[b] = 0


@numba.njit(**NUMBA_OPTIONS)
def _mirror(rows, reach):  # type: ignore[no-untyped-def]
    """Fill what lies beyond both ends by what lies within, without repeating the ends."""
    last = len(rows) - 1 - reach
    for k in range(1, reach + 1):
        rows[reach - k], rows[last + k] = rows[reach + k], rows[last - k]


@numba.njit(**NUMBA_OPTIONS)
def _add_taps(line, taps, result):  # type: ignore[no-untyped-def]
    result[:] = 0
    for k in range(len(taps)):
        shifted = line[k:]
        for j in range(len(result)):
            result[j] += taps[k] * shifted[j]


@compile_when_called
def _smooth(first, last, found, taps, residual):  # type: ignore[no-untyped-def]
    """(g * |found|)^2; beyond the edge the image is mirrored, without repeating the edge."""
    reach, side = len(taps) // 2, found.shape[1]
    line, across = np.empty(side + 2 * reach, np.float32), np.empty((side + 2 * reach, side), np.float32)
    for b in range(first, last):
        for i in range(side):
            row, middle, result = found[b, i], line[reach:], across[reach + i]
            for j in range(side):
                middle[j] = abs(row[j])
            _mirror(line, reach)
            _add_taps(line, taps, result)
        for k in range(1, reach + 1):
            across[reach - k] = across[reach + k]
            across[reach + side - 1 + k] = across[reach + side - 1 - k]
        for i in range(side):
            result = residual[b, i]
            result[:] = 0
            for k in range(len(taps)):
                row = across[i + k]
                for j in range(side):
                    result[j] += taps[k] * row[j]
            for j in range(side):
                result[j] *= result[j]


@compile_when_called
def _stretch_rows(first, last, residual, left, right, across, wide):  # type: ignore[no-untyped-def]
    side, width = wide.shape[1], wide.shape[2]
    for task in range(first, last):
        row, result = residual[task // side, task % side], wide[task // side, task % side]
        for x in range(width):
            result[x] = row[left[x]] + across[x] * (row[right[x]] - row[left[x]])


@compile_when_called
def _stretch_columns(first, last, wide, top, bottom, down, maps):  # type: ignore[no-untyped-def]
    height, width = maps.shape[1], maps.shape[2]
    for task in range(first, last):
        b, y = task // height, task % height
        upper, lower, result, v = wide[b, top[y]], wide[b, bottom[y]], maps[b, y], down[y]
        for x in range(width):
            result[x] = upper[x] + v * (lower[x] - upper[x])
