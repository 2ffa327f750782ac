"""Folders of images: which pictures they hold, of what class, and how they are split."""

from __future__ import annotations

import difflib
import hashlib
import itertools
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from jumok.data.splits import IMAGE_SHARES, SPLIT_NAMES, SPLITS, Shares, check_shares, split_named
from jumok.errors import JumokError, suggest

FORMAT_NAMES = "PNG, JPEG, WebP, BMP or TIFF"
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff"})
LITTER_NAMES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir"})


@dataclass(frozen=True)
class ImageSet:
    """Pictures and their classes.

    Args:
        root: the folder that was scanned; every path begins with it.
        classes: names of the classes in order, in Unicode's composed form (NFC).
        paths: of the pictures, sorted by class and then by path.
        labels: for each path, the index of its class.
        skipped: how many other files were passed over (hidden files and system litter not counted).
    """

    root: Path
    classes: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def names(self) -> tuple[str, ...]:
        """Each picture's path below the root, with forward slashes and composed (NFC): what masks are matched by."""
        return tuple(_name_below(path, self.root) for path in self.paths)

    def counts(self) -> dict[str, int]:
        """How many pictures each class has."""
        found = Counter(self.labels)
        return {name: found[label] for label, name in enumerate(self.classes)}


# -- folders ------------------------------------------------------------------------------------


def scan(root: str | os.PathLike[str], *, seed: int = 0, shares: Shares = IMAGE_SHARES) -> dict[str, ImageSet]:
    """Find the pictures of a folder of class folders, in three parts.

    Where `root` holds `train/` (and `val/`, `valid/`, `validation/` or `dev/`, and `test/`), those are the parts, and
    folders of other names beside them are left alone; a part that is missing is split off train. Otherwise `root` holds
    the class folders themselves, and is split. Each class is split by itself, by a hash of the seed and each picture's
    name: the outcome does not depend on the order in which the file system lists the files, and hardly changes when
    pictures are added. A class of one or two pictures is in train first, then in val. Pictures may lie deeper inside
    their class folder. Symbolic links are followed, but not upwards.

    Args:
        root: the folder.
        seed: of the split.
        shares: of train, val and test, that sum to 1; a share of 0 leaves that part empty.
    Returns:
        {"train", "val", "test"}, all three with the same classes.
    Raises:
        JumokError: no such folder, nothing in it, pictures outside class folders, a class folder without a picture,
            fewer than two classes, classes that differ between the parts, or a folder that may not be read.
    """
    root = Path(root)
    check_shares(shares, IMAGE_SHARES)
    ready = _find_ready_split(root)
    train = _scan_classes(ready.get("train", root), root)
    _check_two_classes(train, ready.get("train", root))
    parts = {split: _scan_classes(path, root, may_be_empty=True) for split, path in ready.items() if split != "train"}
    for part, found in parts.items():
        _check_same_classes(train.classes, found.classes, root / ready[part].name)
    missing = {split: share for split, share in zip(SPLITS, shares, strict=True) if split not in parts}
    parts |= _split(train, missing, seed)
    return {split: parts[split] for split in SPLITS}


def scan_folder(root: str | os.PathLike[str]) -> ImageSet:
    """Find the pictures of a folder of class folders as one set, unsplit; a single class will do.

    Raises:
        JumokError: as `scan`.
    """
    return _scan_classes(Path(root), Path(root))


def find_images(folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Find every picture in a folder, at any depth and of no class, sorted by path.

    Raises:
        JumokError: no such folder, one that may not be read, or no picture in it.
    """
    paths, others = _list_files_below(Path(folder))
    if not paths:
        raise JumokError(f"no image in {folder} ({others} other files): wanted {FORMAT_NAMES} files")
    return paths


def _scan_classes(folder: Path, root: Path, *, may_be_empty: bool = False) -> ImageSet:
    """The classes of one folder, with their pictures."""
    folders, strays = _find_class_folders(folder)
    paths: list[Path] = []
    labels: list[int] = []
    skipped = len(strays)
    for label, (name, place) in enumerate(folders.items()):
        found, others = _list_files_below(place)
        if not found and (others or not may_be_empty):
            raise JumokError(
                f"class folder {place} has no image ({others} other files): wanted {FORMAT_NAMES} files, "
                f"or remove the folder if {name!r} is not a class"
            )
        paths += found
        labels += [label] * len(found)
        skipped += others
    if not paths:
        raise JumokError(f"no image in {folder}: wanted a folder for each class with {FORMAT_NAMES} files inside")
    return ImageSet(root, tuple(folders), tuple(paths), tuple(labels), skipped)


def _find_class_folders(root: Path) -> tuple[dict[str, Path], list[Path]]:
    """The folders directly inside by composed name, and the files that lie beside them."""
    entries = _list_entries(root)
    folders: dict[str, Path] = {}
    for entry in (entry for entry in entries if _is_folder(entry)):
        name = unicodedata.normalize("NFC", entry.name)
        if name in folders:
            raise JumokError(f"{root} has two folders whose names both read {name!r}: merge them into one")
        folders[name] = Path(entry.path)
    strays = [Path(entry.path) for entry in entries if not _is_folder(entry)]
    if not folders:
        raise JumokError(_explain_no_class_folders(root, strays))
    for place in folders.values():
        if any(name.casefold() == "train" for name in _list_subfolders(place)):
            raise JumokError(f"{root} holds {place.name}/ with train/ inside: did you mean {place}?")
    return folders, strays


def _explain_no_class_folders(root: Path, strays: list[Path]) -> str:
    images = sum(_is_image(path.name) for path in strays)
    if images:
        return (
            f"{images} images lie directly in {root}: put each into a folder named after its class, as in {root}/normal"
        )
    state = f"holds {len(strays)} files but no folders" if strays else "is an empty folder"
    return f"{root} {state}: wanted a folder for each class with {FORMAT_NAMES} files inside"


def _find_ready_split(root: Path) -> dict[str, Path]:
    """The folders of a split that is already there, by part; empty where there is none."""
    names = _list_subfolders(root)
    ready: dict[str, Path] = {}
    for name in names:
        split = split_named(name)
        if split in ready:
            raise JumokError(f"{root} holds both {ready[split].name}/ and {name}/ for {split}: keep one of them")
        if split:
            ready[split] = root / name
    if ready and "train" not in ready:
        raise JumokError(f"{root} holds {', '.join(f'{path.name}/' for path in ready.values())} but no train/: add it")
    for name in names if ready else ():
        meant = difflib.get_close_matches(name.casefold(), SPLIT_NAMES, n=1, cutoff=0.8)
        if meant and split_named(name) is None:
            raise JumokError(f"{root} holds {name}/: did you mean {meant[0]}/? rename it, or move it away")
    return ready


def _check_two_classes(found: ImageSet, folder: Path) -> None:
    if len(found.classes) > 1:
        return
    folder = _find_class_folders(folder)[0][found.classes[0]]
    inner = _list_subfolders(folder)
    hint = f"; did you mean {folder}, which holds {len(inner)} folders?" if len(inner) > 1 else ""
    raise JumokError(f"only one class, {found.classes[0]!r}, in {folder.parent}: wanted at least two{hint}")


def _check_same_classes(wanted: tuple[str, ...], got: tuple[str, ...], folder: Path) -> None:
    unknown = [name for name in got if name not in wanted]
    if unknown:
        raise JumokError(
            f"{folder} has the class {unknown[0]!r} that train does not have: {suggest(unknown[0], wanted)}"
        )
    lacking = [name for name in wanted if name not in got]
    if lacking:
        raise JumokError(
            f"{folder} lacks the class {lacking[0]!r} that train has: add {folder / lacking[0]} (it may be empty)"
        )


def _list_files_below(folder: Path) -> tuple[tuple[Path, ...], int]:
    """The pictures below a folder, sorted, and the number of other files.

    Each real folder is entered once, and none that holds this one: links that lead upwards or in circles end here.
    """
    found: list[Path] = []
    others = 0
    above = {*folder.absolute().parents, *Path(os.path.realpath(folder)).parents}
    waiting, seen = [folder], {os.path.realpath(parent) for parent in above}
    while waiting:
        place = waiting.pop()
        if (real := os.path.realpath(place)) in seen:
            continue
        seen.add(real)
        entries = _list_entries(place)
        waiting += [Path(entry.path) for entry in reversed(entries) if _is_folder(entry)]
        files = [entry for entry in entries if not _is_folder(entry)]
        images = [Path(entry.path) for entry in files if _is_image(entry.name)]
        found += images
        others += len(files) - len(images)
    return tuple(sorted(found, key=lambda path: _name_below(path, folder))), others


def _list_entries(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds, hidden files and litter left out, in an order of our own."""
    try:
        with os.scandir(folder) as entries:
            kept = [entry for entry in entries if not _is_litter(entry.name)]
    except FileNotFoundError as error:
        raise JumokError(f"no such folder: {folder}") from error
    except NotADirectoryError as error:
        raise JumokError(f"{folder} is a file: wanted a folder of images") from error
    except OSError as error:
        raise JumokError(
            f"cannot read the folder {folder}: {error.strerror or error}; check its permissions"
        ) from error
    return sorted(kept, key=lambda entry: (_compose(entry.name), entry.name))


def _list_subfolders(folder: Path) -> list[str]:
    return [entry.name for entry in _list_entries(folder) if _is_folder(entry)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.casefold() in LITTER_NAMES


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def _name_below(path: Path, root: Path) -> str:
    return _compose(path.relative_to(root).as_posix())


def _compose(name: str) -> str:
    return unicodedata.normalize("NFC", name)


# -- splitting ----------------------------------------------------------------------------------


def _split(whole: ImageSet, shares: Mapping[str, float], seed: int) -> dict[str, ImageSet]:
    """Deal each class's pictures out to the parts named, in proportion to their shares."""
    total = sum(shares.values())
    shares = {part: share / total for part, share in shares.items()}
    chosen: dict[str, list[int]] = {part: [] for part in shares}
    names = whole.names
    for _, group in itertools.groupby(range(len(whole)), key=lambda index: whole.labels[index]):
        members = sorted(group, key=lambda index: _draw(seed, names[index]))
        for part, count in _deal(len(members), shares).items():
            chosen[part] += members[:count]
            del members[:count]
    for part, share in shares.items():
        if share > 0 and not chosen[part]:
            raise JumokError(
                f"{whole.root} has too few images ({len(whole)}) to give {part} any: add some, make {part}/ yourself, "
                f"or give {part} a fraction of 0"
            )
    return {part: _choose(whole, chosen[part], skipped=whole.skipped * (part == "train")) for part in shares}


def _deal(count: int, shares: Mapping[str, float]) -> dict[str, int]:
    """How many of `count` each part gets: rounded, at least one each where they go round, train served first.

    >>> _deal(20, {"train": 0.7, "val": 0.15, "test": 0.15})
    {'train': 14, 'val': 3, 'test': 3}
    """
    dealt: dict[str, int] = {}
    left = count - 1
    parts = [part for part in shares if part != "train"]
    for number, part in enumerate(parts):
        still_to_come = sum(shares[later] > 0 for later in parts[number + 1 :])
        room = max(left - still_to_come, min(left, 1))  # one for each of those, where there are enough
        dealt[part] = min(max(int(count * shares[part] + 0.5), int(shares[part] > 0)), room)
        left -= dealt[part]
    return {"train": left + 1, **dealt}


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode(errors="surrogateescape")).digest()


def _choose(whole: ImageSet, chosen: Iterable[int], *, skipped: int) -> ImageSet:
    order = sorted(chosen)
    paths = tuple(whole.paths[index] for index in order)
    return replace(whole, paths=paths, labels=tuple(whole.labels[index] for index in order), skipped=skipped)
