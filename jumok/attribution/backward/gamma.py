"""The gamma rule of linear layers: what speaks for an output counts more, by 1 + gamma.

With z+ the contributions x_i w_ij above 0 and z- those below, an output y_j > 0 gives R_j on by z + gamma z+, one below
0 by z + gamma z-.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import Node

from jumok.attribution.backward.graph import Graph, kind
from jumok.attribution.backward.step import Gradients, Rule, Rules, Step
from jumok.errors import JumokError

__all__ = ["add_gamma"]

FIRST = {"Addmm": 1}
"""Which operand of a node is the layer's input, where it is not the first."""


class _Layer(NamedTuple):
    """A linear layer of a node.

    Args:
        x: what went in.
        weight: of the layer.
        bias: to be added to what comes out; None: it has none.
        forward: of an input and a weight, without the bias.
        backward: of a gradient of the output and a weight, to that of the input.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    forward: Callable[[Tensor, Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]


def add_gamma(rules: Rules, linear: float, convolution: float) -> Rules:
    """Rules with gamma in linear layers and in convolutions; with 0 the plain gradient, which is the epsilon rule."""
    readers = {"Addmm": (_read_addmm, linear), "Linear": (_read_linear, linear), "Mm": (_read_mm, linear)}
    readers |= {"Convolution": (_read_convolution, convolution)}
    added = {name: _make_rule(rules[name], read, gamma) for name, (read, gamma) in readers.items() if gamma}
    return {**rules, **added}


def _make_rule(other: Rule, read: Callable[[Any], _Layer], gamma: float) -> Rule:
    """The rule of a layer whose input stands first, by a weight; any other product has its own rule."""

    def rule(node: Node, graph: Graph) -> Step:
        operand = FIRST.get(kind(node), 0)
        if graph.sides(node) != [operand]:
            return other(node, graph)

        def change(gradients: Gradients, output: Tensor) -> Gradients:
            found = _share(read(node), output, gamma).to(output.dtype)
            return tuple(found if number == operand else None for number in range(len(gradients)))

        return Step(change)

    return rule


def _share(layer: _Layer, output: Tensor, gamma: float) -> Tensor:
    """R_i / x_i, from R_j / y_j."""
    x, weight = layer.x, layer.weight
    x_up, x_down = x.clamp(min=0), x.clamp(max=0)
    up, down = weight.clamp(min=0), weight.clamp(max=0)
    bias = x.new_zeros(()) if layer.bias is None else layer.bias
    y = layer.forward(x, weight) + bias
    z_up = layer.forward(x_up, up) + layer.forward(x_down, down) + bias.clamp(min=0)
    total = y + gamma * torch.where(y > 0, z_up, y - z_up)
    share = output * torch.where(total == 0, 0, y / total)
    for_y, against = share * (y > 0), share * (y <= 0)
    up_for, up_against, down_for, down_against = (layer.backward(s, w) for w in (up, down) for s in (for_y, against))
    more = torch.where(x > 0, up_for + down_against, down_for + up_against)
    return up_for + up_against + down_for + down_against + gamma * more


def _read_addmm(node: Any) -> _Layer:
    x, weight = _need(node, node._saved_mat1), _need(node, node._saved_mat2)
    bias = _find_leaf(node, 0)
    if bias is None:
        raise _explain(node)
    return _Layer(x, weight, bias, torch.matmul, lambda gradient, w: gradient @ w.mT)


def _read_linear(node: Any) -> _Layer:
    x, weight = _need(node, node._saved_input), _need(node, node._saved_weight).mT
    return _Layer(x, weight, _find_leaf(node, 2), torch.matmul, lambda gradient, w: gradient @ w.mT)


def _read_mm(node: Any) -> _Layer:
    x, weight = _need(node, node._saved_self), _need(node, node._saved_mat2)
    return _Layer(x, weight, None, torch.matmul, lambda gradient, w: gradient @ w.mT)


def _read_convolution(node: Any) -> _Layer:
    x, weight = _need(node, node._saved_input), _need(node, node._saved_weight)
    bias = _find_leaf(node, 2)
    if bias is None and sum(node._saved_bias_sym_sizes_opt or ()):
        raise _explain(node)
    how = (
        node._saved_stride,
        node._saved_padding,
        node._saved_dilation,
        node._saved_transposed,
        node._saved_output_padding,
        node._saved_groups,
    )

    def forward(values: Tensor, w: Tensor) -> Tensor:
        made: Tensor = torch.ops.aten.convolution(values, w, None, *how)
        return made

    def backward(gradient: Tensor, w: Tensor) -> Tensor:
        given = torch.ops.aten.convolution_backward(gradient, x, w, None, *how, [True, False, False])
        made: Tensor = given[0]
        return made

    laid = None if bias is None else bias.view(-1, *(1,) * (x.dim() - 2))
    return _Layer(x, weight, laid, forward, backward)


def _need(node: Node, saved: Tensor | None) -> Tensor:
    if saved is None:
        raise _explain(node)
    return saved


def _find_leaf(node: Any, operand: int) -> Tensor | None:
    """A parameter that a node was given as it is."""
    child = node.next_functions[operand][0]
    found: Tensor | None = getattr(child, "variable", None)
    return None if found is None else found.detach()


def _explain(node: Node) -> JumokError:
    return JumokError(
        f"gamma needs what went into {kind(node)}, which torch keeps where its weight and bias require gradients: let "
        "the model's parameters require them, or ask for gamma=0"
    )
