"""The file in a run's folder that a training holds locked as long as it lasts; see `claim`."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["MARK", "is_held", "lock"]

MARK = ".training"
"""Lies in a run's folder from before its first file until its training has ended."""


def lock(handle: int) -> bool:
    """Lock an open file; False where another process has. A system without locks is taken at its word."""
    try:
        import fcntl
    except ModuleNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system that has no locks
        return True
    return True


def is_held(folder: Path) -> bool:
    """Whether a training goes on in a run's folder, in any process of this machine."""
    try:
        handle = os.open(folder / MARK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not lock(handle)
    finally:
        os.close(handle)
