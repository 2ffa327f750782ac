"""General attention: the dot product of a key with a query that a matrix has turned towards it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.mechanisms import dot_product
from jumok.mechanisms.example import Example
from jumok.mechanisms.layers.linear import Linear
from jumok.mechanisms.layers.projection import project
from jumok.watching.watchers import unseen

__all__ = ["General", "example", "scores"]


def scores(query: Tensor, key: Tensor, w: Tensor) -> Tensor:
    """Score each key by a bilinear form: score(q, k) = q . W k.

    Args:
        query: (*lead, queries, query size), float.
        key: (*lead, keys, key size), float.
        w: (query size, key size).
    Returns:
        (*lead, queries, keys), any sign.
    Raises:
        JumokError: sizes or leading axes differ.
    Source: Luong, Pham & Manning 2015, arXiv 1508.04025, 3.1 (general).

    >>> scores(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]]), torch.tensor([[1.0], [10.0]]))
    tensor([[63., 84.]])
    """
    if w.dim() != 2 or key.dim() < 2 or key.shape[-1] != w.shape[1]:
        wanted = f"(*lead, keys, {w.shape[1]})" if w.dim() == 2 else "a w of (query size, key size)"
        raise JumokError(f"key has shape {tuple(key.shape)} and w {tuple(w.shape)}, wanted {wanted}")
    return dot_product.scores(query, key @ w.T)


class General(nn.Module):
    """General attention with its matrix: weights = softmax(query . W key).

    Args:
        query_size: size of each query, such as the decoder's state.
        key_size: size of each key, such as the encoder's states.
    Raises:
        JumokError: a size is below 1.
    Source: Luong, Pham & Manning 2015, arXiv 1508.04025, 3.1 (general).

    >>> attention = General(query_size=4, key_size=6)
    >>> attention(torch.zeros(1, 2, 4), torch.zeros(1, 5, 6), torch.ones(1, 5, 3)).shape
    torch.Size([1, 2, 3])
    """

    def __init__(self, query_size: int, key_size: int) -> None:
        super().__init__()
        if min(query_size, key_size) < 1:
            raise JumokError(f"sizes are 1 or more, got query {query_size} and key {key_size}")
        self.key = Linear(key_size, query_size, bias=False)  # W

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """Let each query look at all keys, and add up their values, with PyTorch's fused kernel.

        Args:
            query: (batch, queries, query size).
            key: (batch, keys, key size).
            value: (batch, keys, value size).
            mask: bool, True = may be attended, (batch, keys) or (batch, queries, keys). None: all may.
        Returns:
            context: (batch, queries, value size).
        Raises:
            JumokError: shapes do not fit, or a query has no key that may be attended.
        """
        key = self.project_keys(key)
        allowed = self._check(query, key, mask)
        if allowed is not None:
            allowed = dot_product.check_mask(allowed, torch.Size((*query.shape[:2], key.shape[1])))[:, None]
        if value.dim() != 3 or value.shape[:2] != key.shape[:2]:
            raise JumokError(f"value has shape {tuple(value.shape)}, wanted {(*key.shape[:2], 'size')}: one per key")
        one_head = (query[:, None], key[:, None], value[:, None])
        return F.scaled_dot_product_attention(*one_head, allowed, scale=1.0)[:, 0]

    def plain(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same by the textbook, step for step: slower, and it forms the weights.

        Returns:
            context: (batch, queries, value size).
            weights: (batch, queries, keys).
        """
        looks = dot_product.weights(
            scores(query, key, self.key.weight), self._check(query, self.project_keys(key), mask)
        )
        return dot_product.context(looks, value), looks

    def project_keys(self, key: Tensor) -> Tensor:
        """W key, once for all the steps of a decoder: (batch, keys, key size) to (batch, keys, query size)."""
        return project(key, self.key, "key", "keys")

    def weights(self, query: Tensor, projected_keys: Tensor, mask: Tensor | None = None) -> Tensor:
        """The weights of one step of a decoder, or of a few, over keys that are already projected.

        Tells no watcher, so that who runs the steps may `report` all of them as one. Does not look into the mask: a
        query with no key that may be attended gets NaN.

        Args:
            query: (batch, queries, query size).
            projected_keys: (batch, keys, query size), from `project_keys`.
            mask: as in `forward`.
        Returns:
            (batch, queries, keys), each row sums to 1.
        Raises:
            JumokError: shapes do not fit.
        """
        allowed = self._check(query, projected_keys, mask)
        with unseen():
            found = torch.bmm(query, projected_keys.transpose(1, 2))
            return torch.softmax(found if allowed is None else found.masked_fill(~allowed, -math.inf), -1)

    def _check(self, query: Tensor, projected: Tensor, mask: Tensor | None) -> Tensor | None:
        """The mask as (batch, queries or 1, keys), after checks that need not look into any tensor."""
        size, (batch, keys) = self.key.out_features, projected.shape[:2]
        if query.dim() != 3 or query.shape[0] != batch or query.shape[2] != size:
            raise JumokError(f"query has shape {tuple(query.shape)}, wanted ({batch}, queries, {size})")
        if mask is None:
            return None
        if mask.dtype != torch.bool:
            raise JumokError(f"mask is {mask.dtype}, wanted torch.bool with True = may be attended")
        if tuple(mask.shape) not in ((batch, keys), (batch, query.shape[1], keys)):
            wanted = f"(batch, keys) = {(batch, keys)} or (batch, queries, keys) = {(batch, query.shape[1], keys)}"
            raise JumokError(f"mask has shape {tuple(mask.shape)}, wanted {wanted}")
        return mask[:, None] if mask.dim() == 2 else mask


def example() -> Example:
    """Three queries of two examples look at five keys, of which the second may see only three."""
    draw = torch.Generator().manual_seed(0)
    shapes = {"query": (2, 3, 4), "key": (2, 5, 6), "value": (2, 5, 3)}
    attention = General(query_size=4, key_size=6).eval()
    return Example(
        output=attention,
        weights=lambda **given: attention.plain(**given)[1],
        inputs={name: torch.randn(shape, generator=draw) for name, shape in shapes.items()},
        wrong={"query": torch.zeros(2, 3, 5), "key": torch.zeros(2, 5, 3), "value": torch.zeros(2, 4, 3)},
        mask=torch.tensor([[True] * 5, [True, False, True, True, False]]),
        module=attention,
    )
