"""Additive attention: a small network with one hidden layer scores each key, without its hidden layer in memory."""

from __future__ import annotations

import functools
import math
import warnings
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.utils.checkpoint import checkpoint

from jumok.errors import JumokError
from jumok.mechanisms import dot_product
from jumok.mechanisms.example import Example
from jumok.mechanisms.kernels.door import is_off
from jumok.mechanisms.layers.linear import Linear
from jumok.mechanisms.layers.projection import project
from jumok.watching.watchers import report, unseen

__all__ = ["Additive", "blockwise_scores", "example", "fast_scores", "scores"]

BLOCK_VALUES = {"cpu": 1 << 20, "cuda": 1 << 24}
"""How many numbers of the hidden layer are held at a time where the compiled loops cannot run."""
FEWEST_COMPILED = 1 << 19
"""How many numbers of the hidden layer are worth loading the compiled loops where nothing is trained, which takes half
a second: plain torch takes a millisecond for fewer."""
HALF_PRECISION = {torch.float16, torch.bfloat16}


def scores(query: Tensor, key: Tensor, w: Tensor) -> Tensor:
    """Score each key by an additive score: score(q, k) = w . tanh(q + k), q and k projected to the same size.

    The formula as it stands: it forms (batch, queries, keys, size). `fast_scores` does not.

    Args:
        query: (batch, queries, size), float.
        key: (batch, keys, size), float.
        w: (size,).
    Returns:
        (batch, queries, keys), any sign.
    Raises:
        JumokError: sizes differ.
    Source: Bahdanau, Cho & Bengio 2015, arXiv 1409.0473, A.1.2: v_a . tanh(W_a s + U_a h).

    >>> scores(torch.tensor([[[0.5]]]), torch.tensor([[[-0.5], [99.5]]]), torch.tensor([3.0]))
    tensor([[[0., 3.]]])
    """
    _check_shapes(query, key, w)
    return torch.tanh(query[:, :, None] + key[:, None]) @ w


def fast_scores(query: Tensor, key: Tensor, w: Tensor, mask: Tensor | None = None) -> Tensor:
    """As `scores`, without the hidden layer in memory, forward and backward.

    On a CPU in float32: loops compiled on first use (some seconds, once; kept on disk), which pass over masked keys.
    Their tanh is within 4e-7 of the true one. Otherwise, and where few are scored and none trained, `blockwise_scores`.

    Args:
        query, key, w: as in `scores`.
        mask: bool, True = may be attended, (batch, keys) or (batch, queries, keys). None: all may.
    Returns:
        (batch, queries, keys), any sign; -inf where the mask forbids; of half precision on a CPU, in float32.
    Raises:
        JumokError: sizes differ, or the mask is not bool or does not fit.
    """
    if query.device.type == "cpu" and HALF_PRECISION & {query.dtype, key.dtype, w.dtype}:  # float32 is the faster there
        query, key, w = query.float(), key.float(), w.float()
    _check_shapes(query, key, w)
    allowed = _to_three_axes(mask, query, key)
    traced = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or w.requires_grad)
    suits = not is_off() and _suits_kernel(query, key, w)  # asked first: sizes of a graph that is exported are symbols
    kernel = _kernel() if suits and (traced or query.numel() * key.shape[1] >= FEWEST_COMPILED) else None
    if kernel is None:
        return _score_in_blocks(query, key, w, allowed)
    query, key, w = query.contiguous(), key.contiguous(), w.contiguous()
    allowed = query.new_ones(1, 1, key.shape[1], dtype=torch.bool) if allowed is None else allowed.contiguous()
    if traced:
        result: Tensor = _Scores.apply(query, key, w, allowed)  # type: ignore[no-untyped-call]
        return result
    return _forward(query, key, w, allowed)


def blockwise_scores(query: Tensor, key: Tensor, w: Tensor, mask: Tensor | None = None) -> Tensor:
    """As `fast_scores` in plain torch, on any device: block by block, and again block by block in the backward pass.

    >>> blockwise_scores(torch.zeros(1, 1, 4), torch.zeros(1, 2, 4), torch.ones(4), torch.tensor([[True, False]]))
    tensor([[[0., -inf]]])
    """
    _check_shapes(query, key, w)
    return _score_in_blocks(query, key, w, _to_three_axes(mask, query, key))


# -- in blocks ----------------------------------------------------------------------------------


def _score_in_blocks(query: Tensor, key: Tensor, w: Tensor, allowed: Tensor | None) -> Tensor:
    if torch.compiler.is_exporting():  # the size of the batch is not known
        joined = scores(query, key, w)
        return joined if allowed is None else joined.masked_fill(~allowed, -math.inf)
    limit = BLOCK_VALUES.get(query.device.type, BLOCK_VALUES["cuda"])
    hidden = max(1, key.shape[1] * key.shape[2])  # numbers of the hidden layer, for one query
    examples = max(1, limit // hidden)
    queries = max(1, limit // (hidden * min(examples, max(1, len(query)))))
    blocks = [
        torch.cat([_choose_block(part, keys, w) for part in some.split(queries, 1)], 1)
        for some, keys in zip(query.split(examples), key.split(examples), strict=True)
    ]
    joined = torch.cat(blocks)
    return joined if allowed is None else joined.masked_fill(~allowed, -math.inf)


def _choose_block(query: Tensor, key: Tensor, w: Tensor) -> Tensor:
    """The scores of a few queries, whose hidden layer is computed again in the backward pass."""
    if not torch.is_grad_enabled():
        return scores(query, key, w)
    block: Tensor = checkpoint(scores, query, key, w, use_reentrant=False, preserve_rng_state=False)
    return block


# -- by compiled loops --------------------------------------------------------------------------


@functools.cache
def _kernel() -> ModuleType | None:
    """The compiled loops, or None with one warning where they cannot be had."""
    try:
        from jumok.mechanisms.kernels import additive_scores

        additive_scores.load()
    except Exception as error:  # whatever it is that a compiler stumbles over, there is another way
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        message = (
            f"additive attention runs in plain torch, several times slower: numba cannot compile it here ({reason})"
        )
        warnings.warn(message, RuntimeWarning, stacklevel=3)
        return None
    return additive_scores


def _suits_kernel(*tensors: Tensor) -> bool:
    exact = all(tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in tensors)
    return exact and not torch.compiler.is_compiling()


def _forward(query: Tensor, key: Tensor, w: Tensor, allowed: Tensor) -> Tensor:
    kernel = _kernel()
    assert kernel is not None  # whoever calls has asked
    result = query.new_empty(len(query), query.shape[1], key.shape[1])
    kernel.forward(*map(_to_array, (query, key, w, allowed, result)), torch.get_num_threads())
    return result


class _Scores(torch.autograd.Function):
    """The compiled loops, forward and backward; the backward pass computes tanh again."""

    @staticmethod
    def forward(ctx: FunctionCtx, query: Tensor, key: Tensor, w: Tensor, allowed: Tensor) -> Tensor:
        ctx.save_for_backward(query, key, w, allowed)
        return _forward(query, key, w, allowed)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, w, allowed = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient itself will be differentiated: the formula can be, the loops cannot
            again = _score_in_blocks(query, key, w, allowed)
            traced = [tensor for tensor in (query, key, w) if tensor.requires_grad]
            found = iter(torch.autograd.grad(again, traced, gradient, create_graph=True))
            return *(next(found) if tensor.requires_grad else None for tensor in (query, key, w)), None
        kernel = _kernel()
        assert kernel is not None  # the forward pass had it
        sums = torch.empty_like(query), torch.empty_like(key), w.new_empty(len(query), len(w))
        inputs = map(_to_array, (gradient.contiguous(), query, key, w, allowed))
        kernel.backward(*inputs, tuple(map(_to_array, sums)), torch.get_num_threads())
        return sums[0], sums[1], sums[2].sum(0), None


def _to_array(tensor: Tensor) -> Any:
    return tensor.detach().numpy()


# -- checks -------------------------------------------------------------------------------------


def _check_shapes(query: Tensor, key: Tensor, w: Tensor) -> None:
    if query.dim() != 3 or w.dim() != 1 or query.shape[2] != w.shape[0]:
        wanted = f"(batch, queries, {w.shape[0] if w.dim() == 1 else 'size'}) and (size,)"
        raise JumokError(f"query and w have shapes {tuple(query.shape)} and {tuple(w.shape)}, wanted {wanted}")
    if key.dim() != 3 or key.shape[0] != query.shape[0] or key.shape[2] != query.shape[2]:
        wanted = f"({query.shape[0]}, keys, {query.shape[2]})"
        raise JumokError(f"key has shape {tuple(key.shape)}, wanted {wanted} to match query {tuple(query.shape)}")


def _to_three_axes(mask: Tensor | None, query: Tensor, key: Tensor) -> Tensor | None:
    """The mask as (batch, queries or 1, keys), after checks that need not look into it."""
    if mask is None:
        return None
    batch, queries, keys = query.shape[0], query.shape[1], key.shape[1]
    if mask.dtype != torch.bool:
        raise JumokError(f"mask is {mask.dtype}, wanted torch.bool with True = may be attended")
    if mask.shape == (batch, keys):
        return mask[:, None]
    if mask.shape != (batch, queries, keys):
        wanted = f"(batch, keys) = {(batch, keys)} or (batch, queries, keys) = {(batch, queries, keys)}"
        raise JumokError(f"mask has shape {tuple(mask.shape)}, wanted {wanted}")
    return mask


# -- the mechanism ------------------------------------------------------------------------------


class Additive(nn.Module):
    """Additive attention with its projections: weights = softmax(w . tanh(W query + U key)).

    Args:
        query_size: size of each query, such as the decoder's state.
        key_size: size of each key, such as the encoder's states.
        size: size of the hidden layer.
    Raises:
        JumokError: a size is below 1.
    Source: Bahdanau, Cho & Bengio 2015, arXiv 1409.0473, A.1.2. Differs: w starts as a linear layer's weight does.

    >>> attention = Additive(query_size=4, key_size=6, size=8)
    >>> attention(torch.zeros(1, 2, 4), torch.zeros(1, 5, 6), torch.ones(1, 5, 3)).shape
    torch.Size([1, 2, 3])
    """

    def __init__(self, query_size: int, key_size: int, size: int) -> None:
        super().__init__()
        if min(query_size, key_size, size) < 1:
            raise JumokError(f"sizes are 1 or more, got query {query_size}, key {key_size}, hidden layer {size}")
        self.query = Linear(query_size, size, bias=False)  # W
        self.key = Linear(key_size, size, bias=False)  # U
        self.w = nn.Parameter(torch.empty(size).uniform_(-1 / math.sqrt(size), 1 / math.sqrt(size)))

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """Let each query look at all keys, and add up their values.

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
        query, key = self._project(query), self.project_keys(key)
        with unseen():
            looks = dot_product.weights(fast_scores(query, key, self.w, mask), _to_three_axes(mask, query, key))
            context = dot_product.context(looks, value)
        report(looks)
        return context

    def plain(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same by the textbook, step for step: slow, and it forms the hidden layer.

        Returns:
            context: (batch, queries, value size).
            weights: (batch, queries, keys).
        """
        query, key = self._project(query), self.project_keys(key)
        looks = dot_product.weights(scores(query, key, self.w), _to_three_axes(mask, query, key))
        return dot_product.context(looks, value), looks

    def project_keys(self, key: Tensor) -> Tensor:
        """U key, once for all the steps of a decoder: (batch, keys, key size) to (batch, keys, size)."""
        return project(key, self.key, "key", "keys")

    def weights(self, query: Tensor, projected_keys: Tensor, mask: Tensor | None = None) -> Tensor:
        """The weights of one step of a decoder, or of a few, over keys that are already projected.

        Tells no watcher, so that who runs the steps may `report` all of them as one. Does not look into the mask: a
        query with no key that may be attended gets NaN.

        Args:
            query: (batch, queries, query size).
            projected_keys: (batch, keys, size), from `project_keys`.
            mask: as in `forward`.
        Returns:
            (batch, queries, keys), each row sums to 1.
        Raises:
            JumokError: shapes do not fit.
        """
        with unseen():
            return torch.softmax(fast_scores(self._project(query), projected_keys, self.w, mask), -1)

    def _project(self, query: Tensor) -> Tensor:
        return project(query, self.query, "query", "queries")


def example() -> Example:
    """Three queries of two examples look at five keys, of which the second may see only three."""
    draw = torch.Generator().manual_seed(0)
    shapes = {"query": (2, 3, 4), "key": (2, 5, 6), "value": (2, 5, 3)}
    attention = Additive(query_size=4, key_size=6, size=8).eval()
    return Example(
        output=attention,
        weights=lambda **given: attention.plain(**given)[1],
        inputs={name: torch.randn(shape, generator=draw) for name, shape in shapes.items()},
        wrong={"query": torch.zeros(2, 3, 5), "key": torch.zeros(2, 5, 3), "value": torch.zeros(2, 4, 3)},
        mask=torch.tensor([[True] * 5, [True, False, True, True, False]]),
        module=attention,
    )
