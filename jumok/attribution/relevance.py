"""Relevance: how much each input token contributed to one output, as a chain of vector-matrix products.

As for rollout, one query needs one row of the product of N x N matrices, and none of these is formed.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from jumok.attention.attended import Attended

__all__ = ["relevance"]


def relevance(layers: Sequence[Attended], gradients: Sequence[Tensor | None], start: Tensor) -> Tensor:
    """How much each input token contributed to one output, through the layers that a query looked through.

    The row e_q (I + A-_L) ... (I + A-_1) with A- = mean_h (dL/dA_h * A_h)+, which is R_qq after R <- R + A- R.

    Args:
        layers: first to last, each (batch, heads, N, N).
        gradients: dL/d(traced tensor) of each layer; None where the output does not depend on the layer.
        start: (batch, N); 1 at the query, or several weights that sum to 1.
    Returns:
        (batch, N), 0 or more; `start` itself is part of it.
    Source: Chefer, Gur & Wolf 2021, arXiv 2103.15679, eqs. 5 and 6.
    """
    row = start
    for layer, gradient in zip(reversed(layers), reversed(gradients), strict=True):
        if gradient is not None:
            row = row + layer.pull_relevance(row, gradient)
    return row
