"""Additive scores and their gradients as compiled loops, for float32 on a CPU; `jumok.mechanisms.additive` calls them.

Importing this module imports numba, so it is imported when the loops are first needed. They are compiled then, once,
and kept on disk where a folder for them can be written.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from numba import prange

__all__ = ["backward", "forward", "load", "tanh"]

Array = np.ndarray[Any, np.dtype[Any]]

# tanh(x) = x p(x^2) / q(x^2) for |x| <= LIMIT, where tanh is 3e-7 short of 1, and constant from there on.
# Fitted by least squares, reweighted until the largest error was least, and rounded. Over all float32 the error is at
# most 4e-7; the result is odd to the bit and stays below 1, so that 1 - tanh^2 is never negative.
TANH_LIMIT = np.float32(7.9)
P0, P1, P2, P3, P4 = (np.float32(c) for c in (1.0, 0.13444452, 0.00357169588, 2.19034137e-05, 1.5259678e-08))
Q0, Q1, Q2, Q3, Q4 = (np.float32(c) for c in (1.0, 0.467777729, 0.0261644125, 0.00034117428, 8.53054644e-07))
ONE = np.float32(1)
FLOAT32_LANES = 16  # float32 in the widest registers, and in a cache line
TANH_PER_THREAD = 1 << 17
"""How many tanh a thread must have to do: fewer take less time than it takes to wake it."""
TANH_PER_QUEUED_THREAD = 1 << 21
"""The same for numba's work queue, which wakes threads slowly; numba falls back on it where it finds no OpenMP."""

# Sums may be taken in any order, which lets them be vectorised; but NaN and infinity keep their meaning. Division as
# numpy does it, because Python's would test each divisor for 0.
NUMBA_OPTIONS = {"fastmath": {"reassoc", "contract", "arcp", "nsz"}, "error_model": "numpy", "nogil": True}


# -- the loops ----------------------------------------------------------------------------------


@numba.njit(inline="always", **NUMBA_OPTIONS)
def tanh(x):  # type: ignore[no-untyped-def]
    """The hyperbolic tangent, to 4e-7; NaN stays NaN, for no comparison with it is true."""
    x = TANH_LIMIT if x > TANH_LIMIT else x
    x = -TANH_LIMIT if x < -TANH_LIMIT else x
    u = x * x
    return x * (P0 + u * (P1 + u * (P2 + u * (P3 + u * P4)))) / (Q0 + u * (Q1 + u * (Q2 + u * (Q3 + u * Q4))))


@numba.njit(**NUMBA_OPTIONS)
def _fill_row(row, query, key, w, mask, scores):  # type: ignore[no-untyped-def]
    """The scores of one query: -inf where the mask forbids."""
    b, i = row // query.shape[1], row % query.shape[1]
    q, allowed = query[b, i], mask[b % mask.shape[0], i % mask.shape[1]]
    for j in range(key.shape[1]):
        score = np.float32(-np.inf)
        if allowed[j]:
            k = key[b, j]
            score = np.float32(0)
            for d in range(w.size):
                score += w[d] * tanh(q[d] + k[d])
        scores[b, i, j] = score


@numba.njit(**NUMBA_OPTIONS)
def _add_part(task, parts, gradient, query, key, w, mask, g_query, g_key, g_w):  # type: ignore[no-untyped-def]
    """The gradients of one example, in one part of its size.

    No two tasks write to the same place, and each place is summed in the same order however many tasks there are.
    """
    width = (w.size + parts * FLOAT32_LANES - 1) // (parts * FLOAT32_LANES) * FLOAT32_LANES
    b, first = task // parts, task % parts * width
    last = min(first + width, w.size)
    v, vw = w[first:last], g_w[b, first:last]
    vw[:] = 0
    g_query[b, :, first:last] = 0
    for j in range(key.shape[1]):
        k, vk = key[b, j, first:last], g_key[b, j, first:last]
        vk[:] = 0
        for i in range(query.shape[1]):
            if mask[b % mask.shape[0], i % mask.shape[1], j]:
                q, vq, g = query[b, i, first:last], g_query[b, i, first:last], gradient[b, i, j]
                for d in range(last - first):
                    t = tanh(q[d] + k[d])
                    slope = g * v[d] * (ONE - t * t)
                    vw[d] += g * t
                    vk[d] += slope
                    vq[d] += slope


# For one thread and for several, with what they share compiled by itself, so that both sum in the same order. Two
# functions each, for numba's cache tells functions apart by their names alone.


def _forward(query, key, w, mask, scores):  # type: ignore[no-untyped-def]
    for row in range(query.shape[0] * query.shape[1]):
        _fill_row(row, query, key, w, mask, scores)


def _forward_threads(query, key, w, mask, scores):  # type: ignore[no-untyped-def]
    for row in prange(query.shape[0] * query.shape[1]):
        _fill_row(row, query, key, w, mask, scores)


def _backward(gradient, query, key, w, mask, parts, g_query, g_key, g_w):  # type: ignore[no-untyped-def]
    for task in range(query.shape[0] * parts):
        _add_part(task, parts, gradient, query, key, w, mask, g_query, g_key, g_w)


def _backward_threads(gradient, query, key, w, mask, parts, g_query, g_key, g_w):  # type: ignore[no-untyped-def]
    for task in prange(query.shape[0] * parts):
        _add_part(task, parts, gradient, query, key, w, mask, g_query, g_key, g_w)


# -- compiling them -----------------------------------------------------------------------------

CUBE, SQUARE, LINE = "float32[:, :, ::1]", "float32[:, ::1]", "float32[::1]"
MASK = "boolean[:, :, ::1]"
FORWARD = f"void({CUBE}, {CUBE}, {LINE}, {MASK}, {CUBE})"
BACKWARD = f"void({CUBE}, {CUBE}, {CUBE}, {LINE}, {MASK}, intp, {CUBE}, {CUBE}, {SQUARE})"

Loop = Callable[..., None]


class Loops(NamedTuple):
    """Each loop for one thread and for several, and what running several asks for."""

    forward: tuple[Loop, Loop]
    backward: tuple[Loop, Loop]
    share: float
    turn: contextlib.AbstractContextManager[Any]
    process: int


_loading = threading.Lock()


def load() -> Loops:
    """Compile the loops, or take them from the cache; quick from the second call on.

    Raises:
        Exception: numba cannot compile here.
    """
    with _loading:
        threads = torch.get_num_threads()
        loops = _load()
        if torch.get_num_threads() != threads:  # numba starts its own by OpenMP, and tells it how many for all
            torch.set_num_threads(threads)
        return loops


@functools.cache
def _load() -> Loops:
    if numba.config.DISABLE_JIT:
        raise RuntimeError("NUMBA_DISABLE_JIT is set")
    forward, backward = _compile(_forward, FORWARD), _compile(_backward, BACKWARD)
    alone: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    try:
        forwards = _pair(forward, _forward, _forward_threads, FORWARD)
        backwards = _pair(backward, _backward, _backward_threads, BACKWARD)
        layer = numba.threading_layer()
    except ValueError:  # numba finds nothing here to run threads with
        return Loops((forward, forward), (backward, backward), math.inf, alone, os.getpid())
    if layer == "workqueue":  # takes work from one thread at a time
        return Loops(forwards, backwards, TANH_PER_QUEUED_THREAD, threading.Lock(), os.getpid())
    return Loops(forwards, backwards, TANH_PER_THREAD, alone, os.getpid())


def _pair(one: Loop, loop: Loop, several: Loop, signature: str) -> tuple[Loop, Loop]:
    """A loop for one thread and its fellow for several, both kept ones or both just compiled.

    A kept one may sum in another order than one that was just compiled; where two processes compile at once, one of
    them finds half of the loops kept.
    """
    found: tuple[Any, Any] = one, _compile(several, signature, parallel=True)
    if len({bool(each.stats.cache_hits) for each in found}) == 1:
        return found
    return numba.njit(signature, **NUMBA_OPTIONS)(loop), numba.njit(signature, parallel=True, **NUMBA_OPTIONS)(several)


def _compile(loop: Loop, signature: str, *, parallel: bool = False) -> Loop:
    try:
        compiled: Loop = numba.njit(signature, parallel=parallel, cache=True, **NUMBA_OPTIONS)(loop)
    except Exception:  # the cache cannot be written or read; if that was not it, the next line fails too
        compiled = numba.njit(signature, parallel=parallel, **NUMBA_OPTIONS)(loop)
    return compiled


# -- running them -------------------------------------------------------------------------------


def forward(query: Array, key: Array, w: Array, mask: Array, scores: Array, threads: int) -> None:
    """Fill `scores`, (batch, queries, keys), with up to so many threads.

    Args:
        query, key: (batch, queries or keys, size), float32, contiguous, as all.
        w: (size,).
        mask: bool, (batch or 1, queries or 1, keys).
    """
    loops = load()
    threads = _count_useful_threads(loops, threads, scores.size * w.size)
    _run(loops, loops.forward, threads, (query, key, w, mask, scores))


def backward(
    gradient: Array, query: Array, key: Array, w: Array, mask: Array, sums: tuple[Array, Array, Array], threads: int
) -> None:
    """Fill `sums` with the gradients of query, key and w, that of w by example: (batch, size).

    Args:
        gradient: (batch, queries, keys), of the scores.
        query, key, w, mask, threads: as in `forward`.
    """
    loops = load()
    threads = _count_useful_threads(loops, threads, gradient.size * w.size)
    parts = max(1, min(-(-threads // max(1, len(query))), w.size // FLOAT32_LANES))  # enough tasks for all threads
    _run(loops, loops.backward, threads, (gradient, query, key, w, mask, parts, *sums))


def _count_useful_threads(loops: Loops, threads: int, work: int) -> int:
    """How many threads to use: no more than numba has or the work feeds, and one in a forked process."""
    if threads <= 1 or work < 2 * loops.share or os.getpid() != loops.process:
        return 1
    return min(threads, int(work // loops.share), int(numba.config.NUMBA_NUM_THREADS))


def _run(loops: Loops, loop: tuple[Loop, Loop], threads: int, arguments: tuple[Any, ...]) -> None:
    if threads == 1:
        loop[0](*arguments)
        return
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        with loops.turn:
            loop[1](*arguments)
    finally:
        numba.set_num_threads(before)
