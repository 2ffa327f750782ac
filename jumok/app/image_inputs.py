"""Images that a person names for a command: files and folders of them, each read or explained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jumok.errors import JumokError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["check_size", "find_inputs", "read_each"]


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


def check_size(path: Path, size: tuple[int, int], least: tuple[int, int]) -> JumokError | None:
    """What is wrong with an image that is smaller than one patch of a model; None where it is not.

    Args:
        path: of the image.
        size: its height and width.
        least: height and width of a patch.
    """
    if size[0] >= least[0] and size[1] >= least[1]:
        return None
    return JumokError(
        f"{path} has {size[0]} x {size[1]} pixels (height x width), less than one patch of the model, which is "
        f"{least[0]} x {least[1]}: a map of it would be of stretched pixels; give a larger image"
    )


def read_each(
    paths: Sequence[Path],
    size: tuple[int, int] | None = None,
    *,
    bits: int | None = None,
    least: tuple[int, int] = (1, 1),
) -> Iterator[tuple[Path, Tensor | JumokError]]:
    """Each image with its pixels, (3, height, width) uint8, or with what is wrong with it; none is held on to.

    Args:
        paths: of the images.
        size: (height, width) to bring them to; None keeps their own.
        bits: that 16-bit images use, as for `read_image`.
        least: height and width that an image must have, where they keep their own size; see `check_size`.
    """
    for path in paths:
        yield path, _read_one(path, size, bits, least)


def _read_one(
    path: Path, size: tuple[int, int] | None, bits: int | None, least: tuple[int, int]
) -> Tensor | JumokError:
    from jumok.data.images.reading import read_image

    try:
        image = read_image(path, size, bits=bits)
    except JumokError as error:
        return error
    height, width = image.shape[1:]
    return check_size(path, (height, width), least) or image
