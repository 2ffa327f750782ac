"""Attention by flash-attn and xFormers: how their functions lay out what goes in, and what they do to the scores.

These packages are never imported here. Where a model's code has imported one, the function that it calls is recorded
from its inputs, as `flex_kernel` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["READERS", "Read", "read_flash", "read_xformers"]

FLASH_ARGUMENTS = ("q", "k", "v", "dropout_p", "softmax_scale", "causal", "window_size", "softcap", "alibi_slopes")
XFORMERS_ARGUMENTS = ("query", "key", "value", "attn_bias", "p", "scale")
UNBOUNDED = (-1, -1)

Modify = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""Changes scores, given image, head, query and key, as for `flex_attention`."""


@dataclass(frozen=True)
class Read:
    """A call of attention, read from its arguments.

    Args:
        query, key, value: as they were given: (batch, tokens, heads, size), or (batch, tokens, size).
        modify: the scores; None: leaves them.
        scale: factor on the scores; None: 1 / sqrt(size).
        dropout: the probability that was used on the weights.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    modify: Modify | None
    scale: float | None
    dropout: float


def read_flash(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Read:
    """Read a call of `flash_attn_func`.

    Causal calls and windows are aligned at the last key, and so is ALiBi.

    Source: flash-attn 2.1 and later, `flash_attn_interface.py`.
    """
    given = dict(zip(FLASH_ARGUMENTS, args, strict=False)) | dict(kwargs)
    query, key = given["q"], given["k"]
    left, right = given.get("window_size") or UNBOUNDED
    right = 0 if given.get("causal") else right
    cap, slopes = float(given.get("softcap") or 0.0), given.get("alibi_slopes")
    shift = key.shape[1] - query.shape[1]

    def modify(scores: Tensor, image: Tensor, head: Tensor, row: Tensor, column: Tensor) -> Tensor:
        ahead = column - (row + shift)
        if cap:
            scores = cap * torch.tanh(scores / cap)
        if slopes is not None:
            scores = scores - (slopes[head] if slopes.dim() == 1 else slopes[image, head]) * ahead.abs()
        hidden = torch.zeros_like(ahead, dtype=torch.bool)
        hidden = hidden | (ahead > right) if right >= 0 else hidden
        hidden = hidden | (ahead < -left) if left >= 0 else hidden
        return scores.masked_fill(hidden, -torch.inf)

    return Read(query, key, given["v"], modify, given.get("softmax_scale"), float(given.get("dropout_p") or 0.0))


def read_xformers(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Read:
    """Read a call of `memory_efficient_attention`; a bias that is no tensor says itself what it is (`materialize`).

    Source: xFormers, `xformers/ops/fmha`.
    """
    given = dict(zip(XFORMERS_ARGUMENTS, args, strict=False)) | dict(kwargs)
    query, key, bias = given["query"], given["key"], given.get("attn_bias")
    heads = query.shape[2] if query.dim() == 4 else 1

    def modify(scores: Tensor, image: Tensor, head: Tensor, row: Tensor, column: Tensor) -> Tensor:
        added = _form_bias(bias, (len(query), heads, query.shape[1], key.shape[1])).to(scores.device)
        return scores + added[image.clamp(max=len(added) - 1), head.clamp(max=added.shape[1] - 1), row, column]

    return Read(
        query, key, given["value"], None if bias is None else modify, given.get("scale"), float(given.get("p") or 0.0)
    )


def _form_bias(bias: Any, shape: tuple[int, int, int, int]) -> Tensor:
    """A bias as (batch or 1, heads or 1, queries, keys)."""
    formed: Tensor = bias if isinstance(bias, Tensor) else bias.materialize(shape)
    return formed.reshape(-1, formed.shape[-3] if formed.dim() == 4 else 1, *formed.shape[-2:])


READERS: Mapping[tuple[str, str], Callable[[tuple[Any, ...], Mapping[str, Any]], Read]] = {
    ("flash_attn", "flash_attn_func"): read_flash,
    ("flash_attn.flash_attn_interface", "flash_attn_func"): read_flash,
    ("xformers.ops", "memory_efficient_attention"): read_xformers,
    ("xformers.ops.fmha", "memory_efficient_attention"): read_xformers,
}
"""How a call is read, by the module that holds the function, and the function's name."""
