"""Any image classifier, ready to be asked: a run of our own, or one from `transformers` or `timm`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jumok.errors import JumokError, suggest
from jumok.tasks.classify.run import ImageRun
from jumok.tasks.preprocessing import Preprocessing

HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class AnyClassifier:
    """A classifier with what is needed to ask it.

    Args:
        name: as the user gave it.
        model: in eval mode, its parameters without gradients.
        classes: names, in the order of the logits.
        size: (height, width) that images are stretched to: every pixel stays in view, so that maps lie on the image.
        mean, std: of the normalisation, per channel, for values in [0, 1].
        logits: gets them out of what the model returns.
        bits: that 16-bit grey images use, as it was trained; None: what each image's values need.
    """

    name: str
    model: nn.Module
    classes: tuple[str, ...]
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    logits: Callable[[Any], Tensor]
    bits: int | None = None

    def prepare(self, images: Sequence[Tensor]) -> Tensor:
        """Bring images, (3, any, any) uint8 each, to (n, 3, height, width) float32 on the model's device."""
        device = next(self.model.parameters()).device
        return Preprocessing(self.size, self.mean, self.std, self.bits)(images, device)

    def __call__(self, pixels: Tensor) -> Tensor:
        """(n, 3, height, width) normalised pixels to (n, classes) logits."""
        return self.logits(self.model(pixels))

    @torch.inference_mode()
    def predict(self, images: Sequence[Tensor]) -> Tensor:
        """The probability of every class, (n, classes), for images of (3, any, any) uint8 each."""
        return self(self.prepare(images)).float().softmax(-1)

    def index(self, target: str) -> int:
        """The number of a class, by its name or its number.

        Raises:
            JumokError: no such class.
        """
        if target in self.classes:
            return self.classes.index(target)
        if target.isdecimal() and int(target) < len(self.classes):
            return int(target)
        raise JumokError(f"{self.name} has no class {target!r}: {suggest(target, self.classes[:20])}")


def open_model(name: str, device: str = "cpu") -> AnyClassifier:
    """Open a classifier by name.

    Args:
        name: folder of a run; "hf:" and a folder or hub name; "timm:" and a model name.
        device: to put it on.
    Raises:
        JumokError: there is no such model, or it is no image classifier.
        ModuleNotFoundError: the package that the prefix needs is not installed.
    """
    prefix, _, rest = name.partition(":")
    opened = _OPENERS[prefix](rest) if prefix in _OPENERS and rest else _open_run(name)
    opened.model.to(device).eval().requires_grad_(False)
    return opened


def _open_run(name: str) -> AnyClassifier:
    run = ImageRun.load(name)
    found = run.config.found
    bits = run.config.data.bits
    return AnyClassifier(name, run.model, run.classes, run.size, found.mean, found.std, lambda logits: logits, bits)


def _open_hf(name: str) -> AnyClassifier:
    """Weights are read from safetensors only, and no code of the model's own is run."""
    from transformers import AutoConfig, AutoModelForImageClassification

    local = Path(name).is_dir()
    if not local and (Path(name).is_absolute() or name.startswith(".")):
        raise JumokError(f"no model folder at {name}")
    try:
        with _without_remarks():
            config = AutoConfig.from_pretrained(name, local_files_only=local, trust_remote_code=False)
            model = AutoModelForImageClassification.from_pretrained(
                name, local_files_only=local, use_safetensors=True, trust_remote_code=False
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise JumokError(f"cannot open hf:{name}: {_first_line(error)}") from error
    mean, std, size = _preprocessing(name, local)
    classes = tuple(config.id2label[number] for number in range(config.num_labels))
    side = getattr(config, "image_size", None) or size
    return AnyClassifier(f"hf:{name}", model, classes, _pair(side), mean, std, lambda result: result.logits)


@contextmanager
def _without_remarks() -> Iterator[None]:
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


def _preprocessing(name: str, local: bool) -> tuple[tuple[float, ...], tuple[float, ...], Any]:
    """Mean, standard deviation and size from the model's preprocessor_config.json, where it has one."""
    from transformers.utils import cached_file

    path = cached_file(
        name,
        "preprocessor_config.json",
        local_files_only=local,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    values = json.loads(Path(path).read_text("utf-8")) if path else {}
    size = values.get("crop_size") or values.get("size") or 224
    if not values.get("do_normalize", True):
        return (0.0,) * 3, (1.0,) * 3, size
    return tuple(values.get("image_mean", HALF)), tuple(values.get("image_std", HALF)), size


def _open_timm(name: str) -> AnyClassifier:
    import timm
    from timm.data import ImageNetInfo, resolve_model_data_config

    try:
        model = timm.create_model(name, pretrained=True)
    except (RuntimeError, OSError, ValueError, AssertionError) as error:
        raise JumokError(f"cannot open timm:{name}: {_first_line(error)}") from error
    data = resolve_model_data_config(model)
    count = int(model.num_classes)
    if count == 1000:
        info = ImageNetInfo()
        classes = tuple(info.index_to_description(number) for number in range(count))
    else:
        classes = tuple(str(number) for number in range(count))
    size = tuple(data["input_size"][1:])
    return AnyClassifier(f"timm:{name}", model, classes, _pair(size), data["mean"], data["std"], lambda logits: logits)


def _pair(size: Any) -> tuple[int, int]:
    """One side, (height, width), or a dictionary as preprocessors write it."""
    if isinstance(size, dict):
        size = size.get("shortest_edge") or (size["height"], size["width"])
    if isinstance(size, int):
        return size, size
    height, width = size
    return int(height), int(width)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


_OPENERS: dict[str, Callable[[str], AnyClassifier]] = {"hf": _open_hf, "timm": _open_timm}
