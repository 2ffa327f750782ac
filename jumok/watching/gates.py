"""Notice gates of models that tell nothing of themselves: a sigmoid that is multiplied onto a feature map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.attention import Channels, One, Patches
from jumok.watching.calls import Axes

SIGMOID_CALLS: tuple[Callable[..., Any], ...] = (
    torch.sigmoid, torch.sigmoid_, Tensor.sigmoid, Tensor.sigmoid_, F.sigmoid, torch.special.expit, F.hardsigmoid,
)  # fmt: skip
# What may stand between the sigmoid and the product, and leaves the gates what they are.
RESHAPING_CALLS: tuple[Callable[..., Any], ...] = (
    Tensor.view, Tensor.reshape, torch.reshape, Tensor.unsqueeze, torch.unsqueeze, Tensor.__getitem__, Tensor.expand,
    Tensor.expand_as, Tensor.transpose, torch.transpose, Tensor.permute, torch.permute, Tensor.squeeze, torch.squeeze,
    Tensor.unflatten, Tensor.contiguous, Tensor.to, Tensor.type, Tensor.type_as, Tensor.float, Tensor.half,
    Tensor.bfloat16, torch.broadcast_to, Tensor.broadcast_to,
)  # fmt: skip
MULTIPLYING_CALLS: tuple[Callable[..., Any], ...] = (
    torch.mul, torch.multiply, Tensor.mul, Tensor.mul_, Tensor.multiply, Tensor.multiply_, Tensor.__mul__,
    Tensor.__rmul__, Tensor.__imul__,
)  # fmt: skip


class Gates:
    """Sigmoids that may be gates, followed until they are multiplied onto a feature map."""

    def __init__(self) -> None:
        self._followed: dict[
            int, tuple[Tensor, Tensor]
        ] = {}  # by id: the tensor, and the gates before they were spread

    def clear(self) -> None:
        """Let go of what is followed."""
        self._followed.clear()

    def start(self, sigmoid: Tensor) -> bool:
        """Follow a sigmoid if it could be one gate per channel, or per place. Returns whether it is followed."""
        shape = sigmoid.shape
        could = len(shape) in (2, 3) or (len(shape) == 4 and (shape[1] == 1 or shape[2] == shape[3] == 1))
        if could:
            self._followed[id(sigmoid)] = (sigmoid, sigmoid)
        return could

    def carry(self, before: object, after: object) -> None:
        """Follow a gate into another shape."""
        known = self._followed.get(id(before))
        if known is not None and isinstance(after, Tensor):
            gates = known[1]
            self._followed[id(after)] = (after, after if after.numel() == gates.numel() else gates)

    def find_applied(self, factors: Sequence[object]) -> tuple[Tensor, Axes, Tensor] | None:
        """The gates of a product, if one factor is a gate and the other a feature map of more than one place.

        Returns:
            the gates, what they stand for, and the factor that they became.
        """
        for factor, other in zip(factors, reversed(factors), strict=True):
            known = self._followed.get(id(factor))
            if known is None or not isinstance(other, Tensor) or other.dim() != 4 or other is factor:
                continue
            axes = _find_axes(known[1], known[0], other)
            if axes is not None:
                self._followed.clear()  # gates are used at once: what is left is no gate
                return known[1], axes, known[0]
        return None


def _find_axes(gate: Tensor, factor: Tensor, features: Tensor) -> Axes | None:
    """What a gate's numbers stand for on a feature map: channels, places, or neither."""
    batch, channels, rows, columns = features.shape
    if rows * columns == 1 or channels == 1:  # nothing tells a gate from an activation
        return None
    if gate.numel() == batch * channels and _is_spread(factor, (batch, channels), (1, 1), (rows, columns)):
        return One("image"), Channels.numbered(channels)
    if gate.numel() == batch * rows * columns and factor.shape[2:] == (rows, columns) and factor.shape[0] == batch:
        return One("image"), Patches(rows, columns)
    return None


def _is_spread(factor: Tensor, front: tuple[int, int], *ends: tuple[int, int]) -> bool:
    """Whether a factor holds one number per image and channel, as it is or already spread over the places."""
    return factor.dim() == 4 and factor.shape[:2] == front and factor.shape[2:] in ends
