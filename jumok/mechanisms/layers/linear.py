"""The linear map y = x W^T + b, by the faster of two kernels.

Which of the two is faster depends on the processor; see `kernels.door`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jumok.mechanisms.kernels.door import Call, takes_fast

__all__ = ["KERNEL", "Linear", "Shape", "linear", "make_trial", "multiply_by_convolution"]

KERNEL = "linear"
ENOUGH = 8192
"""Rows that are timed at most."""
SMALL_BATCH = 16
FEWEST_ROWS = 1024  # with fewer rows than this, setting the convolution up costs what it gains


class Shape(NamedTuple):
    """Of a call: tokens (batch, tokens, size in) by a weight (size out, size in)."""

    batch: int
    tokens: int
    size_in: int
    size_out: int

    @property
    def call(self) -> Call:
        """As the door knows it: the choice depends on the sizes alone."""
        return Call(KERNEL, (self.size_in, self.size_out), self)


class Linear(nn.Linear):
    """`nn.Linear`, with its parameters and their start, that goes by the kernel chosen.

    >>> Linear(3, 2)(torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (nn.Linear names it so)
        return linear(input, self.weight, self.bias)


def linear(tokens: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """As `F.linear`, to rounding: by convolution in training on a CPU, where that was found to be faster.

    Args:
        tokens: (..., size in), float.
        weight: (size out, size in).
        bias: (size out,), or None.
    Returns:
        (..., size out).
    """
    if torch.is_grad_enabled() and _suits_convolution(tokens):
        shape = Shape(len(tokens), tokens.shape[1], tokens.shape[2], len(weight))
        if takes_fast(shape.call):
            return multiply_by_convolution(tokens, weight, bias)
    return F.linear(tokens, weight, bias)


def multiply_by_convolution(tokens: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """As `linear` for (batch, tokens, size in), through a convolution whose pixels are the tokens.

    PyTorch gives matrix products to MKL and convolutions to oneDNN. The latter's kernels are the faster ones on some
    processors that MKL was not written for, and its backward pass sums the gradient of the bias on the way.
    """
    pixels = tokens.unsqueeze(2).permute(0, 3, 1, 2)  # (batch, size in, tokens, 1), channels last: no copy
    one, none = (1, 1), (0, 0)
    output = torch.convolution(pixels, weight[:, :, None, None], bias, one, none, one, False, none, 1)
    return output.permute(0, 2, 3, 1).squeeze(2)


def _suits_convolution(tokens: Tensor) -> bool:
    """Whether oneDNN takes these tokens, and there are enough of them."""
    many = tokens.dim() == 3 and len(tokens) > 1 and len(tokens) * tokens.shape[1] >= FEWEST_ROWS
    # PyTorch keeps 1 x 1 convolutions of small batches from oneDNN where there is one thread, and takes a slow loop
    many = many and (len(tokens) >= SMALL_BATCH or torch.get_num_threads() > 1) and tokens.is_contiguous()
    exact = tokens.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return many and exact and tokens.device.type == "cpu" and torch.backends.mkldnn.is_available()


# -- what is timed ------------------------------------------------------------------------------


def make_trial(shape: tuple[int, ...]) -> tuple[Callable[[], object], Callable[[], object]]:
    """A forward and backward pass of a map called so: by the product, and by convolution."""
    batch, tokens, size_in, size_out = shape
    batch = min(batch, max(ENOUGH // tokens, SMALL_BATCH))
    sizes = ((batch, tokens, size_in), (size_out, size_in), (size_out,))
    operands = tuple(torch.randn(size).requires_grad_() for size in sizes)
    return partial(_pass, F.linear, operands), partial(_pass, multiply_by_convolution, operands)


def _pass(form: Callable[..., Tensor], operands: tuple[Tensor, ...]) -> None:
    output = form(*operands)
    torch.autograd.grad(output, operands, torch.ones_like(output))
