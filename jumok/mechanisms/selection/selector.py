"""Feature selection: attention over the columns of a table, all or nothing, as scikit-learn estimators.

Each selector scores the columns against a target and keeps k of them. It works wherever scikit-learn's own do (in a
`Pipeline`, with `get_support`, `get_feature_names_out`, `set_output`), and says what it kept as an `AttentionMap`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from jumok.attention import AttentionMap, Axis, Features, One, Pixels, Scale
from jumok.errors import JumokError, suggest
from jumok.mechanisms.selection.redundancy import Choice

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
        order = np.lexsort((-scores, find_constant(table)))[: self.k]
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


def find_constant(table: Numbers) -> NDArray[np.bool_]:
    """Which columns have one value only: (columns,) bool."""
    constant: NDArray[np.bool_] = table.min(axis=0) == table.max(axis=0)
    return constant


def find_discrete(discrete: object, columns: int) -> NDArray[np.bool_]:
    """Which columns are classes: (columns,) bool.

    Args:
        discrete: one bool for each of them, or one for all.
        columns: how many there are.
    Raises:
        JumokError: it is neither.
    """
    kinds = np.asarray(discrete)
    if kinds.dtype != bool or kinds.shape not in ((), (columns,)):
        raise JumokError(
            f"discrete is True, False or one of them for each of the {columns} columns, got {kinds.dtype} of shape "
            f"{kinds.shape}"
        )
    return np.broadcast_to(kinds, (columns,))
