"""What to say of how images are read that a model is given: the bits of their values, and frames that are not read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jumok.data.images.bit_depths import describe_bits
from jumok.data.images.frames import describe_frames

__all__ = ["describe_reading"]


def describe_reading(paths: Sequence[Path], bits: int | None) -> list[str]:
    """What the user should know of how images are read.

    Args:
        paths: of the images.
        bits: that the model reads 16-bit images by; None: those that each image's values need.
    Returns:
        a line each; none where there is nothing to say.
    """
    return [*describe_bits(paths, bits), *describe_frames(paths)]
