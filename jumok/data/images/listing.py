"""What folders hold: images and other files, in an order that does not depend on the file system."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jumok.data.images.formats import explain_unread, is_image_name, suffix_of
from jumok.errors import JumokError
from jumok.files import RESULTS_MARK
from jumok.language import join_later, later, later_count
from jumok.wording import write_count

LITTER_NAMES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir"})
NO_PLAIN_FILE = "pipe"
"""Stands among the endings of other files for pipes, devices and links to nothing."""
RESULTS = "results of jumok"
"""Stands there for folders that this program wrote."""
HIDDEN = "hidden folders of images"
"""Stands there for hidden folders that hold images."""
STRAY_IMAGES = "images beside class folders"
"""Stands there for images that lie in no class folder."""
MOST_ENDINGS = 5
"""Endings of files that are named when they are left out."""


@dataclass(frozen=True)
class Listing:
    """What lies below a folder.

    Args:
        images: sorted by path.
        others: how many other files there are, by how their names end.
    """

    images: tuple[Path, ...]
    others: Counter[str]


def list_files(folder: Path) -> Listing:
    """The images below a folder, and the number of other files; hidden files and litter do not count.

    Each real folder is entered once, and none that holds this one: links that lead upwards or in circles end here.

    Raises:
        JumokError: no such folder, or one that may not be read.
    """
    found: list[Path] = []
    others: Counter[str] = Counter()
    for place, passed_over in _walk(folder):
        others += passed_over
        for entry in place:
            if is_image_name(entry.name) and is_plain_file(entry):
                found.append(Path(entry.path))
            else:
                others[suffix_of(entry.name) if is_plain_file(entry) else NO_PLAIN_FILE] += 1
    return Listing(tuple(sorted(found, key=lambda path: name_below(path, folder))), others)


def has_image_below(folder: Path) -> bool:
    """Whether there is an image somewhere below a folder."""
    return any(is_image_name(entry.name) and is_plain_file(entry) for place, _ in _walk(folder) for entry in place)


def has_image_inside(folder: Path) -> bool:
    """Whether there is an image directly inside a folder."""
    return any(is_image_name(entry.name) and is_plain_file(entry) for entry in list_entries(folder))


def has_class_folders(folder: Path) -> bool:
    """Whether a folder has folders with images in them."""
    return any(has_image_below(folder / name) for name in list_subfolders(folder))


def _walk(folder: Path) -> Iterator[tuple[list[os.DirEntry[str]], Counter[str]]]:
    """The files of a folder and of each below it, and the folders that are passed over there."""
    above = {*folder.absolute().parents, *Path(os.path.realpath(folder)).parents}
    waiting, seen = [folder], {os.path.realpath(parent) for parent in above}
    while waiting:
        place = waiting.pop()
        if (real := os.path.realpath(place)) in seen:
            continue
        seen.add(real)
        entries, passed_over = _scan(place)
        waiting += [Path(entry.path) for entry in reversed(entries) if is_folder(entry)]
        yield [entry for entry in entries if not is_folder(entry)], passed_over


def list_entries(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds, hidden files, litter and folders of results left out, in an order of our own.

    Raises:
        JumokError: no such folder, or one that may not be read.
    """
    return _scan(folder)[0]


def count_passed_over(folder: Path) -> Counter[str]:
    """How many of the folders directly inside are results of this program, or hidden ones with images in them."""
    return _scan(folder)[1]


def _scan(folder: Path) -> tuple[list[os.DirEntry[str]], Counter[str]]:
    """The entries of a folder, and how many folders are left out, by the reason."""
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except FileNotFoundError as error:
        raise JumokError(f"no such folder: {folder}") from error
    except NotADirectoryError as error:
        raise JumokError(f"{folder} is a file: wanted a folder of images") from error
    except OSError as error:
        raise JumokError(
            f"cannot read the folder {folder}: {error.strerror or error}; check its permissions"
        ) from error
    kept = [entry for entry in found if not _is_litter(entry.name)]
    given = [entry for entry in kept if not (is_folder(entry) and _is_marked(Path(entry.path)))]
    hidden = [entry for entry in found if entry.name.startswith(".") and is_folder(entry) and _holds_image(entry)]
    passed_over = +Counter({RESULTS: len(kept) - len(given), HIDDEN: len(hidden)})
    return sorted(given, key=lambda entry: (compose(entry.name), entry.name)), passed_over


def _holds_image(folder: os.DirEntry[str]) -> bool:
    """Whether an image lies directly inside a folder that is passed over; not where that may not be read."""
    try:
        with os.scandir(folder.path) as entries:
            return any(is_image_name(entry.name) and not _is_litter(entry.name) for entry in entries)
    except OSError:
        return False


def _is_marked(folder: Path) -> bool:
    """Whether a folder is marked as one of results; not where it may not be read: whoever enters it says so."""
    try:
        return (folder / RESULTS_MARK).exists()
    except OSError:
        return False


def list_subfolders(folder: Path) -> list[str]:
    """The names of the folders directly inside a folder."""
    return [entry.name for entry in list_entries(folder) if is_folder(entry)]


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def is_plain_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a file that ends: no pipe, which would be waited for, and no link to nothing."""
    try:
        return entry.is_file()
    except OSError:  # a link that leads to itself
        return False


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.casefold() in LITTER_NAMES


def name_below(path: Path, root: Path) -> str:
    """A path below a folder, with forward slashes and in Unicode's composed form."""
    return compose(path.relative_to(root).as_posix())


def compose(name: str) -> str:
    """A name in Unicode's composed form: file systems disagree on how Korean is spelt."""
    return unicodedata.normalize("NFC", name)


def describe_left_out(others: Mapping[str, int]) -> list[str]:
    """What to say of files that were left out: a line for each reason.

    >>> describe_left_out({".txt": 2, ".json": 1})
    ['left out: 3 files that are not images (2 .txt, 1 .json)']
    """
    lines = [
        f"left out: {write_count(count, f'{ending} image')} ({explain_unread(ending)})"
        for ending, count in sorted(others.items())
        if explain_unread(ending)
    ]
    if pipes := others.get(NO_PLAIN_FILE, 0):
        lines.append(
            later_count(
                pipes,
                "left out: {count} pipe, device or broken link",
                "left out: {count} pipes, devices or broken links",
            )
        )
    if results := others.get(RESULTS, 0):
        lines.append(
            later_count(
                results,
                "left out: {count} folder of jumok's own results",
                "left out: {count} folders of jumok's own results",
            )
        )
    if hidden := others.get(HIDDEN, 0):
        lines.append(
            later_count(
                hidden,
                "left out: {count} hidden folder with images (its name begins with a dot)",
                "left out: {count} hidden folders with images (their names begin with a dot)",
            )
        )
    if strays := others.get(STRAY_IMAGES, 0):
        lines.append(
            later_count(
                strays,
                "left out: {count} image that lies beside the class folders: put it into the folder of its class",
                "left out: {count} images that lie beside the class folders: put each into the folder of its class",
            )
        )
    special = (NO_PLAIN_FILE, RESULTS, HIDDEN, STRAY_IMAGES)
    rest = Counter({end: count for end, count in others.items() if end not in special and not explain_unread(end)})
    if total := rest.total():
        shown = [_count_ending(count, ending) for ending, count in rest.most_common(MOST_ENDINGS)]
        lines.append(
            later_count(
                total,
                "left out: {count} file that is not an image ({endings})",
                "left out: {count} files that are not images ({endings})",
                endings=join_later(", ", [*shown, *(["..."] if len(rest) > MOST_ENDINGS else [])]),
            )
        )
    return lines


def sum_others(others: Mapping[str, int]) -> str:
    """How many other files there are, in parentheses, and what to do about names without an ending; "" where none is.

    >>> sum_others({"txt": 2, "": 1})
    ' (3 other files; give those without an ending theirs, such as .png)'
    """
    if not (total := sum(others.values())):
        return ""
    bare = "; give those without an ending theirs, such as .png" if others.get("") else ""
    return f" ({write_count(total, 'other file')}{bare})"


def _count_ending(count: int, ending: str) -> str:
    return f"{count:,} {ending}" if ending else later("{count} without ending", count=f"{count:,}")
