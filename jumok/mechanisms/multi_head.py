"""Multi-head attention: several looks at once, each in a space of its own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.mechanisms import dot_product
from jumok.mechanisms.example import Example
from jumok.mechanisms.layers.linear import Linear, linear
from jumok.mechanisms.layers.shared_memory import SharedMemory

__all__ = ["MultiHead", "example"]


class MultiHead(nn.Module):
    """Multi-head attention with PyTorch's fused kernel.

    MultiHead(x) = [head_1, ..., head_h] W_O, head_i = softmax(q_i k_i^T / sqrt(d)) v_i, where q_i, k_i and v_i are the
    i-th parts of x W_Q, x W_K and x W_V. The three matrices lie in one, `qkv`, so that self-attention is one product.

    Args:
        width: size of each token.
        heads: how many looks; divides width.
        dropout: probability with which a weight is set to 0 in training.
    Raises:
        JumokError: heads do not divide width, or dropout is not in [0, 1).
    Source: Vaswani et al. 2017, arXiv 1706.03762, 3.2.2.

    >>> MultiHead(width=8, heads=2)(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise JumokError(f"{heads} heads do not divide a width of {width}: choose a divisor")
        if not 0 <= dropout < 1:
            raise JumokError(f"dropout is a probability from 0 to below 1, got {dropout}")
        self.width, self.heads, self.dropout = width, heads, dropout
        self.qkv = Linear(width, 3 * width)
        self.out = Linear(width, width)

    def forward(
        self,
        tokens: Tensor,
        memory: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        of: Tensor | None = None,
    ) -> Tensor:
        """Let each token look at all tokens, or at a memory.

        Args:
            tokens: (batch, queries, width): who looks.
            memory: (batch, keys, width): what is seen. None: the tokens themselves.
            mask: bool, True = may be attended, (batch, keys) or (batch, queries, keys). None: all may.
            causal: a token may see itself and those before it; for self-attention.
            of: (batch,) int64, which entry of the memory each example looks at, so that a memory that several look at
                is projected once. None: each at its own.
        Returns:
            (batch, queries, width).
        Raises:
            JumokError: shapes do not fit, or a query has no key that may be attended.
        """
        if of is not None and memory is not None:
            return self._look_together(tokens, memory, mask, of)
        query, key, value = self._project(tokens, memory)
        allowed = self._merge_masks(query, key, mask, causal)
        dropout = self.dropout if self.training else 0.0
        only_causal = causal and allowed is None
        return self.join(attend_fused(query, key, value, allowed, dropout=dropout, causal=only_causal))

    def plain(
        self, tokens: Tensor, memory: Tensor | None = None, *, mask: Tensor | None = None, causal: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The same by the textbook, step for step and without dropout: slow, and it forms the weights.

        Returns:
            output: (batch, queries, width).
            weights: (batch, heads, queries, keys).
        """
        query, key, value = self._project(tokens, memory)
        allowed = self._merge_masks(query, key, mask, causal)
        if causal and allowed is None:
            allowed = _make_causal_mask(query.shape[-2], query.device)[None, None]
        context, weights = dot_product.attend(query, key, value, allowed)
        return self.join(context), weights

    # -- in steps, with keys and values that are kept -------------------------------------------

    def project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of tokens: three times (batch, heads, tokens, width / heads)."""
        return self._project(tokens)

    def project_query(self, tokens: Tensor) -> Tensor:
        """Query of tokens (batch, queries, width) that look at a memory: (batch, heads, queries, width / heads)."""
        self._check("tokens", tokens)
        weight, bias = self.qkv.weight[: self.width], self.qkv.bias[: self.width]
        return self._split(linear(tokens, weight, bias))[0]

    def project_memory(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Key and value of a memory (batch, keys, width), once for all steps: twice (batch, heads, keys, size)."""
        self._check("memory", memory)
        weight, bias = self.qkv.weight[self.width :], self.qkv.bias[self.width :]
        key, value = self._split(linear(memory, weight, bias))
        return key, value

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """Look with projected queries at projected keys and values, by the fused kernel and without dropout.

        Args:
            query: (batch, heads, queries, width / heads).
            key: (batch, heads, keys, width / heads); value alike.
            mask: bool, True = may be attended, (batch, 1, queries or 1, keys), each row with a True. None: all may.
        Returns:
            (batch, queries, width).
        """
        return self.join(attend_fused(query, key, value, mask))

    def join(self, context: Tensor) -> Tensor:
        """Join the heads' contexts, (batch, heads, queries, width / heads), by W_O: (batch, queries, width)."""
        joined: Tensor = self.out(context.transpose(1, 2).flatten(2))
        return joined

    def _look_together(self, tokens: Tensor, memory: Tensor, mask: Tensor | None, of: Tensor) -> Tensor:
        """Several examples look at one entry of the memory, whose key and value are made once.

        In training, where no mask differs, the queries of all that look at one entry stand in one row: key and value
        are then neither copied nor their gradients added up. Otherwise each example has its own copy, and its own row
        for who watches.
        """
        if of.shape != tokens.shape[:1] or of.dtype != torch.int64:
            raise JumokError(f"of is {of.dtype} of shape {tuple(of.shape)}, wanted int64 of ({len(tokens)},)")
        query, (key, value) = self.project_query(tokens), self.project_memory(memory)
        dropout = self.dropout if self.training else 0.0
        if not self.training or mask is not None:
            key, value = key[of], value[of]
            return self.join(
                attend_fused(query, key, value, self._merge_masks(query, key, mask, False), dropout=dropout)
            )
        together = SharedMemory(of, len(memory))
        rows = together.gather(query).transpose(1, 2).flatten(2, 3)  # (entries, heads, places x queries, size)
        context = attend_fused(rows, key, value, None, dropout=dropout)
        return self.join(together.part(context.unflatten(2, (together.most, -1)).transpose(1, 2)))

    def _project(self, tokens: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value, each (batch, heads, tokens, width / heads)."""
        self._check("tokens", tokens)
        if memory is None:
            query, key, value = self._split(self.qkv(tokens))
            return query, key, value
        self._check("memory", memory, batch=tokens.shape[0])
        return self.project_query(tokens), *self.project_memory(memory)

    def _split(self, projected: Tensor) -> tuple[Tensor, ...]:
        """(batch, tokens, n x width) to n times (batch, heads, tokens, width / heads)."""
        parts = projected.unflatten(-1, (-1, self.heads, self.width // self.heads)).unbind(2)
        return tuple(part.transpose(1, 2) for part in parts)

    def _merge_masks(self, query: Tensor, key: Tensor, mask: Tensor | None, causal: bool) -> Tensor | None:
        """One mask for all heads, (batch, 1, queries or 1, keys); None where the kernel needs none."""
        batch, _, queries, _ = query.shape
        keys = key.shape[2]
        if causal and queries != keys:
            raise JumokError(
                f"causal is for self-attention, got {queries} queries and {keys} keys: pass a mask instead"
            )
        if mask is None:
            return None
        if tuple(mask.shape) not in ((batch, keys), (batch, queries, keys)):
            wanted = f"(batch, keys) = {(batch, keys)} or (batch, queries, keys) = {(batch, queries, keys)}"
            raise JumokError(f"mask has shape {tuple(mask.shape)}, wanted {wanted}")
        allowed = mask[:, None, None] if mask.dim() == 2 else mask[:, None]
        allowed = allowed & _make_causal_mask(queries, mask.device) if causal else allowed
        return dot_product.check_mask(allowed, torch.Size((batch, self.heads, queries, keys)))

    def _check(self, name: str, tokens: Tensor, batch: int | None = None) -> None:
        if tokens.dim() != 3 or tokens.shape[2] != self.width or (batch is not None and tokens.shape[0] != batch):
            wanted = f"({'batch' if batch is None else batch}, {name}, {self.width})"
            raise JumokError(f"{name} has shape {tuple(tokens.shape)}, wanted {wanted}")


def attend_fused(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, dropout: float = 0.0, causal: bool = False
) -> Tensor:
    """PyTorch's fused attention; in float32 where a CPU runs in mixed precision, whose backward kernel is slow in bf16.

    Args:
        query, key, value: (batch, heads, tokens, size).
        mask: bool, True = may be attended, broadcastable to (batch, heads, queries, keys); or None.
        dropout: probability with which a weight is set to 0.
        causal: a query may see no key after its own place.
    Returns:
        context: (batch, heads, queries, size).
    """
    if query.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            return F.scaled_dot_product_attention(
                query.float(), key.float(), value.float(), mask, dropout, is_causal=causal
            )
    return F.scaled_dot_product_attention(query, key, value, mask, dropout, is_causal=causal)


def _make_causal_mask(length: int, device: torch.device) -> Tensor:
    """(length, length) bool: True where the key does not come after the query."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


def example() -> Example:
    """Three tokens of two examples look at a memory of five, of which the second may see only three."""
    draw = torch.Generator().manual_seed(0)
    attention = MultiHead(width=8, heads=2).eval()
    inputs = {"tokens": torch.randn(2, 3, 8, generator=draw), "memory": torch.randn(2, 5, 8, generator=draw)}
    return Example(
        output=attention,
        weights=lambda **given: attention.plain(**given)[1],
        inputs=inputs,
        wrong={"tokens": torch.randn(2, 3, 7), "memory": torch.randn(3, 5, 8)},
        mask=torch.tensor([[True] * 5, [True, False, True, True, False]]),
        module=attention,
    )
