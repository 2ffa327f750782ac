"""Sums over all places of a feature map, by how well each fits: the pairwise functions of non-local blocks.

Gaussian, dot product and concatenation, as sums and as the weights that `watch` records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from jumok.attention import Scale
from jumok.attention.attended import ALL, Attended, Rows
from jumok.errors import JumokError
from jumok.mechanisms.kernels.door import is_off
from jumok.mechanisms.kernels.ramp_sums import ramp_sums
from jumok.watching.dot_product import DotProduct

__all__ = ["FORMS", "Form", "Pairwise", "are_few_weights", "concatenation", "dot_product", "gaussian"]

Form = Literal["embedded-gaussian", "gaussian", "dot-product", "concatenation"]
MOST_WEIGHTS_PER_FEATURE = 2
"""Forming the weights is faster while they are at most so many times the numbers in theta and phi."""


def gaussian(theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    """y_i = sum_j softmax_j(theta_i . phi_j) g_j, by PyTorch's fused kernel, unless the weights are few.

    Args:
        theta: (batch, queries, size), float.
        phi: (batch, keys, size), float.
        g: (batch, keys, value size), float.
    Returns:
        (batch, queries, value size).
    Source: Wang et al. 2018, arXiv 1711.07971, 3.2, equations 2 and 3: e^(theta . phi) with C(x) its sum is a softmax.
    """
    size, value_size = theta.shape[2], g.shape[2]
    if torch.is_grad_enabled() and theta.device.type == "cpu" and are_few_weights(theta.shape[1], *phi.shape[1:]):
        # The fused kernel's backward pass forms the weights again, which costs a CPU more than to have kept so few
        return (theta @ phi.transpose(1, 2)).softmax(-1) @ g
    query, key, value = (_is_filled(each, max(size, value_size))[:, None] for each in (theta, phi, g))
    return F.scaled_dot_product_attention(query, key, value, scale=1.0)[:, 0, :, :value_size]


def are_few_weights(queries: int, keys: int, size: int) -> bool:
    """Whether there are about as few weights as numbers of queries and keys, (places, size), that they are made of."""
    return queries * keys <= MOST_WEIGHTS_PER_FEATURE * (queries + keys) * size


def _is_filled(tensor: Tensor, size: int) -> Tensor:
    """Zeros added to the last axis: the kernel that forms no weights wants query, key and value of one size."""
    return tensor if tensor.shape[-1] == size else F.pad(tensor, (0, size - tensor.shape[-1]))


def dot_product(theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    """y_i = 1/N sum_j (theta_i . phi_j) g_j, for N keys, multiplied in the order that takes the fewest steps.

    Args, Returns: as `gaussian`.
    Source: Wang et al. 2018, arXiv 1711.07971, 3.2, equation 4. Differs: N is the number of keys, of which sub-sampling
        leaves fewer than places, so that y is the same mean with it and without.

    >>> theta, phi, g = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0, 0.0], [0.0, 4.0]]]), torch.ones(1, 2, 1)
    >>> dot_product(theta, phi, g)
    tensor([[[5.5000]]])
    """
    (queries, size), (keys, value_size) = theta.shape[1:], g.shape[1:]
    phi = phi / keys
    if queries * keys * (size + value_size) > size * value_size * (queries + keys):
        return theta @ (phi.transpose(1, 2) @ g)
    return theta @ phi.transpose(1, 2) @ g


def concatenation(a: Tensor, b: Tensor, g: Tensor) -> Tensor:
    """y_i = 1/N sum_j ReLU(a_i + b_j) g_j, for N keys, with w . [theta_i, phi_j] = a_i + b_j already added up.

    Pairs are never joined to vectors. Many weights are not formed either (see `ramp_sums`).

    Args:
        a: (batch, queries), w's first half times theta, float.
        b: (batch, keys), w's second half times phi, float.
        g: (batch, keys, value size), float.
    Returns:
        (batch, queries, value size).
    Source: Wang et al. 2018, arXiv 1711.07971, 3.2, equation 5. Differs: N as in `dot_product`.
    """
    g = g / g.shape[1]
    if is_off() or are_few_weights(a.shape[1], *g.shape[1:]):
        return (a[:, :, None] + b[:, None]).relu() @ g
    return ramp_sums(a, b, g)


class Pairwise:
    """A record, as `watch` keeps it, of weights that a function of queries and keys gives when asked.

    Args:
        of: (batch, rows, ...) queries and (batch, keys, ...) keys -> (batch, rows, keys) weights.
        queries, keys: what went in.
    """

    traced = None  # no gradient of the weights is kept

    def __init__(self, of: Callable[[Tensor, Tensor], Tensor], queries: Tensor, keys: Tensor) -> None:
        self._of, self._queries, self._keys = of, queries.detach(), keys.detach()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As in `Attended`."""
        return self._queries.shape[0], 1, self._queries.shape[1], self._keys.shape[1]

    @property
    def device(self) -> torch.device:
        """As in `Attended`."""
        return self._queries.device

    @torch.no_grad()
    def weights(self, rows: Rows = None) -> Tensor:
        """As in `Attended`."""
        queries = self._queries if rows is None else self._queries[:, rows]
        return self._of(queries.float(), self._keys.float())[:, None]

    @torch.no_grad()
    def pull(self, row: Tensor) -> Tensor:
        """As in `Attended`."""
        return (row[:, None] @ self.weights()[:, 0].to(row.dtype))[:, 0]

    def pull_relevance(self, row: Tensor, gradient: Tensor) -> Tensor:
        """As in `Attended`: there is no gradient."""
        raise _divide_by_count()

    def relevant(self, gradient: Tensor, images: slice = ALL) -> Tensor:
        """As in `Attended`: there is no gradient."""
        raise _divide_by_count()


def _divide_by_count() -> JumokError:
    return JumokError("relevance follows attention that is a softmax, and these weights are none: use attention")


def _weigh_products(theta: Tensor, phi: Tensor) -> Tensor:
    return theta @ phi.transpose(1, 2) / phi.shape[1]


def _weigh_ramps(a: Tensor, b: Tensor) -> Tensor:
    return (a[:, :, None] + b[:, None]).relu() / b.shape[1]


class _Kind(NamedTuple):
    """How one form adds up, how its record is made, and what its weights are."""

    sum: Callable[[Tensor, Tensor, Tensor], Tensor]
    record: Callable[[Tensor, Tensor], Attended]
    scale: Scale


def _softmax_record(theta: Tensor, phi: Tensor) -> Attended:
    return DotProduct(theta[:, None], phi[:, None], scale=1.0)


FORMS: Mapping[str, _Kind] = {
    "embedded-gaussian": _Kind(gaussian, _softmax_record, Scale.DISTRIBUTION),
    "gaussian": _Kind(gaussian, _softmax_record, Scale.DISTRIBUTION),
    "dot-product": _Kind(dot_product, partial(Pairwise, _weigh_products), Scale.SCORE),
    "concatenation": _Kind(concatenation, partial(Pairwise, _weigh_ramps), Scale.RELEVANCE),
}
