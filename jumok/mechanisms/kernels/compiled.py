"""Loops compiled by numba on first use, and their tasks shared among threads.

The threads are Python's own, which the loops leave to run freely: numba's would be OpenMP's, whose number is torch's.
Importing this module imports numba, so what uses it is imported when it is first needed.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

__all__ = ["NUMBA_OPTIONS", "compile_when_called", "fill_each", "share_tasks"]

NANOSECONDS_PER_THREAD = 1 << 18
"""Nanoseconds of work that a thread must get: less is not worth waking it."""
# Sums may be taken in any order, which lets them be vectorised; but NaN and infinity keep their meaning.
NUMBA_OPTIONS = {"fastmath": {"reassoc", "contract", "arcp", "nsz"}, "error_model": "numpy", "nogil": True}

Array = np.ndarray[Any, np.dtype[Any]]
Loop = Callable[..., None]
_inside = threading.local()


def compile_when_called(loop: Loop) -> Loop:
    """Compile a loop when it is first called; kept on disk where it can be.

    Args:
        loop: takes the first of its tasks and the one after its last, then its arrays, and fills these.
    """

    @functools.cache
    def kept() -> Loop:
        try:
            found: Loop = numba.njit(cache=True, **NUMBA_OPTIONS)(loop)
        except RuntimeError:  # there is no folder to keep it in
            found = alone()
        return found

    @functools.cache
    def alone() -> Loop:
        found: Loop = numba.njit(**NUMBA_OPTIONS)(loop)
        return found

    @functools.wraps(loop)
    def call(*arguments: Any) -> None:
        try:
            kept()(*arguments)
        except Exception:  # what is kept cannot be read or written; if that was not it, the next line fails too
            alone()(*arguments)

    return call


def share_tasks(loop: Loop, tasks: int, work: float, *arguments: Any) -> None:
    """Run a loop over all of its tasks, in parts of neighbours on up to torch's number of threads.

    Args:
        loop: called as loop(first, last, *arguments); no two tasks may write to the same place.
        tasks: how many there are.
        work: of all of them, in nanoseconds, about.
        arguments: of the loop.
    """
    threads = min(torch.get_num_threads(), tasks, int(work // NANOSECONDS_PER_THREAD))
    if threads <= 1 or getattr(_inside, "part", False):
        loop(0, tasks, *arguments)
        return
    edges = [tasks * part // threads for part in range(threads + 1)]
    waiting = [
        _make_pool(os.getpid(), threads - 1).submit(_run_part, loop, first, last, *arguments)
        for first, last in itertools.pairwise(edges[1:])
    ]
    _run_part(loop, 0, edges[1], *arguments)
    for part in waiting:
        part.result()


def _run_part(loop: Loop, first: int, last: int, *arguments: Any) -> None:
    """Run one part; what it shares in turn stays in its own thread."""
    _inside.part = True
    try:
        loop(first, last, *arguments)
    finally:
        _inside.part = False


@functools.lru_cache(maxsize=4)
def _make_pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads that wait for work; a forked process does not have its parent's and makes its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"jumok-loops-{process}")


def fill_each(images: Tensor, fill: Callable[[Array, Array], None]) -> Tensor:
    """Make one map for each image by itself; of several images, threads take some each.

    Args:
        images: (batch, channels, height, width), contiguous, on the CPU.
        fill: given (1, channels, height, width), fills (1, height, width) float32.
    Returns:
        (batch, height, width) float32.
    """
    batch, _, height, width = images.shape
    pixels, maps = images.numpy(), np.empty((batch, height, width), np.float32)

    def some(first: int, last: int) -> None:
        for number in range(first, last):
            fill(pixels[number : number + 1], maps[number : number + 1])

    if batch == 1:
        fill(pixels, maps)
    else:
        share_tasks(some, batch, batch * NANOSECONDS_PER_THREAD)
    return torch.from_numpy(maps)
