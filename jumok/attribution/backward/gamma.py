"""The gamma rule of linear layers: what speaks for an output counts more, by 1 + gamma.

With z+ the contributions x_i w_ij above 0 and z- those below, an output y_j > 0 gives R_j on by z + gamma z+, one below
0 by z + gamma z-.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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

        shares = _Shares(partial(read, node), gamma)
        return Step(lambda gradients, _: shares.leave(gradients, operand), enter=shares.enter)

    return rule


class _Shares:
    """What a layer gives on, in two halves: before its own backward pass, which the rule makes use of, and after it.

    With s_j = R_j / y_j and sigma the sign of y, the rule is
    R_i / x_i = (1 + gamma / 2) sum_j w_ij s_j + gamma / 2 sign(x_i) sum_j |w_ij| sigma_j s_j
    because z+ = (x w + |x| |w|) / 2, and likewise z-. That is three products of matrices beside the first sum, which
    is the layer's plain gradient.
    """

    def __init__(self, read: Callable[[], _Layer], gamma: float) -> None:
        self._read, self._half = read, gamma / 2
        self._more: Tensor | None = None

    def enter(self, output: Tensor) -> Tensor:
        """R_j over the sum that its shares are taken of, from R_j / y_j."""
        layer = self._read()
        x, weight, bias = layer[:3]
        y, size = layer.forward(x, weight), layer.forward(x.abs(), weight.abs())
        if bias is not None:
            y, size = y + bias, size + bias.abs()
        sign = torch.where(y > 0, 1.0, -1.0).to(y.dtype)
        total = y + self._half * (y + sign * size)
        share = output * torch.where(total == 0, 0, y / total)
        more = layer.backward(share * sign, weight.abs())
        self._more = torch.where(x > 0, more, -more)
        return share.to(output.dtype)

    def leave(self, gradients: Gradients, operand: int) -> Gradients:
        """R_i / x_i, from the plain gradient of what `enter` gave; nothing for the layer's parameters."""
        plain, more = gradients[operand], self._more
        self._more = None
        if plain is None or more is None:
            return gradients
        found = ((1 + self._half) * plain + self._half * more).to(plain.dtype)
        return tuple(found if number == operand else None for number in range(len(gradients)))


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
