"""Images: what a folder of them holds, and one picture as pixels."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from jumok.data.images.folders import FORMAT_NAMES, ImageSet, find_images, scan, scan_folder
from jumok.errors import JumokError

__all__ = [
    "MAX_PIXELS",
    "ImageSet",
    "find_images",
    "image_size",
    "open_image",
    "read_image",
    "resize",
    "scan",
    "scan_folder",
    "turn_upright",
]

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
MAX_PIXELS = 89_000_000
"""A larger picture is refused before it is decoded; this is just under the size at which Pillow begins to warn."""
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
"""What brings a picture of each EXIF orientation upright."""
QUARTER_TURNS = {TURNS_UPRIGHT[orientation] for orientation in (5, 6, 7, 8)}
"""Those that swap height and width."""


def open_image(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read a picture as an RGB image, whole and upright.

    The content decides the format, not the suffix. The EXIF orientation is applied; transparent parts are laid over
    white; of several frames or pages the first is taken. 16-bit grey is divided by 257, so that 65535 becomes 255:
    12-bit values kept in 16 bits stay dark. Colour profiles are not applied.

    Args:
        path: a PNG, JPEG, WebP, BMP or TIFF file.
        max_pixels: a larger picture is refused before it is decoded; beyond 178 million Pillow refuses itself.
    Raises:
        JumokError: no such file, one that is empty, truncated, damaged or no picture, one of too many pixels, or one
            of 32-bit values.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            _check_size(image, max_pixels)
            _check_end(image)
            image.load()
            return _to_rgb(turn_upright(image))
    except Exception as error:  # on damaged files Pillow raises nearly anything
        raise JumokError(f"cannot read {os.fspath(path)}: {_explain(path, error)}") from error


def image_size(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """The size of a picture as `open_image` gives it, upright, from the head of its file.

    Returns:
        (height, width) in pixels; None where it cannot be read: `open_image` says why.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            turned = image.format != "TIFF" and _find_turn(image) in QUARTER_TURNS  # of a TIFF Pillow tells it upright
            return (width, height) if turned else (height, width)
    except Exception:  # on damaged files Pillow raises nearly anything
        return None


def read_image(path: str | os.PathLike[str], size: tuple[int, int] | None = None) -> Tensor:
    """Read a picture as `open_image` does.

    Args:
        path: of the picture.
        size: (height, width) to bring it to, as `resize` does but quicker; None keeps its own.
    Returns:
        (3, height, width) uint8, red, green, blue.
    Raises:
        JumokError: as `open_image`, or a size below 1 pixel.
    """
    image = open_image(path)
    return _to_tensor(image if size is None else _stretch(image, *size))


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Stretch a picture to fit, smoothing where it shrinks, so that every pixel of it stays in view.

    Args:
        image: (3, any, any) uint8.
        height, width: wanted, in pixels.
    Returns:
        (3, height, width) uint8; the picture itself where it fits already.
    Raises:
        JumokError: not a picture, or a size below 1 pixel.

    >>> resize(torch.zeros(3, 4, 4, dtype=torch.uint8), 2, 6).shape
    torch.Size([3, 2, 6])
    """
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
        raise JumokError(f"resize needs a (3, height, width) uint8 picture, got {tuple(image.shape)} {image.dtype}")
    if tuple(image.shape[1:]) == (height, width):
        return image
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().cpu().numpy())
    return _to_tensor(_stretch(picture, height, width)).to(image.device)


def _stretch(image: Image.Image, height: int, width: int) -> Image.Image:
    """Pillow widens the triangle filter as a picture shrinks, and works on one thread, as a pool of readers needs."""
    if height < 1 or width < 1:
        raise JumokError(f"a picture needs a height and width of at least 1 pixel, got {height} x {width}")
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _to_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(np.asarray(image).transpose(2, 0, 1), order="C"))


def _check_size(image: Image.Image, max_pixels: int) -> None:
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


def turn_upright(image: Image.Image) -> Image.Image:
    """The image as its EXIF orientation says that it is seen; the same image where it says nothing."""
    turn = _find_turn(image)
    return image if turn is None else image.transpose(turn)


def _find_turn(image: Image.Image) -> Image.Transpose | None:
    """What its EXIF orientation asks for."""
    try:
        return TURNS_UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged notes beside a sound picture: no viewer turns it either
        return None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise JumokError("its values are 32-bit and their range is not known; scale them and save as 8-bit or 16-bit")
    if image.has_transparency_data:
        see_through = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, see_through).convert("RGB")
    return image.convert("RGB")


def _explain(path: str | os.PathLike[str], error: Exception) -> str:
    """What is wrong with a file, in half a line."""
    if isinstance(error, JumokError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, UnidentifiedImageError):
        empty = Path(path).stat().st_size == 0
        what = "it is empty (0 bytes)" if empty else f"it is not a {FORMAT_NAMES} image, whatever its name says"
        return f"{what}; replace or remove it"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"it claims more than the {MAX_PIXELS} pixels allowed; make the picture smaller"
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"{reason}; replace or remove it"
