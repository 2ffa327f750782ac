"""Parquet and tar files as sets of images: which parts and classes they hold. The images stay in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from jumok.data.images.image_set import ImageSet, sort_set
from jumok.data.images.label_cells import Cell, Labelled, read_cells
from jumok.data.images.listing import has_image_below, list_entries
from jumok.data.packed.members import PACKED_SUFFIXES
from jumok.data.packed.parquet_images import WINDOW_BYTES, index_parquet, name_row, read_told
from jumok.data.packed.stamps import stamp_of
from jumok.data.packed.tar_members import index_tar
from jumok.data.splits import SPLITS, split_named
from jumok.errors import JumokError, suggest
from jumok.files import regular_file
from jumok.language import later_count
from jumok.wording import write_count

__all__ = ["find_packed", "read_packed"]

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
FOLDERS = ("data",)
"""Folders, beside those of parts, in which files of one data set may lie, as on the Hub of Hugging Face."""
BETWEEN_WORDS = re.compile(r"[-_.]")
ALONE = "\0"
"""Before the name of a group that an image without one makes by itself."""


@dataclass(frozen=True)
class Told:
    """What a packed file says of an image."""

    path: Path
    label: str
    part: str = ""
    group: str = ""


def find_packed(root: Path) -> list[Path]:
    """The packed files with images that a name stands for: a file, or those in a folder without images of its own.

    Raises:
        JumokError: a file that is damaged; compressed tar files; or files of both kinds in one folder.
    """
    if root.is_file():
        return [root] if _is_packed(root) else []
    if not root.is_dir() or not (files := list(_list_files(root))) or has_image_below(root):
        return []
    if odd := next((path for path in files if path.name.lower().endswith(COMPRESSED)), None):
        raise JumokError(
            f"{odd} is compressed, so that its images cannot be reached one by one: decompress it, and give the .tar"
        )
    found = [path for path in files if _is_packed(path)]
    if len({path.suffix.lower() for path in found}) > 1:
        raise JumokError(f"{root} holds images in .parquet and in .tar files: give a folder of one kind")
    return found


def _list_files(root: Path) -> Iterator[Path]:
    """The packed files directly inside, and in folders of parts or of data."""
    for entry in list_entries(root):
        if entry.is_dir() and (split_named(entry.name) or entry.name.lower() in FOLDERS):
            yield from (Path(each.path) for each in list_entries(Path(entry.path)) if _ends_packed(each.name))
        elif _ends_packed(entry.name) and entry.is_file():
            yield Path(entry.path)


def _ends_packed(name: str) -> bool:
    return name.lower().endswith(PACKED_SUFFIXES + COMPRESSED)


def _is_packed(path: Path) -> bool:
    """Whether a file holds images: a tar file does, and a Parquet file with a column of bytes."""
    if path.suffix.lower() == ".parquet":
        return index_parquet(stamp_of(regular_file(path))) is not None
    return path.suffix.lower() == ".tar"


def read_packed(
    root: Path, files: Sequence[Path], *, split_by: str | None = None, labels_are: str = "auto", need_train: bool = True
) -> dict[str, ImageSet]:
    """The images of packed files in the parts that they come in; "train" alone where they come in none.

    The label of a row is in the column `label`, that of a sample in a tar file in its member `.cls`, in the field
    `label` of its member `.json` or, where no sample has these, the folder that it lies in. The part is in the column
    `split`, or the name of the file or of its folder has it, as in train-00000-of-00010.parquet.

    Args:
        root: as it was given.
        files: that `find_packed` gave.
        split_by: the column that keeps images together in one part.
        labels_are: "class", "multi", "number", or "auto" to find out.
        need_train: refuse files without the part train.
    Raises:
        JumokError: a file that is damaged, labels that cannot be read, or no image.
    """
    parts = _name_parts(root, files)
    told = [each for path, part in zip(files, parts, strict=True) for each in _read_file(path, part, split_by)]
    if not told:
        raise JumokError(f"no image in {root}: wanted images in .tar files, or in a column of .parquet files")
    chosen = "class" if labels_are == "auto" and _name_classes(files) else labels_are
    labelled = read_cells([Cell(str(each.path), each.label) for each in told], chosen)
    kept = [(each, label) for each, label in zip(told, labelled.labels, strict=True) if label is not None]
    if not kept:
        raise JumokError(f"no image in {root} has a label: {_say_where(files)}")
    found = _make_sets(root, kept, labelled)
    if need_train and "train" not in found:
        raise JumokError(f"{root} has no images of the part train, only of {', '.join(found)}: add some")
    first = next(iter(found))
    notes = (*_describe(files, len(told)), *labelled.notes)
    return {part: images.with_notes(notes) if part == first else images for part, images in found.items()}


def _say_where(files: Sequence[Path]) -> str:
    if files[0].suffix.lower() == ".tar":
        return "give each a member of its name with the ending .cls, or put it into a folder named after its class"
    return "fill in the column label"


def _name_parts(root: Path, files: Sequence[Path]) -> list[str]:
    """The part that each file's name, or that of its folder, stands for; empty where names say nothing.

    Raises:
        JumokError: some names do, and others do not.
    """
    parts = [_name_part(path, root) for path in files]
    if "train" not in parts:
        return parts if all(parts) and len(set(parts)) > 1 else [""] * len(files)
    if not all(parts):
        odd = files[parts.index("")]
        raise JumokError(
            f"{odd} is named after none of train, val and test, and other files in {root} are: rename it, or move it"
        )
    return parts if len(set(parts)) > 1 else [""] * len(files)


def _name_part(path: Path, root: Path) -> str:
    words = [path.parent.name] if path.parent != root and path != root else []
    words += BETWEEN_WORDS.split(path.stem)
    return next((part for word in words if (part := split_named(word))), "")


def _read_file(path: Path, part: str, split_by: str | None) -> Iterator[Told]:
    """What a file says of each of its images."""
    if path.suffix.lower() == ".tar":
        if split_by is not None:
            raise JumokError(f"--split-by {split_by!r} needs a table or Parquet file with that column, got {path}")
        for name, label in index_tar(stamp_of(path)).labels.items():
            inner = next((named for each in PurePosixPath(name).parts[:-2] if (named := split_named(each))), "")
            yield Told(path / name, label, inner or part)
        return
    images = index_parquet(stamp_of(path))
    assert images is not None
    if large := next((group for group in images.groups if group.bytes > WINDOW_BYTES), None):
        raise JumokError(
            f"{path} has a row group of {large.bytes >> 20:,} MiB, which is read whole for each image in it: write it "
            f"anew with row groups of at most {WINDOW_BYTES >> 20} MiB, as by pyarrow.parquet.write_table(table, file, "
            f"row_group_size={max(large.rows * (WINDOW_BYTES >> 3) // large.bytes, 1)})"
        )
    for number, (label, split, group) in enumerate(read_told(stamp_of(path), split_by)):
        named = split_named(split) if split else part
        if named is None:
            raise JumokError(f"{path}, row {number}: split {split!r}: {suggest(split, SPLITS)}")
        yield Told(path / name_row(number), label, named, group)


def _name_classes(files: Sequence[Path]) -> bool:
    """Whether labels are classes by what the files are, even where they are numbers."""
    if files[0].suffix.lower() == ".tar":
        return True
    return any(images.classes for path in files if (images := index_parquet(stamp_of(path))) is not None)


def _make_sets(root: Path, kept: Sequence[tuple[Told, Any]], labelled: Labelled) -> dict[str, ImageSet]:
    bare = next((each for each, _ in kept if not each.part), None)
    if bare is not None and any(each.part for each, _ in kept):
        raise JumokError(f"{bare.path} is in no part, and others are in train, val or test: say which for all")
    grouped = any(each.group for each, _ in kept)
    found: dict[str, list[tuple[Told, Any]]] = {}
    for each, label in kept:
        found.setdefault(each.part or "train", []).append((each, label))
    return {
        part: sort_set(
            ImageSet(
                root,
                labelled.classes,
                tuple(each.path for each, _ in found[part]),
                tuple(label for _, label in found[part]),
                groups=tuple(each.group or f"{ALONE}{each.path}" for each, _ in found[part]) if grouped else (),
                kind=labelled.kind,
                packed=True,
            )
        )
        for part in SPLITS
        if part in found
    }


def _describe(files: Sequence[Path], images: int) -> list[str]:
    """What the user should know."""
    kind = files[0].suffix.lower()
    told = later_count(
        len(files),
        "{images} in {count} {kind} file, read where they lie",
        "{images} in {count} {kind} files, read where they lie",
        images=write_count(images, "image"),
        kind=kind,
    )
    size = sum(found.bytes for path in files if kind == ".parquet" and (found := index_parquet(stamp_of(path))))
    mixed = (
        "the order of training is drawn among row groups, and then among the images of about "
        f"{WINDOW_BYTES >> 20} MiB of them at a time: rows should not be sorted by class"
    )
    return [told, *([mixed] if size > WINDOW_BYTES else [])]
