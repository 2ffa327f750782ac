"""What a rule says of one node: how what it passes back is changed, and which operands get nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor
from torch.autograd.graph import Node

from jumok.attribution.backward.graph import Graph

Gradients = tuple[Tensor | None, ...]
Enter = Callable[[Tensor], Tensor]
"""From the gradient of a node's output to what the node is given instead."""
Change = Callable[[Gradients, Tensor], Gradients]
"""From the gradients of a node's operands, and that of its output, to what they get instead."""


class Step(NamedTuple):
    """What is done at one node.

    Args:
        change: of what it passes back; None: the plain gradient.
        cut: operands that nothing is passed to, by number.
        enter: of what it is given, before it passes anything back; None: as it is.
    """

    change: Change | None = None
    cut: tuple[int, ...] = ()
    enter: Enter | None = None


Rule = Callable[[Node, Graph], Step]
Rules = Mapping[str, Rule]
"""By kind of node; see `graph.kind`."""


def plain(node: Node, graph: Graph) -> Step:
    """The gradient as it is."""
    return Step()


def scaled(*factors: float) -> Change:
    """Give each operand a share of its gradient."""

    def change(gradients: Gradients, output: Tensor) -> Gradients:
        pairs = zip(gradients, (*factors, *(1.0 for _ in gradients[len(factors) :])), strict=True)
        return tuple(None if gradient is None else gradient * factor for gradient, factor in pairs)

    return change


def first_only(change: Callable[[Tensor, Tensor], Tensor]) -> Change:
    """Change what the first operand gets, from its gradient and that of the output; the others are parameters."""

    def apply(gradients: Gradients, output: Tensor) -> Gradients:
        first, *others = gradients
        return gradients if first is None else (change(first, output).to(first.dtype), *others)

    return apply
