"""How faithfulness is measured whatever the data: its options, what is chosen, and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from pydantic import Field

from jumok.app.measuring import FEWEST, Plan
from jumok.app.scored_maps import ScoredMaps
from jumok.durations import parse_duration
from jumok.errors import JumokError, suggest
from jumok.language import join_later, later
from jumok.tasks.running.config import Strict

if TYPE_CHECKING:
    from jumok.attention import AttentionMap
    from jumok.measures.faithfulness_meter import FaithfulnessMeter
    from jumok.measures.faithfulness_report import FaithfulnessReport

__all__ = [
    "FAITHFUL",
    "OF_PLACES",
    "OF_WORDS",
    "PARTIAL",
    "FaithfulOptions",
    "Measured",
    "choose_fillings",
    "choose_grid",
    "conclude",
    "count_inputs",
    "draw_some",
    "explain_early_end",
    "explain_too_few",
    "show_faithfulness",
]

FAITHFUL = "faithfulness"
"""Of the report's key."""
PARTIAL = f"{FAITHFUL}.partial.npz"
"""What was measured so far, among the figures."""
LEAST_SIDE = 7
"""Patches along a side, at least: of fewer an order says little."""
OF_PLACES, OF_WORDS = ("mean", "blur"), ("replace", "remove")
"""The usual fillings of an image and of a text."""

AGAIN = "run the same command again to go on, give more --time, or --no-faithful"
"""What to do where too little was measured."""

Input = TypeVar("Input")


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


# -- afterwards -----------------------------------------------------------------------------------


def explain_early_end(why: str, inputs: str, *, goes_on: bool) -> str:
    """Say why not all inputs were measured, and how the rest may be.

    Args:
        why: measuring ended early.
        inputs: how many were measured, in words.
        goes_on: whether what was measured is kept.
    """
    whys = [why, *([later("the same command goes on from there")] if goes_on else [])]
    return later("faithfulness of {text1}: {text2}", text1=inputs, text2=join_later("; ", whys))


def explain_too_few(why: str, noun: str, *, alone: bool, advice: str = AGAIN) -> str:
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
