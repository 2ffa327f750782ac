"""Dropout, with chances drawn several times faster on a CPU, where that was found to be so: see `kernels.door`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jumok.mechanisms.kernels.door import Call, takes_fast

__all__ = ["KERNEL", "Dropout", "drop_by_bits", "make_trial"]

KERNEL = "dropout"
CHANCE_STEPS = 1 << 16  # a chance is a number of 16 bits
FEWEST_VALUES = 4096  # with fewer values than this, PyTorch's own is as fast


class Dropout(nn.Dropout):
    """`nn.Dropout`, that trains faster on a CPU.

    >>> dropout = Dropout(0.5).eval()
    >>> dropout(torch.ones(3))
    tensor([1., 1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (nn.Dropout names it so)
        suits = self.training and 0 < self.p < 1 and input.device.type == "cpu" and input.numel() >= FEWEST_VALUES
        if suits and takes_fast(_call(input.numel())):
            return drop_by_bits(input, self.p)
        return F.dropout(input, self.p, self.training)


def drop_by_bits(values: Tensor, probability: float) -> Tensor:
    """Set values to 0 at random, and scale the others so that the mean stays.

    PyTorch draws a number of 32 bits for each value, one at a time. Here a draw of 64 bits gives four values their
    chance; so the probability is one of 65,536 steps, and what is kept is scaled by just that step.

    Args:
        values: any shape, float.
        probability: with which a value is dropped, in (0, 1).
    Returns:
        as `values`.
    Source: Srivastava et al. 2014, Dropout, JMLR 15, 1929-1958.
    """
    count = values.numel()
    drawn = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    dropped = min(max(round(probability * CHANCE_STEPS), 1), CHANCE_STEPS - 1)
    kept = drawn.view(torch.int16)[:count].view(values.shape) >= dropped - CHANCE_STEPS // 2
    return values * kept.to(values.dtype).mul_(CHANCE_STEPS / (CHANCE_STEPS - dropped))


# -- what is timed ------------------------------------------------------------------------------


def _call(count: int) -> Call:
    """A call as the door knows it: sizes within a factor of two share a choice."""
    return Call(KERNEL, (count.bit_length(),), (count,))


def make_trial(shape: tuple[int, ...]) -> tuple[Callable[[], object], Callable[[], object]]:
    """A forward and backward pass over so many values: by PyTorch's own, and by bits."""
    values = torch.randn(shape).requires_grad_()
    return partial(_pass, F.dropout, values), partial(_pass, drop_by_bits, values)


def _pass(form: Callable[[Tensor, float], Tensor], values: Tensor) -> None:
    output = form(values, 0.1)
    torch.autograd.grad(output, values, torch.ones_like(output))
