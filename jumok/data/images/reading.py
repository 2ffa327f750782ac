"""One image as pixels, whatever it is given as: a path, a file's bytes, a Pillow image or an array."""

from __future__ import annotations

import io
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from jumok.data.images.deep_colours import (
    Box,
    bits_for,
    cut_boxes,
    find_largest,
    holds_deep_colours,
    read_deep_colours,
    to_eight_bits,
)
from jumok.data.images.formats import FORMAT_NAMES, explain_unread_bytes, read_formats
from jumok.data.packed.members import NO_SUCH_FILE, open_binary, open_member
from jumok.errors import JumokError
from jumok.machine import Room

__all__ = [
    "MAX_PIXELS",
    "ImageLike",
    "holding_image",
    "image_size",
    "open_image",
    "read_image",
    "resize",
    "turn_upright",
]

ImageLike: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | NDArray[Any]"
"""What an image may be given as."""

MAX_PIXELS = 89_000_000
"""A larger image is refused before it is decoded; this is just under the size at which Pillow begins to warn."""
BEING_READ = Room(MAX_PIXELS)
"""Pixels of all images that threads decode at a time: one of the largest, or several small ones."""
TOO_MUCH_TEXT = re.compile("MAX_TEXT_(CHUNK|MEMORY)")
"""What Pillow names where a PNG's notes would take too much memory."""
PNG_CHUNKS_AT = 8
"""Bytes before the first chunk of a PNG."""
FILE_ENDS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9", "MPO": b"\xff\xd9"}
TURNS_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings an image of each EXIF orientation upright."""
QUARTER_TURNS = {TURNS_UPRIGHT[orientation] for orientation in (5, 6, 7, 8)}
"""Those that swap height and width."""
ARRAY_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""What an array's channels stand for, by their number."""


def open_image(source: ImageLike, *, bits: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read an image as RGB, whole and upright.

    A path, the bytes of its file, what `PIL.Image.open` makes of it and the array of its pixels give the same. The
    content decides the format, not the suffix. The EXIF orientation is applied; transparent parts are laid over
    white; of several frames or pages the first is taken. Values of 16 bits, grey or colours, are brought to 8 by the
    bits that are in use; of colours that Pillow has decoded before, only the upper 8 are left. Colour profiles are not
    applied.

    Args:
        source: a file in a format of `formats.read_formats`, its bytes, a Pillow image, or an array (height, width)
            or (height, width, channels) of uint8, uint16 or bool with 1 (grey), 2 (and alpha), 3 or 4 channels.
        bits: that 16-bit values use: of 12, 4095 is white. None: the fewest of 8, 10, 12, 14 and 16 that hold the
            image's largest value.
        max_pixels: a larger image is refused before it is decoded; beyond 178 million Pillow refuses itself.
    Raises:
        JumokError: no such file, one that is empty, truncated, damaged or no image, one of too many pixels, or one
            of 32-bit values.
    """
    with holding_image(source, bits=bits, max_pixels=max_pixels) as image:
        return image


@contextmanager
def holding_image(source: ImageLike, *, bits: int | None = None, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """The same for as long as the block lasts: meanwhile no other thread reads images that are too large beside it.

    Args:
        source, bits, max_pixels: as for `open_image`.
    Raises:
        JumokError: as `open_image`.
    """
    with ExitStack() as held:
        try:
            found = _decode(source, bits, max_pixels, held)
        except Exception as error:  # on damaged files Pillow raises nearly anything
            raise JumokError(f"cannot read {_name(source)}: {explain_unread(source, error)}") from error
        yield found


def _decode(source: ImageLike, bits: int | None, max_pixels: int, held: ExitStack) -> Image.Image:
    """What the source shows; its pixels count as held until the stack is closed."""
    if isinstance(source, np.ndarray):
        return _array_to_rgb(source, bits)
    if isinstance(source, Image.Image):
        found = _finish(source, bits, max_pixels)
        return found.copy() if found is source else found
    with Image.open(open_file(source), formats=read_formats()) as image:
        check_pixels(image, max_pixels)
        _check_end(image)
        held.enter_context(BEING_READ.take(image.width * image.height))
        return _finish(image, bits, max_pixels)


def image_size(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """The size of an image as `open_image` gives it, upright, from the head of its file.

    Returns:
        (height, width) in pixels; None where it cannot be read: `open_image` says why.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(open_file(path), formats=read_formats()) as image:
            width, height = image.size
            # Of a TIFF Pillow tells the size upright. What is too large is refused by whoever reads it.
            sought = image.format != "TIFF" and width * height <= MAX_PIXELS
            turned = sought and _find_turn(image, decoded=_has_late_notes(image)) in QUARTER_TURNS
            return (width, height) if turned else (height, width)
    except Exception:  # on damaged files Pillow raises nearly anything
        return None


def read_image(source: ImageLike, size: tuple[int, int] | None = None, *, bits: int | None = None) -> Tensor:
    """Read an image as `open_image` does.

    Args:
        source: the image.
        size: (height, width) to bring it to, as `resize` does but quicker; None keeps its own.
        bits: as for `open_image`.
    Returns:
        (3, height, width) uint8, red, green, blue.
    Raises:
        JumokError: as `open_image`, or a size below 1 pixel.
    """
    if size is not None:
        _check_sides(*size)
    with holding_image(source, bits=bits) as image:
        return _to_tensor(image if size is None else _stretch(image, *size))


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Stretch an image to fit, smoothing where it shrinks, so that every pixel of it stays in view.

    Args:
        image: (3, any, any) uint8.
        height, width: wanted, in pixels.
    Returns:
        (3, height, width) uint8; the image itself where it fits already.
    Raises:
        JumokError: not an image, or a size below 1 pixel.

    >>> resize(torch.zeros(3, 4, 4, dtype=torch.uint8), 2, 6).shape
    torch.Size([3, 2, 6])
    """
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
        raise JumokError(f"resize needs a (3, height, width) uint8 picture, got {tuple(image.shape)} {image.dtype}")
    if tuple(image.shape[1:]) == (height, width):
        return image
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().cpu().numpy())
    return _to_tensor(_stretch(picture, height, width)).to(image.device)


def turn_upright(image: Image.Image) -> Image.Image:
    """The image as its EXIF orientation says that it is seen; the same image where it says nothing."""
    turn = _find_turn(image)
    return image if turn is None else image.transpose(turn)


# -- files --------------------------------------------------------------------------------------


def open_file(source: str | os.PathLike[str] | bytes) -> str | io.BytesIO:
    """What Pillow opens, which may lie inside a packed file; a pipe or device, which might never end, is refused."""
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source)
    try:
        kind = os.stat(source).st_mode  # noqa: PTH116 (a path may be text)
    except NO_SUCH_FILE:
        return open_member(source)
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        raise JumokError("it is not a plain file but a pipe or device; remove it")
    return os.fspath(source)


def check_pixels(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise JumokError(f"{width} x {height} pixels are more than the {max_pixels} allowed; make the picture smaller")


def _check_end(image: Image.Image) -> None:
    """Refuse a file whose end was never written: broken copies end in zeros, which may decode to black."""
    end, file = FILE_ENDS.get(image.format or ""), getattr(image, "fp", None)
    if end is None or file is None:
        return
    here = file.tell()
    file.seek(-len(end), os.SEEK_END)
    if not any(file.read()):
        file.seek(0)
        if not file.read().rstrip(b"\0").endswith(end):
            raise JumokError("its end is missing, only zeros are there; replace or remove it")
    file.seek(here)


def _find_turn(image: Image.Image, *, decoded: bool = True) -> Image.Transpose | None:
    """What its EXIF orientation asks for; of a PNG that is not decoded, as far as the notes before its pixels say."""
    try:
        notes = image.getexif() if decoded else Image.Image.getexif(image)
        return TURNS_UPRIGHT.get(notes.get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged notes beside a sound picture: no viewer turns it either
        return None


def _has_late_notes(image: Image.Image) -> bool:
    """Whether notes may follow the pixels: in a PNG they can, and Pillow decodes all of it to read them."""
    file = getattr(image, "fp", None)
    if image.format != "PNG" or file is None:
        return True
    here, kind, seen_pixels = file.tell(), b"", False
    file.seek(PNG_CHUNKS_AT)
    while not (seen_pixels and kind == b"eXIf") and len(head := file.read(8)) == 8:
        kind = head[4:]
        seen_pixels |= kind == b"IDAT"
        file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)  # its content and its checksum
    file.seek(here)
    return seen_pixels and kind == b"eXIf"


# -- modes --------------------------------------------------------------------------------------


def _finish(image: Image.Image, bits: int | None, max_pixels: int) -> Image.Image:
    """Decode, turn upright and bring to RGB; what the image was read from stays as it was."""
    check_pixels(image, max_pixels)
    if holds_deep_colours(image):
        deep = read_deep_colours(image)
        turn, found = _find_turn(deep.upper), _deep_to_rgb(deep.read, image.size, bits)
        del deep  # halves of a large image, no longer needed when it is turned
        return found if turn is None else found.transpose(turn)
    image.load()
    grey16 = has_sixteen_bits(image)
    upright = turn_upright(image)
    return _deep_to_rgb(lambda box: np.asarray(upright.crop(box)), upright.size, bits) if grey16 else _to_rgb(upright)


def has_sixteen_bits(image: Image.Image) -> bool:
    """Whether its values are grey ones of 16 bits; Pillow keeps those of a PGM in 32."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("I", "F"):
        raise JumokError("its values are 32-bit and their range is not known; scale them and save as 8-bit or 16-bit")
    if image.has_transparency_data:
        return _lay_over_white(image)
    return image.convert("RGB")


def _lay_over_white(image: Image.Image) -> Image.Image:
    """What is seen of a transparent image, a part at a time: copies of all of it would be several times as large."""
    found = Image.new("RGB", image.size)
    for box in cut_boxes(image.size):
        rows = image.crop(box)
        see_through = (rows.convert("LA") if rows.mode == "La" else rows).convert("RGBA")
        white = Image.new("RGBA", rows.size, "white")
        found.paste(Image.alpha_composite(white, see_through).convert("RGB"), box)
    return found


def _array_to_rgb(values: NDArray[Any], bits: int | None) -> Image.Image:
    """An array's pixels as an image."""
    channels = 1 if values.ndim == 2 else values.shape[-1] if values.ndim == 3 else 0
    if channels not in ARRAY_MODES or values.size == 0 or values.dtype not in (np.uint8, np.uint16, np.bool_):
        raise JumokError(
            f"it is an array {values.shape} of {values.dtype}: wanted (height, width) or (height, width, channels) "
            f"of uint8, uint16 or bool with 1 to 4 channels{_advise_on_array(values)}"
        )
    plain = np.ascontiguousarray(values[..., 0] if values.ndim == 3 and channels == 1 else values)
    if plain.dtype == np.uint16:
        return _deep_to_rgb(lambda box: plain[box[1] : box[3], box[0] : box[2]], (plain.shape[1], plain.shape[0]), bits)
    return _to_rgb(_as_image(plain * np.uint8(255) if plain.dtype == np.bool_ else plain))


def _advise_on_array(values: NDArray[Any]) -> str:
    """What to do about an array that is no image, where that is plain."""
    if values.ndim == 3 and values.shape[-1] not in ARRAY_MODES and values.shape[0] in ARRAY_MODES:
        return "; channels come last, so call .transpose(1, 2, 0)"
    whole = np.issubdtype(values.dtype, np.integer) and values.size > 0
    fits = whole and values.min() >= 0 and values.max() <= np.iinfo(np.uint8).max
    return '; call .astype("uint8")' if fits else ""


def _as_image(values: NDArray[np.uint8]) -> Image.Image:
    """An array's pixels as Pillow keeps them."""
    mode = ARRAY_MODES[1 if values.ndim == 2 else values.shape[-1]]
    return Image.frombytes(mode, (values.shape[1], values.shape[0]), np.ascontiguousarray(values))


def _deep_to_rgb(read: Callable[[Box], NDArray[Any]], size: tuple[int, int], bits: int | None) -> Image.Image:
    """Bring values of 16 bits, of which so many are in use, to 0..255, a part at a time; larger ones become white.

    Alpha, behind the colours, may use more bits than they do.
    """
    largest, alpha = find_largest(read, size)
    used = bits or bits_for(largest)
    whites = [(1 << most) - 1 for most in (used, max(used, bits_for(alpha)))]
    found = Image.new("RGB", size)
    for box in cut_boxes(size):
        found.paste(_to_rgb(_as_image(to_eight_bits(read(box), *whites))), box)
    return found


# -- sizes and errors ---------------------------------------------------------------------------


def _stretch(image: Image.Image, height: int, width: int) -> Image.Image:
    """Pillow widens the triangle filter as a picture shrinks, and works on one thread, as a pool of readers needs."""
    _check_sides(height, width)
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _check_sides(height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise JumokError(f"a picture needs a height and width of at least 1 pixel, got {height} x {width}")


def _to_tensor(image: Image.Image) -> Tensor:
    """(3, height, width), filled a part at a time: beside the image there are no two further copies of it."""
    found = np.empty((3, image.height, image.width), np.uint8)
    for box in cut_boxes(image.size):
        found[:, box[1] : box[3], box[0] : box[2]] = np.asarray(image.crop(box)).transpose(2, 0, 1)
    return torch.from_numpy(found)


def _name(source: ImageLike) -> str:
    """What an error calls an image."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    named = getattr(source, "filename", "")
    return str(named) if named else "the image"


def explain_unread(source: ImageLike, error: Exception) -> str:
    """What is wrong with an image, in half a line, by what Pillow raised."""
    if isinstance(error, JumokError):
        return str(error)
    if isinstance(error, IsADirectoryError):
        return "it is a folder: name the images in it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, UnidentifiedImageError):
        head = bytes(source[:32]) if isinstance(source, bytes) else _read_head(source)
        return explain_unread_bytes(head) or f"{_explain_unidentified(head)}; replace or remove it"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"it claims more than the {MAX_PIXELS} pixels allowed; make the picture smaller"
    reason = " ".join(str(error).split()) or type(error).__name__
    if TOO_MUCH_TEXT.search(reason):
        return "it holds notes of more text than is read beside pixels; save it again without them"
    return f"{reason}; replace or remove it"


def _explain_unidentified(head: bytes) -> str:
    """What a file is that no format knows, by how it begins."""
    if not head:
        return "it is empty (0 bytes)"
    return f"it is not a {FORMAT_NAMES} image, whatever its name says"


def _read_head(source: Any) -> bytes:
    with open_binary(source) as file:
        return file.read(32)
