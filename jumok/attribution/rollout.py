"""Rollout: where the attention of all layers leads, as a chain of vector-matrix products.

It is defined by products of N x N matrices. One query needs one row of the product, and that row is found from the last
layer to the first without any of the matrices.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from jumok.attention.attended import Attended

__all__ = ["rollout"]


def rollout(layers: Sequence[Attended], start: Tensor, *, residual: float = 0.5) -> Tensor:
    """Follow attention from one query down to the input, heads averaged, the residual path counted in.

    The row e_q A~_L ... A~_1 with A~ = residual I + (1 - residual) mean_h A_h.

    Args:
        layers: first to last, each (batch, heads, N, N).
        start: (batch, N); 1 at the query, or several weights that sum to 1.
        residual: the share of a token that passes each layer unmixed.
    Returns:
        (batch, N); sums to what `start` sums to.
    Source: Abnar & Zuidema 2020, arXiv 2005.00928, section 3.
    """
    row = start
    for layer in reversed(layers):
        row = residual * row + (1 - residual) * layer.pull(row)
    return row
