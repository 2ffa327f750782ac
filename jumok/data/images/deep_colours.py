"""Colours of 16 bits with all their bits: Pillow keeps the upper 8 alone, so a file is decoded once for each half.

Pillow's decoders take the byte that their raw mode calls the upper one. Told the other byte order, they take the lower.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from jumok.errors import JumokError

__all__ = [
    "BIT_DEPTHS",
    "Box",
    "DeepColours",
    "bits_for",
    "cut_boxes",
    "find_largest",
    "holds_deep_colours",
    "read_deep_colours",
    "to_eight_bits",
]

Box = tuple[int, int, int, int]
"""(left, top, right, bottom), as Pillow counts."""
BIT_DEPTHS = (8, 10, 12, 14, 16)
"""Bits that cameras fill of the 16 that a file gives them."""
PIXELS_AT_ONCE = 1 << 20
"""Of a large image, that are converted together."""
MODES = ("RGB", "RGBA", "RGBX")
GREY_WITH_ALPHA = "LA;16B"
ORDERS = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
BITS_PER_SAMPLE, PLANES = 258, 284
"""Tags of TIFF."""
DEEP, APART = 16, 2
"""The bits of deep colours, and the value of `PLANES` where each colour is stored by itself."""


def holds_deep_colours(image: Image.Image) -> bool:
    """Whether an image that was opened and not yet decoded has colours, or grey with alpha, of 16 bits.

    Raises:
        JumokError: it has, in an arrangement that Pillow takes for one of 8 bits.
    """
    tiles = getattr(image, "tile", None)
    if not tiles:
        return False
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(BITS_PER_SAMPLE, ())
    if tags.get(PLANES) == APART and isinstance(bits, tuple) and len(bits) > 1 and DEEP in bits:
        raise JumokError("its 16-bit colours lie in separate planes, which are not read; save them interleaved")
    return all(_is_deep(_raw_mode(tile)) for tile in tiles)


def _raw_mode(tile: Any) -> str:
    args = tile.args
    return str(args if isinstance(args, str) else args[0] if args else "")


def _is_deep(raw: str) -> bool:
    mode, _, layout = raw.partition(";")
    return raw == GREY_WITH_ALPHA or (mode in MODES and layout[:2] == str(DEEP) and layout[2:] in ORDERS)


@dataclass(frozen=True)
class DeepColours:
    """Colours of 16 bits, of which a part at a time is put together: all at once take several times as much.

    Args:
        upper: the upper halves; of grey with alpha both halves of both.
        lower: the lower halves; None: `upper` holds them.
        key: the colour that is transparent, where the file names one.
    """

    upper: Image.Image
    lower: Image.Image | None = None
    key: tuple[int, ...] | None = None

    def read(self, box: Box) -> NDArray[np.uint16]:
        """(height, width, channels) of grey and alpha, RGB or RGBA."""
        upper = np.asarray(self.upper.crop(box))
        if self.lower is None:
            pairs = upper.reshape(*upper.shape[:2], 2, 2)
            return _join(pairs[..., 0], pairs[..., 1])
        return _add_key(_join(upper, np.asarray(self.lower.crop(box))), self.key)


def read_deep_colours(image: Image.Image) -> DeepColours:
    """All bits of an image that `holds_deep_colours`.

    Args:
        image: opened and not decoded; it stays so.
    """
    if _raw_mode(image.tile[0]) == GREY_WITH_ALPHA:  # type: ignore[attr-defined]
        return DeepColours(_decode(image, mode="RGBA", raw="RGBA"))  # four bytes a pixel, as they stand
    key = image.info.get("transparency")
    return DeepColours(_decode(image), _decode(image, swap=True), key if isinstance(key, tuple) else None)


def _join(upper: NDArray[Any], lower: NDArray[Any]) -> NDArray[np.uint16]:
    """Values from their two bytes."""
    joined: NDArray[np.uint16] = upper.astype(np.uint16) * np.uint16(256) + lower
    return joined


def _decode(image: Image.Image, *, mode: str = "", raw: str = "", swap: bool = False) -> Image.Image:
    """The same frame anew, read by another raw mode from the same file, whose place is kept."""
    file = image.fp  # type: ignore[attr-defined]
    here = file.tell()
    file.seek(0)
    try:
        with Image.open(file, formats=[str(image.format)]) as fresh:
            if frame := image.tell():
                fresh.seek(frame)
            assert isinstance(fresh, ImageFile.ImageFile)
            fresh.tile = [_change(tile, raw or _raw_mode(tile), swap) for tile in fresh.tile]
            if mode:
                fresh._mode = mode
            fresh.load()
            return fresh
    finally:
        file.seek(here)


def _change(tile: Any, raw: str, swap: bool) -> Any:
    chosen = raw[:-1] + ORDERS[raw[-1]] if swap else raw
    return tile._replace(args=chosen if isinstance(tile.args, str) else (chosen, *tile.args[1:]))


def _add_key(values: NDArray[np.uint16], key: tuple[int, ...] | None) -> NDArray[np.uint16]:
    """With alpha where the file names one colour that is transparent."""
    if values.shape[-1] != 3 or key is None:
        return values
    alpha = np.where((values == np.array(key)).all(-1), 0, (1 << DEEP) - 1).astype(np.uint16)
    return np.concatenate([values, alpha[..., None]], -1)


def cut_boxes(size: tuple[int, int]) -> Iterator[Box]:
    """Boxes of few pixels each, which are a whole image of this width and height together.

    >>> list(cut_boxes((2_000_000, 1)))
    [(0, 0, 1048576, 1), (1048576, 0, 2000000, 1)]
    """
    width, height = size
    across = min(max(width, 1), PIXELS_AT_ONCE)
    down = PIXELS_AT_ONCE // across
    for top in range(0, height, down):
        for left in range(0, width, across):
            yield left, top, min(left + across, width), min(top + down, height)


def find_largest(read: Callable[[Box], NDArray[Any]], size: tuple[int, int]) -> tuple[int, int]:
    """The largest value of an image's colours, and of its alpha; 0 where it has none.

    Args:
        read: gives the values in a box, (height, width) or (height, width, channels).
        size: width and height.
    """
    colours = alpha = 0
    for values in map(read, cut_boxes(size)):
        if _has_alpha(values):
            alpha, values = max(alpha, int(values[..., -1].max())), values[..., :-1]
        colours = max(colours, int(values.max()))
    return colours, alpha


def to_eight_bits(values: NDArray[Any], white: int, opaque: int) -> NDArray[np.uint8]:
    """Bring values to 0..255, rounded.

    Args:
        values: (height, width) or (height, width, channels).
        white: that becomes 255, as does what is larger.
        opaque: the same, of alpha.
    """
    most = (
        np.uint32(white) if not _has_alpha(values) else np.array([white] * (values.shape[-1] - 1) + [opaque], np.uint32)
    )
    found: NDArray[np.uint8] = ((values.astype(np.uint32) * 255 + most // 2) // most).clip(max=255).astype(np.uint8)
    return found


def _has_alpha(values: NDArray[Any]) -> bool:
    return values.ndim == 3 and values.shape[-1] in (2, 4)


def bits_for(largest: int) -> int:
    """The fewest usual bits that hold a value."""
    return next(bits for bits in BIT_DEPTHS if largest < 1 << bits)
