"""How near a model's numbers are to those of the images, beside always saying the median."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jumok.intervals import Bootstrap, Interval

__all__ = ["NumberReport"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NumberReport:
    """How near a model's numbers are to the true ones.

    Args:
        said: (images,), the model's.
        true: (images,), those of the images.
        median: of the training images, which the baseline always says.
    """

    said: Floats
    true: Floats
    median: float

    @property
    def total(self) -> int:
        """How many were judged."""
        return len(self.true)

    @cached_property
    def _errors(self) -> Bootstrap:
        """Absolute errors of the model and of the baseline."""
        errors = np.stack([np.abs(self.said - self.true), np.abs(self.median - self.true)], 1)
        return Bootstrap(errors, bounds=(0.0, float("inf")))

    @property
    def mean_absolute_error(self) -> Interval:
        """In the unit of the table, with its 95% bootstrap interval over images."""
        return self._errors.mean()

    @property
    def root_mean_square_error(self) -> float:
        """In the unit of the table."""
        return float(np.sqrt(np.mean((self.said - self.true) ** 2)))

    @property
    def r2(self) -> float | None:
        """The share of the variance that is explained; None where all images have the same number."""
        if np.ptp(self.true) == 0:  # the mean of equal numbers may differ from them in the last digit
            return None
        spread = float(np.sum((self.true - self.true.mean()) ** 2))
        return 1 - float(np.sum((self.said - self.true) ** 2)) / spread if spread else None

    @property
    def median_error(self) -> Interval:
        """The mean absolute error of always saying the median."""
        return self._errors.mean(1)

    @property
    def beats_median(self) -> bool:
        """Whether its errors are smaller than those of the median, with 95% confidence."""
        return self._errors.difference(1, 0).low > 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        own = self.mean_absolute_error
        gain = self._errors.difference(1, 0)
        return {
            "images": self.total,
            "mean_absolute_error": own.value,
            "mean_absolute_error_95": None if self.total < 2 else [own.low, own.high],
            "root_mean_square_error": self.root_mean_square_error,
            "r2": self.r2,
            "median": {"number": self.median, "mean_absolute_error": self.median_error.value},
            "gain_95": None if self.total < 2 else [gain.low, gain.high],
            "beats_median": self.beats_median,
        }

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        own, r2 = self.mean_absolute_error, self.r2
        yield f"mean absolute error {own.value:.4g} (95% interval {own.low:.4g} to {own.high:.4g})"
        yield f"root mean square error {self.root_mean_square_error:.4g}, R2 {'-' if r2 is None else f'{r2:.3f}'}"
        yield f"baseline: always saying the median, {self.median:.4g}, gives {self.median_error.value:.4g}"

    def table(self) -> None:
        """Numbers have no classes."""

    def warning(self) -> str:
        """Of a model that is not better than the baseline."""
        if self.beats_median:
            return ""
        return (
            f"this model is not significantly better than always saying {self.median:.4g}: it may have learnt "
            "nothing; more images, more --time, or a pretrained --system may help"
        )

    def brief(self) -> dict[str, Any]:
        """The mean absolute error."""
        own = self.mean_absolute_error
        text = f"mean absolute error {own.value:.4g} ({own.low:.4g} to {own.high:.4g})"
        return {"mean_absolute_error": own.value, "text": text}
