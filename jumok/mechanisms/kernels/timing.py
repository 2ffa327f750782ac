"""Which form a kernel takes in training: both are timed, and the plain one wins a tie."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import torch

from jumok.mechanisms import non_local
from jumok.mechanisms.kernels.door import Call, Choice, noting, use
from jumok.mechanisms.kernels.store import keep_times, read_times
from jumok.mechanisms.layers import dropout, gate_ops, linear
from jumok.watching.watchers import unseen

__all__ = ["Timed", "choose", "chosen", "settle", "timed"]

TIE = 0.95
"""The fast form is taken where its time is less than this share of the plain form's."""
ROUNDS, LEAST, SECONDS = 7, 3, 0.5
"""Rounds of each form, fewer where these seconds are over, but so many at the least."""

Step = Callable[[], object]
Clock = Callable[[], float]
TRIALS: Mapping[str, Callable[[tuple[int, ...]], tuple[Step, Step]]] = {
    linear.KERNEL: linear.make_trial,
    non_local.KERNEL: non_local.make_trial,
    dropout.KERNEL: dropout.make_trial,
    **gate_ops.TRIALS,
}
"""By kernel: a forward and backward pass of the plain and of the fast form, from a call's shape."""


class Timed(NamedTuple):
    """Seconds that a forward and a backward pass take.

    Args:
        choice: the kernel, and what the choice depends on.
        plain, fast: of each form.
    """

    choice: Choice
    plain: float
    fast: float


def chosen(times: Iterable[Timed]) -> frozenset[Choice]:
    """What takes its fast form.

    >>> chosen([Timed(("linear", (8, 16)), 1.0, 0.5), Timed(("linear", (16, 8)), 1.0, 0.97)])
    frozenset({('linear', (8, 16))})
    """
    return frozenset(each.choice for each in times if each.fast < TIE * each.plain)


def choose(calls: Iterable[Call]) -> list[Timed]:
    """Time what was called so, each choice by its largest shape, once per machine and number of threads."""
    largest = {call.choice: call for call in sorted(calls)}
    names = {_name(call): call for call in largest.values()}
    known = read_times(list(names))
    new = {name: timed(call)[1:] for name, call in names.items() if name not in known}
    if new:
        keep_times(new)
    return [Timed(call.choice, *{**known, **new}[name]) for name, call in names.items()]


def _name(call: Call) -> str:
    """The kernel, the shape and how many threads: what its times are kept under."""
    return f"{call.kernel} {' '.join(map(str, call.shape))} / {torch.get_num_threads()}"


def settle(step: Callable[[], object]) -> None:
    """Do a step of training, and go by the faster forms of its kernels from then on, as `jumok train` does."""
    with noting() as calls:
        step()
    use(chosen(choose(calls)))


def timed(call: Call, clock: Clock = time.perf_counter) -> Timed:
    """Time both forms, in turns. The run's random numbers must not notice."""
    with unseen(), torch.enable_grad(), torch.random.fork_rng(devices=[]):
        forms = TRIALS[call.kernel](call.shape)
        times: tuple[list[float], list[float]] = ([], [])
        began = clock()
        for form in forms:  # the first call builds the kernel
            form()
        while len(times[0]) < LEAST or (len(times[0]) < ROUNDS and clock() - began < SECONDS):
            for form, spent in zip(forms, times, strict=True):
                before = clock()
                form()
                spent.append(clock() - before)
    return Timed(call.choice, statistics.median(times[0]), statistics.median(times[1]))
