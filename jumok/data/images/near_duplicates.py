"""Images that look nearly the same, such as copies that were scaled, saved again or taken a moment later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

THUMB_SIDE = 32
"""Pixels along a side of the grey thumbnails that are compared."""
ALIKE_IN_WHAT_DIFFERS = 0.95
"""Correlation of what sets two thumbnails apart from the mean of all, from which on they are nearly the same."""
ALIKE = 0.999
"""The same for the thumbnails themselves, where there are too few images for a mean."""
ENOUGH_FOR_MEAN = 20
FLAT = 2.0
"""Thumbnails of a smaller spread, in grey levels, show nothing that could be compared."""
MOST_COMPARED = 30_000
"""Images up to this number are compared, each with each."""
ROWS_AT_ONCE = 2048


def find_near_pairs(thumbs: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Pairs of images that look nearly the same, the first before the second.

    Two thumbnails are alike where what sets them apart from the mean of all images correlates by 0.95: photographs of
    one kind of part all look alike, and only copies differ from the others alike. Of fewer than 20 images the
    thumbnails themselves must correlate by 0.999.

    Args:
        thumbs: (images, 32, 32), grey.
    """
    plain = thumbs.reshape(len(thumbs), THUMB_SIDE * THUMB_SIDE).astype(np.float32)
    usable = np.flatnonzero(plain.std(1) >= FLAT)
    if len(usable) > MOST_COMPARED:
        return
    enough = len(usable) >= ENOUGH_FOR_MEAN
    rows = _normalise(plain[usable])
    rows = _normalise(rows - rows.mean(0)) if enough else rows
    limit = ALIKE_IN_WHAT_DIFFERS if enough else ALIKE
    for start in range(0, len(usable), ROWS_AT_ONCE):
        alike = rows[start : start + ROWS_AT_ONCE] @ rows.T >= limit
        for first, second in np.argwhere(np.triu(alike, start + 1)):
            yield int(usable[start + first]), int(usable[second])


def _normalise(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of zero mean and length 1, so that products are correlations."""
    centred = rows - rows.mean(1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = centred / np.maximum(length, np.float32(1e-6))
    return scaled


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
