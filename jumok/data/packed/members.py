"""Images inside packed files, by paths of their own such as shard.tar/000123.jpg and a.parquet/000000123."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

from jumok.data.packed.parquet_images import read_parquet_image
from jumok.data.packed.stamps import stamp_of
from jumok.data.packed.tar_members import read_tar_member

__all__ = ["NO_SUCH_FILE", "PACKED_SUFFIXES", "find_member", "open_binary", "open_member"]

PACKED_SUFFIXES = (".parquet", ".tar")
NO_SUCH_FILE = (FileNotFoundError, NotADirectoryError)
"""What a path raises that leads into a file: the latter on Unix, the former on Windows."""


def open_binary(path: str | os.PathLike[str]) -> io.BufferedReader | io.BytesIO:
    """A file to read, which may lie inside a packed one.

    Raises:
        OSError: it cannot be opened.
        JumokError: the packed file is damaged.
    """
    try:
        return Path(path).open("rb")
    except NO_SUCH_FILE:
        return open_member(path)


def open_member(path: str | os.PathLike[str]) -> io.BytesIO:
    """The bytes of an image inside a packed file.

    Raises:
        FileNotFoundError: the path leads into no such file, or there is nothing of that name.
        JumokError: the packed file is damaged.
    """
    found = find_member(Path(path))
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    file, name = found
    if file.suffix.lower() == ".tar":
        return io.BytesIO(read_tar_member(stamp_of(file), name))
    return io.BytesIO(read_parquet_image(stamp_of(file), name))


def find_member(path: Path) -> tuple[Path, str] | None:
    """The packed file that a path leads into, and the name inside it; None of another path.

    >>> find_member(Path("photos/a.png")) is None
    True
    """
    for above in path.parents:
        if above.suffix.lower() in PACKED_SUFFIXES and above.is_file():
            return above, path.relative_to(above).as_posix()
    return None
