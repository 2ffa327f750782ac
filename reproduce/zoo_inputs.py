"""Something to feed a model of `transformers`: made by the names of what its forward takes."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

BATCH = 2
WORDS = 12
SIDE = 4
"""Rows and columns of patches, where an image is given patch by patch."""
SOUND = 4000
FORMS = 5
"""How many forms of each input are tried, such as one image, several, and a video."""

Make = Callable[[Any, int], Tensor]
Inputs = dict[str, Any]


def guess_inputs(model: nn.Module, config: Any) -> Iterator[Inputs]:
    """Inputs to try, the fullest first."""
    tried: list[tuple[str, ...]] = []
    for names in _choose_names(model):
        if not names or names in tried:
            continue
        tried.append(names)
        before: dict[str, Any] = {}
        for form in range(FORMS):
            with contextlib.suppress(Exception):  # a setting that is missing, or of another kind
                made = {name: _find_maker(name, names)(config, form) for name in names}
                shapes = {name: value.shape for name, value in made.items()}
                if shapes != before:
                    yield made
                before = shapes


def _choose_names(model: nn.Module) -> Iterator[tuple[str, ...]]:
    """Names of inputs to give together."""
    parameters = inspect.signature(model.forward).parameters
    plain = [parameter for parameter in parameters.values() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    required = [parameter.name for parameter in plain if parameter.default is inspect.Parameter.empty]
    main = [str(getattr(model, "main_input_name", ""))]
    beside = {"image_sizes", "token_type_ids"}
    for wanted in (_USUAL, _USUAL | beside, _OF_TEXT, frozenset(), frozenset(main)):
        chosen = [name for name in parameters if name in _MAKERS and (name in wanted or name in required)]
        yield _drop_rivals(chosen, required)
    yield from ((*main, "decoder_input_ids"), ("input_ids",), _drop_rivals([*_MAKERS.keys() & parameters], required))


def _drop_rivals(names: list[str], required: list[str]) -> tuple[str, ...]:
    """Leave out what cannot stand beside another input."""
    dropped = set()
    if "input_ids" in names:
        dropped |= {"inputs_embeds"}
    elif "attention_mask" not in required:
        dropped |= {"attention_mask"}
    if "image_grid_thw" in names:
        dropped |= {"pixel_values_videos"}
    return tuple(name for name in names if name not in dropped)


def place_image(model: nn.Module, config: Any, inputs: Inputs, count: int) -> Inputs:
    """The same inputs with tokens that stand for the image after the first word; none where there can be none.

    Args:
        model, config: that the inputs are for.
        inputs: with `input_ids`.
        count: of the tokens that each image takes.
    """
    image = seek(config, "image_token_id", "image_token_index")
    if image is None or "input_ids" not in inputs:
        return {}
    ids = inputs["input_ids"]
    longer = torch.cat([ids[:, :1], torch.full((len(ids), count), image), ids[:, 1:]], 1)
    changed = {**inputs, "input_ids": longer}
    if "attention_mask" in inputs:
        changed["attention_mask"] = torch.ones_like(longer)
    parameters = inspect.signature(model.forward).parameters
    for name in ("mm_token_type_ids", "token_type_ids"):
        if name in inputs or (name in parameters and "image_grid_thw" in inputs):
            changed[name] = (longer == image).long()
    return changed


_PARTS = (
    *("text_config", "vision_config", "audio_config", "encoder", "decoder", "backbone_config", "audio_encoder"),
    *("text_encoder", "thinker_config", "encoder_config", "decoder_config", "qformer_config", "vlm_config"),
)


def seek(config: Any, *names: str, default: Any = None) -> Any:
    """A setting, in the configuration or one of its parts."""
    for name in names:
        value = getattr(config, name, None)
        if value is not None:
            return value
    for part in _PARTS:
        inner = getattr(config, part, None)
        if inner is not None and not isinstance(inner, dict | str):
            value = seek(inner, *names)
            if value is not None:
                return value
    return default


def noise(*shape: int) -> Tensor:
    """Random numbers, always the same for one shape."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


# -- text and tokens --------------------------------------------------------------------------------------------------


def _ids(config: Any, form: int) -> Tensor:
    """Words that are no special tokens, with the token for the end where the model knows one."""
    known = seek(config, "vocab_size", default=100)
    known = known if isinstance(known, int) else 100
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(5, max(min(known, 100), 6), (BATCH, WORDS), generator=draw)
    end = seek(config, "eos_token_id")
    end = end[0] if isinstance(end, list) else end
    if isinstance(end, int) and 0 <= end < known:
        ids[ids == end] = 5 if end != 5 else 6
        ids[:, -1] = end
    return ids


def _ones(*shape: int) -> Make:
    return lambda config, form: torch.ones(shape, dtype=torch.long)


def _boxes(config: Any, form: int) -> Tensor:
    corner = torch.randint(0, 40, (BATCH, WORDS, 2), generator=torch.Generator().manual_seed(1))
    return torch.cat([corner, corner + 20], -1)


def _embedded(config: Any, form: int) -> Tensor:
    own = getattr(config, "input_dim", None)  # of sound that others have turned into features
    return noise(BATCH, WORDS, own or seek(config, "hidden_size", "d_model", "n_embd", "dim", default=64))


def _rows(setting: str | None = None, count: int = WORDS) -> Make:
    """(batch, tokens, so many as a setting says)."""
    return lambda config, form: noise(BATCH, count, 1 if setting is None else getattr(config, setting))


# -- images -----------------------------------------------------------------------------------------------------------


def _channels(config: Any) -> int:
    found = seek(config, "num_channels", "in_channels", "in_chans", default=3)
    return found if isinstance(found, int) else 3


def _pixels(config: Any, form: int) -> Tensor:
    size = seek(config, "image_size", "img_size", "input_size", default=64)
    if isinstance(size, dict):
        size = (size.get("height", 64), size.get("width", 64))
    height, width = size[-2:] if isinstance(size, list | tuple) else (size, size)
    channels, frames = _channels(config), seek(config, "num_frames", default=4)
    shapes = (
        (channels, height, width),
        (frames, channels, height, width),
        (channels, 64, 64),
        (channels, 224, 224),
        (2, channels, 64, 64),
    )
    return noise(BATCH, *shapes[form])


def _frames(config: Any, form: int) -> Tensor:
    return _pixels(config, 0 if form else 1)


def _sheets(config: Any, form: int) -> Tensor:
    """Patches of all images one after the other, as models take them that are told the grids beside."""
    patch, channels = seek(config, "patch_size", default=16), _channels(config)
    values = channels * patch * patch
    shapes = (
        (values * seek(config, "temporal_patch_size", default=1),),
        (channels, patch, patch),
        (seek(config, "hidden_size", default=64),),
        (values,),
        (values,),
    )
    return noise(BATCH * SIDE * SIDE, *shapes[form])


def _patches(config: Any, form: int) -> Tensor:
    """(batch, patches, values), as models take them that are told the shape beside."""
    patch = seek(getattr(config, "vision_config", None) or config, "patch_size", default=16)
    return noise(BATCH, SIDE * SIDE, 3 * patch * patch)


def _flattened(config: Any, form: int) -> Tensor:
    """As Pix2Struct takes patches: row and column before the values."""
    patch = seek(config, "patch_size", default=16)
    values = noise(BATCH, SIDE * SIDE, 2 + seek(config, "patch_embed_hidden_size", default=3 * patch * patch))
    values[..., :2] = _positions(config, form).flip(-1) + 1
    return values


def _positions(config: Any, form: int) -> Tensor:
    """(x, y) of each patch."""
    number = torch.arange(SIDE * SIDE)
    return torch.stack([number % SIDE, number // SIDE], -1).expand(BATCH, -1, -1)


# -- sound and series -------------------------------------------------------------------------------------------------

_BINS = (
    *("feature_projection_input_dim", "num_mel_bins", "input_feat_per_channel", "num_mel_channels", "n_mels"),
    "input_dim",
)


def _features(config: Any, form: int) -> Tensor:
    bins = seek(config, *_BINS, default=80)
    length = 2 * seek(config, "max_source_positions", default=64)
    return noise(BATCH, *((bins, length), (100, bins), (length, bins), (bins, 64), (96, bins))[form])


def _features_mask(config: Any, form: int) -> Tensor:
    features = _features(config, form)
    return torch.ones(BATCH, features.shape[-1 if form in (0, 3) else 1], dtype=torch.long)


def _sound(config: Any, form: int) -> Tensor:
    bins, length = seek(config, "num_mel_bins", "n_mels", default=80), seek(config, "max_length", default=100)
    return noise(BATCH, *((SOUND,), (length, bins), (1, SOUND), (SOUND,), (SOUND,))[form])


def _spectrogram(config: Any, form: int) -> Tensor:
    return noise(BATCH, 64, seek(config, "model_in_dim", "num_mel_bins", default=80))


def _past(width: str | None = None) -> Make:
    def make(config: Any, form: int) -> Tensor:
        lags = seek(config, "lags_sequence", default=[0])
        return _series(int(seek(config, "context_length", default=16)) + max(lags), width, config, form)

    return make


def _future(width: str | None = None) -> Make:
    return lambda config, form: _series(seek(config, "prediction_length", default=8), width, config, form)


def _series(length: int, width: str | None, config: Any, form: int) -> Tensor:
    if width is not None:
        return noise(BATCH, length, seek(config, width, default=1))
    several = form == 1 or seek(config, "num_input_channels") is not None
    return noise(BATCH, length, *([seek(config, "num_input_channels", "input_size", default=1)] if several else []))


_MAKERS: dict[str, Make] = {
    "input_ids": _ids,
    "decoder_input_ids": _ids,
    "qformer_input_ids": _ids,
    "attention_mask": _ones(BATCH, WORDS),
    "token_type_ids": lambda config, form: torch.zeros(BATCH, WORDS, dtype=torch.long),
    "bbox": _boxes,
    "inputs_embeds": _embedded,
    "query_embeds": _embedded,
    "encoder_hidden_states": _embedded,
    "hidden_states": _embedded,
    "context": _embedded,
    "inputs": lambda config, form: (
        _ids(config, form) if form else noise(BATCH, 20, seek(config, "d_model", default=64))
    ),
    "pixel_values": _pixels,
    "pixel_values_videos": _frames,
    "image": _pixels,
    "prompt_pixel_values": _pixels,
    "prompt_masks": _pixels,
    "flattened_patches": _flattened,
    "pixel_position_ids": _positions,
    "pixel_attention_mask": _ones(BATCH, SIDE * SIDE),
    "spatial_shapes": lambda config, form: torch.tensor([[SIDE, SIDE]] * BATCH),
    "image_grid_thw": lambda config, form: torch.tensor([[1, SIDE, SIDE]] * BATCH),
    "grid_thw": lambda config, form: torch.tensor([[1, SIDE, SIDE]] * BATCH),
    "image_sizes": lambda config, form: torch.tensor([[64, 64]] * BATCH),
    "merge_sizes": _ones(BATCH),
    "aspect_ratio_ids": _ones(BATCH, 1),
    "aspect_ratio_mask": _ones(BATCH, 1, 1),
    "visual_feats": _rows("visual_feat_dim", 5),
    "visual_pos": _rows("visual_pos_dim", 5),
    "input_features": _features,
    "input_features_mask": _features_mask,
    "input_values": _sound,
    "audio_values": _sound,
    "spectrogram": _spectrogram,
    "past_values": _past(),
    "past_values_padding": lambda config, form: torch.zeros_like(_past()(config, form)),
    "freq": lambda config, form: torch.zeros(BATCH, 1, dtype=torch.long),
    "mask": lambda config, form: None if form else torch.ones(BATCH, WORDS, dtype=torch.bool),
    "task_inputs": _ids,
    "past_time_features": _past("num_time_features"),
    "past_observed_mask": lambda config, form: torch.ones_like(_past()(config, form)),
    "future_values": _future(),
    "future_time_features": _future("num_time_features"),
    "states": _rows("state_dim"),
    "actions": _rows("act_dim"),
    "rewards": _rows(),
    "returns_to_go": _rows(),
    "timesteps": lambda config, form: torch.arange(WORDS).expand(BATCH, WORDS),
}
"""Each input by its name: (configuration, number of the form) to the tensor."""

_NOT_USUAL = frozenset(
    {
        *(
            "token_type_ids",
            "inputs_embeds",
            "query_embeds",
            "encoder_hidden_states",
            "hidden_states",
            "context",
            "image",
            "mask",
            "task_inputs",
            "past_values_padding",
            "freq",
        ),
        *("prompt_pixel_values", "prompt_masks", "pixel_position_ids", "merge_sizes", "aspect_ratio_ids", "grid_thw"),
        *("aspect_ratio_mask", "audio_values", "spectrogram", "image_sizes", "pixel_attention_mask"),
    }
)
_USUAL = _MAKERS.keys() - _NOT_USUAL
_OF_TEXT = frozenset({"input_ids", "decoder_input_ids", "attention_mask"})


def _find_maker(name: str, names: tuple[str, ...]) -> Make:
    if name == "pixel_values" and {"spatial_shapes", "pixel_position_ids"} & set(names):
        return _patches
    if name in ("pixel_values", "hidden_states") and {"grid_thw", "image_grid_thw"} & set(names):
        return _sheets
    return _MAKERS[name]
