"""Networks whose architecture comes from `transformers` or `timm`, rebuilt from plain values: no code, no download."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from jumok.errors import JumokError, first_line

__all__ = ["FAMILIES", "HFConfig", "HFNetwork", "TimmConfig", "TimmNetwork", "describe_hf", "import_timm"]

LEFT_OUT = frozenset(
    {"id2label", "label2id", "num_labels", "auto_map", "quantization_config", "use_pretrained_backbone", "dtype",
     "torch_dtype", "transformers_version", "architectures", "attn_implementation", "problem_type", "finetuning_task"}
)  # fmt: skip
"""Values of a configuration that say nothing of the architecture, or would have code or weights fetched."""
Side = int | tuple[int, int]
Colour = Literal[0, 1, 2]


class PretrainedConfig(BaseModel):
    """What every such network has."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    classes: int = Field(default=1000, ge=1)
    image_size: Side = 224
    order: tuple[Colour, Colour, Colour] = (0, 1, 2)
    """Which of red, green and blue (0, 1, 2) each of its channels reads."""


class HFConfig(PretrainedConfig):
    """Everything needed to build an image classifier of `transformers`."""

    architecture: dict[str, Any] = Field(min_length=1)
    """Its configuration there, with its `model_type`."""


class TimmConfig(PretrainedConfig):
    """Everything needed to build an image classifier of `timm`."""

    architecture: str
    """Its name there."""
    arguments: dict[str, Any] = {}
    """What it is made with, if not by its name alone."""


def describe_hf(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration of `transformers` that makes the architecture, of nested ones too."""
    kept = {key: value for key, value in config.items() if not key.startswith("_") and key not in LEFT_OUT}
    return {key: describe_hf(value) if isinstance(value, Mapping) else value for key, value in kept.items()}


class HFNetwork(nn.Module):
    """An image classifier of `transformers`, with fresh weights.

    Raises:
        JumokError: a kind of model that the library does not have, or that classifies no images.
    """

    def __init__(self, config: HFConfig) -> None:
        super().__init__()
        from transformers import AutoConfig, AutoModelForImageClassification

        self.order = config.order
        values = describe_hf(config.architecture)
        kind = values.pop("model_type", "")
        try:
            made = AutoConfig.for_model(kind, **values, num_labels=config.classes)
            self.network: nn.Module = AutoModelForImageClassification.from_config(
                made, trust_remote_code=False, dtype=torch.float32
            )
        except Exception as error:  # values of a file, and each architecture refuses them in its own way
            raise JumokError(
                f"cannot build the {kind or 'unnamed'} network of transformers: {first_line(error)}"
            ) from error

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, 3, height, width) normalised pixels to (batch, classes) logits."""
        logits: Tensor = self.network(pixel_values=_arrange(pixels, self.order)).logits
        return logits


def import_timm() -> Any:
    """The library timm.

    Raises:
        JumokError: it is there and does not load, as where the torchvision that it imports does not fit torch.
        ModuleNotFoundError: it is not installed.
    """
    try:
        return importlib.import_module("timm")
    except Exception as error:  # whatever a library that it imports meets
        if isinstance(error, ModuleNotFoundError) and error.name == "timm":
            raise
        raise JumokError(
            f"timm is installed but cannot be imported ({first_line(error)}): it imports torchvision, whose version "
            f"has to fit torch {torch.__version__}; pip install torchvision, of the version that does"
        ) from error


class TimmNetwork(nn.Module):
    """An image classifier of `timm`, with fresh weights.

    Raises:
        JumokError: a name that the library does not have.
    """

    def __init__(self, config: TimmConfig) -> None:
        super().__init__()
        timm = import_timm()
        self.order = config.order
        name = config.architecture
        if not timm.is_model(name):  # names with a source would be loaded from there
            raise JumokError(f"timm {timm.__version__} has no architecture {name!r}")
        try:
            self.network: nn.Module = timm.create_model(
                name, pretrained=False, num_classes=config.classes, **config.arguments
            )
        except Exception as error:  # as above
            raise JumokError(f"cannot build the timm network {name}: {first_line(error)}") from error

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, 3, height, width) normalised pixels to (batch, classes) logits."""
        logits: Tensor = self.network(_arrange(pixels, self.order))
        return logits


def _arrange(pixels: Tensor, order: tuple[int, ...]) -> Tensor:
    """Channels as a network reads them."""
    return pixels if order == (0, 1, 2) else pixels[:, list(order)]


FAMILIES: dict[str, tuple[type[BaseModel], type[nn.Module]]] = {
    "hf:": (HFConfig, HFNetwork),
    "timm:": (TimmConfig, TimmNetwork),
}
"""By how a system's name begins."""
