"""What a model was given, in the graph of its pass: pixels, features or words, and the axis that a map of it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node

from jumok.attention import AttentionMap, Axis, Features, One, Patches, Pixels, Scale
from jumok.attribution.backward.graph import Graph, kind
from jumok.attribution.backward.propagate import propagate
from jumok.attribution.backward.step import Rules
from jumok.attribution.states import State
from jumok.errors import JumokError
from jumok.watching.chain import check_target
from jumok.watching.feature_maps import check_gradient
from jumok.watching.seen import Seen

__all__ = ["Trace", "lay_out", "make_map"]


@dataclass(frozen=True)
class Trace:
    """A target, what led to it, and the one input among that.

    Args:
        seen: of the pass.
        target: one number, or one per image.
        method: that asks, for messages.
        graph: of the target.
        edge: where a gradient reaches the input.
        values: of the input.
        is_text: whether these are the rows of an embedding.
    """

    seen: Seen
    target: Tensor
    method: str
    graph: Graph
    edge: GradientEdge
    values: Tensor
    is_text: bool

    @staticmethod
    def of(seen: Seen, target: Tensor, method: str) -> Trace:
        """Of a target: the input is the tensor that asked for gradients, else the words.

        Raises:
            JumokError: no graph, not one input, or a target of another shape.
        """
        check_gradient(target)
        graph = Graph.of(target, lambda node: _holds_tensor(node, seen) or _holds_words(node, seen))
        tensors = [node for node in graph.inputs if kind(node) == "AccumulateGrad"]
        node = _take_one(tensors or graph.inputs, method)
        values = node.variable if tensors else _find_table(node)[node._saved_indices]
        check_target(target, len(values))
        return Trace(seen, target, method, graph, GradientEdge(node, 0), values.detach(), not tensors)

    def attribute(self, source: str, rules: Rules | None = None) -> AttentionMap:
        """Input times gradient, where the gradient may follow rules of its own.

        Args:
            source: of the map.
            rules: by kind of node; None: the plain gradient.
        Returns:
            (batch, 1, patches, pixels, features or words), of any sign.
        Raises:
            JumokError: a node without a rule, or nothing reaches the input.
        """
        return make_map(self.seen, self.contribute(rules)[0], source, is_text=self.is_text)

    def contribute(self, rules: Rules | None, states: Sequence[State] = ()) -> list[Tensor]:
        """What each value of the input, and of some states on the way, contributed: value times gradient.

        Raises:
            JumokError: a node without a rule, or nothing reaches the input.
        """
        edges, values = [self.edge, *(s.edge for s in states)], [self.values, *(s.values for s in states)]
        gradients = propagate(self.target, self.graph, edges, rules, self.method)
        if gradients[0] is None:
            raise JumokError(
                f"nothing of the target reaches the input by the rules of {self.method}: explain a logit, not a "
                "probability"
            )
        pairs = zip(gradients, values, strict=True)
        return [torch.zeros_like(value) if each is None else each * value.detach() for each, value in pairs]


def _holds_tensor(node: Any, seen: Seen) -> bool:
    return kind(node) == "AccumulateGrad" and not seen.is_parameter(node.variable)


def _holds_words(node: Any, seen: Seen) -> bool:
    return kind(node) == "Embedding" and seen.is_text(node._saved_indices, _find_table(node))


def _find_table(node: Any) -> Any:
    """The weight of an embedding; None where it is no parameter itself."""
    return getattr(node.next_functions[0][0], "variable", None)


def _take_one(nodes: Sequence[Node], method: str) -> Any:
    if not nodes:
        raise JumokError(
            f"{method} finds no input that asks for gradients: call pixels.requires_grad_() before the pass; for "
            "words, let the weight of their embedding require gradients"
        )
    if len(nodes) > 1:
        raise JumokError(f"{method} explains one input, and {len(nodes)} ask for gradients: leave it to one of them")
    return nodes[0]


# -- from contributions to a map ---------------------------------------------------------------


def make_map(seen: Seen, parts: Tensor, source: str, *, is_text: bool, scale: Scale = Scale.SCORE) -> AttentionMap:
    """A map of what each value of the input contributed.

    Args:
        seen: of the pass.
        parts: as the input.
        source: of the map.
        is_text: whether the input are the rows of an embedding.
        scale: of the values.
    """
    if not bool(torch.isfinite(parts).all()):
        raise JumokError(f"{source} gave NaN or infinity: check the input and the weights of the model")
    keys, row = lay_out(seen, parts.detach().float(), is_text=is_text)
    return AttentionMap(row[:, None], One("text" if is_text else "image"), keys, ("batch",), scale, source)


def lay_out(seen: Seen, parts: Tensor, *, is_text: bool) -> tuple[Axis, Tensor]:
    """The axis of an input, and what its values contributed, summed: (batch, keys).

    Raises:
        JumokError: an input of which it is not known what its axes are.
    """
    if is_text:
        return seen.words(parts.shape[1]), parts.sum(-1)
    if parts.dim() == 4:
        patches = seen.patches()
        heat = parts.sum(1)
        keys = patches or Pixels(*heat.shape[1:])
        return keys, heat.flatten(1) if patches is None else _add_up(heat, patches)
    if parts.dim() == 3 and _are_tokens(seen, parts.shape[1]):
        return seen.words(parts.shape[1]), parts.sum(-1)
    if parts.dim() == 2:
        return Features(tuple(str(number) for number in range(parts.shape[1]))), parts
    raise JumokError(
        f"the input has shape {tuple(parts.shape)}: wanted images (batch, channels, rows, columns), ids of words, or "
        "rows of features"
    )


def _are_tokens(seen: Seen, count: int) -> bool:
    """Whether so many rows of features are the tokens that attention is over."""
    try:
        return seen.flow(partial=True).keys == seen.words(count)
    except JumokError:
        return False


def _add_up(heat: Tensor, patches: Patches) -> Tensor:
    """(batch, height, width) to (batch, patches): each patch the sum over the pixels that it covers."""
    numbers = torch.arange(float(len(patches)), device=heat.device)
    owner = patches.spread(numbers, *heat.shape[1:]).long().flatten()
    return heat.new_zeros(len(heat), len(patches)).index_add_(1, owner, heat.flatten(1))
