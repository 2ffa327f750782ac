"""Products of two things that depend on the input: one weighs the other, or both share."""

from __future__ import annotations

from typing import Any

from torch.autograd.graph import Node

from jumok.attribution.backward.graph import Graph, kind
from jumok.attribution.backward.linear import SHAPES, SUMS
from jumok.attribution.backward.step import Rule, Step, scaled

__all__ = ["CUT", "FACTORS", "SECOND", "SOFTMAXES", "cut", "find_rank", "keep_first", "multiply", "share_attention"]

SOFTMAXES = ("Softmax", "SafeSoftmax", "MaskedSoftmax")
WEIGHING = {
    **dict.fromkeys(SOFTMAXES, 3),
    "Rsqrt": 3,
    "Reciprocal": 3,
    "Sigmoid": 2,
    "Hardsigmoid": 2,
    "Erf": 2,
    "Tanh": 1,
}
"""What says how much of the other factor counts, the more surely the higher: in sigmoid(a) tanh(b) the sigmoid does."""
THROUGH = SHAPES | SUMS | {"Mul", "Div", "Topk", "Scatter", "IndexPut"}
FACTORS = {
    "Mul": (0, 1),
    "Bmm": (0, 1),
    "Baddbmm": (1, 2),
    "Mm": (0, 1),
    "GroupedMm": (0, 1),
    "Mv": (0, 1),
    "Dot": (0, 1),
    "Addmm": (1, 2),
    "Addmv": (1, 2),
    "Linear": (0, 1),
    "Convolution": (0, 1),
    "ConvolutionOverrideable": (0, 1),
    "CudnnConvolution": (0, 1),
    "MkldnnConvolution": (0, 1),
}
"""Which operands of each product are its factors."""


def multiply(*, softmax_weighs: bool) -> Rule:
    """The rule of products.

    A factor that is a gate, a softmax or one over a norm is a constant; of two others each gets half.

    Args:
        softmax_weighs: whether a softmax is such a factor; else it shares with the values.
    """

    def rule(node: Node, graph: Graph) -> Step:
        factors = FACTORS[kind(node)]
        if not set(factors) <= set(graph.sides(node)):
            return Step()
        ranks = [find_rank(node.next_functions[number][0], graph, softmax_weighs=softmax_weighs) for number in factors]
        if ranks[0] == ranks[1]:
            return Step(scaled(*(0.5 if number in factors else 1.0 for number in range(factors[-1] + 1))))
        return Step(cut=(factors[ranks.index(max(ranks))],))

    return rule


def find_rank(node: Any, graph: Graph, *, softmax_weighs: bool) -> int:
    """How surely a factor is a weight; 0: it is none.

    Args:
        node: that made the factor.
        graph: that it is part of.
        softmax_weighs: whether a softmax is a weight.
    """
    while kind(node) in THROUGH:
        sides = graph.children(node)
        if kind(node) == "Div" and 0 in sides:  # of weights that were brought to a sum of 1 again
            sides = {0: sides[0]}
        if len(sides) != 1:
            return 0
        (node,) = sides.values()
    name = kind(node)
    if name == "Pow" and not hasattr(node._saved_exponent, "shape") and node._saved_exponent < 0:
        return WEIGHING["Reciprocal"]
    return 0 if name in SOFTMAXES and not softmax_weighs else WEIGHING.get(name, 0)


def keep_first(node: Node, graph: Graph) -> Step:
    """The second operand is a constant."""
    return Step(cut=(1,))


def cut(node: Node, graph: Graph) -> Step:
    """Nothing passes."""
    return Step(cut=tuple(range(len(node.next_functions))))


def share_attention(*shares: float) -> Rule:
    """The rule of fused attention, by the shares of query, key and value; one without a share is cut off."""
    gone = tuple(number for number, share in enumerate(shares) if not share)
    change = None if set(shares) <= {0.0, 1.0} else scaled(*shares)
    return lambda node, graph: Step(change, gone)


CUT: dict[str, Rule] = {"Rsqrt": cut, "Reciprocal": cut, "LogSoftmax": cut}
"""What passes nothing on: denominators; and a log-probability, of which the logit is to be explained."""
SECOND = ("Div", "GridSampler2D", "GridSampler3D", "CudnnGridSampler")
"""Of these the second operand is a constant: a divisor, and the places where an image is sampled."""
