"""Relevance: how much each input token contributed to one output, as a chain of vector-matrix products.

As for rollout, one query needs one row of the product of N x N matrices, and none of these is formed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from jumok.watching.token_flow import Flow

__all__ = ["relevance"]


def relevance(flow: Flow, gradients: Sequence[Tensor | None], start: Tensor) -> tuple[Tensor, bool, float]:
    """How much each input token contributed to one output, through the calls that a query looked through.

    Of layers over the same tokens: the row e_q (I + A-_L) ... (I + A-_1) with A- = mean_h (dL/dA_h * A_h)+, which is
    R_qq after R <- R + A- R. Calls that were made side by side from the same tokens add.

    Args:
        flow: the calls, and how their tokens lead to one another.
        gradients: dL/d(traced tensor) of each call; None where the output does not depend on it.
        start: (batch, queries); 1 at the query, or several weights that sum to 1.
    Returns:
        (batch, keys), 0 or more, of which `start` itself is part; whether any call added to it; and the share of the
        weight that went through something unseen.
    Source: Chefer, Gur & Wolf 2021, arXiv 2103.15679, eqs. 5 and 6.
    """
    layers, added = flow.layers, False

    def pull(number: int, row: Tensor) -> Tensor:
        nonlocal added
        gradient = gradients[number]
        if gradient is None:
            return row.new_zeros(layers[number].shape[0], layers[number].shape[3])
        found = layers[number].pull_relevance(row, gradient)
        added = added or bool(found.any())
        return found

    row, unseen = flow.carry(start, pull, passed=1.0, attended=1.0, shared=False)
    return row, added, float(unseen) if torch.isfinite(unseen) else 0.0
