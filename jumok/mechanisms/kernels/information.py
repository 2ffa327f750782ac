"""Compiled loops behind mutual information: neighbours along sorted columns, and counts of joint levels.

Importing this module imports numba and compiles the loops, once; they are kept on disk where a folder for them can be
written. Each works on one column and lets go of the interpreter's lock, so that plain threads can share the columns:
numba's own threads, which would change torch's, are not started.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

__all__ = ["count_joint", "kraskov", "ross"]

NUMBA_OPTIONS = {"nogil": True, "error_model": "numpy"}
SMALLEST_POSITIVE = 5e-324
"""The least number above 0."""
F, I = "float64[::1]", "int64[::1]"  # noqa: E741


def _compile(signature: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile now, and keep it on disk if that can be."""

    def decorate(loop: Callable[..., Any]) -> Callable[..., Any]:
        try:
            compiled: Callable[..., Any] = numba.njit(signature, cache=True, **NUMBA_OPTIONS)(loop)
        except Exception:  # the cache cannot be written or read; if that was not it, the next line fails too
            compiled = numba.njit(signature, **NUMBA_OPTIONS)(loop)
        return compiled

    return decorate


# -- along sorted values ------------------------------------------------------------------------


@numba.njit(inline="always", **NUMBA_OPTIONS)
def _find_last_near(values, place, x, radius):  # type: ignore[no-untyped-def]
    """How far right of `place`, where x stands, values are near: in steps that double, then by halves."""
    near, step = place, 1
    while near + step < values.size and values[near + step] - x < radius:
        near, step = near + step, 2 * step
    step = min(step, values.size - near)
    while step > 1:
        half = step // 2
        near += half if values[near + half] - x < radius else 0
        step -= half
    return near


@numba.njit(inline="always", **NUMBA_OPTIONS)
def _find_first_near(values, place, x, radius):  # type: ignore[no-untyped-def]
    """The same to the left."""
    near, step = place, 1
    while near - step >= 0 and x - values[near - step] < radius:
        near, step = near - step, 2 * step
    step = min(step, near + 1)
    while step > 1:
        half = step // 2
        near -= half if x - values[near - half] < radius else 0
        step -= half
    return near


@numba.njit(inline="always", **NUMBA_OPTIONS)
def _count_near(values, place, x, radius):  # type: ignore[no-untyped-def]
    """How many of the sorted values are near x, which stands at `place`; within a radius of 0 is what is equal."""
    radius = max(radius, SMALLEST_POSITIVE)
    return _find_last_near(values, place, x, radius) - _find_first_near(values, place, x, radius) + 1


@numba.njit(inline="always", **NUMBA_OPTIONS)
def _find_place(values, first, last, x):  # type: ignore[no-untyped-def]
    """The first place in first..last whose value is at least x; `last` if there is none."""
    while first < last:
        middle = (first + last) // 2
        if values[middle] < x:
            first = middle + 1
        else:
            last = middle
    return first


# -- one side in groups: Ross -------------------------------------------------------------------


@_compile(f"float64({F}, {I}, {F}, int64, {F})")
def ross(grouped, starts, values, neighbours, psi):  # type: ignore[no-untyped-def]
    """I(c; d) = psi(N) + <psi(k)> - <psi(N_d)> - <psi(m)>, for c continuous and d in groups, in nats.

    grouped: c by group, sorted within each, no group of one; starts: where each group starts, and the end;
    values: c sorted; psi: of 0 (unused), 1, 2, ... N.
    """
    total = 0.0
    for group in range(starts.size - 1):
        first, last = starts[group], starts[group + 1]
        k = min(neighbours, last - first - 1)
        total += (last - first) * (psi[k] - psi[last - first])
        left, place = first, 0
        for i in range(first, last):
            x = grouped[i]
            left = max(left, i - k)  # the k + 1 values from `left` on hold x and its k nearest
            while left < i and left + k + 1 < last and grouped[left + k + 1] - x < x - grouped[left]:
                left += 1
            radius = max(x - grouped[left], grouped[left + k] - x)
            step = 1  # x's own place among all, which only grows
            while place + step < values.size and values[place + step] < x:
                place, step = place + step, 2 * step
            place = _find_place(values, place, min(place + step, values.size), x)
            total -= psi[_count_near(values, place, x, radius)]
    return psi[values.size] + total / values.size


# -- both sides continuous: Kraskov, Stoegbauer & Grassberger -----------------------------------


@numba.njit(inline="always", **NUMBA_OPTIONS)
def _insert(best, distance):  # type: ignore[no-untyped-def]
    """Put a distance below the largest into the k least, which are sorted."""
    at = best.size - 1
    while at > 0 and best[at - 1] > distance:
        best[at] = best[at - 1]
        at -= 1
    best[at] = distance


@numba.njit(inline="always", **NUMBA_OPTIONS)
def _scan(xs, ys, first, place, last, x, y, best):  # type: ignore[no-untyped-def]
    """Go from `place` both ways through a strip sorted by x, as far as x alone allows."""
    right, left, reach = place, place - 1, best[-1]
    while right < last and xs[right] - x < reach:
        distance = max(xs[right] - x, abs(ys[right] - y))
        if distance < reach:
            _insert(best, distance)
            reach = best[-1]
        right += 1
    while left >= first and x - xs[left] < reach:
        distance = max(x - xs[left], abs(ys[left] - y))
        if distance < reach:
            _insert(best, distance)
            reach = best[-1]
        left -= 1


@numba.njit(inline="always", **NUMBA_OPTIONS)
def _search(xs, ys, target, starts, strip, at, best):  # type: ignore[no-untyped-def]
    """The distances to the k nearest of one point, max(|dx|, |dy|): in its own strip, then in those beside it."""
    best[:] = np.inf
    x, y = xs[at], ys[at]
    _scan(xs, ys, at + 1, at + 1, starts[strip + 1], x, y, best)
    _scan(xs, ys, starts[strip], at, at, x, y, best)
    strips = starts.size - 1
    above, below = strip + 1, strip - 1
    while above < strips or below >= 0:
        other = -1
        if above < strips and target[starts[above]] - y < best[-1]:
            other = above
            above += 1
        elif below >= 0 and y - target[starts[below + 1] - 1] < best[-1]:
            other = below
            below -= 1
        if other < 0:
            break
        first, last = starts[other], starts[other + 1]
        _scan(xs, ys, first, _find_place(xs, first, last, x), last, x, y, best)


@_compile(f"float64({F}, {I}, {F}, {I}, {I}, int64, {F})")
def kraskov(values, order, target, strip_of, starts, neighbours, psi):  # type: ignore[no-untyped-def]
    """I(x; y) = psi(N) + psi(k) - <psi(n_x + 1) + psi(n_y + 1)>, algorithm 1, in nats.

    values: x sorted; order: for each, its row; target: y by row, sorted; starts: the first row of each strip of
    neighbouring y, and the end; strip_of: the strip of each row; psi: of 0 (unused), 1, 2, ... N.
    """
    xs, ys = np.empty(values.size), np.empty(values.size)
    rows, ranks = np.empty(values.size, np.int64), np.empty(values.size, np.int64)
    filled = starts.copy()
    for rank in range(values.size):  # each strip by x
        row = order[rank]
        at = filled[strip_of[row]]
        filled[strip_of[row]] += 1
        xs[at], ys[at], rows[at], ranks[at] = values[rank], target[row], row, rank
    best = np.empty(neighbours)
    total = 0.0
    for strip in range(starts.size - 1):
        for at in range(starts[strip], starts[strip + 1]):
            _search(xs, ys, target, starts, strip, at, best)
            total += psi[_count_near(values, ranks[at], xs[at], best[-1])]
            total += psi[_count_near(target, rows[at], ys[at], best[-1])]
    return psi[values.size] + psi[neighbours] - total / values.size


# -- counts -------------------------------------------------------------------------------------


@_compile("void(uint8[::1], int64[::1], int64, int64[::1])")
def count_joint(codes, cells, width, counts):  # type: ignore[no-untyped-def]
    """Add up how often each level meets each cell of what is fixed: counts[code * width + cell]."""
    for row in range(codes.size):
        counts[codes[row] * width + cells[row]] += 1
