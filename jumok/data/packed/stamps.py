"""A file as it is now: what is kept of it holds for as long as its stamp does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Stamp", "stamp_of"]


@dataclass(frozen=True)
class Stamp:
    """What changes when a file does."""

    path: str
    size: int
    changed: int


def stamp_of(path: Path) -> Stamp:
    """The file's stamp.

    Raises:
        OSError: it is not there.
    """
    found = path.stat()
    return Stamp(str(path), found.st_size, found.st_mtime_ns)
