"""Means, largest values and products of feature maps as gates need them, with backward passes that save memory."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from jumok.mechanisms.kernels.door import is_off

__all__ = ["gate_features", "mean", "mean_and_largest"]


def mean(features: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Take the mean over some axes.

    The gradient of a sum is spread over the places without being written out, that of `Tensor.mean` is not.

    Args:
        features: any shape, float.
        axes: to take it over; they are gone from the result.
    Returns:
        the mean.
    """
    # float16's sums may be too large for it
    if is_off() or features.dtype == torch.float16 or not (torch.is_grad_enabled() and features.requires_grad):
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
    if torch.is_grad_enabled() and features.requires_grad and not is_off():
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
        # 1 where the largest value is: as numbers at once, since sums and choices by booleans take much longer
        reached = torch.eq(features, largest, out=torch.empty_like(features))
        share = of_largest.view(shape) / reached.sum(ctx.axes, keepdim=True)
        return reached.mul_(share).add_((of_mean / count).view(shape)), None


def gate_features(features: Tensor, gates: Tensor) -> Tensor:
    """Multiply feature maps by gates.

    Args:
        features: (batch, channels, rows, columns), float.
        gates: of as many axes, with 1 where all share a gate.
    Returns:
        (batch, channels, rows, columns).
    """
    if has_torch_function((features, gates)):  # so that who follows feature maps sees this as one call of torch's
        seen: Tensor = handle_torch_function(gate_features, (features, gates), features, gates)
        return seen
    plain = features.dtype != gates.dtype or not torch.is_grad_enabled() or not features.requires_grad
    if plain or is_off() or not gates.requires_grad:
        return features * gates
    product: Tensor = _GateFeatures.apply(features, gates)  # type: ignore[no-untyped-call]
    return product


class _GateFeatures(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, gates: Tensor) -> Tensor:
        ctx.save_for_backward(features, gates)
        return features * gates

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        features, gates = ctx.saved_tensors
        space = gradient * features
        axes = [axis for axis, size in enumerate(gates.shape) if size == 1]
        of_gates = space.sum(axes, keepdim=True)
        return torch.mul(gradient, gates, out=space), of_gates
