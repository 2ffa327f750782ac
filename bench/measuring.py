"""Timing in turns, and ratios with their quartiles: what every bench shares."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "DEVICE",
    "LEAST_PAIRS",
    "QUICK",
    "LeftOut",
    "Ratio",
    "Samples",
    "device",
    "forget_peak",
    "in_turns",
    "interleaved",
    "is_quick",
    "pin",
    "ratio",
    "resident",
    "rounds",
    "wait",
]

QUICK = "JUMOK_BENCH_QUICK"
"""The variable that says so to processes that a bench starts."""
DEVICE = "JUMOK_BENCH_DEVICE"
"""The variable that says on which device they work: cpu, or cuda."""
LEAST_PAIRS, QUICK_PAIRS = 5, 2
"""Pairs that a ratio is taken over at the least, in full and with --quick."""


class LeftOut(Exception):  # noqa: N818 (no error)
    """A row cannot be measured here; says why, and what would help."""


def is_quick() -> bool:
    """Whether fewer repeats were asked for."""
    return os.environ.get(QUICK) == "1"


def device() -> str:
    """Where the work that is measured runs."""
    return os.environ.get(DEVICE, "cpu")


def wait() -> None:
    """Until the device has done what it was given: a GPU works on while Python goes on."""
    if device() != "cpu":
        import torch

        torch.cuda.synchronize()


def rounds(full: int) -> int:
    """How often to repeat: so often, or with --quick a few times."""
    return min(full, QUICK_PAIRS) if is_quick() else max(full, LEAST_PAIRS)


class Ratio(NamedTuple):
    """A ratio of two sides that took turns: the median over the pairs, and the quartiles."""

    middle: float
    low: float
    high: float
    pairs: int

    @staticmethod
    def of(values: Sequence[float]) -> Ratio:
        """Of the ratio of each pair.

        >>> Ratio.of([1.0, 3.0, 2.0, 5.0, 4.0])
        Ratio(middle=3.0, low=2.0, high=4.0, pairs=5)
        """
        if len(values) == 1:
            return Ratio(values[0], values[0], values[0], 1)
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
        return Ratio(middle, low, high, len(values))

    def scaled(self, factor: float) -> Ratio:
        """The same times a number above 0."""
        return Ratio(self.middle * factor, self.low * factor, self.high * factor, self.pairs)

    @staticmethod
    def exact(value: float) -> Ratio:
        """A figure that repeating would not change, such as a count."""
        return Ratio(value, value, value, 0)


class Samples(Mapping[str, float]):
    """What was measured of several sides, round by round; by name each side's median.

    Args:
        values: of each side, one a round.
    """

    def __init__(self, values: Mapping[str, Sequence[float]]) -> None:
        self.values_of = values

    def __getitem__(self, name: str) -> float:
        return statistics.median(self.values_of[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_of)

    def __len__(self) -> int:
        return len(self.values_of)


def ratio(samples: Samples, above: str, below: str) -> Ratio:
    """One side over another, pair by pair."""
    pairs = zip(samples.values_of[above], samples.values_of[below], strict=True)
    return Ratio.of([one / other for one, other in pairs])


def interleaved(steps: Mapping[str, Callable[[], object]], repeats: int, *, warm_up: int = 2) -> Samples:
    """Seconds of each step, run in turns so that what else the machine does hits all alike.

    The order is turned round each time, so that none always runs after the same other one.

    Args:
        steps: by name.
        repeats: of each, in full; see `rounds`.
        warm_up: more of each, before.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    order, warm_up = list(steps), min(warm_up, 1) if is_quick() else warm_up
    for number in range(warm_up + rounds(repeats)):
        for name in order if number % 2 else reversed(order):
            started = time.perf_counter()
            steps[name]()
            wait()
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - started)
    return Samples(seconds)


def in_turns(sides: Iterable[str], repeats: int, measure: Callable[[str], Sequence[float]]) -> list[Samples]:
    """What processes of their own tell of each side, which take turns; one `Samples` for each figure that they tell."""
    names = list(sides)
    told: dict[str, list[Sequence[float]]] = {name: [] for name in names}
    for _ in range(rounds(repeats)):
        for name in names:
            told[name].append(measure(name))
    figures = range(len(told[names[0]][0]))
    return [Samples({name: [each[figure] for each in told[name]] for name in names}) for figure in figures]


# -- this process --------------------------------------------------------------------------------


def pin(cores: int) -> int:
    """Keep this process and its children on so many cores, where the system can; gives the number kept to."""
    if not hasattr(os, "sched_setaffinity"):
        return cores
    chosen = sorted(os.sched_getaffinity(0))[:cores]
    os.sched_setaffinity(0, chosen)
    return len(chosen)


def forget_peak() -> None:
    """Have Linux count the peak of this process's memory (VmHWM) anew, from what is resident now; or a GPU its own."""
    if device() != "cpu":
        import torch

        torch.cuda.reset_peak_memory_stats()
        return
    Path("/proc/self/clear_refs").write_text("5")


def resident(what: str) -> float:
    """The resident memory of this process, now (VmRSS) or at its peak (VmHWM), in MiB; of a GPU what torch holds."""
    if device() != "cpu":
        import torch

        return (torch.cuda.memory_allocated() if what == "VmRSS" else torch.cuda.max_memory_allocated()) / 2**20
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{what}:"))
