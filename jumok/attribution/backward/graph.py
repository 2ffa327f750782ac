"""The nodes between a target and the inputs of a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from torch import Tensor
from torch.autograd.graph import Node

__all__ = ["Graph", "kind"]

_SUFFIX = re.compile(r"(?:ForCpu)?Backward\d*$")


def kind(node: Node) -> str:
    """Which operation made a node: "Mul" of MulBackward0.

    >>> import torch
    >>> kind((torch.ones(2, requires_grad=True) * 2).grad_fn)
    'Mul'
    """
    return _SUFFIX.sub("", node.name().rpartition("::")[2])


@dataclass(frozen=True)
class Graph:
    """What led to a target, and which of it depends on an input.

    Args:
        root: the node that made the target.
        nodes: all that led there, each after those that it was made from.
        active: those that depend on an input. What depends on parameters alone is a constant here.
        inputs: the nodes that hold an input.
    """

    root: Node
    nodes: list[Node]
    inputs: list[Node]
    active: set[Node] = field(default_factory=set)

    @staticmethod
    def of(target: Tensor, is_input: Callable[[Node], bool]) -> Graph:
        """Of a target with a graph.

        Args:
            target: any tensor that was computed with gradients.
            is_input: whether a node holds an input.
        """
        assert target.grad_fn is not None
        nodes = list(_walk(target.grad_fn))
        inputs = [node for node in nodes if is_input(node)]
        graph = Graph(target.grad_fn, nodes, inputs, set(inputs))
        for node in nodes:
            if any(child in graph.active for child, _ in node.next_functions):
                graph.active.add(node)
        return graph

    def children(self, node: Node) -> dict[int, Node]:
        """What made the operands of a node that depend on an input, by number."""
        return {
            number: child
            for number, (child, _) in enumerate(node.next_functions)
            if child is not None and child in self.active
        }

    def sides(self, node: Node) -> list[int]:
        """Which operands of a node depend on an input, by number."""
        return list(self.children(node))


def _walk(root: Node) -> Iterator[Node]:
    """Every node once, after those that it was made from."""
    known, stack = {root}, [(root, iter(root.next_functions))]
    while stack:
        node, children = stack[-1]
        child = next((child for child, _ in children if child is not None and child not in known), None)
        if child is None:
            stack.pop()
            yield node
        else:
            known.add(child)
            stack.append((child, iter(child.next_functions)))
