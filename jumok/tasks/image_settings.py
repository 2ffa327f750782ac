"""Settings that all tasks with images share. No torch here."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from jumok.errors import JumokError
from jumok.tasks.running.config import Strict

__all__ = ["ImageSettings", "Spread"]

LARGEST_SIDE = 4096
"""Pixels that an image's side may have."""

Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]
Spread = Annotated[float, Field(gt=0)]
"""A standard deviation, by which pixels are divided: with 0 every answer would be NaN."""


def _side_or_sides(value: Any) -> Any:
    """Read 64, "64", "64x96" or [64, 96]."""
    if isinstance(value, str):
        sides = value.lower().split("x")
        if len(sides) > 2 or not all(side.isdecimal() for side in sides):
            raise ValueError("it should be a number of pixels such as 64, or HEIGHTxWIDTH such as 64x96")
        value = [int(side) for side in sides] if len(sides) == 2 else int(sides[0])
    numbers = [side for side in (value if isinstance(value, list | tuple) else [value]) if isinstance(side, int)]
    if not all(1 <= side <= LARGEST_SIDE for side in numbers):
        raise ValueError(f"it should be from 1 to {LARGEST_SIDE} pixels")
    return value


class ImageSettings(Strict):
    """How images are read."""

    image_size: Annotated[int | tuple[Side, Side] | None, BeforeValidator(_side_or_sides)] = Field(
        default=None,
        description="Side in pixels, or HEIGHTxWIDTH; default: the images' own size if uniform and small, else 224.",
    )
    memory: int | None = Field(
        default=None,
        ge=0,
        description="MiB for caching decoded images, else they are streamed; default: a quarter of free memory.",
    )

    bits: int | None = Field(
        default=None,
        ge=8,
        le=16,
        description="Bits that 16-bit images use: of 12, 4095 is white; default: what the images' values need.",
    )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) to which every image is brought.

        Raises:
            JumokError: it was not settled.
        """
        size = self.image_size
        if size is None:
            raise JumokError("this run's config.yaml lacks data.image_size")
        return (size, size) if isinstance(size, int) else size

    @property
    def bytes(self) -> int | None:
        """What decoded images may take; None: as much as is free."""
        return None if self.memory is None else self.memory << 20
