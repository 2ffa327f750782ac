"""Additive attention, jumok beside the plain torch expression: `python -m bench additive_attention`.

Scores and their gradients, w . tanh(q + k), float32: 64 sentences of 30 queries and 30 keys, size 512; and one step of
a decoder, 1 query each. Each way runs in processes of its own, which take turns; medians count. What is done once in a
process (loading the compiled loops, waking threads) is done before the clock starts.

Extra memory is the peak of the resident memory during the first forward and backward pass at full size, above what was
resident before it; the inputs are there before, the gradients of the inputs are not. It is the peak that Linux keeps
(VmHWM), set back before the pass.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from bench.table import Row, interleaved, ratio
from jumok.machine import keep_freed
from jumok.mechanisms.additive import fast_scores, scores

BATCH, KEYS, SIZE = 64, 30, 512
WHOLE = "30 x 30"
QUERIES = {WHOLE: 30, "one step, 1 x 30": 1}
WAYS: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"ours": fast_scores, "plain": scores}
ROUNDS, PROCESSES = 11, 3
FASTER, SMALLER = ">= 8", ">= 20"
WARM_UP = (16, 4, 16)  # enough for threads to be woken, and small


class Cost(NamedTuple):
    """Median seconds of a forward and backward pass, and its extra memory; what loading our loops added to memory."""

    seconds: float
    mebibytes: float
    loaded: float


def run(threads: int = 2) -> list[Row]:
    """All rows of this bench."""
    usual = _costs(threads, keep=False)
    kept = _costs(threads, keep=True)
    rows = [_faster(where, usual, "usual allocator, both") for where in QUERIES]
    rows += [_faster(where, kept, "freed memory kept, both", goal="") for where in QUERIES]
    return [*rows, _smaller(usual)]


def _costs(threads: int, *, keep: bool) -> dict[tuple[str, str], Cost]:
    """What each way costs for each number of queries."""
    runs: dict[tuple[str, str], list[Cost]] = {(way, where): [] for where in QUERIES for way in WAYS}
    for _ in range(PROCESSES):
        for (way, where), costs in runs.items():
            costs.append(_alone(way, QUERIES[where], threads, keep))
    return {
        key: Cost(*(statistics.median(figures) for figures in zip(*costs, strict=True))) for key, costs in runs.items()
    }


def _faster(where: str, costs: Mapping[tuple[str, str], Cost], note: str, goal: str = FASTER) -> Row:
    times = {way: costs[way, where].seconds for way in WAYS}
    claim = f"forward + backward, plain / jumok, {where}"
    goal = goal if where == WHOLE else ""
    return Row(claim, ratio(times, "plain", "ours"), goal, 1e3 * times["ours"], 1e3 * times["plain"], "ms", note)


def _smaller(costs: Mapping[tuple[str, str], Cost]) -> Row:
    extra = {way: costs[way, WHOLE].mebibytes for way in WAYS}
    note = f"loading numba and the loops adds {costs['ours', WHOLE].loaded:.0f} MiB, once"
    claim = f"extra memory, plain / jumok, {WHOLE}"
    return Row(claim, ratio(extra, "plain", "ours"), SMALLER, extra["ours"], extra["plain"], "MiB", note)


# -- the work, in a process of its own ----------------------------------------------------------


def _alone(way: str, queries: int, threads: int, keep: bool) -> Cost:
    command = [sys.executable, "-m", "bench.additive_attention", way, str(queries), str(threads), str(int(keep))]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return Cost(*map(float, answer))


def _print_cost(way: str, queries: int, threads: int, keep: bool) -> None:
    torch.set_num_threads(threads)
    if keep:
        keep_freed()
    small, full = _pass(WAYS[way], *WARM_UP), _pass(WAYS[way], BATCH, queries, KEYS)
    before = _resident("VmRSS")
    small()
    loaded = _resident("VmRSS") - before
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM back to what is resident now
    before = _resident("VmRSS")
    full()
    extra = _resident("VmHWM") - before
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


def _resident(what: str) -> float:
    """The resident memory of the process, now (VmRSS) or at its peak (VmHWM), in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) / 1024


if __name__ == "__main__":
    _print_cost(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1")
