"""All steps of a recurrent layer that attends, with a backward pass of their own.

PyTorch's autograd would take the gradient of each weight at each step and add them up. Here a step leaves what its
weights' gradients are made of, and each weight gets its gradient from one product over all steps. What a cell's
gradient is multiplied by does not depend on the gradient, so it is worked out for all steps at once too.

Under autocast the products with weights are of the lower precision, and all else is float32.

Symbols as in `attending_layer`; dx stands for the gradient of the loss by x. Time comes first in all tensors of steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from jumok.mechanisms.additive import fast_scores

__all__ = ["FAST_CELLS", "Weights", "run"]

Gradients = tuple[Tensor, Tensor, Tensor | None]


class Weights(NamedTuple):
    """What the steps multiply by.

    Args:
        u3: (gates, hidden).
        b3: (gates,), of the GRU.
        query: (size, hidden), W of the additive score; None: the query is the state itself.
        w: (size,), of the additive score.
    """

    u3: Tensor
    b3: Tensor | None = None
    query: Tensor | None = None
    w: Tensor | None = None


def run(
    cell: str, inputs: Tensor, memory: Mapping[str, Tensor], state: tuple[Tensor, ...], weights: Weights
) -> tuple[Tensor, Tensor]:
    """All steps, their inputs being known.

    Args:
        cell: name of one of `FAST_CELLS`.
        inputs: (steps, sentences, gates), U1 y with its bias.
        memory: keys (sentences, places, size), values (sentences, places, gates), that is U4 h, and allowed
            (sentences, places) bool.
        state: g_0 (and c_0), each (sentences, hidden).
        weights: of the layer and its score.
    Returns:
        outputs: (sentences, steps, hidden), g_1..g_T.
        weights: (sentences, steps, places), without gradient.
    """
    c = state[1] if len(state) > 1 else None
    tensors = [inputs, memory["keys"], memory["values"], memory["allowed"], state[0], c, *weights]
    low, device = None, inputs.device.type
    if torch.is_autocast_enabled(device):
        low = torch.get_autocast_dtype(device)
        tensors = [tensor.float() if tensor is not None and tensor.dtype == low else tensor for tensor in tensors]
    with torch.autocast(device, enabled=False):
        how = _How(cell, low, torch.is_grad_enabled())
        outputs, looks = _Steps.apply(how, *tensors)  # type: ignore[no-untyped-call]
    return outputs, looks


class _How(NamedTuple):
    """What the loop is told beside its tensors.

    Args:
        cell: name of one of `FAST_CELLS`.
        low: the lower precision of the products with weights; None: that of the weights.
        learns: a backward pass may follow.
    """

    cell: str
    low: torch.dtype | None
    learns: bool


class _Steps(torch.autograd.Function):
    """The loop over the steps, forwards and backwards."""

    @staticmethod
    def forward(
        ctx: Any, how: _How, inputs: Tensor, keys: Tensor, values: Tensor, allowed: Tensor, g: Tensor,
        c: Tensor | None, u3: Tensor, b3: Tensor | None, query: Tensor | None, w: Tensor | None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        steps = len(inputs)
        low = how.low or u3.dtype
        u3, query = u3.to(low), None if query is None else query.to(low)
        look = _Dots(keys, allowed) if query is None or w is None else _Additive(keys, allowed, query, w, how.learns)
        cells = FAST_CELLS[how.cell](steps, g, c)
        looks = values.new_empty(steps, len(values), values.shape[1])  # a
        for i in range(steps):
            g = cells.states[i]
            torch.softmax(look.scores(g), -1, out=looks[i])
            given = torch.baddbmm(inputs[i][:, None], looks[i][:, None], values)[:, 0]  # U1 y_{i-1} + U4 c_i
            recurrent = _multiply(g, u3.T)
            cells.step(i, given, recurrent if b3 is None else recurrent.add_(b3))
        ctx.cells, ctx.look, ctx.looks = cells, look, looks
        ctx.save_for_backward(values, u3)
        ctx.biased = b3 is not None
        weights = looks.transpose(0, 1).contiguous()
        ctx.mark_non_differentiable(weights)
        return cells.states[1:].transpose(0, 1).contiguous(), weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        values, u3 = ctx.saved_tensors
        cells, look, looks = ctx.cells, ctx.look, ctx.looks
        d_outputs = d_outputs.transpose(0, 1).contiguous()
        cells.prepare()
        look.prepare(len(looks))
        d_g = torch.zeros_like(d_outputs[0])
        for i in reversed(range(len(looks))):
            d_given, d_recurrent, direct = cells.back(i, d_g.add_(d_outputs[i]))
            d_looks = torch.bmm(d_given[:, None], values.transpose(1, 2))[:, 0]
            d_scores = torch.ops.aten._softmax_backward_data(d_looks, looks[i], -1, looks.dtype)
            d_g = _multiply(d_recurrent, u3) if direct is None else direct.add_(_multiply(d_recurrent, u3))
            look.back(i, d_scores, d_g)
        before = cells.states[:-1].flatten(0, 1).to(u3.dtype)
        d_recurrents = cells.d_recurrent.flatten(0, 1)
        d_keys, d_query, d_w = look.gradients(cells.states[:-1], before)
        return (
            None, cells.d_given, d_keys, torch.bmm(looks.permute(1, 2, 0), cells.d_given.transpose(0, 1)), None,
            d_g, cells.d_c, _multiply(d_recurrents.T, before), d_recurrents.sum(0) if ctx.biased else None,
            d_query, d_w,
        )  # fmt: skip


def _multiply(left: Tensor, right: Tensor) -> Tensor:
    """A product in the precision of its right side, that comes back in that of its left."""
    return (left.to(right.dtype) @ right).to(left.dtype)


# -- scores ----------------------------------------------------------------------------------------


class _Dots:
    """The query is the state: score = g_{i-1} . k. The scale and W of the other dot products are in the keys."""

    def __init__(self, keys: Tensor, allowed: Tensor) -> None:
        self.keys, self.hidden = keys, ~allowed

    def scores(self, g: Tensor) -> Tensor:
        """(sentences, places)."""
        return torch.bmm(g[:, None], self.keys.transpose(1, 2))[:, 0].masked_fill_(self.hidden, -torch.inf)

    def prepare(self, steps: int) -> None:
        """Make room for what the steps leave."""
        self.d_scores = self.keys.new_empty(steps, *self.keys.shape[:2])

    def back(self, i: int, d_scores: Tensor, d_g: Tensor) -> None:
        """Add the score's share to dg_{i-1}."""
        self.d_scores[i] = d_scores
        d_g[:, None].baddbmm_(d_scores[:, None], self.keys)

    def gradients(self, states: Tensor, before: Tensor) -> tuple[Tensor, None, None]:
        """dk, of all steps together, from g_0..g_{T-1}: (steps, sentences, hidden)."""
        return torch.bmm(self.d_scores.permute(1, 2, 0), states.transpose(0, 1)), None, None


class _Additive:
    """score = w . tanh(W g_{i-1} + k)."""

    def __init__(self, keys: Tensor, allowed: Tensor, query: Tensor, w: Tensor, learns: bool) -> None:
        self.keys, self.w = (tensor.detach().requires_grad_(learns) for tensor in (keys, w))
        self.allowed, self.query, self.learns = allowed, query, learns
        self.kept: list[tuple[Tensor, Tensor]] = []

    def scores(self, g: Tensor) -> Tensor:
        """(sentences, places), with a graph of its own that ends at the projected query."""
        projected = _multiply(g, self.query.T)[:, None].requires_grad_(self.learns)
        with torch.set_grad_enabled(self.learns):
            found = fast_scores(projected, self.keys, self.w, self.allowed)
        if self.learns:
            self.kept.append((projected, found))
        return found.detach()[:, 0]

    def prepare(self, steps: int) -> None:
        """Make room for what the steps leave."""
        self.d_projected = self.keys.new_empty(steps, len(self.keys), self.keys.shape[2])
        self.d_keys, self.d_w = torch.zeros_like(self.keys), torch.zeros_like(self.w)

    def back(self, i: int, d_scores: Tensor, d_g: Tensor) -> None:
        """Add the score's share to dg_{i-1}."""
        projected, found = self.kept[i]
        given = (projected, self.keys, self.w)
        d_projected, d_keys, d_w = torch.autograd.grad(found, given, d_scores[:, None], retain_graph=True)
        self.d_projected[i] = d_projected[:, 0]
        self.d_keys += d_keys
        self.d_w += d_w
        d_g.add_(_multiply(self.d_projected[i], self.query))

    def gradients(self, states: Tensor, before: Tensor) -> Gradients:
        """dk, dW and dw; before: (steps x sentences, hidden), g_0..g_{T-1} in the precision of the products."""
        return self.d_keys, _multiply(self.d_projected.flatten(0, 1).T, before), self.d_w


# -- cells -----------------------------------------------------------------------------------------


class FastCell(Protocol):
    """All steps of a cell.

    Attributes:
        states: (steps + 1, sentences, hidden), g_0..g_T.
        d_given, d_recurrent: (steps, sentences, gates), of the two sums that enter the gates; one tensor where equal.
        d_c: (sentences, hidden), of the LSTM's cell, going back step by step.
    """

    states: Tensor
    d_given: Tensor
    d_recurrent: Tensor
    d_c: Tensor | None

    def step(self, i: int, given: Tensor, recurrent: Tensor) -> None:
        """Find g_{i+1} from U1 y + U4 c and U3 g_i, (sentences, gates) each, which may be written over."""

    def prepare(self) -> None:
        """Work out, for all steps, what the gradients will be multiplied by."""

    def back(self, i: int, d_g: Tensor) -> Gradients:
        """Of dg_{i+1}: d_given and d_recurrent of step i, and what goes straight to dg_i."""


class _RNN:
    """g_{i+1} = tanh(given + recurrent)."""

    d_c = None

    def __init__(self, steps: int, g: Tensor, c: Tensor | None) -> None:
        self.states = g.new_empty(steps + 1, *g.shape)
        self.states[0] = g

    def step(self, i: int, given: Tensor, recurrent: Tensor) -> None:
        torch.tanh(given.add_(recurrent), out=self.states[i + 1])

    def prepare(self) -> None:
        self.slope = 1 - self.states[1:].square()
        self.d_given = self.d_recurrent = torch.empty_like(self.slope)

    def back(self, i: int, d_g: Tensor) -> Gradients:
        torch.mul(d_g, self.slope[i], out=self.d_given[i])
        return self.d_given[i], self.d_given[i], None


class _LSTM:
    """Gates i, f, u, o; c_{i+1} = f c_i + i u; g_{i+1} = o tanh(c_{i+1})."""

    def __init__(self, steps: int, g: Tensor, c: Tensor | None) -> None:
        assert c is not None
        self.states, self.cells = g.new_empty(steps + 1, *g.shape), g.new_empty(steps + 1, *g.shape)
        self.states[0], self.cells[0] = g, c
        self.gates, self.bent = g.new_empty(steps, len(g), 4 * g.shape[1]), g.new_empty(steps, *g.shape)
        self.d_c: Tensor | None = None

    def step(self, i: int, given: Tensor, recurrent: Tensor) -> None:
        gates = torch.add(given, recurrent, out=self.gates[i])
        size = gates.shape[1] // 4
        gates[:, : 2 * size].sigmoid_()
        gates[:, 2 * size : 3 * size].tanh_()
        gates[:, 3 * size :].sigmoid_()
        input_gate, forget_gate, update, output_gate = gates.chunk(4, 1)
        torch.mul(forget_gate, self.cells[i], out=self.cells[i + 1]).addcmul_(input_gate, update)
        torch.tanh(self.cells[i + 1], out=self.bent[i])
        torch.mul(output_gate, self.bent[i], out=self.states[i + 1])

    def prepare(self) -> None:
        input_gate, forget_gate, update, output_gate = self.gates.chunk(4, 2)
        self.slope = torch.empty_like(self.gates)  # of dc for i, f and u; of dg for o
        by_input, by_forget, by_update, by_output = self.slope.chunk(4, 2)
        _sigmoid_slope(input_gate, update, by_input)
        _sigmoid_slope(forget_gate, self.cells[:-1], by_forget)
        by_update.copy_(input_gate).mul_(update).mul_(update).neg_().add_(input_gate)  # i (1 - u^2)
        _sigmoid_slope(output_gate, self.bent, by_output)
        self.to_cell = torch.addcmul(
            output_gate, self.states[1:], self.bent, value=-1
        )  # o (1 - tanh^2 c) = o - g tanh c
        self.d_given = self.d_recurrent = torch.empty_like(self.gates)
        self.d_c = torch.zeros_like(self.states[0])

    def back(self, i: int, d_g: Tensor) -> Gradients:
        assert self.d_c is not None
        size = d_g.shape[1]
        gates, slope, found = self.gates[i], self.slope[i], self.d_given[i]
        self.d_c.addcmul_(d_g, self.to_cell[i])
        three = (len(d_g), 3, size)
        torch.mul(slope[:, : 3 * size].unflatten(1, three[1:]), self.d_c[:, None], out=found[:, : 3 * size].view(three))
        torch.mul(slope[:, 3 * size :], d_g, out=found[:, 3 * size :])
        self.d_c.mul_(gates[:, size : 2 * size])
        return found, found, None


class _GRU:
    """Gates r, z, n = tanh(given + r recurrent); g_{i+1} = (1 - z) n + z g_i."""

    d_c = None

    def __init__(self, steps: int, g: Tensor, c: Tensor | None) -> None:
        self.states = g.new_empty(steps + 1, *g.shape)
        self.states[0] = g
        self.gates, self.inner = g.new_empty(steps, len(g), 3 * g.shape[1]), g.new_empty(steps, *g.shape)

    def step(self, i: int, given: Tensor, recurrent: Tensor) -> None:
        gates, size = self.gates[i], self.inner.shape[2]
        torch.add(given[:, : 2 * size], recurrent[:, : 2 * size], out=gates[:, : 2 * size]).sigmoid_()
        reset, keep, new = gates.chunk(3, 1)
        self.inner[i] = recurrent[:, 2 * size :]
        torch.addcmul(given[:, 2 * size :], reset, self.inner[i], out=new).tanh_()
        torch.lerp(new, self.states[i], keep, out=self.states[i + 1])

    def prepare(self) -> None:
        reset, keep, new = self.gates.chunk(3, 2)
        self.slope = torch.empty_like(self.gates)
        by_reset, by_keep, by_new = self.slope.chunk(3, 2)
        torch.mul(1 - keep, 1 - new.square(), out=by_new)
        _sigmoid_slope(keep, self.states[:-1] - new, by_keep)
        _sigmoid_slope(reset, by_new * self.inner, by_reset)
        self.inner_slope = by_new * reset
        self.d_given, self.d_recurrent = torch.empty_like(self.gates), torch.empty_like(self.gates)

    def back(self, i: int, d_g: Tensor) -> Gradients:
        size = d_g.shape[1]
        given, recurrent, three = self.d_given[i], self.d_recurrent[i], (len(d_g), 3, size)
        torch.mul(self.slope[i].view(three), d_g[:, None], out=given.view(three))
        recurrent[:, : 2 * size] = given[:, : 2 * size]
        torch.mul(self.inner_slope[i], d_g, out=recurrent[:, 2 * size :])
        return given, recurrent, d_g * self.gates[i, :, size : 2 * size]


FAST_CELLS: Mapping[str, type[_RNN] | type[_LSTM] | type[_GRU]] = {"rnn": _RNN, "lstm": _LSTM, "gru": _GRU}


def _sigmoid_slope(gate: Tensor, factor: Tensor, out: Tensor) -> None:
    """Write factor * gate * (1 - gate)."""
    torch.mul(gate, 1 - gate, out=out)
    out.mul_(factor)
