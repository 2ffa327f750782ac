"""The three parts that data is split into: their names, what else they may be called, and how many go to each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from jumok.errors import JumokError

__all__ = [
    "IMAGE_SHARES",
    "PAIR_SHARES",
    "QUESTION_SHARES",
    "SPLITS",
    "SPLIT_NAMES",
    "Shares",
    "check_shares",
    "count_held_out",
    "split_named",
]

Shares: TypeAlias = tuple[float, float, float]
"""Of train, val and test; they sum to 1."""

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Which part each name of a file or folder stands for."""

IMAGE_SHARES: Shares = (0.7, 0.15, 0.15)
PAIR_SHARES: Shares = (0.9, 0.05, 0.05)
QUESTION_SHARES: Shares = (0.8, 0.1, 0.1)


def split_named(name: str) -> str | None:
    """The part that a name stands for, upper or lower case; None for other names.

    >>> split_named("Validation"), split_named("dev"), split_named("scratch")
    ('val', 'val', None)
    """
    return SPLIT_NAMES.get(name.casefold())


def check_shares(shares: Iterable[float], example: Shares) -> None:
    """Refuse what are not shares of train, val and test.

    Args:
        shares: to check.
        example: shares that would do, for the error.
    Raises:
        JumokError: another number of shares, one below 0, none for train, or a sum that is not 1.
    """
    given = tuple(shares)
    fit = len(given) == 3 and all(share >= 0 for share in given) and math.isclose(sum(given), 1, abs_tol=1e-6)
    if not fit or given[0] == 0:
        raise JumokError(
            f"the shares of train, val and test must be 0 or more, train's more than 0, and sum to 1: got {given}; "
            f"for example {example}"
        )


def count_held_out(total: int, shares: Shares, splits: Sequence[str]) -> dict[str, int]:
    """How many of `total` go to each of the splits named: its share, rounded, at least one where it has a share.

    >>> count_held_out(30, (0.8, 0.2, 0.0), ["val", "test"])
    {'val': 6, 'test': 0}
    """
    share_of = dict(zip(SPLITS, shares, strict=True))
    return {split: max(round(total * share_of[split]), 1) if share_of[split] else 0 for split in splits}
