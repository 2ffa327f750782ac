"""What becomes of identities where rows are added to other rows, chosen by an index."""

from __future__ import annotations

import torch
from torch import Tensor

from jumok.watching.provenance.blending import meet, merge_rows
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.moving import CannotMoveError, to_value
from jumok.watching.provenance.ops import Op
from jumok.watching.provenance.shadows import compact, is_even

NAMES = frozenset(["index_add", "scatter_add"])
MOST_ADDED = 1 << 22
"""Identities that meet in one call, at most."""


def add_rows(known: Identities, op: Op, name: str, target: Tensor, source: Tensor) -> Tensor:
    """Identities after `index_add`, or `scatter_add` by an index that is the same along all other axes.

    Args:
        known: the table.
        op, name: the operation.
        target: of what is added to.
        source: of what is added.
    Raises:
        CannotMoveError: another index, or too many rows are added to one.
    """
    shape, dim = target.shape, op.given(1, "dim") % target.dim()
    index = to_value(op.given(2, "index"))
    index = _read_index(index, dim) if name == "scatter_add" else index
    if is_even(target, -1) and is_even(source, -1) and dim != target.dim() - 1:
        target, source = target[..., :1], source[..., :1]
    target, source = target.movedim(dim, 0), source.movedim(dim, 0)
    members = _list_members(target, source, index)
    few = len(members) <= 2  # as a sum of two tensors
    merged = meet(known, members[0], members[-1]) if few else merge_rows(known, members.flatten(1).T)
    merged = merged.view(target.shape)
    return merged.movedim(0, dim).expand(shape)


def _read_index(index: Tensor, dim: int) -> Tensor:
    """The one axis along which the index of a `scatter_add` differs.

    Raises:
        CannotMoveError: it differs along others.
    """
    for axis in range(index.dim()):
        if axis != dim and not is_even(index, axis):
            raise CannotMoveError("scatter_add by an index of each element")
    return compact(index).movedim(dim, 0).flatten(1)[:, 0] if index.dim() > 1 else index


def _list_members(target: Tensor, source: Tensor, index: Tensor) -> Tensor:
    """(1 + most, *target.shape): each row, and all that is added to it; constants where there is less."""
    order = index.argsort(stable=True)
    sorted_ = index[order]
    first = torch.searchsorted(sorted_, sorted_)
    number = torch.empty_like(index)
    number[order] = torch.arange(len(index)) - first
    most = int(number.max()) + 1 if len(number) else 0
    if (1 + most) * target.numel() > MOST_ADDED:
        raise CannotMoveError("too many rows that are added to one")
    members = torch.zeros(1 + most, *target.shape, dtype=torch.int64)
    members[0] = target
    members[1 + number, index] = source
    return members
