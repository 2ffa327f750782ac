"""Bring what calls of attention hold to the axes that records have: (batch, heads, queries, keys)."""

from __future__ import annotations

from torch import Tensor

MARK_SIZE = 8  # numbers kept of each key: two keys that differ agree in all of them practically never


def to_four_axes(tensor: Tensor) -> Tensor:
    """To (batch, heads, ., .): further axes in front count as batch, missing ones as 1."""
    if tensor.dim() == 3:
        return tensor[:, None]
    if tensor.dim() > 4:
        return tensor.flatten(0, -4)
    return tensor if tensor.dim() == 4 else tensor[(None,) * (4 - tensor.dim())]


def mark_keys(key: Tensor) -> Tensor:
    """(batch, heads, keys, size) to (batch, keys, numbers): a copy of some numbers of each key, of the first head."""
    return key.detach()[:, 0, :, :MARK_SIZE].clone()


def add_head_axis(weights: Tensor) -> Tensor:
    """(batch, [heads,] queries, keys) to four axes."""
    return weights if weights.dim() == 4 else weights[:, None]


def to_one_row(gate: Tensor) -> Tensor:
    """One gate per image and channel, or place, to (batch, 1, 1, keys)."""
    return gate.reshape(len(gate), 1, 1, -1)


def split_by_heads(softmax: Tensor, dim: int, heads: int | None) -> Tensor:
    """Weights (or their gradient) to (batch, heads, queries, keys): the axis of the softmax goes last."""
    moved = softmax.movedim(dim, -1)
    return moved.unflatten(0, (-1, heads)) if heads is not None else to_four_axes(moved)
