"""Image classifiers of `transformers` and `timm` with their weights, and what is done to their images before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from jumok.errors import JumokError, first_line
from jumok.systems.pretrained import describe_hf
from jumok.wording import write_count

__all__ = ["FAULTS", "Foreign", "load_hf", "load_timm", "without_remarks"]

HALF = (0.5, 0.5, 0.5)
USUAL_SIDE = 224
USUAL_RESCALING = 1 / 255
MOST_NAMED = 4
"""Weights that are named, of those that are not there."""
FAULTS = (OSError, ValueError, KeyError, RuntimeError, AssertionError)
"""What the libraries raise about a name, a folder or a file that does not do."""


@dataclass(frozen=True)
class Foreign:
    """A network from elsewhere.

    Args:
        network: as its library builds it.
        options: what it is built again from; see `jumok.systems.pretrained`.
        classes: names, in the order of its logits.
        size: (height, width) of the images that it was made for.
        mean, std: of the normalisation, per channel, for values in [0, 1].
        fresh: names of weights that were not in its files.
        problem: what its logits are for, where it says so: "multi_label_classification", "regression"; else "".
        own: what its own preprocessing does to an image's size, where that is known.
    """

    network: nn.Module
    options: Mapping[str, Any]
    classes: tuple[str, ...]
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fresh: frozenset[str] = frozenset()
    problem: str = ""
    own: str = ""

    def check_answers(self, name: str) -> None:
        """Refuse a model whose logits are not those of one class among several.

        Args:
            name: of the model, for messages.
        Raises:
            JumokError: some of its weights are random, or its logits mean something else.
        """
        if self.fresh:
            some = ", ".join(sorted(self.fresh)[:MOST_NAMED]) + (", ..." if len(self.fresh) > MOST_NAMED else "")
            raise JumokError(
                f"{name} lacks the weights {some}, so its answers would be random: give a checkpoint with its "
                f"classifier, or train one with jumok train IMAGES --system {name}"
            )
        if len(self.classes) < 2 or self.problem == "regression":
            gives = write_count(len(self.classes), "number")
            raise JumokError(f"{name} gives {gives} and no classes: wanted a classifier of 2 classes or more")
        if self.problem == "multi_label_classification":
            raise JumokError(
                f"{name} gives each class a probability of its own (multi-label): wanted a classifier of one class "
                "among several; in Python, use jumok.watch around it"
            )


def load_hf(name: str) -> Foreign:
    """Load an image classifier of `transformers`: weights from safetensors only, and no code of the model's own.

    Args:
        name: a folder, or a name on the hub.
    Raises:
        JumokError: there is no such model, or it is no image classifier.
        ModuleNotFoundError: `transformers` is not installed.
    """
    from transformers import AutoConfig, AutoModelForImageClassification

    local = Path(name).is_dir()
    if not local and (Path(name).is_absolute() or name.startswith(".")):
        raise JumokError(f"no model folder at {name}")
    try:
        with without_remarks():
            config = AutoConfig.from_pretrained(name, local_files_only=local, trust_remote_code=False)
            model, found = AutoModelForImageClassification.from_pretrained(
                name, local_files_only=local, use_safetensors=True, trust_remote_code=False, output_loading_info=True
            )
    except FAULTS as error:
        raise JumokError(f"cannot open hf:{name}: {first_line(error)}") from error
    mean, std, size, own = _read_preprocessing(name, local)
    classes = tuple(config.id2label[number] for number in range(config.num_labels))
    side = getattr(config, "image_size", None) or size
    options = {"architecture": describe_hf(json.loads(config.to_json_string(use_diff=False)))}
    fresh, problem = frozenset(found["missing_keys"]), config.problem_type or ""
    return Foreign(model.float(), options, classes, _pair(side), mean, std, fresh, problem, own)


def load_timm(name: str) -> Foreign:
    """Load an image classifier of `timm`.

    Args:
        name: of a pretrained model, or "local-dir:" and a folder as `timm` saves it.
    Raises:
        JumokError: there is no such model.
        ModuleNotFoundError: `timm` is not installed.
    """
    import timm
    from timm.data import resolve_model_data_config

    try:
        model = timm.create_model(name, pretrained=True)
    except FAULTS as error:
        raise JumokError(f"cannot open timm:{name}: {first_line(error)}") from error
    data = resolve_model_data_config(model)
    options = {"architecture": model.pretrained_cfg["architecture"], "arguments": _find_timm_arguments(name)}
    size = _pair(tuple(data["input_size"][1:]))
    own = f"centre crop of {data['crop_pct']:.1%} of the image, {data['interpolation']}"
    return Foreign(model, options, _name_timm_classes(model), size, tuple(data["mean"]), tuple(data["std"]), own=own)


def _name_timm_classes(model: Any) -> tuple[str, ...]:
    from timm.data import ImageNetInfo

    count = int(model.num_classes)
    if count == 1000:
        info = ImageNetInfo()
        return tuple(info.index_to_description(number) for number in range(count))
    return tuple(str(number) for number in range(count))


def _find_timm_arguments(name: str) -> dict[str, Any]:
    """What a model saved in a folder is made with, beside its name."""
    source, _, folder = name.partition(":")
    if source != "local-dir":
        return {}
    values = json.loads((Path(folder) / "config.json").read_text("utf-8"))
    arguments = values.get("model_args") or {}
    return {key: value for key, value in arguments.items() if key not in ("num_classes", "pretrained")}


@contextmanager
def without_remarks() -> Iterator[None]:
    """Let `transformers` load without its progress bar and its remarks on standard error."""
    from transformers.utils import logging

    bar, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def _read_preprocessing(name: str, local: bool) -> tuple[tuple[float, ...], tuple[float, ...], Any, str]:
    """Mean, standard deviation, size and what else is done, from the model's preprocessor_config.json."""
    from transformers.utils import cached_file

    path = cached_file(
        name,
        "preprocessor_config.json",
        local_files_only=local,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    values = json.loads(Path(path).read_text("utf-8")) if path else {}
    if values.get("do_flip_channel_order"):
        raise JumokError(
            f"{name} reads its images as blue, green, red, and jumok gives red, green, blue: its answers would be "
            "wrong, so it is not opened; in Python, use jumok.watch around your own preprocessing"
        )
    size = values.get("crop_size") or values.get("size") or USUAL_SIDE
    return *_read_normalisation(values), size, _describe_sizing(values)


def _describe_sizing(values: Mapping[str, Any]) -> str:
    """What a processor does to an image's size; empty where nothing is said of it."""
    size, crop = values.get("size"), values.get("crop_size")
    resized = [f"resized to {_write_size(size)}"] if size and values.get("do_resize", True) else []
    cropped = crop and values.get("do_center_crop", False)
    return ", ".join([*resized, *([f"centre crop of {_write_size(crop)}"] if cropped else [])])


def _write_size(size: Any) -> str:
    if isinstance(size, Mapping) and "shortest_edge" in size:
        return f"{size['shortest_edge']} on its shorter side"
    height, width = _pair(size)
    return f"{height} x {width}"


def _read_normalisation(values: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation for pixels in [0, 1], whatever range the model's own processor brings them to."""
    mean: tuple[float, ...] = (0.0,) * 3
    std: tuple[float, ...] = (1.0,) * 3
    if values.get("do_normalize", True):
        mean, std = tuple(values.get("image_mean", HALF)), tuple(values.get("image_std", HALF))
        if values.get("include_top", "EfficientNet" in str(values.get("image_processor_type"))):
            std = tuple(value * value for value in std)  # EfficientNet's processor divides by it a second time
    factor = values.get("rescale_factor", USUAL_RESCALING) if values.get("do_rescale", True) else 1.0
    top, shift = 255 * factor, 1.0 if values.get("rescale_offset") else 0.0  # white becomes top - shift
    if abs(top - 1) < 1e-6 and not shift:
        return mean, std
    return tuple((value + shift) / top for value in mean), tuple(value / top for value in std)


def _pair(size: Any) -> tuple[int, int]:
    """One side, (height, width), or a dictionary as preprocessors write it."""
    if isinstance(size, dict):
        size = size.get("shortest_edge") or (size["height"], size["width"])
    if isinstance(size, int):
        return size, size
    height, width = size
    return int(height), int(width)
