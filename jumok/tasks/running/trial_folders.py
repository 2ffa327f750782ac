"""Folders for trials before a training; what a process that died has left of them is removed at the next trial."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jumok.errors import Interrupted, Stopped
from jumok.tasks.running.mark import lock

__all__ = ["trial_folder"]

PREFIX = "jumok-trial-"
IN_USE = ".in-use"
"""Locked while its folder is in use."""
LEAST_AGE = 3600.0
"""Seconds since the last change of a folder that is taken for left over: some systems have no locks."""


@contextmanager
def trial_folder() -> Iterator[Path]:
    """A folder that is gone when the block ends, or some time after the process has died.

    Raises:
        Stopped: a signal ended a training in the block in good order: nothing of it is kept.
    """
    _remove_left_over()
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with (folder / IN_USE).open("wb") as mark:
            lock(mark.fileno())
            try:
                yield folder
            except Interrupted as stop:
                raise Stopped(stop.signum) from None


def _remove_left_over() -> None:
    with suppress(OSError):  # of others, or in use: they stay
        for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            if _is_left_over(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_left_over(folder: Path) -> bool:
    """Whether it is one's own, old, and nobody's any more."""
    try:
        about = folder.lstat()
        if folder.is_symlink() or about.st_uid != os.getuid() or time.time() - about.st_mtime < LEAST_AGE:
            return False
        with (folder / IN_USE).open("rb") as mark:
            return lock(mark.fileno())
    except (OSError, AttributeError):  # gone by now, never marked, or a system without users
        return False
