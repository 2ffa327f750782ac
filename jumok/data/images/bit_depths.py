"""16-bit images of a set: the bits that they use, and what to say of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from jumok.data.images.deep_colours import bits_for, find_largest, holds_deep_colours, read_deep_colours
from jumok.data.images.formats import read_formats
from jumok.data.images.reading import MAX_PIXELS, check_pixels, has_sixteen_bits, open_file

__all__ = ["describe_bits", "find_bits"]

SAMPLED_FILES = 256
"""So many files tell whether any of a set has 16 bits."""


def find_bits(paths: Sequence[Path]) -> int | None:
    """The bits that the 16-bit images of a set use, so that one brightness means the same in all of them.

    Only where one of some evenly spaced files has 16 bits are all of them looked at.

    Returns:
        8, 10, 12, 14 or 16; None where no image has 16 bits.
    """
    step = max(len(paths) // SAMPLED_FILES, 1)
    if not any(_is_deep(path) for path in paths[::step]):
        return None
    largest = [_largest_value(path) for path in paths if _is_deep(path)]
    return bits_for(max(largest, default=0))


def describe_bits(paths: Sequence[Path], bits: int | None) -> list[str]:
    """What to say of 16-bit images among those that a model is given, by some evenly spaced ones of them.

    Args:
        paths: of the images.
        bits: that it reads them by; None: those that each image's values need.
    Returns:
        a line; none where no image has 16 bits.
    """
    deep = [path for path in paths[:: max(len(paths) // SAMPLED_FILES, 1)] if _is_deep(path)]
    if not deep:
        return []
    if bits is None:
        return ["16-bit images are read by the bits that each one's values use: brightness differs between them"]
    white, largest = (1 << bits) - 1, [_largest_value(path) for path in deep]
    if beyond := sum(value > white for value in largest):
        return [
            f"16-bit images are read by the {bits} bits of the training: {beyond:,} of {len(deep):,} looked at have "
            f"larger values, up to {max(largest):,}, which all become white"
        ]
    return [f"16-bit images are read by the {bits} bits of the training: {white:,} is white"]


def _is_deep(path: Path) -> bool:
    """Whether a file has values of 16 bits, from its head; not where it cannot be read."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(open_file(path), formats=read_formats()) as image:
            return has_sixteen_bits(image) or holds_deep_colours(image)
    except Exception:  # on damaged files Pillow raises nearly anything; whoever reads the image says so
        return False


def _largest_value(path: Path) -> int:
    try:
        with Image.open(open_file(path), formats=read_formats()) as image:
            check_pixels(image, MAX_PIXELS)
            deep = read_deep_colours(image).read if holds_deep_colours(image) else None
            return find_largest(deep or (lambda box: np.asarray(image.crop(box))), image.size)[0]
    except Exception:  # as above
        return 0
