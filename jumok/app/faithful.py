"""How faithfulness is measured whatever the data: its options, until when, and what is said of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from pydantic import Field

from jumok.app.scored_maps import ScoredMaps
from jumok.durations import parse_duration
from jumok.errors import JumokError, suggest
from jumok.language import later
from jumok.tasks.running.config import Strict

if TYPE_CHECKING:
    from jumok.attention import AttentionMap
    from jumok.measures.faithfulness_meter import FaithfulnessMeter
    from jumok.measures.faithfulness_report import FaithfulnessReport

__all__ = [
    "CERTAIN",
    "FAITHFUL",
    "FEWEST",
    "INTERRUPTED",
    "OF_PLACES",
    "OF_WORDS",
    "FaithfulOptions",
    "Measured",
    "Plan",
    "choose_fillings",
    "choose_grid",
    "conclude",
    "count_inputs",
    "draw_some",
    "explain_too_few",
    "measure_in_turn",
    "show_faithfulness",
]

FAITHFUL = "faithfulness"
"""Of the report's key."""
FEWEST = 8
"""Inputs, at least: the intervals of fewer say nothing."""
LEAST_SIDE = 7
"""Patches along a side, at least: of fewer an order says little."""
CERTAIN, TIME_UP = later("the verdicts are certain"), later("the time was up")
INTERRUPTED = later("interrupted")
"""Why measuring ended before all inputs were measured."""
OF_PLACES, OF_WORDS = ("mean", "blur"), ("replace", "remove")
"""The usual fillings of an image and of a text."""

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


class FaithfulOptions(Strict):
    """Options of `jumok measure` that say how faithfulness is measured."""

    faithful: bool = Field(default=True, description="Measure whether the maps are faithful to the model.")
    fillings: tuple[str, ...] = Field(
        default=(),
        description="What replaces what is taken away: mean | blur | noisy-linear | zeros of images, replace | remove "
        "of words; may be repeated.",
        json_schema_extra={"usual": "mean and blur, replace and remove"},
    )
    most: int = Field(default=200, ge=2, description="Faithfulness: images, questions or sentence pairs at most.")
    steps: int = Field(default=12, ge=2, description="Faithfulness: parts in which an image or a text is taken away.")
    time: str | None = Field(
        default="5m", description="Faithfulness: how long it may take, such as 90s or 5m; after that the rest is left."
    )
    saco: bool = Field(default=False, description="Faithfulness: SaCo, too, which takes about half as long again.")

    def plan(self, usual: tuple[str, ...], *, early: bool = False) -> Plan:
        """What they say.

        Args:
            usual: the fillings, where none is named.
            early: see `Plan`.
        Raises:
            JumokError: a time that is none.
        """
        seconds = None if self.time is None else parse_duration(self.time, "--time")
        return Plan(self.fillings or usual, self.steps, self.most, seconds, early=early, saco=self.saco)


class Measured(NamedTuple):
    """What came of it.

    Args:
        report: None where there were too few inputs for one.
        why: the measuring ended before all inputs were measured; empty where it did not.
    """

    report: FaithfulnessReport | None
    why: str


# -- before ---------------------------------------------------------------------------------------


def draw_some(items: Sequence[Input], most: int, seed: int) -> list[Input]:
    """So many of them, by chance, so that all kinds have their share."""
    import numpy as np

    order = np.random.default_rng(seed).permutation(len(items))[:most]
    return [items[number] for number in order]


def choose_grid(heats: Mapping[str, AttentionMap]) -> tuple[int, int]:
    """The patches that are taken away: those of the coarsest map, cut further where they are few."""
    from jumok.measures.localisation_scores import find_coarsest_grid

    rows, columns = (side * math.ceil(LEAST_SIDE / side) for side in find_coarsest_grid(list(heats.values())))
    return rows, columns


def choose_fillings(named: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sort fillings into those of places and those of words; the usual ones where none of a kind is named.

    Raises:
        JumokError: one that is neither.
    """
    from jumok.measures.fillings import FILLINGS
    from jumok.measures.word_units import WORD_FILLINGS

    for name in named:
        if name not in (known := (*FILLINGS, *WORD_FILLINGS)):
            raise JumokError(f"unknown filling {name!r}: {suggest(name, known)}")
    places = tuple(name for name in named if name in FILLINGS)
    words = tuple(name for name in named if name in WORD_FILLINGS)
    return places or OF_PLACES, words or OF_WORDS


# -- meanwhile ------------------------------------------------------------------------------------


def measure_in_turn(
    inputs: Iterable[Input],
    add: Callable[[Input], None],
    meters: Sequence[FaithfulnessMeter],
    plan: Plan,
    total: int,
    tell: Tell | None = None,
    *,
    first: int = 0,
) -> str:
    """Measure input by input, until the time is up, the verdicts are certain or Ctrl-C ends it.

    Args:
        inputs: one after the other.
        add: measures one.
        meters: to which it adds.
        plan: until when.
        total: how many inputs there are.
        tell: how far it is.
        first: how many were measured before.
    Returns:
        Why it ended early, or "".
    Raises:
        KeyboardInterrupt: no meter has enough to keep.
    """
    began = time.monotonic()
    try:
        for done, each in enumerate(inputs, first + 1):
            add(each)
            if tell is not None:
                tell(done, total)
            if done == total:
                break
            if plan.seconds is not None and time.monotonic() - began > plan.seconds:
                return TIME_UP
            if plan.early and _are_decided(meters):
                return CERTAIN
    except KeyboardInterrupt:
        if all(meter.groups < FEWEST for meter in meters):
            raise
        return INTERRUPTED
    return ""


def _are_decided(meters: Sequence[FaithfulnessMeter]) -> bool:
    """Whether those that measure anything are certain; each is asked, as each has its own looks."""
    decided = [meter.decided() for meter in meters if len(meter)]
    return bool(decided) and all(decided)


# -- afterwards -----------------------------------------------------------------------------------


def explain_too_few(why: str, noun: str, *, alone: bool, advice: str = "give more --time, or --no-faithful") -> str:
    """Say that there was too little to tell; it is an error where nothing else is measured.

    Args:
        why: it ended early.
        noun: what was measured.
        alone: whether nothing else is measured.
        advice: what to do.
    Raises:
        JumokError: nothing else is measured.
    """
    line = f"faithfulness: {why} before {FEWEST} {noun} were measured: {advice}"
    if alone:
        raise JumokError(line)
    return line


def conclude(meter: FaithfulnessMeter, why: str, noun: str = "images") -> FaithfulnessReport | None:
    """The report of a meter; None where it ended before there was enough to tell.

    Args:
        meter: with all inputs.
        why: it ended early, or "".
        noun: what was measured.
    Raises:
        JumokError: nothing was measured, or all maps are constant.
    """
    return None if why and meter.groups < FEWEST else meter.report(noun=noun)


def count_inputs(what: str, inputs: str) -> str:
    """The title of figures of which an input has several.

    Args:
        what: they are of.
        inputs: how many there are, in words.
    """
    return later("{what}, {inputs} (intervals count each once)", what=what, inputs=inputs)


def show_faithfulness(report: FaithfulnessReport, key: str = FAITHFUL, title: str = "") -> ScoredMaps:
    """The report as part of what a command prints and writes.

    Args:
        report: of the meter.
        key: in JSON.
        title: above it.
    """
    return ScoredMaps(report, [*report.verdicts(), *report.notes()], key, title)
