"""Images that look nearly the same, such as copies that were scaled, cropped, saved again or taken a moment later."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

THUMB_SIDE = 32
"""Pixels along a side of the grey thumbnails that are compared."""
LEAST_ALIKE, SURELY_ALIKE = 0.95, 0.99
"""Correlation of what sets two thumbnails apart from the mean of all, from which on they may be nearly the same: the
first in a set of different images, up to the second in one whose images all look alike."""
CLOSER_THAN_OTHERS = 0.25
"""Share of the most alike other pairs' squared distance that copies have at the most."""
LIKELY_COPIES = 0.1
"""Pairs, for each image, that are left out of what others are: these may be copies."""
ALIKE = 0.999
"""Correlation of the thumbnails themselves, where there are too few images for a mean."""
ENOUGH_FOR_MEAN, ENOUGH_FOR_OTHERS = 20, 1_500
"""Images from which on there is a mean to compare with, and among which it is seen how alike others are."""
FLAT = 2.0
"""Thumbnails of a smaller spread, in grey levels, show nothing that could be compared."""
MOST_COMPARED = 30_000
"""Images up to this number are compared, each with each, unless more are asked for."""
ROWS_AT_ONCE = 2048
MOST_ALIGNED, LEAST_ALIGNED = 5_000, 0.6
"""Pairs that are laid over each other before they are compared again, and from which correlation on."""
ALIGNING_STEPS, LARGEST_STEP, PAIRS_AT_ONCE = 6, 0.05, 512
MOST_CHANGE = 0.15
"""The largest zoom and shift that aligning finds, as shares of the image and of half the image."""
BORDER = 2
"""Pixels along the border that an aligned copy may not show."""

Pixels = NDArray[np.float32]


def find_near_pairs(
    thumbs: NDArray[np.uint8], first_part: int | None = None, most: int | None = MOST_COMPARED
) -> Iterator[tuple[int, int]]:
    """Pairs of images that look nearly the same, the first before the second.

    What sets each thumbnail apart from the mean of all images is compared. Two are nearly the same where this
    correlates by 0.95, and in a set whose images all look alike by more, up to 0.99: copies lie at no more than half
    the distance at which the most alike of the others lie. Pairs that come near are laid over each other first, so that
    slight crops are found. Of fewer than 20 images the thumbnails themselves must correlate by 0.999.

    Args:
        thumbs: (images, 32, 32), grey.
        first_part: how many images belong to a first part; only pairs of one of these and another are looked for. None:
            all pairs.
        most: among more images none are looked for, as each is compared with each; None: however many there are.
    """
    plain = thumbs.astype(np.float32)
    usable = np.flatnonzero(plain.reshape(len(thumbs), THUMB_SIDE * THUMB_SIDE).std(1) >= FLAT)
    if most is not None and len(usable) > most:
        return
    border = None if first_part is None else int((usable < first_part).sum())
    if len(usable) < ENOUGH_FOR_MEAN:
        found = _find_pairs(_normalise(plain[usable]), ALIKE, border)
    else:
        found = _find_copies(plain[usable], border)
    for first, second in found:
        yield int(usable[first]), int(usable[second])


def _find_copies(thumbs: Pixels, border: int | None) -> list[tuple[int, int]]:
    """The same, among (n, 32, 32) of which there are enough for a mean."""
    apart = SetApart(thumbs)
    rows = apart(thumbs)
    limit, near = _choose_limits(rows)
    found = _find_pairs(rows, near, border)
    copies = []
    for start in range(0, len(found), PAIRS_AT_ONCE):
        pairs = found[start : start + PAIRS_AT_ONCE]
        first, second = (thumbs[list(side)] for side in zip(*pairs, strict=True))
        alike = _correlate(apart, first, second) >= limit
        copies += [pair for pair, is_copy in zip(pairs, alike, strict=True) if is_copy]
    return copies


class SetApart:
    """What sets thumbnails apart from the mean of all.

    Args:
        thumbs: (n, 32, 32) of the whole set.
    """

    def __init__(self, thumbs: Pixels) -> None:
        self._mean = _normalise(thumbs).mean(0)

    def __call__(self, thumbs: Pixels, border: int = 0) -> Pixels:
        """Rows of zero mean and length 1 of (n, 32, 32), without a border: products are correlations."""
        rest = (_normalise(thumbs) - self._mean).reshape(len(thumbs), THUMB_SIDE, THUMB_SIDE)
        inner = slice(border, THUMB_SIDE - border)
        return _normalise(rest[:, inner, inner])


def _choose_limits(rows: Pixels) -> tuple[float, float]:
    """From which correlation on two images are nearly the same, and from which on it is worth while to align them."""
    step = -(-len(rows) // ENOUGH_FOR_OTHERS)
    some = rows[::step]
    others = np.sort((some @ some.T)[np.triu_indices(len(some), 1)])[::-1]
    most = float(others[min(int(LIKELY_COPIES * len(some)), len(others) - 1)])
    limit = min(max(1 - CLOSER_THAN_OTHERS * (1 - most), LEAST_ALIKE), SURELY_ALIKE)
    affordable = float(others[min(MOST_ALIGNED // step**2, len(others) - 1)])
    return limit, min(max(affordable, LEAST_ALIGNED), limit)


def _find_pairs(rows: Pixels, limit: float, border: int | None) -> list[tuple[int, int]]:
    """Pairs of rows whose product reaches a limit, the first before the second, with a border one on each side."""
    found = []
    others = 0 if border is None else border
    for start in range(0, len(rows) if border is None else border, ROWS_AT_ONCE):
        some = rows[start : min(start + ROWS_AT_ONCE, border or len(rows))]
        alike = np.triu(some @ rows[others:].T >= limit, start - others + 1)
        found += [(start + int(first), others + int(second)) for first, second in np.argwhere(alike)]
    return found


def _normalise(thumbs: Pixels) -> Pixels:
    """Rows of zero mean and length 1, so that products are correlations."""
    rows = thumbs.reshape(len(thumbs), math.prod(thumbs.shape[1:]))
    centred = rows - rows.mean(1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    scaled: Pixels = (centred / np.maximum(length, 1e-6)).astype(np.float32)
    return scaled


# -- aligning -----------------------------------------------------------------------------------


def _correlate(apart: SetApart, first: Pixels, second: Pixels) -> Pixels:
    """How (n, 32, 32) and (n, 32, 32) correlate pair by pair: as they are, or laid over each other."""
    plain = (apart(first) * apart(second)).sum(1)
    aligned = (apart(first, BORDER) * apart(align(first, second), BORDER)).sum(1)
    alike: Pixels = np.maximum(plain, aligned)
    return alike


def align(first: Pixels, second: Pixels) -> Pixels:
    """Zoom and shift images so that they come to lie over others, by a few steps of Gauss and Newton.

    Contrast and brightness are fitted along with them.

    Args:
        first: (n, side, side), which stay.
        second: (n, side, side).
    Returns:
        the second ones, (n, side, side).
    Source: Lucas & Kanade 1981. Differs: zoom along each axis beside the shift; cubic interpolation.
    """
    side = first.shape[-1]
    places = (np.arange(side, dtype=np.float32) + 0.5) * (2 / side) - 1
    change = np.zeros((len(first), 2, 2), np.float32)  # of rows and columns: zoom, shift
    inner = slice(BORDER, side - BORDER)
    for _ in range(ALIGNING_STEPS):
        moved = _move(second, change)
        down, across = np.gradient(moved, 2 / side, axis=(1, 2))
        parts = [down * places[:, None], down, across * places, across, moved, np.ones_like(moved)]
        slopes = np.stack([part[:, inner, inner].reshape(len(first), -1) for part in parts], -1)
        error = (first - moved)[:, inner, inner].reshape(len(first), -1, 1)
        square = slopes.swapaxes(1, 2) @ slopes
        square += 1e-3 * np.eye(len(parts), dtype=np.float32) * (square + 1e-6)
        step = np.linalg.solve(square, slopes.swapaxes(1, 2) @ error)[:, :4, 0].reshape(-1, 2, 2)
        change = _limit(change + _limit(step, LARGEST_STEP), MOST_CHANGE)
    return _move(second, change)


def _limit(values: Pixels, most: float) -> Pixels:
    limited: Pixels = np.clip(values, -most, most).astype(np.float32)
    return limited


def _move(images: Pixels, change: Pixels) -> Pixels:
    """Each image zoomed and shifted along its rows and columns."""
    side = images.shape[-1]
    places = (np.arange(side, dtype=np.float32) + 0.5) * (2 / side) - 1
    wanted = ((1 + change[..., :1]) * places + change[..., 1:] + 1) * (side / 2) - 0.5
    rows, columns = _interpolate(wanted[:, 0]), _interpolate(wanted[:, 1])
    moved: Pixels = (rows @ images @ columns.swapaxes(1, 2)).astype(np.float32)
    return moved


def _interpolate(wanted: Pixels) -> Pixels:
    """Cubic weights (n, side, side) of all places for each that is wanted (n, side); beyond the border, the border."""
    side = wanted.shape[-1]
    away = np.abs(np.clip(wanted, 0, side - 1)[..., None] - np.arange(side, dtype=np.float32))
    near = (1.5 * away - 2.5) * away**2 + 1
    far = ((-0.5 * away + 2.5) * away - 4) * away + 2
    weights = np.where(away <= 1, near, np.where(away < 2, far, np.float32(0)))
    whole: Pixels = weights / weights.sum(-1, keepdims=True)
    return whole


def group_pairs(pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Join pairs that share an image into groups, the largest first; each group sorted.

    >>> group_pairs([(1, 2), (5, 6), (2, 4)])
    [[1, 2, 4], [5, 6]]
    """
    home: dict[int, int] = {}

    def find(number: int) -> int:
        while home.setdefault(number, number) != number:
            home[number] = home[home[number]]
            number = home[number]
        return number

    for first, second in pairs:
        home[find(second)] = find(first)
    groups: dict[int, list[int]] = {}
    for number in sorted(home):
        groups.setdefault(find(number), []).append(number)
    return sorted(groups.values(), key=lambda group: (-len(group), group[0]))
