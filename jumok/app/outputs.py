"""Where commands write, and how they name what was written."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jumok.errors import JumokError
from jumok.files import RESULTS_MARK, write_atomically
from jumok.language import later_count

__all__ = ["Earlier", "check_named", "check_outside_runs", "check_writable", "marking_results"]

RUN_FILES = ("config.yaml", "weights.safetensors")
FILE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".gif", ".svg", ".pdf", ".html", ".csv", ".tsv", ".json", ".jsonl", ".txt", ".parquet"),
    *(".onnx", ".pt", ".pth", ".pt2", ".ckpt", ".safetensors"),
)
"""How files are named that somebody may want, where this program writes a folder of files."""


def check_outside_runs(out: Path) -> None:
    """Refuse to write pictures and pages among the files of a run.

    Raises:
        JumokError: the folder is a run's own.
    """
    if any((out / name).exists() for name in RUN_FILES):
        raise JumokError(f"--out {out} is the folder of a run: give another, such as --out {out / 'ask'}")


def check_named(folder: Path) -> None:
    """Refuse a new folder that is named as a file: whoever names it so waits for one.

    Raises:
        JumokError: it is.
    """
    if folder.suffix.lower() in FILE_SUFFIXES and not folder.is_dir():
        raise JumokError(
            f"{folder} is named as a file, and a folder of files is written: leave out the ending {folder.suffix}"
        )


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be made or written to before any work is done for it; nothing is made yet.

    Raises:
        JumokError: what is there already is no folder, or one that may not be written to.
    """
    try:
        there = next(place for place in (folder, *folder.parents) if place.exists())
    except (OSError, ValueError):  # a name that no file can have: whoever makes it says so
        return
    if not there.is_dir():
        reason = errno.EEXIST if there == folder else errno.ENOTDIR
    elif not os.access(there, os.W_OK | os.X_OK):
        reason = errno.EACCES
    else:
        return
    raise JumokError(f"cannot make the folder {folder}: {os.strerror(reason)}; choose another place")


@dataclass(frozen=True)
class Earlier:
    """The files that a folder held before a command wrote to it.

    Args:
        files: each with what tells whether it is still the same: its inode, and when it was written.
    """

    files: Mapping[Path, tuple[int, int]]

    @classmethod
    def of(cls, out: Path | None) -> Earlier:
        """Those of a folder, and of the folders in it; none of what is no folder."""
        found = () if out is None or not out.is_dir() else out.rglob("*")
        return cls({path: known for path in found if (known := _identify(path)) is not None})

    def tell_replaced(self, out: Path | None) -> str:
        """A line on those that were replaced meanwhile; empty where none was."""
        count = sum(_identify(path) not in (None, known) for path, known in self.files.items())
        if not count:
            return ""
        return later_count(
            count,
            "{count} earlier file in {folder} was replaced",
            "{count} earlier files in {folder} were replaced",
            folder=str(out),
        )


def _identify(path: Path) -> tuple[int, int] | None:
    """What tells whether a file is still the same; None of what is no file, or may not be looked at."""
    try:
        about = path.stat()
    except OSError:
        return None
    return (about.st_ino, about.st_mtime_ns) if stat.S_ISREG(about.st_mode) else None


@contextmanager
def marking_results(out: Path | None) -> Iterator[None]:
    """Mark a folder that the block writes its results to; one that held other things before is nobody's alone.

    Args:
        out: the folder; None: nothing is marked.
    """
    fresh = out is not None and not (out.is_dir() and any(out.iterdir()))
    try:
        yield
    finally:
        if out is not None and fresh and out.is_dir() and any(out.iterdir()):
            write_atomically(out / RESULTS_MARK, "What jumok has written: left out where it looks for images.\n")
