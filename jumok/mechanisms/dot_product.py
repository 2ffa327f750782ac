"""Query-key-value attention as the textbook gives it: scores, weights, context."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from jumok.errors import JumokError
from jumok.mechanisms.example import Example

__all__ = ["attend", "check_mask", "context", "example", "scaled_scores", "scores", "weights"]


def scores(query: Tensor, key: Tensor) -> Tensor:
    """Score each key by its dot product with the query: score(q, k) = q . k.

    Args:
        query: (*lead, queries, size), float.
        key: (*lead, keys, size), float.
    Returns:
        (*lead, queries, keys), any sign.
    Raises:
        JumokError: sizes or leading axes differ.
    Source: Luong, Pham & Manning 2015, arXiv 1508.04025, 3.1 (dot).

    >>> scores(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor([[3., 8.]])
    """
    _check_shapes(query, key)
    return query @ key.transpose(-2, -1)


def scaled_scores(query: Tensor, key: Tensor) -> Tensor:
    """Score each key by its dot product over sqrt(size), so that the softmax keeps its slope: q . k / sqrt(d).

    Args, Returns, Raises: as `scores`.
    Source: Vaswani et al. 2017, arXiv 1706.03762, 3.2.1, equation 1.

    >>> scaled_scores(torch.tensor([[2.0, 0.0, 0.0, 0.0]]), torch.tensor([[3.0, 0.0, 0.0, 0.0]]))
    tensor([[3.]])
    """
    return scores(query, key) / math.sqrt(query.shape[-1])


def weights(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Turn scores into a distribution over the keys: softmax, with exactly 0 where the mask forbids.

    Args:
        scores: (*lead, queries, keys), any sign.
        mask: bool, True = may be attended, (*lead, queries, keys) or of a size 1 there. None: all may.
    Returns:
        (*lead, queries, keys), each row sums to 1.
    Raises:
        JumokError: the mask is not bool or does not fit, or a row has no key that may be attended.

    >>> weights(torch.tensor([[1.0, 1.0, 9.0]]), torch.tensor([[True, True, False]]))
    tensor([[0.5000, 0.5000, 0.0000]])
    """
    if mask is not None:
        scores = scores.masked_fill(~check_mask(mask, scores.shape), -math.inf)
    return torch.softmax(scores, -1)


def context(weights: Tensor, value: Tensor) -> Tensor:
    """Add the values up, each by its weight: context = sum_k weight(k) v(k).

    Args:
        weights: (*lead, queries, keys).
        value: (*lead, keys, size).
    Returns:
        (*lead, queries, size).
    Raises:
        JumokError: the number of keys or the leading axes differ.

    >>> context(torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[2.0], [4.0], [9.0]]))
    tensor([[3.]])
    """
    if value.dim() < 2 or weights.shape[-1] != value.shape[-2] or weights.shape[:-2] != value.shape[:-2]:
        wanted = f"({_write_shapes(weights.shape[:-2])}{weights.shape[-1]}, size)"
        raise JumokError(f"value has shape {tuple(value.shape)}, wanted {wanted}: one value per key")
    return weights @ value


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Scaled dot-product attention in one call.

    Args:
        query: (*lead, queries, size), float.
        key: (*lead, keys, size), float.
        value: (*lead, keys, value size), float.
        mask: as in `weights`.
    Returns:
        context: (*lead, queries, value size).
        weights: (*lead, queries, keys).
    Raises:
        JumokError: shapes do not fit, or a row has no key that may be attended.
    Source: Vaswani et al. 2017, arXiv 1706.03762, 3.2.1.
    """
    looks = weights(scaled_scores(query, key), mask)
    return context(looks, value), looks


def check_mask(mask: Tensor, shape: torch.Size) -> Tensor:
    """Give the mask back if it fits scores of this shape and leaves each row a key.

    Raises:
        JumokError: the mask is not bool or does not fit, or a row has no key that may be attended.
    """
    if mask.dtype != torch.bool:
        raise JumokError(f"mask is {mask.dtype}, wanted torch.bool with True = may be attended")
    if mask.dim() != len(shape) or any(got not in (1, wanted) for got, wanted in zip(mask.shape, shape, strict=True)):
        raise JumokError(f"mask has shape {tuple(mask.shape)}, wanted {tuple(shape)} or 1 in place of a size")
    if not torch.compiler.is_exporting() and not bool(mask.any(-1).all()):
        raise JumokError("a row of the mask allows no key: leave at least one True in each row")
    return mask


def example() -> Example:
    """Three queries of two examples over five keys, of which the second example may see only three."""
    draw = torch.Generator().manual_seed(0)
    shapes = {"query": (2, 3, 4), "key": (2, 5, 4), "value": (2, 5, 6)}
    return Example(
        output=lambda **given: attend(**given)[0],
        weights=lambda **given: attend(**given)[1],
        inputs={name: torch.randn(shape, generator=draw) for name, shape in shapes.items()},
        wrong={"query": torch.zeros(2, 3, 5), "key": torch.zeros(2, 5, 3), "value": torch.zeros(2, 4, 6)},
        mask=torch.tensor([[[True] * 5], [[True, False, True, True, False]]]),
    )


def _check_shapes(query: Tensor, key: Tensor) -> None:
    if query.dim() < 2:
        raise JumokError(f"query has shape {tuple(query.shape)}, wanted (*lead, queries, size)")
    if key.dim() != query.dim() or query.shape[-1] != key.shape[-1] or query.shape[:-2] != key.shape[:-2]:
        wanted = f"({_write_shapes(query.shape[:-2])}keys, {query.shape[-1]})"
        raise JumokError(f"key has shape {tuple(key.shape)}, wanted {wanted} to match query {tuple(query.shape)}")


def _write_shapes(shape: torch.Size) -> str:
    return "".join(f"{size}, " for size in shape)
