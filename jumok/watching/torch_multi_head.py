"""The heads inside PyTorch's own multi-head attention, worked out from its inputs and parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jumok.watching.dot_product import DotProduct
from jumok.watching.record_parts import Unchanged
from jumok.watching.records import Projected

_SIGNATURE = inspect.signature(F.multi_head_attention_forward)
_LAYER_SIGNATURE = inspect.signature(nn.TransformerEncoderLayer.forward)
_MODULE_SIGNATURE = inspect.signature(nn.MultiheadAttention.forward)


def record_function(args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Tensor) -> Projected:
    """Record a call of `F.multi_head_attention_forward`; `output` is the first thing it returned."""
    call = _bind(_SIGNATURE, args, kwargs)
    return _record_call(call, output if output.requires_grad else None)


def record_module(module: nn.MultiheadAttention, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Projected:
    """Record a call of `nn.MultiheadAttention` that went by PyTorch's inference fast path."""
    given = bind_module(module, args, kwargs)
    return _record_call(_describe_call(module, given, given["query"], given["key"]), None)


def record_encoder_layer(
    layer: nn.TransformerEncoderLayer, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Projected:
    """Record a call of `nn.TransformerEncoderLayer` that went by PyTorch's inference fast path."""
    given = _bind(_LAYER_SIGNATURE, (layer, *args), kwargs)
    source, padding = _to_dense(given["src"], given["src_key_padding_mask"])
    masks = {"attn_mask": given["src_mask"], "key_padding_mask": padding, "is_causal": given["is_causal"]}
    call = _describe_call(layer.self_attn, masks, source, source)
    if not layer.norm_first:
        return _record_call(call, None)

    def normed() -> DotProduct:
        tokens = layer.norm1(call["query"])
        return _make_heads({**call, "query": tokens, "key": tokens})

    return Projected(normed, _find_shape(call), unchanged=_guard_inputs(call))


def bind_module(module: nn.MultiheadAttention, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call of `nn.MultiheadAttention`, by name."""
    return _bind(_MODULE_SIGNATURE, (module, *args), kwargs)


def _bind(signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def _describe_call(
    module: nn.MultiheadAttention, given: Mapping[str, Any], query: Tensor, key: Tensor
) -> dict[str, Any]:
    """A module's call in the terms of `F.multi_head_attention_forward`, sequence first."""
    if module.batch_first and query.dim() == 3:
        query, key = query.transpose(0, 1), key.transpose(0, 1)
    return {
        "query": query,
        "key": key,
        "value": None,
        "num_heads": module.num_heads,
        "in_proj_weight": module.in_proj_weight,
        "in_proj_bias": module.in_proj_bias,
        "q_proj_weight": module.q_proj_weight,
        "k_proj_weight": module.k_proj_weight,
        "use_separate_proj_weight": module.in_proj_weight is None,
        "bias_k": module.bias_k,
        "add_zero_attn": module.add_zero_attn,
        "attn_mask": given["attn_mask"],
        "key_padding_mask": given["key_padding_mask"],
        "is_causal": given["is_causal"],
        "need_weights": given.get("need_weights", False),
    }


def _record_call(call: dict[str, Any], output: Tensor | None) -> Projected:
    as_in_the_call = _find_precision(call["query"].device.type)

    def build() -> DotProduct:
        with as_in_the_call():
            return _make_heads(call, traced=output is not None)

    return Projected(
        build,
        _find_shape(call),
        output,
        call.get("out_proj_weight"),
        _guard_inputs(call),
    )


def _find_precision(device: str) -> Callable[[], torch.autocast]:
    """The precision that `autocast` has now, or has not, to be taken again when the heads are worked out."""
    enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    return lambda: torch.autocast(device, dtype, enabled=enabled)


def _guard_inputs(call: Mapping[str, Any]) -> Unchanged:
    """Everything the heads will be computed from, so that a change in between is noticed."""
    names = ("query", "key", "value", "in_proj_weight", "in_proj_bias", "q_proj_weight", "k_proj_weight", "attn_mask")
    return Unchanged(*(call.get(name) for name in names), call.get("key_padding_mask"))


def _find_shape(call: Mapping[str, Any]) -> tuple[int, int, int, int]:
    query, key = call["query"], call["key"]
    batch = query.shape[1] if query.dim() == 3 else 1
    extra = int(call["bias_k"] is not None) + int(call["add_zero_attn"])
    return batch, call["num_heads"], query.shape[0], key.shape[0] + extra


def _make_heads(call: Mapping[str, Any], *, traced: bool = False) -> DotProduct:
    """Project query, key (and value, where a gradient will be asked for) and split them into heads."""
    projections = _find_projections(call)
    query = _split(F.linear(_add_batch_axis(call["query"]), *projections[0]), call["num_heads"])
    key = _append_extra(
        _split(F.linear(_add_batch_axis(call["key"]), *projections[1]), call["num_heads"]), call, "bias_k"
    )
    value = None
    if traced:
        value = _append_extra(
            _split(F.linear(_add_batch_axis(call["value"]), *projections[2]), call["num_heads"]), call, "bias_v"
        )
    bias, causal = _merge_masks(call, query.shape[1], key.shape[2])
    dropout = float(call.get("dropout_p", 0.0)) if call.get("training") else 0.0
    return DotProduct(query, key, value, bias, causal, query.shape[-1] ** -0.5, dropout=dropout)


def _add_batch_axis(tokens: Tensor) -> Tensor:
    return tokens if tokens.dim() == 3 else tokens[:, None]


def _find_projections(call: Mapping[str, Any]) -> list[tuple[Tensor, Tensor | None]]:
    """(weight, bias) for query, key and value."""
    biases = call["in_proj_bias"].chunk(3) if call["in_proj_bias"] is not None else (None, None, None)
    if call["use_separate_proj_weight"]:
        weights = (call["q_proj_weight"], call["k_proj_weight"], call.get("v_proj_weight"))
    else:
        weights = call["in_proj_weight"].chunk(3)
    return list(zip(weights, biases, strict=True))


def _split(tokens: Tensor, heads: int) -> Tensor:
    """(length, batch, heads x size) to (batch, heads, length, size)."""
    split: Tensor = tokens.unflatten(-1, (heads, -1))
    return split.permute(1, 2, 0, 3)


def _append_extra(keys: Tensor, call: Mapping[str, Any], name: str) -> Tensor:
    """The learnt key or value, and the zero one, that a module may add at the end."""
    batch, heads, _, size = keys.shape
    parts = [keys]
    if call.get(name) is not None:
        parts.append(call[name].view(1, heads, 1, size).expand(batch, -1, -1, -1))
    if call["add_zero_attn"]:
        parts.append(keys.new_zeros(batch, heads, 1, size))
    return torch.cat(parts, 2) if len(parts) > 1 else keys


def _merge_masks(call: Mapping[str, Any], heads: int, keys: int) -> tuple[Tensor | None, bool]:
    """One additive bias (batch or 1, heads or 1, queries or 1, keys) and whether the causal hint stands alone."""
    mask, padding = call["attn_mask"], call["key_padding_mask"]
    if call["is_causal"] and mask is not None and padding is None and not call["need_weights"]:
        return None, True
    bias = None
    if mask is not None:
        bias = _extend_mask(_to_additive(mask), keys)
        bias = (
            bias[None, None] if bias.dim() == 2 else bias.unflatten(0, (-1, heads)) if bias.shape[0] > 1 else bias[None]
        )
    if padding is not None:
        hidden = _extend_mask(_to_additive(padding), keys)
        hidden = hidden[:, None, None] if hidden.dim() == 2 else hidden[None, None, None]
        bias = hidden if bias is None else bias + hidden
    return bias, False


def _to_additive(mask: Tensor) -> Tensor:
    """PyTorch's modules mean True = may NOT be attended; a float mask is added as it is."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, device=mask.device).masked_fill_(mask, -torch.inf)


def _extend_mask(mask: Tensor, keys: int) -> Tensor:
    """Keys that the module added at the end may always be attended."""
    return F.pad(mask, (0, keys - mask.shape[-1]))


def _to_dense(source: Tensor, padding: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """A nested tensor, as the fast path uses for padded batches, to a padded one with its mask."""
    if not source.is_nested:
        return source, padding
    lengths = torch.tensor([row.shape[0] for row in source.unbind()], device=source.device)
    dense = source.to_padded_tensor(0.0)
    return dense, torch.arange(dense.shape[1], device=source.device) >= lengths[:, None]


def may_take_fast_path(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], modes: int) -> bool:
    """Whether PyTorch might take its fast path if nobody watched, with so many function modes of others on.

    A wrong yes costs nothing: the module then runs by its slow path, unseen, and is recorded from its inputs as well.
    """
    inputs = [*args, *kwargs.values(), *module.parameters()]
    gradient = torch.is_grad_enabled() and any(isinstance(item, Tensor) and item.requires_grad for item in inputs)
    others = modes > 0 or torch.is_autocast_enabled()
    training = any(inner.training for inner in module.modules())
    if training or gradient or others or not torch.backends.mha.get_fastpath_enabled():
        return False
    if isinstance(module, nn.TransformerEncoder):
        return all(isinstance(layer, nn.TransformerEncoderLayer) and _is_plain(layer) for layer in module.layers)
    return not isinstance(module, nn.TransformerEncoderLayer) or _is_plain(module)


def _is_plain(layer: nn.TransformerEncoderLayer) -> bool:
    """Whether a layer is PyTorch's own, not a subclass that attends in another way."""
    same_forward = type(layer).forward is nn.TransformerEncoderLayer.forward
    same_block = type(layer)._sa_block is nn.TransformerEncoderLayer._sa_block
    return same_forward and same_block and type(layer.self_attn) is nn.MultiheadAttention
