"""Selectors that choose one column after another, each beside those already chosen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from jumok.errors import JumokError, suggest
from jumok.mechanisms.selection import redundancy
from jumok.mechanisms.selection.redundancy import Choice
from jumok.mechanisms.selection.selector import Array, Numbers, Selector, find_constant, find_discrete
from jumok.mechanisms.selection.single_columns import f_statistic


class MRMR(Selector):
    """Keep columns that tell much of the target and repeat little of each other, one after another.

    The first is the most relevant. Each next one has the largest relevance minus (D) or by (Q) its mean redundancy with
    those chosen. FC: relevance is the F statistic, redundancy |correlation|, for numbers. MI: both are mutual
    information of columns in levels, for classes too. F is often hundreds and |correlation| at most 1, so that FCD
    hardly minds redundancy. MIQ may pass over the second of two columns that each tell nearly all of the target, for
    what they share is the target. Redundancy counts as at least 0.001; what is wholly redundant scores 0 by Q.

    Args:
        k: how many columns to keep.
        criterion: "FCD", "FCQ", "MID" or "MIQ".
        target: "classes", "numbers" or "auto" (see `guess_kind`).
        discrete: for MI: which columns are classes, one bool for each, or one for all; others get bins.
        bins: for MI: of about as many rows each, 2 to 256; for numbers as target, too.
        corrected: for MI: count information less what chance gives, so that identifiers don't come first.
    Source: Ding & Peng 2005, doi 10.1142/S0219720005001004 (FCD, FCQ, MID, MIQ). Differs: bins of equal counts.
    """

    _name = "mrmr"
    steps = True

    def __init__(
        self,
        k: int = 1,
        criterion: str = "FCQ",
        target: str = "auto",
        discrete: Any = False,
        bins: int = 5,
        corrected: bool = False,
    ) -> None:
        self.k, self.criterion, self.target, self.discrete, self.bins = k, criterion, target, discrete, bins
        self.corrected = corrected

    @property
    def source(self) -> str:
        """Where its maps come from."""
        return f"{super().source}-{self.criterion.lower()}"

    @property
    def unit(self) -> str:  # type: ignore[override]
        """Of the scores: those of MID are differences of information, the others quotients or of F."""
        return "nats" if self.criterion == "MID" else ""

    def score_alone(self, table: Numbers, target: Array, classes: bool) -> Numbers:
        if not self._find_criterion()[0]:
            return f_statistic(redundancy.centre_columns(table), target, classes)
        coded, levels = _code_columns(table, target, classes, self.discrete, self.bins)
        return redundancy.joint_information(coded, levels, corrected=self.corrected)

    def _find_criterion(self) -> tuple[bool, redundancy.Judge]:
        if self.criterion not in CRITERIA:
            raise JumokError(f"no criterion {self.criterion!r}: {suggest(str(self.criterion), CRITERIA)}")
        return CRITERIA[self.criterion]

    def _choose(self, table: Numbers, target: Array, classes: bool) -> Choice:
        counted, judge = self._find_criterion()
        relevance = self.score_alone(table, target, classes)
        repeated = (
            self._measure_repeated(table, target, classes)
            if counted
            else redundancy.correlations(redundancy.centre_columns(table))
        )
        return redundancy.choose(relevance, repeated, judge, self.k, find_constant(table))

    def _measure_repeated(self, table: Numbers, target: Array, classes: bool) -> Callable[[int], Numbers]:
        """What one column tells of all, by counts."""
        coded, _ = _code_columns(table, target, classes, self.discrete, self.bins)
        return lambda i: redundancy.joint_information(coded, coded.codes[i], corrected=self.corrected)


CRITERIA = {
    "FCD": (False, redundancy.difference),
    "FCQ": (False, redundancy.quotient),
    "MID": (True, redundancy.difference),
    "MIQ": (True, redundancy.quotient),
}
"""Whether it counts levels, and how relevance and redundancy make a score."""


class JMI(Selector):
    """Keep columns that tell much of the target together with each of those already chosen, one after another.

    The first has the largest I(x; y). Each next one has the largest mean of I(x, x_j; y) over the x_j chosen, in nats,
    with columns in levels. So a column that tells something only beside another one counts, as in exclusive or.

    Args:
        k: how many columns to keep.
        target: "classes", "numbers" or "auto" (see `guess_kind`).
        discrete: which columns are classes, one bool for each, or one for all; others get bins.
        bins: of about as many rows each, 2 to 256; for numbers as target, too.
        corrected: count information less what chance gives, so that identifiers don't come first.
    Source: Yang & Moody 1999, NIPS 12; Brown et al. 2012, JMLR 13, 27-66 (JMI). Differs: bins of equal counts.
    """

    _name = "jmi"
    unit = "nats"
    steps = True

    def __init__(
        self, k: int = 1, target: str = "auto", discrete: Any = False, bins: int = 5, corrected: bool = False
    ) -> None:
        self.k, self.target, self.discrete, self.bins, self.corrected = k, target, discrete, bins, corrected

    def score_alone(self, table: Numbers, target: Array, classes: bool) -> Numbers:
        coded, levels = _code_columns(table, target, classes, self.discrete, self.bins)
        return redundancy.joint_information(coded, levels, corrected=self.corrected)

    def _choose(self, table: Numbers, target: Array, classes: bool) -> Choice:
        coded, levels = _code_columns(table, target, classes, self.discrete, self.bins)
        relevance = redundancy.joint_information(coded, levels, corrected=self.corrected)
        joint = partial(redundancy.joint_information, coded, levels, corrected=self.corrected)
        return redundancy.choose(relevance, joint, redundancy.take_joint, self.k, find_constant(table))


def _code_columns(
    table: Numbers, target: Array, classes: bool, discrete: object, bins: int
) -> tuple[redundancy.CodedColumns, Array]:
    """Columns and target in levels."""
    if isinstance(bins, bool) or not isinstance(bins, int | np.integer) or not 2 <= bins <= redundancy.MOST_LEVELS:
        raise JumokError(f"bins are from 2 to {redundancy.MOST_LEVELS}, got {bins!r}")
    coded = redundancy.code_columns(table, find_discrete(discrete, table.shape[1]), bins)
    return coded, redundancy.number_levels(target, "of the target") if classes else redundancy.cut_into_bins(
        target, bins
    )
