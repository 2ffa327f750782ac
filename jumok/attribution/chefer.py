"""Relevance: how much each input token contributed to one output, as a chain of vector-matrix products.

As for rollout, one query needs one row of the product of N x N matrices, and none of these is formed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from jumok.attention import AttentionMap, Place, Scale
from jumok.attribution.rows import make_row, share_read, tell
from jumok.errors import JumokError
from jumok.watching.chain import start_row, take_gradients
from jumok.watching.flow import Flow
from jumok.watching.seen import Seen

__all__ = ["chefer"]


def chefer(
    seen: Seen, target: Tensor, query: Place | None = None, *, end: str | int | None = None, partial: bool = False
) -> AttentionMap:
    """How much each input token contributed to a target, through the calls that a query looked through.

    Of layers over the same tokens: the row e_q (I + A-_L) ... (I + A-_1) with A- = mean_h (dL/dA_h * A_h)+, which is
    R_qq after R <- R + A- R. Without the I of a layer whose tokens are not added to what they gathered. Calls that were
    made side by side from the same tokens add.

    Args:
        seen: of the pass that the target is of.
        target: one number, or one per image, with gradients.
        query: the token that it starts from; None: those of the last call that the target was read off, such as
            `cls`, the last word, or all, with even shares.
        end, partial: as for `rollout`.
    Returns:
        (batch, 1, tokens), 0 or more, of which the start itself is part.
    Raises:
        JumokError: as `rollout`; also if the pass kept no gradients, the target is not one number per image, or does
            not depend on attention.
    Source: Chefer, Gur & Wolf 2021, arXiv 2103.15679, eqs. 5 and 6.
    """
    flow = seen.flow(end, partial=partial)
    gradients = take_gradients(target, flow.layers, flow.batch)
    read = None if query is not None else share_read(flow, gradients)
    start, label = read or start_row(query, flow.queries, flow.batch, flow.layers[0].device)
    row, added, unseen = _carry(flow, gradients, start)
    if not added or not bool(row.any()):
        raise JumokError(
            "no gradient at any attention weight that leads to the input is positive: this target has no relevance to "
            "show"
        )
    return make_row(row, flow.keys, label, tell("chefer", unseen, flow), Scale.RELEVANCE)


def _carry(flow: Flow, gradients: Sequence[Tensor | None], start: Tensor) -> tuple[Tensor, bool, float]:
    """The row; whether any call added to it; and the share of the weight that went through something unseen."""
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
