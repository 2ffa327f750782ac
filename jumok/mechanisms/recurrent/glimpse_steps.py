"""RAM's steps in training, with a backward pass of their own.

The steps can only be taken one after another, since each decides where the next one looks; their gradients need not
wait for each other. So the forward pass keeps what each step has seen side by side, and the backward pass goes through
time with one product per step and gives each weight its gradient by one product over all steps. The same values and
gradients as plain autograd, about twice as fast.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from jumok.mechanisms.glimpse import Retina

__all__ = ["Walk", "Weights", "fast_walk", "squash_aims"]

FARTHEST_AIM = 1.5  # tanh(1.5) = 0.9


class Walk(NamedTuple):
    """What came of looking at each row's image step by step.

    Args:
        states: (steps, rows, hidden) after each glimpse.
        aims: (steps - 1, rows, 2), what the location network said; see `squash_aims`. The graph leads to it alone.
        places: (steps, rows, 2), where it looked.
    """

    states: Tensor
    aims: Tensor
    places: Tensor


def squash_aims(aims: Tensor) -> Tensor:
    """The mean of the Gaussian that a location is drawn from, before tanh, from what the location network said.

    It is kept within +-1.5: farther out noise would hardly move the location, and nothing could be learned from it.
    """
    return FARTHEST_AIM * torch.tanh(aims / FARTHEST_AIM)


class Weights(NamedTuple):
    """The weights that take part in a step, each (size out, size in), and their biases."""

    what: Tensor
    what_bias: Tensor
    where: Tensor
    where_bias: Tensor
    join: Tensor
    join_bias: Tensor
    read: Tensor
    read_bias: Tensor
    remember: Tensor
    plan: Tensor
    plan_bias: Tensor
    aim: Tensor
    aim_bias: Tensor


def fast_walk(
    retina: Retina, rows: Tensor | None, start: Tensor, noise: Tensor, std: float, habit: Tensor, weights: Weights
) -> Walk:
    """Look step by step.

    Args:
        retina: over the images.
        rows: (rows,) which image each row looks at; None: each its own.
        start: (rows, 2), the first location.
        noise: (steps - 1, rows, 2), from N(0, 1), of the locations chosen.
        std: of the noise, before tanh.
        habit: (steps - 1, 2), added to what the location network says; its gradient is not made here.
        weights: of the model.
    """
    return Walk(*_Steps.apply(retina, rows, start, noise, std, habit, *weights))  # type: ignore[no-untyped-call]


class _Steps(torch.autograd.Function):
    """`RAM.walk`, formula by formula; h is the state, g a glimpse's code, a what and where before they are joined."""

    @staticmethod
    def forward(
        ctx: Any,
        retina: Retina,
        rows: Tensor | None,
        start: Tensor,
        noise: Tensor,
        std: float,
        habit: Tensor,
        *given: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        w = Weights(*given)
        steps, count = len(noise) + 1, len(start)
        new, split = start.new_empty, len(w.what)
        a, g, h = new(steps, count, w.join.shape[1]), new(steps, count, len(w.join)), new(steps, count, len(w.remember))
        k, aims = new(steps - 1, count, len(w.plan)), new(steps - 1, count, 2)
        places, seen = new(steps, count, 2), []
        places[0] = start
        for step in range(steps):
            seen.append(retina.see(places[step][:, None], rows)[:, 0])
            _write_affine(seen[step], w.what, w.what_bias, a[step, :, :split]).relu_()
            _write_affine(places[step], w.where, w.where_bias, a[step, :, split:]).relu_()
            _write_affine(a[step], w.join, w.join_bias, g[step]).relu_()
            _write_affine(g[step], w.read, w.read_bias, h[step])
            if step:
                h[step].addmm_(h[step - 1], w.remember.t())
            h[step].relu_()
            if step + 1 < steps:
                _write_affine(h[step], w.plan, w.plan_bias, k[step]).relu_()
                _write_affine(k[step], w.aim, w.aim_bias, aims[step])
                mean = squash_aims(aims[step] + habit[step])
                torch.tanh(torch.add(mean, noise[step], alpha=std), out=places[step + 1])
        ctx.save_for_backward(a, g, h, k, places, torch.stack(seen), *given)
        ctx.mark_non_differentiable(places)
        return h, aims, places

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        a, g, h, k, places, seen, *given = ctx.saved_tensors
        w, split = Weights(*given), len(given[0])
        d_states, d_aims, _ = upstream
        d_z = torch.empty_like(h)  # of the state before its ReLU
        d_z[-1] = _back_through_relu(d_states[-1], h[-1])
        for step in range(len(h) - 2, -1, -1):
            d_z[step] = _back_through_relu(torch.addmm(d_states[step], d_z[step + 1], w.remember), h[step])
        flat = d_z.flatten(0, 1)
        d_g = _back_through_relu(flat @ w.read, g.flatten(0, 1))
        d_a = _back_through_relu(d_g @ w.join, a.flatten(0, 1))
        d_what, d_where = d_a[:, :split], d_a[:, split:]
        d_aim = d_aims.flatten(0, 1)
        d_k = _back_through_relu(d_aim @ w.aim, k.flatten(0, 1))
        gradients = Weights(
            *(d_what.t() @ seen.flatten(0, 1), d_what.sum(0)),
            *(d_where.t() @ places.flatten(0, 1), d_where.sum(0)),
            *(d_g.t() @ a.flatten(0, 1), d_g.sum(0)),
            *(flat.t() @ g.flatten(0, 1), flat.sum(0)),
            d_z[1:].flatten(0, 1).t() @ h[:-1].flatten(0, 1),
            *(d_k.t() @ h[:-1].flatten(0, 1), d_k.sum(0)),
            *(d_aim.t() @ k.flatten(0, 1), d_aim.sum(0)),
        )
        return (*[None] * 6, *gradients)


def _write_affine(rows: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> Tensor:
    """Write x W^T + b where it belongs."""
    return torch.addmm(bias, rows, weight.t(), out=out)


def _back_through_relu(gradient: Tensor, output: Tensor) -> Tensor:
    """The gradient before a ReLU, from that after it."""
    return torch.ops.aten.threshold_backward(gradient, output, 0)  # type: ignore[no-any-return]
