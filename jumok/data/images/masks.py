"""Masks that say where the ground truth lies in an image, matched to the images by name."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from jumok.data.images.deep_colours import cut_boxes
from jumok.data.images.formats import read_formats
from jumok.data.images.image_set import ImageSet
from jumok.data.images.listing import list_files
from jumok.data.images.reading import BEING_READ, MAX_PIXELS, explain_unread, turn_upright
from jumok.errors import JumokError, suggest
from jumok.files import regular_file

ENDING = "_mask"  # scratch_001_mask.png is the mask of scratch_001.jpg
PLAIN = ("1", "L", "I", "F")  # one number per pixel: no colour, no alpha

Key = tuple[str, ...]


def read_mask(path: str | os.PathLike[str]) -> Tensor:
    """Read a mask: what is neither black nor transparent is marked.

    Every value above 0 marks, so 0/255, 0/1 and class numbers mean the same, in 1, 8, 16 or 32 bits, grey, colour or
    palette (by its colours, not its indices). In a JPEG, whose compression leaves faint values around each edge,
    marking begins at 128.

    Args:
        path: of an image file.
    Returns:
        (height, width) bool, upright as the file's orientation tag says.
    Raises:
        JumokError: no such file, or one that is not a readable image or too large.
    """
    try:
        with Image.open(regular_file(path), formats=read_formats()) as file:
            if file.width * file.height > MAX_PIXELS:
                raise JumokError(f"it has {file.width} x {file.height} pixels, more than the {MAX_PIXELS} allowed")
            faint = 127 if file.format == "JPEG" else 0
            with BEING_READ.take(file.width * file.height):
                return torch.from_numpy(_find_all_marked(turn_upright(file), faint))
    except FileNotFoundError as error:
        raise JumokError(f"no mask at {os.fspath(path)}") from error
    except Exception as error:  # on damaged files Pillow raises nearly anything
        raise JumokError(f"cannot read the mask {os.fspath(path)}: {explain_unread(path, error)}") from error


def _find_all_marked(image: Image.Image, faint: int) -> NDArray[np.bool_]:
    """A part at a time: copies of all of a large image would be several times as large."""
    image.load()
    found = np.empty((image.height, image.width), np.bool_)
    for box in cut_boxes(image.size):
        found[box[1] : box[3], box[0] : box[2]] = _find_marked(image.crop(box), faint)
    return found


def _find_marked(image: Image.Image, faint: int) -> NDArray[np.bool_]:
    if image.mode in PLAIN or image.mode.startswith("I;16"):
        marked: NDArray[np.bool_] = np.asarray(image) > faint
        return marked
    colours = np.asarray(image.convert("RGBA"))
    visible: NDArray[np.bool_] = (colours[..., :3] > faint).any(-1) & (colours[..., 3] > 0)
    return visible


def _name_classes(images: ImageSet, found: Mapping[Path, Sequence[Path]]) -> list[str]:
    """What images have in common that all have masks, or none: their class or labels; numbers say nothing of it."""
    if images.kind == "number":
        return ["with a mask" if found[path] else "without a mask" for path in images.paths]
    return [images.say(label) or "without labels" for label in images.labels]


class ImageMasks:
    """The masks of a set of images, however they were found.

    A class of which no image has a mask (`normal`, `good`) is taken to have nothing to mark; in every other class
    each image needs its mask. `without` tells which classes these are, so that the user can be told.

    Args:
        images: those to be measured.
        found: for each image, the masks that it may have.
        place: where the masks are, for errors.
        required: the classes whose images all need a mask, instead of those where one was found.
    Raises:
        JumokError: an unknown required class.
    """

    def __init__(
        self,
        images: ImageSet,
        found: Mapping[Path, Sequence[Path]],
        place: str,
        *,
        required: Collection[str] | None = None,
    ) -> None:
        self._place = place
        self._found = {path: list(found.get(path, ())) for path in images.paths}
        self._owners = Counter(mask for masks in self._found.values() for mask in masks)
        self._class = dict(zip(images.paths, _name_classes(images, self._found), strict=True))
        marked = {self._class[path] for path, masks in self._found.items() if masks}
        for name in sorted(set(required or ()) - set(images.classes)):
            raise JumokError(f"no class {name!r} among the images: {suggest(name, images.classes)}")
        self._required = marked if required is None else set(required)
        self.without = tuple(sorted(set(self._class.values()) - self._required))

    def find(self, image: Path) -> Path | None:
        """The mask's file for an image, or None where the image's class needs none and there is none.

        Args:
            image: one of the set's paths.
        Raises:
            JumokError: the mask is missing, several could be it, it fits several images, or an image of another set.
        """
        if image not in self._found:
            raise JumokError(f"{image} is not among the images whose masks are in {self._place}")
        found = self._found[image]
        if not found:
            self._check_needs_none(image)
            return None
        if len(found) > 1:
            raise JumokError(f"the mask of {image} could be {' or '.join(map(str, found))}: keep one of them")
        if self._owners[found[0]] > 1:
            owners = [str(path) for path, masks in self._found.items() if found[0] in masks]
            raise JumokError(
                f"the mask {found[0]} fits {' and '.join(owners[:2])}: give folders of images and of masks that "
                "have the same folders in them"
            )
        return found[0]

    def _check_needs_none(self, image: Path) -> None:
        if self._class[image] in self._required:
            raise JumokError(
                f"no mask for {image} in {self._place}, though its class {self._class[image]!r} has masks: "
                "add one, all black where there is nothing to mark"
            )

    def get(self, image: Path, height: int, width: int) -> Tensor | None:
        """Read the mask of an image.

        Args:
            image: one of the set's paths.
            height, width: of the image, in pixels.
        Returns:
            (height, width) bool, or None where the image's class needs no mask and there is none.
        Raises:
            JumokError: as `find` and `read_mask`, or a mask of another size than the image.
        """
        path = self.find(image)
        if path is None:
            return None
        mask = read_mask(path)
        if mask.shape != (height, width):
            rows, columns = mask.shape
            raise JumokError(
                f"the mask {path} is {columns} x {rows} pixels, its image {image} is {width} x {height}: "
                "wanted the same size"
            )
        return mask


class MaskFolder(ImageMasks):
    """The masks of a set of images, in a folder of their own.

    A mask belongs to the image of the same path below its folder, whatever the suffix and with or without `_mask` at
    the end of the name: `scratch/001.jpg` has `scratch/001.png` or `scratch/001_mask.png`. Where no image has one so,
    one of the two may lie some folders deeper: `test/scratch/001.jpg` has `scratch/001_mask.png`. Where no image has
    one so either, the name alone decides, if only one of the images in the folder, and one mask, have it.

    Args:
        root: the folder of masks.
        images, required: as for `ImageMasks`.
    Raises:
        JumokError: no such folder, the images' own folder, masks that fit no image, or an unknown required class.
    """

    def __init__(
        self, root: str | os.PathLike[str], images: ImageSet, *, required: Collection[str] | None = None
    ) -> None:
        root = Path(root)
        if not root.is_dir():
            raise JumokError(f"no folder of masks at {root}")
        if images.root.resolve().is_relative_to(root.resolve()):
            raise JumokError(f"{root} holds the images themselves: give a folder that holds masks alone")
        masks = list(list_files(root).images)
        found = _match(images, _Index(masks, root), root)
        if not any(found.values()):
            raise JumokError(
                f"none of the {len(images)} images in {images.root} has a mask among the {len(masks)} files in "
                f"{root}: name each mask as its image, such as scratch/001.png or scratch/001{ENDING}.png"
            )
        super().__init__(images, found, str(root), required=required)


class MasksBeside(ImageMasks):
    """The masks that lie beside the images, or that their table names.

    Args:
        images: as scanned, with their masks.
    Raises:
        JumokError: none of them has one.
    """

    def __init__(self, images: ImageSet) -> None:
        if not images.masks:
            raise JumokError(f"no mask lies beside the {len(images)} images of {images.root}")
        super().__init__(images, images.masks, f"{images.root}, where the masks of others lie")


def find_masks(images: ImageSet, folder: str | os.PathLike[str] | None) -> ImageMasks | None:
    """The masks of images: those in a folder, or else those beside the images; None where there are none.

    Raises:
        JumokError: the folder holds none that fit.
    """
    if folder is not None:
        return MaskFolder(folder, images)
    return MasksBeside(images) if images.masks else None


def _make_key(path: PurePath) -> Key:
    """The parts of a path without its suffix; composed, as file systems disagree on how Korean is spelt."""
    return tuple(unicodedata.normalize("NFC", part) for part in path.with_suffix("").parts)


class _Index:
    """Masks by the parts of their paths, each under its name with and without `_mask`."""

    def __init__(self, masks: list[Path], root: Path) -> None:
        self._whole: defaultdict[Key, list[Path]] = defaultdict(list)
        self._tails: defaultdict[Key, list[Path]] = defaultdict(list)
        for mask in masks:
            *folders, name = _make_key(mask.relative_to(root))
            for spelt in {name, name.removesuffix(ENDING)}:
                key = (*folders, spelt)
                self._whole[key].append(mask)
                for start in range(len(key)):
                    self._tails[key[start:]].append(mask)

    def same_path(self, image: Path, root: Path) -> list[Path]:
        """The masks of the image's path below the root."""
        return self._whole.get(_make_key(image.relative_to(root)), [])

    def image_deeper(self, image: Path, root: Path) -> list[Path]:
        """The masks whose whole path is the end of the image's, by the longest; a name alone is too short."""
        whole = _make_key(root.absolute()) + _make_key(image.relative_to(root))
        ends = (self._whole.get(whole[start:], []) for start in range(1, len(whole) - 1))
        return next(filter(None, ends), [])

    def mask_deeper(self, image: Path, root: Path) -> list[Path]:
        """The masks whose path ends with the image's path below the root; a name alone is too short."""
        key = _make_key(image.relative_to(root))
        return self._tails.get(key, []) if len(key) > 1 else []

    def same_name(self, image: Path, root: Path) -> list[Path]:
        """The masks of the image's name, in any folder."""
        return self._tails.get(_make_key(image)[-1:], [])


def _match(images: ImageSet, index: _Index, root: Path) -> dict[Path, list[Path]]:
    """The masks that each image may have, all by one rule: the first that finds any.

    A second rule for the images that the first leaves without a mask would give 007 of one class the mask of 007 of
    another, whose image is in another part of the split.
    """
    for rule in (index.same_path, index.image_deeper, index.mask_deeper):
        found = {path: rule(path, images.root) for path in images.paths}
        if any(found.values()):
            return found
    every = [path for path in list_files(images.root).images if not path.absolute().is_relative_to(root.absolute())]
    names = Counter(_make_key(path)[-1] for path in every)
    return {
        path: index.same_name(path, images.root) if names[_make_key(path)[-1]] == 1 else [] for path in images.paths
    }
