"""The machine: its threads, its devices, the memory of this process, and the processes that train together."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jumok.errors import JumokError

__all__ = [
    "DEVICES",
    "PeakMemory",
    "Room",
    "World",
    "accelerator_of",
    "cores",
    "device_name",
    "keep_freed",
    "kernels_are_plain",
    "set_threads",
    "wait_briefly",
]

DEVICES = r"auto|cpu|mps|cuda(:\d{1,3})?"
"""What a device may be called."""

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4  # the numbers of mallopt's parameters in glibc's malloc.h
PAD = 64 * 2**20
SPINS = 10_000
"""Turns that a thread of GNU's OpenMP waits for the next piece of work before it sleeps; by default 300,000."""


def kernels_are_plain() -> bool:
    """Whether JUMOK_KERNELS=plain asks for PyTorch's own forms and the C library's own settings everywhere."""
    return os.environ.get("JUMOK_KERNELS") == "plain"


def keep_freed() -> bool:
    """Have the C library keep what is freed, from now to the end of the process.

    A training step allocates and frees the same large arrays each time. By default glibc hands many of them back to
    the kernel, which must then clear and map each page again at the next step. The price of keeping them is that the
    process stays as large as it has ever been, so this is for a command that trains, not for a library's import.

    Returns:
        Whether it took effect; False where the C library is not glibc, or with JUMOK_KERNELS=plain.
    """
    library = None if kernels_are_plain() else _glibc()
    if library is None:
        return False
    settings = ((MMAP_MAX, 0), (TRIM_THRESHOLD, -1), (TOP_PAD, PAD))
    return all(library.mallopt(parameter, value) == 1 for parameter, value in settings)


def wait_briefly() -> bool:
    """Have PyTorch's threads sleep soon where they wait for each other; before torch is imported, else in vain.

    A thread that waits spins, and on a machine whose cores are busy it takes the core that the thread it waits for
    needs: a plain step of vit-nano in two threads on two busy cores took 1.7 s or more, and takes 0.15 to 0.3 s so. On
    a quiet machine it takes 0.04 s either way; threads that never spin (OMP_WAIT_POLICY=passive) take 1.4 times that.
    `jumok train` gained little (73 steps in 70 s, before 67).

    Returns:
        Whether it was asked for; False where the user chose, or with JUMOK_KERNELS=plain.
    """
    chosen = any(name in os.environ for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"))
    if chosen or kernels_are_plain():
        return False
    os.environ["GOMP_SPINCOUNT"] = str(SPINS)
    return True


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


# -- threads and devices ------------------------------------------------------------------------


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(threads: int | None) -> int:
    """Set how many CPU threads torch computes with: as told, else by OMP_NUM_THREADS, else all that may be used."""
    import torch

    if threads is None and "OMP_NUM_THREADS" not in os.environ:
        threads = cores()
    if threads:
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def device_name(device: str) -> str:
    """What torch calls a device of the settings.

    Raises:
        JumokError: this machine has no such device, or there is none of that name.
    """
    if not re.fullmatch(DEVICES, device):
        raise JumokError(f"no device {device!r}: use auto, cpu, cuda, cuda:N or mps")
    kind, _ = accelerator_of(device, World())
    return kind if device == "auto" else device


def accelerator_of(device: str, world: World) -> tuple[str, int | list[int]]:
    """What the trainer calls a device.

    Raises:
        JumokError: this machine has no such device.
    """
    import torch

    kind, _, number = device.partition(":")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[kind] or (number and int(number) >= torch.cuda.device_count()):
        have = ", ".join(name for name, ok in there.items() if ok)
        raise JumokError(f"no device {device!r} on this machine; there is: {have} ({torch.cuda.device_count()} GPUs)")
    return kind, [int(number)] if number else world.here


# -- processes ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """The processes that train together, as torchrun tells them; one where it did not start us."""

    rank: int = 0
    size: int = 1
    here: int = 1
    """Processes on this machine."""

    @staticmethod
    def found() -> World:
        """Read the environment."""
        value = os.environ.get
        size = int(value("WORLD_SIZE", "1"))
        return World(int(value("RANK", "0")), size, int(value("LOCAL_WORLD_SIZE", str(size))))

    @property
    def first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0


class Room:
    """A measure of something that threads share; who wants some of it waits until there is as much.

    Args:
        most: of all that is taken together; who wants more waits for all of it.
    """

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0
        self._changed = threading.Condition()

    @contextmanager
    def take(self, wanted: int) -> Iterator[None]:
        """Take some for as long as the block lasts."""
        share = min(wanted, self._most)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + share <= self._most)
            self._taken += share
        try:
            yield
        finally:
            with self._changed:
                self._taken -= share
                self._changed.notify_all()
