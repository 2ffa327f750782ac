"""How far a figure can be trusted: Wilson's interval of a share, percentile bootstrap intervals of means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jumok.errors import JumokError

BLOCK = 4_000_000  # drawn indices held at once, so that many samples do not fill the memory
NORMAL_95 = 1.959963984540054
"""The normal distribution's two-sided 95% point."""
TAILS_95 = (0.025, 0.975)
"""Shares of draws below the ends of a 95% interval."""
ROUNDING = 1e-9
"""By how much equal figures may differ."""


@dataclass(frozen=True)
class Interval:
    """A value with the range it may lie in.

    >>> print(Interval(0.8123, 0.75, 0.86))
    0.812 (0.750 to 0.860)
    >>> print(-Interval(0.8123, 0.75, 0.86))
    -0.812 (-0.860 to -0.750)
    """

    value: float
    low: float
    high: float

    def __neg__(self) -> Interval:
        return Interval(-self.value, -self.high, -self.low)

    def __str__(self) -> str:
        return f"{self.value:z.3f} ({self.low:z.3f} to {self.high:z.3f})"

    def to_dict(self) -> dict[str, float]:
        """Plain values for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}


class Bootstrap:
    """Means of columns with percentile bootstrap intervals over the rows.

    Every column sees the same resamples, so the difference of two columns is a paired one: what makes
    a row hard for both columns cancels. One row alone says nothing of the others: its interval is all of `bounds`.

    Args:
        values: (samples, columns), finite; or (samples,) for one column.
        resamples: how many times the rows are drawn anew.
        level: the share of resampled means that an interval holds, in (0, 1).
        seed: of the drawing; the same seed gives the same intervals.
        bounds: the least and the greatest value there can be.
        of_hits: the values tell how well each row was met, as 1 and 0 do: where all rows are alike, others may not be,
            and the interval is that of `cut_tails`. Others may be alike for a reason: no width.
    Raises:
        JumokError: no samples, a value that is not finite, or a resample count or level that makes no interval.
    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentile intervals).

    >>> hits = Bootstrap([[1, 0], [1, 1], [0, 0], [1, 0]])
    >>> hits.mean(0).value, hits.difference(0, 1).value
    (0.75, 0.5)
    """

    def __init__(
        self,
        values: ArrayLike,
        *,
        resamples: int = 2000,
        level: float = 0.95,
        seed: int = 0,
        bounds: tuple[float, float] = (0.0, 1.0),
        of_hits: bool = False,
    ) -> None:
        table = np.asarray(values, dtype=np.float64)
        table = table[:, None] if table.ndim == 1 else table
        if table.ndim != 2 or table.size == 0:
            raise JumokError(f"a bootstrap needs values of shape (samples, columns), got {np.shape(values)}")
        if not np.isfinite(table).all():
            raise JumokError("a bootstrap needs finite values, got NaN or infinity among them")
        if resamples < 1 or not 0 < level < 1:
            raise JumokError(f"wanted resamples of at least 1 and a level in (0, 1), got {resamples} and {level}")
        self.samples = len(table)
        self._bounds = bounds
        self._unseen = find_unseen(len(table)) if of_hits else 0.0
        self._tails = ((1 - level) / 2, (1 + level) / 2)
        self._means = table.mean(0)
        self._draws = resample_means(table, resamples, np.random.default_rng(seed))

    def mean(self, column: int = 0) -> Interval:
        """The mean of one column."""
        return self._interval(self._means[column], self._draws[:, column], *self._bounds)

    def difference(self, column: int, other: int) -> Interval:
        """The mean of one column less that of another, row by row."""
        least, greatest = self._bounds
        draws = self._draws[:, column] - self._draws[:, other]
        return self._interval(
            self._means[column] - self._means[other], draws, least - greatest, greatest - least, difference=True
        )

    def _interval(
        self, value: float, draws: NDArray[np.float64], least: float, greatest: float, *, difference: bool = False
    ) -> Interval:
        equal = difference and value == 0  # two columns that are one and the same, as far as can be seen
        return cut_tails(
            float(value), draws, self.samples, (least, greatest), 0.0 if equal else self._unseen, self._tails
        )


def cut_tails(
    value: float,
    draws: NDArray[np.float64],
    samples: int,
    bounds: tuple[float, float],
    unseen: float,
    tails: tuple[float, float] = TAILS_95,
) -> Interval:
    """The percentile interval of a figure that was resampled.

    Where all draws are alike, as where everything was right, resampling says nothing of what was not seen: a share of
    the samples may be otherwise, and lie at either bound.

    Args:
        value: the figure itself.
        draws: (resamples,), the figure on each resample.
        samples: that were resampled; one alone says nothing of the others.
        bounds: the least and the greatest value there can be.
        unseen: the share of the samples that may be otherwise, such as `find_unseen` gives.
        tails: shares of the draws below the ends.

    >>> print(cut_tails(1.0, np.ones(100), 10, (0.0, 1.0), find_unseen(10)))
    1.000 (0.722 to 1.000)
    """
    if samples < 2 or not len(draws):
        return Interval(value, *bounds)
    if np.ptp(draws) <= ROUNDING * max(abs(value), 1.0):
        below, above = (unseen * abs(end - value) if unseen else 0.0 for end in bounds)
        return Interval(value, value - below, value + above)
    low, high = np.quantile(draws, tails)
    return Interval(value, float(low), float(high))


def find_unseen(samples: int) -> float:
    """The largest share that may be otherwise, with 95% confidence, where none of some samples is: Wilson's."""
    return wilson(0, samples)[1]


def resample_means(table: NDArray[np.float64], resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the rows of a table anew, as many as it has, again and again, and take the means of its columns.

    Args:
        table: (samples, columns).
        resamples: how many times the rows are drawn.
        rng: that they are drawn by.
    Returns:
        means: (resamples, columns).
    """
    samples = len(table)
    rows_at_once = max(1, BLOCK // samples)
    means = [
        _draw_counts(rng, min(rows_at_once, resamples - start), samples) @ table / samples
        for start in range(0, resamples, rows_at_once)
    ]
    return np.concatenate(means)


def _draw_counts(rng: np.random.Generator, resamples: int, samples: int) -> NDArray[np.float64]:
    """(resamples, samples): each row counts how often each of `samples` came up in as many draws."""
    drawn = rng.integers(0, samples, (resamples, samples))
    drawn += np.arange(resamples)[:, None] * samples
    counts = np.bincount(drawn.ravel(), minlength=resamples * samples)
    return counts.reshape(resamples, samples).astype(np.float64)


def average_groups(values: NDArray[np.float64], groups: Sequence[str]) -> NDArray[np.float64]:
    """Take the mean of what hangs together, so that it counts once.

    Args:
        values: (samples, ...).
        groups: (samples,), the name of each sample's group.
    Returns:
        (groups, ...), in the order in which the groups came.

    >>> average_groups(np.array([1.0, 3.0, 5.0]), ["a", "a", "b"]).tolist()
    [2.0, 5.0]
    """
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    member = np.array([numbers[group] for group in groups])
    sums = np.zeros((len(numbers), *values.shape[1:]))
    np.add.at(sums, member, values)
    means: NDArray[np.float64] = sums / np.bincount(member).reshape(-1, *[1] * (values.ndim - 1))
    return means


def wilson(hits: float, trials: int) -> tuple[float, float]:
    """The 95% interval of a share.

    >>> [round(end, 3) for end in wilson(95, 100)]
    [0.888, 0.978]

    Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209-212.
    """
    z2 = NORMAL_95**2
    share = hits / trials
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = NORMAL_95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return max(centre - half, 0.0), min(centre + half, 1.0)
