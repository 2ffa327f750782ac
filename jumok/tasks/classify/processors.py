"""How a model from elsewhere has its images prepared: by an image processor of `transformers`, by settings of timm."""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from jumok.errors import JumokError, first_line, foreign
from jumok.language import join_later, later, list_later
from jumok.tasks.classify.preparation import Processed
from jumok.tasks.classify.settings import Processor
from jumok.tasks.foreign_files import ADVICE, CODE, MOST_PIXELS, PROCESSOR, without_remarks

__all__ = ["load_hf_processor", "open_hf_processor", "open_kept", "open_timm_transform", "prepare_by"]

MISSING = (
    f"hf:{{name}} has no {PROCESSOR}, so how its images are prepared is not known: put the one of the model that it "
    "was made from beside its config.json, or save one there with the save_pretrained of its image processor"
)
TIMM_SETTINGS = ("input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")
"""What timm prepares images by."""
WIDE = (96, 128)
"""Height and width of an image by which two processors are compared."""
PIL = "pil"
"""The backend of `transformers` that gives the same wherever it runs, with torchvision and without."""


def open_hf_processor(name: str, config: Any, *, local: bool) -> Processed:
    """The image processor that came with a model of `transformers`, whole.

    Args:
        name: of the model: a folder, or a name on the hub.
        config: of the model.
        local: whether it is a folder.
    Raises:
        JumokError: there is none, it is damaged, asks for code of its own, or gives no pixels that can be shown.
    """
    return prepare_by(load_hf_processor(name, config, local=local), name, config)


def load_hf_processor(name: str, config: Any, *, local: bool) -> Any:
    """As `open_hf_processor`, as `transformers` itself opens it.

    Raises:
        JumokError: there is none, it is damaged, or asks for code of its own.
    """
    _check_settings(name, _read_settings(name, local))
    with foreign(f"hf:{name} does not say how its images are prepared", ADVICE), without_remarks():
        from transformers import AutoImageProcessor

        return AutoImageProcessor.from_pretrained(
            name, config=config, local_files_only=local, trust_remote_code=False, backend=PIL
        )


def open_kept(kept: Processor, name: str) -> Processed:
    """An image processor that a run keeps.

    Args:
        kept: of the run.
        name: of the run, for messages.
    Raises:
        JumokError: it is damaged, asks for code of its own, or the library that it is of does not have it.
    """
    if kept.library == "timm":
        return open_timm_transform(name, kept.settings)
    settings = dict(kept.settings)
    _check_settings(name, settings)
    with foreign(f"the image processor in {name} cannot be opened", "restore its config.yaml"), without_remarks():
        import transformers

        kind = str(settings.pop("image_processor_type", "")).removesuffix("Fast")
        made = getattr(transformers, f"{kind}Pil", None) or getattr(transformers, kind)
        processor = made.from_dict(settings)
    return prepare_by(processor, name, None)


def reopen(processed: Processed) -> Processed:
    """What a run will keep of an image processor, opened as it will be.

    Raises:
        JumokError: it does not do the same.
    """
    if processed.kept is None:
        raise JumokError(f"how {processed.name} has images prepared cannot be kept in a run")
    again = open_kept(processed.kept, processed.name.partition(":")[2])
    if _tell(again) != _tell(processed):
        raise JumokError(
            f"how {processed.name} has images prepared cannot be kept in a run, as its image processor does something "
            "else once it is made again from its settings: stretch images with --image-size"
        )
    return again


def _tell(processed: Processed) -> tuple[Any, ...]:
    """What a processor does, as far as it is watched."""
    return processed.size, processed.mean, processed.std, processed.order, processed.frame(*WIDE)


def prepare_by(processor: Any, name: str, config: Any) -> Processed:
    """What an image processor of `transformers` does to images.

    Args:
        processor: as `load_hf_processor` gives it.
        name: of the model.
        config: of the model.
    Raises:
        JumokError: it gives no pixels that can be shown.
    """
    with foreign(f"hf:{name} does not say how its images are prepared", ADVICE), without_remarks():
        settings = json.loads(processor.to_json_string())
        described = describe_processor(settings)

    def process(image: Image.Image) -> Tensor:
        found = processor(images=image, return_tensors="pt")
        if "pixel_values" not in found or len(found["pixel_values"]) != 1:
            raise JumokError(
                f"hf:{name} is not given pixels of one image by its own processor, but {', '.join(found)}: wanted "
                "pixel_values; in Python, use jumok.watch around it"
            )
        pixels: Tensor = found["pixel_values"][0]
        return pixels

    kept = Processor(library="transformers", settings=settings)
    return Processed(f"hf:{name}", process, described, _count_channels(name, config) == 1, kept)


def _read_settings(name: str, local: bool) -> Mapping[str, Any]:
    """The settings of a model's image processor, as they stand in its files."""
    from transformers.image_processing_base import ImageProcessingMixin

    with without_remarks():
        try:
            values, _ = ImageProcessingMixin.get_image_processor_dict(name, local_files_only=local)
        except Exception as error:
            if local and (Path(name) / PROCESSOR).exists():
                raise JumokError(f"cannot read {Path(name) / PROCESSOR} ({first_line(error)}): {ADVICE}") from error
            raise JumokError(MISSING.format(name=name)) from error
    if not isinstance(values, dict):
        raise JumokError(f"the {PROCESSOR} of hf:{name} holds no settings: wanted keys and values")
    return values


def _check_settings(name: str, values: Mapping[str, Any]) -> None:
    """Refuse what would run code, take all memory, or make every pixel NaN."""
    import transformers

    if values.get("auto_map"):
        raise JumokError(CODE.format(name=f"the image processor of hf:{name}"))
    kind = str(values.get("image_processor_type") or "").removesuffix("Fast")
    with without_remarks():
        known = not kind or hasattr(transformers, kind)
    if not known:
        raise JumokError(
            f"hf:{name} names an image processor {kind!r} that transformers {transformers.__version__} does not have: "
            f"install another version, or mend its {PROCESSOR}"
        )
    for key in ("size", "crop_size", "pad_size"):
        size = values.get(key)
        sides = size.values() if isinstance(size, dict) else size if isinstance(size, list | tuple) else [size]
        if any(isinstance(side, float | int) and side * side > MOST_PIXELS for side in sides):
            raise JumokError(f"hf:{name} brings images to {key} {size}: wanted at most {MOST_PIXELS >> 20} MP")
    for key in ("image_mean", "image_std"):
        _check_numbers(f"hf:{name}", key, values.get(key, ()), least=None if key == "image_mean" else 0.0)


def _check_numbers(name: str, key: str, values: Any, *, least: float | None) -> None:
    """Refuse a mean or standard deviation that is none."""
    numbers = list(values) if isinstance(values, list | tuple) else [values]
    right = all(type(value) in (int, float) and abs(value) <= sys.float_info.max for value in numbers)
    if not right or (least is not None and any(value <= least for value in numbers)):
        raise JumokError(f"{name} has {key} {values}: wanted finite numbers{'' if least is None else ' above 0'}")


def _count_channels(name: str, config: Any) -> int:
    """The channels of a model's images.

    Raises:
        JumokError: neither 3 nor 1.
    """
    inner = getattr(config, "vision_config", None)
    count = getattr(config, "num_channels", None) or getattr(inner, "num_channels", None) or 3
    if count not in (1, 3):
        raise JumokError(
            f"hf:{name} reads images of {count} channels: wanted 3 (red, green, blue) or 1 (grey); in Python, use "
            "jumok.watch around it"
        )
    return int(count)


def describe_processor(values: Mapping[str, Any]) -> str:
    """What a processor of `transformers` does to an image's geometry and channels, in words.

    >>> describe_processor({"do_resize": True, "size": {"shortest_edge": 256}, "do_pad": True})
    'resized to 256 on the shorter side, margins added'
    """
    said = []
    if values.get("do_resize") and (size := values.get("size")):
        said.append(
            join_later(
                "", [later("resized to {size}", size=_write_size(size)), _write_resampling(values.get("resample"))]
            )
        )
    if values.get("crop_pct") and "shortest_edge" in (values.get("size") or {}):
        said.append(f"crop_pct {values['crop_pct']:.4g} (below 384 pixels)")
    if values.get("do_center_crop") and (size := values.get("crop_size")):
        said.append(later("centre crop of {size}", size=_write_size(size)))
    if values.get("do_pad"):
        said.append(later("margins added"))
    if values.get("do_flip_channel_order"):
        said.append(later("given as blue, green, red"))
    return join_later(", ", said or [later("as they are")])


def _write_size(size: Any) -> str:
    if isinstance(size, Mapping):
        sides = {key: side for key, side in size.items() if side is not None}
        if set(sides) == {"height", "width"}:
            return f"{sides['height']} x {sides['width']}"
        return list_later([_write_side(key, str(side)) for key, side in sides.items()])
    return " x ".join(map(str, size)) if isinstance(size, Sequence) else str(size)


def _write_side(key: str, pixels: str) -> str:
    if key == "shortest_edge":
        return later("{pixels} on the shorter side", pixels=pixels)
    if key == "longest_edge":
        return later("{pixels} on the longer side", pixels=pixels)
    return f"{pixels} {key.replace('_', ' ')}"


def _write_resampling(value: Any) -> str:
    """Its name in brackets; empty where it is not said."""
    try:
        return f" ({Image.Resampling(int(value)).name.lower()})"
    except (TypeError, ValueError):
        return ""


def open_timm_transform(name: str, data: Mapping[str, Any]) -> Processed:
    """What timm does to images for a model, as its settings say.

    Args:
        name: of the model.
        data: as `timm.data.resolve_model_data_config` gives it.
    Raises:
        JumokError: settings that timm cannot use, or images that are neither coloured nor grey.
    """
    with foreign(f"timm:{name} does not say how its images are prepared", ADVICE):
        channels, *sides = data["input_size"]
    if channels not in (1, 3):
        raise JumokError(f"timm:{name} reads images of {channels} channels: wanted 3 (red, green, blue) or 1 (grey)")
    if math.prod(sides) > MOST_PIXELS:
        raise JumokError(f"timm:{name} takes images of {sides}: wanted at most {MOST_PIXELS >> 20} MP")
    for key, least in (("mean", None), ("std", 0.0)):
        _check_numbers(f"timm:{name}", key, data.get(key), least=least)
    with foreign(f"timm:{name} does not say how its images are prepared", ADVICE), warnings.catch_warnings():
        from timm.data import create_transform

        transform = create_transform(**data, is_training=False)
    described = later(
        "{mode} crop of {share} to {size} ({how})",
        mode=data.get("crop_mode") or "center",
        share=f"{data['crop_pct']:.1%}",
        size=f"{sides[0]} x {sides[1]}",
        how=data["interpolation"],
    )
    kept = Processor(library="timm", settings={key: data[key] for key in TIMM_SETTINGS if key in data})
    return Processed(f"timm:{name}", transform, described, channels == 1, kept)
