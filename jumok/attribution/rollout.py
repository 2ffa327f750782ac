"""Rollout: where the attention of all layers leads, as a chain of vector-matrix products.

It is defined by products of N x N matrices. One query needs one row of the product, and that row is found from the last
layer to the first without any of the matrices.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jumok.attention import AttentionMap, Place, Scale
from jumok.attribution.rows import find_start, make_row, tell
from jumok.errors import JumokError
from jumok.watching.calls import Call
from jumok.watching.dot_product import DotProduct
from jumok.watching.records import Given
from jumok.watching.seen import Seen

__all__ = ["rollout"]

ROUNDING = 1e-3
"""By how much shares may miss what they are shares of."""


def rollout(
    seen: Seen,
    target: Tensor,
    query: Place | None = None,
    *,
    residual: float = 0.5,
    end: str | int | None = None,
    partial: bool = False,
) -> AttentionMap:
    """Follow attention from one query down to the input, heads averaged, the residual path counted in.

    Of layers over the same tokens: the row e_q A~_L ... A~_1 with A~ = residual I + (1 - residual) mean_h A_h, and A~ =
    mean_h A_h of a layer whose tokens are not added to what they gathered. Calls that were made side by side from the
    same tokens share what attention passes; merged tokens share evenly. Layers are followed by their tokens: through
    windows, merges and calls made side by side.

    Args:
        seen: of the pass.
        target: any; its value makes no difference.
        query: the token that it starts from; None: `cls` where one is known by name, else those of the last call that
            the target was read off.
        residual: the share of a token that passes unmixed each layer that has a residual connection.
        end: the name of the call that the query belongs to, and which calls are followed to; None: the last one.
        partial: follow attention alone where tokens are also mixed by something that is not seen; the map's source
            then says what share of the paths went through it.
    Returns:
        (batch, 1, tokens), a distribution; less than that where a sink took a part of it.
    Raises:
        JumokError: nothing was seen, the calls do not form one chain, weights are no shares, or no such query.
    Source: Abnar & Zuidema 2020, arXiv 2005.00928, section 3.
    """
    flow = seen.flow(end, partial=partial)
    layers = flow.layers
    start, label = find_start(flow, target, query)
    least = 0.0

    def pull(number: int, row: Tensor) -> Tensor:
        nonlocal least
        found = layers[number].pull(row)
        if not isinstance(layers[number], DotProduct) and found.numel():  # that is a softmax
            least = min(least, float(found.min()))
        return found

    row, unseen = flow.carry(start, pull, passed=residual, attended=1 - residual, shared=True)
    whole = torch.allclose(row.sum(1), row.new_ones(()), atol=1e-4) and least >= -ROUNDING
    above = least < -ROUNDING or float(row.sum(1).max()) > 1 + ROUNDING
    if not (whole or partial) and (above or any(_is_less(call) for call in flow.calls)):
        raise JumokError(
            "the weights of each query do not sum to 1 (no softmax over keys, or changed after it, as where heads are "
            "mixed), so that they are no shares of a whole and their rollout is none: partial=True gives it as scores; "
            "or read single maps by seen[name]"
        )
    scale = Scale.DISTRIBUTION if whole else Scale.SCORE
    return make_row(row, flow.keys, label, tell("rollout", float(unseen), flow), scale)


def _is_less(call: Call) -> bool:
    """Whether weights are no shares: multiplied by something after their softmax, or of any sign as scores are."""
    if not (call.tokens.changed or isinstance(call.attended, Given)):
        return False
    scale = call.find_scale(call.attended.weights())
    return scale is Scale.SCORE or (call.tokens.changed and scale is not Scale.DISTRIBUTION)
