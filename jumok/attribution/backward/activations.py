"""Activations f taken as x times a gate, the gate a constant: the slope is (f(x) - f(0)) / x, as of a line from 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.attribution.backward.graph import Graph
from jumok.attribution.backward.step import Rule, Step, first_only
from jumok.errors import JumokError

__all__ = ["ACTIVATIONS"]


def _secant(rise: Callable[[Any, Tensor], Tensor]) -> Rule:
    """The rule of f whose node keeps its input x.

    Args:
        rise: f(x) - f(0), from the node and x.
    """

    def rule(node: Any, graph: Graph) -> Step:
        return Step(first_only(lambda gradient, output: _slope(gradient, output, rise(node, _x(node)), _x(node))))

    return rule


def _inverted(f: Callable[[Tensor], Tensor], x: Callable[[Tensor], Tensor]) -> Rule:
    """The rule of f whose node keeps its result only; x is found from it, as far as its rounding lets it."""

    def rule(node: Any, graph: Graph) -> Step:
        def change(gradient: Tensor, output: Tensor) -> Tensor:
            result = node._saved_result
            return _slope(gradient, output, f(result), x(result))

        return Step(first_only(change))

    return rule


def _slope(gradient: Tensor, output: Tensor, rise: Tensor, x: Tensor) -> Tensor:
    """The output's gradient along the line from 0; at 0 the line is the tangent."""
    slope: Tensor = torch.where(x == 0, gradient, output * (rise / x))
    return slope


def _x(node: Any) -> Tensor:
    saved: Tensor = node._saved_self
    return saved


def _elu(node: Any, x: Tensor) -> Tensor:
    below = node._saved_alpha * torch.expm1(x.clamp(max=0) * node._saved_input_scale)
    rise: Tensor = torch.where(x > 0, x, below) * node._saved_scale
    return rise


def _pow(node: Any, graph: Graph) -> Step:
    """x^n is a product of x with itself, shared evenly: the gradient over n. A negative power is a denominator."""
    exponent = node._saved_exponent
    if isinstance(exponent, Tensor):
        raise JumokError("no rule is known for a power whose exponent is a tensor (PowBackward1)")
    return Step(cut=(0,)) if exponent < 0 else Step(first_only(lambda gradient, output: gradient / (exponent or 1)))


def _glu(node: Any, graph: Graph) -> Step:
    """A * sigmoid(b): the gate is a constant."""

    def change(gradient: Tensor, output: Tensor) -> Tensor:
        dim = node._saved_dim - (1 << 64) if node._saved_dim >> 63 else node._saved_dim  # torch tells it unsigned
        first, second = gradient.chunk(2, dim)
        return torch.cat([first, torch.zeros_like(second)], dim)

    return Step(first_only(change))


def _clamp(node: Any, x: Tensor) -> Tensor:
    low, high = getattr(node, "_saved_min", None), getattr(node, "_saved_max", None)
    return x.clamp(low, high) - torch.zeros((), dtype=x.dtype, device=x.device).clamp(low, high)


EDGE = 1e-7
"""So near to its limits a saturated result is taken to be."""

ACTIVATIONS: dict[str, Rule] = {
    "Gelu": _secant(lambda node, x: F.gelu(x, approximate=node._saved_approximate)),
    "Silu": _secant(lambda node, x: F.silu(x)),
    "Mish": _secant(lambda node, x: F.mish(x)),
    "Hardswish": _secant(lambda node, x: F.hardswish(x)),
    "Hardsigmoid": _secant(lambda node, x: F.hardsigmoid(x) - 0.5),
    "Hardtanh": _secant(lambda node, x: F.hardtanh(x, node._saved_min_val, node._saved_max_val)),
    "Elu": _secant(_elu),
    "Celu": _secant(lambda node, x: F.celu(x, node._saved_alpha)),
    "Softplus": _secant(
        lambda node, x: F.softplus(x, node._saved_beta, node._saved_threshold) - F.softplus(x.new_zeros(()))
    ),
    "Erf": _secant(lambda node, x: x.erf()),
    "Clamp": _secant(_clamp),
    "ClampMin": _secant(_clamp),
    "ClampMax": _secant(_clamp),
    "Tanh": _inverted(lambda y: y, lambda y: y.clamp(EDGE - 1, 1 - EDGE).atanh()),
    "Sigmoid": _inverted(lambda y: y - 0.5, lambda y: torch.logit(y, EDGE)),
    "Pow": _pow,
    "Glu": _glu,
}
