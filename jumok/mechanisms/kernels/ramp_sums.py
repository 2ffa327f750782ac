"""Weighted sums whose weights are max(a_i + b_j, 0), without ever forming the weights.

Sorted by falling b, the keys that query i weighs at all come first: the k_i keys with b_j > -a_i. So

    sum_j max(a_i + b_j, 0) g_j = a_i G(k_i) + H(k_i)

with G(k) the sum of the first k g_j and H(k) of the first k b_j g_j. Two running sums serve all queries: one sort and
(queries + keys) x size numbers, in place of queries x keys weights. The gradients
are sums of the same kind, a and b exchanged.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["ramp_sums"]


def ramp_sums(a: Tensor, b: Tensor, g: Tensor) -> Tensor:
    """sum_j max(a_i + b_j, 0) g_j.

    Args:
        a: (batch, queries), float.
        b: (batch, keys), float.
        g: (batch, keys, size), float.
    Returns:
        (batch, queries, size).

    >>> ramp_sums(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 3.0]]), torch.tensor([[[1.0], [10.0]]]))
    tensor([[[41.],
             [10.]]])
    """
    sums: Tensor = _RampSums.apply(a, b, g)  # type: ignore[no-untyped-call]
    return sums


class _RampSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, g: Tensor) -> Tensor:
        wide = torch.promote_types(g.dtype, torch.float32)  # running sums of half precision would lose the small ones
        a, b = a.to(wide), b.to(wide)
        sums, counted = _sum_ramps(a, b, g.to(wide))
        ctx.save_for_backward(a, b, g, counted)
        return sums.to(g.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, b, g, counted = ctx.saved_tensors
        change = gradients[0].to(a.dtype)
        to_g, changes = _sum_ramps(b, a, change)
        return (counted * change).sum(-1), (changes * g).sum(-1), to_g.to(g.dtype)


def _sum_ramps(a: Tensor, b: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """sum_j max(a_i + b_j, 0) g_j, and the same with 1 for each weight above 0: both (batch, queries, size)."""
    middle = b.mean(-1, keepdim=True)  # with b around 0, a_i G and H don't grow large only to cancel
    a, b = a + middle, b - middle
    falling, order = torch.sort(-b, -1)
    g = _rows(g, order)
    running = torch.cat([g, -falling[..., None] * g], -1).cumsum(1)
    running = F.pad(running, (0, 0, 1, 0))  # the sum of no keys
    counted, weighed = _rows(running, torch.searchsorted(falling, a.contiguous())).chunk(2, -1)
    return a[..., None] * counted + weighed, counted


def _rows(tensor: Tensor, index: Tensor) -> Tensor:
    """tensor[n, index[n, i]]: (batch, rows, size) and (batch, chosen) to (batch, chosen, size)."""
    batch, rows, size = tensor.shape
    first = torch.arange(batch, device=index.device)[:, None] * rows
    return tensor.reshape(-1, size).index_select(0, (index + first).flatten()).view(batch, -1, size)
