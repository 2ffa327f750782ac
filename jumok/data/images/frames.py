"""Images that are one of several in their file: frames of an animation, pages of a TIFF."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from jumok.data.images.formats import read_formats
from jumok.data.images.reading import open_file
from jumok.data.packed.members import open_binary
from jumok.data.sharded_batches import open_pool
from jumok.language import later_count
from jumok.machine import cores
from jumok.wording import readable

__all__ = ["describe_frames", "has_frames", "name_first_of_several"]

HEAD_BYTES = 1024
SINGLE_HEADS = (b"\xff\xd8", b"BM")
"""With which files of formats begin that hold one image: what a JPEG has besides are previews and gain maps of it."""
PNG_HEAD, OF_ANIMATED_PNG = b"\x89PNG", b"acTL"
NEW_SUBFILE_TYPE = 254
"""Tag of a TIFF page: its bits say whether it is a smaller copy (1) or a mask (4) of another page."""
NO_PAGE_OF_ITS_OWN = 1 | 4


def has_frames(path: str | os.PathLike[str]) -> bool:
    """Whether a file holds more frames or pages than the first, which is the one that is read.

    Previews, smaller copies and masks of the first do not count. A file that cannot be read has none.
    """
    try:
        plain = open_file(path)  # refuses a pipe, which might never end
        with open_binary(path) as file:
            head = file.read(HEAD_BYTES)
        if head.startswith(SINGLE_HEADS) or (head.startswith(PNG_HEAD) and OF_ANIMATED_PNG not in head):
            return False
        with warnings.catch_warnings(action="ignore"), Image.open(plain, formats=read_formats()) as image:
            return _has_more_pages(image) if image.format == "TIFF" else bool(getattr(image, "is_animated", False))
    except Exception:  # on damaged files Pillow raises nearly anything; whoever reads the image says so
        return False


def _has_more_pages(image: Image.Image) -> bool:
    try:
        for page in range(1, getattr(image, "n_frames", 1)):
            image.seek(page)
            if not image.tag_v2.get(NEW_SUBFILE_TYPE, 0) & NO_PAGE_OF_ITS_OWN:  # type: ignore[attr-defined]
                return True
    except (EOFError, OSError):
        pass
    return False


def describe_frames(paths: Sequence[Path]) -> list[str]:
    """What to say of images of which only the first frame or page is read.

    Args:
        paths: of the images.
    Returns:
        a line; none where each file holds one image.
    """
    with open_pool("frames", min(cores(), max(len(paths), 1))) as pool:
        several = [path for path, more in zip(paths, pool.map(has_frames, paths), strict=True) if more]
    return name_first_of_several(several)


def name_first_of_several(paths: Sequence[Path]) -> list[str]:
    """The same of files that are known to hold several frames or pages."""
    if not paths:
        return []
    return [
        later_count(
            len(paths),
            "{count} image has several frames or pages ({name}): only the first is read; "
            "save the others as files of their own to use them",
            "{count} images have several frames or pages (such as {name}): only the first of each is read; "
            "save the others as files of their own to use them",
            name=readable(f"{paths[0].parent.name}/{paths[0].name}"),
        )
    ]
