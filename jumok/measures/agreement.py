"""Do two maps of one image agree? Where two questions are asked about it, they should not.

A model that looks at the same place whatever it is asked has maps that agree, and may still point well.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jumok.attention import AttentionMap, Patches
from jumok.errors import JumokError
from jumok.intervals import Bootstrap, Interval
from jumok.language import join_later, later, later_count
from jumok.measures.localisation_scores import FLAT_TOLERANCE, BlankError, Heat, choose_float
from jumok.measures.printed import Printed
from jumok.measures.ranks import correlate_ranks
from jumok.measures.report import show_interval

__all__ = ["Agreement", "AgreementReport", "rank_correlation"]


def rank_correlation(first: Heat, second: Heat) -> float:
    """Spearman's rank correlation of two maps over the same places.

    Only the order of the values matters; places of equal value share the mean of their ranks. Tokens that cover no
    pixels, such as `cls`, are left out.

    Args:
        first, second: maps of one row with the same keys, or values of the same shape.
    Returns:
        From -1 (the opposite order) over 0 (none) to 1 (the same).
    Raises:
        BlankError: all values of a map are equal, so that it has no order.
        JumokError: maps over different places, of several rows, or with values that are not finite.
    Source: Spearman 1904, "The Proof and Measurement of Association between Two Things"; for maps of answers to
        questions: Das et al. 2016, arXiv 1606.03556.

    >>> import torch
    >>> rank_correlation(torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[0.1, 0.3, 0.2]]))
    0.5
    """
    if isinstance(first, AttentionMap) and isinstance(second, AttentionMap) and first.keys != second.keys:
        raise JumokError("the maps are over different places: wanted two of one image, by one model")
    one, other = _take_places(first), _take_places(second)
    if one.shape != other.shape:
        raise JumokError(f"the maps have {one.shape} and {other.shape} values: wanted two over the same places")
    return float(correlate_ranks(one.reshape(1, -1), other.reshape(1, -1))[0])


def _take_places(heat: Heat) -> NDArray[np.floating]:
    """One value for each place, checked."""
    values = heat
    if isinstance(heat, AttentionMap):
        if heat.weights.numel() != len(heat.keys):
            shape = tuple(heat.weights.shape)
            raise JumokError(f"wanted one row of weights, got {shape}: choose with .at, .mean and .row")
        first = len(heat.keys.special) if isinstance(heat.keys, Patches) else 0
        values = heat.weights.flatten()[first:]
    assert not isinstance(values, AttentionMap)
    found: NDArray[np.floating] = values.detach().cpu().to(choose_float(values)).numpy()
    if found.size < 2 or not np.isfinite(found).all():
        raise JumokError(f"a rank correlation needs finite values of two places or more, got {found.size} values")
    if np.ptp(found) <= FLAT_TOLERANCE * np.abs(found).max():
        raise BlankError("all values are equal: there is no order to compare")
    return found


@dataclass(frozen=True, repr=False)
class AgreementReport(Printed):
    """How far pairs of maps agree.

    Args:
        correlation: Spearman's rank correlation, mean over images of the mean over their pairs.
        images, pairs: how many were compared.
        blank: how many pairs were left out because a map gives every place the same.
        level, resamples, seed: of the bootstrap interval, over images.
    """

    correlation: Interval
    images: int
    pairs: int
    blank: int
    level: float
    resamples: int
    seed: int

    def summary(self) -> str:
        """One line that says the figure and what it is the mean of."""
        blank = later_count(
            self.blank, "{count} pair with a blank map left out", "{count} pairs with a blank map left out"
        )
        parts = [
            later("rank correlation {interval}", interval=show_interval(self.correlation)),
            later(
                "{pairs} of {images}",
                pairs=later_count(self.pairs, "{count} pair of maps", "{count} pairs of maps"),
                images=later_count(self.images, "{count} image", "{count} images"),
            ),
            later("{level} bootstrap interval", level=f"{self.level:.0%}"),
            *([blank] if self.blank else []),
        ]
        return join_later("; ", parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "summary": self.summary(),
            "rank_correlation": self.correlation.to_dict(),
            "images": self.images,
            "pairs": self.pairs,
            "left_out": {"blank": self.blank},
            "bootstrap": {"level": self.level, "resamples": self.resamples, "seed": self.seed},
        }


class Agreement:
    """Compares pairs of maps one by one; only sums of correlations are kept, by image.

    An image counts once, however many pairs it has: its pairs are not independent.

    Args:
        seed: of the bootstrap.

    >>> import torch
    >>> agreement = Agreement()
    >>> for image in ("a.png", "b.png"):
    ...     _ = agreement.add(image, torch.tensor([1.0, 2.0, 3.0]), torch.tensor([3.0, 2.0, 1.0]))
    >>> print(agreement.report().correlation)
    -1.000 (-1.000 to -1.000)
    """

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed
        self._sums: dict[str, float] = {}
        self._pairs: Counter[str] = Counter()
        self._blank = 0

    def add(self, image: str, first: Heat, second: Heat) -> float | None:
        """Compare two maps of one image.

        Args:
            image: its name; pairs of one image may come at any time.
            first, second: as for `rank_correlation`.
        Returns:
            Their correlation; None where a map is blank, and the pair is counted and left out.
        Raises:
            JumokError: as `rank_correlation`, but for blank maps.
        """
        try:
            found = rank_correlation(first, second)
        except BlankError:
            self._blank += 1
            return None
        except JumokError as error:
            raise JumokError(f"{image}: {error}") from error
        self._sums[image] = self._sums.get(image, 0.0) + found
        self._pairs[image] += 1
        return found

    def report(self, *, resamples: int = 2000, level: float = 0.95) -> AgreementReport:
        """The mean over all images so far, with its bootstrap interval over the images.

        Raises:
            JumokError: no pair was compared.
        """
        if not self._sums:
            blank = f": all {self._blank} had a blank map" if self._blank else ": add two maps of one image"
            raise JumokError(f"no pair of maps to compare{blank}")
        means = [total / self._pairs[image] for image, total in self._sums.items()]
        bootstrap = Bootstrap(means, resamples=resamples, level=level, seed=self._seed, bounds=(-1.0, 1.0))
        return AgreementReport(
            bootstrap.mean(), len(means), self._pairs.total(), self._blank, level, resamples, self._seed
        )
