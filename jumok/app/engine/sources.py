"""What a person names as a source of inputs: a folder, a pattern, a list of paths, Parquet files, tar files."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from jumok.app.engine.addresses import is_address, list_address, open_bytes
from jumok.app.engine.shards import ClassFolders, Paths, Source
from jumok.app.sentences import stream_lines
from jumok.data.images.folders import list_images
from jumok.data.images.formats import suffix_of
from jumok.data.images.layouts import find_layout
from jumok.data.images.listing import has_class_folders, has_image_below
from jumok.errors import JumokError
from jumok.files import list_visible, regular_file
from jumok.wording import join_names

__all__ = ["open_source"]

PARQUET, TARS, LISTS = (".parquet",), (".tar",), (".txt", ".lst")
WANTED = "a folder of images, a pattern such as 'photos/*.jpg', a .txt file of paths, .parquet or .tar files"


def open_source(name: str, size: int, column: str | None, tell: Callable[[str], None]) -> Source:
    """Find the inputs that a name stands for, and cut them into shards.

    Args:
        name: as the user gave it.
        size: inputs in a shard.
        column: of Parquet files, that holds images.
        tell: is given a line on files that were left out.
    Raises:
        JumokError: nothing there, or files of several kinds.
    """
    files = _list_files(name)
    if files is None:
        _check_no_column(name, column)
        listed = list_images(name)
        for note in listed.notes:
            tell(note)
        return Paths(map(str, listed.paths), size, _find_class_folders(Path(name)))
    kinds = {_kind_of(file) for file in files}
    if len(kinds) > 1:
        raise JumokError(f"{name} stands for files of several kinds: wanted {WANTED}")
    return _open_files(kinds.pop(), files, size, column)


def _find_class_folders(root: Path) -> ClassFolders | None:
    """Where the class folders of a folder of images lie; None where there are none, or it can be read in two ways."""
    try:
        layout = find_layout(root, need_train=False)
    except JumokError:
        return None
    places = list(layout.parts.values()) or [root]
    return ClassFolders(tuple(map(str, places))) if any(map(has_class_folders, places)) else None


def _open_files(kind: str, files: Sequence[str], size: int, column: str | None) -> Source:
    """The inputs of files of one kind."""
    if kind == "parquet":
        from jumok.app.engine.parquet_rows import find_parquet_inputs

        return find_parquet_inputs(files, column, size)
    _check_no_column(files[0], column)
    if kind == "tar":
        from jumok.app.engine.tar_files import find_tar_inputs

        return find_tar_inputs(files, size)
    paths = Paths((path for file in files for path in _read_list(file)) if kind == "list" else files, size)
    if not paths.total:
        raise JumokError(f"no path in {join_names(files, 'or')}: wanted one per line")
    return paths


def _list_files(name: str) -> list[str] | None:
    """The files that a name stands for, in order; None for a folder of images.

    Raises:
        JumokError: nothing there.
    """
    if is_address(name):
        return list_address(name)
    path = Path(name)
    if path.is_dir():
        if has_image_below(path):
            return None
        many = [str(each) for each in list_visible(path) if suffix_of(each.name) in PARQUET + TARS]
        return many or None
    if path.exists():
        return [str(regular_file(path))]
    found = sorted(each for each in glob.iglob(name, recursive=True) if Path(each).is_file())  # noqa: PTH207 (as given)
    if not found:
        raise JumokError(f"nothing is at {name}: wanted {WANTED}")
    return found


def _kind_of(file: str) -> str:
    kinds = {"parquet": PARQUET, "tar": TARS, "list": LISTS}
    return next((kind for kind, endings in kinds.items() if suffix_of(file) in endings), "image")


def _read_list(file: str) -> Iterator[str]:
    """The paths in a text file, one per line; empty lines count for nothing."""
    with open_bytes(file) as lines:
        for number, line in enumerate(stream_lines(lines, file), 1):
            if "\0" in line:
                raise JumokError(f"{file}, line {number}: a zero byte is in no path; correct the list")
            if line.strip():
                yield line


def _check_no_column(name: str, column: str | None) -> None:
    if column is not None:
        raise JumokError(f"no use for --column {column}: {name} holds no Parquet files")
