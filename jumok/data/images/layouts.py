"""How a folder of images is laid out: class folders, or train/, val/ and test/ with class folders inside."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from jumok.data.images.beside import is_mask_folder
from jumok.data.images.listing import (
    has_class_folders,
    has_image_below,
    has_image_inside,
    list_files,
    list_subfolders,
)
from jumok.data.splits import SPLIT_NAMES, SPLITS, split_named
from jumok.errors import JumokError, suggest
from jumok.wording import write_count

CLASSES_ARE = ("auto", "top", "inside")
"""Which folders the classes are: those directly in the data, or those inside train/, val/ and test/."""


@dataclass(frozen=True)
class Layout:
    """Where the parts of a folder are.

    Args:
        parts: their folders; empty where the folders directly inside are the classes.
        beside: folders beside the parts.
        notes: what the user should know.
    """

    parts: dict[str, Path]
    beside: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def find_layout(root: Path, classes_are: str = "auto", *, need_train: bool = True) -> Layout:
    """Tell the parts of a split that is already there from classes that are called so.

    `train/` is a part where it has class folders inside, and `val/` or `test/` has them too or no other folder has
    images. A folder of such a name that holds its images directly, as the other folders do, is a class.

    Args:
        root: the folder.
        classes_are: "top" or "inside" where it can be read in two ways; "auto": as above.
        need_train: whether a split without train/ is refused.
    Raises:
        JumokError: it can be read in two ways, two folders stand for one part, or there is no train.
    """
    if classes_are not in CLASSES_ARE:
        raise JumokError(f"--classes-are {classes_are!r}: {suggest(classes_are, CLASSES_ARE)}")
    names = list_subfolders(root)
    named = [name for name in names if split_named(name)]
    others = [root / name for name in names if not split_named(name) and has_image_below(root / name)]
    rivals = [place for place in others if not is_mask_folder(place.name)]
    if not named or classes_are == "top" or (classes_are == "auto" and _are_classes(root, named, rivals)):
        return Layout({})
    parts = _name_parts(root, named)
    _check_typing_errors(root, names)
    if classes_are == "auto":
        _check_one_reading(root, parts, rivals)
    if "train" not in parts and need_train:
        raise JumokError(
            f"{root} holds {_list(list(parts.values()))} but no train/: add it, or use --classes-are top if "
            "these are classes"
        )
    return _leave_unlabelled(parts, tuple(others), rivals)


def has_parts(root: Path) -> bool:
    """Whether a folder holds a split, by the names in it alone."""
    return root.is_dir() and any(split_named(name) == "train" for name in list_subfolders(root))


def _are_classes(root: Path, named: list[str], rivals: list[Path]) -> bool:
    """Whether folders called as parts hold their images directly, beside other folders that do."""
    flat = all(has_image_inside(root / name) and not has_class_folders(root / name) for name in named)
    return bool(rivals) and flat


def _name_parts(root: Path, names: list[str]) -> dict[str, Path]:
    parts: dict[str, Path] = {}
    for name in names:
        split = str(split_named(name))
        if split in parts:
            raise JumokError(f"{root} holds both {parts[split].name}/ and {name}/ for {split}: keep one of them")
        parts[split] = root / name
    return {part: parts[part] for part in SPLITS if part in parts}


def _check_typing_errors(root: Path, names: list[str]) -> None:
    for name in (name for name in names if split_named(name) is None):
        meant = difflib.get_close_matches(name.casefold(), SPLIT_NAMES, n=1, cutoff=0.8)
        if meant:
            raise JumokError(
                f"{root} holds {name}/: did you mean {meant[0]}/? rename it or move it away, or use --classes-are top "
                "if all folders there are classes"
            )


def _check_one_reading(root: Path, parts: dict[str, Path], rivals: list[Path]) -> None:
    """Refuse a folder whose classes could be the folders in it as well as those inside its parts."""
    split = [part for part, place in parts.items() if has_class_folders(place)]
    if "train" in split and len(split) > 1:
        return
    if rivals:
        raise JumokError(
            f"{root} holds {_list(list(parts.values()))} beside {_list(rivals)}: use --classes-are inside if "
            f"the classes are the folders inside {_first(parts).name}/, or --classes-are top if all these "
            "folders are classes"
        )
    if len(parts) > 1 and not split and all(has_image_inside(place) for place in parts.values()):
        raise JumokError(
            f"{_list(list(parts.values()))} in {root} hold their images directly: put each image into a folder named "
            "after its class, or use --classes-are top if these folders are the classes"
        )


def _leave_unlabelled(parts: dict[str, Path], beside: tuple[Path, ...], rivals: list[Path]) -> Layout:
    """The parts that have classes, and a word on the folders that are not used."""
    flat = {
        part: place
        for part, place in parts.items()
        if part != "train" and has_image_inside(place) and not has_class_folders(place)
    }
    notes = [f"{place.name}/ is not used: its images lie in no class folders" for place in flat.values()]
    if rivals:
        counts = ", ".join(f"{place.name}/ ({_count_images(place)})" for place in rivals)
        notes.append(f"not used, beside {_first(parts).name}/: {counts}")
    used = {part: place for part, place in parts.items() if part not in flat}
    return Layout(used, beside, tuple(notes))


def _first(parts: dict[str, Path]) -> Path:
    """The folder of train, or of the first part there is."""
    return next(parts[part] for part in SPLITS if part in parts)


def _count_images(folder: Path) -> str:
    count = len(list_files(folder).images)
    return write_count(count, "image")


def _list(places: list[Path], most: int = 4) -> str:
    names = [f"{place.name}/" for place in places[:most]]
    return ", ".join(names) + (f" and {len(places) - most} more" if len(places) > most else "")
