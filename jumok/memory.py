"""The memory of this process: what a training step gives back is kept for the next one, and the most that is held."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

__all__ = ["PeakMemory", "keep_freed"]

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


class PeakMemory:
    """How much memory this process comes to hold from now on, beyond what it holds now. Known on Linux alone."""

    def __init__(self) -> None:
        library = _glibc()
        if library is not None:
            library.malloc_trim(0)  # what is kept of earlier work would hide what the next needs
        self._before = _reset_peak()

    def mebibytes(self) -> float | None:
        """MiB held at most since then; None where it cannot be told."""
        peak = _status("VmHWM")
        return None if self._before is None or peak is None else max(peak - self._before, 0) / 1024


def _reset_peak() -> int | None:
    """Let the kernel count the peak anew; gives the KiB held now, None where this cannot be done."""
    try:
        Path("/proc/self/clear_refs").write_text("5", "ascii")
    except OSError:
        return None
    return _status("VmRSS")


def _status(name: str) -> int | None:
    """A figure of this process in KiB."""
    try:
        lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)
