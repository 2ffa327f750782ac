"""Where the images lie that questions name."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from jumok.errors import JumokError

__all__ = ["check_image_folder", "find_image", "find_images", "name_within"]


def check_image_folder(images: Path) -> None:
    """Make sure that there is a folder of images.

    Raises:
        JumokError: there is none.
    """
    if not images.is_dir():
        raise JumokError(f"no folder of images at {images}: give it by --images")


def find_images(names: set[str], root: Path) -> dict[str, Path | None]:
    """Where each image lies; None where it does not.

    Raises:
        JumokError: a name that lies outside the folder.
    """
    for name in names:
        if _is_outside(_name_below(name, root)):
            raise JumokError(f"the image {name!r} lies outside {root}: give paths relative to that folder")
    return {name: find_image(name, root) for name in names}


def find_image(name: str, root: Path) -> Path | None:
    r"""Where an image lies in a folder; None where it does not, or where there is no name.

    On disk its name may be composed or not, as the machine that packed it has it; a table may have been made on
    Windows, sub\\a.png, or name images by their whole paths.
    """
    below = _name_below(name, root)
    spelt = (below, "/".join(PureWindowsPath(below).parts)) if "\\" in below else (below,)
    forms = dict.fromkeys(form for each in spelt for form in _compose(each) if form and not _is_outside(form))
    return next((root / form for form in forms if os.path.isfile(root / form)), None)  # noqa: PTH113 (raises nothing)


def name_within(name: str, root: Path) -> str:
    """The name of an image below the folder, in the form in which names are compared."""
    return str(PurePosixPath(unicodedata.normalize("NFC", _name_below(name, root))))


def _compose(name: str) -> Iterator[str]:
    yield name
    for form in ("NFC", "NFD"):
        yield unicodedata.normalize(form, name)


def _name_below(name: str, root: Path) -> str:
    """A whole path that lies in the folder as a name below it; other names as they are."""
    pure = PurePosixPath(name)
    inside = next((place for place in (root, root.absolute(), root.resolve()) if pure.is_relative_to(place)), None)
    return str(pure.relative_to(inside)) if pure.is_absolute() and inside is not None else name


def _is_outside(name: str) -> bool:
    pure = PurePosixPath(name)
    return pure.is_absolute() or bool(PureWindowsPath(name).drive) or ".." in pure.parts
