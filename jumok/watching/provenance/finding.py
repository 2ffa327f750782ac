"""Which tokens the queries and keys of an attention call are, by the form of the call."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from jumok.watching.provenance.blending import merge_over
from jumok.watching.provenance.by_hand import Lookup, find_by_hand
from jumok.watching.provenance.call_tokens import CHANNELS, CallTokens
from jumok.watching.provenance.einsum import Equation
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.ops import Op, Slot
from jumok.watching.provenance.placing import place
from jumok.watching.provenance.residuals import mark_passed
from jumok.watching.provenance.shadows import Shadow, compact, fit, is_even, zeros
from jumok.watching.provenance.values_read import read_values


def find_tokens(
    known: Identities, op: Op, name: str, lookup: Lookup, equation: Equation | None = None
) -> tuple[CallTokens, Tensor | None]:
    """The tokens of a call, and the identities of its output; None where it is an ordinary product.

    Raises:
        CannotMoveError: a form that is not known.
    """
    if equation is not None:
        return find_by_hand(known, op, lookup, equation)
    if name == "scaled_dot_product_attention":
        return _fused(known, op, lookup)
    return _multi_head(known, op, name, lookup)


def _rows(known: Identities, shadow: Shadow, slot: Slot) -> Tensor:
    ids = shadow if isinstance(shadow, Tensor) else zeros(slot.shape)
    return merge_over(known, ids, [-1]).expand(*slot.shape[:-1], 1)[..., 0]


def _fused(known: Identities, op: Op, lookup: Lookup) -> tuple[CallTokens, Tensor]:
    query, key, value = op.given(0, "query"), op.given(1, "key"), op.given(2, "value")
    if _are_channels(lookup(query)) and _are_channels(lookup(key)) and _are_channels(lookup(value)):
        return CallTokens(CHANNELS), _mix_channels(known, op, lookup(value))
    queries, keys = _rows(known, lookup(query), query), _rows(known, lookup(key), key)
    queries, keys = read_values(known, queries, keys, _rows(known, lookup(value), value))
    tokens, states = place(known, op, queries, keys)
    return tokens, states.unsqueeze(-1).expand(op.outs[0].shape)


def _are_channels(ids: Shadow) -> bool:
    """Whether rows are channels, each of which has all tokens along its features."""
    return isinstance(ids, Tensor) and ids.shape[-2] > 1 and is_even(ids, -2) and not is_even(ids, -1)


def _mix_channels(known: Identities, op: Op, value: Shadow) -> Tensor:
    """Channels that look at channels: each token keeps its place, and all of them decided over the weights."""
    assert isinstance(value, Tensor)
    mixed = known.unsee(compact(value[..., :1, :]), f"attention between channels{op.where}")
    return fit(mixed, op.outs[0].shape)


def _multi_head(known: Identities, op: Op, name: str, lookup: Lookup) -> tuple[CallTokens, Tensor]:
    query, key, value = op.given(0, "query"), op.given(1, "key"), op.given(2, "value")
    queries, keys = _rows(known, lookup(query), query), _rows(known, lookup(key), key)
    queries, keys = read_values(known, queries, keys, _rows(known, lookup(value), value))
    batched = queries.dim() == 2
    first = name == "attended_module" and op.kwargs["batch_first"]
    turned = batched and not first
    if turned:
        queries, keys = queries.T, keys.T
    if not batched:
        queries, keys = queries[None], keys[None]
    extra = int(op.kwargs.get("bias_k") is not None or (len(op.args) > 7 and op.args[7] is not None))
    extra += int(bool(op.given(9, "add_zero_attn", False)))
    if name == "attended_module":
        extra = op.kwargs["extra_keys"]
    keys = torch.nn.functional.pad(keys.contiguous(), (0, extra))
    tokens, states = place(known, op, queries, keys, headless=True)
    if op.kwargs.get("residual"):
        mark_passed(known, states)
    states = states.T if turned else states if batched else states[0]
    return replace(tokens, arrangement=None), states.unsqueeze(-1).expand(op.outs[0].shape)
