"""Ranks, and how far two orders agree.

scipy has both, in a package that takes longer to import than torch.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["correlate_ranks", "rank"]

Floats: TypeAlias = NDArray[np.floating]
Doubles: TypeAlias = NDArray[np.float64]


def rank(values: Floats) -> Doubles:
    """The rank of each value in its row, the least 1; equal values share the mean of their ranks.

    Args:
        values: (rows, values), finite.

    >>> rank(np.array([[3.0, 1.0, 3.0]]))
    array([[2.5, 1. , 2.5]])
    """
    given = torch.from_numpy(np.ascontiguousarray(values))
    ordered = given.sort(dim=1).values
    below, upto = (torch.searchsorted(ordered, given, right=right) for right in (False, True))
    ranks: Doubles = (below + upto + 1).double().div(2).numpy()
    return ranks


def correlate_ranks(first: Floats, second: Floats) -> Doubles:
    """Spearman's rank correlation, row by row; NaN where a row is constant.

    Args:
        first, second: (rows, values), finite.
    Returns:
        (rows,), from -1 to 1.
    Source: Spearman 1904, "The Proof and Measurement of Association between Two Things".
    """
    centred = [each - each.mean(1, keepdims=True) for each in (rank(first), rank(second))]
    squares = [(values**2).sum(1) for values in centred]
    with np.errstate(invalid="ignore"):
        found: Doubles = (centred[0] * centred[1]).sum(1) / np.sqrt(squares[0] * squares[1])
    return found
