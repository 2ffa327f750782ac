"""Rollout: where the attention of all layers leads, as a chain of vector-matrix products.

It is defined by products of N x N matrices. One query needs one row of the product, and that row is found from the last
layer to the first without any of the matrices.
"""

from __future__ import annotations

from torch import Tensor

from jumok.watching.token_flow import Flow

__all__ = ["rollout"]


def rollout(flow: Flow, start: Tensor, *, residual: float = 0.5) -> tuple[Tensor, float]:
    """Follow attention from one query down to the input, heads averaged, the residual path counted in.

    Of layers over the same tokens: the row e_q A~_L ... A~_1 with A~ = residual I + (1 - residual) mean_h A_h. Calls
    that were made side by side from the same tokens share what attention passes; merged tokens share evenly.

    Args:
        flow: the calls, and how their tokens lead to one another.
        start: (batch, queries); 1 at the query, or several weights that sum to 1.
        residual: the share of a token that passes each layer unmixed.
    Returns:
        (batch, keys), which sums to what `start` sums to where all weights are distributions; and the share that went
            through something unseen.
    Source: Abnar & Zuidema 2020, arXiv 2005.00928, section 3.
    """
    layers = flow.layers
    row, unseen = flow.carry(
        start, lambda number, row: layers[number].pull(row), passed=residual, attended=1 - residual, shared=True
    )
    return row, float(unseen)
