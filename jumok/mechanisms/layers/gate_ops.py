"""Means, largest values and products of feature maps as gates need them, with backward passes that save memory.

Which form is faster depends on the processor and the size; see `kernels.door`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from jumok.mechanisms.kernels.door import Call, Choice, takes_fast, using

__all__ = ["TRIALS", "gate_features", "mean", "mean_and_largest"]

MEAN, LARGEST, PRODUCT = "gate-mean", "gate-largest", "gate-product"
"""Names of the kernels."""
ENOUGH = 1 << 24
"""Values that are timed at most, by fewer examples."""


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
    if features.dtype != torch.float16 and _learns(features) and takes_fast(_call(MEAN, features, axes)):
        return features.sum(axes) * (1 / math.prod(features.shape[axis] for axis in axes))
    return features.mean(axes)


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
    if _learns(features) and takes_fast(_call(LARGEST, features, axes)):
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
    if features.dtype == gates.dtype and _learns(features) and _learns(gates):
        shared = tuple(axis for axis, size in enumerate(gates.shape) if size == 1)
        if takes_fast(_call(PRODUCT, features, shared)):
            product: Tensor = _GateFeatures.apply(features, gates)  # type: ignore[no-untyped-call]
            return product
    return features * gates


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


def _learns(tensor: Tensor) -> bool:
    return torch.is_grad_enabled() and tensor.requires_grad


# -- what is timed ------------------------------------------------------------------------------


def _call(kernel: str, features: Tensor, axes: tuple[int, ...]) -> Call:
    """A call as the door knows it: the choice does not depend on the batch."""
    count = features.dim()
    inner_first = count == 4 and features.is_contiguous(memory_format=torch.channels_last)
    key = (int(inner_first), count, *features.shape[1:], *axes)
    return Call(kernel, key, (len(features), *key))


def _make_trial(kernel: str, shape: tuple[int, ...]) -> tuple[Callable[[], object], Callable[[], object]]:
    """A forward and backward pass of a kernel called so: in its plain form, and in its fast one."""
    batch, inner_first, count, *rest = shape
    one, axes = rest[: count - 1], tuple(rest[count - 1 :])
    sizes = (min(batch, max(ENOUGH // math.prod(one), 1)), *one)
    memory = torch.channels_last if inner_first else torch.contiguous_format
    inputs = [torch.randn(sizes).contiguous(memory_format=memory).requires_grad_()]
    choice = _call(kernel, inputs[0], axes).choice
    if kernel == PRODUCT:
        gates = torch.rand([1 if axis in axes else size for axis, size in enumerate(sizes)])
        inputs.append(gates.requires_grad_())
        return _make_passes(lambda: (gate_features(*inputs),), inputs, choice)
    pool = mean_and_largest if kernel == LARGEST else lambda *given: (mean(*given),)
    return _make_passes(lambda: pool(inputs[0], axes), inputs, choice)


def _make_passes(
    forward: Callable[[], tuple[Tensor, ...]], inputs: list[Tensor], choice: Choice
) -> tuple[Callable[[], object], Callable[[], object]]:
    changes = [torch.randn_like(output) for output in forward()]

    def once(choices: frozenset[Choice]) -> None:
        with using(choices):
            outputs = forward()
        torch.autograd.grad(outputs, inputs, changes)

    return partial(once, frozenset()), partial(once, frozenset({choice}))


TRIALS: Mapping[str, Callable[[tuple[int, ...]], tuple[Callable[[], object], Callable[[], object]]]] = {
    kernel: partial(_make_trial, kernel) for kernel in (MEAN, LARGEST, PRODUCT)
}
"""By kernel, see `kernels.timing`."""
