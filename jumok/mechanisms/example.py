"""What each mechanism shows of itself, so that one test can hold all of them to the same contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from jumok.attention import Scale

__all__ = ["Example"]


@dataclass(frozen=True)
class Example:
    """A mechanism at work on a small input.

    Args:
        output: called with the inputs by name, and `mask` where there is one; gives what the mechanism gives.
        weights: called alike; gives the weights behind that output, (batch, ..., queries, keys).
        inputs: tensors by name, batch first, at least two examples in the batch.
        wrong: inputs of a shape that does not fit, by name; each must raise a JumokError that names the shape.
        mask: bool, True = may be attended, (batch, keys) or (batch, queries or 1, keys).
        scale: what the weights are.
        module: the module whose parameters take part, if there is one; in eval mode.
        hard: no gradient flows, because the mechanism chooses.
    """

    output: Callable[..., Tensor]
    weights: Callable[..., Tensor]
    inputs: Mapping[str, Tensor]
    wrong: Mapping[str, Tensor]
    mask: Tensor | None = None
    scale: Scale = Scale.DISTRIBUTION
    module: nn.Module | None = None
    hard: bool = False
