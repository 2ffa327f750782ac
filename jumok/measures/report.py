"""What a measurement found, as plain values: for a table, for JSON, for a plot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jumok.intervals import Interval
from jumok.language import join_later, later, later_count, later_noun
from jumok.measures.printed import Printed

BASELINES = ("random", "centre", "edges")
"""Those that every report has; others may follow."""

TITLES = {
    "pointing": later("pointing game"),
    "energy_inside": later("energy inside"),
    "iou_best": later("IoU, best threshold"),
    "iou_mean": later("IoU, mean threshold"),
    "auprc": "AUPRC",
}
"""The scores in the order in which they are shown, and how they are called there."""


@dataclass(frozen=True)
class MethodScores:
    """The scores of one method.

    Args:
        method: its name.
        scores: by name, as the report's `TITLES` lists them.
        count: what the scores rest on: how many images were scored, or how many links the method drew.
    """

    method: str
    scores: Mapping[str, Interval]
    count: int


@dataclass(frozen=True)
class ScoreDifference:
    """One method's scores less a baseline's, on the same data.

    The method is significantly better where an interval lies above 0; for AER, below 0.
    """

    method: str
    baseline: str
    scores: Mapping[str, Interval]

    @property
    def name(self) -> str:
        """What is subtracted from what."""
        return f"{self.method} - {self.baseline}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"method": self.method, "baseline": self.baseline, "scores": scores_to_dict(self.scores)}


def show_interval(interval: Interval, sign: str = "", places: int = 3) -> str:
    """A score and its interval, with "+" as the sign also where they are above 0."""
    value, low, high = (f"{each:{sign}z.{places}f}" for each in (interval.value, interval.low, interval.high))
    return later("{value} ({low} to {high})", value=value, low=low, high=high)


def show_shares(interval: Interval, sign: str = "") -> str:
    """A share and its interval, in percent."""
    value, low, high = (f"{each:{sign}z.1%}" for each in (interval.value, interval.low, interval.high))
    return later("{value} ({low} to {high})", value=value, low=low, high=high)


def scores_to_dict(scores: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    """Plain values for JSON."""
    return {name: interval.to_dict() for name, interval in scores.items()}


@dataclass(frozen=True, repr=False)
class Report(Printed):
    """The scores of some methods beside the baselines', over the same images.

    Args:
        methods, baselines: their scores.
        differences: of every method to every baseline, paired by image.
        area: the share of an image that its mask covers, mean over images.
        chance: what noise per pixel is expected to score, for the scores where this is known: the area, for
            pointing with its tolerance around. The random baseline, in blobs, gets more AUPRC by luck.
        images: how many were scored.
        empty, full: how many were left out because their mask marks nothing, or everything.
        tolerance: of the pointing game, in pixels.
        level, resamples, seed: of the bootstrap intervals.
        noun: what was scored, for `summary`.
    """

    methods: tuple[MethodScores, ...]
    baselines: tuple[MethodScores, ...]
    differences: tuple[ScoreDifference, ...]
    area: float
    chance: Mapping[str, float]
    images: int
    empty: int
    full: int
    tolerance: int
    level: float
    resamples: int
    seed: int
    noun: str = "images"

    def header(self) -> tuple[str, ...]:
        """The heads of the columns of `rows`."""
        return (later("map"), *TITLES.values())

    def rows(self) -> list[tuple[str, ...]]:
        """One row of text for each method, then for each baseline: its name and scores with their intervals."""
        return [
            (result.method, *(show_interval(result.scores[name]) for name in TITLES))
            for result in (*self.methods, *self.baselines)
        ]

    def difference_rows(self) -> list[tuple[str, ...]]:
        """One row of text for each method and baseline, under the same header: by how much the method scores more."""
        return [
            (gain.name, *(show_interval(gain.scores[name], sign="+") for name in TITLES)) for gain in self.differences
        ]

    def summary(self) -> str:
        """One line that says what the figures are means of."""
        parts = [
            later("{count} {noun}", count=f"{self.images:,}", noun=later_noun(self.images, self.noun)),
            later("masks cover {share} of an image", share=f"{self.area:.1%}"),
            self._say_tolerance(),
            later("{level} bootstrap intervals", level=f"{self.level:.0%}"),
            *([later("{count} without a mask left out", count=str(self.empty))] if self.empty else []),
            *([later("{count} fully masked left out", count=str(self.full))] if self.full else []),
        ]
        return join_later("; ", parts)

    def _say_tolerance(self) -> str:
        """What counts as a hit in the pointing game."""
        if not self.tolerance:
            return later("pointing game: a hit is a peak inside the mask")
        return later_count(
            self.tolerance,
            "pointing game: a hit is a peak inside the mask or up to {count} pixel from it",
            "pointing game: a hit is a peak inside the mask or up to {count} pixels from it",
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "summary": self.summary(),
            "titles": dict(TITLES),
            "images": self.images,
            "left_out": {"empty": self.empty, "full": self.full},
            "area": self.area,
            "chance": dict(self.chance),
            "tolerance": self.tolerance,
            "bootstrap": {"level": self.level, "resamples": self.resamples, "seed": self.seed},
            "methods": {result.method: scores_to_dict(result.scores) for result in self.methods},
            "baselines": {result.method: scores_to_dict(result.scores) for result in self.baselines},
            "differences": [gain.to_dict() for gain in self.differences],
        }
