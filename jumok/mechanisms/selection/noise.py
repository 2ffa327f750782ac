"""Whether a column tells more of a target than noise would, and how sure its score is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jumok.errors import JumokError
from jumok.mechanisms.selection.selector import Selector

__all__ = ["Noise", "judge_noise"]

Numbers = NDArray[np.float64]

MOST_SHUFFLES, LEAST_SHUFFLES = 200, 39
"""How often the target is shuffled; 39 times are enough for 0.05 to be more than the least that can be found."""
GROUPS = 20
"""Of rows, each of which is left out once."""
MOST_CELLS = 40_000_000
"""So many cells are scored for it all, about: seconds."""
LEAST_ROWS, FEWEST_ROWS_DRAWN = 10, 500
NORMAL_95 = 1.959963984540054
SURE = 0.05
"""The chance, over all columns together, that one is called better than noise and is not."""


@dataclass(frozen=True)
class Noise:
    """What each column tells by itself, beside noise.

    Args:
        alone: the score of each column by itself, (columns,).
        low, high: its 95% interval.
        p: the chance that the best of as many columns without any dependence stands out as far, (columns,).
        rows: that were looked at, of all.
        shuffles: of the target.
    """

    alone: Numbers
    low: Numbers
    high: Numbers
    p: Numbers
    rows: int
    shuffles: int

    @property
    def better(self) -> NDArray[np.bool_]:
        """Which columns are significantly better than noise, (columns,): by the shuffles, and by their intervals."""
        return (self.p <= SURE) & (self.low > 0)


def judge_noise(selector: Selector, table: Any, target: Any, *, seed: int = 0) -> Noise | None:
    """Score shuffled targets, and the table without some of its rows.

    A column stands out by (score - mean) / spread, over its own scores of the shuffled targets and the true one. It is
    compared with the column that stands out most for each shuffled target, so that what is found among many columns
    counts for less (single-step maxT). Intervals: a jackknife over 20 groups of rows, on the scale of square roots, as
    F, Fisher's score and mutual information grow with the square of a weak effect: where it is there, 0 lies outside,
    and what holds 0 is not called better. Large tables are judged by some of their rows.

    Args:
        selector: fitted to this table, or at least set up for it.
        table: (rows, columns), finite numbers.
        target: (rows,), classes or numbers.
        seed: of the order.
    Returns:
        None where there are too few rows, or too few of each class, to tell.
    Source: Westfall & Young 1993, Resampling-Based Multiple Testing, 2.3; Efron & Tibshirani 1993, chapter 11.
    """
    values, classes = np.asarray(table, dtype=np.float64), selector.target_kind_ == "classes"
    goal = np.unique(target, return_inverse=True)[1] if classes else np.asarray(target, dtype=np.float64)
    rows, shuffles = _plan(values.shape)
    if rows < LEAST_ROWS:
        return None
    chance = np.random.default_rng(seed)
    drawn = np.sort(chance.permutation(len(goal))[:rows])
    part, part_goal = values[drawn], _renumber(goal[drawn], classes)
    try:
        alone = selector.score_alone(values, goal, classes)
        p = _compare_with_shuffled(selector, part, part_goal, classes, shuffles, chance)
        spread = _measure_spread(selector, part, part_goal, classes, chance) * np.sqrt(rows / len(goal))
    except JumokError:  # with these rows nothing can be scored, such as classes of one row each
        return None
    root, half = np.sqrt(np.maximum(alone, 0.0)), NORMAL_95 * spread
    return Noise(alone, np.maximum(root - half, 0.0) ** 2, (root + half) ** 2, p, rows, shuffles)


def _plan(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many rows to draw, and how often to shuffle."""
    rows, columns = shape
    drawn = min(rows, max(FEWEST_ROWS_DRAWN, MOST_CELLS // (columns * (MOST_SHUFFLES + GROUPS))))
    return drawn, int(np.clip(MOST_CELLS // (columns * drawn) - GROUPS, LEAST_SHUFFLES, MOST_SHUFFLES))


def _renumber(goal: NDArray[Any], classes: bool) -> NDArray[Any]:
    """Classes from 0 without gaps, where rows were left out."""
    return np.unique(goal, return_inverse=True)[1] if classes else goal


def _compare_with_shuffled(
    selector: Selector, table: Numbers, goal: NDArray[Any], classes: bool, shuffles: int, chance: np.random.Generator
) -> Numbers:
    orders = [np.arange(len(goal)), *(chance.permutation(len(goal)) for _ in range(shuffles))]
    scores = np.stack([selector.score_alone(table, goal[order], classes) for order in orders])
    spread = scores.std(axis=0)
    outstanding = (scores - scores.mean(axis=0)) / np.where(spread > 0, spread, np.inf)
    best = outstanding.max(axis=1)
    return (best[:, None] >= outstanding[0]).mean(axis=0)  # type: ignore[no-any-return]


def _measure_spread(
    selector: Selector, table: Numbers, goal: NDArray[Any], classes: bool, chance: np.random.Generator
) -> Numbers:
    """The standard error of the square root of each column's score, which is nearly even where scores are small."""
    groups = min(GROUPS, len(goal))
    of = chance.permutation(len(goal)) % groups
    scores = np.stack(
        [selector.score_alone(table[of != out], _renumber(goal[of != out], classes), classes) for out in range(groups)]
    )
    roots = np.sqrt(np.maximum(scores, 0.0))
    return np.sqrt((groups - 1) / groups * ((roots - roots.mean(axis=0)) ** 2).sum(axis=0))  # type: ignore[no-any-return]
