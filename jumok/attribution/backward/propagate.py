"""Go back through a graph by rules, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node
from torch.utils.checkpoint import CheckpointError

from jumok.attribution.backward.graph import Graph, kind
from jumok.attribution.backward.step import Enter, Gradients, Rules, Step
from jumok.errors import JumokError
from jumok.watching.chain import needing_graph

__all__ = ["propagate"]


def propagate(target: Tensor, graph: Graph, edges: Sequence[GradientEdge], rules: Rules | None, name: str) -> Gradients:
    """What reaches some places of a graph from a target.

    Args:
        target: of which the sum is taken.
        graph: of the target.
        edges: the places.
        rules: by kind of node; None: the plain gradient.
        name: of the method, for messages.
    Returns:
        for each place, what reaches it; None where nothing does.
    Raises:
        JumokError: a node that no rule is known for, or a graph that was freed or checkpointed.
    """
    try:
        with needing_graph(name), _change(_plan(graph, rules, name) if rules else {}):
            return torch.autograd.grad(target.sum(), edges, retain_graph=True, allow_unused=True)
    except CheckpointError as error:
        raise JumokError(
            f"{name} reads what torch keeps for the backward pass, and checkpointing hands that out once only: switch "
            "it off for this pass"
        ) from error


def _plan(graph: Graph, rules: Rules, name: str) -> dict[Node, Step]:
    """What is done at each node that something reaches."""
    reached, plan = {graph.root}, {}
    for node in reversed(graph.nodes):
        if node not in reached or node not in graph.active:
            continue
        step = plan[node] = _find_rule(node, rules, name)(node, graph)
        reached |= {child for number, child in graph.children(node).items() if number not in step.cut}
    return plan


def _find_rule(node: Node, rules: Rules, name: str) -> Any:
    rule = rules.get(kind(node))
    if rule is None:
        raise JumokError(
            f"{name} knows no rule for {node.name()}: use input-x-gradient or integrated-gradients, which need none"
        )
    return rule


@contextmanager
def _change(plan: dict[Node, Step]) -> Iterator[None]:
    handles = []
    try:
        for node, step in plan.items():
            if step.change is not None or step.cut:
                handles.append(node.register_hook(partial(_apply, step)))
            if step.enter is not None:
                handles.append(node.register_prehook(partial(_enter, step.enter)))
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def _enter(enter: Enter, outputs: Gradients) -> Gradients | None:
    """What a node is given instead."""
    first, *others = outputs
    return None if first is None else (enter(first), *others)


@torch.no_grad()
def _apply(step: Step, gradients: Gradients, outputs: Gradients) -> Gradients | None:
    """What a node passes back instead."""
    output = outputs[0]
    if output is None:
        return None
    if step.change is not None:
        gradients = step.change(gradients, output)
    return tuple(None if number in step.cut else each for number, each in enumerate(gradients))
