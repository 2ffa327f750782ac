"""Masks that lie beside the images they belong to, told from images by what they hold and never by name alone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jumok.data.images.formats import suffix_of
from jumok.data.images.listing import compose
from jumok.data.images.reading import open_image
from jumok.errors import JumokError

MASK_ENDING = re.compile(r"([_.-]mask|_masks|_gt|_seg|_segmentation|_label|_ground_truth)([ _-]?\d{1,3})?$")
"""With a number where an image has several, as benign (4)_mask_1.png beside benign (4)_mask.png."""
MASK_OPENING = re.compile(r"(mask|gt|seg)[_-]")
MASK_FOLDERS = frozenset(
    {"mask", "masks", "ground_truth", "groundtruth", "ground-truth", "gt", "seg", "segmentation", "segmentations"}
    | {"annotation", "annotations", "label", "labels"}
)
IMAGE_FOLDERS = frozenset({"img", "imgs", "image", "images", "rgb", "photo", "photos"})
LOOKED_AT = 48
"""Pairs whose contents decide on all of a kind."""
FEW_COLOURS = 8
"""A mask has so many different colours at the most, or is all but black and white."""
DARK, BRIGHT = 16, 239
"""From these on, grey counts as black and as white: JPEG blurs edges."""
MOSTLY = 0.97
"""Share of such pixels in a mask."""
NEARLY_ALL = 0.9
"""From this share of mask-like contents on, all of a kind are masks; below what is left of 1, none."""
SHOWN_PIXELS = 256 * 256
"""So many pixels of each file are looked at."""

Key = tuple[str, ...]


@dataclass(frozen=True)
class Pairing:
    """Files that would be masks by their names, all named in one way.

    Args:
        how: this way in words, such as "x.png to x.jpg".
        pairs: (image, mask).
        named: whether the name itself says so, as `x_mask.png` does; x.png beside x.jpg says nothing.
        lonely: files named so without an image.
    """

    how: str
    pairs: tuple[tuple[Path, Path], ...]
    named: bool
    lonely: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Beside:
    """The masks among files.

    Args:
        masks: of each image that has some.
        notes: what was decided, and by what.
        orphans: files of the same kind whose image is not there.
    """

    masks: Mapping[Path, Sequence[Path]]
    notes: tuple[str, ...]
    orphans: frozenset[Path]

    @property
    def files(self) -> frozenset[Path]:
        """All that are no images."""
        return self.orphans | {mask for masks in self.masks.values() for mask in masks}


def find_masks_beside(paths: Sequence[Path], root: Path) -> Beside:
    """Tell which of some files are masks of others: `x.png` beside `x.jpg`, `x_mask.png`, or `masks/x.png`.

    Names only propose; the contents of some evenly spaced pairs decide: a mask has few colours, or is all but black
    and white; unless its name says that it is one, it also has its image's size, and its image is not so. Where the
    contents are of both kinds, every pair is looked at.

    Args:
        paths: of all files that look like images.
        root: a folder that they all lie in.
    """
    masks: dict[Path, list[Path]] = {}
    orphans: set[Path] = set()
    notes: list[str] = []
    for pairing in _propose(paths, root):
        found = _decide(pairing)
        for image, mask in found:
            masks.setdefault(image, []).append(mask)
        lonely = _find_orphans(pairing) if len(found) == len(pairing.pairs) else ()
        orphans |= set(lonely)
        notes += _describe(pairing, len(found), len(lonely))
    return Beside(masks, tuple(notes), frozenset(orphans))


def is_mask_folder(name: str) -> bool:
    """Whether a folder is called as folders of masks are."""
    return name.casefold() in MASK_FOLDERS


# -- names --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Named:
    """A file by what its name says.

    Args:
        key: what an image and its mask have in common.
        folder: the name of the folder of masks that it lies in, or "".
        opening, ending: the beginning and the end of its name that masks have, or "".
    """

    path: Path
    key: Key
    folder: str
    opening: str
    ending: str

    @property
    def plain(self) -> bool:
        """Whether the name says nothing of masks."""
        return not self.folder and not self.opening and not self.ending

    @property
    def how(self) -> str:
        """The way it is named."""
        name = f"{self.opening}x{self.ending}"
        return f"{self.folder}/{name}" if self.folder else f"{name}{suffix_of(self.path.name)}"


def _read_name(path: Path, root: Path) -> _Named:
    *folders, name = (compose(part) for part in path.relative_to(root).with_suffix("").parts)
    lower = name.lower()
    end = MASK_ENDING.search(lower, 1)
    start = None if end else MASK_OPENING.match(lower)
    opening, ending = ("" if start is None else start[0]), ("" if end is None else end[1])
    bare = name[len(opening) : None if end is None else end.start()]
    marked = next((folder for folder in folders if is_mask_folder(folder)), "")
    kept = [each for each in folders if not is_mask_folder(each) and each.casefold() not in IMAGE_FOLDERS]
    return _Named(path, (*kept, bare), marked, opening, ending)


def _propose(paths: Sequence[Path], root: Path) -> list[Pairing]:
    """The ways in which some files may be masks of others, by their names."""
    every = [_read_name(path, root) for path in paths]
    plain = [each for each in every if each.plain]
    return [*_propose_named([each for each in every if not each.plain], plain), *_propose_twins(plain)]


def _propose_named(marked: Sequence[_Named], plain: Sequence[_Named]) -> list[Pairing]:
    """Files whose names say that they are masks: each with the image whose path ends as its own does."""
    ends: defaultdict[Key, list[Path]] = defaultdict(list)
    for each in plain if marked else ():
        for start in range(len(each.key)):
            ends[each.key[start:]].append(each.path)
    pairs: defaultdict[str, list[tuple[Path, Path]]] = defaultdict(list)
    lonely: defaultdict[str, list[Path]] = defaultdict(list)
    for each in marked:
        images = ends.get(each.key, [])
        images = [path for path in images if path.parent == each.path.parent] or images
        if len({path.with_suffix("") for path in images}) == 1:
            pairs[each.how].append((min(images), each.path))
        else:
            lonely[each.how].append(each.path)
    return [Pairing(how, tuple(found), named=True, lonely=tuple(lonely[how])) for how, found in pairs.items()]


def _propose_twins(plain: Sequence[_Named]) -> list[Pairing]:
    """Files of one name with two endings."""
    twins: defaultdict[Path, list[Path]] = defaultdict(list)
    for each in plain:
        twins[each.path.with_suffix("")].append(each.path)
    pairs: defaultdict[tuple[str, str], list[tuple[Path, Path]]] = defaultdict(list)
    for group in (group for group in twins.values() if len(group) == 2):
        one, two = sorted(group, key=lambda path: suffix_of(path.name))
        pairs[suffix_of(one.name), suffix_of(two.name)].append((one, two))
    single = [group[0] for group in twins.values() if len(group) == 1]
    return [_turn(ends, found, single) for ends, found in pairs.items()]


def _turn(ends: tuple[str, str], pairs: Sequence[tuple[Path, Path]], single: Sequence[Path]) -> Pairing:
    """Files of one name and two endings, the ending first that images have."""
    swapped = [(two, one) for one, two in pairs]
    if _share(swapped, named=False) > _share(pairs, named=False):
        ends, pairs = (ends[1], ends[0]), swapped
    lonely = tuple(path for path in single if suffix_of(path.name) == ends[1])
    return Pairing(f"x{ends[1]} to x{ends[0]}", tuple(pairs), named=False, lonely=lonely)


# -- contents -----------------------------------------------------------------------------------


def _decide(pairing: Pairing) -> list[tuple[Path, Path]]:
    """The pairs of a kind whose second is a mask."""
    share = _share(pairing.pairs, named=pairing.named)
    if share >= NEARLY_ALL:
        return list(pairing.pairs)
    if share <= 1 - NEARLY_ALL:
        return []
    return [(image, mask) for image, mask in pairing.pairs if is_mask_of(mask, image, named=pairing.named)]


def _share(pairs: Sequence[tuple[Path, Path]], *, named: bool) -> float:
    """How many of some pairs, evenly spaced, have a mask."""
    step = max(-(-len(pairs) // LOOKED_AT), 1)
    some = pairs[::step]
    return sum(is_mask_of(mask, image, named=named) for image, mask in some) / max(len(some), 1)


def is_mask_of(mask: Path, image: Path, *, named: bool) -> bool:
    """Whether a file looks like the mask of an image: of its size, and the image no mask, unless its name says so."""
    marks, pixels = _look(mask), _look(image)
    if marks is None or pixels is None:
        return False
    return marks[1] and (named or (marks[0] == pixels[0] and not pixels[1]))


def _look(path: Path) -> tuple[tuple[int, int], bool] | None:
    """An image's size and whether it is flat; None where it cannot be read: whoever reads it says why."""
    try:
        about = path.stat()
        return _look_once(path, about.st_mtime_ns, about.st_size)
    except (OSError, JumokError):
        return None


@lru_cache(maxsize=4096)
def _look_once(path: Path, changed: int, size: int) -> tuple[tuple[int, int], bool]:
    """The same, once for each state of a file."""
    image = open_image(path)
    return image.size, _is_flat(np.asarray(image))


def _is_flat(pixels: NDArray[np.uint8]) -> bool:
    """Whether an image (height, width, 3) has few colours, or is all but black and white."""
    step = max(int((pixels.shape[0] * pixels.shape[1] / SHOWN_PIXELS) ** 0.5), 1)
    some = pixels[::step, ::step].astype(np.uint32)
    colours = some[..., 0] << 16 | some[..., 1] << 8 | some[..., 2]
    if len(np.unique(colours)) <= FEW_COLOURS:
        return True
    extreme = (some <= DARK).all(-1) | (some >= BRIGHT).all(-1)
    return bool(extreme.mean() >= MOSTLY)


def _find_orphans(pairing: Pairing) -> tuple[Path, ...]:
    """Of the files without an image, where all that have one are masks, those that look like masks too."""
    return tuple(path for path in pairing.lonely if (look := _look(path)) is not None and look[1])


def _describe(pairing: Pairing, masks: int, orphans: int) -> list[str]:
    """What was decided on files that could be masks by their names."""
    total = len(pairing.pairs)
    if masks == total:
        them = f"{masks:,} masks lie" if masks > 1 else "1 mask lies"
        more = f"; {orphans:,} more without an image are left out" if orphans else ""
        return [f"{them} beside the images ({pairing.how}): measure uses them, training does not{more}"]
    if masks:
        return [
            f"{masks:,} of {total:,} files named as masks ({pairing.how}) look like masks: measure uses these; "
            f"the other {total - masks:,} count as images"
        ]
    them = f"{total:,} files could be masks by their names" if total > 1 else "1 file could be a mask by its name"
    their = ("look like images: they count as images") if total > 1 else "looks like an image: it counts as one"
    return [f"{them} ({pairing.how}) but {their}"]


def drop_masks(paths: Iterable[Path], beside: Beside) -> tuple[Path, ...]:
    """The files that are images."""
    masks = beside.files
    return tuple(path for path in paths if path not in masks)


def masks_of(paths: Iterable[Path], beside: Beside) -> Mapping[Path, Sequence[Path]]:
    """The masks of these images."""
    return {path: tuple(beside.masks[path]) for path in paths if path in beside.masks}
