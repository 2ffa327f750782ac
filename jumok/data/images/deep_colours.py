"""Colours of 16 bits with all their bits: Pillow keeps the upper 8 alone, so a file is decoded once for each half.

Pillow's decoders take the byte that their raw mode calls the upper one. Told the other byte order, they take the lower.
"""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from jumok.errors import JumokError

__all__ = ["holds_deep_colours", "read_deep_colours"]

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


def read_deep_colours(image: Image.Image) -> tuple[NDArray[np.uint16], Image.Image]:
    """All bits of an image that `holds_deep_colours`.

    Args:
        image: opened and not decoded; it stays so.
    Returns:
        (height, width, channels) of grey and alpha, RGB or RGBA; and the decoded image of the upper bits, for what
        else the file says.
    """
    file = image.fp  # type: ignore[attr-defined]
    here = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(here)
    if _raw_mode(image.tile[0]) == GREY_WITH_ALPHA:  # type: ignore[attr-defined]
        plain = _decode(content, image, mode="RGBA", raw="RGBA")  # four bytes a pixel, as they stand
        pairs = np.asarray(plain, np.uint16).reshape(*plain.size[::-1], 2, 2)
        return _join(pairs[..., 0], pairs[..., 1]), plain
    upper, lower = _decode(content, image), _decode(content, image, swap=True)
    values = _join(np.asarray(upper), np.asarray(lower))
    return _add_key(values[..., : len(upper.mode)], image), upper


def _join(upper: NDArray[Any], lower: NDArray[Any]) -> NDArray[np.uint16]:
    """Values from their two bytes."""
    values = upper.astype(np.uint16)
    values *= np.uint16(256)  # in place: a large image would be held several times
    values += lower
    return values


def _decode(content: bytes, image: Image.Image, *, mode: str = "", raw: str = "", swap: bool = False) -> Image.Image:
    """The same frame anew, read by another raw mode."""
    with Image.open(io.BytesIO(content), formats=[str(image.format)]) as fresh:
        if frame := image.tell():
            fresh.seek(frame)
        assert isinstance(fresh, ImageFile.ImageFile)
        fresh.tile = [_change(tile, raw or _raw_mode(tile), swap) for tile in fresh.tile]
        if mode:
            fresh._mode = mode
        fresh.load()
        return fresh


def _change(tile: Any, raw: str, swap: bool) -> Any:
    chosen = raw[:-1] + ORDERS[raw[-1]] if swap else raw
    return tile._replace(args=chosen if isinstance(tile.args, str) else (chosen, *tile.args[1:]))


def _add_key(values: NDArray[np.uint16], image: Image.Image) -> NDArray[np.uint16]:
    """With alpha where the file names one colour that is transparent."""
    key = image.info.get("transparency")
    if values.shape[-1] != 3 or not isinstance(key, tuple):
        return values
    alpha = np.where((values == np.array(key)).all(-1), 0, (1 << DEEP) - 1).astype(np.uint16)
    return np.concatenate([values, alpha[..., None]], -1)
