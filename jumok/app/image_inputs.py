"""Images that a person names for a command: files and folders of them, each read or explained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jumok.errors import JumokError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["find_inputs", "read_each"]


def find_inputs(
    sources: Sequence[Path], *, may_be_missing: bool = False, tell: Callable[[str], None] | None = None
) -> list[Path]:
    """Images themselves, and all images below folders, sorted, without the masks beside them.

    Args:
        sources: files and folders.
        may_be_missing: leave a name that leads nowhere for `read_each` to explain.
        tell: is given a line on files that were left out.
    Raises:
        JumokError: nothing there, or a folder without an image.
    """
    from jumok.data.images.folders import list_images

    found: list[Path] = []
    for source in sources:
        if not (may_be_missing or source.exists()):
            raise JumokError(f"no image or folder at {source}")
        if not source.is_dir():
            found.append(source)
            continue
        listed = list_images(source)
        found += listed.paths
        if tell is not None:
            for note in listed.notes:
                tell(note)
    return found


def read_each(
    paths: Sequence[Path], size: tuple[int, int] | None = None, *, bits: int | None = None
) -> Iterator[tuple[Path, Tensor | JumokError]]:
    """Each image with its pixels, (3, height, width) uint8, or with what is wrong with it.

    Args:
        paths: of the images.
        size: (height, width) to bring them to; None keeps their own.
        bits: that 16-bit images use, as for `read_image`.
    """
    from jumok.data.images.reading import read_image

    for path in paths:
        try:
            yield path, read_image(path, size, bits=bits)
        except JumokError as error:
            yield path, error
