"""Mutual information between the columns of a table and a target, by nearest neighbours or by counting."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.special import digamma

from jumok.errors import JumokError

__all__ = ["expected_by_chance", "information", "mutual_information", "run_on_threads"]

Numbers = NDArray[np.float64]
Array = NDArray[Any]

NOISE_SHARE = 1e-10
"""What is added to continuous numbers so that no two are equal, as a share of their mean size."""
LEAST_EXPECTED_ROWS = 5
"""Of each pair of classes; from here on the chi-square form of what chance gives is close."""
DRAWS_PER_BLOCK = 1 << 20
"""So many random numbers are drawn at once."""
PARTS_PER_THREAD = 16
"""Of what threads do: as many, so that none waits long for the last."""


def mutual_information(
    table: Array,
    target: Array,
    *,
    discrete_target: bool,
    discrete: Array | bool = False,
    neighbours: int = 3,
    seed: int = 0,
    threads: int | None = None,
    corrected: bool = False,
) -> Numbers:
    """How much each column of a table tells of the target: I(x; y), estimated, and 0 where the estimate is below.

    Two continuous sides: Kraskov, Stoegbauer & Grassberger 2004, arXiv cond-mat/0305641, eq. 8. One side in classes:
    Ross 2014, doi 10.1371/journal.pone.0087357, eq. 2. Both: counts. Columns are brought to a spread of 1 first, and
    noise of 1e-10 of their size parts what is equal (Kraskov et al., section II). Scale, noise and neighbours are
    scikit-learn's, so that the same seed gives what `mutual_info_classif` and `mutual_info_regression` give.

    Args:
        table: (rows, columns), finite.
        target: (rows,), finite numbers; with `discrete_target` anything that can be told apart.
        discrete_target: whether the target is a class.
        discrete: which columns are classes, (columns,) bool, or all alike.
        neighbours: k, 1 or more.
        seed: of the noise.
        threads: among which columns are shared. None: as many as torch uses.
        corrected: where both sides are classes, less what chance gives (see `expected_by_chance`); the estimates from
            neighbours need no such correction, for where nothing depends on anything their mean is 0.
    Returns:
        (columns,), in nats.
    Raises:
        JumokError: shapes do not fit, there are no more rows than neighbours, or neighbours is below 1.
    """
    table, target = np.asarray(table), np.asarray(target)
    _check(table, target, neighbours, discrete_target)
    kinds = np.broadcast_to(np.asarray(discrete, dtype=bool), table.shape[1:])
    chance = np.random.RandomState(seed)  # the generator that scikit-learn draws from
    columns = _standardise(table[:, ~kinds] if kinds.any() else table, chance)
    asked = _NeighbourSearch(columns, neighbours, _tabulate_digamma(len(target)), threads)
    found = np.empty(table.shape[1])
    if discrete_target:
        codes = np.unique(target, return_inverse=True)[1]
        found[~kinds] = _score_numbers_by_classes(asked, codes)
        of_classes = partial(_score_classes_by_classes, codes=codes, corrected=corrected)
        found[kinds] = [of_classes(table[:, column]) for column in np.flatnonzero(kinds)]
    else:
        noisy = _standardise(target.reshape(-1, 1), chance)[0]
        found[~kinds] = _score_numbers_by_numbers(asked, target, noisy)
        found[kinds] = _score_classes_by_numbers(table[:, kinds], noisy, asked)
    return np.maximum(found, 0)


def run_on_threads(work: Callable[[int], Any], count: int, threads: int | None) -> list[Any]:
    """Do work(0), work(1), ... on threads (None: as many as torch uses); in order."""
    threads = torch.get_num_threads() if threads is None else threads
    if threads <= 1 or count <= 1:
        return [work(number) for number in range(count)]
    each = -(-count // (PARTS_PER_THREAD * threads))  # handing over a single small column takes longer than its work

    def work_on_part(first: int) -> list[Any]:
        return [work(number) for number in range(first, min(first + each, count))]

    with ThreadPoolExecutor(min(threads, count)) as pool:
        return list(chain.from_iterable(pool.map(work_on_part, range(0, count, each))))


class _NeighbourSearch(NamedTuple):
    """Columns (columns, rows) with their noise, and how to look for neighbours."""

    columns: Numbers
    neighbours: int
    psi: Numbers
    threads: int | None


def _check(table: Array, target: Array, neighbours: int, discrete_target: bool) -> None:
    if table.ndim != 2 or target.shape != table.shape[:1]:
        raise JumokError(
            f"a table of shape {table.shape} and a target of {target.shape} do not fit: wanted (rows, columns), (rows,)"
        )
    if neighbours < 1:
        raise JumokError(f"neighbours is 1 or more, got {neighbours}")
    if len(target) <= neighbours and not discrete_target:
        raise JumokError(f"{neighbours} neighbours need more rows than that, got {len(target)}")


def _standardise(table: Array, chance: np.random.RandomState) -> Numbers:
    """Columns of spread 1 with noise that parts equal numbers: (rows, columns) to (columns, rows)."""
    columns = np.array(table.T, dtype=np.float64, order="C")
    spread = columns.std(axis=1, keepdims=True)
    columns /= np.where(spread < 10 * np.finfo(np.float64).eps, 1.0, spread)
    size = NOISE_SHARE * np.maximum(1, np.abs(columns).mean(axis=1, keepdims=True)) if len(columns) else spread
    rows = max(1, DRAWS_PER_BLOCK // max(1, len(columns)))
    for first in range(0, columns.shape[1], rows):  # row by row, as one draw for the whole table would be
        part = columns[:, first : first + rows]
        part += size * chance.standard_normal(part.shape[::-1]).T
    return columns


def _tabulate_digamma(rows: int) -> Numbers:
    """The digamma function of 0 (unused), 1, ..., rows."""
    return np.concatenate([[0.0], digamma(np.arange(1, rows + 1))])


# -- the three cases ----------------------------------------------------------------------------


def _score_numbers_by_classes(asked: _NeighbourSearch, codes: Array) -> list[float]:
    """Continuous columns, a target in classes; a class of one row has no neighbours and is left out."""
    rows, starts = _group_rows(codes)
    if not len(rows):
        return [0.0] * len(asked.columns)
    return run_on_threads(partial(_score_column_by_groups, asked, rows, starts), len(asked.columns), asked.threads)


def _score_column_by_groups(asked: _NeighbourSearch, rows: Array, starts: Array, column: int) -> float:
    from jumok.mechanisms.kernels.information import ross

    grouped = asked.columns[column][rows]
    values = np.sort(grouped)
    for first, last in pairwise(starts):
        grouped[first:last].sort()
    return float(ross(grouped, starts, values, asked.neighbours, asked.psi))


def _group_rows(codes: Array) -> tuple[Array, Array]:
    """The rows by class, without classes of one row, and where each class starts, and the end."""
    counts = np.bincount(codes)
    rows = np.argsort(codes, kind="stable")
    rows = rows[counts[codes[rows]] > 1]
    return rows, np.concatenate([[0], np.cumsum(counts[counts > 1])])


def _score_classes_by_numbers(table: Array, target: Numbers, asked: _NeighbourSearch) -> list[float]:
    """Columns in classes, a continuous target: rows stand by target, so that each class is sorted as it comes."""
    from jumok.mechanisms.kernels.information import ross

    order = np.argsort(target)
    values = target[order]

    def one(column: int) -> float:
        rows, starts = _group_rows(np.unique(table[order, column], return_inverse=True)[1])
        if not len(rows):
            return 0.0
        left = values if len(rows) == len(values) else values[np.sort(rows)]
        return float(ross(values[rows], starts, left, asked.neighbours, asked.psi))

    return run_on_threads(one, table.shape[1], asked.threads)


def _score_numbers_by_numbers(asked: _NeighbourSearch, target: Array, noisy: Numbers) -> list[float]:
    """Continuous columns and target: rows stand by target, cut into strips in which neighbours are looked for."""
    from jumok.mechanisms.kernels.information import kraskov

    order = np.argsort(noisy)
    noisy, starts = noisy[order], _cut_strips(target[order], asked.neighbours)
    strip_of = np.repeat(np.arange(len(starts) - 1), np.diff(starts))

    def one(column: int) -> float:
        x = asked.columns[column][order]
        by_x = np.argsort(x)
        return float(kraskov(x[by_x], by_x, noisy, strip_of, starts, asked.neighbours, asked.psi))

    return run_on_threads(one, len(asked.columns), asked.threads)


def _cut_strips(target: Array, neighbours: int) -> Array:
    """Where strips of about sqrt(k rows) rows start, as high as neighbours are far where nothing depends on anything.

    Rows of equal target stay together: they are near each other however many they are, so a strip that held few of
    them would make neighbours of all such strips.
    """
    tall = max(8, math.isqrt(neighbours * len(target)))
    parted = np.flatnonzero(np.concatenate([[True], target[1:] != target[:-1]]))
    places = np.searchsorted(parted, np.arange(0, len(target), tall))
    return np.concatenate([np.unique(parted[places[places < len(parted)]]), [len(target)]])


def _score_classes_by_classes(column: Array, codes: Array, corrected: bool) -> float:
    """Classes on both sides."""
    levels = np.unique(column, return_inverse=True)[1]
    classes = int(codes.max()) + 1
    cells, counts = np.unique(levels * classes + codes, return_counts=True)
    found = information(cells // classes, cells % classes, counts)
    return found - expected_by_chance(np.bincount(levels), np.bincount(codes)) if corrected else found


def expected_by_chance(levels: Array, classes: Array) -> float:
    """What the counted mutual information of two columns of classes is on average where they are shuffled, in nats.

    It grows with the number of classes: a column that has another value in each row "tells" all of any target. From 5
    expected rows in each cell on, (levels - 1) (classes - 1) / 2 rows, which the exact value then meets.

    Args:
        levels, classes: how many rows each class of either column has.
    Source: Vinh, Epps & Bailey 2010, JMLR 11, 2837-2854, eq. 24a (by scikit-learn); Miller 1955 for large counts.

    >>> round(expected_by_chance(np.ones(8), np.array([4, 4])), 6) == round(math.log(2), 6)
    True
    """
    levels, classes = levels[levels > 0].astype(np.int64), classes[classes > 0].astype(np.int64)
    rows = int(levels.sum())
    if levels.min() * classes.min() >= LEAST_EXPECTED_ROWS * rows:
        return (len(levels) - 1) * (len(classes) - 1) / (2 * rows)
    from sklearn.metrics.cluster import expected_mutual_information

    return float(expected_mutual_information(_fill_margins(levels, classes), rows))


def _fill_margins(levels: Array, classes: Array) -> Array:
    """Any table of counts that has these sums of rows and columns, which is all that is looked at: steps from corner to
    corner.
    """
    ends = np.unique(np.concatenate([np.cumsum(levels), np.cumsum(classes)]))
    counts = np.diff(ends, prepend=0)
    rows = np.searchsorted(np.cumsum(levels), ends)
    columns = np.searchsorted(np.cumsum(classes), ends)
    return coo_array((counts, (rows, columns)), shape=(len(levels), len(classes))).tocsr()  # type: ignore[no-any-return]


def information(levels: Array, classes: Array, counts: Array) -> float:
    """I = sum p ln(p / (p_level p_class)) in nats, from how often each pair occurs.

    Args:
        levels, classes: of each pair, from 0.
        counts: of each pair, 1 or more.
    """
    rows = counts.sum()
    by_level, by_class = np.bincount(levels, counts), np.bincount(classes, counts)
    shares = counts / rows
    return float(shares @ (np.log(counts) + math.log(rows) - np.log(by_level[levels]) - np.log(by_class[classes])))
