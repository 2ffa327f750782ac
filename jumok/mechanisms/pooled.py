"""Means and largest values of feature maps, as gates need them, with backward passes that write each map once."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

__all__ = ["mean", "mean_and_largest"]


def mean(features: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Take the mean over some axes.

    The gradient of a sum is spread over the places without being written out, that of `Tensor.mean` is not.

    Args:
        features: any shape, float.
        axes: to take it over; they are gone from the result.
    Returns:
        the mean.
    """
    if features.dtype == torch.float16:  # whose sums may be too large for it
        return features.mean(axes)
    return features.sum(axes) * (1 / math.prod(features.shape[axis] for axis in axes))


def mean_and_largest(features: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Take the mean and the largest value over some axes.

    Places that share the largest value share its gradient. `Tensor.max` would also look for where it is, which takes
    several times as long as all of this.

    Args:
        features: any shape, float.
        axes: to take them over; they are gone from the results.
    Returns:
        the mean and the largest value.
    """
    if torch.is_grad_enabled() and features.requires_grad:
        found: tuple[Tensor, Tensor] = _MeanAndLargest.apply(features, axes)  # type: ignore[no-untyped-call]
        return found
    return features.mean(axes), features.amax(axes)


class _MeanAndLargest(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        largest = features.amax(axes, keepdim=True)
        ctx.save_for_backward(features, largest)
        ctx.axes = axes
        return features.mean(axes), largest.view([size for at, size in enumerate(largest.shape) if at not in axes])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_mean: Tensor, of_largest: Tensor) -> tuple[Tensor, None]:
        features, largest = ctx.saved_tensors
        shape, count = largest.shape, features.numel() / largest.numel()
        reached = features == largest
        everywhere = (of_mean / count).view(shape)
        there = everywhere + of_largest.view(shape) / reached.sum(ctx.axes, keepdim=True, dtype=features.dtype)
        return torch.where(reached, there, everywhere), None
