"""One training at a time in a folder: a mark that is locked while it lasts, and tells a start that was cut off."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jumok.errors import JumokError
from jumok.files import advise_on_writing, make_folder
from jumok.tasks.running.mark import MARK, lock
from jumok.tasks.running.run import CONFIG

__all__ = ["claim", "claim_new", "hold"]

BEGUN = "begun by process {pid} on {host}\n"


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Have a run to oneself until the block ends: two trainings of one run would write over each other.

    Raises:
        JumokError: another process is training it.
    """
    with hold(folder):
        _write_mark(folder)
        yield


@contextmanager
def claim_new(folder: Path) -> Iterator[None]:
    """Have a folder for a new run to oneself until the block ends.

    A folder whose start was cut off before its configuration, the last of its first files, is taken over.

    Args:
        folder: that is empty or not there yet; it is made.
    Raises:
        JumokError: something else lies there, or another process is training there.
    """
    if folder.exists() and not folder.is_dir():
        raise JumokError(f"{folder} is a file: choose another --out")
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    make_folder(folder)
    with hold(folder) as begun:
        if (folder / CONFIG).exists():
            raise JumokError(f"{folder} is not empty: choose another --out, or resume it with --resume {folder}")
        if not begun and any(path.name != MARK for path in folder.iterdir()):
            raise JumokError(f"{folder} is not empty, and holds no run: choose another --out")
        _write_mark(folder)
        try:
            yield
        finally:
            if made and not any(path.name != MARK for path in folder.iterdir()):
                (folder / MARK).unlink(missing_ok=True)
                _remove_empty(made)


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders that were made for nothing, the innermost first; one that is in use by now stays."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


@contextmanager
def hold(folder: Path) -> Iterator[bool]:
    """Lock the folder's mark, made where it is missing; gives whether an earlier start had begun to write here.

    Raises:
        JumokError: another process has locked it, or it cannot be made.
    """
    mark = folder / MARK
    handle = _open_locked(mark)
    try:
        yield os.fstat(handle).st_size > 0
    finally:
        try:
            if not _is_unfinished(folder):
                mark.unlink(missing_ok=True)
        finally:
            os.close(handle)


def _is_unfinished(folder: Path) -> bool:
    """Whether the start got as far as its first files, and no further."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return bool(names - {MARK}) and CONFIG not in names and (folder / MARK).stat().st_size > 0


def _open_locked(mark: Path) -> int:
    """The mark, open and locked; another process may have removed the one that was opened, then it is made anew.

    Raises:
        JumokError: it is locked, or cannot be made.
    """
    while True:
        try:
            handle = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise JumokError(
                f"cannot write in {mark.parent}: {error.strerror or error}; choose another folder"
            ) from error
        if not lock(handle):
            owner = os.read(handle, 200).decode("utf-8", "replace").strip()
            os.close(handle)
            who = f" ({owner})" if owner else ""
            raise JumokError(
                f"{mark.parent} is being trained by another process{who}: wait for its end, or choose another --out"
            )
        if _is_there(mark, handle):
            return handle
        os.close(handle)


def _is_there(mark: Path, handle: int) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(mark.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _write_mark(folder: Path) -> None:
    """Note the owner, on disk before anything else is.

    Raises:
        JumokError: it cannot be written.
    """
    try:
        with (folder / MARK).open("r+", encoding="utf-8") as file:
            file.write(BEGUN.format(pid=os.getpid(), host=socket.gethostname()))
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise JumokError(f"cannot write in {folder}: {error.strerror or error}; {advise_on_writing(error)}") from error
