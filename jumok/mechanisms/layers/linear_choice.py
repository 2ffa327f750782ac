"""Which of its two kernels a linear map takes in training: both are timed, and the plain one wins a tie."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from jumok.mechanisms.layers.linear import SMALL_BATCH, Shape, Sizes, multiply_by_convolution, noting, use
from jumok.watching.watchers import unseen

__all__ = ["Timed", "choose", "chosen", "settle", "timed"]

TIE = 0.95
"""The convolution is taken where its time is less than this share of the plain form's."""
ENOUGH = 8192
"""Rows that are timed at most."""
ROUNDS, LEAST, SECONDS = 7, 3, 0.5
"""Rounds of each form, fewer where these seconds are over, but so many at the least."""

Clock = Callable[[], float]
Form = Callable[[Tensor, Tensor, Tensor], Tensor]
_known: dict[tuple[Shape, int], Timed] = {}


class Timed(NamedTuple):
    """Seconds that a forward and a backward pass take.

    Args:
        sizes: of the map.
        plain: by `F.linear`.
        convolution: by `multiply_by_convolution`.
    """

    sizes: Sizes
    plain: float
    convolution: float


def chosen(times: Iterable[Timed]) -> frozenset[Sizes]:
    """The maps that go by convolution.

    >>> chosen([Timed((8, 16), 1.0, 0.5), Timed((16, 8), 1.0, 0.97)])
    frozenset({(8, 16)})
    """
    return frozenset(each.sizes for each in times if each.convolution < TIE * each.plain)


def choose(shapes: Iterable[Shape]) -> list[Timed]:
    """Time the maps that were called with these shapes, each by its largest, once per process and number of threads."""
    largest = {shape.sizes: shape for shape in sorted(shapes)}
    found, threads = [], torch.get_num_threads()
    for shape in largest.values():
        if (shape, threads) not in _known:
            _known[shape, threads] = timed(shape)
        found.append(_known[shape, threads])
    return found


def settle(step: Callable[[], object]) -> None:
    """Do a step of training, and go by the faster forms of its maps from then on, as `jumok train` does."""
    with noting() as shapes:
        step()
    use(chosen(choose(shapes)))


def timed(shape: Shape, clock: Clock = time.perf_counter) -> Timed:
    """Time both forms, in turns."""
    forms: tuple[Form, Form] = (F.linear, multiply_by_convolution)
    tokens, weight, bias = _operands(shape)
    times: tuple[list[float], list[float]] = ([], [])
    began = clock()
    with unseen(), torch.enable_grad():
        for form in forms:  # the first call builds the kernel
            _pass(form, tokens, weight, bias)
        while len(times[0]) < LEAST or (len(times[0]) < ROUNDS and clock() - began < SECONDS):
            for form, spent in zip(forms, times, strict=True):
                before = clock()
                _pass(form, tokens, weight, bias)
                spent.append(clock() - before)
    return Timed(shape.sizes, statistics.median(times[0]), statistics.median(times[1]))


def _operands(shape: Shape) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, weight and bias; they draw from a generator of their own, for the run's must not notice."""
    batch = min(shape.batch, max(ENOUGH // shape.tokens, SMALL_BATCH))
    drawn = torch.Generator().manual_seed(0)
    sizes = ((batch, shape.tokens, shape.size_in), (shape.size_out, shape.size_in), (shape.size_out,))
    tokens, weight, bias = (torch.randn(size, generator=drawn).requires_grad_() for size in sizes)
    return tokens, weight, bias


def _pass(form: Form, tokens: Tensor, weight: Tensor, bias: Tensor) -> None:
    output = form(tokens, weight, bias)
    torch.autograd.grad(output, (tokens, weight, bias), torch.ones_like(output))
