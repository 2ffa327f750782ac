"""Tables of images and their labels, in CSV, TSV, JSONL or Parquet: `image,label[,split,mask,group]`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

from jumok.data.images.beside import is_mask_folder
from jumok.data.images.image_set import ImageSet, sort_set
from jumok.data.images.label_cells import Cell, Labelled, read_cells
from jumok.data.images.listing import compose, has_image_inside, list_entries, list_files, list_subfolders
from jumok.data.images.recognition import COLUMNS, column_for, is_label_table
from jumok.data.list_cells import read_list
from jumok.data.splits import SPLITS, split_named
from jumok.data.table_heads import TABLE_SUFFIXES, read_column_names
from jumok.data.table_rows import BETWEEN, read_rows, refuse_nested
from jumok.errors import JumokError, suggest
from jumok.language import later_count
from jumok.wording import one_line, write_count

GROUP = "group"
WHOLE = ""
"""The part of a table that is not one part alone."""
MOST_NAMED = 8
"""Columns that are named."""
ALONE = "\0"
"""Before the name of a group that an image without one makes by itself."""


@dataclass(frozen=True)
class Row:
    """One image as a table has it.

    Args:
        where: file and line, for errors.
        image, label, split, mask, group: cells; empty where the table has no such column.
    """

    where: str
    image: str
    label: str
    split: str
    mask: str
    group: str


def is_table(path: Path) -> bool:
    """Whether a file's name is that of a table."""
    return path.suffix.lower() in TABLE_SUFFIXES


def find_tables(folder: Path) -> dict[str, Path]:
    """The tables of labels in a folder, by the part that each is named after; one of another name is the whole.

    Raises:
        JumokError: several tables that are not parts.
    """
    found = [Path(entry.path) for entry in list_entries(folder) if is_label_table(Path(entry.path))]
    parts = {split_named(path.stem) or WHOLE: path for path in found}
    if len(parts) < len(found) or (WHOLE in parts and len(parts) > 1):
        names = ", ".join(path.name for path in found)
        raise JumokError(f"{folder} holds several tables of labels ({names}): give the one to use")
    if parts and WHOLE not in parts and "train" not in parts:
        raise JumokError(f"{folder} holds {', '.join(path.name for path in found)} but no train table: add it")
    return parts


def read_labels(
    tables: Mapping[str, Path], images: Path, split_by: str | None = None, labels_are: str = "auto"
) -> tuple[dict[str, ImageSet], tuple[str, ...]]:
    """Read tables of images and labels.

    The columns are `image` (a path below the folder of images) and `label`; `split` (train, val or test), `mask` (a
    path likewise) and the column that `split_by` names are read if present. Classes are in alphabetical order, numbers
    by size. Images without a label are left out, and so are images that the table does not name. What labels mean:
    see `label_cells`.

    Args:
        tables: by part, as `find_tables` gives them.
        images: the folder that names refer to, or the folder above it if it holds one folder of images alone.
        split_by: the column that keeps images together in one part.
        labels_are: "class", "multi", "number", or "auto" to find out.
    Returns:
        the parts that the tables name, "train" alone where they name none; and what the user should know.
    Raises:
        JumokError: a damaged table, a column that lacks, an image or mask that is not there or outside the folder,
            a part of another name, an image that is named twice, or labels that cannot be read.
    """
    rows = {part: list(_read_rows(path, split_by)) for part, path in tables.items()}
    every = [row for part in rows.values() for row in part]
    if not every:
        raise JumokError(f"{next(iter(tables.values()))} has no rows: wanted a line for each image")
    root = _find_root(images, every[0])
    labelled = read_cells([Cell(row.where, row.label) for row in every], labels_are)
    if not any(row.label for row in every):
        names = ", ".join(str(path) for path in tables.values())
        raise JumokError(f"no row of {names} has a label: fill in the label of at least two different images")
    parted = [(part, row) for part, some in rows.items() for row in some]
    kept = [(*pair, label) for pair, label in zip(parted, labelled.labels, strict=True) if label is not None]
    parts = _make_parts(kept, labelled, root)
    notes = [
        *_describe(tables, parts, labelled, split_by),
        *_describe_groups(kept, parts, split_by),
        *_describe_unnamed(every, parts, root),
    ]
    return parts, tuple(notes)


# -- sets ---------------------------------------------------------------------------------------


def _make_parts(kept: Sequence[tuple[str, Row, Any]], labelled: Labelled, root: Path) -> dict[str, ImageSet]:
    found: dict[str, list[tuple[Row, Any, Path]]] = {}
    seen: dict[Path, str] = {}
    for part, row, label in kept:
        path = _find_file(root, row.image, row.where, "image")
        if path in seen:
            raise JumokError(f"{row.where}: {row.image} is named before, in {seen[path]}: keep one of the lines")
        seen[path] = row.where
        found.setdefault(_part_of(part, row), []).append((row, label, path))
    if not {"train", WHOLE} & set(found):
        raise JumokError(f"the table has no image of the part train, only of {', '.join(sorted(found))}: add some")
    if WHOLE in found and len(found) > 1:
        raise JumokError(f"{found[WHOLE][0][0].where}: no split, and other lines have one: say train, val or test")
    grouped = any(row.group for _, row, _ in kept)
    sets = {part or "train": _make_set(rows, labelled, root, grouped=grouped) for part, rows in found.items()}
    return {part: sets[part] for part in SPLITS if part in sets}


def _make_set(rows: Sequence[tuple[Row, Any, Path]], labelled: Labelled, root: Path, *, grouped: bool) -> ImageSet:
    labels = tuple(label for _, label, _ in rows)
    masks = {path: (_find_file(root, row.mask, row.where, "mask"),) for row, _, path in rows if row.mask}
    groups = tuple(row.group or f"{ALONE}{row.image}" for row, *_ in rows) if grouped else ()
    paths = tuple(path for *_, path in rows)
    kind, classes = labelled.kind, labelled.classes
    return sort_set(ImageSet(root, classes, paths, labels, masks=masks, groups=groups, kind=kind))


def _part_of(part: str, row: Row) -> str:
    """The part of a row: what its cell says, else the table that it stands in."""
    if not row.split:
        return part
    named = split_named(row.split)
    if named is None:
        raise JumokError(f"{row.where}: split {row.split!r}: {suggest(row.split, SPLITS)}")
    return named


def _find_root(images: Path, first: Row) -> Path:
    """The folder that names refer to: the one given, or the only folder of images in it."""
    if _is_file(images / first.image) or not images.is_dir():
        return images
    inner = [images / name for name in list_subfolders(images) if not is_mask_folder(name)]
    fits = [place for place in inner if _is_file(place / first.image)]
    return fits[0] if len(fits) == 1 else images


def _find_file(root: Path, name: str, where: str, what: str) -> Path:
    """A file that a table names, which must lie in the folder."""
    pure = PurePath(name)
    if not name.strip() or "\0" in name:
        raise JumokError(f"{where}: no {what}: give its path below {root}")
    inside = pure.relative_to(root) if pure.is_absolute() and pure.is_relative_to(root) else pure
    if inside.is_absolute() or ".." in inside.parts:
        other = ", or leave the column out and give the folder to jumok measure --masks" if what == "mask" else ""
        raise JumokError(f"{where}: {what} {name} lies outside {root}: give its path below that folder{other}")
    for spelt in (inside, PurePath(compose(str(inside))), *_spell_as_here(inside)):
        if _is_file(root / spelt):
            return root / spelt
    like = _find_like(root / inside)
    hint = f" (there is {like})" if like else ""
    raise JumokError(f"{where}: no {what} {name} in {root}{hint}: correct the name, or give the folder with --images")


def _find_like(path: Path) -> str:
    """The name of a file that is called so but for its ending or upper case; empty where there is none."""
    wanted = path.name.casefold()
    try:
        names = ((each.name, each.stem.casefold()) for each in path.parent.iterdir())
        return min((name for name, stem in names if wanted in (stem, name.casefold())), default="")
    except OSError:
        return ""


def _spell_as_here(path: PurePath) -> tuple[PurePath, ...]:
    r"""A path as a table made on Windows has it, a\b.png; none where it would lie outside."""
    found = PureWindowsPath(path)
    return () if found.anchor or ".." in found.parts else (PurePath(*found.parts),)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _describe(
    tables: Mapping[str, Path], parts: Mapping[str, ImageSet], labelled: Labelled, split_by: str | None
) -> Iterator[str]:
    """What the user should know."""
    total = sum(map(len, parts.values()))
    names = ", ".join(path.name for path in tables.values())
    yield f"{write_count(total, 'image is', 'images are')} labelled in {names}"
    yield from _describe_unread(tables, split_by)
    yield from labelled.notes
    masks = sum(len(images.masks) for images in parts.values())
    if masks:
        yield f"{write_count(masks, 'image has a mask', 'images have masks')}: measure uses them, training does not"
    if split_by is None and len(parts) == 1 and _has_group(tables):
        yield f"the table has a column {GROUP!r}: --split-by {GROUP} keeps what belongs together in one part"


def _describe_unread(tables: Mapping[str, Path], split_by: str | None) -> Iterator[str]:
    """Columns that nothing is read from, which may be ones that were meant to be."""
    names = list(dict.fromkeys(name for path in tables.values() for name in read_column_names(path)))
    read = {column_for(role, names) for role in COLUMNS} | {split_by.strip().lower() if split_by else None}
    if rest := [name for name in names if name not in read and name != GROUP]:
        shown = ", ".join(map(one_line, rest[:MOST_NAMED])) + (", ..." if len(rest) > MOST_NAMED else "")
        yield later_count(
            len(rest), "{count} column is not read: {names}", "{count} columns are not read: {names}", names=shown
        )


def _describe_groups(
    kept: Sequence[tuple[str, Row, Any]], parts: Mapping[str, ImageSet], split_by: str | None
) -> Iterator[str]:
    """What to say of groups that cannot be kept together: those of no name, and those that the table parts itself."""
    if split_by is None:
        return
    if nameless := sum(not row.group for _, row, _ in kept):
        yield (
            f"{write_count(nameless, 'image has', 'images have')} nothing in the column {split_by!r}: each is dealt "
            "out by itself; fill it in for those that belong together"
        )
    homes: dict[str, set[str]] = {}
    for part, images in parts.items():
        for group in images.groups:
            homes.setdefault(group, set()).add(part)
    torn = sorted(group for group, home in homes.items() if len(home) > 1)
    if torn:
        yield (
            f"{len(torn):,} of {write_count(len(homes), 'group')} lie in several parts, such as {torn[0]!r} in "
            f"{' and '.join(part for part in SPLITS if part in homes[torn[0]])}, as the table says: figures on them "
            "flatter; without the column split they are dealt out whole"
        )


def _describe_unnamed(every: Sequence[Row], parts: Mapping[str, ImageSet], root: Path) -> list[str]:
    """What to say of images in the folder that the table says nothing of."""
    named = {root / row.image for row in every}
    for images in parts.values():
        named |= {*images.paths, *(mask for masks in images.masks.values() for mask in masks)}
    rest = [path for path in list_files(root).images if path not in named]
    if not rest:
        return []
    count = write_count(len(rest), "image")
    return [f"left out: {count} that no line names, such as {rest[0].relative_to(root)}"]


def _has_group(tables: Mapping[str, Path]) -> bool:
    return any(GROUP in read_column_names(path) for path in tables.values())


# -- files --------------------------------------------------------------------------------------


def _read_rows(path: Path, split_by: str | None) -> Iterator[Row]:
    group = split_by.strip().lower() if split_by else None
    for where, cells in read_rows(path, "tables of labels"):
        columns = {role: column_for(role, list(cells)) for role in COLUMNS}
        for role in ("image", "label"):
            if columns[role] is None:
                raise JumokError(_explain_lacking(where, role, cells))
        if group is not None and group not in cells:
            raise JumokError(f"{where} has no column {split_by!r}: {suggest(group, cells)}")
        refuse_nested(where, cells, (*columns.values(), group))
        values = {role: cells[name].strip() if name else "" for role, name in columns.items()}
        values["label"] = BETWEEN.join(read_list(compose(values["label"])))
        yield Row(where, **values, group=cells[group].strip() if group else "")


def _explain_lacking(where: str, role: str, cells: Mapping[str, str]) -> str:
    """What to say of a row without a column; where each label has a column of 0 and 1, how to write that."""
    marks = [name for name, cell in cells.items() if cell.strip() in ("0", "1")]
    if role == "label" and len(marks) > 1:
        told = ", ".join(map(repr, marks[:MOST_NAMED]))
        return (
            f"{where} lacks the column 'label': the columns {told} hold 0 and 1; write one column 'label' with the "
            f"names of those that are 1, such as {BETWEEN.join(marks[:2])} where several are"
        )
    return f"{where} lacks the column {role!r}: got {', '.join(cells) or 'nothing'}"


def attach_notes(parts: dict[str, ImageSet], notes: tuple[str, ...]) -> dict[str, ImageSet]:
    """The parts, with notes in train."""
    return {**parts, "train": replace(parts["train"], notes=notes)}


def prefers_table(root: Path) -> bool:
    """Whether a folder's images are those that its table names, rather than those of class folders."""
    folders = [name for name in list_subfolders(root) if not is_mask_folder(name)]
    if any(split_named(name) == "train" for name in folders):
        return False
    return has_image_inside(root) or sum(bool(list_files(root / name).images) for name in folders) <= 1
