"""Run PyTorch's fused attention so that it tells each row's log-sum-exp, where its kernel knows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

ARGUMENTS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
_FLASH = 1  # SDPBackend.FLASH_ATTENTION


def is_batched(tensor: Tensor) -> bool:
    """Whether a tensor stands for several, inside `torch.func.vmap`: what it holds cannot be kept."""
    return bool(torch._C._functorch.maybe_get_level(tensor) != -1)


def run_fused(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], given: dict[str, Any]
) -> tuple[Any, Tensor | None]:
    """Run attention; where PyTorch would take its CPU flash kernel, call that: it tells each row's log-sum-exp.

    Not where other function modes, such as those of watches around this one, are to see what the model called.
    """
    query, key, value = given["query"], given["key"], given["value"]
    plain = (
        not is_batched(query)
        and torch._C._len_torch_function_stack() == 0
        and query.device.type == "cpu"
        and not query.is_nested
        and query.dim() == 4
        and type(query) is type(key) is type(value)
        and given.get("attn_mask") is None
        and not given.get("dropout_p", 0.0)
        and not given.get("enable_gqa", False)
        and not torch.is_autocast_enabled("cpu")
    )
    if not plain:
        return func(*args, **kwargs), None
    causal, scale = bool(given.get("is_causal", False)), given.get("scale")
    if torch._fused_sdp_choice(query, key, value, None, 0.0, causal, scale=scale) != _FLASH:
        return func(*args, **kwargs), None
    flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
    output, log_sum_exp = flash(query, key, value, 0.0, causal, scale=scale)
    return output, log_sum_exp.detach()


def may_be_written(query: Tensor, key: Tensor) -> bool:
    """Whether the keys are a cache that the next step may write into."""
    if query.shape[-2] == 1:
        return True
    written = key.is_inference() or key._version > 0
    return written and query.shape[-2] < key.shape[-2]


def fill(query: Tensor, key: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Nested queries and keys, of items of different lengths, filled up with zeros that nobody attends to.

    Args:
        query, key: nested, of items of (heads, tokens, size); others come back as they are.
        mask: of others.
    Returns:
        (items, heads, tokens, size) each, and which pairs of tokens there are, (items, 1, queries, keys) bool.
    """
    if not query.is_nested:
        return query, key, mask
    with torch.no_grad():
        (queries, asked), (keys, held) = (_fill_items(each.detach().unbind()) for each in (query, key))
    return queries, keys, asked[:, None, :, None] & held[:, None, None, :]


def _fill_items(items: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The items in one tensor, and which of its tokens are theirs."""
    lengths = torch.tensor([item.shape[-2] for item in items], device=items[0].device)
    longest = int(lengths.max())
    filled = torch.stack([F.pad(item, (0, 0, 0, longest - item.shape[-2])) for item in items])
    return filled, torch.arange(longest, device=lengths.device) < lengths[:, None]
