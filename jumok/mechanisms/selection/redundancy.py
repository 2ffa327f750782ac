"""What features tell of a target and of each other: variances, correlations, counts; and choosing one after another."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jumok.errors import JumokError
from jumok.mechanisms.selection.mutual_information import expected_by_chance, run_on_threads

__all__ = [
    "Choice",
    "CodedColumns",
    "centre_columns",
    "choose",
    "code_columns",
    "correlations",
    "cut_into_bins",
    "f_of_classes",
    "f_of_numbers",
    "joint_information",
    "number_levels",
    "variances",
]

Numbers = NDArray[np.float64]
Array = NDArray[Any]

LEAST_REDUNDANCY = 0.001
"""Redundancy counts as no less, so that a quotient by it stays meaningful; mrmr_selection's figure."""
FULL_REDUNDANCY = 1 - 1e-12
"""A mean correlation from here on is 1 but for rounding: the feature repeats what is chosen."""
MOST_LEVELS = 256
VALUES_AT_ONCE = 1 << 16
"""Numbers of several columns that are summed together, where there are few rows."""


# -- variances and correlations -----------------------------------------------------------------


def centre_columns(table: Array) -> Numbers:
    """Columns with mean 0: (rows, columns) to a copy (columns, rows); constant ones are 0 exactly."""
    columns = np.array(table.T, dtype=np.float64, order="C")
    constant = columns.min(axis=1) == columns.max(axis=1)
    columns -= columns.mean(axis=1, keepdims=True)
    columns[constant] = 0
    return columns


def variances(columns: Numbers, codes: Array, threads: int | None = None) -> tuple[Numbers, Numbers]:
    """Sums of squares of each column between and within classes, n_c (mean_c - mean)^2 and (x - mean_c)^2 added up.

    Within is no less than what rounding leaves (2e-16 of the whole for each row), so that a column that is constant in
    each class has a large score and not an infinite one; a constant column has 0 and 1.

    Args:
        columns: (columns, rows), each with mean 0.
        codes: (rows,), classes from 0.
    """
    counts, each = np.bincount(codes), max(1, VALUES_AT_ONCE // max(1, len(codes)))
    classes = len(counts)
    places = codes + classes * np.arange(min(each, len(columns)))[:, None]  # of a sum for each column and class

    def some(number: int) -> Numbers:
        block = columns[number * each : (number + 1) * each]
        sums = np.bincount(places[: len(block)].ravel(), block.ravel(), len(block) * classes)
        between = (sums.reshape(len(block), classes) ** 2 / counts).sum(1)
        return np.stack([between, np.einsum("ij,ij->i", block, block)])

    blocks = run_on_threads(some, -(-len(columns) // each), threads)
    between, whole = np.concatenate(blocks, 1) if blocks else np.empty((2, 0))
    return between, _keep_above_rounding(whole - between, whole, len(codes))


def _keep_above_rounding(rest: Numbers, whole: Numbers, rows: int) -> Numbers:
    """What is left of a whole, no less than rounding; 1 of nothing."""
    return np.where(whole > 0, np.maximum(rest, rows * np.finfo(np.float64).eps * whole), 1.0)


def f_of_classes(columns: Numbers, codes: Array, threads: int | None = None) -> Numbers:
    """F = (between / (classes - 1)) / (within / (rows - classes)), one-way analysis of variance.

    Raises:
        JumokError: no class has two rows.
    """
    between, within = variances(columns, codes, threads)
    classes, rows = int(codes.max()) + 1, len(codes)
    if rows <= classes:
        raise JumokError(f"each of the {rows} rows is a class of its own: variance within classes needs two of one")
    return between / (classes - 1) / (within / (rows - classes))


def f_of_numbers(columns: Numbers, target: Numbers) -> Numbers:
    """F = r^2 / (1 - r^2) (rows - 2), of a line through each column and the target."""
    target = target - target.mean()
    whole = np.einsum("ij,ij->i", columns, columns) * (target @ target)
    told = (columns @ target) ** 2
    return told / _keep_above_rounding(whole - told, whole, len(target)) * (len(target) - 2)


def correlations(columns: Numbers) -> Callable[[int], Numbers]:
    """A function that gives |r| of one column with all, no less than 0.001; for columns with mean 0."""
    lengths = np.sqrt(np.einsum("ij,ij->i", columns, columns))
    lengths[lengths == 0] = np.inf

    def of(number: int) -> Numbers:
        products = columns @ columns[number]
        found: Numbers = np.maximum(np.abs(products) / lengths / lengths[number], LEAST_REDUNDANCY)
        return found

    return of


# -- counts -------------------------------------------------------------------------------------


class CodedColumns(NamedTuple):
    """Columns as small numbers: codes (columns, rows) uint8, and how many levels each has."""

    codes: NDArray[np.uint8]
    levels: NDArray[np.int64]


def code_columns(table: Array, discrete: Array, bins: int, threads: int | None = None) -> CodedColumns:
    """Give each column levels: classes keep theirs, numbers get bins of about as many rows each.

    Args:
        table: (rows, columns).
        discrete: (columns,) bool.
        bins: 2 to 256.
    Raises:
        JumokError: more than 256 classes in a column.
    """
    codes = np.empty(table.shape[::-1], dtype=np.uint8)

    def one(number: int) -> int:
        found = number_levels(table[:, number], number) if discrete[number] else cut_into_bins(table[:, number], bins)
        codes[number] = found
        return int(found.max()) + 1

    levels = run_on_threads(one, len(codes), threads)
    return CodedColumns(codes, np.array(levels, dtype=np.int64))


def cut_into_bins(column: Array, bins: int) -> Array:
    """Bins of about as many rows each; equal numbers stay together, and few different ones stay apart.

    >>> cut_into_bins(np.array([5.0, 1.0, 2.0, 4.0]), 2)
    array([1, 0, 0, 1])
    """
    values, places, counts = np.unique(column, return_inverse=True, return_counts=True)
    if len(values) <= bins:
        return places
    centres = (np.cumsum(counts) - counts / 2) / len(column)
    return np.unique(np.floor(bins * centres).astype(np.int64)[places], return_inverse=True)[1]


def number_levels(column: Array, name: object) -> Array:
    """Classes as numbers from 0.

    Raises:
        JumokError: more than 256.
    """
    values, places = np.unique(column, return_inverse=True)
    if len(values) > MOST_LEVELS:
        raise JumokError(
            f"column {name} has {len(values)} classes, wanted at most {MOST_LEVELS}: leave it out or take it as numbers"
        )
    return places


def joint_information(
    coded: CodedColumns,
    target: Array,
    beside: int | None = None,
    threads: int | None = None,
    *,
    corrected: bool = False,
) -> Numbers:
    """I(x; y) of each column with a target in classes, or I(x, x_j; y) with another column beside it, in nats.

    Args:
        coded: the columns.
        target: (rows,), classes from 0.
        beside: j.
        corrected: less what chance gives, see `expected_by_chance`.
    """
    classes, cells, width = int(target.max()) + 1, target.astype(np.int64), int(target.max()) + 1
    if beside is not None:
        cells = coded.codes[beside] * np.int64(classes) + cells
        width *= int(coded.levels[beside])
    measure = partial(_measure_joint, coded, cells, width, classes, corrected)
    return np.array(run_on_threads(measure, len(coded.codes), threads))


def _measure_joint(coded: CodedColumns, cells: Array, width: int, classes: int, corrected: bool, number: int) -> float:
    from jumok.mechanisms.kernels.information import count_joint

    counts = np.zeros(int(coded.levels[number]) * width, dtype=np.int64)
    count_joint(coded.codes[number], cells, width, counts)
    shares = counts.reshape(-1, classes) / len(cells)
    told = _entropy(shares.sum(1)) + _entropy(shares.sum(0)) - _entropy(shares.ravel())
    if corrected:
        told -= expected_by_chance(counts.reshape(-1, classes).sum(1), counts.reshape(-1, classes).sum(0))
    return max(told, 0.0)


def _entropy(shares: Numbers) -> float:
    shares = shares[shares > 0]
    return -float(shares @ np.log(shares))


# -- one after another --------------------------------------------------------------------------


class Choice(NamedTuple):
    """Columns in the order in which they were chosen, and what each column scored.

    A chosen column's score is that of the step in which it was chosen, any other's that of the last step.
    """

    order: NDArray[np.int64]
    scores: Numbers


Judge = Callable[[Numbers, Numbers], Numbers]
"""Relevance and mean of what was found for pairs with those chosen, to the score."""


def difference(relevance: Numbers, redundancy: Numbers) -> Numbers:
    return relevance - redundancy


def quotient(relevance: Numbers, redundancy: Numbers) -> Numbers:
    """What is wholly redundant scores 0."""
    return np.where(redundancy >= FULL_REDUNDANCY, 0.0, relevance / np.maximum(redundancy, LEAST_REDUNDANCY))


def take_joint(relevance: Numbers, joint: Numbers) -> Numbers:
    return joint


def choose(relevance: Numbers, pairs: Callable[[int], Numbers], judge: Judge, k: int, last: Array) -> Choice:
    """Choose the most relevant column, then always the one that scores best beside those chosen; the first of equals.

    Args:
        relevance: of each column.
        pairs: what a chosen column and each other have in common, or tell together.
        judge: of relevance and the mean of those.
        k: how many to choose.
        last: columns that are chosen only when no other is left.
    """
    scores, order = relevance.copy(), [_find_best(relevance, last)]
    left, total = np.ones(len(relevance), dtype=bool), np.zeros(len(relevance))
    left[order] = False
    while len(order) < k:
        total += pairs(order[-1])
        found = judge(relevance, total / len(order))
        scores[left] = np.where(last, 0.0, found)[left]
        best = _find_best(np.where(left, found, -np.inf), last | ~left)
        order.append(best)
        left[best] = False
    return Choice(np.array(order), scores)


def _find_best(scores: Numbers, last: Array) -> int:
    """The first of the largest; one of the `last` only if there are no others that can be chosen."""
    open_ = np.where(last, -np.inf, scores)
    return int(np.argmax(open_ if np.isfinite(open_).any() else scores))
