"""Selectors that score each column by itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from jumok.mechanisms.selection import redundancy
from jumok.mechanisms.selection.mutual_information import mutual_information
from jumok.mechanisms.selection.selector import Array, Numbers, Selector, find_constant, find_discrete


class FisherScore(Selector):
    """Keep the columns whose classes lie furthest apart: variance between classes by variance within.

    score = sum_c n_c (mean_c - mean)^2 / sum_c n_c var_c. It ranks as the F of an analysis of variance does, which is
    the same but for a constant. A column that is constant in each class has a large score, as large as rounding allows.

    Args:
        k: how many columns to keep.
    Source: Duda, Hart & Stork 2001, 3.8.3, for one column; so in Gu, Li & Han 2011, arXiv 1202.3725, section 2.

    >>> table = np.array([[0.0, 5.0], [1.0, 6.0], [0.0, 0.0], [1.0, 1.0]])
    >>> FisherScore(k=1).fit(table, ["good", "good", "bad", "bad"]).scores_
    array([ 0., 25.])
    """

    _name = "fisher"
    kinds = ("classes",)

    def __init__(self, k: int = 1) -> None:
        self.k = k

    def score_alone(self, table: Numbers, target: Array, classes: bool) -> Numbers:
        between, within = redundancy.variances(redundancy.centre_columns(table), target)
        return between / within


class AnovaF(Selector):
    """Keep the columns with the largest F statistic: of an analysis of variance, or of a line through numbers.

    Args:
        k: how many columns to keep.
        target: "classes", "numbers" or "auto" (see `guess_kind`).
    Source: Fisher 1925, chapter VII; as scikit-learn's f_classif and f_regression. Differs: never infinite, see
        `FisherScore`.
    """

    _name = "anova"

    def __init__(self, k: int = 1, target: str = "auto") -> None:
        self.k, self.target = k, target

    def score_alone(self, table: Numbers, target: Array, classes: bool) -> Numbers:
        return f_statistic(redundancy.centre_columns(table), target, classes)


class MutualInformation(Selector):
    """Keep the columns that tell most of the target, whatever the form of the dependence, in nats.

    Args:
        k: how many columns to keep.
        target: "classes", "numbers" or "auto" (see `guess_kind`).
        discrete: which columns are classes, one bool for each, or one for all.
        neighbours: of which the distance is taken; more give less spread and more bias.
        seed: of the noise that parts equal numbers.
        corrected: count what classes tell of classes less what chance gives, so that identifiers don't come first.
    Source: Kraskov, Stoegbauer & Grassberger 2004, arXiv cond-mat/0305641, eq. 8; Ross 2014,
        doi 10.1371/journal.pone.0087357, eq. 2.
    """

    _name = "mutual-information"
    unit = "nats"

    def __init__(
        self,
        k: int = 1,
        target: str = "auto",
        discrete: Any = False,
        neighbours: int = 3,
        seed: int = 0,
        corrected: bool = False,
    ) -> None:
        self.k, self.target, self.discrete, self.neighbours, self.seed = k, target, discrete, neighbours, seed
        self.corrected = corrected

    def score_alone(self, table: Numbers, target: Array, classes: bool) -> Numbers:
        kinds = find_discrete(self.discrete, table.shape[1])
        scores = mutual_information(
            table, target, discrete_target=classes, discrete=kinds, neighbours=self.neighbours, seed=self.seed,
            corrected=self.corrected,
        )  # fmt: skip
        return np.where(find_constant(table), 0.0, scores)


def f_statistic(columns: Numbers, target: Array, classes: bool) -> Numbers:
    """F of each centred column: of an analysis of variance, or of a line through numbers."""
    return redundancy.f_of_classes(columns, target) if classes else redundancy.f_of_numbers(columns, target)
