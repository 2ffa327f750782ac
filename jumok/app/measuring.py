"""Measuring input by input: until all are measured, the time is up, the verdicts are certain or Ctrl-C ends it."""

from __future__ import annotations

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from jumok.language import later

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jumok.app.partial import PartialFile
    from jumok.measures.faithfulness_meter import FaithfulnessMeter

__all__ = ["CERTAIN", "FEWEST", "INTERRUPTED", "TIME_UP", "Measuring", "Plan", "Tell", "measure_in_turn"]

FEWEST = 8
"""Inputs, at least: the intervals of fewer say nothing."""
CERTAIN, TIME_UP = later("the verdicts are certain"), later("the time was up")
INTERRUPTED = later("interrupted")
"""Why measuring ended before all inputs were measured."""
COUNTS = "counts"
"""Of a state's key: `done` and `left_out`."""

Input = TypeVar("Input")
Tell = Callable[[int, int], None]
"""Called with how many inputs were measured, of how many."""


class Plan(NamedTuple):
    """How faithfulness is measured.

    Args:
        fillings: what is put in the place of what is taken away.
        steps: parts in which an input is taken away.
        most: inputs at most.
        seconds: for all of it; None: as long as it takes.
        early: stop as soon as the verdicts are certain, with intervals that are wide enough for that.
        saco: take SaCo, too.
    """

    fillings: tuple[str, ...]
    steps: int
    most: int
    seconds: float | None = None
    early: bool = False
    saco: bool = False

    def settings(self, seed: int) -> dict[str, Any]:
        """All that figures depend on, with the seed of what is drawn: not how long measuring may take."""
        return {**self._replace(seconds=None)._asdict(), "seed": seed}


class Measuring(ABC, Generic[Input]):
    """Inputs that are measured one after the other; only scores are kept, so that it can be stopped and go on.

    Args:
        total: inputs that there are.
        meters: by what they measure of an input.
    """

    def __init__(self, total: int, **meters: FaithfulnessMeter) -> None:
        self.total, self.meters = total, meters
        self.done = self.left_out = 0

    def __len__(self) -> int:
        return self.done

    @abstractmethod
    def read(self) -> Iterator[Input]:
        """The inputs after the first `done`, always in the same order."""

    @abstractmethod
    def measure(self, given: Input) -> None:
        """Measure one input, or count it in `left_out` where it has nothing to take away."""

    def add(self, given: Input) -> None:
        """Measure one input, wholly or not at all."""
        before = {name: len(meter) for name, meter in self.meters.items()}, self.left_out
        try:
            self.measure(given)
        except BaseException:
            counts, self.left_out = before
            for name, count in counts.items():
                self.meters[name].forget_after(count)
            raise
        self.done += 1

    @property
    def groups(self) -> int:
        """The inputs that hang together counted once, of the meter that has the most."""
        return max(meter.groups for meter in self.meters.values())

    def decided(self) -> bool:
        """Whether those meters that measure anything are certain; each is asked, as each has its own looks."""
        decided = [meter.decided() for meter in self.meters.values() if len(meter)]
        return bool(decided) and all(decided)

    def state(self) -> dict[str, NDArray[Any]]:
        """All that was measured."""
        import numpy as np

        values = {f"{name}.{key}": value for name, meter in self.meters.items() for key, value in meter.state().items()}
        return {COUNTS: np.array([self.done, self.left_out]), **values}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `state` gave, or stay as it is.

        Raises:
            JumokError, KeyError, ValueError: it is of other meters, or damaged.
        """
        done, left_out = map(int, state[COUNTS])
        meters = {name: copy.copy(meter) for name, meter in self.meters.items()}
        for name, meter in meters.items():
            start = f"{name}."
            meter.load_state({key.removeprefix(start): value for key, value in state.items() if key.startswith(start)})
        self.meters, self.done, self.left_out = meters, done, left_out


def measure_in_turn(
    measuring: Measuring[Any], plan: Plan, *, tell: Tell | None = None, kept: PartialFile | None = None
) -> str:
    """Measure input by input, until the time is up, the verdicts are certain or Ctrl-C ends it.

    Args:
        measuring: what there is to measure.
        plan: until when.
        tell: how far it is.
        kept: where figures are kept meanwhile, and from where measuring goes on; it stays where not all was measured.
    Returns:
        Why it ended early, or "".
    Raises:
        KeyboardInterrupt: no meter has enough to tell.
    """
    if kept is not None:
        kept.restore(measuring)
    try:
        why = _go_on(measuring, plan, tell, kept)
    except KeyboardInterrupt:
        if kept is not None:
            kept.leave(measuring)
        raise
    if kept is not None:
        kept.remove() if why in ("", CERTAIN) else kept.write(measuring)
    return why


def _go_on(measuring: Measuring[Any], plan: Plan, tell: Tell | None, kept: PartialFile | None) -> str:
    began = time.monotonic()
    if plan.early and 0 < measuring.done < measuring.total and measuring.decided():
        return CERTAIN
    try:
        for each in measuring.read():
            measuring.add(each)
            if kept is not None:
                kept.keep(measuring)
            if tell is not None:
                tell(measuring.done, measuring.total)
            if measuring.done == measuring.total:
                break
            if plan.seconds is not None and time.monotonic() - began > plan.seconds:
                return TIME_UP
            if plan.early and measuring.decided():
                return CERTAIN
    except KeyboardInterrupt:
        if measuring.groups < FEWEST:
            raise
        return INTERRUPTED
    return ""
