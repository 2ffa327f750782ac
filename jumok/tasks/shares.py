"""How far a share can be trusted."""

from __future__ import annotations

import math

__all__ = ["wilson"]

NORMAL_95 = 1.959963984540054
"""The normal distribution's two-sided 95 % point."""


def wilson(hits: float, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share.

    >>> [round(end, 3) for end in wilson(95, 100)]
    [0.888, 0.978]

    Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209-212.
    """
    z2 = NORMAL_95**2
    share = hits / trials
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = NORMAL_95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return max(centre - half, 0.0), min(centre + half, 1.0)
