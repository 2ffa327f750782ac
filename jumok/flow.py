"""From the layers to the input: rollout and relevance, as chains of vector-matrix products.

Both are defined by products of N x N matrices. One query needs one row of the product, and that row is found from the
last layer to the first without any of the matrices.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from jumok.axes import Axis, Patches, Place
from jumok.errors import JumokError
from jumok.records import Attended

MEAN = "mean"
"""The query that stands for the average over all tokens that cover pixels (or, in a text, all words)."""


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


def start_row(query: Place, axis: Axis, layer: Attended) -> tuple[Tensor, str]:
    """Where a chain starts: 1 at the query, or even shares over all places.

    Args:
        query: "mean", or what picks one token of the axis.
        axis: of the tokens.
        layer: any of the chain.
    Returns:
        (batch, tokens), and the query's name.
    Raises:
        JumokError: no such token.
    """
    batch, _, count, _ = layer.shape
    start = torch.zeros(batch, count, device=layer.device)
    if query == MEAN:
        first = len(axis.special) if isinstance(axis, Patches) else 0
        start[:, first:] = 1 / (count - first)
        return start, MEAN
    try:
        index = axis.index(query)
    except JumokError as error:
        raise JumokError(f'{error}; a query is also an index, a patch as (row, column), or "mean"') from error
    start[:, index] = 1
    return start, axis.label(index)


def gradients(target: Tensor, layers: Sequence[Attended]) -> list[Tensor | None]:
    """The target's gradient at each layer's traced tensor; None where it does not depend on the layer.

    Raises:
        JumokError: the forward pass kept no gradients, or the target depends on no layer.
    """
    traced = [layer.traced for layer in layers]
    if not target.requires_grad or any(tensor is None for tensor in traced):
        raise JumokError(
            "relevance needs gradients and this forward pass kept none: run the model outside torch.no_grad() and "
            "inference_mode, with parameters (or an input) that require gradients"
        )
    found = torch.autograd.grad(
        target.sum(), [tensor for tensor in traced if tensor is not None], retain_graph=True, allow_unused=True
    )
    if all(gradient is None for gradient in found):
        raise JumokError("the target does not depend on any attention that was seen: compute it from this forward pass")
    return list(found)
