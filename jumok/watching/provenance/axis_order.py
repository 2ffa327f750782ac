"""Bring what calls of attention hold to the axes that records have: (batch, heads, queries, keys)."""

from __future__ import annotations

from torch import Tensor


def to_four_axes(tensor: Tensor) -> Tensor:
    """To (batch, heads, ., .): further axes in front count as batch, missing ones as 1."""
    if tensor.dim() == 3:
        return tensor[:, None]
    if tensor.dim() > 4:
        return tensor.flatten(0, -4)
    return tensor if tensor.dim() == 4 else tensor[(None,) * (4 - tensor.dim())]


def add_head_axis(weights: Tensor) -> Tensor:
    """(batch, [heads,] queries, keys) to four axes."""
    return weights if weights.dim() == 4 else weights[:, None]


def to_one_row(gate: Tensor) -> Tensor:
    """One gate per image and channel, or place, to (batch, 1, 1, keys)."""
    return gate.reshape(len(gate), 1, 1, -1)
