"""All sanity checks of one method on one model, with intervals and what they mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jumok.errors import JumokError
from jumok.intervals import Bootstrap, Interval
from jumok.measures.printed import Printed
from jumok.measures.report import show_interval
from jumok.measures.sanity import (
    RADIUS,
    SAMPLES,
    Explained,
    efficient_mprt,
    max_sensitivity,
    random_logit,
    smooth_mprt,
)
from jumok.wording import write_count

__all__ = ["CHECKS", "TITLES", "SanityCard", "SanityLimits", "SanityPlan", "check_sanity"]

TITLES = {
    "other class": "map of another class (1: the same)",
    "random weights": "map with random weights (1: the same)",
    "complexity": "rise in complexity with random weights (above 0: depends on them)",
    "max-sensitivity": "greatest relative change for inputs that hardly differ",
}


class _Check(NamedTuple):
    """How one check is judged.

    Args:
        short: its name where there is little room.
        limit: field of `SanityLimits`.
        most: the limit is not to be reached or passed; else it is to be passed.
        fault: what it means where it is not.
    """

    short: str
    limit: str
    most: bool
    fault: str


CHECKS = {
    "other class": _Check(
        "random logit", "same_class", True, "does not depend on the class, so it cannot tell why this one was predicted"
    ),
    "random weights": _Check(
        "sMPRT", "same_weights", True, "hardly depends on what was learnt, so it cannot show what the model learnt"
    ),
    "complexity": _Check("eMPRT", "rise", False, "gets no more complex with random weights, as noise would"),
    "max-sensitivity": _Check(
        "max-sensitivity", "unstable", True, "unstable under a change that is hardly seen, so no single map is evidence"
    ),
}


@dataclass(frozen=True)
class SanityLimits:
    """From where on something is worth a warning.

    Args:
        same_class: rank correlation with another class's map from which a map ignores the class.
        same_weights: rank correlation with the random model's map from which a map ignores what was learnt.
        unstable: max-sensitivity from which a map changes by more than itself.
        rise: in complexity with random weights, up to which a map does not depend on what was learnt.
    """

    same_class: float = 0.95
    same_weights: float = 0.7
    unstable: float = 1.0
    rise: float = 0.0


@dataclass(frozen=True, repr=False)
class SanityCard(Printed):
    """What the checks of one method found, means over inputs.

    Args:
        method: its name.
        checks: by name, see `TITLES`; None where all maps are constant.
        layers: mean rank correlation with the model's own maps, as ever more layers are random.
        inputs: how many were looked at.
        limits: of the warnings.
        level, resamples, seed: of the bootstrap intervals.
    """

    method: str
    checks: Mapping[str, Interval | None]
    layers: Mapping[str, float]
    inputs: int
    limits: SanityLimits
    level: float
    resamples: int
    seed: int

    def warnings(self) -> list[str]:
        """One line for each check that the method does not pass, with its limit."""
        same, weights, rise, change = (self.checks[name] for name in TITLES)
        lines = []
        if same is not None and same.low >= self.limits.same_class:
            lines.append(f"ignores the class: its map of another one is the same (rank correlation {same.value:.2f})")
        if weights is not None and weights.low >= self.limits.same_weights:
            lines.append(f"hardly depends on what was learnt: rank correlation {weights.value:.2f} with random weights")
        if rise is not None and rise.high <= self.limits.rise:
            lines.append(f"its maps get no more complex with random weights ({rise.value:+z.2f})")
        if change is not None and change.low >= self.limits.unstable:
            lines.append(f"unstable: a change that is hardly seen changes the map by {change.value:.1f} times its size")
        return [f"{self.method}: {line}" for line in lines]

    def passes(self, check: str) -> bool | None:
        """Whether it passes a check for certain; None: not certain either way, or all maps are constant."""
        found, rule = self.checks[check], CHECKS[check]
        if found is None:
            return None
        limit = self.limit(check)
        good, bad = (found.high < limit, found.low >= limit) if rule.most else (found.low > limit, found.high <= limit)
        return True if good else False if bad else None

    def limit(self, check: str) -> float:
        """Of one check."""
        return float(getattr(self.limits, CHECKS[check].limit))

    def verdict(self) -> str:
        """One line: what the method fails and what that means, what is not certain, and what it passes."""
        by = {wanted: [name for name in CHECKS if self.passes(name) is wanted] for wanted in (False, None, True)}
        parts = [f"{CHECKS[name].fault} ({CHECKS[name].short} {self._say(name)})" for name in by[False]]
        for names, said in ((by[None], f"not certain on {write_count(self.inputs, 'image')}:"), (by[True], "passes")):
            if names:
                parts.append(f"{said} {', '.join(f'{CHECKS[name].short} ({self._say(name)})' for name in names)}")
        return f"{self.method}: {'; '.join(parts)}"

    def _say(self, check: str) -> str:
        """The figure beside its limit."""
        found, rule = self.checks[check], CHECKS[check]
        if found is None:
            return "all maps are constant"
        return f"{_show(found.value)}, wanted {'below' if rule.most else 'above'} {self.limit(check):g}"

    def header(self) -> tuple[str, ...]:
        """The heads of the columns of `rows`."""
        return ("sanity check", self.method)

    def rows(self) -> list[tuple[str, ...]]:
        """One row of text for each check."""
        return [
            (TITLES[name], "all maps are constant" if found is None else show_interval(found))
            for name, found in self.checks.items()
        ]

    def summary(self) -> str:
        """One line that says what the figures are means of."""
        return f"{self.method}: {self.inputs:,} inputs; {self.level:.0%} bootstrap intervals"

    def conclusions(self) -> list[str]:
        """The warnings."""
        return self.warnings()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not known is None."""
        return {
            "summary": self.summary(),
            "warnings": self.warnings(),
            "titles": dict(TITLES),
            "checks": {name: found and found.to_dict() for name, found in self.checks.items()},
            "layers": {name: None if np.isnan(value) else value for name, value in self.layers.items()},
            "inputs": self.inputs,
            "limits": dataclasses.asdict(self.limits),
            "bootstrap": {"level": self.level, "resamples": self.resamples, "seed": self.seed},
        }

    @classmethod
    def from_dict(cls, method: str, values: Mapping[str, Any]) -> SanityCard:
        """The card that gave these values.

        Args:
            method: its name, which the values leave out.
            values: of `to_dict`.
        Raises:
            KeyError, TypeError, ValueError: they are those of no card.
        """
        return cls(
            method,
            {name: None if values["checks"][name] is None else Interval(**values["checks"][name]) for name in TITLES},
            {name: float("nan") if value is None else float(value) for name, value in values["layers"].items()},
            int(values["inputs"]),
            SanityLimits(**values["limits"]),
            **values["bootstrap"],
        )


@dataclass(frozen=True)
class SanityPlan:
    """How thoroughly the checks of one method are done.

    Args:
        samples: maps that are averaged (sMPRT), and changed inputs that are tried (max-sensitivity).
        stages: how often maps are compared while layers become random, see `smooth_mprt`; None: after each.
        radius: of max-sensitivity.
        resamples, level: of the bootstrap intervals over inputs.
        seed: of all that is drawn.
    """

    samples: int = SAMPLES
    stages: int | None = None
    radius: float = RADIUS
    resamples: int = 2000
    level: float = 0.95
    seed: int = 0

    def count_makings(self, layers: int) -> int:
        """How often `check_sanity` makes maps of all inputs.

        Args:
            layers: that the model has.
        """
        stages = min(layers, self.stages or layers)
        return 2 + (stages + 1) * self.samples + 2 + (self.samples + 1)


def check_sanity(
    method: str,
    asked: Explained,
    classes: int,
    plan: SanityPlan | None = None,
    limits: SanityLimits | None = None,
) -> SanityCard:
    """Do all sanity checks of one method; the model is put back as it was.

    Makes maps of all inputs `SanityPlan.count_makings` times: a few inputs do.

    Args:
        method: its name.
        asked: the method, and what it makes maps of.
        classes: how many there are.
        plan: how thoroughly; None: as usual.
        limits: of the warnings; None: the usual ones.
    Raises:
        JumokError: as the checks, or no inputs.
    """
    if not len(asked.inputs):
        raise JumokError("no input to check: give one at least")
    plan = plan or SanityPlan()
    layers = smooth_mprt(asked, samples=plan.samples, stages=plan.stages, seed=plan.seed)
    found = {
        "other class": random_logit(asked, classes, seed=plan.seed),
        "random weights": list(layers.values())[-1],
        "complexity": efficient_mprt(asked, seed=plan.seed),
        "max-sensitivity": max_sensitivity(asked, radius=plan.radius, samples=plan.samples, seed=plan.seed),
    }
    return SanityCard(
        method,
        {name: _average(values, plan) for name, values in found.items()},
        {name: _mean(values) for name, values in layers.items()},
        len(asked.inputs),
        limits or SanityLimits(),
        plan.level,
        plan.resamples,
        plan.seed,
    )


def _show(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00")


def _known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    known: NDArray[np.float64] = values[~np.isnan(values)]
    return known


def _mean(values: NDArray[np.float64]) -> float:
    known = _known(values)
    return float(known.mean()) if known.size else float("nan")


def _average(values: NDArray[np.float64], plan: SanityPlan) -> Interval | None:
    known = _known(values)
    if not known.size:
        return None
    return Bootstrap(known, bounds=(-1.0, 1.0), resamples=plan.resamples, level=plan.level, seed=plan.seed).mean()
