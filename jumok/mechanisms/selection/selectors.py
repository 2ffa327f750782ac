"""Feature selection: attention over the columns of a table, all or nothing, as scikit-learn estimators.

Each selector scores the columns against a target and keeps k of them. It works wherever scikit-learn's own do (in a
`Pipeline`, with `get_support`, `get_feature_names_out`, `set_output`), and says what it kept as an `AttentionMap`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from jumok.attention import AttentionMap, Axis, Features, One, Pixels, Scale
from jumok.errors import JumokError, suggest
from jumok.mechanisms.example import Example
from jumok.mechanisms.selection import redundancy
from jumok.mechanisms.selection.mutual_information import mutual_information
from jumok.mechanisms.selection.redundancy import Choice
from jumok.watching.watchers import report

__all__ = [
    "JMI",
    "METHODS",
    "MRMR",
    "AnovaF",
    "FisherScore",
    "MutualInformation",
    "Selector",
    "example",
    "guess_kind",
    "masks",
    "select",
]

Numbers = NDArray[np.float64]
Array = NDArray[Any]

MOST_CLASSES = 20
"""Whole numbers of which no more are different count as classes."""


def guess_kind(target: Array) -> str:
    """Whether a target counts as "classes" or for "numbers" by default.

    What is not a number is a class; so are whole numbers, if there are at most 20 different ones.

    >>> guess_kind(np.array(["good", "bad"])), guess_kind(np.array([1, 2, 2])), guess_kind(np.array([0.5, 1.5]))
    ('classes', 'classes', 'numbers')
    """
    if target.dtype.kind not in "iuf":
        return "classes"
    values = np.unique(target)
    return "classes" if len(values) <= MOST_CLASSES and (values == np.floor(values)).all() else "numbers"


class Selector(SelectorMixin, BaseEstimator):  # type: ignore[misc]
    """What all selectors share. One more needs `_name`, `score_alone` and its own `__init__`; and
    `_choose`, if columns are judged beside each other.

    After `fit`: `scores_` (columns,), larger is better; `order_` (k,), the columns kept, best first.
    """

    _name: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]] = ("classes", "numbers")
    """Which targets it can judge by."""
    steps: ClassVar[bool] = False
    """Whether it chooses one column after another, each beside those before it."""
    unit: str = ""
    """Of the scores; empty where they are plain numbers."""
    k: int
    target: str = "auto"

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803 (scikit-learn's names)
        """Score the columns and choose.

        Args:
            X: (rows, columns), finite numbers.
            y: (rows,), classes or numbers.
        Raises:
            JumokError: k beyond the columns, a target of one class or number, or one of a kind it cannot judge by.
            ValueError: not a finite table (said by scikit-learn).
        """
        table, target = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        columns = table.shape[1]
        if isinstance(self.k, bool) or not isinstance(self.k, int | np.integer) or not 1 <= self.k <= columns:
            raise JumokError(f"k is from 1 to the columns of the table (n_features={columns}), got {self.k!r}")
        kind = self._kind(target)
        if kind == "classes":
            values, target = np.unique(target, return_inverse=True)
            if len(values) < 2:
                raise JumokError(f"the target has one class only, {str(values[0])!r}: nothing tells it from any other")
        elif target.min() == target.max():
            raise JumokError(f"the target has one value only, {target[0]:g}: nothing depends on it")
        choice = self._choose(table, np.asarray(target), kind == "classes")
        self.order_, self.scores_, self.target_kind_ = choice.order, choice.scores, kind
        return self

    @abstractmethod
    def score_alone(self, table: Numbers, target: Array, classes: bool) -> Numbers:
        """What each column tells of the target by itself, (columns,); the target is classes from 0, or numbers."""

    def _choose(self, table: Numbers, target: Array, classes: bool) -> Choice:
        """Score all columns and choose k: here the k that score most by themselves."""
        return self._best(self.score_alone(table, target, classes), table)

    @property
    def source(self) -> str:
        """Where its maps come from."""
        return f"feature-selection/{self._name}"

    def attention_map(self, *, scores: bool = False, image: tuple[int, int] | None = None) -> AttentionMap:
        """What the target looks at: the mask of the columns kept, or the scores of all.

        Args:
            scores: the scores and not the mask.
            image: (height, width), if the columns are the pixels of an image, row by row.
        Returns:
            one row, One("target") -> Features or, with `image`, Pixels.
        Raises:
            JumokError: not as many columns as pixels.
            NotFittedError: `fit` was not called yet (said by scikit-learn).
        """
        check_is_fitted(self)
        values = self.scores_ if scores else self._get_support_mask()
        weights = torch.from_numpy(np.asarray(values, dtype=np.float32))[None]
        scale, unit = (Scale.SCORE, self.unit) if scores else (Scale.MASK, "")
        return AttentionMap(weights, One("target"), self._axis(image), (), scale, self.source, unit)

    def _axis(self, image: tuple[int, int] | None) -> Axis:
        if image is None:
            names = getattr(self, "feature_names_in_", None)
            return Features(tuple(f"x{i}" for i in range(self.n_features_in_)) if names is None else tuple(names))
        pixels = Pixels(*image)
        if len(pixels) != self.n_features_in_:
            raise JumokError(
                f"an image of {image[0]} x {image[1]} has {len(pixels)} pixels, and the table {self.n_features_in_} "
                "columns: give the height and width of the images that the columns are the pixels of"
            )
        return pixels

    def _kind(self, target: Array) -> str:
        known = ("auto", *self.kinds)
        if self.target not in known:
            what = "classes only" if self.target == "numbers" else f"no kind {self.target!r}"
            raise JumokError(f"{type(self).__name__} judges by {what}: {suggest(str(self.target), known)}")
        kind = guess_kind(target) if self.target == "auto" else self.target
        if kind not in self.kinds:
            raise JumokError(
                f"{type(self).__name__} tells classes apart, and this target holds numbers (Unknown label type: "
                "continuous): put them into classes, or choose a selector that takes numbers"
            )
        if kind == "numbers" and target.dtype.kind not in "iuf":
            raise JumokError(f"the target was said to be numbers, but holds {target[0]!r}")
        return kind

    def _best(self, scores: Numbers, table: Numbers) -> Choice:
        """The k largest, first of equals first; constant columns after all others."""
        order = np.lexsort((-scores, _find_constant(table)))[: self.k]
        return Choice(order, scores)

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self)
        mask = np.zeros(self.n_features_in_, dtype=bool)
        mask[self.order_] = True
        return mask

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def _find_constant(table: Numbers) -> NDArray[np.bool_]:
    constant: NDArray[np.bool_] = table.min(axis=0) == table.max(axis=0)
    return constant


def _find_discrete(discrete: object, columns: int) -> NDArray[np.bool_]:
    """Which columns are classes: (columns,) bool."""
    kinds = np.asarray(discrete)
    if kinds.dtype != bool or kinds.shape not in ((), (columns,)):
        raise JumokError(
            f"discrete is True, False or one of them for each of the {columns} columns, got {kinds.dtype} of shape "
            f"{kinds.shape}"
        )
    return np.broadcast_to(kinds, (columns,))


# -- each column by itself ----------------------------------------------------------------------


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
        return _f(redundancy.centre_columns(table), target, classes)


def _f(columns: Numbers, target: Array, classes: bool) -> Numbers:
    return redundancy.f_of_classes(columns, target) if classes else redundancy.f_of_numbers(columns, target)


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
        kinds = _find_discrete(self.discrete, table.shape[1])
        scores = mutual_information(
            table, target, discrete_target=classes, discrete=kinds, neighbours=self.neighbours, seed=self.seed,
            corrected=self.corrected,
        )  # fmt: skip
        return np.where(_find_constant(table), 0.0, scores)


# -- columns beside those already chosen --------------------------------------------------------


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
            return _f(redundancy.centre_columns(table), target, classes)
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
        return redundancy.choose(relevance, repeated, judge, self.k, _find_constant(table))

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
        return redundancy.choose(relevance, joint, redundancy.take_joint, self.k, _find_constant(table))


def _code_columns(
    table: Numbers, target: Array, classes: bool, discrete: object, bins: int
) -> tuple[redundancy.CodedColumns, Array]:
    """Columns and target in levels."""
    if isinstance(bins, bool) or not isinstance(bins, int | np.integer) or not 2 <= bins <= redundancy.MOST_LEVELS:
        raise JumokError(f"bins are from 2 to {redundancy.MOST_LEVELS}, got {bins!r}")
    coded = redundancy.code_columns(table, _find_discrete(discrete, table.shape[1]), bins)
    return coded, redundancy.number_levels(target, "of the target") if classes else redundancy.cut_into_bins(
        target, bins
    )


METHODS: Mapping[str, Callable[..., Selector]] = {
    "fisher": FisherScore,
    "anova": AnovaF,
    "mutual-information": MutualInformation,
    "mrmr-fcd": partial(MRMR, criterion="FCD"),
    "mrmr-fcq": partial(MRMR, criterion="FCQ"),
    "mrmr-mid": partial(MRMR, criterion="MID"),
    "mrmr-miq": partial(MRMR, criterion="MIQ"),
    "jmi": JMI,
}
"""All ways to select, by the names that people type."""


# -- batches of tables --------------------------------------------------------------------------


def select(tables: Tensor, target: Tensor, selector: Selector) -> Tensor:
    """Keep the chosen columns of each table of a batch, and tell watchers of the mask.

    Args:
        tables: (batch, rows, features), finite.
        target: (batch, rows), classes or numbers.
        selector: says how to choose; a fresh copy is fitted to each table.
    Returns:
        (batch, rows, k), the columns kept in their own order.
    Raises:
        JumokError: shapes do not fit, or a table that the selector refuses.

    >>> tables, target = torch.tensor([[[0.0, 5.0], [1.0, 6.0], [0.0, 0.0], [1.0, 1.0]]]), torch.tensor([[0, 0, 1, 1]])
    >>> select(tables, target, FisherScore(k=1)).flatten()
    tensor([5., 6., 0., 1.])
    """
    found = masks(tables, target, selector)
    report(found, (One("target"), Features.numbered(tables.shape[2])), Scale.MASK)
    kept = found[:, 0].nonzero()[:, 1].view(len(tables), 1, -1)
    return tables.gather(2, kept.expand(-1, tables.shape[1], -1))


def masks(tables: Tensor, target: Tensor, selector: Selector) -> Tensor:
    """Which columns of each table are kept: (batch, 1, features), 1 or 0; arguments as for `select`."""
    if tables.dim() != 3 or target.shape != tables.shape[:2]:
        raise JumokError(
            f"tables have shape {tuple(tables.shape)} and target {tuple(target.shape)}, wanted (batch, rows, features) "
            "and (batch, rows)"
        )
    pairs = zip(tables.numpy(force=True), target.numpy(force=True), strict=True)
    found = np.stack([clone(selector).fit(table, own).get_support() for table, own in pairs])
    return torch.from_numpy(found)[:, None].to(tables)


def example() -> Example:
    """Two small tables of two classes, of which the third and fifth column tell."""
    target = torch.arange(24).expand(2, -1) % 2
    tables = torch.randn(2, 24, 6, generator=torch.Generator().manual_seed(0))
    tables[0, :, 2] += 3 * target[0]
    tables[1, :, 4] += 3 * target[1]
    selector = MRMR(k=2)
    return Example(
        output=partial(select, selector=selector),
        weights=partial(masks, selector=selector),
        inputs={"tables": tables, "target": target},
        wrong={"tables": torch.zeros(2, 23, 6), "target": torch.zeros(2, 24, 1)},
        scale=Scale.MASK,
        hard=True,
    )
