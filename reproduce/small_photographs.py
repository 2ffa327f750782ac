"""CIFAR-10 out of an archive of small pictures, decoded once into memory and checked on the way."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image

from jumok.errors import JumokError
from reproduce.image_training import Images

ARCHIVE = "cifar10-images.tar.gz"
FORMATS = ("JPEG", "PNG")
SIDE = 32
MOST_MEMBERS, MOST_BYTES = 200_000, 1 << 16
"""An archive with more members is refused, and a picture of more bytes."""


def read_photographs(folder: Path, *parts: str) -> list[Images]:
    """Read the pictures of some parts, in the order of their names, class by class.

    Args:
        folder: holds cifar10-images.tar.gz: pictures of 32 x 32 named PART/CLASS/NAME, JPEG or PNG.
        parts: such as "train" and "test"; all have the same classes.
    Returns:
        images of each part; labels are the places of the classes' names in their order.
    Raises:
        JumokError: no such archive, one that is damaged or too large, or that lacks a part or a class.
    """
    path = folder / ARCHIVE
    found: dict[tuple[str, str, str], np.ndarray] = {}
    try:
        with tarfile.open(path, "r|gz") as archive:
            for count, member in enumerate(archive):
                if count >= MOST_MEMBERS:
                    raise JumokError(f"{path} has more than {MOST_MEMBERS:,} members: it is no such archive")
                names = PurePosixPath(member.name).parts[-3:]
                if member.isfile() and len(names) == 3 and names[0] in parts:
                    found[names[0], names[1], names[2]] = _pixels(archive, member)
    except FileNotFoundError as error:
        raise JumokError(f"{folder} does not hold {ARCHIVE}: give the folder that does") from error
    except (tarfile.TarError, OSError, EOFError) as error:
        raise JumokError(f"{path} cannot be read ({error}): fetch it anew") from error
    return [_part(found, part, path) for part in parts]


def _pixels(archive: tarfile.TarFile, member: tarfile.TarInfo) -> np.ndarray:
    """One picture as (rows, columns, 3) bytes."""
    file = archive.extractfile(member)
    if file is None or member.size > MOST_BYTES:
        raise JumokError(f"{member.name} has {member.size:,} bytes, wanted a picture of at most {MOST_BYTES:,}")
    try:
        with Image.open(io.BytesIO(file.read()), formats=FORMATS) as picture:
            if picture.size != (SIDE, SIDE):
                raise JumokError(f"{member.name} is {picture.width} x {picture.height}, wanted {SIDE} x {SIDE} pixels")
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises on damaged files
        raise JumokError(f"{member.name} is no picture ({error}): fetch the archive anew") from error


def _part(found: dict[tuple[str, str, str], np.ndarray], part: str, path: Path) -> Images:
    """Stack a part's pictures, with their labels."""
    classes = sorted({label for _, label, _ in found})
    names = sorted(name for name in found if name[0] == part)
    missing = set(classes) - {label for _, label, _ in names}
    if not names or missing:
        lacks = f"class {min(missing)!r} of part {part!r}" if names else f"the part {part!r}"
        raise JumokError(f"{path} lacks {lacks}: wanted pictures named PART/CLASS/NAME")
    pixels = torch.from_numpy(np.stack([found[name] for name in names])).permute(0, 3, 1, 2).contiguous()
    return Images(pixels, torch.tensor([classes.index(label) for _, label, _ in names]))
