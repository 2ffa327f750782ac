"""Attention by flash-attn and xFormers: how their functions lay out what goes in, and what they do to the scores.

These packages are never imported here. Where a model's code has imported one, the function that it calls is recorded
from its inputs, as `flex_kernel` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

__all__ = ["READERS", "Read", "Step"]

FLASH_OPTIONS = ("dropout_p", "softmax_scale", "causal", "window_size", "softcap", "alibi_slopes")
LENGTHS = ("cu_seqlens_q", "cu_seqlens_k", "max_seqlen_q", "max_seqlen_k")
OWN_LENGTHS = ("cu_seqlens", "max_seqlen")
XFORMERS_ARGUMENTS = ("query", "key", "value", "attn_bias", "p", "scale")
CACHED = ("q", "k_cache", "v_cache", "k", "v", "rotary_cos", "rotary_sin", "cache_seqlens", "cache_batch_idx")
"""Arguments of `flash_attn_with_kvcache` that stand at the same place in all its versions; the others go by name."""
UNBOUNDED = (-1, -1)

Modify = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""Changes scores, given image, head, query and key, as for `flex_attention`."""
Step = tuple[str, tuple[Any, ...], Tensor]
"""A function of torch that gives a view, what it was given, and what it made."""
Ahead = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Of images, queries and keys: how far each key lies ahead of its query, and whether it may be seen at all."""
Reader = Callable[[tuple[Any, ...], Mapping[str, Any]], "Read | None"]
"""Reads a call from its arguments; None for a form that is not known."""


@dataclass(frozen=True)
class Read:
    """A call of attention, read from its arguments.

    Args:
        query, key, value: as they were given: (batch, tokens, heads, size), or (batch, tokens, size).
        modify: the scores; None: leaves them.
        scale: factor on the scores; None: 1 / sqrt(size).
        dropout: the probability that was used on the weights.
        steps: how query, key and value were made of what was given, in order.
        joined: whether several sequences stand in one, so that all three were given an axis of images, which is 1.
        passing: whether the keys lie in a cache that later steps write into.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    modify: Modify | None
    scale: float | None
    dropout: float
    steps: tuple[Step, ...] = ()
    joined: bool = False
    passing: bool = False


def read_flash(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Read:
    """Read a call of `flash_attn_func`.

    Causal calls and windows are aligned at the last key, and so is ALiBi.

    Source: flash-attn 2.1 and later, `flash_attn_interface.py`.
    """
    given = dict(zip(("q", "k", "v", *FLASH_OPTIONS), args, strict=False)) | dict(kwargs)
    return _read_flash(given, given["q"], given["k"], given["v"])


def read_packed(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Read:
    """Read a call of `flash_attn_qkvpacked_func`, of (batch, tokens, 3, heads, size)."""
    given = dict(zip(("qkv", *FLASH_OPTIONS), args, strict=False)) | dict(kwargs)
    steps = _cut(given["qkv"], 2)
    query, key, value = (part for *_, part in steps)
    return _read_flash(given, query, key, value, steps)


def read_packed_keys(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Read:
    """Read a call of `flash_attn_kvpacked_func`, of (batch, keys, 2, key heads, size)."""
    given = dict(zip(("q", "kv", *FLASH_OPTIONS), args, strict=False)) | dict(kwargs)
    steps = _cut(given["kv"], 2)
    key, value = (part for *_, part in steps)
    return _read_flash(given, given["q"], key, value, steps)


def read_joined(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Read | None:
    """Read a call of `flash_attn_varlen_func`, of (tokens of all sequences, heads, size).

    None where the keys lie in pages, in an order that only a table tells.
    """
    given = dict(zip(("q", "k", "v", *LENGTHS, *FLASH_OPTIONS), args, strict=False)) | dict(kwargs)
    return None if given.get("block_table") is not None else _read_joined(given, given["q"], given["k"], given["v"])


def read_joined_packed(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Read:
    """Read a call of `flash_attn_varlen_qkvpacked_func`, of (tokens of all sequences, 3, heads, size)."""
    given = dict(zip(("qkv", *OWN_LENGTHS, *FLASH_OPTIONS), args, strict=False)) | dict(kwargs)
    given["cu_seqlens_q"] = given["cu_seqlens_k"] = given["cu_seqlens"]
    steps = _cut(given["qkv"], 1)
    query, key, value = (part for *_, part in steps)
    return _read_joined(given, query, key, value, steps)


def read_joined_packed_keys(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Read:
    """Read a call of `flash_attn_varlen_kvpacked_func`, of (keys of all sequences, 2, key heads, size)."""
    given = dict(zip(("q", "kv", *LENGTHS, *FLASH_OPTIONS), args, strict=False)) | dict(kwargs)
    steps = _cut(given["kv"], 1)
    key, value = (part for *_, part in steps)
    return _read_joined(given, given["q"], key, value, steps)


def read_cached(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Read | None:
    """Read a call of `flash_attn_with_kvcache`, after it ran: new keys stand in the cache then.

    None where the cache lies in pages, or a version of the function is called that takes more by place.

    Source: flash-attn 2.2 and later, `flash_attn_interface.py`.
    """
    given = dict(zip(CACHED, args, strict=False)) | dict(kwargs)
    pages = (given.get("block_table"), given.get("page_table"))
    if len(args) > len(CACHED) or any(table is not None for table in pages) or "qv" in given:
        return None
    query, cache, new = given["q"], given["k_cache"], given.get("k")
    filled = _fill_lengths(given.get("cache_seqlens"), cache, len(query))
    ends = filled + (0 if new is None else new.shape[1])
    turned = query if given.get("rotary_cos") is None else _turn(query, filled, given)
    steps = [*_write_new(given, filled), *_choose_cached(given, int(ends.max()))]
    steps += [] if turned is query else [("clone", (query,), turned)]
    starts = torch.zeros_like(ends) if given.get("cache_leftpad") is None else given["cache_leftpad"].to(ends)

    def find_ahead(image: Tensor, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        end, start = ends.to(column.device)[image], starts.to(column.device)[image]
        return column - (row + end - query.shape[1]), (column < end) & (column >= start)

    key = [made for name, _, made in steps if name == "narrow"][-1]
    return replace(_read_flash(given, turned, key, key, steps, find_ahead), passing=True)


def _fill_lengths(lengths: Tensor | int | None, cache: Tensor, images: int) -> Tensor:
    """(images,): how many keys of the cache were filled before the call."""
    if isinstance(lengths, Tensor):
        return lengths.long().expand(images)
    return torch.full((images,), cache.shape[1] if lengths is None else lengths, device=cache.device)


def _write_new(given: Mapping[str, Any], filled: Tensor) -> list[Step]:
    """New keys, as they were written behind those of the cache."""
    new, chosen = given.get("k"), given.get("cache_batch_idx")
    if new is None:
        return []
    rows = torch.arange(len(new), device=new.device) if chosen is None else chosen.long()
    places = filled[:, None] + torch.arange(new.shape[1], device=new.device)
    return [("index_put_", (given["k_cache"], (rows[:, None], places), new), given["k_cache"])]


def _choose_cached(given: Mapping[str, Any], length: int) -> list[Step]:
    """The keys that the queries of a call could see, of the whole cache."""
    cache, chosen = given["k_cache"], given.get("cache_batch_idx")
    steps: list[Step] = []
    if chosen is not None:
        steps.append(("index_select", (cache, 0, chosen.long()), cache.index_select(0, chosen.long())))
        cache = steps[-1][2]
    return [*steps, ("narrow", (cache, 1, 0, length), cache.narrow(1, 0, length))]


def _turn(query: Tensor, filled: Tensor, given: Mapping[str, Any]) -> Tensor:
    """Queries with their positions turned in, as the kernel does; each at its own place only if keys are hidden."""
    hidden = bool(given.get("causal")) or tuple(given.get("window_size") or UNBOUNDED) != UNBOUNDED
    steps = torch.arange(query.shape[1], device=query.device) if hidden else 0
    places = filled.to(query.device)[:, None] + steps  # (images, queries or 1)
    cosine, sine = (given[name].to(query.device)[places].unsqueeze(2) for name in ("rotary_cos", "rotary_sin"))
    size = 2 * cosine.shape[-1]
    turning, rest = query[..., :size], query[..., size:]
    if given.get("rotary_interleaved", True):
        one, other = turning[..., 0::2], turning[..., 1::2]
        turned = torch.stack([one * cosine - other * sine, one * sine + other * cosine], -1).flatten(-2)
    else:
        one, other = turning.chunk(2, -1)
        turned = torch.cat([one * cosine - other * sine, one * sine + other * cosine], -1)
    return torch.cat([turned, rest], -1).to(query.dtype)


def _cut(packed: Tensor, axis: int) -> tuple[Step, ...]:
    return tuple(("select", (packed, axis, number), part) for number, part in enumerate(packed.unbind(axis)))


def _read_joined(
    given: Mapping[str, Any], query: Tensor, key: Tensor, value: Tensor, steps: Sequence[Step] = ()
) -> Read:
    """As `_read_flash`, of several sequences in one: each token sees its own alone."""
    ends, key_ends = given["cu_seqlens_q"].long(), given["cu_seqlens_k"].long()

    def number(places: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        """The sequence of each place, and how many places lie between it and the end of that."""
        ends = ends.to(places.device)
        sequence = torch.searchsorted(ends[1:].contiguous(), places.contiguous(), right=True)
        return sequence, ends[sequence.clamp(max=len(ends) - 2) + 1] - places

    def find_ahead(_: Tensor, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        (one, left), (other, left_there) = number(row, ends), number(column, key_ends)
        return left - left_there, one == other

    parts = [each[None] for each in (query, key, value)]
    raised = [("unsqueeze", (flat, 0), part) for flat, part in zip((query, key, value), parts, strict=True)]
    found = _read_flash(given, parts[0], parts[1], parts[2], [*steps, *raised], find_ahead)
    return replace(found, joined=True)


def _read_flash(
    given: Mapping[str, Any],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    steps: Sequence[Step] = (),
    find_ahead: Ahead | None = None,
) -> Read:
    """A call of flash-attn by its options.

    Args:
        given: the options.
        query, key, value: (batch, tokens, heads, size).
        steps: as in `Read`.
        find_ahead: as in `Ahead`; None: both end with the same token, and all may be seen.
    """
    left, right = given.get("window_size") or UNBOUNDED
    right = 0 if given.get("causal") else right
    cap, slopes = float(given.get("softcap") or 0.0), given.get("alibi_slopes")
    shift = key.shape[1] - query.shape[1]

    def modify(scores: Tensor, image: Tensor, head: Tensor, row: Tensor, column: Tensor) -> Tensor:
        ahead, together = (column - (row + shift), None) if find_ahead is None else find_ahead(image, row, column)
        if cap:
            scores = cap * torch.tanh(scores / cap)
        if slopes is not None:
            scores = scores - (slopes[head] if slopes.dim() == 1 else slopes[image, head]) * ahead.abs()
        hidden = torch.zeros_like(ahead, dtype=torch.bool) if together is None else ~together
        hidden = hidden | (ahead > right) if right >= 0 else hidden
        hidden = hidden | (ahead < -left) if left >= 0 else hidden
        return scores.masked_fill(hidden, -torch.inf)

    scale, dropout = given.get("softmax_scale"), float(given.get("dropout_p") or 0.0)
    return Read(query, key, value, modify, scale, dropout, tuple(steps))


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


FLASH_READERS: Mapping[str, Reader] = {
    "flash_attn_func": read_flash,
    "flash_attn_qkvpacked_func": read_packed,
    "flash_attn_kvpacked_func": read_packed_keys,
    "flash_attn_varlen_func": read_joined,
    "flash_attn_varlen_qkvpacked_func": read_joined_packed,
    "flash_attn_varlen_kvpacked_func": read_joined_packed_keys,
    "flash_attn_with_kvcache": read_cached,
}
FLASH_HOMES = ("flash_attn", "flash_attn.flash_attn_interface")
READERS: Mapping[tuple[str, str], Reader] = {
    **{(home, name): reader for home in FLASH_HOMES for name, reader in FLASH_READERS.items()},
    ("xformers.ops", "memory_efficient_attention"): read_xformers,
    ("xformers.ops.fmha", "memory_efficient_attention"): read_xformers,
}
"""How a call is read, by the module that holds the function, and the function's name."""
