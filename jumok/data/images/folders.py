"""Folders of images: which images they hold, of what class, and how they are split."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jumok.data.images.beside import Beside, drop_masks, find_masks_beside, is_mask_folder, masks_of
from jumok.data.images.formats import FORMAT_NAMES, is_image_name
from jumok.data.images.image_set import ImageSet, join_sets
from jumok.data.images.label_tables import WHOLE, attach_notes, find_tables, is_table, prefers_table, read_labels
from jumok.data.images.layouts import Layout, find_layout
from jumok.data.images.listing import (
    STRAY_IMAGES,
    Listing,
    compose,
    count_passed_over,
    describe_left_out,
    is_folder,
    list_entries,
    list_files,
    list_subfolders,
    name_below,
    sum_others,
)
from jumok.data.images.splitting import split_set
from jumok.data.labels import describe_alike
from jumok.data.packed.sets import find_packed, read_packed
from jumok.data.splits import IMAGE_SHARES, SPLITS, Shares, check_shares
from jumok.data.table_heads import TABLE_SUFFIXES
from jumok.errors import JumokError, suggest

__all__ = [
    "FoundImages",
    "ImageSet",
    "find_images",
    "list_images",
    "refuse_images_folder",
    "scan",
    "scan_folder",
    "scan_ready",
]

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
SPLIT_BY_FOLDER = "folder"
"""What keeps the images of one folder in one part."""


def scan(
    root: str | os.PathLike[str],
    *,
    seed: int = 0,
    shares: Shares = IMAGE_SHARES,
    classes_are: str = "auto",
    split_by: str | None = None,
    images: str | os.PathLike[str] | None = None,
    labels_are: str = "auto",
) -> dict[str, ImageSet]:
    """Find the images of a data set, in three parts.

    Where `root` holds `train/` (and `val/`, `valid/`, `validation/` or `dev/`, and `test/`, in any case), those are
    the parts, and folders of other names beside them are left alone; a part that is missing is split off train.
    Otherwise `root` holds the class folders themselves, and is split (see `splitting`). Images may lie deeper inside
    their class folder; masks beside them are set apart (see `beside`). Symbolic links are followed, but not upwards.
    `root` may also be a table of images and labels, or a folder that holds one beside its images (see `label_tables`).

    Args:
        root: the folder, or a table.
        seed: of the split.
        shares: of train, val and test, that sum to 1; a share of 0 leaves that part empty.
        classes_are: "top": the folders in `root` are the classes, whatever they are called; "inside": those inside
            train/ are; "auto": as the layout says.
        split_by: what keeps images together in one part: a column of the table, or "folder", the folder that an image
            lies in.
        images: the folder that names in a table refer to; None: that of the table.
        labels_are: what a table says of each image: "class", "multi" (any number of labels), "number", or "auto" to
            find out (see `label_cells`).
    Returns:
        {"train", "val", "test"}, all three with the same classes; what was left out and noted stands in train.
    Raises:
        JumokError: no such folder, nothing in it, images outside class folders, a class folder without an image,
            fewer than two classes, classes that differ between the parts, a layout that can be read in two ways, or
            a folder that may not be read.
    """
    root = Path(root)
    check_shares(shares, IMAGE_SHARES)
    parts = scan_ready(root, classes_are=classes_are, split_by=split_by, images=images, labels_are=labels_are)
    _check_differ(parts["train"], root)
    missing = {split: share for split, share in zip(SPLITS, shares, strict=True) if split not in parts}
    parts |= split_set(parts["train"], {"train": shares[0], **missing}, seed) if missing else {}
    return {split: parts[split] for split in SPLITS}


def scan_folder(
    root: str | os.PathLike[str], *, classes_are: str = "auto", images: str | os.PathLike[str] | None = None
) -> ImageSet:
    """Find the images of a data set as one set, its parts put together; a single class will do.

    Raises:
        JumokError: as `scan`.
    """
    parts = scan_ready(root, classes_are=classes_are, images=images, need_train=False)
    return join_sets(list(parts.values())) if len(parts) > 1 else next(iter(parts.values()))


def scan_ready(
    root: str | os.PathLike[str],
    *,
    classes_are: str = "auto",
    split_by: str | None = None,
    images: str | os.PathLike[str] | None = None,
    need_train: bool = True,
    labels_are: str = "auto",
) -> dict[str, ImageSet]:
    """Find the images of a data set in the parts that it comes in; "train" alone where it comes in none.

    Args:
        root, classes_are, split_by, images, labels_are: as for `scan`.
        need_train: refuse parts without train, and parts or class folders without an image of some class.
    Raises:
        JumokError: as `scan`.
    """
    root = Path(root)
    _refuse_address(root)
    if packed := find_packed(root):
        refuse_images_folder(root, images)
        return read_packed(root, packed, split_by=split_by, labels_are=labels_are, need_train=need_train)
    if tables := _find_tables(root):
        return _read_tables(tables, images, split_by, labels_are)
    if root.is_file():
        raise JumokError(f"{root} is a file: {_explain_file(root)}")
    if labels_are not in ("auto", "class"):
        raise JumokError(
            f"{root} is a folder of classes, which gives each image one class: wanted a table of image,label with "
            f"{'numbers' if labels_are == 'number' else 'any number of labels for each image'}"
        )
    refuse_images_folder(root, images)
    parts = _scan_parts(root, classes_are, need_train=need_train)
    return {part: _group(found, split_by) for part, found in parts.items()}


def _refuse_address(root: Path) -> None:
    """Refuse data elsewhere: a path makes one slash of the two of an address."""
    if ADDRESS.match(str(root)) and not root.exists():
        address = str(root).replace(":/", "://", 1)
        raise JumokError(
            f"{address} is an address, and training reads files of this machine, again and again: copy it here, or "
            "mount it"
        )


def refuse_images_folder(root: Path, images: str | os.PathLike[str] | None) -> None:
    """Refuse a folder of images that only a table could name, beside data that has its images inside.

    Raises:
        JumokError: one was given.
    """
    if images is not None:
        raise JumokError(
            f"{root} has its images inside: leave out the folder {images}, or give a table with the columns image and "
            "label"
        )


@dataclass(frozen=True)
class FoundImages:
    """Images of no class.

    Args:
        paths: sorted.
        notes: what the user should know of files beside them.
        masks: that belong to an image, where some do.
    """

    paths: tuple[Path, ...]
    notes: tuple[str, ...]
    masks: Mapping[Path, Sequence[Path]]


def list_images(folder: str | os.PathLike[str]) -> FoundImages:
    """Find every image in a folder, at any depth and of no class, without the masks beside them.

    Raises:
        JumokError: no such folder, one that may not be read, or no image in it.
    """
    found = list_files(Path(folder))
    if not found.images:
        raise JumokError(f"no image in {folder}{sum_others(found.others)}: wanted {FORMAT_NAMES} files")
    beside = find_masks_beside(found.images, Path(folder))
    notes = [note for note in beside.notes if beside.masks]
    paths = drop_masks(found.images, beside)
    return FoundImages(paths, (*notes, *describe_left_out(found.others)), masks_of(paths, beside))


def find_images(folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """The paths of `list_images`."""
    return list_images(folder).paths


# -- tables -------------------------------------------------------------------------------------


def _find_tables(root: Path) -> dict[str, Path]:
    """The table of labels that the data is, or those in a folder without class folders, by part; empty where none."""
    if root.is_file():
        return {WHOLE: root} if is_table(root) else {}
    return find_tables(root) if prefers_table(root) else {}


def _read_tables(
    tables: dict[str, Path], images: str | os.PathLike[str] | None, split_by: str | None, labels_are: str
) -> dict[str, ImageSet]:
    folder = next(iter(tables.values())).parent if images is None else Path(images)
    return attach_notes(*read_labels(tables, folder, split_by, labels_are))


def _explain_file(file: Path) -> str:
    """What is wanted in the place of a file that is no table."""
    if file.suffix.lower() == ".json":
        return "write its entries as JSON lines, each an object with image and label, and call it .jsonl"
    return f"wanted a folder of images, or a table of image,label ({', '.join(TABLE_SUFFIXES)})"


# -- class folders ------------------------------------------------------------------------------


def _scan_parts(root: Path, classes_are: str, *, need_train: bool = True) -> dict[str, ImageSet]:
    """The parts that are there; train alone where there are only classes."""
    layout = find_layout(root, classes_are, need_train=need_train)
    places = layout.parts or {"train": root}
    listed = {part: _list_classes(place) for part, place in places.items()}
    beside = _find_masks(root, layout, listed)
    parts = {
        part: _make_set(root, place, listed[part], beside, strict=need_train and part == "train")
        for part, place in places.items()
    }
    main = next(part for part in SPLITS if part in parts)
    for part, found in parts.items():
        _check_same_classes(parts[main].classes, found.classes, places[part], lacking_too=need_train)
    parts = {part: found.with_classes(parts[main].classes) for part, found in parts.items()}
    left_out = sum((Counter(found.left_out) for found in parts.values()), Counter())
    if layout.parts:
        left_out += count_passed_over(root)
    alike = describe_alike(parts[main].classes)
    notes = (*layout.notes, *beside.notes, *describe_left_out(left_out), *alike)
    parts = {part: replace(found, left_out={}) for part, found in parts.items()}
    return {**parts, main: replace(parts[main], left_out=left_out, notes=notes)}


def _list_classes(folder: Path) -> dict[str, Listing]:
    """What each class folder holds, by the class's name; "" stands for the files beside them."""
    folders, strays = _find_class_folders(folder)
    return {**{name: list_files(place) for name, place in folders.items()}, "": Listing((), strays)}


def _find_masks(root: Path, layout: Layout, listed: dict[str, dict[str, Listing]]) -> Beside:
    """The masks among all files of all parts, and in a folder of masks beside the parts."""
    paths = [path for classes in listed.values() for files in classes.values() for path in files.images]
    paths += [path for place in layout.beside if is_mask_folder(place.name) for path in list_files(place).images]
    return find_masks_beside(paths, root)


def _make_set(root: Path, folder: Path, listed: dict[str, Listing], beside: Beside, *, strict: bool) -> ImageSet:
    """The set of one part: every class folder with images, without masks; only outside train may one be empty."""
    images = {name: drop_masks(files.images, beside) for name, files in listed.items() if name}
    classes = [name for name, paths in images.items() if paths or not listed[name].images]
    for name in classes:
        if not images[name] and (listed[name].others or strict):
            _refuse_empty(folder / name, name, listed[name].others)
    paths = [path for name in classes for path in images[name]]
    if not paths:
        raise JumokError(f"no image in {folder}: wanted a folder for each class with {FORMAT_NAMES} files inside")
    labels = [label for label, name in enumerate(classes) for _ in images[name]]
    left_out = sum((files.others for files in listed.values()), Counter())
    return ImageSet(root, tuple(classes), tuple(paths), tuple(labels), left_out, masks_of(paths, beside))


def _refuse_empty(place: Path, name: str, others: Mapping[str, int]) -> None:
    raise JumokError(
        f"class folder {place} has no image{sum_others(others)}: wanted {FORMAT_NAMES} files, "
        f"or remove the folder if {name!r} is not a class"
    )


def _find_class_folders(root: Path) -> tuple[dict[str, Path], Counter[str]]:
    """The folders directly inside by composed name, and the files that lie beside them by ending."""
    entries = list_entries(root)
    folders: dict[str, Path] = {}
    for entry in (entry for entry in entries if is_folder(entry)):
        name = compose(entry.name)
        if name in folders:
            raise JumokError(f"{root} has two folders whose names both read {name!r}: merge them into one")
        folders[name] = Path(entry.path)
    strays = [entry.name for entry in entries if not is_folder(entry)]
    if not folders:
        raise JumokError(_explain_no_class_folders(root, strays))
    for place in folders.values():
        if any(name.casefold() == "train" for name in list_subfolders(place)):
            raise JumokError(f"{root} holds {place.name}/ with train/ inside: did you mean {place}?")
    kinds = (STRAY_IMAGES if is_image_name(name) else Path(name).suffix.lower() for name in strays)
    return folders, Counter(kinds) + count_passed_over(root)


def _explain_no_class_folders(root: Path, strays: list[str]) -> str:
    images = sum(is_image_name(name) for name in strays)
    if images:
        return (
            f"{images} images lie directly in {root}: put each into a folder named after its class, as in "
            f"{root}/normal, or give a table of image,label"
        )
    state = f"holds {len(strays)} files but no folders" if strays else "is an empty folder"
    return f"{root} {state}: wanted a folder for each class with {FORMAT_NAMES} files inside"


def _check_differ(found: ImageSet, root: Path) -> None:
    """Refuse images that all have the same label: there is nothing to learn."""
    if found.kind == "class":
        _check_two_classes(found, root)
    elif len(set(found.labels)) < 2:
        what = "number" if found.kind == "number" else "labels"
        said = found.say(found.labels[0]) or "none"
        raise JumokError(f"all training images in {root} have the same {what}, {said}: wanted at least two different")


def _check_two_classes(found: ImageSet, root: Path) -> None:
    if len(found.classes) > 1:
        return
    above = [place for place in found.paths[0].parents if place.is_relative_to(root) and place != root]
    folder = next((place for place in reversed(above) if compose(place.name) == found.classes[0]), root)
    inner = list_subfolders(folder) if folder != root else []
    hint = f"; did you mean {folder}, which holds {len(inner)} folders?" if len(inner) > 1 else ""
    raise JumokError(f"only one class, {found.classes[0]!r}, in {root}: wanted at least two{hint}")


def _check_same_classes(wanted: tuple[str, ...], got: tuple[str, ...], folder: Path, *, lacking_too: bool) -> None:
    unknown = [name for name in got if name not in wanted]
    if unknown:
        raise JumokError(
            f"{folder} has the class {unknown[0]!r} that train does not have: {suggest(unknown[0], wanted)}"
        )
    lacking = [name for name in wanted if name not in got]
    if lacking and lacking_too:
        raise JumokError(
            f"{folder} lacks the class {lacking[0]!r} that train has: add {folder / lacking[0]} (it may be empty)"
        )


def _group(found: ImageSet, split_by: str | None) -> ImageSet:
    """The set with what keeps images together."""
    if split_by is None:
        return found
    if split_by != SPLIT_BY_FOLDER:
        raise JumokError(
            f"--split-by {split_by!r} needs a table of labels with that column; class folders take "
            f"{SPLIT_BY_FOLDER!r}, which keeps the images of one folder together"
        )
    return replace(found, groups=tuple(name_below(path.parent, found.root) for path in found.paths))
