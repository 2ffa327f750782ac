"""Additive attention, jumok beside the plain torch expression: `python -m bench additive_attention`.

Scores and their gradients, w . tanh(q + k), float32: 64 sentences of 30 queries and 30 keys, size 512; and one step of
a decoder, 1 query each. Each way runs in processes of its own, which take turns; medians count. What is done once in a
process (loading the compiled loops, waking threads) is done before the clock starts.

Extra memory is the peak of the resident memory during the first forward and backward pass at full size, above what was
resident before it; the inputs are there before, the gradients of the inputs are not. It is the peak that Linux keeps
(VmHWM), set back before the pass.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from bench.measuring import Samples, forget_peak, in_turns, interleaved, ratio, resident
from bench.table import Part, Row
from jumok.machine import keep_freed
from jumok.mechanisms.additive import fast_scores, scores

BATCH, KEYS, SIZE = 64, 30, 512
WHOLE = "30 x 30"
QUERIES = {WHOLE: 30, "one step, 1 x 30": 1}
WAYS: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"ours": fast_scores, "plain": scores}
ROUNDS, PROCESSES = 11, 5
FASTER, SMALLER = ">= 8", ">= 20"
WARM_UP = (16, 4, 16)  # enough for threads to be woken, and small


def run(threads: int = 2) -> Iterator[Part]:
    """All rows of this bench."""
    yield "additive scores, usual allocator", lambda: _rows(threads, keep=False)
    yield "additive scores, freed memory kept", lambda: _rows(threads, keep=True)


def _rows(threads: int, *, keep: bool) -> Iterator[Row]:
    how = "freed memory kept, both" if keep else "usual allocator, both"
    for where, queries in QUERIES.items():
        seconds, extra, loaded = in_turns(WAYS, PROCESSES, lambda way: _alone(way, queries, threads, keep))  # noqa: B023
        goal = FASTER if where == WHOLE and not keep else ""
        claim = f"forward + backward, plain / jumok, {where}, {how}"
        yield Row(claim, ratio(seconds, "plain", "ours"), goal, 1e3 * seconds["ours"], 1e3 * seconds["plain"], "ms")
        if where == WHOLE and not keep:
            yield _smaller(extra, loaded)


def _smaller(extra: Samples, loaded: Samples) -> Row:
    note = f"loading numba and the loops adds {loaded['ours']:.0f} MiB, once"
    claim = f"extra memory, plain / jumok, {WHOLE}"
    return Row(claim, ratio(extra, "plain", "ours"), SMALLER, extra["ours"], extra["plain"], "MiB", note)


# -- the work, in a process of its own ----------------------------------------------------------


def _alone(way: str, queries: int, threads: int, keep: bool) -> list[float]:
    """Median seconds of a forward and backward pass, its extra memory, and what loading our loops added to memory."""
    command = [sys.executable, "-m", "bench.additive_attention", way, str(queries), str(threads), str(int(keep))]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return [float(figure) for figure in answer]


def _print_cost(way: str, queries: int, threads: int, keep: bool) -> None:
    torch.set_num_threads(threads)
    if keep:
        keep_freed()
    small, full = _pass(WAYS[way], *WARM_UP), _pass(WAYS[way], BATCH, queries, KEYS)
    before = resident("VmRSS")
    small()
    loaded = resident("VmRSS") - before
    forget_peak()
    before = resident("VmRSS")
    full()
    extra = resident("VmHWM") - before
    print(interleaved({way: full}, ROUNDS)[way], extra, loaded)


def _pass(way: Callable[[Tensor, Tensor, Tensor], Tensor], batch: int, queries: int, keys: int) -> Callable[[], None]:
    """A forward and backward pass, with its inputs made already."""
    torch.manual_seed(0)
    inputs = [
        torch.randn(shape, requires_grad=True) for shape in ((batch, queries, SIZE), (batch, keys, SIZE), (SIZE,))
    ]
    gradient = torch.randn(batch, queries, keys)

    def once() -> None:
        torch.autograd.grad(way(*inputs), inputs, gradient)

    return once


if __name__ == "__main__":
    _print_cost(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1")
