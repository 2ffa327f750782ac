"""The states of tokens as each attention layer found them, from the graph of a pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor
from torch.autograd.graph import GradientEdge, Node

from jumok.attribution.backward.graph import Graph, kind
from jumok.attribution.backward.linear import SHAPES, SUMS
from jumok.attribution.backward.products import FACTORS, find_rank
from jumok.attribution.backward.rules import KERNELS
from jumok.errors import JumokError
from jumok.watching.flow import Flow

__all__ = ["State", "find_states"]

PROJECTIONS = frozenset({"Addmm", "Mm", "Linear", "Convolution"})
THROUGH = SHAPES | SUMS | set(FACTORS) | {"Cat"}
"""What lies between, as long as one operand alone depends on the input: a cache that is still empty is joined, too."""
VALUE = 2
"""Which operand of a fused kernel the values are."""
SURE = 3
"""The rank of a factor that is a softmax or one over a norm."""


class State(NamedTuple):
    """Tokens before the norm of a layer: where a gradient reaches them, and their values, (batch, tokens, size)."""

    edge: GradientEdge
    values: Tensor


def find_states(graph: Graph, flow: Flow, method: str) -> list[State]:
    """One state for each attention layer, first to last.

    It is what the norm reads that the layer's values come from: of a layer that normalises first, the residual stream.

    Args:
        graph: of the target.
        flow: the layers, over the tokens of the input.
        method: that asks, for messages.
    Raises:
        JumokError: the states are not found in the graph, or not as many as layers were seen.
    """
    flow.check_same_tokens(method)
    states = [_find_state(child, graph) for child in _list_values(graph)]
    found = [state for state in states if state is not None]
    shape = (flow.batch, len(flow.keys))
    if len(found) != len(flow.calls) or any(tuple(state.values.shape[:2]) != shape for state in found):
        raise JumokError(
            f"{method} reads the tokens before the norm of each layer, and finds {len(found)} of shape "
            f"{shape[0]} x {shape[1]} x any for {len(flow.calls)} layers: use form='input-x-gradient'"
        )
    return found


def _list_values(graph: Graph) -> Iterator[Node]:
    """What made the values of each attention call."""
    for node in graph.nodes:
        children = graph.children(node)
        if kind(node) in KERNELS and VALUE in children:
            yield children[VALUE]
        elif kind(node) == "Bmm" and len(children) == 2:
            ranks = {number: _is_softmax(child, graph) for number, child in children.items()}
            if sum(ranks.values()) == 1:
                yield next(child for number, child in children.items() if not ranks[number])


def _is_softmax(node: Node, graph: Graph) -> bool:
    return find_rank(node, graph, softmax_weighs=True) == SURE


def _find_state(node: Any, graph: Graph) -> State | None:
    """Back from values through their projection to a norm, and to what that reads."""
    projected = False
    while True:
        name, children = kind(node), graph.children(node)
        if name in PROJECTIONS:
            projected = True
        elif projected and name in ("NativeLayerNorm", "FusedRmsNorm"):
            return State(GradientEdge(*node.next_functions[0]), node._saved_input)
        elif projected and name == "Mul" and len(children) == 2:
            return _read_factor(node, graph)
        elif name not in THROUGH:
            return None
        if len(children) != 1:
            return None
        (node,) = children.values()


def _read_factor(node: Any, graph: Graph) -> State | None:
    """What a norm that is written out reads: x of x * rsqrt(...)."""
    scales = [_is_softmax(child, graph) for child in graph.children(node).values()]
    if sum(scales) != 1:
        return None
    place = scales.index(False)
    return State(GradientEdge(*node.next_functions[place]), (node._saved_self, node._saved_other)[place])
