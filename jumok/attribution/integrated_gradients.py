"""Integrated gradients: the gradient along the way from nothing to the input, which sums to what the input changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from jumok.attention import AttentionMap
from jumok.attribution.inputs import make_map
from jumok.attribution.passes import Asked, Forward
from jumok.watching.seen import Seen

__all__ = ["Integrated", "integrate", "integrated_gradients"]

FIRST, MOST = 32, 512
WANTED = 0.01
"""Completeness error up to which steps are doubled, where their number is not given."""


@dataclass(frozen=True)
class Integrated:
    """What came out.

    Args:
        parts: as the inputs.
        error: (batch,) by how much their sum misses the change of the function, as a share of that.
        steps: how many passes there were.
    """

    parts: Tensor
    error: Tensor
    steps: int


def integrated_gradients(
    seen: Seen,
    target: Tensor,
    *,
    inputs: Tensor | None = None,
    forward: Forward | None = None,
    baseline: Tensor | float = 0.0,
    steps: int | None = None,
) -> AttentionMap:
    """(x - x') times the mean of df/dx along the line from a baseline x' to x.

    Args:
        seen: of a pass over the inputs.
        target: of that pass; `forward` gives the same.
        inputs: x; of words, their embeddings.
        forward: f, from inputs to one number per image. It gets as many as were given at a time, in their order.
        baseline: x', a number or a tensor that broadcasts to x. At 0 a model of layer norms without biases jumps, and
            no number of steps integrates over that: see the error.
        steps: passes. None: 32, doubled until the sum misses f(x) - f(x') by less than 1%, up to 512.
    Returns:
        (batch, 1, patches, pixels or words), of any sign; the source tells the completeness error.
    Raises:
        JumokError: no inputs or function, or one that gives something else than the target.
    Source: Sundararajan, Taly & Yan 2017, arXiv 1703.01365, section 3. Differs: Gauss-Legendre steps, not even ones.
    """
    asked = Asked.of("integrated-gradients", target, inputs, forward)
    found = integrate(asked, baseline, steps)
    source = f"integrated-gradients({found.steps} steps, completeness error {float(found.error.max()):.2%})"
    return make_map(seen, found.parts, source, is_text=asked.inputs.dim() == 3)


def integrate(asked: Asked, baseline: Tensor | float = 0.0, steps: int | None = None) -> Integrated:
    """Integrate with a number of steps, or with as many as the completeness error asks for.

    Args:
        asked: the function and the inputs.
        baseline, steps: as for `integrated_gradients`.
    """
    found = _integrate(asked, baseline, steps or FIRST)
    while steps is None and float(found.error.max()) > WANTED and found.steps < MOST:
        found = _integrate(asked, baseline, 2 * found.steps)
    return found


def _integrate(asked: Asked, baseline: Tensor | float, steps: int) -> Integrated:
    start = torch.as_tensor(baseline).to(asked.inputs).expand_as(asked.inputs)
    way, total = asked.inputs - start, torch.zeros_like(asked.inputs)
    places, weights = np.polynomial.legendre.leggauss(steps)
    for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
        total += float(weight) * _slope(asked, start + float(place) * way)
    parts = way * total
    change = asked.value - asked.ask(start)
    error = (parts.flatten(1).sum(1) - change).abs() / change.abs().clamp(min=1e-6)
    return Integrated(parts, error, steps)


@torch.enable_grad()
def _slope(asked: Asked, point: Tensor) -> Tensor:
    point = point.requires_grad_()
    (slope,) = torch.autograd.grad(asked.check(asked.forward(point)).sum(), point)
    return slope
