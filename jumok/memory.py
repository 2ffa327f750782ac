"""Memory that a training step gives back is kept for the next one."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed"]

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4  # the numbers of mallopt's parameters in glibc's malloc.h
PAD = 64 * 2**20


def keep_freed() -> bool:
    """Have the C library keep what is freed, from now to the end of the process.

    A training step allocates and frees the same large arrays each time. By default glibc hands many of them back to
    the kernel, which must then clear and map each page again at the next step. The price of keeping them is that the
    process stays as large as it has ever been, so this is for a command that trains, not for a library's import.

    Returns:
        Whether it took effect; False where the C library is not glibc.
    """
    library = _glibc()
    if library is None:
        return False
    settings = ((MMAP_MAX, 0), (TRIM_THRESHOLD, -1), (TOP_PAD, PAD))
    return all(library.mallopt(parameter, value) == 1 for parameter, value in settings)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
