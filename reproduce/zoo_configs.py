"""Make the configuration of any `transformers` architecture tiny, by the names of its settings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

WIDTH = 64
HEADS = 4
VOCABULARY = 120
LENGTH = 128
IMAGE = 64
LAYERS = 2

Settings = dict[str, Any]


@dataclass(frozen=True)
class _Limit:
    """The most that settings of these names may be, and whether they make a model narrower."""

    names: str
    most: int
    of_width: bool = False


_LIMITS = (
    _Limit(r"(num_hidden_layers|n_layers?|num_layers|num_blocks|depth|\w*encoder_layers|\w*decoder_layers)", LAYERS),
    _Limit(r"(e_layers|d_layers|num_encoder_blocks|\w*_num_hidden_layers|\w*num_layers|\w+_depth)", LAYERS),
    _Limit(r"(n_heads?|num_heads|\w*attention_heads|\w*_num_heads|heads|nhead|\w*_n_heads)", HEADS, of_width=True),
    _Limit(r"(n_kv_heads|num_kv_heads|\w*num_key_value_heads)", HEADS // 2, of_width=True),
    _Limit(r"(head_dim|attention_head_dim|d_kv|d_head|kv_channels|head_size)", WIDTH // HEADS, of_width=True),
    _Limit(r"(attention_head_size|global_head_dim)", WIDTH // HEADS, of_width=True),
    _Limit(r"(d_model|n_embd|dim|embedding_size|projection_dim|d_embed|model_dim|emb_dim)", WIDTH, of_width=True),
    _Limit(r"(\w*hidden_size|\w*hidden_dim|\w*embed_dim|word_embed_proj_dim|d_latents)", WIDTH, of_width=True),
    _Limit(r"(\w*intermediate_size|\w*ffn_dim|n_inner|d_ff|d_inner|ffn_hidden_size)", WIDTH, of_width=True),
    _Limit(r"(mlp_dim|dim_feedforward)", WIDTH, of_width=True),
    _Limit(r"(q_lora_rank|kv_lora_rank)", 16, of_width=True),
    _Limit(r"(qk_nope_head_dim|qk_rope_head_dim|v_head_dim|rotary_dim)", 8, of_width=True),
    _Limit(r"(\w*vocab_size|vocab_size_per_layer_input)", VOCABULARY),
    _Limit(r"(max_position_embeddings|n_positions|n_ctx|max_seq_len|seq_length|max_sequence_length)", LENGTH),
    _Limit(r"(max_length|max_source_positions|max_target_positions)", LENGTH),
    _Limit(r"(num_local_experts|n_routed_experts|\w*num_experts)", 4),
    _Limit(r"(moe_k|moe_topk|top_k_experts|moe_top_k|\w*experts_per_tok)", 2),
    _Limit(r"(num_queries|num_query_tokens|num_frames)", 5),
    _Limit(r"(index_topk)", 8),
    _Limit(r"(mm_tokens_per_image)", 4),
    _Limit(r"(n_group|topk_group|first_k_dense_replace)", 1),
    _Limit(r"(num_kv_shared_layers)", 0),
)
_OF_LAYERS = "per_layer_config"
_DEPTHS = re.compile(r"(depths|num_layers|layers|depth|encoder_layers|num_hidden_layers)")
_SIDES = ("image_size", "patch_size", "input_size", "img_size", "crop_size")
_BY_STAGE = ("num_attention_heads", "num_heads", "num_attention_heads_per_stage", "embed_dim_per_stage", "hidden_sizes")
_DERIVED = frozenset({"stage_names", "id2label", "label2id", "architectures", "dtype", "_name_or_path", "layer_types"})
_WHERE_NONE = {"vocab_size": VOCABULARY, "sliding_window": 8}
_RESNET: Settings = {
    "model_type": "resnet",
    "embedding_size": 16,
    "hidden_sizes": [16, 16, 32, 32],
    "depths": [1, 1, 1, 1],
    "out_features": ["stage2", "stage3", "stage4"],
}
"""In place of a backbone of timm."""


def shrink(settings: Settings, *, widths: bool = True) -> Settings:
    """Those settings that a tiny model has otherwise.

    Args:
        settings: of a configuration, sub-configurations as dictionaries.
        widths: whether to make it narrower too, or only shallower and with less to see.

    >>> shrink({"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "hidden_act": "gelu"})
    {'hidden_size': 64, 'num_hidden_layers': 2, 'num_attention_heads': 4}
    """
    by_stage = any(isinstance(settings.get(name), list | tuple) for name in _BY_STAGE)
    narrower = widths and not by_stage and "width_coefficient" not in settings
    changed: Settings = {}
    for name, old in settings.items():
        new = _shrink(name, old, widths=widths, narrower=narrower)
        if new is not None:
            changed[name] = new
    _fit_heads(settings, changed)
    chosen = _choose_layers(settings, changed)
    _choose_layer_settings(settings, changed, chosen, widths=widths)
    _choose_rope(settings, changed)
    return changed


def _shrink(name: str, old: Any, *, widths: bool, narrower: bool) -> Any:
    """The new value of one setting; None where it stays."""
    if isinstance(old, dict):
        return None if name == _OF_LAYERS else _shrink_part(name, old, widths=widths)
    if isinstance(old, list | tuple):
        return _shrink_list(name, old, narrower=narrower)
    if old is None:
        return _WHERE_NONE.get(name)
    if not isinstance(old, int) or isinstance(old, bool):
        return None
    if name in _SIDES:
        return _shrink_side(name, old)
    if name.endswith(("_token_id", "_token_index")):
        return VOCABULARY - 1 - sum(name.encode()) % 20 if old >= VOCABULARY else None
    limit = next((limit for limit in _LIMITS if re.fullmatch(limit.names, name)), None)
    fits = limit is not None and old > 0 and (narrower or not limit.of_width)
    return min(old, limit.most) if limit and fits else None


def _shrink_side(name: str, old: int) -> int:
    if name == "patch_size":
        return min(old, 16) if old != 14 else 16
    return IMAGE


def _shrink_list(name: str, old: Any, *, narrower: bool) -> Any:
    if name == "image_grid_pinpoints":
        return [[IMAGE, IMAGE]]
    if not all(isinstance(part, int) for part in old):
        return None
    if _DEPTHS.fullmatch(name):
        return type(old)(min(part, LAYERS) for part in old)
    if name in _SIDES:
        return type(old)(_shrink_side(name, part) for part in old)
    return type(old)(min(part, WIDTH) for part in old) if name == "decoder_in_channels" and narrower else None


def _shrink_part(name: str, old: Settings, *, widths: bool) -> Settings | None:
    """A sub-configuration; what it only derives from the rest is left out."""
    if old.get("model_type") == "timm_backbone":
        return dict(_RESNET)
    if "model_type" not in old and not name.endswith("_config"):
        return None
    plain = "model_type" not in old  # settings that are no configuration of their own must stay whole
    dropped = _DERIVED if plain or name == "backbone_config" else set(old) - {"model_type"}
    kept = {key: value for key, value in old.items() if key not in dropped and value is not None}
    return _choose_outputs(old, {**kept, **shrink(old, widths=widths)})


def _choose_outputs(old: Settings, changed: Settings) -> Settings:
    """As many layers as a backbone is to give the output of."""
    outputs = old.get("out_indices")
    if "num_hidden_layers" not in changed or not isinstance(outputs, list | tuple):
        return changed
    count = len(outputs)
    without = {key: value for key, value in changed.items() if key != "out_features"}
    return {**without, "num_hidden_layers": count, "out_indices": list(range(1, count + 1))}


def _fit_heads(settings: Settings, changed: Settings) -> None:
    """Keep what must go together: keys with heads, rotary parts with heads, windows with images."""
    heads = settings.get("num_attention_heads")
    if heads is not None and settings.get("num_key_value_heads") == heads:
        changed["num_key_value_heads"] = changed.get("num_attention_heads", heads)
    if changed.get("head_dim") and "qk_rope_head_dim" in changed:
        changed["head_dim"] = changed["qk_rope_head_dim"]
    if "depths" in settings and isinstance(settings.get("window_size"), int):
        changed["window_size"] = 2


def _choose_layers(settings: Settings, changed: Settings) -> list[int]:
    """One layer of each kind, where a model has several. Returns the layers that are kept."""
    kinds = settings.get("layer_types") or settings.get("layers_block_type")
    if not isinstance(kinds, list | tuple) or len(kinds) != settings.get("num_hidden_layers"):
        return list(range(LAYERS))
    first = [kinds.index(kind) for kind in dict.fromkeys(kinds)]
    first = first if len(first) > 1 else first * LAYERS
    changed["num_hidden_layers"] = len(first)
    for name, old in settings.items():
        if isinstance(old, list | tuple) and len(old) == len(kinds):
            changed[name] = [old[number] for number in first]
    return first


def _choose_layer_settings(settings: Settings, changed: Settings, layers: list[int], *, widths: bool) -> None:
    """What single layers have otherwise, of those that are kept."""
    own = {int(number): each for number, each in (settings.get(_OF_LAYERS) or {}).items()}
    if own:
        kept = {new: {**own[old], **shrink(own[old], widths=widths)} for new, old in enumerate(layers) if old in own}
        changed[_OF_LAYERS] = {str(new): each for new, each in kept.items()}


def _choose_rope(settings: Settings, changed: Settings) -> None:
    """Sections of a rotary embedding that fit the narrower heads."""
    rope = settings.get("rope_parameters") or settings.get("rope_scaling")
    if not isinstance(rope, dict) or "mrope_section" not in rope:
        return
    merged = {**settings, **changed}
    width = merged.get("head_dim") or merged["hidden_size"] // merged["num_attention_heads"]
    half = int(width * (rope.get("partial_rotary_factor") or merged.get("partial_rotary_factor") or 1)) // 2
    name = "rope_parameters" if settings.get("rope_parameters") else "rope_scaling"
    changed[name] = {**rope, "mrope_section": [half - 2 * (half // 3), half // 3, half // 3]}


def find_ropes(config: Any) -> Settings:
    """Sections of a rotary embedding for the narrow heads, where a model takes its own for wider ones."""
    rope = getattr(config, "rope_parameters", None)
    share = rope.get("partial_rotary_factor", 1) if isinstance(rope, dict) else 1
    half = int(WIDTH // HEADS * share) // 2
    sections = [half - 2 * (half // 3), half // 3, half // 3]
    own = {"rope_parameters": {**rope, "mrope_section": sections}} if isinstance(rope, dict) else {}
    parts = {name: getattr(config, name, None) for name in ("text_config", "thinker_config", "vlm_config")}
    return {**own, **{name: find_ropes(part) for name, part in parts.items() if hasattr(part, "to_dict")}}


def merge(settings: Settings, others: Settings) -> Settings:
    """Settings with others in their place, part by part.

    >>> merge({"a": 1, "part": {"b": 2, "c": 3}}, {"part": {"c": 4}})
    {'a': 1, 'part': {'b': 2, 'c': 4}}
    """
    merged = dict(settings)
    for name, value in others.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = merge(merged[name], value) if both else value
    return merged


_SERIES = {"prediction_length": 4, "context_length": 8}
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
OVERRIDES: dict[str, Settings] = {
    "autoformer": _SERIES,
    "bamba": {"attn_layer_indices": [1]},
    "cvt": {"depth": [1, 2, 3]},
    "cohere_compass_text": {"rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE}},
    "cohere_compass": {"text_config": {"rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE}}},
    "dbrx": {"attn_config": {"rope_theta": 10000.0, "clip_qkv": 8.0}},
    "deepseek_v2": {"topk_method": "greedy", "num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "esm": {"pad_token_id": 1, "mask_token_id": 32},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16},
    "hunyuan_vl": {"text_config": {"head_dim": 16}},
    "hunyuan_vl_text": {"head_dim": 16},
    "informer": _SERIES,
    "jamba": {"num_hidden_layers": 8, "attn_layer_period": 4, "attn_layer_offset": 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 8, "head_dim": 16, "hidden_size": 64},
    "mimi": {"num_filters": 16},
    "ministral": {"head_dim": 16},
    "musicgen_decoder": {"num_codebooks": 1},
    "nemotron": {"num_key_value_heads": 2},
    "recurrent_gemma": {"num_hidden_layers": 3},
    "pix2struct_text_model": {"initializer_range": 0.02},
    "qwen3_omni_moe_talker_text": {"shared_expert_intermediate_size": 64},
    "seggpt": {"image_size": [128, 64]},
    "t5gemma2_decoder": {"dropout_rate": 0.0},
    "t5gemma2_encoder": {"dropout_rate": 0.0, "text_config": {"dropout_rate": 0.0}},
    "t5gemma2_text": {"dropout_rate": 0.0},
    "xclip_vision_model": {"num_frames": 2},
    "step3p5": {"sliding_window": 8},
    "time_series_transformer": _SERIES,
    "xmod": {"default_language": "en_XX"},
}
"""What the rules by name do not get right."""
