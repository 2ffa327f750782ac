"""What methods that go from the last layer to the first share: where they start, and the target's gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from jumok.attention import Axis, Patches, Place
from jumok.attention.attended import Attended
from jumok.errors import JumokError

__all__ = ["MEAN", "start_row", "take_gradients"]

MEAN = "mean"
"""The query that stands for the average over all tokens that cover pixels (or, in a text, all words)."""


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


def take_gradients(target: Tensor, layers: Sequence[Attended]) -> list[Tensor | None]:
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
